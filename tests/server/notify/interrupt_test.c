/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's line: each rising edge writes the eventfd that the requester was told of, once; also where it
 * rises without an access. The real UART and clock. No poller has a thread, nor has the notifier. */
#include "server/notify/interrupt.h"

#include "clients/devices/devices.h"
#include "server/devices/device_options.h"
#include "server/notify/irqfd.h"
#include "tests/support/world.h"

#include <stdio.h>
#include <unistd.h>

#define UART_LINE  4u
#define CLOCK_LINE 8u
#define UART_PORT  0x3f8u
#define CLOCK_PORT 0x70u

static struct world world;
static struct vm *vm;
static struct vm_client *uart, *clock_client;
static int told[32]; /* by line: the eventfd that a requester would inject by */

static void hear(struct requester_link *link, const char *line, int descriptor)
{
    unsigned id, gsi;
    (void)link;
    if (sscanf(line, "irqfd assign %u line %u", &id, &gsi) == 2)
        told[gsi] = dup(descriptor);
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
    const struct vm_client_options options = {.name = from->name, .device = device};
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
        "  - {name: clock, vm: guest, device: cmos, interrupt: 8,\n"
        "     ranges: [{type: portio, first: 0x70, last: 0x71}]}\n";
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    struct config *config;
    assert_int_equal(
        config_load_bytes("t.yaml", text, strlen(text), kinds, kind_count, stderr, &config), 0);
    assert_int_equal(config->clients[0].interrupt, UART_LINE);
    assert_int_equal(config->clients[1].interrupt, CLOCK_LINE);
    uart = create(&config->clients[0]);
    clock_client = create(&config->clients[1]);
    config_destroy(config);
    device_config_kinds_destroy(kinds);
}

static int set_up(void **state)
{
    (void)state;
    memset(told, -1, sizeof(told));
    world_create(&world, 1);
    vm = world_vm(&world, "guest", 1);
    create_devices();
    vm_link_requester(vm, &requester);
    assert_int_equal(interrupt_open(uart, UART_LINE), 0);
    assert_int_equal(interrupt_open(clock_client, CLOCK_LINE), 0);
    assert_true(told[UART_LINE] >= 0 && told[CLOCK_LINE] >= 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(interrupt_close(uart), 0);
    assert_int_equal(interrupt_close(clock_client), 0);
    assert_int_equal(vm_irqfd_count(vm), 0);
    vm_unlink_requester(vm);
    world_destroy(&world);
    close(told[UART_LINE]);
    close(told[CLOCK_LINE]);
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

static void device_without_a_line_is_refused(void **state)
{
    (void)state;
    struct world_device plain;
    struct vm_client *client = world_client(vm, "plain", 0, &plain);
    assert_int_equal(interrupt_open(client, 5), -EOPNOTSUPP);
    assert_int_equal(interrupt_close(client), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(device_without_a_line_is_refused),
        TEST(uart_interrupts_once_for_each_rise),
        TEST(typed_bytes_interrupt_without_an_access),
        TEST(clock_interrupts_by_itself_until_it_is_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
