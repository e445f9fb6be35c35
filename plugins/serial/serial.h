/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin keeps for a link, a device and a point. Main thread. */
#ifndef SERIAL_H
#define SERIAL_H

#include "conf.h"
#include "decode.h"
#include "frame.h"
#include "port.h"
#include "template.h"
#include <haywain/helpers.h>
#include <haywain/plugin.h>

#define USEC_PER_MSEC ((uint64_t)1000)
#define USEC_PER_SEC ((uint64_t)1000000)
#define LOG_AGAIN_US (600 * USEC_PER_SEC) /* the same line again and again: once, then with a count this often */

struct serial_point {
	struct text field;
	size_t hint; /* where the field was last in a record */
	struct serial_binary_form form;
	struct regex *ack; /* or NULL */
};

/* A point that the frames brought: the name there and the host's index. */
struct serial_found {
	char *name;
	uint32_t point; /* UINT32_MAX: refused by the host */
	uint64_t frame; /* the last one it was in */
	char *said;	/* the first text; NULL: none yet */
	bool says_several;
};

struct serial_device {
	struct hay_device *device;
	struct serial_device *next;
	struct serial_link *line;
	struct bytes request;	     /* its own, or the link's */
	struct text match;	     /* data NULL: none */
	struct serial_point *points; /* of the configured ones */
	uint32_t n_own;
	struct serial_found *found;
	size_t n_found, found_capacity;

	struct hay_reading *readings;
	size_t n_readings, readings_capacity;
	bool *due; /* of each point, while its round is under way */
};

enum line_state {
	LINE_NEW,  /* not tried yet */
	LINE_DOWN, /* not there; looked for */
	LINE_SETTLING,
	LINE_UP,
};

enum exchange_kind { EXCHANGE_NONE, EXCHANGE_POLL, EXCHANGE_WRITE };

#define COMMANDS_MAX 16

/* What is asked or written, and what waits for the line to be free. */
struct serial_exchange {
	enum exchange_kind kind;
	struct serial_device *device; /* whose; NULL where it was stopped meanwhile */
	struct hay_command *command;  /* EXCHANGE_WRITE */
	uint64_t sent_us, first_us;
	bool heard_other; /* something came, but no answer */
	bool some_left;	  /* a byte of it, at least, is on its way */

	struct serial_device *poll_waits;
	struct hay_command *commands[COMMANDS_MAX];
	size_t n_commands;
	uint64_t quiet_until_us; /* after a time-out: a late answer would be taken for the next one's; 0: none */

	uint8_t *out; /* not written yet */
	size_t out_size;
};

enum echo_state {
	ECHO_UNKNOWN,
	ECHO_HEARD, /* the line hears itself */
	ECHO_NONE,
};

/* What was sent and may come back. */
struct echo_sent {
	uint8_t *bytes; /* NULL: nothing */
	size_t size;
	size_t n_left; /* its frames that have not come back */
};

struct echo {
	enum echo_state state;
	struct echo_sent now, before; /* of this exchange; of the command that was over when it was sent */
	uint64_t begun_us;
	size_t n_heard;	  /* bytes since then */
	size_t n_matched; /* of the request, held back while they may be its echo */
	bool matching;
	unsigned n_without; /* exchanges in a row that had no echo */
	bool copy_came;
};

struct serial_link {
	struct hay_link *link;
	const struct hay_host *host;
	const struct serial_link_conf *conf;
	struct port_rules port;
	struct frame_rules frame;
	struct framer *framer;
	struct decoder *decoder;
	struct serial_record record;
	struct serial_device *devices;
	size_t match_hint, time_hint, match_place;
	enum hay_reason time_doubt; /* of the record's values: their time is that of arrival */
	bool only_asked;	    /* no device speaks unasked */

