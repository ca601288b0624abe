/* SPDX-License-Identifier: BSD-3-Clause */
/* "What the Linux driver does": PCI configuration mechanism 1, ports 0xcf8 and 0xcfc. */
#include "tests/server/conformance/table.h"

#include "pollers/pci_ports.h"

static struct vm *pci_vm(struct world *world, const char *name)
{
    return world_vm_with(world, (struct vm_options){.name = name, .vcpus = 2, .has_pci = true});
}

static uint32_t port_read(struct world *world, struct vm *vm, uint64_t port, uint64_t size)
{
    return (uint32_t)world_do(world, vm, world_read(REQUEST_PORTIO, port, size));
}

static void port_write(struct world *world, struct vm *vm, uint64_t port, uint64_t size,
                       uint32_t value)
{
    world_do(world, vm, world_write(REQUEST_PORTIO, port, size, value));
}

static void address_port(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    assert_int_equal(port_read(world, vm, 0xcf8, 4), 0);
    const uint32_t addresses[] = {0x80000000, 0xffffffff, 0x7fffffff, 0x8000f8fd, 1, 0};
    for (size_t i = 0; i < 6; i++) {
        port_write(world, vm, 0xcf8, 4, addresses[i]);
        assert_int_equal(port_read(world, vm, 0xcf8, 4), addresses[i]);
    }
    assert_int_equal(rest.calls, 0);
}

static void address_port_sizes(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    rest.answer = 0x5a;
    port_write(world, vm, 0xcf8, 4, 0x80001234);
    const struct {
        uint64_t port, size;
    } odd[] = {{0xcf8, 1}, {0xcf8, 2}, {0xcf9, 1}, {0xcfa, 2}, {0xcf9, 4}, {0xcfb, 1}, {0xcf6, 4}};
    for (size_t i = 0; i < 7; i++) {
        port_write(world, vm, odd[i].port, odd[i].size, 0x06);
        assert_int_equal(rest.last.address, odd[i].port);
        assert_int_equal(port_read(world, vm, odd[i].port, odd[i].size) & 0xff, 0x5a);
    }
    assert_int_equal(rest.calls, 14);
    assert_int_equal(port_read(world, vm, 0xcf8, 4), 0x80001234);
}

static void disabled_address(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    for (uint64_t size = 1; size <= 4; size *= 2) {
        port_write(world, vm, 0xcf8, 4, 0x7fffffff);
        assert_int_equal(port_read(world, vm, 0xcfc, size) & request_ones((uint32_t)size),
                         request_ones((uint32_t)size));
        port_write(world, vm, 0xcfc, size, 0);
    }
    assert_int_equal(rest.calls, 0);
}

/* As the sentence has it, digit for digit. */
static uint64_t ecam(uint32_t a, uint32_t port)
{
    uint32_t bus = (a >> 16) & 255, dev = (a >> 11) & 31, func = (a >> 8) & 7;
    uint32_t reg = (a & 0xfc) + ((a >> 16) & 0xf00) + (port - 0xcfc);
    return (uint64_t)bus << 20 | dev << 15 | func << 12 | reg;
}

static void arithmetic(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    for (uint32_t bit = 0; bit < 31 + 200; bit++) {
        /* Each bit alone, then mixtures. */
        uint32_t address = 0x80000000 | (bit < 31 ? 1u << bit : bit * 0x9e3779b1u);
        port_write(world, vm, 0xcf8, 4, address);
        for (uint32_t place = 0; place < 7; place++) {
            static const uint32_t ports[] = {0xcfc, 0xcfc, 0xcfc, 0xcfd, 0xcfe, 0xcfe, 0xcff};
            static const uint32_t sizes[] = {1, 2, 4, 1, 1, 2, 1};
            world_do(world, vm,
                     world_write(REQUEST_PORTIO, ports[place], sizes[place], 0x87654321));
            assert_int_equal(rest.last.type, REQUEST_PCICFG);
            assert_int_equal(rest.last.address, ecam(address, ports[place]));
            assert_int_equal(rest.last.size_bytes, sizes[place]);
            assert_int_equal(rest.last.value, 0x87654321 & request_ones(sizes[place]));
        }
    }
}

static void routed_by_function(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device mine, ports;
    struct vm_client *client = world_client(vm, "function", 1, &mine);
    world_range(client, REQUEST_PCICFG, 0x0210a000, 0x0210afff); /* bus 0x21, dev 1, func 2 */
    struct vm_client *shadow = world_client(vm, "ports", 0, &ports);
    world_range(shadow, REQUEST_PORTIO, 0xcf8, 0xcff);
    port_write(world, vm, 0xcf8, 4, 0x80210a00);
    assert_int_equal(port_read(world, vm, 0xcfe, 2), WORLD_ANSWER & 0xffff);
    assert_int_equal(mine.last.offset, 2);
    port_write(world, vm, 0xcf8, 4, 0x80210b00); /* the next function: nobody's */
    assert_int_equal(port_read(world, vm, 0xcfc, 4), 0xffffffff);
    assert_int_equal(mine.calls, 1);
    assert_int_equal(ports.calls, 0);
}

