/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What most plugins need beside the interface of plugin.h: values and their ranges, bytes in any order, texts, pauses
 * and limits of log lines, a TCP connection. The daemon itself uses the same functions.
 *
 * They are in the static library libhaywain-plugin.a, which `pkg-config --libs haywain` names (haywain-plugin(3)).
 * All are pure but hay_now() and hay_connect(): no state but what the caller hands in, no allocation, any thread.
 */
#ifndef HAYWAIN_HELPERS_H
#define HAYWAIN_HELPERS_H

#include <haywain/reading.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- types and values ---------------------------------------------------------------------------------- */

static inline bool hay_type_is_signed(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_INT64;
}

static inline bool hay_type_is_unsigned(enum hay_type type)
{
	return type >= HAY_UINT16 && type <= HAY_UINT64;
}

static inline bool hay_type_is_whole(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_UINT64;
}

/* Whole ones, float32 and float64; a bool is none. */
static inline bool hay_type_is_number(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_FLOAT64;
}

static inline bool hay_type_is_text(enum hay_type type)
{
	return type == HAY_STRING || type == HAY_BYTES;
}

/* Whether a whole number has a place in that type of whole numbers. */
bool hay_fits_signed(enum hay_type type, int64_t number);
bool hay_fits_unsigned(enum hay_type type, uint64_t number);

/* The value of a number or bool (0, 1) as a double; whole numbers beyond 2^53 are rounded. NaN for texts and none. */
double hay_value_as_double(const struct hay_value *value);

/* A number as a value of that type, exactly; `number` whole, or a double that is rounded for whole types, halves
   away from zero. *ret is untouched unless 0 is returned. -ERANGE: it does not fit. -EDOM: NaN or infinity. -EINVAL:
   the type is none of numbers, or it is HAY_BOOL and the number neither 0 nor 1. */
int hay_value_of_signed(int64_t number, enum hay_type type, struct hay_value *ret);
int hay_value_of_unsigned(uint64_t number, enum hay_type type, struct hay_value *ret);
int hay_value_of_double(double number, enum hay_type type, struct hay_value *ret);

/* ---- bytes --------------------------------------------------------------------------------------------- */

#define HAY_NUMBER_BYTES_MAX 8

/* A whole number of n bytes, 0 to 8: the least significant byte first (le) or last (be). */
uint64_t hay_get_le(const void *bytes, size_t n);
uint64_t hay_get_be(const void *bytes, size_t n);
void hay_put_le(void *bytes, size_t n, uint64_t number);
void hay_put_be(void *bytes, size_t n, uint64_t number);

/* A two's complement number of n bytes, 1 to 8, with its sign. */
int64_t hay_sign_extend(uint64_t bits, size_t n);

/*
 * Bytes in an order of their own, as people write it: letters from A, the most significant byte, in the order of the
 * wire: "ABCD" has the most significant byte first, "DCBA" last, "CDAB" the lower half first. order[k] is where on the
 * wire the byte of letter k lies. NULL: the most significant first. -EINVAL: not an arrangement of n letters, n 1 to 8.
 */
int hay_byte_order(const char *letters, size_t n, uint8_t ret_order[HAY_NUMBER_BYTES_MAX]);
uint64_t hay_get_ordered(const void *bytes, size_t n, const uint8_t order[HAY_NUMBER_BYTES_MAX]);
void hay_put_ordered(void *bytes, size_t n, const uint8_t order[HAY_NUMBER_BYTES_MAX], uint64_t number);

/* IEEE 754 numbers and their bits. */
float hay_float_of_bits(uint32_t bits);
double hay_double_of_bits(uint64_t bits);
uint32_t hay_bits_of_float(float number);
uint64_t hay_bits_of_double(double number);

/* ---- texts --------------------------------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence (RFC 3629 section 4) that text, of size bytes and at least 1, begins
   with; 0: it begins with none. */
size_t hay_utf8_length(const char *text, size_t size);
bool hay_is_utf8(const char *text, size_t size);

/* 0 to 15, of both cases; -1: no hexadecimal digit. */
int hay_hex_digit(char c);
/* The byte that two digits stand for; -1: they are none. Reads text[1] only behind a digit. */
int hay_hex_byte(const char *text);
/* Two small digits for each byte, and a 0: 2 * size + 1 characters. */
void hay_hex_print(const void *bytes, size_t size, char *ret_text);

/* ---- time ---------------------------------------------------------------------------------------------- */

/* As hay_host.now(), for probe(), which may have no link: microseconds on a clock that never jumps. */
uint64_t hay_now(void);

/* The pause before the next try of what keeps failing: doubled each time, from first_us to last_us. pause_us: the one
   before; 0: it has just failed for the first time. */
uint64_t hay_backoff_next(uint64_t pause_us, uint64_t first_us, uint64_t last_us);
/* The pause 20 % shorter to 20 % longer, by chance: what failed together does not come back together. *random: any
   number but 0, the caller's between calls. */
uint64_t hay_backoff_spread(uint64_t pause_us, uint64_t *random);

/* Embedded, zeroed: how often a line came. */
struct hay_rate_limit {
	uint64_t since_us;   /* when this window began */
	uint64_t n_logged;   /* in it */
	uint64_t suppressed; /* in it */
};

/*
 * It happened again: whether it may be said. `lines` of them in each window_us, which begins with the first. now_us: of
 * hay_host.now(). *ret_suppressed: how many were not said in the window that has ended, for the line to tell; else 0.
 */
bool hay_rate_limit_allows(struct hay_rate_limit *limit, uint64_t lines, uint64_t window_us, uint64_t now_us,
			   uint64_t *ret_suppressed);
/* It happened n times, and is not said for now. */
static inline void hay_rate_limit_suppress(struct hay_rate_limit *limit, uint64_t n)
{
	limit->suppressed += n;
}
/* How many were not said; forgets them: the caller says so now. */
uint64_t hay_rate_limit_take(struct hay_rate_limit *limit);

/* ---- connecting ---------------------------------------------------------------------------------------- */

/*
 * A TCP connection to a host by name or address. Blocks, so in hay_work.run or probe() only: all addresses of the host
 * together get timeout_us, each its share of what is left; resolving the name takes as long as the resolver takes.
 * port: a number as text. now: hay_host.now.
 *
 * A non-blocking socket with TCP_NODELAY, the caller's to close; or -1: *ret_reason and *ret_detail say why. The detail
 * lives for ever, or is `unknown`: what to say where the name does not resolve.
 */
int hay_connect(const char *host, const char *port, const char *unknown, uint64_t timeout_us, uint64_t (*now)(void),
		enum hay_reason *ret_reason, const char **ret_detail);

#ifdef __cplusplus
}
#endif

#endif
