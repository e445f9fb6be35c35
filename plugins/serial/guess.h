/* SPDX-License-Identifier: Apache-2.0 */
/* What bytes from a line that is not described yet look like. Pure. */
#ifndef SERIAL_GUESS_H
#define SERIAL_GUESS_H

#include "decode.h"

struct guess {
	unsigned printable; /* per cent of the bytes that are text */
	unsigned score;	    /* per cent of the lines that the decoder takes; 0: no decoder does */
	size_t n_lines;	    /* whole ones */
	bool only_returns;  /* lines end with a carriage return and nothing else */
	enum decode_kind decode;
	const char *separator; /* csv: as written in a configuration; NULL: the usual one */
	bool comma;	       /* csv, keyvalue, regex: numbers have decimal commas */
	bool sign_apart;       /* lines begin with a sign and blanks before the number */
	bool one_or_two;       /* csv: two whole numbers, or one with a decimal comma */
	bool is_sml;	       /* the bytes are SML */
	bool header;	       /* csv: one of the lines names the columns */
	struct text line;      /* the last one that fits the guess, or the last one */
};

void guess_make(const uint8_t *bytes, size_t size, struct guess *ret);
/* The rules that decode it. */
void guess_rules(const struct guess *guess, struct decode_rules *ret);
/* Good enough to stop listening. */
static inline bool guess_is_sure(const struct guess *guess)
{
	return guess->is_sml || (guess->n_lines >= 3 && guess->printable >= 95 && guess->score >= 60);
}

#endif
