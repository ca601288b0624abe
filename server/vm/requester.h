/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * requester.h - the hypervisor's side of one VM's page.
 *
 * Flow:    requester_attach: ask ioreqd for the VM's page over its socket -> requester_access, once
 *          per trapped access: fill the slot, PENDING, spin for COMPLETE, take the value, FREE. After
 *          requester_prepare some vCPUs sleep instead: completion_polling 0, and an eventfd.
 * Threads: attach and detach: one. requester_access: one thread a vCPU; different vCPUs at once.
 * Memory:  the page is mapped shared; struct requester belongs to the caller of attach.
 * Errors:  the server vanishing ends every waiting access with -ESHUTDOWN within milliseconds; if it is one
 *          that is started again (`ioreqd --supervise`, systemd), accesses wait for the next one, up to
 *          30 s, and go on.
 * Source:  shared slot protocol of <linux/acrn.h>; ACRN hypervisor, dm/io_req.c (facts).
 */
#ifndef SERVER_VM_REQUESTER_H
#define SERVER_VM_REQUESTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct requester;

/* One access as a hypervisor puts it into a slot. Not checked here: a test may send nonsense. */
struct requester_access {
    uint64_t address; /* PCICFG: bus << 20 | dev << 15 | func << 12 | reg */
    uint64_t value;   /* write: data; read: the answer on return */
    uint64_t size_bytes;
    uint32_t type;      /* enum request_type */
    uint32_t direction; /* enum request_direction */
};

/*
 * Attaches to the VM called vm_name of the server listening on socket_path, and takes its page.
 * 0, and *requester is the caller's until requester_detach; or a negative errno with one line in error
 * [error_bytes]: -ECONNREFUSED or -ENOENT no server there, -ENOENT no such VM, -EEXIST somebody else
 * plays that VM, -EOPNOTSUPP its page is in a device, -EPERM the server refuses this user, -EPROTO what
 * came is no sealed page.
 */
int requester_attach(const char *socket_path, const char *vm_name, struct requester **requester,
                     char *error, size_t error_bytes);

/* Hears what the server says on the attached connection, line by line (server/notify/irqfd.h), on a thread
 * of the requester's. The descriptor that came with it, or -1, is the listener's to close. */
struct requester_listener {
    void (*line)(void *context, const char *line, int descriptor);
    void (*again)(void *context); /* another server is there, after one that died; may be NULL */
    void *context;
};

/* As requester_attach, which ignores what the server says later. listener is copied. */
int requester_attach_listening(const char *socket_path, const char *vm_name,
                               const struct requester_listener *listener,
                               struct requester **requester, char *error, size_t error_bytes);

/*
 * Plays the hypervisor for a server in a QEMU guest: takes the memory that is shared with QEMU's ivshmem
 * device from the server of that device (ivshmem.h), and registers the page at offset_bytes, all slots
 * FREE. Each access interrupts the guest; the vCPUs of the mask `notified` wait for the vector of their
 * number, the others poll. Nobody tells when the server in the guest is gone. As requester_attach;
 * -ENOTCONN: QEMU is not connected to that server.
 */
int requester_register(const char *ivshmem_path, uint64_t offset_bytes, uint32_t vcpu_count,
                       uint32_t notified, struct requester **requester, char *error,
                       size_t error_bytes);

/* Before the first access: the vCPUs of the mask `notified` sleep in their accesses until the server
 * writes their eventfds, which it is given; the others go on to poll. Where the server waits for
 * requests, it is given an eventfd for those, too. 0, or a negative errno with one line in error: -EMFILE,
 * or what the server says. */
int requester_prepare(struct requester *requester, uint32_t notified, char *error,
                      size_t error_bytes);

/* Unmaps the page and hangs up: the server lets go of the VM. No access is under way any more. */
void requester_detach(struct requester *requester);

uint32_t requester_vcpu_count(const struct requester *requester);

#define REQUESTER_CPU_UNKNOWN UINT32_MAX
/* The CPU of the poller that sweeps the page, where no vCPU should run; REQUESTER_CPU_UNKNOWN if
 * the server did not say. */
uint32_t requester_poller_cpu(const struct requester *requester);

/* Makes one access as vcpu and waits for its answer: spinning, and from 50 us on giving the CPU to
 * others between its looks. 0; -ESHUTDOWN: the server is gone or requester_stop was called; -EPROTO:
 * the slot was not FREE, so on ACRN the guest would get #GP; -EINVAL: no such vCPU. The answer to a read
 * is what the server wrote, all 64 (MMIO, WP) or 32 bits of it. */
int requester_access(struct requester *requester, uint32_t vcpu, struct requester_access *access);

/* Any thread, signal-safe: lets every waiting and later access return -ESHUTDOWN. */
void requester_stop(struct requester *requester);

/* True once every access fails: the server is gone, or requester_stop was called. */
bool requester_is_over(const struct requester *requester);

#endif
