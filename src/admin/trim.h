/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving memory back. Starting, reading a configuration and shaking hands touch a megabyte or two of code and heap that
 * steady work never needs again; small machines have better uses for it.
 */
#ifndef HAYWAIN_ADMIN_TRIM_H
#define HAYWAIN_ADMIN_TRIM_H

/* Takes some 2 ms. What is needed after all comes back by itself, from the page cache. Main thread. */
void trim_memory(void);

#endif
