/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/hsm_device.h"

#include "pollers/memory.h"
#include "pollers/page_driver.h"
#include "server/reason.h"
#include "server/sources/hsm_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Behind the page, in the file of a VM of ours: for hsm_adopt. */
struct hsm_note {
    uint64_t magic;
    uint32_t vcpus;
    uint32_t vm_id;
};
#define NOTE_MAGIC UINT64_C(0x65746f6e2d6d7368) /* "hsm-note" */

/* As the driver's ABI has the number: SET_IRQLINE takes it by value. */
#define LINE_OPERATION_SHIFT 32
#define LINE_SET_HIGH        UINT64_C(0)
#define LINE_SET_LOW         UINT64_C(1)

struct hsm {
    int device;
    int page_descriptor;
    struct acrn_io_request *slots;
    struct page *page;
    bool is_direct;
    bool is_ours;
    bool is_client; /* we are the default client */
    uint16_t vm_id;
    uint32_t vcpus;
    struct hsm_watch *watch; /* NULL: nobody waits for requests */
    bool has_clear_thread;
    pthread_t clear_thread;
    _Atomic bool is_cleared; /* the thread is through, with: */
    int clear_result;
    _Atomic uint64_t told, failures, clears;
};

static int call_kernel(int device, unsigned long request, void *argument)
{
    int result = ioctl(device, request, argument);
    return result < 0 ? -errno : result;
}

static int (*call)(int device, unsigned long request, void *argument) = call_kernel;

int hsm_call(int device, unsigned long request, void *argument)
{
    return call(device, request, argument);
}

void hsm_set_ioctl(int (*replacement)(int device, unsigned long request, void *argument))
{
    call = replacement ? replacement : call_kernel;
}

/* ---- the page ---------------------------------------------------------------------------- */

static int map_page(struct hsm *hsm)
{
    void *mapping = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                         hsm->page_descriptor, 0);
    if (mapping == MAP_FAILED)
        return -errno;
    hsm->slots = mapping;
    return 0;
}

/* Memory that the driver pins: of a file, so that a fork shares it. */
static int make_page(struct hsm *hsm)
{
    hsm->page_descriptor = memfd_create("ioreqd-hsm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (hsm->page_descriptor < 0 || ftruncate(hsm->page_descriptor, 2 * PAGE_BYTES) < 0 ||
        fcntl(hsm->page_descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return map_page(hsm);
}

/* The page of a VM of ours, made by make_page under an earlier ioreqd. */
static int take_own_page(struct hsm *hsm, int descriptor, char *reason, size_t reason_bytes)
{
    struct hsm_note note;
    hsm->page_descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (hsm->page_descriptor < 0)
        return reason_give(reason, reason_bytes, -errno, "no descriptor of the page: %s",
                           strerror(errno));
    if (pread(descriptor, &note, sizeof(note), PAGE_BYTES) != sizeof(note) ||
        note.magic != NOTE_MAGIC || note.vcpus != hsm->vcpus || note.vm_id > UINT16_MAX)
        return reason_give(reason, reason_bytes, -EBADMSG,
                           "the page that was kept is of another VM or version");
    hsm->vm_id = (uint16_t)note.vm_id;
    int result = map_page(hsm);
    return result < 0 ? reason_give(reason, reason_bytes, result, "the page cannot be mapped: %s",
                                    strerror(-result))
                      : 0;
}

/* A file that could shrink would take the page from under the poller. */
static int take_page(struct hsm *hsm, int descriptor, char *reason, size_t reason_bytes)
{
    struct stat status;
    hsm->page_descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (hsm->page_descriptor < 0)
        return reason_give(reason, reason_bytes, -errno, "no descriptor of the page: %s",
                           strerror(errno));
    if (fstat(descriptor, &status) < 0 || status.st_size != PAGE_BYTES)
        return reason_give(reason, reason_bytes, -ERANGE,
                           "the page's file has not %d bytes; expected a memfd "
                           "that holds the page and nothing else",
                           PAGE_BYTES);
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 ||
        (!(seals & F_SEAL_SHRINK) && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK) < 0))
        return reason_give(
            reason, reason_bytes, -EPERM,
            "the page's file could shrink; expected a memfd made with MFD_ALLOW_SEALING");
    int result = map_page(hsm);
    if (result < 0)
        return reason_give(reason, reason_bytes, result, "the page cannot be mapped: %s",
                           strerror(-result));
    if (slots_look(hsm->slots) == SLOTS_ZERO)
        return reason_give(
            reason, reason_bytes, -ENODATA,
            "a page of zeroes; expected that of the VM behind the device, whose creation has freed "
            "its slots");
    return 0;
}

