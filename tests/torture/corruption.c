/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The corruption run: files of a queue are spoilt in thousands of ways, each is opened and drained, and the account has
 * to be exact.
 *
 *     corruption [-v] [-n VARIANTS] [-s SEED] [KIND [FROM [TO]]]
 *
 * Without a kind: VARIANTS of all kinds by their shares. With a kind: its variants FROM ... TO - 1, by default 0 ...
 * VARIANTS - 1; with FROM alone that one, and all that the queue says of it. A variant is fixed by kind, index and seed.
 *
 * What a variant must be, in this order: it ends, in time and in bounded memory; each sample that comes has its device,
 * its readings, its time (or says that it is not known) and the number it always had, in order; what does not come is
 * counted as dropped, no less and no more, or the queue says that an unknown number is missing. A table by kind; a line for
 * each variant that fails. Exit status 1 where one did.
 */
#include "account.h"
#include "spoil.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define VARIANTS 12000
#define WATCHDOG_SECONDS 90 /* longer than all waits of the account: what it ends is stuck in the queue itself */
#define LIFE_MAX_US (30 * USEC_PER_MSEC)
/* A variant mostly waits where it takes long at all: many at once keep the processors busy. */
#define AT_ONCE_MAX 64

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_KB ((long)512 * 1024) /* what was freed is kept for a while */
#else
#define MEMORY_KB ((long)48 * 1024)
#endif

enum outcome { EXACT, SAID, OVER, SILENT, WRONG, MEMORY, HANG, CRASH, N_OUTCOMES };
static const char *const outcome_words[] = {
	"exact", "said unknown", "counted too many", "SILENT LOSS", "WRONG", "MEMORY", "HANG", "CRASH",
};

struct variant {
	pid_t pid; /* 0: the place is free */
	const struct spoil_kind *kind;
	uint64_t index;
	char folder[280];
	char text[400];
	struct account account;
};

struct tally {
	uint64_t outcomes[N_OUTCOMES], variants, missing, uncertain;
};

static struct {
	struct stock stocks[STOCK_N_ENDS];
	uint64_t seed;
	bool verbose;
	const char *folder;
	struct variant *variants; /* shared with the processes */
	size_t at_once;
	struct tally *tallies; /* by kind */
	long memory_kb;	       /* the most that an unspoilt one took */
} run;

/* ---- in the process of a variant ---- */

static void write_file(const char *path, const struct stock_file *file)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	if (fd < 0 || write(fd, file->bytes, file->size) != (ssize_t)file->size)
		torture_die("cannot write %s: %s", path, strerror(errno));
}

static void die_once(const char *path, uint64_t life_us, struct variant *variant)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		account_die(path, life_us, run.verbose ? stdout : NULL, &variant->account);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		abort();
	if (run.verbose)
		printf("    -- killed after %.1f ms\n", (double)life_us / 1000);
}

_Noreturn static void live(struct variant *variant)
{
	const struct spoil_kind *kind = variant->kind;
	struct stock_file files[STOCK_FILES];
	char path[300], name[310];
	struct stock *stock;
	struct dice dice;

	dice_init(&dice, run.seed, (uint64_t)(kind - spoil_kinds) << 40 | variant->index);
	stock = &run.stocks[kind->end < STOCK_N_ENDS ? kind->end : dice_below(&dice, STOCK_N_ENDS)];
	memcpy(files, stock->files, sizeof(files)); /* the bytes are this process's own */
	spoil_files(kind, variant->index, &dice, files, variant->text, sizeof(variant->text));
	if (mkdir(variant->folder, 0700) < 0)
		torture_die("cannot make %s: %s", variant->folder, strerror(errno));
	snprintf(path, sizeof(path), "%s/queue.db", variant->folder);
	for (size_t i = 0; i < STOCK_FILES; i++) {
		snprintf(name, sizeof(name), "%s%s", path, stock_files[i]);
		if (files[i].bytes)
			write_file(name, &files[i]);
	}
	alarm(WATCHDOG_SECONDS);
	if (kind->kill)
		die_once(path, dice_below(&dice, LIFE_MAX_US), variant);
	account_take(stock, path, run.verbose ? stdout : NULL, &variant->account);
	fflush(stdout);
	_exit(0);
}

/* ---- the judgement ---- */

