/* SPDX-License-Identifier: BSD-3-Clause */
/* The ACRN driver's ioctls as we make them, against a stand-in for the driver: what it may refuse, and what
 * we do then. Against the driver itself: tests/integration/qemu/acrn_test.sh. */
#include "server/sources/hsm_device.h"

#include "pollers/page_driver.h"
#include "server/sources/hsm_watch.h"
#include "tests/support/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/acrn.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#define CALLS_MAX 64

static struct {
    unsigned long refused; /* this request, with: */
    int error;
    unsigned long calls[CALLS_MAX];
    uint32_t count;
    struct acrn_io_request *slots; /* of CREATE_VM */
    uint64_t cpu_affinity;
    bool leaves_zeroes, has_client;
    uint32_t finished; /* bit per vCPU */
    uint64_t line;
    struct acrn_msi_entry msi;
    struct acrn_ioeventfd ioeventfd;
    struct acrn_irqfd irqfd;
} driver;

static int create_vm(struct acrn_vm_creation *creation)
{
    driver.slots = (struct acrn_io_request *)(uintptr_t)creation->ioreq_buf;
    driver.cpu_affinity = creation->cpu_affinity;
    creation->vmid = 5;
    if (!driver.leaves_zeroes)
        slots_free_all(driver.slots);
    return 0;
}

/* ATTACH as the driver has it: waits for a request, a signal, or the end. */
static struct {
    _Atomic bool has_request, is_over;
    _Atomic int over, waits;
} attach;

static int wait_in_attach(void)
{
    struct timespec pause = {.tv_nsec = 200000};
    atomic_fetch_add(&attach.waits, 1);
    while (!attach.has_request && !attach.is_over)
        if (nanosleep(&pause, NULL) < 0)
            return 0;
    return attach.is_over ? attach.over : 0;
}

static int stand_in(int device, unsigned long request, void *argument)
{
    if (request == ACRN_IOCTL_ATTACH_IOREQ_CLIENT)
        return wait_in_attach(); /* the only one that comes on another thread */
    assert_true(device >= 0);
    assert_true(driver.count < CALLS_MAX);
    driver.calls[driver.count++] = request;
    if (request == driver.refused)
        return driver.error;
    switch (request) {
    case ACRN_IOCTL_CREATE_VM:
        return create_vm(argument);
    case ACRN_IOCTL_CREATE_IOREQ_CLIENT:
        if (driver.has_client)
            return -EEXIST;
        driver.has_client = true;
        return 0;
    case ACRN_IOCTL_DESTROY_IOREQ_CLIENT:
        driver.has_client = false;
        return 0;
    case ACRN_IOCTL_NOTIFY_REQUEST_FINISH:
        driver.finished |= 1u << ((struct acrn_ioreq_notify *)argument)->vcpu;
        return 0;
    case ACRN_IOCTL_SET_IRQLINE:
        driver.line = (uint64_t)(uintptr_t)argument;
        return 0;
    case ACRN_IOCTL_INJECT_MSI:
        driver.msi = *(struct acrn_msi_entry *)argument;
        return 0;
    case ACRN_IOCTL_IOEVENTFD:
        driver.ioeventfd = *(struct acrn_ioeventfd *)argument;
        return 0;
    case ACRN_IOCTL_IRQFD:
        driver.irqfd = *(struct acrn_irqfd *)argument;
        return 0;
    default:
        return 0;
    }
}

static const struct hsm_options options = {.path = "/dev/null", .vcpus = 2, .cpu_affinity = 0xc};

static int set_up(void **state)
{
    (void)state;
    memset(&driver, 0, sizeof(driver));
    hsm_set_ioctl(stand_in);
    return 0;
}

static bool was_called(unsigned long request)
{
    for (uint32_t i = 0; i < driver.count; i++)
        if (driver.calls[i] == request)
            return true;
    return false;
}

static int count_descriptors(void)
{
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(descriptor);
    return descriptor; /* the lowest that is free: nothing was left open below it */
}

/* What a refusal says, and that nothing is left. */
static void create_fails(unsigned long refused, int error, const char *says)
{
    struct hsm *hsm = NULL;
    char reason[256] = "";
    int before = count_descriptors();
    driver.refused = refused;
    driver.error = error;
    assert_int_equal(hsm_create(&options, &hsm, reason, sizeof(reason)), error);
    assert_non_null(strstr(reason, says));
    assert_null(hsm);
    assert_int_equal(count_descriptors(), before);
}

