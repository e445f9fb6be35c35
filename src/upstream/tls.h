/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as an uplink wants it: TLS 1.2 at least, the broker's certificate and name always verified, and what went
 * wrong in words. Certificates are not looked up in revocation lists (CRL, OCSP): a broker's key that was stolen is
 * trusted until its certificate ends.
 */
#ifndef HAYWAIN_UPSTREAM_TLS_H
#define HAYWAIN_UPSTREAM_TLS_H

#include "upstream/reason.h"
#include "upstream/uplink_conf.h"
#include <openssl/ssl.h>

struct tls;

/* host and conf must outlive it. NULL: out of memory. */
struct tls *tls_new(const struct uplink_tls_conf *conf, const char *host);
struct tls *tls_free(struct tls *tls);

/* Before every connection: reads the files where they are new or changed. -errno and the reason. */
int tls_prepare(struct tls *tls, struct reason *ret_reason);
/* Whether our own certificate ends within a month, and when, in words. After tls_prepare(). */
bool tls_own_ends_soon(const struct tls *tls, struct reason *ret_reason);

/* One connection's session, set up to greet the broker. After tls_prepare(). The caller's; NULL: out of memory. */
SSL *tls_session(struct tls *tls);

/* Why the handshake failed, as far as verification and the broker's alerts tell. False: they do not. */
bool tls_explain(const struct tls *tls, struct reason *ret_reason);

/* "TLS 1.3" of a finished handshake. */
const char *tls_version_text(const SSL *ssl);

#endif
