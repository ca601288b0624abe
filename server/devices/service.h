/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service.h - what control does for the devices: it moves their bytes and keeps their images.
 *
 * Flow:    service_open with the client -> services_pump every few milliseconds, services_save
 *          every second -> service_close before the client's device goes.
 * Threads: control.
 * Errors:  negative errno after one line on stderr.
 */
#ifndef SERVER_DEVICES_SERVICE_H
#define SERVER_DEVICES_SERVICE_H

#include "server/topology.h"
#include "server/vm_client.h"

/* Opens its stream and its interrupt, where it has them. */
int service_open(struct vm_client *client);
/* Moves and saves what is left. */
void service_close(struct vm_client *client);

/* The three of every client. */
void services_close(const struct topology *topology);
/* Every few milliseconds: moves bytes between rings and terminals, files and ptys. */
void services_pump(const struct topology *topology);
/* Once a second: keeps images, and says which output began to be lost. */
void services_save(const struct topology *topology);

#endif
