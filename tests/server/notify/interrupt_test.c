/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's line: each rising edge writes the eventfd that the requester was told of, once, also where it
 * rises without an access; a level also at an EOI, a message at each rise. Then the same of a VM of the
 * ACRN driver, by ioctls of a stand-in. The real UART and clock. No poller has a thread, nor has the notifier. */
#include "server/notify/interrupt.h"

#include "clients/devices/devices.h"
#include "server/devices/device_options.h"
#include "server/log.h"
#include "server/notify/interrupt_line.h"
#include "server/notify/irqfd.h"
#include "server/sources/hsm_device.h"
#include "server/vm_source.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/world.h"

#include <fcntl.h>
#include <linux/acrn.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define UART_LINE    4u
#define CLOCK_LINE   8u
#define LEVEL_LINE   20u
#define MESSAGE      31u /* no line: where told[] has it */
#define UART_PORT    0x3f8u
#define LEVEL_PORT   0x2f8u
#define MESSAGE_PORT 0x3e8u
#define CLOCK_PORT   0x70u

static struct captured_stderr said;
static struct world world;
static struct vm *vm;
static struct vm_client *uart, *level_uart, *message_uart, *clock_client;
static int told[32]; /* by line: the eventfd that a requester would inject by */
static int resample;
static uint32_t lowered; /* how often the level was */

static void hear(struct requester_link *link, const char *line, int descriptor)
{
    unsigned id, gsi;
    (void)link;
    if (sscanf(line, "irqfd assign %u line %u", &id, &gsi) == 2 ||
        sscanf(line, "irqfd assign %u level %u", &id, &gsi) == 2)
        told[gsi] = dup(descriptor);
    else if (strstr(line, "msi 0xfee01000 0x4041"))
        told[MESSAGE] = dup(descriptor);
    else if (sscanf(line, "irqfd resample %u", &id) == 1)
        resample = dup(descriptor);
    lowered += strncmp(line, "irqfd lower ", 12) == 0;
}

static void hear_end(struct requester_link *link)
{
    (void)link;
}

static struct requester_link requester = {.send = hear, .end = hear_end};

static struct vm_client *create(const struct config_client *from)
{
    struct device *device;
    struct vm_client *client;
    char error[TOPOLOGY_REASON_BYTES];
    assert_int_equal(topology_build_device(from, &device, error, sizeof(error)), 0);
    const struct vm_client_options options = {
        .name = from->name, .device = device, .interrupt = from->interrupt};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    for (size_t i = 0; i < from->range_count; i++)
        world_range(client, REQUEST_PORTIO, from->ranges[i].first, from->ranges[i].last);
    device->ops->reset(device);
    return client;
}

