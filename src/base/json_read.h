/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON that the gateway wrote, to show it to people. */
#ifndef HAYWAIN_BASE_JSON_READ_H
#define HAYWAIN_BASE_JSON_READ_H

#include <jansson.h>
#include <stdint.h>

/* A whole number that jansson's 63 bits do not hold becomes a text of its digits. NULL: no JSON. */
json_t *json_read(const char *text, size_t size);
const char *json_text_of(const json_t *object, const char *key); /* "" where there is none */
int64_t json_int_of(const json_t *object, const char *key);
double json_number_of(const json_t *object, const char *key);
/* A value as people read it. Allocated; NULL: out of memory. */
char *json_show(const json_t *value);

#endif
