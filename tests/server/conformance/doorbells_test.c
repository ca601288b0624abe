/* SPDX-License-Identifier: BSD-3-Clause */
/* "What the Linux driver does": ioeventfd and irqfd, with what was seen of their dispatcher. */
#include "tests/server/conformance/table.h"

#include "pollers/notifier.h"
#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"
#include "tests/support/eventfd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define BELL (WORLD_MMIO + 0x100)

struct fixture {
    struct vm *vm;
    struct world_device device; /* owns WORLD_MMIO..+0xfff */
    struct vm_client *client;
    int bells[2];
};

static void fixture_init(struct fixture *fixture, struct world *world)
{
    fixture->vm = world_vm(world, "vm", 1);
    fixture->client = world_client(fixture->vm, "client", 0, &fixture->device);
    world_range(fixture->client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    for (int i = 0; i < 2; i++)
        fixture->bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void fixture_fini(struct fixture *fixture)
{
    close(fixture->bells[0]);
    close(fixture->bells[1]);
}

static struct ioeventfd_options bell(const struct fixture *fixture, int which, uint32_t length)
{
    return (struct ioeventfd_options){.descriptor = fixture->bells[which],
                                      .type = REQUEST_MMIO,
                                      .address = BELL,
                                      .length_bytes = length};
}

static struct ioeventfd_options bell_for(const struct fixture *fixture, int which, uint64_t data)
{
    struct ioeventfd_options options = bell(fixture, which, 4);
    options.has_datamatch = true;
    options.data = data;
    return options;
}

static uint64_t rings(struct world *world, int descriptor)
{
    notifier_round(world->topology.notifier);
    return eventfd_take(descriptor);
}

static void write_bell(struct world *world, struct fixture *fixture, uint64_t size, uint64_t data)
{
    world_do(world, fixture->vm, world_write(REQUEST_MMIO, BELL, size, data));
}

static void lengths(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    for (uint32_t length = 0; length <= 16; length++) {
        bool is_valid = length == 1 || length == 2 || length == 4 || length == 8;
        struct ioeventfd_options options = bell(&fixture, 0, length);
        assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), is_valid ? 0 : -EINVAL);
        if (is_valid)
            assert_int_equal(vm_ioeventfd_deassign(fixture.vm, &options), 0);
    }
    struct ioeventfd_options port = bell(&fixture, 0, 4);
    port.type = REQUEST_PORTIO;
    port.address = 0x600;
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &port), 0);
    world_do(world, fixture.vm, world_write(REQUEST_PORTIO, 0x600, 2, 1));
    assert_int_equal(rings(world, fixture.bells[0]), 1);
    fixture_fini(&fixture);
}

static void write_signals_and_completes(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options options = bell_for(&fixture, 0, 7);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), 0);
    world_ask(fixture.vm, 0, world_write(REQUEST_MMIO, BELL, 4, 7));
    poller_round(world->pollers[0].poller);
    assert_int_equal(world_state(fixture.vm, 0), SLOT_COMPLETE);
    assert_int_equal(rings(world, fixture.bells[0]), 1);
    assert_int_equal(fixture.device.calls, 0);
    fixture_fini(&fixture);
}

static void reads_give_zero(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options options = bell(&fixture, 0, 8);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), 0);
    assert_int_equal(world_do(world, fixture.vm, world_read(REQUEST_MMIO, BELL, 8)), 0);
    assert_int_equal(vm_ioeventfd_deassign(fixture.vm, &options), 0);
    options.reads = IOEVENTFD_READS_ONES;
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), 0);
    assert_int_equal(world_do(world, fixture.vm, world_read(REQUEST_MMIO, BELL, 4)), 0xffffffff);
    assert_int_equal(rings(world, fixture.bells[0]), 0);
    fixture_fini(&fixture);
}

static void unmatched_data_is_counted(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options options = bell_for(&fixture, 0, 7);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), 0);
    write_bell(world, &fixture, 4, 8);
    assert_int_equal(rings(world, fixture.bells[0]), 0);
    assert_int_equal(vm_ioeventfd_figures(fixture.vm).misses, 1);
    assert_int_equal(fixture.device.calls, 0);
    fixture_fini(&fixture);
}

static void conflicts(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options seven = bell_for(&fixture, 0, 7), eight = bell_for(&fixture, 0, 8);
    struct ioeventfd_options any = bell(&fixture, 0, 4);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &seven), 0);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &seven), -EEXIST);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &any), -EEXIST);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &eight), 0);
    assert_int_equal(vm_ioeventfd_figures(fixture.vm).assigned, 2);
    fixture_fini(&fixture);
}

