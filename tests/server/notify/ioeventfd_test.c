/* SPDX-License-Identifier: BSD-3-Clause */
/* ioeventfds on a page: what rings, what does not, and in which order things happen. */
#include "server/notify/ioeventfd.h"

#include "clients/doorbell.h"
#include "server/status.h"
#include "server/threads/sandbox.h"
#include "tests/support/child.h"
#include "tests/support/eventfd.h"
#include "tests/support/skip.h"
#include "tests/support/world.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BELL (WORLD_MMIO + 0x100)

static struct world world;
static struct vm *vm;
static struct world_device device;
static struct vm_client *client; /* MMIO WORLD_MMIO..+0xfff, ports WORLD_PORT..+0xf */
static int eventfds[2];

static int setup(void **state)
{
    (void)state;
    world_create(&world, 1);
    vm = world_vm(&world, "guest", 2);
    client = world_client(vm, "under", 0, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    world_range(client, REQUEST_PORTIO, WORLD_PORT, WORLD_PORT + 0xf);
    for (int i = 0; i < 2; i++)
        eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_destroy(&world);
    close(eventfds[0]);
    close(eventfds[1]);
    return 0;
}

/* A wildcard for 4 bytes at BELL, but for what a test changes. */
static struct ioeventfd_options bell(int which)
{
    return (struct ioeventfd_options){
        .descriptor = eventfds[which], .type = REQUEST_MMIO, .address = BELL, .length_bytes = 4};
}

static struct ioeventfd_options bell_for(int which, uint64_t data)
{
    struct ioeventfd_options options = bell(which);
    options.has_datamatch = true;
    options.data = data;
    return options;
}

static int assign(struct ioeventfd_options options)
{
    return vm_ioeventfd_assign(vm, &options);
}

static int deassign(struct ioeventfd_options options)
{
    return vm_ioeventfd_deassign(vm, &options);
}

/* How often the eventfd was signalled since the last look. */
static uint64_t rings(int which)
{
    if (!world.is_started)
        notifier_round(world.topology.notifier);
    return eventfd_take(eventfds[which]);
}

static uint64_t misses(void)
{
    return vm_ioeventfd_figures(vm).misses;
}

static void guest_writes(uint64_t address, uint64_t size, uint64_t value)
{
    world_do(&world, vm, world_write(REQUEST_MMIO, address, size, value));
}

/* ---- bad input --------------------------------------------------------------------------- */

static void nonsense_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    int path = open("/", O_PATH | O_CLOEXEC);
    struct ioeventfd_options options;
#define REFUSED(error, change)                       \
    do {                                             \
        options = bell(0);                           \
        change;                                      \
        assert_int_equal(assign(options), -error);   \
        assert_int_equal(deassign(options), -error); \
    } while (0)
    REFUSED(EBADF, options.descriptor = -1);
    REFUSED(EBADF, options.descriptor = 99999);
    REFUSED(EINVAL, options.descriptor = pipes[1]);
    REFUSED(EINVAL, options.descriptor = path);
    REFUSED(EINVAL, options.type = REQUEST_PCICFG);
    REFUSED(EINVAL, options.type = REQUEST_WP);
    REFUSED(EINVAL, options.type = UINT32_MAX);
    const uint32_t lengths[] = {0, 3, 5, 6, 7, 9, 16, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        REFUSED(EINVAL, options.length_bytes = lengths[i]);
    REFUSED(EINVAL, options.address = UINT64_MAX - 2);
    REFUSED(EINVAL, (options.type = REQUEST_PORTIO, options.address = 0xfffd));
    REFUSED(EINVAL, (options.type = REQUEST_PORTIO, options.address = 0x10000));
    REFUSED(EINVAL, options.reads = (enum ioeventfd_reads)7);
    assert_int_equal(vm_ioeventfd_figures(vm).assigned, 0);
    assert_int_equal(notifier_figures(world.topology.notifier).live, 0);
    guest_writes(BELL, 4, 1);
    assert_int_equal(device.calls, 1);
    close(pipes[0]), close(pipes[1]), close(path);
}

static void last_addresses_of_both_spaces_are_allowed(void **state)
{
    (void)state;
    struct ioeventfd_options options = bell(0);
    options.address = UINT64_MAX - 3;
    assert_int_equal(assign(options), 0);
    options.type = REQUEST_PORTIO;
    options.address = 0xfffc;
    assert_int_equal(assign(options), 0);
    world_do(&world, vm, world_write(REQUEST_MMIO, UINT64_MAX - 3, 4, 1));
    world_do(&world, vm, world_write(REQUEST_PORTIO, 0xfffc, 4, 1));
    assert_int_equal(rings(0), 2);
}

static void overlapping_data_of_one_eventfd_is_refused(void **state)
{
    (void)state;
    assert_int_equal(assign(bell_for(0, 5)), 0);
    assert_int_equal(assign(bell_for(0, 5)), -EEXIST);
    assert_int_equal(assign(bell(0)), -EEXIST); /* a wildcard overlaps all */
    assert_int_equal(assign(bell_for(0, 6)), 0);
    assert_int_equal(assign(bell_for(1, 5)), 0); /* another eventfd may */
    int duplicate = dup(eventfds[0]);
    struct ioeventfd_options options = bell_for(0, 5);
    options.descriptor = duplicate; /* is the same eventfd */
    assert_int_equal(assign(options), -EEXIST);
    close(duplicate);
    assert_int_equal(vm_ioeventfd_figures(vm).assigned, 3);
}

static void overlapping_addresses_are_refused(void **state)
{
    (void)state;
    assert_int_equal(assign(bell(0)), 0);
    struct ioeventfd_options options = bell(1);
    const struct {
        uint64_t address;
        uint32_t length_bytes;
        int result;
    } cases[] = {
        {BELL + 1, 1, -EEXIST}, {BELL + 3, 4, -EEXIST}, {BELL - 1, 2, -EEXIST},
        {BELL - 4, 8, -EEXIST}, {BELL + 4, 4, 0},       {BELL - 4, 4, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        options.address = cases[i].address;
        options.length_bytes = cases[i].length_bytes;
        assert_int_equal(assign(options), cases[i].result);
    }
    options = bell(1);
    options.reads = IOEVENTFD_READS_ONES;
    assert_int_equal(assign(options), -EEXIST); /* a read could not please both */
    options = bell(1);
    options.length_bytes = 8; /* would reach into the next one: its route, not its own writes */
    assert_int_equal(assign(options), -EEXIST);
}

static void ports_of_pci_are_refused(void **state)
{
    (void)state;
    struct vm *other =
        world_vm_with(&world, (struct vm_options){.name = "pci", .vcpus = 1, .has_pci = true});
    struct ioeventfd_options options = bell(0);
    options.type = REQUEST_PORTIO;
    for (uint64_t port = 0xcf5; port <= 0xcff; port++) {
        options.address = port;
        assert_int_equal(vm_ioeventfd_assign(other, &options), -EEXIST);
    }
    options.address = 0xcf4;
    assert_int_equal(vm_ioeventfd_assign(other, &options), 0);
    options.address = 0xcf8;
    assert_int_equal(assign(options), 0); /* this VM has none */
}

static void one_address_holds_so_many_and_no_more(void **state)
{
    (void)state;
    for (uint64_t data = 0; data < DOORBELL_BELLS_MAX; data++)
        assert_int_equal(assign(bell_for(0, data)), 0);
    assert_int_equal(assign(bell_for(0, DOORBELL_BELLS_MAX)), -ENOSPC);
    guest_writes(BELL, 4, DOORBELL_BELLS_MAX - 1);
    assert_int_equal(rings(0), 1);
}

static void deassign_wants_the_exact_entry(void **state)
{
    (void)state;
    assert_int_equal(deassign(bell(0)), -ENOENT); /* nothing there at all */
    assert_int_equal(assign(bell_for(0, 5)), 0);
    struct ioeventfd_options options;
#define MISSED(change)                                \
    do {                                              \
        options = bell_for(0, 5);                     \
        change;                                       \
        assert_int_equal(deassign(options), -ENOENT); \
    } while (0)
    MISSED(options.descriptor = eventfds[1]);
    MISSED(options.type = REQUEST_PORTIO; options.address = WORLD_PORT);
    MISSED(options.address += 4);
    MISSED(options.length_bytes = 2);
    MISSED(options.data = 6);
    MISSED(options.has_datamatch = false);
    assert_int_equal(deassign(bell_for(0, 5)), 0);
    assert_int_equal(deassign(bell_for(0, 5)), -ENOENT);
}

/* ---- what rings -------------------------------------------------------------------------- */

static void write_is_completed_first_and_signalled_after(void **state)
{
    (void)state;
    assert_int_equal(assign(bell(0)), 0);
    world_ask(vm, 0, world_write(REQUEST_MMIO, BELL, 4, 1));
    poller_round(world.pollers[0].poller);
    assert_int_equal(world_state(vm, 0), SLOT_COMPLETE);
    uint64_t count;
    assert_int_equal(read(eventfds[0], &count, sizeof(count)), -1); /* not by the poller */
    assert_int_equal(notifier_round(world.topology.notifier), 1);
    assert_int_equal(rings(0), 1);
    assert_int_equal(device.calls, 0);
}

static void narrow_writes_ring_and_others_pass_by(void **state)
{
    (void)state;
    assert_int_equal(assign(bell(0)), 0);
    guest_writes(BELL, 1, 1);
    guest_writes(BELL, 2, 1);
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 3);
    guest_writes(BELL + 1, 1, 1); /* within the doorbell: a miss, which no client sees */
    assert_int_equal(misses(), 1);
    assert_int_equal(device.calls, 0);
    guest_writes(BELL, 8, 1); /* leaves the doorbell, lies in no range as a whole */
    assert_int_equal(misses(), 1);
    assert_int_equal(world_counter(vm, PAGE_UNROUTED), 1);
    guest_writes(BELL + 4, 4, 1);
    assert_int_equal(device.calls, 1);
    assert_int_equal(rings(0), 0);
}

static void data_selects_the_eventfd_and_misses_are_counted(void **state)
{
    (void)state;
    assert_int_equal(assign(bell_for(0, 0)), 0);
    assert_int_equal(assign(bell_for(1, 1)), 0);
    guest_writes(BELL, 4, 0);
    guest_writes(BELL, 4, 1);
    guest_writes(BELL, 4, 1);
    guest_writes(BELL, 4, 2);
    assert_int_equal(rings(0), 1);
    assert_int_equal(rings(1), 2);
    assert_int_equal(misses(), 1);
    assert_int_equal(vm_ioeventfd_figures(vm).rings, 3);
    char *text = status_text(&world.topology);
    assert_non_null(strstr(text, "doorbell_misses: 1"));
    free(text);
    text = status_json(&world.topology);
    assert_non_null(strstr(text, "\"doorbell_misses\": 1"));
    free(text);
}

static void first_assigned_of_two_matches_rings(void **state)
{
    (void)state;
    assert_int_equal(assign(bell_for(1, 7)), 0);
    assert_int_equal(assign(bell(0)), 0);
    guest_writes(BELL, 4, 7);
    guest_writes(BELL, 4, 8);
    assert_int_equal(rings(0), 1);
    assert_int_equal(rings(1), 1);
    assert_int_equal(deassign(bell_for(1, 7)), 0);
    guest_writes(BELL, 4, 7);
    assert_int_equal(rings(0), 1);
    assert_int_equal(rings(1), 0);
}

static void longer_entry_widens_the_route_and_takes_it_back(void **state)
{
    (void)state;
    struct ioeventfd_options wide = bell_for(1, 3);
    wide.length_bytes = 8;
    assert_int_equal(assign(bell_for(0, 2)), 0);
    assert_int_equal(assign(wide), 0);
    guest_writes(BELL, 8, 3);
    guest_writes(BELL, 8, 2); /* too wide for that one */
    assert_int_equal(rings(1), 1);
    assert_int_equal(rings(0), 0);
    assert_int_equal(misses(), 1);
    assert_int_equal(deassign(wide), 0);
    guest_writes(BELL + 4, 4, 1);
    assert_int_equal(device.calls, 1); /* the client has it back */
    guest_writes(BELL, 4, 2);
    assert_int_equal(rings(0), 1);
}

static void reads_answer_by_policy(void **state)
{
    (void)state;
    struct ioeventfd_options options = bell(1);
    options.address = BELL + 8;
    options.reads = IOEVENTFD_READS_ONES;
    assert_int_equal(assign(bell(0)), 0);
    assert_int_equal(assign(options), 0);
    assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, BELL, 4)) & UINT32_MAX, 0);
    assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, BELL + 8, 4)) & UINT32_MAX,
                     UINT32_MAX);
    assert_int_equal(rings(0) + rings(1) + misses(), 0);
}

