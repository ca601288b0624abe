/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hsm_device.h - a VM of Linux's ACRN driver, by /dev/acrn_hsm: its ioctls, and who may make them.
 *
 * Flow:    hsm_create, a VM of our own, or hsm_adopt, one that an earlier ioreqd created, or hsm_take_over, one that a device model created and hands over
 *          with its page -> we are its default client -> hsm_tell for each answer, by the notifier's
 *          thread -> hsm_clear_begin, _poll at a reset -> hsm_destroy.
 *
 *          The driver offers a request by PROCESSING && !kernel_handled, which the poller sees by itself
 *          (pollers/page_driver.h): nobody waits in ATTACH, but for pollers that sleep (hsm_watch.h).
 *
 *          is_direct: where the hypervisor polls for completion, the poller completes past the driver:
 *          no thread between, no ioctl, no hypercall. What it costs: the driver's bitmap of the default
 *          client keeps a bit for each vCPU that was answered so, since only NOTIFY clears it. So
 *          ATTACH never waits again (do not combine it with wait_after, nor with a device model that waits
 *          there), and CLEAR makes those slots COMPLETE whatever they are: it must be followed by the
 *          hypervisor's reset of the VM, which frees all slots, before a vCPU runs again. Slots that do
 *          not poll go through the driver in any case.
 * Threads: control; hsm_tell: the notifier's. CLEAR waits up to 100 ms for the kernel's clients, so it has a
 *          thread of its own while it lasts.
 * Memory:  owns the device and the page, 4096 bytes, mapped until hsm_destroy; what is taken over is
 *          duplicated.
 * Errors:  negative errno, and in reason one clause with the remedy. ENODEV and 1 as results of an ioctl both
 *          mean that the default client was destroyed (the driver's first version said 1).
 * Source:  <linux/acrn.h>; Linux drivers/virt/acrn (facts).
 */
#ifndef SERVER_SOURCES_HSM_DEVICE_H
#define SERVER_SOURCES_HSM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HSM_PATH "/dev/acrn_hsm"

struct acrn_io_request;
struct page;

struct hsm_options {
    const char *path;      /* HSM_PATH */
    uint32_t vcpus;        /* 1..16 */
    uint64_t cpu_affinity; /* bit per CPU of the vCPUs; 0: the hypervisor's choice */
    bool is_direct;
};

struct hsm;

/* Creates a VM with a page and becomes its default client. -ENOENT, -EACCES: no driver; -EINVAL: the
 * hypervisor refuses. */
int hsm_create(const struct hsm_options *options, struct hsm **hsm, char *reason,
               size_t reason_bytes);

/* Goes on with a VM of ours whose ioreqd died: the driver has it for as long as somebody holds its device,
 * and we are still its default client. Both descriptors, as of hsm_descriptor and hsm_page, stay the
 * caller's. -EINVAL: the VM is gone. -EBADMSG: it is no page of ours. */
int hsm_adopt(const struct hsm_options *options, int device, int page_descriptor, struct hsm **hsm,
              char *reason, size_t reason_bytes);

/* Becomes the default client of the VM behind device, whose page is the memory file page_descriptor. Both
 * stay the caller's. -ENOTTY: no HSM; -EEXIST: somebody is its default client; -EINVAL: its VM is not
 * created, or destroyed; -EPERM: the page's size can change; -ERANGE: it is no page; -ENODATA: a page of
 * zeroes. */
int hsm_take_over(const struct hsm_options *options, int device, int page_descriptor,
                  struct hsm **hsm, char *reason, size_t reason_bytes);

/* Its default client is destroyed; a VM of our own too. After clearing: whoever still has a request there
 * would wait for ever. NULL does nothing. */
void hsm_destroy(struct hsm *hsm);

struct acrn_io_request *hsm_slots(const struct hsm *hsm);
bool hsm_is_direct(const struct hsm *hsm);
/* Created by hsm_create. */
bool hsm_is_ours(const struct hsm *hsm);
/* The hypervisor's number of a VM of ours. */
uint16_t hsm_vm_id(const struct hsm *hsm);
/* The device, for whoever loads and starts a VM of ours; stays the hsm's. */
int hsm_descriptor(const struct hsm *hsm);
/* The file that its page is in; stays the hsm's. */
int hsm_page(const struct hsm *hsm);

/* Where hsm_tell looks; before the first request. */
void hsm_set_page(struct hsm *hsm, struct page *page);

/* For notify_target: tells the driver that vcpu's request is finished, if it is. */
void hsm_tell(void *hsm, uint32_t vcpu);

/* How a poller that waits hears of requests; the hsm's. */
struct hsm_watch;
int hsm_wait(struct hsm *hsm, const struct hsm_watch **watch);

/* 0 while it is there; -ENODEV: the VM or its default client was destroyed. */
int hsm_check(struct hsm *hsm);

/* CLEAR_VM_IOREQ; nothing of ours is in flight. -EAGAIN: not through yet. */
int hsm_clear_begin(struct hsm *hsm);
int hsm_clear_poll(struct hsm *hsm);

/* An interrupt line of the guest; an MSI. */
int hsm_set_line(struct hsm *hsm, uint32_t gsi, bool is_high);
int hsm_inject_msi(struct hsm *hsm, uint64_t address, uint32_t data);

/* The driver's own doorbells and interrupts by eventfd, where the kernel shall do the work. */
struct hsm_doorbell {
    int descriptor;
    bool is_port;
    uint64_t address;
    uint32_t length_bytes;
    bool has_datamatch;
    uint64_t data;
};
int hsm_doorbell(struct hsm *hsm, const struct hsm_doorbell *doorbell, bool is_assigned);
int hsm_interrupt_by(struct hsm *hsm, int descriptor, uint64_t address, uint32_t data,
                     bool is_assigned);

/* For display. */
struct hsm_figures {
    uint64_t told;     /* NOTIFY_REQUEST_FINISH that the driver took */
    uint64_t failures; /* that it refused */
    uint64_t clears;
};
struct hsm_figures hsm_figures(const struct hsm *hsm);

/* ioctl(2): its result, or a negative errno. */
int hsm_call(int device, unsigned long request, void *argument);

/* Tests: what stands in for ioctl(2) from now on; NULL: ioctl. */
void hsm_set_ioctl(int (*call)(int device, unsigned long request, void *argument));

#endif
