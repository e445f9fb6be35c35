/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local API: HTTP/1.1 with JSON on two UNIX sockets, one for everything and one for looking. docs/api.md and
 * docs/openapi.yaml tell what it answers. Main thread; nothing in it waits.
 */
#ifndef HAYWAIN_API_API_H
#define HAYWAIN_API_API_H

#include "base/buf.h"
#include "stages.h"

struct api;

struct api_hooks {
	/* Read the configuration again. *ret_json: a finished object. The HTTP status: 200, or 422: nothing was
	   applied. */
	int (*reload)(struct buf *ret_json, void *userdata);
	void *userdata;
};

/* Listen at path for everything, at read_path for requests that change nothing; "": not at all. What is wrong with
   one is logged in one line, and everything else keeps running. -errno. */
int api_new(const struct stages *stages, const char *path, const char *read_path, const struct api_hooks *hooks,
	    struct api **ret);
struct api *api_free(struct api *api); /* before the stages; NULL is fine */

#endif
