/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the queue share, and nobody else.
 *
 * One lock guards everything in struct queue but `store`; it is never held during I/O or inside SQLite. The series
 * set's lock is a leaf and may be taken under it. `store` belongs to the store thread (before it runs, to
 * queue_open).
 *
 * Ids, oldest to newest:
 *
 *     body_first ... written   on disk, with gaps
 *     tail.first ... next_id   in memory; up to `written` they are copies of what is on disk
 *
 * An id between the two parts was acknowledged by all, or dropped.
 */
#ifndef HAYWAIN_QUEUE_PRIVATE_H
#define HAYWAIN_QUEUE_PRIVATE_H

#include "base/mutex.h"
#include "queue/charges.h"
#include "queue/drops.h"
#include "queue/queue.h"
#include "queue/rows.h"
#include "queue/sequence.h"
#include "queue/state_rows.h"
#include "queue/tail.h"
#include "storage/writer.h"
#include <pthread.h>
#include <stdatomic.h>

#define SEQ_MAX (((uint64_t)1 << 53) - 1) /* what a consumer's double can hold */
#define NOTICES_MAX 64
#define READERS_UNKNOWN_US (10 * USEC_PER_SEC) /* uplinks are opened well before */
#define LOST_NAMES_MAX 4096		       /* so many numbers are not given out where nobody knows how many were */
#define IDS_AHEAD ((uint64_t)1 << 32)	       /* past the last known one, where it may not be the last */

struct boot {
	uint32_t number;
	char id[33];
	int64_t offset_us; /* wall clock less monotonic; of this boot: as saved */
	bool trusted;
	bool saved;
};

struct queue_reader {
	struct queue *queue;
	struct queue_reader *next;
	char *name;
	uint64_t number; /* of this one: another can have the name after it was removed */
	int fd;		 /* -1: closed, or known from the disk only */
	bool signalled;	 /* fd is readable */
	uint64_t acked;	 /* the cursor: this one and all before are done with */
	uint64_t taken;	 /* the last one given out */
	uint64_t saved;	 /* the cursor on disk */
	bool is_saved;
	bool joined;			      /* older samples came late, and go before what it had not acknowledged: */
	uint64_t given_before, acked_before;  /* up to here samples of this process were given out, and acknowledged */
	uint64_t damaged_to;		      /* unreadable rows that cannot be removed are counted up to here */
	uint64_t first_seen, appended_before; /* the next id, and how many samples there were, when it came */
	bool purged_in_salvage; /* the ids behind this one, of samples that a salvage is still to count: */
	uint64_t purged_after;	/* on disk it is the cursor until then */

	/* Read ahead from the disk: what follows `taken`, up to ahead_to. */
	struct sample **ahead;
	size_t ahead_at, ahead_n, ahead_bytes;
	uint64_t ahead_to;
	unsigned generation; /* changes with every rewind: what the store reads meanwhile is thrown away */
	bool wants_ahead;

	struct drops drops;
};

/* Only the store thread. */
struct store {
	struct db db;
	bool loaded; /* the tables beside the samples were read, or made */
	int lock_fd;
	uint64_t retry_at, backoff_us; /* retry_at 0: nothing failed */
	unsigned commits_since_removal;
	bool removing;	  /* there are more acknowledged rows than one transaction removes */
	uint64_t side_at; /* when cursors, drops and removal are worth a transaction of their own; 0: not yet */
	uint32_t saved_devices, saved_series;
	struct state_meta meta;	 /* as on disk */
	uint64_t meta_at;	 /* at this commit */
	uint64_t stamp;		 /* of the last transaction */
	uint64_t doubtful_stamp; /* of one whose commit failed, but may be found in the file all the same; 0: none */
	struct charges doubtful; /* what it removes */
	uint64_t minute_at;	 /* the next look at ages */
	bool shrinking;
	bool trimming; /* the file may be larger than max_size */
	struct salvage *salvage;
	struct join_maps *maps;			       /* of a file that is joined; NULL: its numbers are ours */
	struct quarantine_count *counting;	       /* one that is counted before it is removed */
	uint64_t unread_since, read_at, read_pause_us; /* samples cannot be read back; the next try. 0: they can */
	uint64_t salvage_at;			       /* what is moved over cannot be read: the next try; 0: it can */
	size_t reserve_bytes;			       /* what could be held back for the day the disk is full */
	bool reserve_lacks;			       /* it was given up, and is not whole again */
	bool holds_nothing;		      /* the file was begun by this process, and no sample is in it yet */
	uint64_t damaged_at, damage_pause_us; /* the last one that was quarantined; 0: none was */
	uint64_t
		damaged_until; /* the pause after it, and in it the next damage: nothing is done about it before; 0: none */
};

