/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --set-secret: a password put where the service finds it. */
#ifndef HAYWAIN_SECRET_H
#define HAYWAIN_SECRET_H

/*
 * Ask for a secret, twice and without showing it (from a pipe: read it), and write it to the file `name`, beside the
 * configuration at config_path unless it is absolute: for root and the service's group; below /etc/credstore for root
 * alone, who hands it over (LoadCredential=). Says which uplink uses it. The exit status: 0 or 1.
 */
int set_secret(const char *config_path, const char *name);

#endif
