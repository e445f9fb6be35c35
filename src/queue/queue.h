/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store-and-forward queue: one log of samples with two parts, a memory tail and an SQLite file, behind
 * one interface. Append, read after, acknowledge up to.
 *
 * A sample is appended on the main thread, gets the next id, and waits in the tail. Readers (one for an
 * uplink) take it from there at once. Acknowledged by every reader it is gone; when the oldest that is not has waited
 * `commit`, the store thread writes all that wait in one transaction with one fsync. What a reader has not
 * got and the tail no longer holds, the store reads back for it.
 *
 * Nothing here logs above debug: notices tell the main thread what happened, it says so.
 */
#ifndef HAYWAIN_QUEUE_QUEUE_H
#define HAYWAIN_QUEUE_QUEUE_H

#include "base/conf.h"
#include "base/util.h"
#include "model/sample.h"
#include "model/series.h"
#include "queue/drops.h"
#include <stdbool.h>
#include <sys/types.h>

struct queue_conf {
	const char *path;   /* NULL: queue.db in $STATE_DIRECTORY, else in . */
	uint64_t commit_us; /* the loss window */
	int write;	    /* enum queue_write */
	uint64_t memory;    /* bytes: the tail's bound */
	uint64_t max_size;  /* bytes: of the file */
	uint64_t max_age_us;
	int when_full; /* enum queue_when_full */
};
enum queue_write { QUEUE_WRITE_BEHIND, QUEUE_WRITE_THROUGH };
enum queue_when_full { QUEUE_DROP_OLDEST, QUEUE_DROP_NEWEST };
extern const struct hay_option queue_options[];

struct queue;

/*
 * Open, or create, or quarantine a damaged file and salvage what is readable (a notice tells). Starts the store thread.
 * series is filled with the rows on disk and used from then on; it is the caller's and outlives the queue.
 * -EWOULDBLOCK: another daemon has it (*ret_pid: who, or 0). Other errors of the disk are no errors here: the
 * queue then lives in memory, a notice tells, and it goes to disk when the disk heals.
 */
int queue_open(const struct queue_conf *conf, struct series_set *series, struct queue **ret, pid_t *ret_pid);

/* Write everything that waits, and the cursors; waits until done or timeout_us passed (-ETIMEDOUT). */
int queue_flush(struct queue *queue, uint64_t timeout_us);

/* The last flush, before the process ends: what the disk does not take is lost, and counted as "memory full" where that
   can be written (*ret_lost: how many). Drops that no notice told yet are told. */
int queue_leave(struct queue *queue, uint64_t timeout_us, uint64_t *ret_lost);

/* After the readers are closed. Flushes, ends the thread. NULL is fine. Where the disk takes longer than timeout_us the
   queue is returned: its thread is still at work with it and with the series, and neither may be freed. */
struct queue *queue_close(struct queue *queue, uint64_t timeout_us);

/* The file it is, also where the configuration does not say. Lives as long as the queue. */
const char *queue_path(const struct queue *queue);

/* Apply another configuration of the same path. */
void queue_configure(struct queue *queue, const struct queue_conf *conf);

/* ---- appending: main thread ---- */

/* Takes the reference. Assigns id and boot. Never blocks. With no reader open the sample is let go. */
void queue_append(struct queue *queue, struct sample *sample);

/* A sample of that device was lost before it came here, for want of memory: it is counted. */
void queue_lost(struct queue *queue, uint32_t device);

/* The wall clock was set, or became trusted: readers held back by the clock go on. */
void queue_clock_changed(struct queue *queue);

/* ---- reading: a reader belongs to one thread ---- */

struct queue_reader;

/* The cursor is known by the name; a new name starts at now. -ENOMEM, -EEXIST: open already. Main thread. */
int queue_reader_open(struct queue *queue, const char *name, struct queue_reader **ret);
struct queue_reader *queue_reader_close(struct queue_reader *reader); /* the cursor stays */

/* Delete the cursors of all but these names (a removed uplink); a notice for each. Main thread. */
void queue_keep_readers(struct queue *queue, const char *const *names, size_t n_names);

int queue_reader_fd(
	const struct queue_reader *reader); /* eventfd: readable when next() may have more; next() drains it */

/* Take up to max samples that follow those taken before, oldest first, each with a reference. 0: none now. Never
   blocks. */
size_t queue_reader_next(struct queue_reader *reader, struct sample **ret, size_t max);

