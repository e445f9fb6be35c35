/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header a plugin author reads.
 *
 * A plugin is a shared object /usr/lib/haywain/plugins/NAME.so that speaks one protocol. It exports one
 * symbol, a constant descriptor made by HAY_PLUGIN(). plugins/sim is the example to copy.
 *
 * Two things exist at run time: a *link* (a bus or a connection that devices share) and the *devices* on it.
 *
 *     open(link) -> start(device)... -> poll / write ... -> stop(device)... -> close(link)
 *
 * Rules, which the host keeps on its side too:
 *   - Every function and every callback runs on the main thread, except hay_work.run and probe().
 *   - Nothing but hay_work.run and probe() may block. The main loop is everybody's.
 *   - close() follows every open() that returned 0; stop() follows every start() that returned 0.
 *     Devices come and go while their link stays open.
 *   - stop() and close() are called only while no submitted work of theirs is under way. stop() answers a command
 *     that the plugin still has, for it alone knows whether it was sent; one that it leaves open is reported as unknown.
 *     From then on the plugin makes no call about that device or link; its timers and descriptors are removed by
 *     the host if it forgot.
 *   - The host owns time: when a device is due, in which order devices of a link take turns, how long an
 *     absent one is left alone. The plugin plans and runs one round when it is asked to.
 *   - emit() and round_done() copy what they are given and never call back into the plugin.
 *   - Pointers in hay_link, hay_device and hay_point live until close() or stop().
 */
#ifndef HAYWAIN_PLUGIN_H
#define HAYWAIN_PLUGIN_H

#include <haywain/reading.h>
#include <stdarg.h>
#include <sys/epoll.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options: what a person may write in the configuration, as data ------------------------------------ */

enum hay_option_type {
	HAY_OPT_BOOL,	  /* bool */
	HAY_OPT_INT,	  /* int64_t; decimal or 0x hex; min and max apply */
	HAY_OPT_FLOAT,	  /* double; a whole number is accepted */
	HAY_OPT_STRING,	  /* const char *, NULL where absent without default */
	HAY_OPT_NAME,	  /* const char *, matches [A-Za-z0-9_.-]{1,64} */
	HAY_OPT_CHOICE,	  /* int: the index into choices */
	HAY_OPT_DURATION, /* uint64_t in microseconds; "250ms"; min and max in microseconds */
	HAY_OPT_SIZE,	  /* uint64_t in bytes; "4KB"; min and max in bytes */
	HAY_OPT_RATE,	  /* double, per second; "2000/s" */
	HAY_OPT_SECRET,	  /* const char *: a file's path, resolved; the file is read by the plugin that needs it */
	HAY_OPT_GROUP,	  /* a nested group: its table is `group`, its struct lies at offset */
};

enum {
	HAY_OPT_REQUIRED = 1 << 0,
	HAY_OPT_NUMBER_OK = 1 << 1, /* a STRING may be written as a whole number */
};

/*
 * One key. The host reads, type-checks and range-checks it, fills in the default, and stores the result at
 * `offset` of the plugin's struct; it reports mistakes with file and line.
 */
struct hay_option {
	const char *key; /* a table ends with a NULL key */
	enum hay_option_type type;
	size_t offset;
	const char *fallback;	    /* the default, written as in the file ("9600", "250ms", "8N1"); NULL: absent.
	                         Absent means 0, false, NULL. A default need not lie within min and max. */
	int64_t min, max;	    /* both 0: no limits */
	const char *const *choices; /* CHOICE: NULL-terminated */
	const struct hay_option *group;
	unsigned flags;
	const char *help;      /* one phrase, for messages and the manual */
	uintptr_t reserved[4]; /* 0: for members to come; a host that does not know them refuses the plugin */
};

struct hay_options {
	const struct hay_option *table; /* NULL: no keys of its own */
	size_t size;			/* of the struct that the offsets lie in */
};

/* ---- what the host shows a plugin ---------------------------------------------------------------------- */

struct hay_host;

/* How many more of the structs below follow is the host's business: plugins use only these fields. */
struct hay_link {
	const struct hay_host *host;
	const char *name;
	const void *conf; /* the struct of link_options */
	void *state;	  /* the plugin's own */
};

enum { HAY_POINT_WRITABLE = 1 << 0 };

struct hay_point {
	const char *name;
	const char *unit;      /* unit of measure, or NULL */
	enum hay_type type;    /* the type of the raw value; HAY_TYPE_NONE for one of the plugin's own types */
	const char *type_name; /* as written: "uint16", or one of hay_plugin.types; NULL where nothing was written */
	uint64_t every_us;     /* its period */
	unsigned flags;
	double scale, offset; /* as configured: emit() applies them to readings, the host to a command's value */
	const void *conf;     /* the struct of point_options */
};