struct queue {
	struct mutex lock;

	struct queue_conf conf;
	char *path;
	struct series_set *series;
	bool conf_changed;

	struct tail tail; /* tail.next is the next id */
	size_t unwritten_bytes;
	uint64_t written, writing_to, disk_first;
	uint64_t min_acked;
	struct queue_reader *readers;
	uint64_t last_reader; /* its number */
	char **removed;	      /* names whose cursors shall go from the disk */
	size_t n_removed;

	bool readers_unknown;		/* a place of an uplink was lost, or may have been: */
	uint64_t readers_unknown_until; /* until then who is not known may have been one */

	struct deferred *deferred; /* drops of readers that are not open yet */

	struct sequence sequence;
	uint64_t low;	       /* rows up to this id were dropped */
	uint64_t unsure_to;    /* up to this id ranges may count samples that are not there */
	uint64_t last_row;     /* that was on disk at the start; 0: none */
	bool old_is_exact;     /* the last id of the last process is known for sure */
	uint64_t counted_from; /* of ids below it nobody knows yet which there are: a salvage will tell */
	bool names_missing;    /* devices, points or boots that rows on disk name were lost: each is looked at */
	uint64_t first_id;     /* of this process */

	/* Times. */
	struct boot *boots; /* the last one is this boot */
	size_t n_boots;
	uint32_t boot;
	uint32_t lost_boots; /* numbers up to this one may have been given out */

	/* The store thread. */
	struct writer writer; /* what it announces: a flush */
	uint64_t mark_bytes;  /* written to the file of the mark */
	uint64_t flush_wanted, flush_done;
	int flush_result;
	bool leaving;		 /* the flush is the last one */
	uint64_t left_unwritten; /* what it could not write, and counted */
	bool salvaging;		 /* older samples are still to come: readers wait */
	struct store store;

	/* Status. */
	enum queue_disk disk_state;
	uint64_t failed_since, dropped_before;
	uint64_t appended, n_written, commits, bytes_written, fsync_last_us, fsync_max_us;
	uint64_t disk_bytes;
	uint32_t oldest_boot;
	uint64_t oldest_time_us; /* of the oldest sample on disk */
	uint64_t dropped[DROP_N_CAUSES], dropped_told[DROP_N_CAUSES];
	uint64_t drop_notice_at[DROP_N_CAUSES];
	uint64_t unknown_losses;

	/* What the store thread was asked, and its answers; the oldest first. */
	struct queue_ask *asks, *answers;
	size_t n_asks;
	int answers_fd;

	struct queue_notice notices[NOTICES_MAX];
	size_t notice_at, n_notices;
	int notice_fd;
};

/* ---- queue.c ---- */

void queue_notify(struct queue *queue, enum hay_log_level level, const char *format, ...) _printf_(3, 4)
	REQUIRES(queue->lock);
