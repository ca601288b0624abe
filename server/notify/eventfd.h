/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * eventfd.h - which eventfd a descriptor is: two descriptors of one eventfd have one id.
 *
 * Threads: any.
 * Source:  proc(5), fdinfo: eventfd-id, since Linux 5.2.
 */
#ifndef SERVER_NOTIFY_EVENTFD_H
#define SERVER_NOTIFY_EVENTFD_H

#include <stdint.h>

/* The id stays the eventfd's as long as a descriptor of it is open. -EBADF: not open. -EINVAL: not
 * an eventfd. -ENOENT: /proc is not mounted. */
int eventfd_identify(int descriptor, uint64_t *id);

#endif