static void port_and_memory_at_one_address_are_two(void **state)
{
    (void)state;
    struct ioeventfd_options port = bell(1);
    port.type = REQUEST_PORTIO;
    port.address = 0x500;
    struct ioeventfd_options memory = bell(0);
    memory.address = 0x500;
    assert_int_equal(assign(port), 0);
    assert_int_equal(assign(memory), 0);
    world_do(&world, vm, world_write(REQUEST_PORTIO, 0x500, 1, 1));
    assert_int_equal(rings(0), 0);
    assert_int_equal(rings(1), 1);
}

/* ---- beside clients, resets and the end -------------------------------------------------- */

static void no_client_shadows_a_doorbell(void **state)
{
    (void)state;
    struct world_device later_device;
    struct vm_client *later = world_client(vm, "later", 0, &later_device);
    assert_int_equal(assign(bell(0)), 0);
    assert_int_equal(vm_client_add_range(later, REQUEST_MMIO, BELL, BELL + 3, VM_PRIORITY_DOORBELL),
                     -EINVAL);
    assert_int_equal(
        vm_client_add_range(later, REQUEST_MMIO, BELL, BELL + 7, VM_PRIORITY_DOORBELL - 1), 0);
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 1);
    assert_int_equal(later_device.calls, 0);
    const struct router_range ranges[] = {{.first = BELL,
                                           .last = BELL + 3,
                                           .client = &later->client,
                                           .type = REQUEST_MMIO,
                                           .priority = 9}};
    assert_int_equal(vm_set_ranges(vm, ranges, 1), 0); /* all ranges are new; doorbells stay */
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 1);
    assert_int_equal(deassign(bell(0)), 0);
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 0);
    assert_int_equal(later_device.calls, 1);
}

