/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * residence.h - does all that a poller touches lie on its NUMA node? Asked after the fact, of the
 * kernel: a node without free memory, or a policy from outside, puts pages elsewhere unsaid.
 *
 * Flow:    built by topology, vm and vm_client -> residence_count_strays at the start and at every
 *          status; residence_tell_page when a requester attaches.
 * Threads: control.
 * Errors:  none; a machine that does not tell has one node.
 */
#ifndef SERVER_THREADS_RESIDENCE_H
#define SERVER_THREADS_RESIDENCE_H

#include "server/topology.h"

/* As memory_check_node, which is what it is but in tests. */
typedef bool residence_check(struct memory_block block, int node, int *found);

/*
 * How many blocks of the poller's are not all on its node: its state and stack, its port to the
 * notifier; of the VMs it sweeps the page, the records and the router; of the clients that live on
 * it their counters, histograms and inboxes, devices and rings. With is_told, one warning on stderr
 * for each of the first few that lie elsewhere, which names it and both nodes.
 */
uint32_t residence_count_strays(const struct topology *topology, size_t poller_index,
                                residence_check *check, bool is_told);

/* The same of a VM's page alone, told if it strays. */
void residence_tell_page(const struct vm *vm, residence_check *check);

#endif