/* ---- life -------------------------------------------------------------------------------- */

static struct hsm *allocate(const struct hsm_options *options)
{
    struct hsm *created = calloc(1, sizeof(*created));
    if (!created)
        return NULL;
    created->device = created->page_descriptor = -1;
    created->vcpus = options->vcpus;
    created->is_direct = options->is_direct;
    return created;
}

static int open_device(struct hsm *hsm, const char *path, char *reason, size_t reason_bytes)
{
    hsm->device = open(path, O_RDWR | O_CLOEXEC);
    if (hsm->device >= 0)
        return 0;
    int error = errno;
    return reason_give(reason, reason_bytes, -error, "%s: %s; %s", path, strerror(error),
                       error == EACCES
                           ? "expected to run as root, or with rights to it"
                           : "expected Linux's ACRN driver (module acrn, CONFIG_ACRN_HSM) in the "
                             "Service VM of an ACRN hypervisor");
}

static int create_vm(struct hsm *hsm, const struct hsm_options *options, char *reason,
                     size_t reason_bytes)
{
    struct acrn_vm_creation creation = {
        .vcpu_num = (uint16_t)options->vcpus,
        .ioreq_buf = (uint64_t)(uintptr_t)hsm->slots,
        .cpu_affinity = options->cpu_affinity,
    };
    int result = call(hsm->device, ACRN_IOCTL_CREATE_VM, &creation);
    if (result < 0)
        return reason_give(reason, reason_bytes, result,
                           "the hypervisor creates no VM of %u vCPUs: %s; its own log tells why",
                           options->vcpus, strerror(-result));
    hsm->is_ours = true;
    hsm->vm_id = creation.vmid;
    const struct hsm_note note = {NOTE_MAGIC, options->vcpus, creation.vmid};
    ssize_t written = pwrite(hsm->page_descriptor, &note, sizeof(note), PAGE_BYTES);
    return written == sizeof(note)
               ? 0
               : reason_give(reason, reason_bytes, -EIO, "no memory for a note");
}

static int become_client(struct hsm *hsm, char *reason, size_t reason_bytes)
{
    int result = call(hsm->device, ACRN_IOCTL_CREATE_IOREQ_CLIENT, NULL);
    hsm->is_client = result == 0;
    if (result == 0)
        return 0;
    return reason_give(
        reason, reason_bytes, result, "%s",
        result == -EEXIST   ? "somebody else is the VM's default client; expected a device model "
                              "that leaves CREATE_IOREQ_CLIENT to ioreqd"
        : result == -EINVAL ? "no VM behind the device; expected CREATE_VM before it is handed over"
        : result == -ENOTTY ? "no ACRN device; expected an open /dev/acrn_hsm"
                            : strerror(-result));
}

int hsm_create(const struct hsm_options *options, struct hsm **hsm, char *reason,
               size_t reason_bytes)
{
    struct hsm *created = allocate(options);
    if (!created)
        return reason_give(reason, reason_bytes, -ENOMEM, "no memory");
    int result = open_device(created, options->path, reason, reason_bytes);
    if (result == 0 && (result = make_page(created)) < 0)
        reason_give(reason, reason_bytes, result, "no memory for the page: %s", strerror(-result));
    if (result == 0)
        result = create_vm(created, options, reason, reason_bytes);
    if (result == 0 && slots_look(created->slots) == SLOTS_ZERO)
        result =
            reason_give(reason, reason_bytes, -ENODATA,
                        "the hypervisor has left the page full of zeroes; it does not know of it");
    if (result == 0)
        result = become_client(created, reason, reason_bytes);
    if (result < 0)
        hsm_destroy(created);
    else
        *hsm = created;
    return result;
}

/* With a descriptor of its own of a device that is open already. On failure *hsm is NULL. */
static int allocate_with(const struct hsm_options *options, int device, struct hsm **hsm,
                         char *reason, size_t reason_bytes)
{
    *hsm = allocate(options);
    if (!*hsm)
        return reason_give(reason, reason_bytes, -ENOMEM, "no memory");
    (*hsm)->device = fcntl(device, F_DUPFD_CLOEXEC, 0);
    if ((*hsm)->device >= 0)
        return 0;
    int result = reason_give(reason, reason_bytes, -errno, "no descriptor of the device: %s",
                             strerror(errno));
    hsm_destroy(*hsm);
    *hsm = NULL;
    return result;
}