static enum outcome judge(const struct variant *variant, int status, long memory_kb, char *why, size_t size)
{
	const struct account *account = &variant->account;
	enum outcome outcome = EXACT;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		snprintf(why, size, "nothing came of it in %d s", WATCHDOG_SECONDS);
		return HANG;
	}
	if (status != 0) {
		snprintf(why, size, WIFSIGNALED(status) ? "signal %d" : "exit status %d",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return CRASH;
	}
	snprintf(why, size, "%s", account->wrong[0] ? account->wrong : account->stuck);
	if (account->stuck[0] || !account->ended)
		return HANG;
	if (account->wrong[0])
		return WRONG;
	if (run.memory_kb > 0 && memory_kb > run.memory_kb + MEMORY_KB) {
		snprintf(why, size, "%ld MB of memory", memory_kb / 1024);
		return MEMORY;
	}
	for (size_t i = 0; i < STOCK_READERS; i++) {
		const struct account_reader *reader = &account->readers[i];
		enum outcome here = EXACT;

		if (reader->counted < reader->lost || reader->after < reader->counted)
			here = SILENT;
		else if (reader->counted > reader->lost || reader->after > reader->counted)
			here = OVER;
		if (account->said_unknown && here != EXACT)
			here = SAID;
		if (here <= outcome)
			continue;
		outcome = here;
		snprintf(why, size, "%s: %llu lost, %llu counted, %llu after a restart", stock_readers[i],
			 (unsigned long long)reader->lost, (unsigned long long)reader->counted,
			 (unsigned long long)reader->after);
	}
	return outcome;
}

static uint64_t missing(const struct account *account)
{
	uint64_t most = 0;

	for (size_t i = 0; i < STOCK_READERS; i++)
		if (account->readers[i].lost > account->readers[i].counted)
			most = MAX(most, account->readers[i].lost - account->readers[i].counted);
	return most;
}

static void settle(struct variant *variant, int status, long memory_kb)
{
	struct tally *tally = &run.tallies[variant->kind - spoil_kinds];
	char why[240] = "";
	enum outcome outcome = judge(variant, status, memory_kb, why, sizeof(why));

	tally->variants++;
	tally->outcomes[outcome]++;
	tally->uncertain += variant->account.uncertain;
	if (outcome == SILENT)
		tally->missing += missing(&variant->account);
	if (outcome > SAID || run.verbose)
		printf("%-16s corruption -s %llu %s %llu   %s; %s\n", outcome_words[outcome],
		       (unsigned long long)run.seed, variant->kind->name, (unsigned long long)variant->index,
		       variant->text, why);
	for (size_t i = 0; run.verbose && i < STOCK_READERS; i++) {
		const struct account_reader *reader = &variant->account.readers[i];

		printf("    %s: %llu came, %llu came again, %llu lost, %llu counted, %llu after a restart\n",
		       stock_readers[i], (unsigned long long)reader->came, (unsigned long long)reader->again,
		       (unsigned long long)reader->lost, (unsigned long long)reader->counted,
		       (unsigned long long)reader->after);
	}
	torture_remove(variant->folder);
	variant->pid = 0;
}

/* ---- many at once ---- */

static struct variant *place_of(pid_t pid)
{
	for (size_t i = 0; i < run.at_once; i++)
		if (run.variants[i].pid == pid)
			return &run.variants[i];
	return NULL;
}

static void wait_one(void)
{
	struct rusage usage;
	int status;
	pid_t pid = wait4(-1, &status, 0, &usage);
	struct variant *variant = pid > 0 ? place_of(pid) : NULL;

	if (!variant)
		torture_die("lost a process: %s", strerror(errno));
	settle(variant, status, usage.ru_maxrss);
	if (variant->kind == &spoil_kinds[0])
		run.memory_kb = MAX(run.memory_kb, usage.ru_maxrss);
}

static bool is_busy(void)
{
	for (size_t i = 0; i < run.at_once; i++)
		if (run.variants[i].pid > 0)
			return true;
	return false;
}

static void start(const struct spoil_kind *kind, uint64_t index)
{
	struct variant *variant;
	pid_t pid;

	while (!(variant = place_of(0)))
		wait_one();
	memset(variant, 0, sizeof(*variant));
	variant->kind = kind;
	variant->index = index;
	snprintf(variant->folder, sizeof(variant->folder), "%s/%s-%llu", run.folder, kind->name,
		 (unsigned long long)index);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(variant);
	}
	if (pid < 0)
		torture_die("cannot fork: %s", strerror(errno));
	variant->pid = pid;
}

static void run_kind(const struct spoil_kind *kind, uint64_t from, uint64_t to)
{
	for (uint64_t index = from; index < to; index++)
		start(kind, index);
}

/* ---- the table ---- */

static void print_row(const char *name, const char *what, const struct tally *tally)
{
	printf("%-14s %8llu", name, (unsigned long long)tally->variants);
	for (size_t i = 0; i < N_OUTCOMES; i++)
		printf(" %7llu", (unsigned long long)tally->outcomes[i]);
	printf(" %8llu   %s\n", (unsigned long long)tally->missing, what);
}

