/* SPDX-License-Identifier: Apache-2.0 */
/* Ways in which the files of a queue are spoilt. Each is fixed by its kind, a seed and an index. */
#ifndef HAYWAIN_TORTURE_SPOIL_H
#define HAYWAIN_TORTURE_SPOIL_H

#include "stock.h"
#include "torture.h"

struct spoil_kind {
	const char *name, *what; /* as a person types it, and what it does */
	enum stock_end end;	 /* whose files; STOCK_N_ENDS: any, by the dice */
	unsigned share;		 /* of a run of all kinds, in per cent */
	bool kill;		 /* the first process to open the spoilt files is killed soon */
	void (*spoil)(struct stock_file files[STOCK_FILES], uint64_t index, struct dice *dice, char *text, size_t size);
};

extern const struct spoil_kind spoil_kinds[];
extern const size_t spoil_n_kinds;

/* Spoil copies of a stock's files. text: which bytes became what. */
void spoil_files(const struct spoil_kind *kind, uint64_t index, struct dice *dice, struct stock_file files[STOCK_FILES],
		 char *text, size_t size);

#endif