/* The store shall be awake at `at` at the latest. */
void queue_wake_store(struct queue *queue, uint64_t at) REQUIRES(queue->lock);
/* Samples acknowledged by all leave the memory. */
void queue_forget_acked(struct queue *queue) REQUIRES(queue->lock);
/* The oldest id in memory that must go to disk; tail.next: none. */
uint64_t queue_first_unwritten(const struct queue *queue) REQUIRES(queue->lock);
/* A sample is lost: charge the readers that had not acknowledged it. device 0: unknown. */
void queue_charge(struct queue *queue, enum drop_cause cause, uint64_t id, uint32_t device) REQUIRES(queue->lock);
/* The same of all samples from `from` to `to`, of unknown devices. */
void queue_charge_range(struct queue *queue, enum drop_cause cause, uint64_t from, uint64_t to) REQUIRES(queue->lock);
/* And nobody knows how many: each uplink is told. */
void queue_charge_unknown(struct queue *queue, const char *why) REQUIRES(queue->lock);
void queue_charge_reader(struct queue_reader *reader, enum drop_cause cause, uint64_t from, uint64_t to)
	REQUIRES(reader->queue->lock);
/* There are rows on disk, and all of them were acknowledged. Ids skip between two processes: the last row's is not
   `written`. */
bool queue_disk_is_done(const struct queue *queue) REQUIRES(queue->lock);
/* The ids up to `to` are on disk now, or need not go there. */
void queue_settle(struct queue *queue, uint64_t to) REQUIRES(queue->lock);
/* Samples on disk were dropped up to id. */
void queue_disk_dropped(struct queue *queue, uint64_t id) REQUIRES(queue->lock);
void queue_free(struct queue *queue);

/* Without the lock: as it is configured now. */
uint64_t queue_max_size(struct queue *queue);

/* ---- queue_reader.c ---- */

struct queue_reader *reader_new(struct queue *queue, const char *name, uint64_t acked)
	REQUIRES(queue->lock); /* closed */
struct queue_reader *reader_by_number(struct queue *queue, uint64_t number) REQUIRES(queue->lock);
struct queue_reader *reader_find(struct queue *queue, const char *name) REQUIRES(queue->lock);
void reader_free(struct queue_reader *reader) REQUIRES(reader->queue->lock);
bool readers_are_unknown(const struct queue *queue)
	REQUIRES(queue->lock); /* a name that is not known may have its place in the file */
void reader_signal(struct queue_reader *reader) REQUIRES(reader->queue->lock);
/* True: its descriptor is to be written, without the lock, and counts as written from now on. */
bool reader_will_be_signalled(struct queue_reader *reader) REQUIRES(reader->queue->lock);
void readers_signal(struct queue *queue) REQUIRES(queue->lock);
void reader_forget_ahead(struct queue_reader *reader) REQUIRES(reader->queue->lock);
uint64_t reader_depth(const struct queue_reader *reader) REQUIRES(reader->queue->lock);
/* Where it has acknowledged all that came late, the cursor is where it was before that. */
void reader_settle_join(struct queue_reader *reader) REQUIRES(reader->queue->lock);
/* The cursor as it is on disk: samples up to it are of no use to the reader, and are counted. */
uint64_t reader_counted(const struct queue_reader *reader) REQUIRES(reader->queue->lock);
/* Ids the reader may be given: up to this one. */
uint64_t readers_limit(const struct queue *queue) REQUIRES(queue->lock);
/* Where the disk has what this reader needs next: reading goes on after *ret. False: it needs nothing from there. */
bool reader_needs_disk(struct queue_reader *reader, uint64_t *ret_after) REQUIRES(reader->queue->lock);

/* What a removal costs each reader: as it begins (-ENOMEM), and once it is committed. */
int readers_begin_charges(const struct queue *queue, struct charges *charges) REQUIRES(queue->lock);
void readers_apply_charges(struct queue *queue, const struct charges *charges) REQUIRES(queue->lock);

/* ---- queue_load.c ---- */

struct state_marks {
	struct state_meta meta;
	bool has_meta;
	bool has_log; /* the file that was quarantined */
	bool knows_runs;
	bool knows_readers; /* all of them: a new name is a new one */
	bool is_unread;	    /* the disk did not give all of it */
	char salvage[256];  /* version 1: a damaged file that was not read to its end, or "" */
	uint64_t salvage_end;
};

/* The rows beside the samples. -EBADMSG: some are damaged or missing; with tolerant they are left out. Without the
   lock. */