/* From a configuration: its options have their defaults. */
static void create_devices(void)
{
    static const char text[] =
        "pollers: [{name: rt, idle: yield}]\n"
        "vms: [{name: guest, vcpus: 1, poller: rt}]\n"
        "clients:\n"
        "  - {name: com1, vm: guest, device: uart, interrupt: 4, options: {stream: stdio},\n"
        "     ranges: [{type: portio, first: 0x3f8, last: 0x3ff}]}\n"
        "  - {name: com2, vm: guest, device: uart, interrupt: {line: 20, trigger: level},\n"
        "     options: {stream: none}, ranges: [{type: portio, first: 0x2f8, last: 0x2ff}]}\n"
        "  - {name: com3, vm: guest, device: uart,\n"
        "     interrupt: {address: 0xfee01000, data: 0x4041},\n"
        "     options: {stream: none}, ranges: [{type: portio, first: 0x3e8, last: 0x3ef}]}\n"
        "  - {name: clock, vm: guest, device: cmos, interrupt: 8,\n"
        "     ranges: [{type: portio, first: 0x70, last: 0x71}]}\n";
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    struct config *config;
    assert_int_equal(
        config_load_bytes("t.yaml", text, strlen(text), kinds, kind_count, stderr, &config), 0);
    uart = create(&config->clients[0]);
    level_uart = create(&config->clients[1]);
    message_uart = create(&config->clients[2]);
    clock_client = create(&config->clients[3]);
    config_destroy(config);
    device_config_kinds_destroy(kinds);
    struct vm_client *const clients[] = {uart, level_uart, message_uart, clock_client};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(interrupt_open(clients[i]), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(told, -1, sizeof(told));
    resample = -1;
    lowered = 0;
    world_create(&world, 1);
    vm = world_vm(&world, "guest", 1);
    vm_link_requester(vm, &requester);
    create_devices();
    assert_true(told[UART_LINE] >= 0 && told[CLOCK_LINE] >= 0);
    assert_true(told[LEVEL_LINE] >= 0 && told[MESSAGE] >= 0);
    return 0;
}

static void close_interrupts(void)
{
    struct vm_client *const clients[] = {uart, level_uart, message_uart, clock_client};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(interrupt_close(clients[i]), 0);
}

static int tear_down(void **state)
{
    (void)state;
    close_interrupts();
    assert_int_equal(vm_irqfd_count(vm), 0);
    vm_unlink_requester(vm);
    world_destroy(&world);
    for (size_t i = 0; i < 32; i++)
        if (told[i] >= 0)
            close(told[i]);
    close(resample);
    return 0;
}

static void out(uint64_t port, uint8_t byte)
{
    world_do(&world, vm, world_write(REQUEST_PORTIO, port, 1, byte));
}

static uint8_t in(uint64_t port)
{
    return (uint8_t)world_do(&world, vm, world_read(REQUEST_PORTIO, port, 1));
}

/* How many interrupts there were since the last look. */
static uint64_t interrupts(uint32_t line)
{
    uint64_t count = 0;
    notifier_round(world.topology.notifier);
    return read(told[line], &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void uart_interrupts_once_for_each_rise(void **state)
{
    (void)state;
    assert_int_equal(interrupts(UART_LINE), 0);
    out(UART_PORT + 1, 0x02); /* transmitter empty: it is */
    assert_int_equal(interrupts(UART_LINE), 1);
    in(UART_PORT + 5); /* still high */
    assert_int_equal(interrupts(UART_LINE), 0);
    assert_int_equal(in(UART_PORT + 2) & 0x0f, 0x02); /* lowers it */
    assert_int_equal(interrupts(UART_LINE), 0);
    out(UART_PORT, 'x');
    assert_int_equal(interrupts(UART_LINE), 1);
}

static void typed_bytes_interrupt_without_an_access(void **state)
{
    (void)state;
    out(UART_PORT + 1, 0x01); /* received data */
    interrupts_tend(&world.topology);
    assert_int_equal(interrupts(UART_LINE), 0);
    assert_true(byte_ring_try_push(uart->client.device->input, 'a'));
    interrupts_tend(&world.topology);
    assert_int_equal(interrupts(UART_LINE), 1);
    interrupts_tend(&world.topology);
    assert_int_equal(interrupts(UART_LINE), 0);
    assert_int_equal(in(UART_PORT), 'a');
    assert_true(byte_ring_try_push(uart->client.device->input, 'b'));
    interrupts_tend(&world.topology);
    assert_int_equal(interrupts(UART_LINE), 1);
}

static void clock_interrupts_by_itself_until_it_is_acknowledged(void **state)
{
    (void)state;
    out(CLOCK_PORT, 0x0b);
    out(CLOCK_PORT + 1, 0x42); /* periodic, 1,024 a second */
    while (interrupts(CLOCK_LINE) == 0)
        interrupts_tend(&world.topology);
    for (uint64_t begin = ticks_now(); ticks_now() - begin < ticks_from_ns(5000000);)
        interrupts_tend(&world.topology);
    assert_int_equal(interrupts(CLOCK_LINE), 0); /* the line is still high */
    out(CLOCK_PORT, 0x0c);
    assert_int_equal(in(CLOCK_PORT + 1) & 0xc0, 0xc0);
    while (interrupts(CLOCK_LINE) == 0)
        interrupts_tend(&world.topology);
    out(CLOCK_PORT, 0x0b);
    out(CLOCK_PORT + 1, 0x02);
    assert_false(atomic_load(&clock_client->client.device->line.is_clocked));
}

/* As KVM: the line is low now. Nobody watches here, so control sees it at its second look. */
static void guest_ends_interrupt(void)
{
    const uint64_t one = 1;
    assert_int_equal(write(resample, &one, sizeof(one)), sizeof(one));
    interrupts_tend(&world.topology);
    interrupts_tend(&world.topology);
}

static void level_is_raised_again_while_the_device_asks(void **state)
{
    (void)state;
    assert_true(resample >= 0);
    assert_int_equal(interrupts(LEVEL_LINE), 0);
    out(LEVEL_PORT + 1, 0x02);
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    for (int i = 0; i < 3; i++) {
        guest_ends_interrupt();
        assert_int_equal(interrupts(LEVEL_LINE), 1);
    }
    in(LEVEL_PORT + 2);
    guest_ends_interrupt();
    assert_int_equal(interrupts(LEVEL_LINE), 0);
    assert_int_equal(lowered, 0); /* the EOI did it */
    assert_int_equal(interrupt_figures(level_uart).rises, 1);
}

static void look_until_it_is_quiet(void)
{
    for (uint32_t i = 0; i <= INTERRUPT_LINE_QUIET_LOOKS; i++)
        interrupts_tend(&world.topology);
}

static void level_that_nobody_took_is_lowered(void **state)
{
    (void)state;
    out(LEVEL_PORT + 1, 0x02);
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    look_until_it_is_quiet();
    assert_int_equal(lowered, 0); /* the device asks */
    in(LEVEL_PORT + 2);
    interrupts_tend(&world.topology);
    assert_int_equal(lowered, 0); /* its EOI may be on the way */
    look_until_it_is_quiet();
    assert_int_equal(lowered, 1);
    look_until_it_is_quiet();
    assert_int_equal(lowered, 1);
    out(LEVEL_PORT, 'x');
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    assert_int_equal(vm_reset(vm), 0);
    look_until_it_is_quiet();
    assert_int_equal(lowered, 2);
}

/* The word of an EOI, or of the binding, is older than the rise, and is read after the fall. */
static void level_is_lowered_though_an_old_end_is_read(void **state)
{
    (void)state;
    const uint64_t one = 1;
    assert_int_equal(write(resample, &one, sizeof(one)), sizeof(one));
    out(LEVEL_PORT + 1, 0x02);
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    in(LEVEL_PORT + 2);
    look_until_it_is_quiet();
    assert_int_equal(lowered, 1);
}

/* It was raised while the requester was lowering it: what it said then is asked for again. */
static void level_that_rises_while_it_is_lowered_is_not_lost(void **state)
{
    (void)state;
    out(LEVEL_PORT + 1, 0x02);
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    in(LEVEL_PORT + 2);
    look_until_it_is_quiet();
    assert_int_equal(lowered, 1);
    out(LEVEL_PORT, 'x');
    assert_int_equal(interrupts(LEVEL_LINE), 1); /* and then the binding is taken apart */
    guest_ends_interrupt();
    assert_int_equal(interrupts(LEVEL_LINE), 1);
}

/* The notifier comes late: an EOI has raised the line for that rise. */
static void level_is_not_raised_twice_for_one_rise(void **state)
{
    (void)state;
    out(LEVEL_PORT + 1, 0x02);
    guest_ends_interrupt(); /* its poller has pushed twice */
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    in(LEVEL_PORT + 2);
    out(LEVEL_PORT, 'x');
    in(LEVEL_PORT + 2); /* up and down between two looks */
    assert_int_equal(interrupts(LEVEL_LINE), 0);
}

/* It may do with the eventfds what it likes: nobody waits for it. */
static void requester_that_makes_calls_block_delays_nobody(void **state)
{
    (void)state;
    assert_int_equal(fcntl(resample, F_SETFL, 0), 0);
    interrupts_tend(&world.topology); /* nothing to read */
    out(LEVEL_PORT + 1, 0x02);
    assert_int_equal(interrupts(LEVEL_LINE), 1);
    guest_ends_interrupt();
    assert_int_equal(interrupts(LEVEL_LINE), 1);
}

static void await_uart_interrupt(void)
{
    uint64_t count;
    struct pollfd entry = {.fd = told[UART_LINE], .events = POLLIN};
    while (poll(&entry, 1, -1) < 0)
        assert_int_equal(errno, EINTR);
    assert_int_equal(read(told[UART_LINE], &count, sizeof(count)), sizeof(count));
}

/* The notifier's timer ends it, and that level is given up. */
static void requester_that_lets_a_write_block_loses_its_level_alone(void **state)
{
    (void)state;
    uint64_t full = UINT64_MAX - 1;
    assert_int_equal(write(told[LEVEL_LINE], &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(told[LEVEL_LINE], F_SETFL, 0), 0);
    world_start(&world);
    out(LEVEL_PORT + 1, 0x02);
    out(UART_PORT + 1, 0x02);
    await_uart_interrupt();
    assert_int_equal(interrupt_figures(level_uart).failures, 1);
    assert_int_equal(read(told[LEVEL_LINE], &full, sizeof(full)), sizeof(full));
    in(LEVEL_PORT + 2);
    out(LEVEL_PORT, 'x');
    in(UART_PORT + 2);
    out(UART_PORT, 'x');
    await_uart_interrupt();
    struct pollfd entry = {.fd = told[LEVEL_LINE], .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 0), 0);
}

static void message_is_sent_at_each_rise(void **state)
{
    (void)state;
    out(MESSAGE_PORT + 1, 0x02);
    assert_int_equal(interrupts(MESSAGE), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(in(MESSAGE_PORT + 2) & 0x0f, 0x02);
        assert_int_equal(interrupts(MESSAGE), 0);
        out(MESSAGE_PORT, 'x');
        assert_int_equal(interrupts(MESSAGE), 1);
    }
    assert_int_equal(interrupt_figures(message_uart).rises, 4);
}

static void a_line_has_one_client(void **state)
{
    (void)state;
    assert_int_equal(interrupt_close(level_uart), 0);
    level_uart->interrupt_route.line = UART_LINE;
    assert_int_equal(interrupt_open(level_uart), -EEXIST);
    level_uart->interrupt_route.line = LEVEL_LINE + 1;
    assert_int_equal(interrupt_open(level_uart), 0);
}

static void device_without_a_line_is_refused(void **state)
{
    (void)state;
    struct world_device plain;
    struct vm_client *client = world_client(vm, "plain", 0, &plain);
    client->interrupt_route = uart->interrupt_route;
    assert_int_equal(interrupt_open(client), -EOPNOTSUPP);
    assert_int_equal(interrupt_close(client), 0);
}

/* ---- a VM of the ACRN driver ------------------------------------------------------------- */

#define DONE_MOST 64

static struct {
    struct acrn_io_request *slots;
    char done[DONE_MOST][32]; /* its interrupt ioctls, in words */
    size_t count;
    int refuses; /* with this error */
} driver;

static int note(const char *text)
{
    assert_true(driver.count < DONE_MOST);
    snprintf(driver.done[driver.count++], sizeof(driver.done[0]), "%s", text);
    return driver.refuses;
}

static int stand_in(int device, unsigned long request, void *argument)
{
    static const char *const operations[] = {"high", "low", "rising pulse", "falling pulse"};
    char text[32];
    uint64_t line = (uintptr_t)argument;
    const struct acrn_msi_entry *msi = argument;
    assert_true(device >= 0);
    switch (request) {
    case ACRN_IOCTL_CREATE_VM:
        driver.slots =
            (struct acrn_io_request *)(uintptr_t)((struct acrn_vm_creation *)argument)->ioreq_buf;
        slots_free_all(driver.slots);
        return 0;
    case ACRN_IOCTL_SET_IRQLINE:
        snprintf(text, sizeof(text), "%u %s", (uint32_t)line & 0xffffff,
                 operations[line >> 32 & 3]);
        return note(text);
    case ACRN_IOCTL_INJECT_MSI:
        snprintf(text, sizeof(text), "%#llx %#llx", (unsigned long long)msi->msi_addr,
                 (unsigned long long)msi->msi_data);
        return note(text);
    default:
        return 0;
    }
}

static int set_up_driver(void **state)
{
    (void)state;
    static const struct config_place place = {.device = "/dev/null", .vcpus = 1};
    const struct vm_options options = {
        .name = "acrn", .vcpus = 1, .source = &source_hsm, .place = &place};
    memset(&driver, 0, sizeof(driver));
    hsm_set_ioctl(stand_in);
    world_create(&world, 1);
    assert_int_equal(vm_create(&world.topology, &options, &vm), 0);
    create_devices();
    assert_int_equal(vm_start(vm), 0);
    driver.count = 0;
    return 0;
}

static int tear_down_driver(void **state)
{
    (void)state;
    driver.count = 0;
    close_interrupts();
    world_destroy(&world);
    hsm_set_ioctl(NULL);
    return 0;
}

/* As the guest: on an offered slot. */
static uint64_t guest_access(struct world_access access)
{
    world_fill(vm, 0, access);
    vm->source.slots[0].kernel_handled = 0;
    world_set_state(vm, 0, SLOT_PROCESSING); /* the driver has dispatched it */
    for (int i = 0; i < 4; i++)
        world_round(&world);
    notifier_round(world.topology.notifier); /* tells the driver that it is finished */
    uint64_t value = world_value(vm, 0);
    world_set_state(vm, 0, SLOT_FREE);
    return value;
}

static void guest_out(uint64_t port, uint8_t byte)
{
    guest_access(world_write(REQUEST_PORTIO, port, 1, byte));
}

static uint8_t guest_in(uint64_t port)
{
    return (uint8_t)guest_access(world_read(REQUEST_PORTIO, port, 1));
}

/* What the driver was asked since the last look, one behind the other. */
static void assert_done(const char *expected)
{
    char done[512] = "";
    for (size_t i = 0; i < driver.count; i++)
        snprintf(done + strlen(done), sizeof(done) - strlen(done), "%s%s", i ? ", " : "",
                 driver.done[i]);
    driver.count = 0;
    assert_string_equal(done, expected);
}

static void driver_is_told_of_each_rise_and_fall(void **state)
{
    (void)state;
    assert_int_equal(vm_irqfd_count(vm), 0);
    guest_out(UART_PORT + 1, 0x02);
    assert_done("4 high");
    assert_int_equal(guest_in(UART_PORT + 2) & 0x0f, 0x02);
    assert_done("4 low");
    guest_out(LEVEL_PORT + 1, 0x02);
    assert_done("20 high");
    guest_in(LEVEL_PORT + 2);
    assert_done("20 low");
    guest_out(MESSAGE_PORT + 1, 0x02);
    assert_done("0xfee01000 0x4041");
    guest_in(MESSAGE_PORT + 2);
    assert_done("");
}

/* Between two rounds of the notifier: an edge is latched, a level is what it is. */
static void an_edge_that_nobody_saw_is_made_up_for(void **state)
{
    (void)state;
    struct device_line *edge = &uart->client.device->line,
                       *level = &level_uart->client.device->line;
    edge->change(edge->context, true), edge->change(edge->context, false);
    level->change(level->context, true), level->change(level->context, false);
    notifier_round(world.topology.notifier);
    assert_done("4 high, 4 low");
    edge->change(edge->context, true);
    level->change(level->context, true);
    notifier_round(world.topology.notifier);
    assert_done("4 high, 20 high");
    edge->change(edge->context, false), edge->change(edge->context, true);
    level->change(level->context, false), level->change(level->context, true);
    notifier_round(world.topology.notifier);
    assert_done("4 low, 4 high");
    edge->change(edge->context, false), level->change(level->context, false);
    notifier_round(world.topology.notifier);
    assert_done("4 low, 20 low");
}

/* One that goes is asked nothing more; one that comes is told what is high and, since an earlier server may
 * have left it raised, what is low. */
static void a_vm_of_the_driver_is_told_the_lines_as_they_are(void **state)
{
    (void)state;
    struct device_line *level = &level_uart->client.device->line;
    level->change(level->context, true);
    notifier_round(world.topology.notifier);
    assert_done("20 high");
    vm_detach(vm);
    assert_false(vm->is_attached);
    level->change(level->context, false), level->change(level->context, true);
    notifier_round(world.topology.notifier);
    assert_done("");
    assert_int_equal(vm_source_open(vm), 0);
    assert_done("4 low, 20 high, 8 low");
    assert_int_equal(interrupt_close(level_uart), 0);
    assert_done("20 low");
    assert_int_equal(interrupt_open(level_uart), 0);
}

static void what_the_driver_refuses_is_counted_and_said_once(void **state)
{
    (void)state;
    driver.refuses = -EIO;
    for (int i = 0; i < 5; i++) {
        guest_out(UART_PORT + 1, 0x02);
        guest_in(UART_PORT + 2);
        guest_out(UART_PORT + 1, 0x00);
    }
    capture_begin(&said);
    interrupts_tend(&world.topology);
    interrupts_tend(&world.topology);
    const char *text = capture_end(&said);
    const char *line = strstr(text, "vm acrn: client com1: its interrupts fail: the ACRN driver: "
                                    "Input/output error; from now on that is counted only");
    assert_non_null(line);
    assert_null(strstr(line + 1, "vm acrn"));
    assert_int_equal(interrupt_figures(uart).rises, 5);
    assert_int_equal(interrupt_figures(uart).failures, 10);
    driver.refuses = 0;
    driver.count = 0;
    guest_out(UART_PORT + 1, 0x02);
    assert_done("4 high");
}

#define TEST(function)   cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define DRIVER(function) cmocka_unit_test_setup_teardown(function, set_up_driver, tear_down_driver)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(device_without_a_line_is_refused),
        TEST(a_line_has_one_client),
        TEST(uart_interrupts_once_for_each_rise),
        TEST(level_is_raised_again_while_the_device_asks),
        TEST(level_that_nobody_took_is_lowered),
        TEST(level_is_lowered_though_an_old_end_is_read),
        TEST(level_that_rises_while_it_is_lowered_is_not_lost),
        TEST(level_is_not_raised_twice_for_one_rise),
        TEST(requester_that_makes_calls_block_delays_nobody),
        TEST(requester_that_lets_a_write_block_loses_its_level_alone),
        TEST(message_is_sent_at_each_rise),
        TEST(typed_bytes_interrupt_without_an_access),
        TEST(clock_interrupts_by_itself_until_it_is_acknowledged),
        DRIVER(driver_is_told_of_each_rise_and_fall),
        DRIVER(an_edge_that_nobody_saw_is_made_up_for),
        DRIVER(a_vm_of_the_driver_is_told_the_lines_as_they_are),
        DRIVER(what_the_driver_refuses_is_counted_and_said_once),
    };
    capture_begin(
        &said); /* the log takes its descriptor at its first line: one that can be exchanged */
    log_info("interrupts");
    capture_end(&said);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