/* Returns how many failed. */
static uint64_t print_table(double seconds)
{
	struct tally all = {0};
	uint64_t failed = 0;

	printf("\n%-14s %8s %7s %7s %7s %7s %7s %7s %7s %7s %8s\n", "kind", "variants", "exact", "unknown", "over",
	       "silent", "wrong", "memory", "hang", "crash", "samples");
	for (size_t i = 0; i < spoil_n_kinds; i++) {
		const struct tally *tally = &run.tallies[i];

		if (tally->variants == 0)
			continue;
		print_row(spoil_kinds[i].name, spoil_kinds[i].what, tally);
		for (size_t j = 0; j < N_OUTCOMES; j++)
			all.outcomes[j] += tally->outcomes[j];
		all.variants += tally->variants;
		all.missing += tally->missing;
		all.uncertain += tally->uncertain;
	}
	print_row("all", "", &all);
	for (size_t j = OVER; j < N_OUTCOMES; j++)
		failed += all.outcomes[j];
	printf("\ncorruption: %llu variants, seed %llu: %llu exact, %llu said that an unknown number is missing, %llu "
	       "failed; "
	       "%llu samples came with an uncertain time; %.0f variants a second\n",
	       (unsigned long long)all.variants, (unsigned long long)run.seed, (unsigned long long)all.outcomes[EXACT],
	       (unsigned long long)all.outcomes[SAID], (unsigned long long)failed, (unsigned long long)all.uncertain,
	       (double)all.variants / seconds);
	return failed;
}

static const struct spoil_kind *kind_by_name(const char *name)
{
	for (size_t i = 0; i < spoil_n_kinds; i++)
		if (strcmp(spoil_kinds[i].name, name) == 0)
			return &spoil_kinds[i];
	fprintf(stderr, "no kind %s; there are:\n", name);
	for (size_t i = 0; i < spoil_n_kinds; i++)
		fprintf(stderr, "  %-14s %s\n", spoil_kinds[i].name, spoil_kinds[i].what);
	exit(2);
}

static void make_stocks(void)
{
	char folder[300];

	for (size_t i = 0; i < STOCK_N_ENDS; i++) {
		snprintf(folder, sizeof(folder), "%s/stock-%zu", run.folder, i);
		if (mkdir(folder, 0700) < 0)
			torture_die("cannot make %s: %s", folder, strerror(errno));
		stock_make(folder, (enum stock_end)i, &run.stocks[i]);
	}
}

int main(int argc, char **argv)
{
	uint64_t variants = VARIANTS, from = 0, to = 0, began;
	const struct spoil_kind *kind = NULL;
	int positional = 0;

	run.seed = 1;
	for (int i = 1; i < argc; i++) {
		const char *value;

		if (strcmp(argv[i], "-v") == 0)
			run.verbose = true;
		else if ((value = torture_option(argc, argv, &i, "-n")))
			variants = to = torture_number("-n", value);
		else if ((value = torture_option(argc, argv, &i, "-s")))
			run.seed = torture_number("-s", value);
		else if (positional == 0 && ++positional)
			kind = kind_by_name(argv[i]);
		else if (positional == 1 && ++positional)
			to = (from = torture_number("FROM", argv[i])) + 1;
		else if (positional == 2 && ++positional)
			to = torture_number("TO", argv[i]);
		else
			torture_die("usage: corruption [-v] [-n VARIANTS] [-s SEED] [KIND [FROM [TO]]]");
	}
	run.verbose |= positional == 2;
	run.at_once = run.verbose ? 1 : MIN((size_t)sysconf(_SC_NPROCESSORS_ONLN) * 8, (size_t)AT_ONCE_MAX);
	run.folder = torture_folder();
	run.tallies = calloc(spoil_n_kinds, sizeof(*run.tallies));
	run.variants = mmap(NULL, AT_ONCE_MAX * sizeof(*run.variants), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!run.tallies || run.variants == MAP_FAILED)
		torture_die("out of memory");
	setvbuf(stdout, NULL, _IOLBF, 0);
	make_stocks();
	printf("corruption: seed %llu, queue.db of %zu bytes, a log of %zu bytes, %d samples\n",
	       (unsigned long long)run.seed, run.stocks[STOCK_CLEAN].files[0].size,
	       run.stocks[STOCK_UNCLEAN_LOG].files[1].size, STOCK_SAMPLES);
	began = torture_now();
	if (kind) {
		run_kind(kind, from, to > 0 ? to : variants);
	} else {
		/* The unspoilt ones first: what memory they take is the measure. */
		for (size_t i = 0; i < spoil_n_kinds; i++) {
			run_kind(&spoil_kinds[i], 0, (variants * spoil_kinds[i].share + 99) / 100);
			while (i == 0 && is_busy())
				wait_one();
		}
	}
	while (is_busy())
		wait_one();
	torture_remove(run.folder);
	return print_table((double)(torture_now() - began) / USEC_PER_SEC) > 0 ? 1 : 0;
}