int state_read(struct db *db, bool tolerant, struct state_rows *ret_rows, struct state_marks *marks);
/* Of a file that may be of another version: as far as its tables are like ours. */
int state_read_foreign(struct db *db, struct state_rows *rows);
/* Fill series, runs, boots, cursors, drops from settled rows. No lock is needed before the thread runs. -ENOMEM. */
int state_restore(struct queue *queue, const struct state_rows *rows, struct state_marks *ret_marks);

/* ---- queue_state.c: the tables beside the samples ---- */

struct state; /* a snapshot on its way to the disk */

/* What differs from the disk, and what a removal in the same transaction will charge (or NULL).
   NULL: out of memory. */
struct state *state_take(struct queue *queue, struct charges *charges) REQUIRES(queue->lock);
struct state *state_free(struct state *state);
bool state_is_empty(const struct state *state); /* no place, no count, no number that rows wait for */
/* Whether something is worth a transaction of its own: cursors that rows on disk are behind, or drops. Lock held. */
bool state_is_dirty(const struct queue *queue) REQUIRES(queue->lock);
/* In a transaction. */
int state_save(struct queue *queue, const struct state *state);
/* Whether its device, points and boot are known. With the lock or without. */
bool sample_is_named(struct queue *queue, const struct sample *sample);
/* Rows up to `to` are on the disk, or may be: where they have no number yet, that is noted. */
void state_rows_written(struct queue *queue, const struct state *state, uint64_t to) REQUIRES(queue->lock);
/* After the commit. */
void state_saved(struct queue *queue, const struct state *state) REQUIRES(queue->lock);
/* After a removal that failed: takes its charges. Where its commit failed, the file tells at the next open whether
   it was done. */
void state_failed(struct queue *queue, struct charges *charges) REQUIRES(queue->lock);
/* The file was opened anew, and these rows are in it. */
void state_found(struct queue *queue, const struct state_rows *rows) REQUIRES(queue->lock);
/* Everything counts as not saved: the file is a new one. Lock held. */
void state_forget_saved(struct queue *queue) REQUIRES(queue->lock);
/* In a transaction: the mark, whether it is a clean end, and the last id. Store thread. */
int state_save_meta(struct queue *queue, const struct state_meta *meta);

/* ---- store.c: the thread ---- */

extern const struct writer_hooks store_hooks; /* of a struct queue */

/* ---- store_open.c ---- */

/* Open what is at the path; the damaged is quarantined. -EWOULDBLOCK, -ENOMEM, or 0 whatever the state of the disk. */
int store_open(struct queue *queue, pid_t *ret_pid);
/* The rest without the lock, in the store thread. */
int store_reopen(struct queue *queue);	/* after a failure; 0: the file is open and can be written */
int store_damaged(struct queue *queue); /* quarantine it, begin a new one, and begin to salvage */

/* ---- quarantined.c: without the lock, in the store thread ---- */

/* Remove files that were quarantined, where they are too many or too large: the oldest first, never the last one nor
   one that is being salvaged. One whose samples nobody moved over is counted first, step by step. */
void quarantine_bound(struct queue *queue);
void quarantine_count_step(struct queue *queue); /* store.quarantine_count is there */
struct quarantine_count *quarantine_count_free(struct quarantine_count *moved_to);
/* What an uplink lost in such a file before it was opened here. */
void deferred_apply(struct queue_reader *reader) REQUIRES(reader->queue->lock);
void deferred_forget(struct queue *queue) REQUIRES(queue->lock);

/* ---- numbers.c ---- */

/* The last id whose number may go out; 0: none. */
uint64_t numbers_limit(const struct queue *queue) REQUIRES(queue->lock);
/* The clock can be trusted, perhaps: where the base of the numbers is unknown, it tells. */
void numbers_find_base(struct queue *queue) REQUIRES(queue->lock);
bool numbers_wait_for_day(const struct queue *queue)
	REQUIRES(queue->lock); /* the clock is trusted, but behind the last mark */
