/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration as data: a file is parsed by libconfig, then walked by tables of struct hay_option.
 * Every mistake becomes one line "FILE:LINE: what is wrong, and what would be right". Main thread; no logging.
 */
#ifndef HAYWAIN_BASE_CONF_H
#define HAYWAIN_BASE_CONF_H

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include <haywain/plugin.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdbool.h>

/* ---- messages ---- */

struct conf_message {
	struct conf_message *next;
	bool warning;
	unsigned line;	  /* 0: the file as a whole */
	const char *file; /* as the user named it */
	const char *text; /* without file and line */
};

/* What a message about an unknown key can say: where else the key stands, or what it is called now. The caller's. */
struct conf_hints {
	const struct conf_place {
		const char *where; /* "`queue`", "a device" */
		const struct hay_option *table;
	} * places; /* up to one whose table is NULL */
	const struct conf_renamed {
		const char *old, *now, *meaning;
	} * renamed; /* up to one whose old is NULL */
};

/* Whom the configuration is for, where that is somebody else. */
struct conf_service {
	char *user, *group;
};

/* A list of messages, in the order they were found. */
struct conf_messages {
	const struct conf_hints *hints; /* NULL: none */
	struct conf_message *first, *last;
	unsigned n_errors, n_warnings;
	const struct conf_service *service; /* with whose rights files are judged; NULL: ours */
	struct conf_message spare;	    /* says that there was no memory for one */
	bool spare_used;
};

void conf_messages_done(struct conf_messages *messages);
/* "FILE:LINE: text" on standard error, a line for each. */
void conf_messages_print(const struct conf_messages *messages);
void conf_error(struct conf_messages *messages, const char *file, unsigned line, const char *format, ...)
	_printf_(4, 5);
void conf_warning(struct conf_messages *messages, const char *file, unsigned line, const char *format, ...)
	_printf_(4, 5);
void conf_error_v(struct conf_messages *messages, const char *file, unsigned line, const char *format, va_list args)
	_printf_(4, 0);
void conf_warning_v(struct conf_messages *messages, const char *file, unsigned line, const char *format, va_list args)
	_printf_(4, 0);
/* At the line where that setting stands. 1, for the caller to count. */
unsigned conf_error_at(struct conf_messages *messages, const config_setting_t *setting, const char *format, ...)
	_printf_(3, 4);
void conf_warning_at(struct conf_messages *messages, const config_setting_t *setting, const char *format, ...)
	_printf_(3, 4);

/* What to do about a file or folder that the service's user may not read: "; the service runs as haywain: chgrp …".
   Appends nothing where that is not the trouble, or files are judged with our own rights. error: of errno. */
void conf_add_advice(struct buf *out, const struct conf_messages *messages, const char *path, int error);

/* The nearest of several words to one that nobody knows: set word, try all candidates. */
struct conf_nearest {
	const char *word;
	const char *best; /* NULL: nothing is near */
	unsigned distance;
};
void conf_nearest_try(struct conf_nearest *nearest, const char *candidate);
/* ", did you mean `X`?" or "". */
const char *conf_nearest_text(struct conf_nearest *nearest, struct pool *pool);

/* ---- files ---- */

struct conf_file;

/*
 * Read and parse one file. On mistakes messages hold them and -EBADMSG comes back; -errno where the file
 * cannot be read (a message says so too). A syntax error is explained: trailing or missing comma, unclosed
 * quote, unclosed bracket. Numbers that do not fit (32 bits without L, 64 with) are errors, found by a scan
 * of the source, since libconfig wraps them silently.
 */
int conf_file_read(const char *path, struct conf_messages *messages, struct conf_file **ret);
/* The same of text, terminated, with path for the messages. include_dir NULL: no @include, so that no file is
   touched. */
int conf_file_parse_text(const char *path, const char *include_dir, const char *text, size_t size,
			 struct conf_messages *messages, struct conf_file **ret);
struct conf_file *conf_file_free(struct conf_file *file);
DEFINE_CLEANUP(struct conf_file *, conf_file_free)
config_setting_t *conf_file_root(struct conf_file *file);
const char *conf_file_path(const struct conf_file *file);