int hsm_take_over(const struct hsm_options *options, int device, int page_descriptor,
                  struct hsm **hsm, char *reason, size_t reason_bytes)
{
    struct hsm *created;
    int result = allocate_with(options, device, &created, reason, reason_bytes);
    if (result == 0)
        result = take_page(created, page_descriptor, reason, reason_bytes);
    /* Whoever hands it over says that nobody else is its client: an earlier ioreqd was, then. */
    if (result == 0 && (result = become_client(created, reason, reason_bytes)) == -EEXIST &&
        call(created->device, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, NULL) == 0)
        result = become_client(created, reason, reason_bytes);
    if (result < 0)
        hsm_destroy(created);
    else
        *hsm = created;
    return result;
}

int hsm_adopt(const struct hsm_options *options, int device, int page_descriptor, struct hsm **hsm,
              char *reason, size_t reason_bytes)
{
    struct hsm *created;
    int result = allocate_with(options, device, &created, reason, reason_bytes);
    if (result == 0)
        result = take_own_page(created, page_descriptor, reason, reason_bytes);
    /* The dead one's place is ours: what the driver has for its default client it has for us. */
    if (result == 0 && (result = become_client(created, reason, reason_bytes)) == -EEXIST)
        result = 0;
    if (result < 0) {
        hsm_destroy(created);
        return result;
    }
    created->is_client = created->is_ours = true;
    *hsm = created;
    return 0;
}

static int tell_driver(struct hsm *hsm, uint32_t vcpu)
{
    struct acrn_ioreq_notify finished = {.vmid = hsm->vm_id, .vcpu = vcpu};
    return call(hsm->device, ACRN_IOCTL_NOTIFY_REQUEST_FINISH, &finished);
}

/* What the driver had given us and we never took, or abandoned: nobody else would answer. */
static void answer_leftovers(struct hsm *hsm)
{
    for (uint32_t i = 0; i < hsm->vcpus; i++) {
        struct slot_copy copy;
        if (!slot_is_offered(&hsm->slots[i]))
            continue;
        slot_copy_out(&hsm->slots[i], &copy);
        if (slot_put_answer(&hsm->slots[i], copy.direction != REQUEST_WRITE, copy.type, UINT64_MAX))
            tell_driver(hsm, i);
    }
}

/* What came to us between that and our end as a client: the driver does not finish it any more, but who
 * polls goes ahead. */
static void answer_orphans(struct hsm *hsm)
{
    for (uint32_t i = 0; i < hsm->vcpus; i++)
        if (slot_is_offered(&hsm->slots[i]))
            slot_complete(&hsm->slots[i], SLOT_PROCESSING, true, REQUEST_MMIO, UINT64_MAX);
}

void hsm_destroy(struct hsm *hsm)
{
    if (!hsm)
        return;
    hsm_watch_stop(hsm->watch);
    if (hsm->has_clear_thread)
        pthread_join(hsm->clear_thread, NULL);
    if (hsm->is_client) {
        if (!hsm->is_ours)
            answer_leftovers(hsm);
        call(hsm->device, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, NULL);
    }
    if (hsm->is_ours)
        call(hsm->device, ACRN_IOCTL_DESTROY_VM, NULL);
    else if (hsm->is_client)
        answer_orphans(hsm);
    if (hsm->slots)
        munmap(hsm->slots, PAGE_BYTES);
    if (hsm->page_descriptor >= 0)
        close(hsm->page_descriptor);
    if (hsm->device >= 0)
        close(hsm->device);
    free(hsm);
}

struct acrn_io_request *hsm_slots(const struct hsm *hsm)
{
    return hsm->slots;
}

bool hsm_is_direct(const struct hsm *hsm)
{
    return hsm->is_direct;
}

bool hsm_is_ours(const struct hsm *hsm)
{
    return hsm->is_ours;
}

uint16_t hsm_vm_id(const struct hsm *hsm)
{
    return hsm->vm_id;
}

int hsm_descriptor(const struct hsm *hsm)
{
    return hsm->device;
}

int hsm_page(const struct hsm *hsm)
{
    return hsm->page_descriptor;
}

void hsm_set_page(struct hsm *hsm, struct page *page)
{
    hsm->page = page;
}

/* ---- answers ----------------------------------------------------------------------------- */

void hsm_tell(void *context, uint32_t vcpu)
{
    struct hsm *hsm = context;
    if (!page_driver_is_due(hsm->page, vcpu))
        return;
    int result = tell_driver(hsm, vcpu);
    /* Closed even so: the driver is gone, or the VM, and nobody waits. */
    page_driver_close(hsm->page, vcpu);
    counter_add(result == 0 ? &hsm->told : &hsm->failures, 1);
}