/* Start over after the last acknowledged one: what was taken and not acknowledged comes again. */
void queue_reader_rewind(struct queue_reader *reader);

/* All samples up to and including id are done with, for this reader. */
void queue_reader_ack(struct queue_reader *reader, uint64_t id);

/* Count a sample that the broker will never take; then acknowledge it as any other. */
void queue_reader_refused(struct queue_reader *reader, const struct sample *sample);

/* How many samples this reader has not acknowledged, and how many were ever appended (for the replay rate). */
uint64_t queue_reader_depth(const struct queue_reader *reader);
uint64_t queue_appended(struct queue *queue);

/* ---- numbers and times: any thread ---- */

/* The sequence number of a sample. Only valid once a reader was given it: the base is known by then. */
uint64_t queue_seq(struct queue *queue, const struct sample *sample);
/* The first number of this run, for the event `started`; 0 while it is not known yet. */
uint64_t queue_first_seq(struct queue *queue);
/* True while no sequence numbers can be given out because both marks were lost and the clock is not trusted. */
bool queue_waits_for_clock(struct queue *queue);

/* When a sample was taken: µs since 1970, and whether the clock of its boot was ever trusted. */
int64_t queue_wall(struct queue *queue, const struct sample *sample, bool *ret_certain);

/* ---- what was lost ---- */

/* Drops charged to this reader's uplink and not yet reported, merged by cause and device; free(*ret). They
   count as reported when queue_drops_reported() is called (after the acknowledgement). Returns how many rows. */
size_t queue_drops_pending(struct queue_reader *reader, struct queue_drop **ret);
void queue_drops_reported(struct queue_reader *reader, const struct queue_drop *drops, size_t n_drops);

/* ---- looking at what waits, and emptying it: main thread ---- */

/* What was asked of the store thread, and its answer. */
struct queue_ask {
	struct queue_ask *next; /* the queue's */
	bool count;		/* by device; else a page of samples */
	void *userdata;
	int result; /* 0 or -errno: the disk cannot be read */

	/* A page: samples that some uplink has not acknowledged, oldest first, each with a reference. */
	struct sample **samples;
	size_t n_samples;
	uint64_t after; /* where the next page begins */
	bool end;	/* there are no more now */

	uint64_t *by_device; /* a count: by the devices' numbers */
	size_t n_devices;
};

/* Ask for the page after an id (0: the first one), or for the count. -EBUSY: too many ask; -ENOMEM. */
int queue_ask_page(struct queue *queue, uint64_t after, void *userdata);
int queue_ask_count(struct queue *queue, void *userdata);
int queue_answers_fd(const struct queue *queue);	  /* eventfd */
struct queue_ask *queue_next_answer(struct queue *queue); /* NULL: no more; the caller's to free */
struct queue_ask *queue_ask_free(struct queue_ask *ask);  /* with its samples */

/* Everything that waits is dropped, and charged to the uplinks that had not got it. Returns how many samples. What is
   under way to a broker may arrive all the same. */
uint64_t queue_purge(struct queue *queue);

/* ---- status ---- */

enum queue_disk { QUEUE_DISK_OK, QUEUE_DISK_FULL, QUEUE_DISK_READ_ONLY, QUEUE_DISK_FAILED };

struct queue_status {
	enum queue_disk disk;
	uint64_t tail_samples, tail_bytes; /* in memory and not yet on disk */
	uint64_t disk_samples, disk_bytes; /* on disk and not yet acknowledged by all; file size */
	uint64_t oldest_age_us;		   /* of the oldest unacknowledged sample; 0: none */
	uint64_t appended, written;	   /* samples, since the start */
	uint64_t bytes_written;		   /* to the file system, since the start */
	uint64_t commits, fsync_last_us, fsync_max_us;
	uint64_t dropped[DROP_N_CAUSES]; /* since the start, charged to any uplink */
	uint64_t unknown_losses;	 /* so often an unknown number more was lost */
};
void queue_get_status(struct queue *queue, struct queue_status *ret);

/* µs since the store thread last made progress while it had something to do; 0: idle. For the watchdog. Any thread. */
uint64_t queue_stuck_us(const struct queue *queue);

/* ---- notices: what the main thread shall log ---- */

struct queue_notice {
	enum hay_log_level level;
	char text[256]; /* a whole sentence, with what happens next */
};
int queue_notice_fd(const struct queue *queue);
bool queue_next_notice(struct queue *queue, struct queue_notice *ret); /* false: no more */

#endif