/* A sample was appended. */
void numbers_want_more(struct queue *queue) REQUIRES(queue->lock);
/* The disk has failed: what the mark does not cover gets numbers by the time of day. */
void numbers_leave_mark(struct queue *queue) REQUIRES(queue->lock);
/* Without the lock, in the store thread: the next block of sequence numbers. */
int numbers_reserve(struct queue *queue);
int numbers_write_mark(struct queue *queue, uint64_t mark);
/* Only in the file beside the queue, with the id ranges: without them nobody knows the number of a sample. */
int numbers_write_file(struct queue *queue, uint64_t mark);

/* ---- store_commit.c: what REQUIRES the lock gives it up meanwhile, and holds it again ---- */

/* Write what waits, cursors and drops, and remove some of what was acknowledged. 1: more waits than one transaction
   takes. */
int store_commit(struct queue *queue) REQUIRES(queue->lock);
/* Without the lock: cursors, counts and all else beside the samples that is not as on disk, in a transaction. */
int store_save_beside(struct queue *queue);
/* Without the lock. Make the reserve whole, with so much more that is free. -ENOSPC: not all of it. */
int store_make_reserve(struct queue *queue, size_t spare);
void store_first_reserve(struct queue *queue); /* as large as there is room for */
/* On a full disk: only cursors, drops and the removal, with the help of the reserve. */
int store_commit_beside(struct queue *queue) REQUIRES(queue->lock);
void store_read_ahead(struct queue *queue, struct queue_reader *reader) REQUIRES(queue->lock);
/* Something failed: state, notice, and the time of the next try. */
void store_failed(struct queue *queue, int error) REQUIRES(queue->lock);
void store_healed(struct queue *queue) REQUIRES(queue->lock);
void store_count(struct queue *queue) REQUIRES(queue->lock); /* what the file says, into the status */

/* ---- queue_ask.c ---- */

/* A piece of the oldest one. False: nobody asks. */
bool asks_answer(struct queue *queue) REQUIRES(queue->lock);
void asks_free(struct queue *queue);

/* ---- retention.c: without the lock ---- */

int retention_make_room(struct queue *queue, uint64_t bytes); /* -EFBIG: there is none to be made */
int retention_trim(struct queue *queue);   /* a step towards a max_size that the file is larger than; 1: more to do */
int retention_expire(struct queue *queue); /* a step; 1: more to do, and commits go first */
int retention_look_at_oldest(struct queue *queue);

/* ---- salvage.c: without the lock ---- */

struct salvage_list;

/* The rows of files that were quarantined shall come into the new one. Takes todo. */
int salvage_begin(struct queue *queue, struct salvage_list *pending);
void salvage_set_end(struct queue *queue, uint64_t end); /* where that was not known when it began */
int salvage_step(struct queue *queue);			 /* 1: more to do; -EAGAIN: it cannot be read now */
bool salvage_has(const struct salvage *salvage, const char *path);
/* The last id that is in the files, as far as known. */
uint64_t salvage_last(const struct salvage *salvage);
struct salvage_list *salvage_pending(struct salvage *salvage);
/* Another file was added: all is read once more. */
void salvage_again(struct queue *queue);
struct salvage *salvage_free(struct salvage *salvage);

/* ---- store_join.c ---- */

struct join_maps;

/* The same sample with the numbers of this process; takes the reference. What has no name keeps none. NULL: -ENOMEM. */
struct sample *join_translate(struct queue *queue, struct sample *sample);
void join_forget_maps(struct queue *queue);

/* ---- boots.c ---- */

struct boot *boot_by_number(const struct queue *queue, uint32_t number) REQUIRES(queue->lock);
/* -ENOMEM */
int boot_add(struct queue *queue, uint32_t number, const char *id, int64_t offset_us, bool trusted, bool saved)
	REQUIRES(queue->lock);
int boot_begin(struct queue *queue) REQUIRES(queue->lock); /* find or add this boot */
bool boot_is_dirty(const struct queue *queue) REQUIRES(queue->lock);
int64_t boot_wall(const struct queue *queue, uint32_t number, uint64_t time_us, bool *ret_certain)
	REQUIRES(queue->lock);

#endif
