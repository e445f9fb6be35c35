/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The double dialects (tests/unit/double_dialect.h) against the real mosquitto: eight uplinks of a gateway that is killed again and
 * again, behind a relay that cuts their connections and turns messages down, with logins that end and a topic that the
 * broker forbids for some time. Everything that was on the disk must have arrived in the end, for each uplink, and what a
 * connection carries must be as dialect_wire.c says.
 *
 *     dialect [-n CUTS] [-k KILLS] [-s SEED] [-v]
 *
 * When which thread does what is not the seed's: a failure comes again with its seed as a rule, not always. -v keeps the
 * folder with the log of all lives. Exit status 1 where something was wrong.
 */
#include "dialect.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mosquitto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CUTS 2000
#define KILLS 500
#define READ_AT_ONCE 100
#define PATIENCE_US (60 * USEC_PER_SEC)
#define FORBIDDEN_TOPIC "double/d4/data/meter/2"

struct run {
	struct dice dice;
	struct account account;
	struct relay relay;
	const char *folder;
	int broker_port;
	pid_t broker;
	struct mosquitto *subscriber;
	bool subscribed;

	pid_t life; /* 0: none */
	int orders, reports;
	struct buf report;	    /* a line that has not come whole */
	uint64_t first;		    /* value of this life */
	uint64_t seed, kills, done; /* done: F came so often */
	bool was_last;		    /* it left by itself */

	uint64_t kill_us, ask_us, forbid_us;
	uint64_t go_us[DIALECT_UPLINKS]; /* when "hold" is taken back; 0: it was not asked for */
	bool forbids;
};

/* ---- the broker ---- */

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		torture_die("no port is free: %s", strerror(errno));
	close(fd);
	return ntohs(address.sin_port);
}

static void write_file(const struct run *run, const char *name, const char *text)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", run->folder, name);
	FILE *out = fopen(path, "we");
	if (!out || fputs(text, out) < 0 || fclose(out) != 0)
		torture_die("cannot write %s: %s", path, strerror(errno));
}

/* What a denied message costs: a refusal, and with mosquitto 2.0.11 the connection. Of QoS 1: what goes with QoS 0 the broker would
   drop without a word. */
static void forbid(struct run *run, bool forbids)
{
	run->forbids = forbids;
	write_file(run, "acl",
		   forbids ? "pattern readwrite #\npattern deny " FORBIDDEN_TOPIC "\n" : "pattern readwrite #\n");
	if (run->broker > 0)
		kill(run->broker, SIGHUP);
}

