/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reload.h - brings the running topology to a new version of the configuration file.
 *
 * Flow:    read and check the whole file -> build every new device -> then only change: new VMs and
 *          clients come, all ranges of a VM are swapped at once, and what the file no longer names
 *          goes. A bad file, or a device that cannot be built, changes nothing.
 *
 *          A client whose device, options and poller are unchanged is kept, with its state and
 *          what it has in flight; one that changed is replaced. What was made at run time
 *          (ioreqctl) and was never in the file is left alone.
 *
 * Threads: control.
 * Memory:  owns the configurations it read; the first one stays the caller's.
 * Errors:  told on stderr; negative errno. Sections server and pollers are read at start only: a
 *          change of pollers is refused, as is one of a VM's vcpus, poller, source or pci.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include "server/topology.h"

struct reload {
    struct topology *topology;
    const struct config *first;   /* not owned */
    const struct config *current; /* what the topology was last brought to */
    struct config *owned;         /* current, unless that is first */
    const struct config_device_kind *kinds;
    size_t kind_count;
};

/* Reads the file of `first` anew. 0, or a negative errno after its reasons on stderr; the old
 * configuration then stays. */
int reload_run(struct reload *reload);
/* Frees the configurations that it read; nobody looks at them any more. */
void reload_fini(struct reload *reload);

#endif