static void without_a_driver_a_vm_is_refused_with_the_remedy(void **state)
{
    (void)state;
    struct hsm *hsm = NULL;
    char reason[256];
    const struct hsm_options nowhere = {.path = "/dev/no_acrn_here", .vcpus = 1};
    assert_int_equal(hsm_create(&nowhere, &hsm, reason, sizeof(reason)), -ENOENT);
    assert_non_null(strstr(reason, "/dev/no_acrn_here"));
    assert_non_null(strstr(reason, "CONFIG_ACRN_HSM"));
    assert_int_equal(driver.count, 0);
}

static void what_the_driver_refuses_leaves_nothing_behind(void **state)
{
    (void)state;
    create_fails(ACRN_IOCTL_CREATE_VM, -EINVAL, "no VM of 2 vCPUs");
    assert_false(was_called(ACRN_IOCTL_DESTROY_VM));
    create_fails(ACRN_IOCTL_CREATE_IOREQ_CLIENT, -EEXIST, "default client");
    assert_true(was_called(ACRN_IOCTL_DESTROY_VM));
    assert_false(was_called(ACRN_IOCTL_DESTROY_IOREQ_CLIENT));
    driver.leaves_zeroes = true;
    create_fails(0, -ENODATA, "zeroes");
}

/* ---- handed over ------------------------------------------------------------------------- */

static int page_of(size_t bytes, unsigned flags, bool is_registered)
{
    int page = memfd_create("page", flags);
    assert_true(page >= 0 && ftruncate(page, (off_t)bytes) == 0);
    if (is_registered) {
        struct acrn_io_request *slots =
            mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
        assert_true(slots != MAP_FAILED);
        slots_free_all(slots);
        munmap(slots, PAGE_BYTES);
    }
    return page;
}

static void take_over_fails(int page, int error, const char *says)
{
    struct hsm *hsm = NULL;
    char reason[256] = "";
    int device = open("/dev/null", O_RDWR | O_CLOEXEC), before = count_descriptors();
    assert_int_equal(hsm_take_over(&options, device, page, &hsm, reason, sizeof(reason)), error);
    assert_non_null(strstr(reason, says));
    assert_int_equal(count_descriptors(), before);
    close(device);
    close(page);
}

static void a_page_that_is_none_is_refused(void **state)
{
    (void)state;
    take_over_fails(page_of(0, MFD_ALLOW_SEALING, false), -ERANGE, "4096 bytes");
    take_over_fails(page_of(2 * PAGE_BYTES, MFD_ALLOW_SEALING, true), -ERANGE, "4096 bytes");
    take_over_fails(page_of(PAGE_BYTES, 0, true), -EPERM, "MFD_ALLOW_SEALING");
    take_over_fails(page_of(PAGE_BYTES, MFD_ALLOW_SEALING, false), -ENODATA, "zeroes");
    assert_false(was_called(ACRN_IOCTL_CREATE_IOREQ_CLIENT));
}

static void a_device_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        int error;
        const char *says;
    } refusals[] = {
        {-ENOTTY, "no ACRN device"}, {-EINVAL, "CREATE_VM"}, {-EEXIST, "somebody else"}};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        driver.refused = ACRN_IOCTL_CREATE_IOREQ_CLIENT;
        driver.error = refusals[i].error;
        take_over_fails(page_of(PAGE_BYTES, MFD_ALLOW_SEALING, true), refusals[i].error,
                        refusals[i].says);
    }
}