static void reset_and_new_requester_leave_them(void **state)
{
    (void)state;
    int descriptor;
    assert_int_equal(assign(bell(0)), 0);
    assert_true(vm_reset(vm) >= 0);
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 1);
    vm_detach(vm);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    guest_writes(BELL, 4, 1);
    assert_int_equal(rings(0), 1);
}

static void they_go_with_the_vm(void **state)
{
    (void)state;
    struct ioeventfd_options options = bell(1);
    options.address += 0x40;
    assert_int_equal(assign(bell_for(0, 1)), 0);
    assert_int_equal(assign(bell_for(0, 2)), 0);
    assert_int_equal(assign(options), 0);
    assert_int_equal(notifier_figures(world.topology.notifier).live, 3);
    assert_int_equal(vm_destroy(vm), 0);
    assert_int_equal(notifier_figures(world.topology.notifier).live, 0);
}

/* Alone at its address, and beside another one. */
static void deassign_gives_the_signal_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= NOTIFIER_SIGNALS_MAX / 2; i++) {
        assert_int_equal(assign(bell_for(0, 1)), 0);
        assert_int_equal(assign(bell_for(1, 2)), 0);
        assert_int_equal(deassign(bell_for(0, 1)), 0);
        assert_int_equal(deassign(bell_for(1, 2)), 0);
    }
    assert_int_equal(notifier_figures(world.topology.notifier).live, 0);
}