int hsm_wait(struct hsm *hsm, const struct hsm_watch **watch)
{
    int result = hsm->watch ? 0 : hsm_watch_start(hsm->device, &hsm->watch);
    *watch = hsm->watch;
    return result;
}

int hsm_check(struct hsm *hsm)
{
    if (hsm->watch && hsm_watch_is_over(hsm->watch)) {
        hsm->is_client = false;
        return -ENODEV;
    }
    /* While we are the default client it is refused with EEXIST. That it is taken means that ours was
     * destroyed; and it would now be there again. */
    int result = call(hsm->device, ACRN_IOCTL_CREATE_IOREQ_CLIENT, NULL);
    if (result == -EEXIST)
        return 0;
    if (result == 0)
        call(hsm->device, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, NULL);
    hsm->is_client = false;
    return -ENODEV;
}

/* ---- reset ------------------------------------------------------------------------------- */

static void *clear(void *context)
{
    struct hsm *hsm = context;
    hsm->clear_result = call(hsm->device, ACRN_IOCTL_CLEAR_VM_IOREQ, NULL);
    /* Release: pairs with hsm_clear_poll. */
    atomic_store_explicit(&hsm->is_cleared, true, memory_order_release);
    return NULL;
}

int hsm_clear_begin(struct hsm *hsm)
{
    if (hsm->has_clear_thread)
        return 0;
    atomic_store_explicit(&hsm->is_cleared, false, memory_order_relaxed); /* before the thread is */
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MEMORY_STACK_BYTES);
    int result = -pthread_create(&hsm->clear_thread, &attributes, clear, hsm);
    pthread_attr_destroy(&attributes);
    hsm->has_clear_thread = result == 0;
    return result;
}

int hsm_clear_poll(struct hsm *hsm)
{
    if (!hsm->has_clear_thread)
        return hsm->clear_result;
    /* Acquire: pairs with clear's release; the result is there. */
    if (!atomic_load_explicit(&hsm->is_cleared, memory_order_acquire))
        return -EAGAIN;
    pthread_join(hsm->clear_thread, NULL);
    hsm->has_clear_thread = false;
    counter_add(&hsm->clears, 1);
    return hsm->clear_result;
}

/* ---- interrupts and doorbells ------------------------------------------------------------ */

int hsm_set_line(struct hsm *hsm, uint32_t gsi, bool is_high)
{
    uint64_t argument = (is_high ? LINE_SET_HIGH : LINE_SET_LOW) << LINE_OPERATION_SHIFT | gsi;
    return call(hsm->device, ACRN_IOCTL_SET_IRQLINE, (void *)(uintptr_t)argument);
}

int hsm_inject_msi(struct hsm *hsm, uint64_t address, uint32_t data)
{
    struct acrn_msi_entry msi = {.msi_addr = address, .msi_data = data};
    return call(hsm->device, ACRN_IOCTL_INJECT_MSI, &msi);
}

int hsm_doorbell(struct hsm *hsm, const struct hsm_doorbell *doorbell, bool is_assigned)
{
    struct acrn_ioeventfd argument = {
        .fd = (uint32_t)doorbell->descriptor,
        .flags = (doorbell->is_port ? ACRN_IOEVENTFD_FLAG_PIO : 0u) |
                 (doorbell->has_datamatch ? ACRN_IOEVENTFD_FLAG_DATAMATCH : 0u) |
                 (is_assigned ? 0u : ACRN_IOEVENTFD_FLAG_DEASSIGN),
        .addr = doorbell->address,
        .len = doorbell->length_bytes,
        .data = doorbell->data,
    };
    return call(hsm->device, ACRN_IOCTL_IOEVENTFD, &argument);
}

int hsm_interrupt_by(struct hsm *hsm, int descriptor, uint64_t address, uint32_t data,
                     bool is_assigned)
{
    struct acrn_irqfd argument = {
        .fd = descriptor,
        .flags = is_assigned ? 0u : ACRN_IRQFD_FLAG_DEASSIGN,
        .msi = {.msi_addr = address, .msi_data = data},
    };
    return call(hsm->device, ACRN_IOCTL_IRQFD, &argument);
}

struct hsm_figures hsm_figures(const struct hsm *hsm)
{
    return (struct hsm_figures){
        .told = counter_read(&hsm->told),
        .failures = counter_read(&hsm->failures),
        .clears = counter_read(&hsm->clears),
    };
}