	enum line_state state;
	int fd;
	struct hay_fd *watch;
	struct hay_timer *look, *pace, *silence;
	bool heard;		 /* bytes, or a silence after which they begin a frame */
	uint64_t heard_us;	 /* the last bytes */
	bool pushing;		 /* inside the framer: nothing may be closed */
	bool broken;		 /* to be closed as soon as that is over */
	struct port_said reason; /* why it is down */
	int down_error;		 /* the -errno of the last try to open it, as the log knows; 0: none since it broke */
	uint64_t n_frames;

	struct serial_exchange exchange;
	struct echo echo;
	struct framer_seen {
		uint64_t too_long, bad_checksum;
	} logged; /* counts that the log has */
	struct unframed {
		uint64_t n_cut; /* frames, good and bad, until since_us */
		uint64_t since_us, bytes;
		unsigned messages;
	} unframed;
	bool rest_awaits; /* the look timer will log what was suppressed */
	struct hay_rate_limit limit_long, limit_checksum, limit_wrong, limit_other, limit_no_match, limit_time,
		limit_points, limit_unasked, limit_part, limit_unframed;
};

/* ---- line.c: the port's life and its bytes ---- */

int line_open(struct serial_link *line);
void line_close(struct serial_link *line);
/* Open the port if it was never tried. */
void line_try_first(struct serial_link *line);
/* The line is no more: at once, or after the framer is done. */
void line_broke(struct serial_link *line, const char *why);
/* So long without a byte is a silence. */
uint64_t line_silence_us(const struct serial_link *line);
void line_want_output(struct serial_link *line, bool wanted);
void line_log_limited(struct serial_link *line, struct hay_rate_limit *limit, uint64_t n, enum hay_log_level level,
		      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- route.c: whose a frame is ---- */

void route_frame(const uint8_t *frame, size_t size, void *userdata);

/* ---- values.c: a frame's readings for a device ---- */

/* Into device->readings. due: only those points; NULL: all. missing: points without a field count as bad. */
void values_collect(struct serial_device *device, const uint8_t *frame, size_t size, const bool *due, bool missing);
/* How many of them are there and well. */
size_t values_good(const struct serial_device *device);
/* When the record says it was measured, on the host's clock; now where it does not. Where what it says cannot be, the
   values that are collected next are uncertain. */
uint64_t values_time(struct serial_link *line);
int values_reserve(struct serial_device *device, size_t n);

/* ---- exchange.c: asking and writing ---- */

int exchange_poll(struct serial_device *device, const uint32_t *due, size_t n_due);
int exchange_write(struct hay_command *command);
/* A frame came while something is under way. True: it was an acknowledgement, and no more. */
bool exchange_acknowledges(struct serial_link *line, const uint8_t *frame, size_t size);
/* The device that is asked has its answer, a frame of that size, in its readings. */
void exchange_answered(struct serial_link *line, size_t frame_size, uint64_t time_us);
void exchange_output_ready(struct serial_link *line);
void exchange_timer(void *userdata); /* the pace timer */
void exchange_line_up(struct serial_link *line);
void exchange_line_down(struct serial_link *line, const char *why);
void exchange_forget(struct serial_device *device); /* it is being stopped */

/* ---- echo.c: lines that hear themselves ---- */

void echo_reset(struct serial_link *line);
/* This is going to be sent. */
void echo_begin(struct serial_link *line, const uint8_t *data, size_t size);
/* Bytes came: how many of them are the echo's, or held back because they may be. May push what was held back. */
size_t echo_take(struct serial_link *line, const uint8_t *data, size_t size);
/* What is held back was no echo. */
void echo_release(struct serial_link *line);
bool echo_holds(const struct serial_link *line);
/* Whether a frame is what was sent just now: to be dropped. */
bool echo_is_copy(struct serial_link *line, const uint8_t *frame, size_t size);
/* The exchange has its answer; it had none in time. */
void echo_answered(struct serial_link *line, size_t frame_size);
void echo_timed_out(struct serial_link *line);

/* ---- probe.c ---- */

int serial_probe(const struct hay_probe *probe);

#endif
