/* SPDX-License-Identifier: Apache-2.0 */
#include "url.h"
#include <errno.h>
#include <string.h>

static int bad_url(const char **ret_error, const char *error)
{
	*ret_error = error;
	return -EINVAL;
}

int url_parse(const char *text, struct url *ret, const char **ret_error)
{
	static const char scheme[] = "tcp://", rtu[] = "rtu+";
	struct url url = {.port = URL_DEFAULT_PORT};
	const char *rest;
	unsigned long port = 0;

	url.rtu = !strncmp(text, rtu, sizeof(rtu) - 1);
	if (url.rtu)
		text += sizeof(rtu) - 1;
	if (strncmp(text, scheme, sizeof(scheme) - 1))
		return bad_url(ret_error, "begins with \"tcp://\" or \"rtu+tcp://\", as in \"tcp://192.0.2.20:502\"");
	url.host = text + sizeof(scheme) - 1;
	if (*url.host == '[') {
		url.host++;
		url.host_size = strcspn(url.host, "]");
		rest = url.host + url.host_size;
		if (*rest++ != ']')
			return bad_url(ret_error,
				       "lacks the ] after an IPv6 address, as in \"tcp://[2001:db8::20]:502\"");
	} else {
		url.host_size = strcspn(url.host, ":/?#@");
		rest = url.host + url.host_size;
	}
	if (!url.host_size)
		return bad_url(ret_error, "lacks the host, as in \"tcp://192.0.2.20:502\"");
	if (*rest == ':' && strchr(rest + 1, ':'))
		return bad_url(ret_error, "an IPv6 address stands in brackets, as in \"tcp://[2001:db8::20]:502\"");
	if (url.rtu && *rest != ':')
		return bad_url(ret_error, "names the port of the converter, as in \"rtu+tcp://192.0.2.20:4001\"");
	if (*rest == ':') {
		size_t digits = strspn(++rest, "0123456789");

		for (size_t i = 0; i < digits && port <= UINT16_MAX; i++)
			port = port * 10 + (unsigned)(rest[i] - '0');
		if (!port || port > UINT16_MAX)
			return bad_url(ret_error, "the port is a number from 1 to 65535");
		url.port = (uint16_t)port;
		rest += digits;
	}
	if (*rest)
		return bad_url(ret_error, "ends after the host and the port, as in \"tcp://192.0.2.20:502\"");
	*ret = url;
	return 0;
}
