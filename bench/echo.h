/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo.h - the cheapest device there is: what is measured is the way to it and back.
 *
 * Threads: echo_ops as device.h says. echo_stop_poller on the poller, as a poller_command's function.
 */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include "clients/device.h"

/* Answers a read with its address. */
extern const struct device_ops echo_ops;

/* Ends the loop of a poller that a question runs itself, without a poller_start. */
void echo_stop_poller(void *poller);

#endif