/* How the host shall treat a device; start() sets it in hay_device.flags. Only plugins with poll() need it. */
enum {
	HAY_DEVICE_UNPOLLED = 1 << 0,	  /* it speaks unasked: poll() is never called for it */
	HAY_DEVICE_POLLED_WHOLE = 1 << 1, /* polled every every_us though no points are configured: n_due may be 0 */
};

struct hay_device {
	struct hay_link *link;
	const char *name;
	const void *conf; /* the struct of device_options */
	void *state;	  /* the plugin's own */
	uint64_t every_us;
	const struct hay_point *const *points;
	uint32_t n_points;
	unsigned flags; /* HAY_DEVICE_…: the plugin's, set by start() */
};

enum hay_log_level { HAY_LOG_ERROR, HAY_LOG_WARNING, HAY_LOG_NOTICE, HAY_LOG_INFO, HAY_LOG_DEBUG };

/* How a round, or a request in it, ended. */
enum hay_result {
	HAY_OK,	    /* the device answered, be it with an exception */
	HAY_FAILED, /* it did not, or not so that it could be understood */
	/* Nothing was asked, or only what has long stayed without an answer: the device is taken for what it was. */
	HAY_SKIPPED,
};

/*
 * Work for the link's own thread, where it may block for some seconds. Embedded in a struct of the plugin's.
 * `run` is called on the worker and touches only what belongs to the work and the link's protocol context;
 * then `done` on the main thread.
 */
struct hay_work {
	void (*run)(struct hay_work *work);
	void (*done)(struct hay_work *work);
	struct hay_device *device; /* on whose behalf; NULL: the link's own */
	struct hay_work *next;	   /* the host's */
	uintptr_t reserved[2];	   /* 0 */
};

enum hay_lane { HAY_LANE_COMMAND, HAY_LANE_POLL }; /* commands are taken before polls */

/*
 * A write of one value to one point, made by the host and answered once by command_done(). A device has one at a time.
 *
 * The rule that every plugin keeps: a write is sent at most once. It is not sent again after a lost or damaged answer,
 * a closed connection or a reconnect; the caller learns that it is not known, and decides. It may be sent on a new
 * connection where not a byte of it had left, and once more only after the device itself said that it did not do it
 * ("busy", "I do not know this function").
 */
struct hay_command {
	struct hay_device *device;
	uint32_t point;
	struct hay_value value; /* raw: scale and offset were taken off again; type as the point's */
	/* Raw limits, both allowed, by the point's min and max; NaN: none. `value` lies within. A plugin whose wire
	   form is coarser than the point's type must not round out of them. */
	double low, high;
	uint64_t expires_us; /* on the clock of now(): not to be sent after this; 0: no limit */
};

/* What came of a write. A result that was not filled in says unknown. */
enum hay_outcome {
	HAY_UNKNOWN,	 /* sent, wholly or in part, and nothing shows whether the device did it */
	HAY_WRITTEN,	 /* the device took it: it said so, or the protocol has no acknowledgement and all was sent */
	HAY_NOT_WRITTEN, /* certainly not done: refused by the device, or never sent */
	HAY_EXPIRED,	 /* certainly not done: expires_us was over before it could be sent */
};

struct hay_command_result {
	enum hay_outcome outcome;
	/* Raw, of the point's type. HAY_WRITTEN: what the device holds where it was read back, else what was sent,
	   as far as the wire form has digits for it. HAY_UNKNOWN: what the device holds, where it could be read.
	   Else, and where it is not known: type HAY_TYPE_NONE. A value other than the one asked for is no failure:
	   the host reports both. Copied. */
	struct hay_value value;
	bool read_back; /* value was read from the device after the write */
	/* Why, in words, without a full stop: required unless HAY_WRITTEN, where NULL is the rule and words are a
	   remark ("cannot be read back: illegal data address"). Copied. */
	const char *detail;
	uintptr_t reserved[2]; /* 0 */
};

typedef void (*hay_fd_fn)(int fd, uint32_t events, void *userdata);
typedef void (*hay_timer_fn)(void *userdata);

struct hay_fd;
struct hay_timer;

/* The services of the host. Later versions append; `size` says what is there. Main thread, but for log and now. */
struct hay_host {
	size_t size;

	/* A line for the log. device may be NULL. No newline. Any thread. */
	void (*log)(struct hay_link *link, struct hay_device *device, enum hay_log_level level, const char *format, ...)
		__attribute__((format(printf, 4, 5)));

	/* Microseconds on a clock that never jumps and runs on through suspend. Any thread. */
	uint64_t (*now)(void);

