/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the daemon under test: nothing is ever flushed to the disk, as with synchronous=OFF. The control of
   the power cut: with it, readings must be seen to be lost. */
int fsync(int fd);
int fdatasync(int fd);
int msync(void *address, unsigned long length, int flags);

int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int msync(void *address, unsigned long length, int flags)
{
	(void)address;
	(void)length;
	(void)flags;
	return 0;
}