static void per_vm(struct world *world)
{
    struct vm *one = pci_vm(world, "one"), *two = pci_vm(world, "two");
    struct vm *none = world_vm(world, "none", 1);
    port_write(world, one, 0xcf8, 4, 0x80000100);
    port_write(world, two, 0xcf8, 4, 0x80000200);
    assert_int_equal(port_read(world, one, 0xcf8, 4), 0x80000100);
    assert_int_equal(port_read(world, two, 0xcf8, 4), 0x80000200);
    /* A VM without: ports like any others. */
    struct world_device rest;
    world_default(none, "rest", &rest);
    port_write(world, none, 0xcf8, 4, 0x80000300);
    assert_int_equal(rest.last.type, REQUEST_PORTIO);
    assert_int_equal(rest.last.address, 0xcf8);
}

static void crossing(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    port_write(world, vm, 0xcf8, 4, 0x80000000);
    assert_int_equal(port_read(world, vm, 0xcff, 4), 0xffffffff);
    assert_int_equal(port_read(world, vm, 0xcff, 2) & 0xffff, 0xffff);
    assert_int_equal(port_read(world, vm, 0xcfd, 4), 0xffffffff);
    port_write(world, vm, 0xcfe, 4, 0);
    assert_int_equal(world_counter(vm, PAGE_BAD_PCI_PORT), 4);
    assert_int_equal(rest.calls, 0);
}

static void waiting_data_access(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    port_write(world, vm, 0xcf8, 4, 0x80000800);
    assert_int_equal(vm_pause(vm), 0);
    world_ask(vm, 0, world_write(REQUEST_PORTIO, 0xcf8, 4, 0x80001000));
    world_ask(vm, 1, world_read(REQUEST_PORTIO, 0xcfc, 4));
    world_round(world);
    assert_int_equal(vm_resume(vm), 0);
    world_round(world);
    assert_int_equal(rest.last.address, ecam(0x80001000, 0xcfc));
    /* And one that is on its way keeps the address it was asked for. */
    struct world_device far;
    world_range(world_client(vm, "far", 1, &far), REQUEST_PCICFG, 0x20000, 0x20fff);
    world_set_state(vm, 0, SLOT_FREE);
    world_set_state(vm, 1, SLOT_FREE);
    port_write(world, vm, 0xcf8, 4, 0x80002000);
    world_ask(vm, 1, world_read(REQUEST_PORTIO, 0xcfc, 4));
    poller_round(world->pollers[0].poller);
    world_ask(vm, 0, world_write(REQUEST_PORTIO, 0xcf8, 4, 0x80000000));
    poller_round(world->pollers[0].poller);
    poller_round(world->pollers[1].poller);
    assert_int_equal(far.last.address, ecam(0x80002000, 0xcfc));
}

static void answer_is_32_bits(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    struct world_device rest;
    world_default(vm, "rest", &rest);
    port_write(world, vm, 0xcf8, 4, 0x80000000);
    uint64_t value = world_do(world, vm, world_read(REQUEST_PORTIO, 0xcfc, 4));
    assert_int_equal(value, 0xabababab00000000 | (WORLD_ANSWER & 0xffffffff));
    assert_int_equal(vm->source.slots[0].type, REQUEST_PORTIO);
}

static void new_requester(struct world *world)
{
    struct vm *vm = pci_vm(world, "vm");
    int descriptor;
    port_write(world, vm, 0xcf8, 4, 0x80000100);
    vm_detach(vm);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    assert_int_equal(port_read(world, vm, 0xcf8, 4), 0);
}

static const struct row rows[] = {
    {"address_port_stores_and_returns",
     "A 4-byte write to 0xcf8 stores the configuration address, a read returns it, both complete "
     "at "
     "once.",
     "the same", NULL, NULL, address_port},
    {"address_port_takes_four_bytes_only", "0xcf8 is taken as 32 bits at any size.",
     "any size, as 32 bits", "other sizes and 0xcf9..0xcfb are routed like any port",
     "0xcf9 is a chipset's reset port, and a byte is no address", address_port_sizes},
    {"disabled_address_reads_all_ones", "Bit 31 clear -> read all-ones, write dropped.", "the same",
     NULL, NULL, disabled_address},
    {"data_port_becomes_pcicfg",
     "Set -> bus=(a>>16)&255, dev=(a>>11)&31, func=(a>>8)&7, reg=(a&0xfc)+((a>>16)&0xf00)+(port-"
     "0xcfc).",
     "the same", NULL, NULL, arithmetic},
    {"data_port_is_routed_by_function", "It becomes PCICFG, for the default client.",
     "the default client only", "the client that owns the function, else the default client",
     "a client can own one PCI function", routed_by_function},
    {"configuration_address_is_per_vm", "Stores the configuration address per VM.", "the same",
     "the same; a VM without `pci` has ports there like any others", "not every VM has PCI",
     per_vm},
    {"data_access_may_not_cross", "A 4-byte access at 0xcff becomes register+3.",
     "crosses into the next register", "all-ones, counted", "no bus has such an access", crossing},
    {"waiting_data_access_looks_at_the_address_when_served",
     "A data access that had to wait keeps the bus/device/function of its first look.",
     "the first look", "translated once, from the address as it is when the request is served",
     "a request is either waiting, unread, or on its way, copied", waiting_data_access},
    {"answer_of_a_data_port_is_32_bits_wide", "value @24 (u32 for port I/O, u64 for MMIO).",
     "the page's type becomes PCICFG", "type and upper half are left as they were",
     "the requester reads it as the port access it made", answer_is_32_bits},
    {"new_requester_begins_without_an_address", "Stores the configuration address per VM.",
     "lives as long as the VM", "starts anew with each requester", "a new requester is a new guest",
     new_requester},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "What the Linux driver does: PCI ports", rows,
                     sizeof(rows) / sizeof(rows[0]));
}