	/* Hand over a sample that the device sent unasked. It counts as a sign of life.
	   Several readings of one point are not allowed in a sample. */
	void (*emit)(struct hay_device *device, const struct hay_sample *sample);

	/* End the round that poll() began: with what was read (sample may be NULL) and how it went: HAY_OK where the
	   device answered anything; a sample with a value in it counts as that. For HAY_FAILED, reason is a word of the
	   closed list and detail may say more ("connection reset"); points the round could not read belong into the
	   sample as bad. rtt_us: time of the slowest request, 0 unknown. */
	void (*round_done)(struct hay_device *device, const struct hay_sample *sample, enum hay_result result,
			   enum hay_reason reason, const char *detail, uint64_t rtt_us);

	/* Answer a command, once; it is gone when this returns. Also from within write() and stop(). */
	void (*command_done)(struct hay_command *command, const struct hay_command_result *result);

	/* Devices that are not polled: they are heard (also done by emit) or lost. A second call with the same state
	   is free. */
	void (*device_online)(struct hay_device *device);
	void (*device_offline)(struct hay_device *device, enum hay_reason reason, const char *detail);

	/* The line or connection is up, or down with the reason. While it is down its devices are offline and,
	   where the plugin has poll(), one of them is polled now and then to find out. A link_down() that a round
	   found out comes before its round_done(). */
	void (*link_up)(struct hay_link *link);
	void (*link_down)(struct hay_link *link, enum hay_reason reason, const char *detail);

	/* A point that the configuration does not list (a decoder's own). Gives the index of the point of that
	   name, making it if need be. One that was added as text or bool and now comes as a number becomes a number;
	   else -EEXIST where it exists with another type. -ENOSPC past 1024. Strings are copied. When a device is
	   started again its points are the configured ones, and the others are to be added anew. */
	int (*add_point)(struct hay_device *device, const char *name, enum hay_type type, const char *unit,
			 uint32_t *ret_point);

	/* Watch a descriptor (EPOLLIN, …; level-triggered). It stays the plugin's. -errno. */
	int (*add_fd)(struct hay_link *link, int fd, uint32_t events, hay_fd_fn fn, void *userdata,
		      struct hay_fd **ret_fd);
	int (*mod_fd)(struct hay_fd *fd, uint32_t events);
	void (*del_fd)(struct hay_fd *fd); /* before close(); NULL is fine */

	/* A timer that goes off once, delay_us from now, until it is set again. UINT64_MAX: not set. */
	int (*add_timer)(struct hay_link *link, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			 struct hay_timer **ret_timer);
	void (*set_timer)(struct hay_timer *timer, uint64_t delay_us);
	void (*del_timer)(struct hay_timer *timer); /* NULL is fine */

	/* Run work on the link's thread. -ESHUTDOWN: the device or link is being stopped; end the round. */
	int (*submit)(struct hay_link *link, struct hay_work *work, enum hay_lane lane);

	/* The main loop itself, a struct sd_event *, for libraries that can live in one (sd-bus). */
	void *(*event)(struct hay_link *link);

	/* A few bytes that survive a restart: what was learnt about a device. Keyed by device (its name) and key.
	   recall gives the length, or -ENOENT; at most 4096 bytes. remember with size 0 forgets; so does taking the
	   device out of the configuration. */
	int (*remember)(struct hay_device *device, const char *key, const void *data, size_t size);
	int (*recall)(struct hay_device *device, const char *key, void *data, size_t size);
};

/* What a check() finds: the host adds file and line of `key` (NULL: of the thing itself). An error leaves the thing
   out; a warning is for what may be meant, and shows in --check and in the log. */
