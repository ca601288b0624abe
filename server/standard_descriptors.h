/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standard_descriptors.h - keeps 0, 1 and 2 what everybody takes them for.
 *
 * A program started with one of them closed would get it as the number of the next file it opens: a
 * log line then lands in a guest's console file.
 *
 * Flow:    first thing in main.
 * Errors:  negative errno: /dev/null cannot be opened; nothing has been opened yet, so the program
 *          must end.
 * Source:  POSIX.1-2017 open() (lowest free number).
 */
#ifndef SERVER_STANDARD_DESCRIPTORS_H
#define SERVER_STANDARD_DESCRIPTORS_H

/*
 * Opens /dev/null for each of 0, 1 and 2 that is closed, the wrong way round: reading standard
 * input and writing standard output or error fail with EBADF as before, so that what is lost is
 * noticed and counted.
 */
int standard_descriptors_open(void);

#endif
