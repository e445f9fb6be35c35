/* SPDX-License-Identifier: Apache-2.0 */
/* What the first open of the file finds out, for the places of ids and numbers. Only store_open.c and its
   neighbours. */
#ifndef HAYWAIN_QUEUE_STORE_OPENING_H
#define HAYWAIN_QUEUE_STORE_OPENING_H

#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"

/* Where the file that is there cannot be read, its ids have to be below ours when it can. */
#define IDS_UNSEEN ((uint64_t)1 << 60)

/* From one damaged file to the next at least so much passes. */
#define DAMAGE_PAUSE_MIN_US (10 * USEC_PER_SEC)
#define DAMAGE_PAUSE_MAX_US (10 * USEC_PER_MINUTE)

struct store_opening {
	struct state_marks marks;
	struct salvage_list pending; /* files to be moved over; none: n_paths 0 */
	uint64_t first_row, last_row;
	unsigned version;  /* of the file that was there */
	bool all_is_lost;  /* it was empty, and was not always */
	bool log_is_short; /* something is missing at the end of its log, or it is damaged */
};

/* store_place.c: where ids and numbers go on. -ENOMEM, and what the disk says to the mark is no error. */
int store_place(struct queue *queue, struct store_opening *opening);

/* store_first.c */
int store_first_open(struct queue *queue, struct store_opening *opening);
/* What an earlier process has left to do; n_paths 0: nothing. -EIO: that cannot be read now. */
int store_read_todo(struct queue *queue, struct salvage_list *pending);

/* store_open.c: open for writing; what stands beside the samples comes with it, where rows are wanted. */
int store_open_file(struct queue *queue, struct state_rows *rows, struct state_marks *marks);
/* In one transaction the tables and all that is known: a file that is there is whole. version: of the file. */
int store_write_tables(struct queue *queue, unsigned version);
/* Quarantine the file. *ret_path: where it is now. */
int store_replace_file(struct queue *queue, const char *kind, char **ret_path);
void store_notice_damaged(struct queue *queue, const char *reason, const char *moved_to) REQUIRES(queue->lock);
/* Write down what is to be done, and rename the file. */
int store_move_aside(struct queue *queue, const char *kind, struct salvage_list *pending);
/* A new file with all that is known beside the samples. */
int store_begin_new(struct queue *queue);
/* All rows beside the samples that are found in files that were quarantined, and what the table tells of the last
   id. */
int store_gather(struct queue *queue, struct salvage_list *pending, bool is_torn, struct state_rows *rows,
		 struct state_marks *marks);
void store_judge_last(struct salvage_list *pending, const struct state_marks *marks);

/* store_join.c: a file that could not be read at the start can be now, or is found to be damaged. It is quarantined,
   a new one is begun, and what is in it is moved over, before what this process has taken. */
int store_join(struct queue *queue,
	       bool is_new); /* is_new: there is none, but there may be files that were quarantined */
/* What is read next has numbers of its own for devices, points and boots: by their names they become ours. -ENOMEM;
   -EIO: the names cannot be read now. */
int store_find_maps(struct queue *queue, const char *path);

#endif