static void deassign_takes_the_named_entry(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options seven = bell_for(&fixture, 0, 7), eight = bell_for(&fixture, 0, 8);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &seven), 0);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &eight), 0);
    assert_int_equal(vm_ioeventfd_deassign(fixture.vm, &eight), 0);
    assert_int_equal(vm_ioeventfd_deassign(fixture.vm, &eight), -ENOENT);
    write_bell(world, &fixture, 4, 7);
    write_bell(world, &fixture, 4, 8);
    assert_int_equal(rings(world, fixture.bells[0]), 1);
    assert_int_equal(vm_ioeventfd_deassign(fixture.vm, &seven), 0);
    write_bell(world, &fixture, 4, 7); /* the client's again */
    assert_int_equal(fixture.device.calls, 1);
    fixture_fini(&fixture);
}

static void later_client_does_not_shadow(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct ioeventfd_options options = bell(&fixture, 0, 4);
    assert_int_equal(vm_ioeventfd_assign(fixture.vm, &options), 0);
    struct world_device late;
    struct vm_client *client = world_client(fixture.vm, "late", 0, &late);
    assert_int_equal(vm_client_add_range(client, REQUEST_MMIO, BELL, BELL + 3, 1000), 0);
    assert_int_equal(
        vm_client_add_range(client, REQUEST_MMIO, BELL, BELL + 3, VM_PRIORITY_DOORBELL), -EINVAL);
    write_bell(world, &fixture, 4, 1);
    assert_int_equal(rings(world, fixture.bells[0]), 1);
    assert_int_equal(late.calls, 0);
    fixture_fini(&fixture);
}

static void irqfd_twice(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    const struct irqfd_route msi = {.kind = IRQFD_MSI, .address = 0xfee00000, .data = 0x41};
    const struct irqfd_route line = {.kind = IRQFD_GSI, .gsi = 5};
    assert_int_equal(vm_irqfd_assign(fixture.vm, fixture.bells[0], &msi), 0);
    assert_int_equal(vm_irqfd_assign(fixture.vm, fixture.bells[0], &msi), -EBUSY);
    assert_int_equal(vm_irqfd_assign(fixture.vm, fixture.bells[0], &line), -EBUSY);
    assert_int_equal(vm_irqfd_assign(fixture.vm, fixture.bells[1], &line), 0);
    assert_int_equal(vm_irqfd_deassign(fixture.vm, fixture.bells[0]), 0);
    assert_int_equal(vm_irqfd_deassign(fixture.vm, fixture.bells[0]), -ENOENT);
    assert_int_equal(vm_irqfd_count(fixture.vm), 1);
    fixture_fini(&fixture);
}

static const struct row rows[] = {
    {"ioeventfd_lengths", "ioeventfd: length 1, 2, 4 or 8 (PIO 1).", "EINVAL otherwise", NULL, NULL,
     lengths},
    {"matching_write_signals_and_completes", "A matching write signals an eventfd and completes.",
     "signals, then completes", "completes first; the notifier signals after",
     "a poller makes no system call, and the guest need not wait for one",
     write_signals_and_completes},
    {"reads_of_an_ioeventfd_give_zero", "Reads give 0.", "0", "0, or all-ones if asked for",
     "some devices' doorbells read as nothing", reads_give_zero},
    {"write_that_matches_nothing_is_counted",
     "A write whose data matches nothing is lost silently.", "lost", "dropped and counted",
     "a lost doorbell looks like a hung device", unmatched_data_is_counted},
    {"overlapping_data_is_refused", "Same eventfd, address and type with overlapping data: EEXIST.",
     "EEXIST", NULL, NULL, conflicts},
    {"deassign_removes_the_entry_it_names",
     "Deassigning an ioeventfd removes the first entry of that descriptor only.",
     "the first of that eventfd", "the one of that type, address, length and data, or ENOENT",
     "the other one goes on ringing", deassign_takes_the_named_entry},
    {"later_client_does_not_shadow_a_doorbell", "A client registered later shadows a doorbell.",
     "shadowed", "doorbells win over every range; their priority is reserved",
     "a ring must not get lost", later_client_does_not_shadow},
    {"irqfd_of_one_eventfd_is_assigned_once",
     "irqfd: eventfd -> MSI into the VM, edge only; same eventfd twice: EBUSY.", "EBUSY; MSIs only",
     "EBUSY; MSIs and lines", "a requester with an I/O APIC can raise both", irqfd_twice},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "What the Linux driver does: ioeventfd and irqfd", rows,
                     sizeof(rows) / sizeof(rows[0]));
}