/* What it had offered, or we abandoned, is answered and finished before we go; the VM is not ours. */
static void leaving_a_vm_answers_what_is_left(void **state)
{
    (void)state;
    struct hsm *hsm = NULL;
    char reason[256];
    int device = open("/dev/null", O_RDWR | O_CLOEXEC);
    int page = page_of(PAGE_BYTES, MFD_ALLOW_SEALING, true);
    assert_int_equal(hsm_take_over(&options, device, page, &hsm, reason, sizeof(reason)), 0);
    assert_int_equal(fcntl(page, F_GET_SEALS) & F_SEAL_SHRINK, F_SEAL_SHRINK);
    struct acrn_io_request *slots =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    slots[1].processed = SLOT_PROCESSING;
    slots[1].type = REQUEST_MMIO;
    slots[0].processed = SLOT_PROCESSING;
    slots[0].kernel_handled = 1;
    hsm_destroy(hsm);
    assert_int_equal(driver.finished, 1u << 1);
    assert_true(slots[1].reqs.mmio_request.value == UINT64_MAX);
    assert_int_equal(slots[0].processed, SLOT_PROCESSING);
    assert_true(was_called(ACRN_IOCTL_DESTROY_IOREQ_CLIENT));
    assert_false(was_called(ACRN_IOCTL_DESTROY_VM));
    munmap(slots, PAGE_BYTES);
    close(page);
    close(device);
}

/* ---- a VM of ours ------------------------------------------------------------------------ */

static struct hsm *created(void)
{
    struct hsm *hsm = NULL;
    char reason[256];
    assert_int_equal(hsm_create(&options, &hsm, reason, sizeof(reason)), 0);
    assert_int_equal(hsm_vm_id(hsm), 5);
    assert_true(hsm_is_ours(hsm));
    assert_ptr_equal(hsm_slots(hsm), driver.slots);
    assert_true(driver.cpu_affinity == options.cpu_affinity);
    return hsm;
}

static void a_vm_of_ours_goes_with_us(void **state)
{
    (void)state;
    hsm_destroy(created());
    assert_int_equal(driver.calls[driver.count - 2], ACRN_IOCTL_DESTROY_IOREQ_CLIENT);
    assert_int_equal(driver.calls[driver.count - 1], ACRN_IOCTL_DESTROY_VM);
    hsm_destroy(NULL);
}

static void the_driver_is_told_of_what_is_finished_and_of_nothing_else(void **state)
{
    (void)state;
    struct hsm *hsm = created();
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2});
    page_close(guest->page);
    guest->page->has_driver = true;
    page_open_registered(guest->page, hsm_slots(hsm));
    hsm_set_page(hsm, guest->page);
    hsm_tell(hsm, 0); /* nothing is */
    assert_int_equal(driver.finished, 0);
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        driver.refused = is_refused ? ACRN_IOCTL_NOTIFY_REQUEST_FINISH : 0;
        driver.error = -EINVAL;
        driver.finished = 0;
        driver.slots[1].type = REQUEST_MMIO;
        driver.slots[1].reqs.mmio_request =
            (struct acrn_mmio_request){.direction = REQUEST_READ, .address = GUEST_MMIO, .size = 8};
        driver.slots[1].processed = SLOT_PROCESSING;
        poller_round(guest->poller);
        hsm_tell(hsm, 1);
        assert_int_equal(driver.finished, is_refused ? 0 : 1u << 1);
        assert_int_equal(page_in_flight(guest->page), 0);
        driver.slots[1].processed = SLOT_FREE;
    }
    assert_int_equal(hsm_figures(hsm).told, 1);
    assert_int_equal(hsm_figures(hsm).failures, 1);
    guest_destroy(guest);
    hsm_destroy(hsm);
}

/* ---- a VM of ours whose ioreqd died ------------------------------------------------------- */

static struct hsm *adopted(int device, int page, int expected)
{
    struct hsm *hsm = NULL;
    char reason[256] = "";
    assert_int_equal(hsm_adopt(&options, device, page, &hsm, reason, sizeof(reason)), expected);
    assert_true((reason[0] != '\0') == (expected < 0) || expected == 0);
    return hsm;
}

static void ask(uint32_t slot_index)
{
    driver.slots[slot_index].type = REQUEST_MMIO;
    driver.slots[slot_index].reqs.mmio_request =
        (struct acrn_mmio_request){.direction = REQUEST_READ, .address = GUEST_MMIO, .size = 8};
    driver.slots[slot_index].processed = SLOT_PROCESSING;
}