/* Where a setting stands, for messages. */
const char *conf_setting_file(const config_setting_t *setting);
unsigned conf_setting_line(const config_setting_t *setting);

/* ---- walking ---- */

/*
 * A group as the walker sees it: one or more layers, the first that has a key wins. A device of a model is
 * the device's own group over the model's.
 */
#define CONF_LAYERS 3
struct conf_group {
	const config_setting_t *layers[CONF_LAYERS];
	unsigned n_layers;
};
struct conf_group conf_group_of(const config_setting_t *setting);
/* The setting of that key in the first layer that has it; NULL. */
config_setting_t *conf_group_get(const struct conf_group *group, const char *key);

/*
 * What may stand in a group: several tables, each filling a struct of its own, and keys which the caller reads
 * itself (`others`, NULL-terminated). An unknown key is an error that says where it belongs, or offers the nearest
 * known one. A part with `elsewhere` is not read: it is a further place that such a key may belong to.
 */
struct conf_part {
	const struct hay_option *table; /* may be NULL */
	void *into;			/* zeroed by the caller; strings are allocated from the pool */
	const char *elsewhere;		/* "a device": where this table's keys stand; NULL: here */
	const char *plugin;		/* whose table it is; NULL: everybody's */
};

/* " here: it belongs in `queue`", " is called `x` now: …", ", did you mean `x`?" or "": how a message about an
   unknown key goes on. elsewhere may be NULL. */
const char *conf_unknown_text(struct conf_nearest *nearest, const struct conf_part *parts, size_t n_parts,
			      const struct conf_messages *messages, struct pool *pool);

/* Read a group into its parts. Returns the number of errors added to messages. `what` begins the sentence
   of an error about the group itself: "device `boiler`". */
unsigned conf_read_group(const struct conf_group *group, const char *what, const struct conf_part *parts,
			 size_t n_parts, const char *const *others, struct pool *pool, struct conf_messages *messages);

/* The same without the look for unknown keys: where the table that would know them is missing. */
unsigned conf_read_keys(const struct conf_group *group, const char *what, const struct conf_part *parts, size_t n_parts,
			struct pool *pool, struct conf_messages *messages);

/* Defaults only, without any file: for tests and plugins' fake hosts. Aborts on a table that is wrong. */
void conf_read_defaults(const struct hay_option *table, void *into, struct pool *pool);

/* Set one key from text as the command line or a test has it. -ENOENT, -EINVAL, -ERANGE. */
int conf_set_text(const struct hay_option *table, void *into, const char *key, const char *text, struct pool *pool);

/* Report for a plugin's check functions: adds errors at the key's line, counts them. */
struct conf_report {
	struct hay_report report;
	const struct conf_group *group;
	const char *what;
	struct conf_messages *messages;
	unsigned n_errors;
};
void conf_report_init(struct conf_report *report, const struct conf_group *group, const char *what,
		      struct conf_messages *messages);

/* A 64-bit digest of what a group says, whatever its layout and comments: reload compares them. Layers are merged. */
uint64_t conf_group_digest(const struct conf_group *group);

/* Add further bytes to a digest. */
uint64_t conf_digest_add(uint64_t digest, const void *data, size_t size);

bool conf_is_name(const char *text); /* [A-Za-z0-9_.-]{1,64} */

/* The path of a secret: absolute as it is; relative in $CREDENTIALS_DIRECTORY if it is there, else beside `file`. */
char *conf_secret_path(struct pool *pool, const char *file, const char *path);

/* Read a secret, at most 64 KB, one trailing newline taken off; freed with conf_secret_free(), which wipes it.
   -errno. */
int conf_secret_read(const char *path, char **ret, size_t *ret_size);
void conf_secret_free(char *secret);
/* What is wrong with a secret that was typed: "is empty". NULL: nothing that can be seen. ret_blank: it begins or
   ends with a blank, which may be meant. */
const char *conf_secret_fault(const char *secret, size_t size, bool *ret_blank);

#endif