struct hay_report {
	void (*error)(const struct hay_report *report, const char *key, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	/* Of a number that was written in hexadecimal nothing is said: it is meant. */
	void (*warning)(const struct hay_report *report, const char *key, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
};

/* What probe() needs of a link that the daemon has open. */
enum hay_probe_link {
	HAY_PROBE_TAKES_LINK,  /* its port for itself: the host closes the link meanwhile, and its devices wait */
	HAY_PROBE_BESIDE_LINK, /* nothing: the link goes on */
	HAY_PROBE_ON_LINK,     /* the link itself, by step(), between the rounds of its devices */
};

/* Commissioning: `haywaind --probe PLUGIN ARGS...`, or a scan over the local API. May block; has a thread of its
   own. */
struct hay_probe {
	size_t size;
	int argc;
	/* What follows the plugin's name. In a scan of a link of the daemon's: without its port where `link` is set;
	   else with its port (or url, or adapter, as configured) as the first of them. */
	char **argv;
	/* A line of the result, without its newline. */
	void (*print)(const struct hay_probe *probe, const char *format, ...) __attribute__((format(printf, 2, 3)));
	/* How far it is, for a person who waits; total 0: unknown. what: a few words that stand until the next call. */
	void (*progress)(const struct hay_probe *probe, unsigned done, unsigned total, const char *what);
	bool (*cancelled)(const struct hay_probe *probe);
	struct hay_link *link; /* HAY_PROBE_ON_LINK: one of the daemon's to be used by step(); NULL: open one's own */
	/* With a link: run work->run on the link's thread when its turn has come, then work->done on the main
	   thread; both are over when it returns. A step is one request: it bounds how long the link's devices wait.
	   -ECANCELED: nothing was run, and probe() shall end. */
	int (*step)(const struct hay_probe *probe, struct hay_work *work);
};

/* ---- the descriptor ------------------------------------------------------------------------------------ */

#define HAY_MAGIC 0x4e574148u /* "HAWN" */
#define HAY_ABI 2u

/* What the host shall know of the plugin as a whole: hay_plugin.flags. */
enum {
	HAY_PLUGIN_NEEDS_POINTS = 1 << 0, /* a device without points, its own or its model's, is a mistake */
};

/* Every function may be NULL unless it says otherwise: then there is nothing to do there. */
struct hay_plugin {
	/* Frozen for ever: with these the host can refuse what it cannot run. */
	uint32_t magic;
	uint32_t abi;
	uint64_t size; /* of this struct as the plugin was compiled */
	const char *name;

	/* From here on only appended to. */
	const char *version;
	const char *summary;	  /* one phrase */
	const char *const *types; /* further values of a point's `type`; NULL-terminated; NULL: none */
	struct hay_options link_options, device_options, point_options;

	/* What the tables cannot say, of one thing at a time; NULL: nothing. Pure: no I/O, no state.
	   point->type may be set here for one of the plugin's own types or where none was written. */
	void (*check_link)(const void *conf, const struct hay_report *report);
	void (*check_device)(const void *conf, const void *link_conf, const struct hay_report *report);
	void (*check_point)(struct hay_point *point, const void *device_conf, const void *link_conf,
			    const struct hay_report *report);

	/* Open the link: state and resources. What may fail in the field (a cable, a host) is no error here:
	   report link_down and try again, or try at the first poll. */
	int (*open)(struct hay_link *link);
	void (*close)(struct hay_link *link);

	int (*start)(struct hay_device *device);
	void (*stop)(struct hay_device *device);

	/*
	 * Begin a round: read the points that are due (indices, ascending), then call round_done(), once, now or later.
	 * While it is under way no other device of the link is polled. A device that answers any request of the round
	 * is there: one request that fails, however it does, makes the points it was about bad and must not cost the
	 * others, in this round or later. What is never answered is asked last, and less often. An absent device costs
	 * its neighbours one time-out a round: where the last round had no answer, the first time-out ends this one.
	 * -errno: nothing was begun. NULL for a protocol whose devices all speak unasked; where only some do, start()
	 * says so in hay_device.flags.
	 */
	int (*poll)(struct hay_device *device, const uint32_t *due, size_t n_due);

	/* Begin a write; command_done() follows, once. -errno: nothing was sent and command_done() does not follow;
	   -ERANGE: the value does not fit what is written. NULL: no writes. */
	int (*write)(struct hay_command *command);

	/* 0, or -errno after an explanation was printed; -EINVAL for wrong arguments. NULL: none. What it keeps it
	   keeps to itself: links and devices live on beside it. */
	int (*probe)(const struct hay_probe *probe);
	enum hay_probe_link probe_link;

	unsigned flags; /* HAY_PLUGIN_… */
};

/*
 *     HAY_PLUGIN("sim", .version = "1.0", .summary = "generated values", .open = open_link, …);
 *
 * HAY_PLUGIN_BUILTIN(symbol, name, …) makes a descriptor that is linked into the program instead of exported.
 */
#define HAY_PLUGIN_FIELDS(plugin_name, ...)                                                                            \
	{                                                                                                              \
		.magic = HAY_MAGIC, .abi = HAY_ABI, .size = sizeof(struct hay_plugin), .name = (plugin_name),          \
		__VA_ARGS__                                                                                            \
	}
#define HAY_PLUGIN(plugin_name, ...)                                                                                   \
	extern __attribute__((visibility("default"))) const struct hay_plugin hay_plugin;                              \
	const struct hay_plugin hay_plugin = HAY_PLUGIN_FIELDS(plugin_name, __VA_ARGS__)
#define HAY_PLUGIN_BUILTIN(symbol, plugin_name, ...)                                                                   \
	static const struct hay_plugin symbol = HAY_PLUGIN_FIELDS(plugin_name, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
