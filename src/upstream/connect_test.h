/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying an uplink by hand: each step of a connection, and what the broker lets this gateway do. The client_id is
 * another one, so the running gateway is not thrown off; no will, nothing retained, no topic that a consumer reads.
 */
#ifndef HAYWAIN_UPSTREAM_CONNECT_TEST_H
#define HAYWAIN_UPSTREAM_CONNECT_TEST_H

#include "upstream/uplink.h"

#define CONNECT_TEST_SUFFIX "-test" /* of the client_id */

enum connect_step {
	CONNECT_STEP_FILES, /* certificates and the password */
	CONNECT_STEP_NAME,
	CONNECT_STEP_TCP,
	CONNECT_STEP_TLS,
	CONNECT_STEP_LOGIN,
	CONNECT_STEP_SUBSCRIBE,
	CONNECT_STEP_PUBLISH,
};

struct connect_test {
	const struct uplink_conf *conf;
	const char *gateway_id;
	/* Called once for each step that was taken, in this order. text: what came of it. */
	void (*step)(enum connect_step step, bool good, const char *text, void *userdata);
	void *userdata;
};

/* True: every step was good. Blocks, up to connect_timeout and twice 10 s. */
bool connect_test(const struct connect_test *test);

#endif
