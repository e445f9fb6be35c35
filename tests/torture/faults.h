/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of a disk, made where the program calls the system: open, read, write, fsync, ftruncate, fallocate, rename and
 * unlink are functions of this program, for SQLite as for the queue's own files. Locks and closing are not touched, so
 * that no lock is left behind. Only files below one folder are concerned.
 */
#ifndef HAYWAIN_TORTURE_FAULTS_H
#define HAYWAIN_TORTURE_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault {
	FAULT_NONE,
	FAULT_FULL,	 /* files cannot grow past what is free: ENOSPC; what is removed becomes free */
	FAULT_WRITE,	 /* EIO */
	FAULT_SYNC,	 /* EIO */
	FAULT_READ,	 /* EIO */
	FAULT_OPEN,	 /* EIO */
	FAULT_READ_ONLY, /* EROFS */
	FAULT_N
};
extern const char *const fault_words[FAULT_N];

/* The files below this folder, borrowed. */
void faults_watch(const char *folder);

/* From now on every n-th call fails (1: each). free: bytes, for FAULT_FULL. Any thread. */
void faults_set(enum fault fault, unsigned every, int64_t free);
enum fault faults_now(void);

/* What an fsync takes besides. */
void faults_slow_sync(unsigned us);

/* SIGKILL in the n-th call from now that changes anything; a write is torn after a part of its bytes, which `part`
   chooses. note runs just before, in whatever thread it is; torn: a part of a write is missing. 0: not. */
void faults_kill_at(uint64_t n, uint64_t part, void (*note)(bool torn));
/* Before the process kills itself elsewhere: nothing more is written. True: a frame of a log is half there. */
bool faults_stop(void);

#endif
