/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as an uplink wants it: TLS 1.2 at least, the broker's certificate and name always verified, and what went
 * wrong in words. libmosquitto gets our SSL_CTX and changes nothing in it.
 */
#ifndef HAYWAIN_UPSTREAM_TLS_H
#define HAYWAIN_UPSTREAM_TLS_H

#include "upstream/dial.h"
#include "upstream/uplink.h"
#include <openssl/ssl.h>

struct tls;

/* host and conf must outlive it. NULL: out of memory. */
struct tls *tls_new(const struct uplink_tls_conf *conf, const char *host);
struct tls *tls_free(struct tls *tls);

/* Before every connection: reads the files where they are new or changed. -errno and the reason. */
int tls_prepare(struct tls *tls, struct reason *ret_reason);
SSL_CTX *tls_context(struct tls *tls); /* borrowed; valid after tls_prepare() */

/* Why the handshake failed, as far as verification and the broker's alerts tell. False: they do not. */
bool tls_explain(const struct tls *tls, struct reason *ret_reason);

/* "TLS 1.3" of a finished handshake. */
const char *tls_version_word(const SSL *ssl);

#endif