/* The driver has not finished what the dead one had, told or not: each is answered and told once. */
static void what_a_dead_server_left_is_answered_once(void **state)
{
    (void)state;
    struct hsm *dead = created();
    int device = dup(hsm_descriptor(dead)), page = dup(hsm_page(dead)); /* the keeper's */
    assert_true(device >= 0 && page >= 0);
    ask(0);                                    /* taken, and perhaps answered, but never told */
    driver.slots[1].processed = SLOT_COMPLETE; /* told: the requester's */
    driver.slots[1].reqs.mmio_request.value = 77;
    uint32_t calls = driver.count;
    struct hsm *hsm = adopted(device, page, 0);
    assert_int_equal(driver.count, calls + 1); /* asked whether we are its client, no more */
    assert_true(hsm_is_ours(hsm) && hsm_vm_id(hsm) == 5);
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2});
    page_close(guest->page);
    guest->page->has_driver = true;
    page_open_registered(guest->page, hsm_slots(hsm));
    hsm_set_page(hsm, guest->page);
    for (int i = 0; i < 3; i++) {
        poller_round(guest->poller);
        hsm_tell(hsm, 0);
        hsm_tell(hsm, 1);
        if (driver.finished) /* as the driver does */
            hsm_slots(hsm)[0].processed = SLOT_COMPLETE;
    }
    assert_int_equal(driver.finished, 1u << 0);
    assert_int_equal(hsm_figures(hsm).told, 1);
    assert_true(hsm_slots(hsm)[1].reqs.mmio_request.value == 77);
    guest_destroy(guest);
    hsm_destroy(hsm);
    assert_true(was_called(ACRN_IOCTL_DESTROY_VM));
    close(device);
    close(page);
    hsm_destroy(dead); /* the memory of a test that does not die */
}

static void a_vm_that_is_gone_is_not_adopted(void **state)
{
    (void)state;
    struct hsm *dead = created();
    int device = dup(hsm_descriptor(dead)), page = dup(hsm_page(dead));
    int before = count_descriptors();
    int other = page_of(PAGE_BYTES, MFD_ALLOW_SEALING, true);
    assert_null(adopted(device, other, -EBADMSG));
    close(other);
    driver.refused = ACRN_IOCTL_CREATE_IOREQ_CLIENT;
    driver.error = -EINVAL;
    assert_null(adopted(device, page, -EINVAL));
    assert_false(was_called(ACRN_IOCTL_DESTROY_VM));
    assert_int_equal(count_descriptors(), before);
    driver.refused = 0;
    close(device);
    close(page);
    hsm_destroy(dead);
}

static void a_client_that_was_destroyed_is_noticed(void **state)
{
    (void)state;
    struct hsm *hsm = created();
    assert_int_equal(hsm_check(hsm), 0);
    driver.has_client = false;
    assert_int_equal(hsm_check(hsm), -ENODEV);
    assert_false(driver.has_client); /* the question does not bring it back */
    hsm_destroy(hsm);
    hsm = created();
    driver.refused = ACRN_IOCTL_CREATE_IOREQ_CLIENT;
    driver.error = -EINVAL; /* the VM is gone */
    assert_int_equal(hsm_check(hsm), -ENODEV);
    hsm_destroy(hsm);
}

static void a_clear_is_the_drivers_too(void **state)
{
    (void)state;
    int expected[] = {0, -EINVAL};
    for (int i = 0; i < 2; i++) {
        struct hsm *hsm = created();
        int result;
        driver.refused = ACRN_IOCTL_CLEAR_VM_IOREQ;
        driver.error = expected[i];
        assert_int_equal(hsm_clear_begin(hsm), 0);
        assert_int_equal(hsm_clear_begin(hsm), 0); /* joins it */
        while ((result = hsm_clear_poll(hsm)) == -EAGAIN)
            usleep(100);
        assert_int_equal(result, expected[i]);
        assert_true(was_called(ACRN_IOCTL_CLEAR_VM_IOREQ));
        assert_int_equal(hsm_figures(hsm).clears, 1);
        assert_int_equal(hsm_clear_begin(hsm), 0);
        hsm_destroy(hsm); /* waits for the second */
    }
}

static uint64_t read_arrival(const struct hsm_watch *watch)
{
    uint64_t count = 0;
    struct pollfd entry = {.fd = hsm_watch_arrival(watch), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 10000), 1);
    assert_int_equal(read(entry.fd, &count, sizeof(count)), sizeof(count));
    return count;
}

