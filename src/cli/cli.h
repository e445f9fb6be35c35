/* SPDX-License-Identifier: Apache-2.0 */
/* The tool `haywain`: what its commands share. */
#ifndef HAYWAIN_CLI_CLI_H
#define HAYWAIN_CLI_CLI_H

#include "base/buf.h"
#include "base/json_read.h"
#include "base/table.h"
#include <stdbool.h>

#define EXIT_UNKNOWN 3 /* of a write: nobody knows whether it was done */
#define EXIT_USAGE 64  /* EX_USAGE of sysexits.h */

struct cli {
	const char *
		socket; /* of the local API; where it is closed to us, what changes nothing goes to read.sock beside it */
	bool json;	/* as the daemon says it */
	bool colour;
	bool yes;   /* --yes */
	bool quiet; /* no word where there is no daemon, or no answer */
};

/* A command's exit status: EXIT_SUCCESS, EXIT_FAILURE and EXIT_UNKNOWN after a line on standard error, EXIT_USAGE. */
int cli_status(const struct cli *cli, int argc, char *argv[]);
int cli_devices(const struct cli *cli, int argc, char *argv[]);
int cli_links(const struct cli *cli, int argc, char *argv[]);
int cli_watch(const struct cli *cli, int argc, char *argv[]);
int cli_queue(const struct cli *cli, int argc, char *argv[]);
int cli_write(const struct cli *cli, int argc, char *argv[]);
int cli_reload(const struct cli *cli, int argc, char *argv[]);
int cli_scan(const struct cli *cli, int argc, char *argv[]);
int cli_once(const struct cli *cli, int argc, char *argv[]);
int cli_connect(const struct cli *cli, int argc, char *argv[]);
int cli_secret(const struct cli *cli, int argc, char *argv[]);
int cli_plugins(const struct cli *cli, int argc, char *argv[]);
int cli_models(const struct cli *cli, int argc, char *argv[]);
int cli_check(const struct cli *cli, int argc, char *argv[]);
int cli_example(const struct cli *cli, int argc, char *argv[]);
int cli_diag(const struct cli *cli, int argc, char *argv[]);

int cli_fail(const char *format, ...) _printf_(1, 2); /* "haywain: …" on standard error; EXIT_FAILURE */

/* ---- client.c ---- */

/* Ask the daemon. body NULL: GET, else POST. What comes is in *ret, also an answer that says no. Gives the HTTP
   status, or after a line that says why: -1 where it was not asked, -2 where it was, but there is no whole answer. */
int client_ask(const struct cli *cli, const char *path, const char *body, struct buf *ret);

/* GET, and the answer parsed; NULL after a line on standard error. With --json it is printed, and *ret_printed true. */
json_t *client_get(const struct cli *cli, const char *path, bool *ret_printed);

/* An answer without an end, to a GET or, with a body, to a POST: every line is handed over as it comes; false ends it.
   EXIT_SUCCESS or EXIT_FAILURE. */
int client_lines(const struct cli *cli, const char *path, const char *body,
		 bool (*line)(const char *text, void *userdata), void *userdata);

/* What an answer that says no says. */
void client_explain(const struct buf *answer, int status);

/* ---- print.c ---- */

const char *colour_on(const struct cli *cli, enum colour colour);
const char *colour_off(const struct cli *cli);

/* "3 min" since a time in ms since 1970. */
const char *since_text(const json_t *object, const char *key, char *buffer);

/* ---- program.c ---- */

/* Become haywaind with these arguments (NULL-terminated, after the name). Returns only with EXIT_FAILURE. */
int run_daemon(const char *const *arguments);

#endif
