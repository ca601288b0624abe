/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hsm_watch.h - waits in the ACRN driver's ATTACH for a poller that waits for requests (pollers/upcall.h).
 *
 * Flow:    hsm_watch_start -> its thread waits in ATTACH -> a request: `arrival` is written -> the poller
 *          reads it, writes `rearm`, and sweeps -> the thread waits again ... -> hsm_watch_stop, before the
 *          default client is destroyed, for the driver looks at it after it has woken its waiter.
 *
 *          Until the driver was told that the request is finished ATTACH returns at once: one wake too many
 *          for each wait.
 * Threads: one of its own, on control's CPU; start and stop: control; is_over: any.
 * Memory:  owns the descriptors it gives out.
 * Errors:  negative errno. ATTACH says ENODEV, in its first version 1, once the default client was destroyed:
 *          then it is over. SIGRTMAX - 2 ends a wait.
 */
#ifndef SERVER_SOURCES_HSM_WATCH_H
#define SERVER_SOURCES_HSM_WATCH_H

#include <stdbool.h>

struct hsm_watch;

int hsm_watch_start(int device, struct hsm_watch **watch);
void hsm_watch_stop(struct hsm_watch *watch); /* NULL does nothing */

int hsm_watch_arrival(const struct hsm_watch *watch); /* an eventfd */
int hsm_watch_rearm(const struct hsm_watch *watch);   /* takes one byte */

/* The default client was destroyed. */
bool hsm_watch_is_over(const struct hsm_watch *watch);

#endif
