/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing JSON. (jansson parses; this prints: faster, and it keeps 64-bit integers and shortest numbers.)
 * Commas are its business: call in document order. Keys are plain ASCII of our own or names from the configuration.
 */
#ifndef HAYWAIN_BASE_JSON_H
#define HAYWAIN_BASE_JSON_H

#include "base/buf.h"

void json_open(struct buf *out, char bracket);	/* '{' or '[' as a value or at the start */
void json_close(struct buf *out, char bracket); /* '}' or ']' */
void json_key(struct buf *out, const char *key);
void json_text(struct buf *out, const char *text); /* invalid UTF-8 becomes U+FFFD */
void json_text_n(struct buf *out, const char *text, size_t size);
void json_bytes(struct buf *out, const void *data, size_t size); /* base64 */
void json_int(struct buf *out, int64_t value);
void json_uint(struct buf *out, uint64_t value);
void json_double(struct buf *out, double value); /* NaN and infinity print null */
void json_float(struct buf *out, float value);
void json_bool(struct buf *out, bool value);
void json_raw(struct buf *out, const char *json); /* a finished value */

#endif