static void a_request_wakes_a_poller_that_waits(void **state)
{
    (void)state;
    struct hsm *hsm = created();
    const struct hsm_watch *watch;
    memset(&attach, 0, sizeof(attach));
    assert_int_equal(hsm_wait(hsm, &watch), 0);
    for (int i = 1; i <= 3; i++) {
        attach.has_request = true;
        assert_int_equal(read_arrival(watch), 1);
        usleep(2000); /* not again before it was let in again */
        assert_int_equal(attach.waits, i);
        attach.has_request = false;
        assert_int_equal(write(hsm_watch_rearm(watch), "x", 1), 1);
        while (attach.waits == i)
            usleep(100);
    }
    assert_int_equal(hsm_check(hsm), 0);
    hsm_destroy(hsm); /* ends the wait */
}

static void both_ends_of_attach_mean_destroyed(void **state)
{
    (void)state;
    static const int ends[] = {-ENODEV, 1, -EINVAL};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct hsm *hsm = created();
        const struct hsm_watch *watch;
        memset(&attach, 0, sizeof(attach));
        attach.over = ends[i];
        assert_int_equal(hsm_wait(hsm, &watch), 0);
        attach.is_over = true;
        read_arrival(watch);
        assert_int_equal(hsm_check(hsm), -ENODEV);
        driver.has_client = false;
        hsm_destroy(hsm);
    }
}

static void interrupts_and_doorbells_have_the_drivers_form(void **state)
{
    (void)state;
    struct hsm *hsm = created();
    assert_int_equal(hsm_set_line(hsm, 4, false), 0);
    assert_true(driver.line == (UINT64_C(1) << 32 | 4));
    assert_int_equal(hsm_inject_msi(hsm, 0xfee00000, 0x41), 0);
    assert_true(driver.msi.msi_addr == 0xfee00000 && driver.msi.msi_data == 0x41);
    const struct hsm_doorbell bell = {.descriptor = 7,
                                      .is_port = true,
                                      .address = 0x500,
                                      .length_bytes = 4,
                                      .has_datamatch = true,
                                      .data = 9};
    assert_int_equal(hsm_doorbell(hsm, &bell, true), 0);
    assert_int_equal(driver.ioeventfd.flags,
                     ACRN_IOEVENTFD_FLAG_PIO | ACRN_IOEVENTFD_FLAG_DATAMATCH);
    assert_true(driver.ioeventfd.fd == 7 && driver.ioeventfd.addr == 0x500 &&
                driver.ioeventfd.len == 4 && driver.ioeventfd.data == 9);
    assert_int_equal(hsm_doorbell(hsm, &bell, false), 0);
    assert_true(driver.ioeventfd.flags & ACRN_IOEVENTFD_FLAG_DEASSIGN);
    assert_int_equal(hsm_interrupt_by(hsm, 8, 0xfee01000, 0x42, false), 0);
    assert_true(driver.irqfd.fd == 8 && driver.irqfd.flags == ACRN_IRQFD_FLAG_DEASSIGN &&
                driver.irqfd.msi.msi_addr == 0xfee01000 && driver.irqfd.msi.msi_data == 0x42);
    hsm_destroy(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_driver_a_vm_is_refused_with_the_remedy, set_up),
        cmocka_unit_test_setup(what_the_driver_refuses_leaves_nothing_behind, set_up),
        cmocka_unit_test_setup(a_page_that_is_none_is_refused, set_up),
        cmocka_unit_test_setup(a_device_that_is_none_is_refused, set_up),
        cmocka_unit_test_setup(leaving_a_vm_answers_what_is_left, set_up),
        cmocka_unit_test_setup(a_vm_of_ours_goes_with_us, set_up),
        cmocka_unit_test_setup(the_driver_is_told_of_what_is_finished_and_of_nothing_else, set_up),
        cmocka_unit_test_setup(what_a_dead_server_left_is_answered_once, set_up),
        cmocka_unit_test_setup(a_vm_that_is_gone_is_not_adopted, set_up),
        cmocka_unit_test_setup(a_client_that_was_destroyed_is_noticed, set_up),
        cmocka_unit_test_setup(a_clear_is_the_drivers_too, set_up),
        cmocka_unit_test_setup(a_request_wakes_a_poller_that_waits, set_up),
        cmocka_unit_test_setup(both_ends_of_attach_mean_destroyed, set_up),
        cmocka_unit_test_setup(interrupts_and_doorbells_have_the_drivers_form, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