static void the_callers_descriptor_may_be_closed(void **state)
{
    (void)state;
    int own = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int reader = dup(own);
    struct ioeventfd_options options = bell(0);
    options.descriptor = own;
    assert_int_equal(assign(options), 0);
    close(own);
    guest_writes(BELL, 4, 1);
    notifier_round(world.topology.notifier);
    uint64_t count = 0;
    assert_int_equal(read(reader, &count, sizeof(count)), sizeof(count));
    options.descriptor = reader; /* the same eventfd by another number */
    assert_int_equal(deassign(options), 0);
    close(reader);
}

/* ---- with threads ------------------------------------------------------------------------ */

#define LOAD_WRITES 20000u

static void *write_on(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < LOAD_WRITES; i++) {
        world_ask(vm, 1, world_write(REQUEST_MMIO, BELL, 4, 1));
        world_await(&world, vm, 1);
    }
    return NULL;
}

/* Each write is answered once, by whoever owned the address then; what rang is what was written. */
static void entries_come_and_go_while_the_guest_writes(void **state)
{
    (void)state;
    pthread_t writer;
    uint64_t rung = 0, kept = 0;
    world_start(&world);
    assert_int_equal(assign(bell_for(1, 1)), 0); /* rings first, so long as it is there */
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(assign(bell(0)), 0);
        assert_int_equal(deassign(bell_for(1, 1)), 0); /* one entry of two */
        kept += rings(1);
        sched_yield();
        assert_int_equal(rings(1), 0);          /* never after deassign returned */
        assert_int_equal(deassign(bell(0)), 0); /* the last one, with the route */
        rung += rings(0);
        sched_yield();
        assert_int_equal(rings(0), 0);
        assert_int_equal(assign(bell_for(1, 1)), 0);
    }
    pthread_join(writer, NULL);
    assert_int_equal(deassign(bell_for(1, 1)), 0);
    kept += rings(1);
    print_message("%u writes: %llu and %llu rang, %llu missed, %llu reached the client\n",
                  LOAD_WRITES, (unsigned long long)kept, (unsigned long long)rung,
                  (unsigned long long)misses(), (unsigned long long)device.calls);
    assert_int_equal(vm_ioeventfd_figures(vm).rings + misses() + device.calls, LOAD_WRITES);
    /* In a full ring several count as one, as they may in an eventfd: fewer, never more. */
    assert_true(kept + rung > 0 && kept + rung <= vm_ioeventfd_figures(vm).rings);
}

