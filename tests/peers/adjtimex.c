/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: adjtimex() as a test wants it, whatever the machine's own clock is like. ADJTIMEX names a file with the
   maximum error in microseconds; 16000000 and more: not synchronised. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>

int adjtimex(struct timex *timex)
{
	const char *path = getenv("ADJTIMEX");
	FILE *file = path ? fopen(path, "re") : NULL;

	if (!file || fscanf(file, "%ld", &timex->maxerror) != 1)
		timex->maxerror = 16000000;
	if (file)
		fclose(file);
	return timex->maxerror < 16000000 ? TIME_OK : TIME_ERROR;
}