static pid_t spawn(const struct run *run, char *const argv[], const char *log, int in, int out)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", run->folder, log);
	pid_t pid = fork();
	if (pid < 0)
		torture_die("cannot fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	dup2(out >= 0 ? out : fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

static void start_broker(struct run *run)
{
	char text[1024], path[300];
	run->broker_port = free_port();
	snprintf(text, sizeof(text),
		 "user root\nlistener %d 127.0.0.1\nallow_anonymous true\nacl_file %s/acl\npersistence false\n"
		 "max_queued_messages 0\nmax_queued_bytes 0\nset_tcp_nodelay true\nlog_type error\n",
		 run->broker_port, run->folder);
	write_file(run, "mosquitto.conf", text);
	forbid(run, false);
	snprintf(path, sizeof(path), "%s/mosquitto.conf", run->folder);
	char *argv[] = {(char[]){"mosquitto"}, (char[]){"-c"}, path, NULL};
	run->broker = spawn(run, argv, "broker.log", -1, -1);
}

/* ---- who is subscribed ---- */

static void on_connect(struct mosquitto *mosquitto, void *userdata, int rc)
{
	(void)userdata;
	if (rc != 0 || mosquitto_subscribe(mosquitto, NULL, "double/#", 0) != MOSQ_ERR_SUCCESS)
		torture_die("the broker does not let us subscribe: %d", rc);
}

static void on_subscribe(struct mosquitto *mosquitto, void *userdata, int mid, int n, const int *granted)
{
	struct run *run = userdata;
	(void)mosquitto, (void)mid, (void)n, (void)granted;
	run->subscribed = true;
}

static void on_message(struct mosquitto *mosquitto, void *userdata, const struct mosquitto_message *message)
{
	struct run *run = userdata;
	char payload[160];
	(void)mosquitto;
	snprintf(payload, sizeof(payload), "%.*s", message->payloadlen, (const char *)message->payload);
	account_arrived(&run->account, message->topic, payload, torture_now());
}

static void start_subscriber(struct run *run)
{
	uint64_t until = torture_now() + PATIENCE_US;
	mosquitto_lib_init();
	run->subscriber = mosquitto_new("witness", true, run);
	if (!run->subscriber)
		torture_die("out of memory");
	mosquitto_connect_callback_set(run->subscriber, on_connect);
	mosquitto_subscribe_callback_set(run->subscriber, on_subscribe);
	mosquitto_message_callback_set(run->subscriber, on_message);
	while (mosquitto_connect(run->subscriber, "127.0.0.1", run->broker_port, 60) != MOSQ_ERR_SUCCESS) {
		if (torture_now() > until || waitpid(run->broker, NULL, WNOHANG) != 0)
			torture_die("mosquitto does not start");
		poll(NULL, 0, 10);
	}
}

static void ask(struct run *run, size_t uplink, const char *below, const char *what)
{
	char topic[40];
	snprintf(topic, sizeof(topic), "double/d%zu/%s", uplink, below);
	if (mosquitto_publish(run->subscriber, NULL, topic, (int)strlen(what), what, 1, false) != MOSQ_ERR_SUCCESS)
		torture_die("cannot publish to %s", topic);
}

/* ---- lives ---- */

static void start_life(struct run *run)
{
	int orders[2], reports[2];
	char port[12], first[24], seed[24], folder[256];
	if (pipe2(orders, O_CLOEXEC) < 0 || pipe2(reports, O_CLOEXEC) < 0)
		torture_die("no pipe: %s", strerror(errno));
	run->first = run->account.upto + 1;
	snprintf(folder, sizeof(folder), "%s", run->folder);
	snprintf(port, sizeof(port), "%d", run->relay.port);
	snprintf(first, sizeof(first), "%" PRIu64, run->first);
	snprintf(seed, sizeof(seed), "%" PRIu64, run->seed);
	char *argv[] = {(char[]){"/proc/self/exe"}, (char[]){"--life"}, folder, port, first, seed, NULL};
	run->life = spawn(run, argv, "lives.log", orders[0], reports[1]);
	close(orders[0]);
	close(reports[1]);
	run->orders = orders[1];
	run->reports = reports[0];
	fcntl(run->reports, F_SETFL, O_NONBLOCK);
	buf_clear(&run->report);
	uint64_t ms =
		dice_below(&run->dice, 10) < 7 ? 30 + dice_below(&run->dice, 800) : 1500 + dice_below(&run->dice, 3500);
	run->kill_us = torture_now() + ms * USEC_PER_MSEC;
}

static void take_line(struct run *run, const char *line)
{
	uint64_t a = 0, b = 0, c = 0;
	char what = 0;
	sscanf(line, "%c %" SCNu64 " %" SCNu64 " %" SCNu64, &what, &a, &b, &c);
	switch (what) {
	case 'U':
		account_reserve(&run->account, a);
		break;
	case 'D':
		account_durable(&run->account, run->first, a);
		break;
	case 'F':
		run->done++;
		break;
	case 'L':
		if (b || c)
			account_wrong(&run->account,
				      "d%" PRIu64 " leaves with %" PRIu64 " samples not acknowledged and %" PRIu64
				      " dropped",
				      a, b, c);
		break;
	default:
		torture_die("a life says: %s", line);
	}
}

/* False: it has ended. */
static bool read_reports(struct run *run)
{
	char chunk[4096];
	ssize_t n;
	while ((n = read(run->reports, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (chunk[i] != '\n') {
				buf_add_char(&run->report, chunk[i]);
				continue;
			}
			take_line(run, buf_text(&run->report));
			buf_clear(&run->report);
		}
	}
	return n < 0 && errno == EAGAIN;
}

static void life_ended(struct run *run)
{
	int status;
	close(run->orders);
	close(run->reports);
	waitpid(run->life, &status, 0);
	run->life = 0;
	if (run->was_last ? status != 0 : !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		account_wrong(&run->account, "a life ended by itself: %s %d",
			      WIFSIGNALED(status) ? "signal" : "exit status",
			      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void kill_life(struct run *run)
{
	struct pollfd fd = {.fd = run->reports, .events = POLLIN};
	kill(run->life, SIGKILL);
	/* What it said before is in the pipe. */
	while (read_reports(run))
		poll(&fd, 1, -1);
	life_ended(run);
	run->kills++;
}

static void order(struct run *run, char what)
{
	if (write(run->orders, &what, 1) != 1)
		torture_die("the life takes no orders: %s", strerror(errno));
}

/* ---- the loop ---- */

/* The library reads one packet a call. */
static int read_witness(struct run *run)
{
	int rc = MOSQ_ERR_SUCCESS;
	for (int i = 0; i < READ_AT_ONCE && rc == MOSQ_ERR_SUCCESS; i++)
		rc = mosquitto_loop_read(run->subscriber, 1);
	return rc;
}

static void turn(struct run *run, uint64_t due_us)
{
	struct pollfd fds[3 + 2 * RELAY_LINKS];
	uint64_t now = torture_now();
	fds[0] = (struct pollfd){.fd = run->life ? run->reports : -1, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = mosquitto_socket(run->subscriber), .events = POLLIN};
	if (mosquitto_want_write(run->subscriber))
		fds[1].events |= POLLOUT;
	size_t n = 2 + relay_poll(&run->relay, &fds[2], now, &due_us);
	poll(fds, n, due_us <= now ? 0 : (int)MIN((due_us - now + 999) / 1000, 200));
	if (fds[0].revents && !read_reports(run))
		life_ended(run);
	if ((fds[1].revents & POLLIN && read_witness(run) != MOSQ_ERR_SUCCESS) ||
	    (fds[1].revents & POLLOUT && mosquitto_loop_write(run->subscriber, 1) != MOSQ_ERR_SUCCESS) ||
	    mosquitto_loop_misc(run->subscriber) != MOSQ_ERR_SUCCESS)
		torture_die("the witness has lost the broker");
	relay_turn(&run->relay, &fds[2], torture_now());
}

/* Something is asked of some uplink now and then: its birth, a new connection, a pause. */
static void ask_for_something(struct run *run, uint64_t now)
{
	size_t uplink = dice_below(&run->dice, DIALECT_UPLINKS);
	switch (dice_below(&run->dice, 4)) {
	case 0:
		ask(run, uplink, "ask/renewal", "");
		break;
	case 1:
		ask(run, uplink, "state", "hold");
		run->go_us[uplink] = now + dice_below(&run->dice, 600) * USEC_PER_MSEC;
		break;
	default:
		ask(run, uplink, "ask/birth", "");
	}
	run->ask_us = now + dice_below(&run->dice, 600) * USEC_PER_MSEC;
}

static bool is_enough(const struct run *run, uint64_t cuts, uint64_t kills)
{
	return run->kills >= kills && run->relay.n_cuts >= cuts && run->relay.n_refused > 0 &&
	       run->account.renewals > 0;
}

static void torment(struct run *run, uint64_t cuts, uint64_t kills)
{
	run->relay.cuts = true;
	run->account.arrived_us = torture_now();
	while (!is_enough(run, cuts, kills)) {
		uint64_t now = torture_now();
		if (run->life && now >= run->kill_us && run->kills < kills)
			kill_life(run);
		if (!run->life)
			start_life(run);
		/* Refusals slow an uplink down by much: not in each life. */
		run->relay.refuses = run->kills % 3 == 0 || run->kills >= kills;
		if (now >= run->ask_us)
			ask_for_something(run, now);
		if (now >= run->forbid_us) {
			forbid(run, !run->forbids);
			run->forbid_us =
				now + (300 + dice_below(&run->dice, run->forbids ? 1000 : 5000)) * USEC_PER_MSEC;
		}
		for (size_t k = 0; k < DIALECT_UPLINKS; k++) {
			if (!run->go_us[k] || now < run->go_us[k])
				continue;
			ask(run, k, "state", "go");
			run->go_us[k] = 0;
		}
		if (now - run->account.arrived_us > PATIENCE_US)
			torture_die("nothing arrives any more");
		turn(run, now + 20 * USEC_PER_MSEC);
	}
	kill_life(run);
}

/* ---- the end, in peace ---- */

/* False: it does not come. */
#define await(run, what, condition)                                                                                    \
	do {                                                                                                           \
		uint64_t until_ = torture_now() + PATIENCE_US;                                                         \
		while (!(condition) && torture_now() < until_)                                                         \
			turn(run, torture_now() + 50 * USEC_PER_MSEC);                                                 \
		if (!(condition))                                                                                      \
			account_wrong(&(run)->account, "waited in vain: %s", what);                                    \
	} while (0)

/* All has arrived, but for uplinks that were told to hold. */
static bool all_arrived(const struct run *run, unsigned holding)
{
	uint64_t first;
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (!(holding & 1U << k) && account_missing(&run->account, k, &first) > 0)
			return false;
	return true;
}

static bool births_are_newest(const struct run *run, size_t uplink)
{
	for (uint64_t n = run->account.upto; n > 0 && n + DIALECT_DEVICES > run->account.upto; n--)
		if (run->account.newest[uplink][n % DIALECT_DEVICES] != n)
			return false;
	return true;
}

static bool all_have_births(const struct run *run, const uint64_t *before)
{
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (!births_are_newest(run, k) || (!dialect_login_ends(k) && run->account.again[k] == before[k]))
			return false;
	return true;
}

static bool is_held(struct run *run, size_t uplink)
{
	const struct link *link = relay_link_of(&run->relay, uplink);
	return link && link->wire.is_held;
}

static void append_more(struct run *run)
{
	uint64_t done = run->done;
	order(run, 'a');
	await(run, "thirty samples more", run->done > done);
}

static void check_births(struct run *run)
{
	uint64_t before[DIALECT_UPLINKS];
	memcpy(before, run->account.again, sizeof(before));
	/* The others make theirs with the next login. */
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (!dialect_login_ends(k))
			ask(run, k, "ask/birth", "");
	await(run, "births that were asked for, with the newest values", all_have_births(run, before));
}

static void check_hold(struct run *run)
{
	enum { HOLDING = 1U << 1 | 1U << 5 }; /* of each kind one whose login does not end */
	uint64_t before = run->account.upto;
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (HOLDING & 1U << k)
			ask(run, k, "state", "hold");
	await(run, "uplinks that are told to hold", is_held(run, 1) && is_held(run, 5));
	append_more(run);
	await(run, "everything of those that do not hold", all_arrived(run, HOLDING));
	for (size_t k = 0; k < DIALECT_UPLINKS; k++) {
		uint64_t first = 0, missing = account_missing(&run->account, k, &first);
		if (HOLDING & 1U << k && missing != run->account.upto - before)
			account_wrong(&run->account,
				      "d%zu: told to hold, it has sent %" PRIu64 " of %" PRIu64 " samples", k,
				      run->account.upto - before - missing, run->account.upto - before);
		if (HOLDING & 1U << k)
			ask(run, k, "state", "go");
	}
	await(run, "everything of those that go on", all_arrived(run, 0));
}

static void end_in_peace(struct run *run)
{
	run->relay.cuts = run->relay.refuses = false;
	forbid(run, false);
	start_life(run);
	append_more(run);
	await(run, "everything", all_arrived(run, 0));
	check_births(run);
	check_hold(run);
	uint64_t silent = run->account.left_without_death;
	run->was_last = true;
	order(run, 'q');
	await(run, "the end of the last life", !run->life);
	if (run->account.left_without_death != silent)
		account_wrong(&run->account, "%" PRIu64 " uplinks left without a death",
			      run->account.left_without_death - silent);
}

static void check_sums(struct run *run)
{
	const struct account *account = &run->account;
	for (size_t k = 0; k < DIALECT_UPLINKS; k++) {
		uint64_t first = 0, missing = account_missing(account, k, &first);
		if (missing > 0)
			account_wrong(&run->account, "d%zu: %" PRIu64 " samples are missing, first %" PRIu64, k,
				      missing, first);
	}
	if (account->n_durable == 0 || account->renewals <= DIALECT_UPLINKS || account->births_again == 0 ||
	    run->relay.n_refused == 0)
		account_wrong(&run->account,
			      "nothing was tried: %" PRIu64 " samples, %" PRIu64 " renewals, %" PRIu64
			      " births again, %" PRIu64 " refusals",
			      account->n_durable, account->renewals, account->births_again, run->relay.n_refused);
}

static void finish(struct run *run)
{
	const struct account *account = &run->account;
	if (run->life)
		kill_life(run);
	mosquitto_destroy(run->subscriber);
	mosquitto_lib_cleanup();
	relay_close(&run->relay);
	kill(run->broker, SIGKILL);
	waitpid(run->broker, NULL, 0);
	buf_done(&run->report);
	printf("dialect: %" PRIu64 " cuts, %" PRIu64 " kills, %" PRIu64 " refusals, %" PRIu64 " connections, %" PRIu64
	       " renewals, %" PRIu64 " births (%" PRIu64 " again); %" PRIu64 " samples for each of %d uplinks, %" PRIu64
	       " packets, %" PRIu64 " calls of encode(), %" PRIu64 " of %" PRIu64 " parts twice; %" PRIu64 " wrong\n",
	       run->relay.n_cuts, run->kills, run->relay.n_refused, account->connections, account->renewals,
	       account->births, account->births_again, account->n_durable, DIALECT_UPLINKS, account->packets,
	       account->encoded, account->twice, account->arrived, account->n_wrong);
}

int main(int argc, char **argv)
{
	struct run run = {.seed = 1};
	uint64_t cuts = CUTS, kills = KILLS;
	bool keeps = false;
	const char *value;
	if (argc == 6 && strcmp(argv[1], "--life") == 0)
		return life_main(argv + 2);
	for (int i = 1; i < argc; i++) {
		if ((value = torture_option(argc, argv, &i, "-n")))
			cuts = torture_number("-n", value);
		else if ((value = torture_option(argc, argv, &i, "-k")))
			kills = torture_number("-k", value);
		else if ((value = torture_option(argc, argv, &i, "-s")))
			run.seed = torture_number("-s", value);
		else if (strcmp(argv[i], "-v") == 0)
			keeps = true;
		else
			torture_die("usage: dialect [-n CUTS] [-k KILLS] [-s SEED] [-v]");
	}
	signal(SIGPIPE, SIG_IGN);
	dice_init(&run.dice, run.seed, 0);
	run.folder = torture_folder();
	start_broker(&run);
	relay_open(&run.relay, &run.account, &run.dice, run.broker_port);
	start_subscriber(&run);
	await(&run, "the broker", run.subscribed);
	torment(&run, cuts, kills);
	end_in_peace(&run);
	check_sums(&run);
	finish(&run);
	account_free(&run.account);
	if (keeps)
		printf("the log is in %s\n", run.folder);
	else
		torture_remove(run.folder);
	return run.account.n_wrong > 0;
}