/* After its COMPLETE every write is signalled: a lost one would hang here. */
static void every_write_is_signalled(void **state)
{
    (void)state;
    world_start(&world);
    assert_int_equal(assign(bell(0)), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        guest_writes(BELL, 4, i);
        while (rings(0) == 0)
            sched_yield();
    }
    assert_int_equal(deassign(bell(0)), 0);
}

/* In the child: a poller that may make no system call rings a doorbell. */
static void ring_in_sandbox(void)
{
    struct sandbox *sandbox;
    struct poller *poller = world.pollers[0].poller;
    if (sandbox_create(POLLER_IDLE_YIELD, SANDBOX_NO_CALLS, &sandbox) < 0)
        _exit(10);
    poller->options.arm = sandbox_arm;
    poller->options.arm_context = sandbox;
    if (notifier_start(world.topology.notifier) < 0 || poller_start(poller) < 0)
        _exit(11);
    world.is_started = true;
    struct ioeventfd_options options = bell(0);
    if (vm_ioeventfd_assign(vm, &options) < 0)
        _exit(12);
    for (uint32_t i = 0; i < 2000; i++)
        guest_writes(BELL, 4, i);
    uint64_t count = 0;
    while (count < 2000)
        count += rings(0);
    _exit(count == 2000 ? 0 : 13);
}

static void ringing_makes_no_system_call_on_the_poller(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    pid_t child = child_fork();
    if (child == 0)
        ring_in_sandbox();
    assert_int_equal(child_wait(child), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nonsense_is_refused_and_changes_nothing),
        CASE(last_addresses_of_both_spaces_are_allowed),
        CASE(overlapping_data_of_one_eventfd_is_refused),
        CASE(overlapping_addresses_are_refused),
        CASE(ports_of_pci_are_refused),
        CASE(one_address_holds_so_many_and_no_more),
        CASE(deassign_wants_the_exact_entry),
        CASE(write_is_completed_first_and_signalled_after),
        CASE(narrow_writes_ring_and_others_pass_by),
        CASE(data_selects_the_eventfd_and_misses_are_counted),
        CASE(first_assigned_of_two_matches_rings),
        CASE(longer_entry_widens_the_route_and_takes_it_back),
        CASE(reads_answer_by_policy),
        CASE(port_and_memory_at_one_address_are_two),
        CASE(no_client_shadows_a_doorbell),
        CASE(reset_and_new_requester_leave_them),
        CASE(they_go_with_the_vm),
        CASE(deassign_gives_the_signal_back),
        CASE(the_callers_descriptor_may_be_closed),
        CASE(entries_come_and_go_while_the_guest_writes),
        CASE(every_write_is_signalled),
        CASE(ringing_makes_no_system_call_on_the_poller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
