/* SPDX-License-Identifier: BSD-3-Clause */
/* From the text of a configuration to what a device is told, and to where pollers run. */
#include "config/config.h"
#include "server/devices/device_options.h"
#include "tests/support/guest.h"

#include "pollers/placement.h"
#include "pollers/ticks.h"
#include "server/reload.h"
#include "server/topology.h"
#include "server/vm_client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct placement *placement;

/* On eight CPUs that hwloc invents: no poller is started here. */
static int open_invented(void **state)
{
    (void)state;
    setenv("HWLOC_SYNTHETIC", "pu:8", 1);
    int result = placement_open(&placement);
    unsetenv("HWLOC_SYNTHETIC");
    return result;
}

static int close_invented(void **state)
{
    (void)state;
    placement_close(placement);
    return 0;
}

struct scene {
    struct config_device_kind *kinds;
    struct config *config;
    struct topology *topology;
};

static void scene_create(struct scene *scene, const char *text)
{
    size_t kind_count;
    scene->kinds = device_config_kinds(&kind_count);
    assert_non_null(scene->kinds);
    assert_int_equal(config_load_bytes("test", text, strlen(text), scene->kinds, kind_count, stderr,
                                       &scene->config),
                     0);
    assert_int_equal(topology_create(scene->config, placement, &scene->topology), 0);
    assert_int_equal(topology_populate(scene->topology, scene->config), 0);
    assert_int_equal(topology_take_on(scene->topology), 0);
}

static void scene_destroy(struct scene *scene)
{
    topology_destroy(scene->topology);
    config_destroy(scene->config);
    device_config_kinds_destroy(scene->kinds);
}

/* ---- threads ----------------------------------------------------------------------------- */

static void threads_go_where_the_plan_says(void **state)
{
    (void)state;
    struct scene scene;
    scene_create(&scene, "server: {cpu: 2}\n"
                         "pollers: [{name: any, sandbox: false}, {name: five, cpu: 5}]\n"
                         "vms: [{name: vm, vcpus: 2, poller: any, vcpu_cpus: \"6-7\"}]\n");
    assert_int_equal(scene.topology->pollers[0].cpu, 4); /* 5 is asked for, 6 and 7 are vCPUs' */
    assert_int_equal(scene.topology->pollers[1].cpu, 5);
    assert_int_equal(scene.topology->plan->control->cpu, 2);
    assert_int_equal(scene.topology->plan->notifier->cpu, 0);
    scene_destroy(&scene);
}

static void cpus_that_are_not_to_be_had_are_reported_where_they_stand(void **state)
{
    (void)state;
    static const char text[] = "pollers: [{name: far, cpu: 8, sandbox: false}]\n"
                               "vms: [{name: vm, vcpus: 2, poller: far, vcpu_cpus: 9}]\n";
    char *report = NULL;
    size_t report_bytes, kind_count;
    FILE *stream = open_memstream(&report, &report_bytes);
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    struct config *config = NULL;
    assert_int_equal(
        config_load_bytes("t.yaml", text, strlen(text), kinds, kind_count, stream, &config), 0);
    const struct machine_facts facts = {.tsc_is_invariant = true};
    topology_check(config, placement, &facts);
    assert_int_equal(config->problem_count, 2);
    struct topology *topology = NULL;
    assert_int_equal(topology_create(config, placement, &topology), -EINVAL);
    fclose(stream);
    assert_non_null(strstr(report, "t.yaml:1:28: CPU 8 does not exist; expected one of 0-7\n"));
    assert_non_null(strstr(report, "t.yaml:2:52: vcpu_cpus: CPU 9 does not exist; expected CPUs "
                                   "up to 7\n"));
    config_destroy(config);
    device_config_kinds_destroy(kinds);
    free(report);
}

/* ---- ranges ------------------------------------------------------------------------------ */

static const char three_ranges[] =
    "pollers: [{name: rt, cpu: any, sandbox: false}]\n"
    "vms: [{name: vm, vcpus: 1, source: memfd, poller: rt, default_client: rest}]\n"
    "clients:\n"
    "  - name: other\n"
    "    vm: vm\n"
    "    device: register_bank\n"
    "    ranges: [{type: mmio, first: 0x2000, last: 0x2fff}]\n"
    "    options: {registers: [{name: word, offset: 0, size: 4}]}\n"
    "  - name: bank\n"
    "    vm: vm\n"
    "    device: fallback\n"
    "    ranges:\n"
    "      - {type: mmio, first: 0x3000, last: 0x3fff}\n" /* neither in the order of addresses */
    "      - {type: portio, first: 0x400, last: 0x40f}\n" /* nor of one type */
    "      - {type: mmio, first: 0x1000, last: 0x1fff}\n"
    "  - {name: rest, vm: vm, device: fallback}\n";

static struct request seen;
static uint32_t calls;

static int record(struct device *device, struct request *request)
{
    (void)device;
    seen = *request;
    calls++;
    return 0;
}

/* One access of the VM, which its device must see as range range_index, offset 4. */
static void assert_seen(const struct scene *scene, uint32_t type, uint64_t first,
                        uint32_t range_index)
{
    const struct vm *vm = scene->topology->vms[0];
    struct acrn_io_request *slot = &vm->source.slots[0];
    slot->type = type;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = first + 4;
    slot->reqs.mmio_request.size = 4;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    calls = 0;
    poller_round(vm->poller);
    assert_int_equal(calls, 1);
    assert_int_equal(seen.address, first + 4);
    assert_int_equal(seen.offset, 4);
    assert_int_equal(seen.range_index, range_index);
}

static void device_is_told_which_of_its_ranges_it_is(void **state)
{
    (void)state;
    static const struct device_ops ops = {.name = "record", .handle = record};
    struct device recorder = {.ops = &ops};
    struct scene scene;
    int descriptor;
    scene_create(&scene, three_ranges);
    struct vm *vm = scene.topology->vms[0];
    struct vm_client *bank = topology_find_client(vm, "bank");
    assert_non_null(bank);
    struct device *before = bank->client.device;
    assert_int_equal(vm_attach(vm, 1, &descriptor), 0);
    bank->client.device = &recorder;
    assert_seen(&scene, REQUEST_MMIO, 0x3000, 0);
    assert_seen(&scene, REQUEST_PORTIO, 0x400, 1);
    assert_seen(&scene, REQUEST_MMIO, 0x1000, 2);
    bank->client.device = before;
    scene_destroy(&scene);
}

static void ranges_made_at_run_time_count_on(void **state)
{
    (void)state;
    static const struct device_ops ops = {.name = "record", .handle = record};
    struct device recorder = {.ops = &ops};
    struct scene scene;
    int descriptor;
    scene_create(&scene, three_ranges);
    struct vm *vm = scene.topology->vms[0];
    struct vm_client *bank = topology_find_client(vm, "bank");
    struct device *before = bank->client.device;
    assert_int_equal(vm_attach(vm, 1, &descriptor), 0);
    bank->client.device = &recorder;
    assert_int_equal(vm_client_delete_range(bank, REQUEST_PORTIO, 0x400, 0x40f), 0);
    assert_int_equal(vm_client_add_range(bank, REQUEST_MMIO, 0x5000, 0x5fff, 0), 0);
    /* The others keep theirs, and no index is given twice. */
    assert_seen(&scene, REQUEST_MMIO, 0x3000, 0);
    assert_seen(&scene, REQUEST_MMIO, 0x1000, 2);
    assert_seen(&scene, REQUEST_MMIO, 0x5000, 3);
    bank->client.device = before;
    scene_destroy(&scene);
}

/* ---- deadlines --------------------------------------------------------------------------- */

static void clients_of_other_pollers_have_the_deadline_of_their_file(void **state)
{
    (void)state;
    static const char text[] =
        "pollers: [{name: rt, cpu: any, idle: yield}, {name: side, cpu: any, idle: yield}]\n"
        "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt}]\n"
        "clients:\n"
        "  - {name: near, vm: guest, device: fallback, ranges: [{type: portio, first: 1}]}\n"
        "  - {name: usual, vm: guest, device: fallback, poller: side, ranges: [{type: portio, "
        "first: 2}]}\n"
        "  - {name: own, vm: guest, device: fallback, poller: side, deadline: 50us, late: value, "
        "late_value: 0x77, ranges: [{type: portio, first: 3}]}\n"
        "  - {name: patient, vm: guest, device: fallback, poller: side, deadline: 0us, ranges: "
        "[{type: portio, first: 4}]}\n";
    struct scene scene;
    scene_create(&scene, text);
    const struct vm *vm = scene.topology->vms[0];
    assert_int_equal(topology_find_client(vm, "near")->client.deadline_ticks, 0); /* called */
    assert_int_equal(topology_find_client(vm, "usual")->client.deadline_ticks,
                     ticks_from_ns(10000000));
    assert_null(topology_find_client(vm, "usual")->client.late_answers);
    const struct client *own = &topology_find_client(vm, "own")->client;
    assert_int_equal(own->deadline_ticks, ticks_from_ns(50000));
    assert_int_equal(own->late_answers->kind, LATE_VALUE);
    assert_int_equal(own->late_answers->value, 0x77);
    assert_int_equal(topology_find_client(vm, "patient")->client.deadline_ticks, 0);
    scene_destroy(&scene);
}

/* ---- reload ------------------------------------------------------------------------------ */

static void write_timeout(int file, const char *timeout)
{
    char text[256];
    int length = snprintf(text, sizeof(text),
                          "pollers: [{name: rt, cpu: any, idle: yield}]\n"
                          "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt, "
                          "clear_timeout: %s}]\n",
                          timeout);
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(pwrite(file, text, (size_t)length, 0), length);
}

static void a_vm_that_stays_takes_its_clear_timeout_from_the_next_file(void **state)
{
    (void)state;
    char path[] = "/tmp/ioreqd-topology-XXXXXX";
    int file = mkstemp(path);
    struct scene scene;
    size_t kind_count;
    assert_true(file >= 0);
    scene.kinds = device_config_kinds(&kind_count);
    write_timeout(file, "20ms");
    assert_int_equal(config_load(path, scene.kinds, kind_count, stderr, &scene.config), 0);
    assert_int_equal(topology_create(scene.config, placement, &scene.topology), 0);
    assert_int_equal(topology_populate(scene.topology, scene.config), 0);
    struct reload reload = {.topology = scene.topology,
                            .first = scene.config,
                            .current = scene.config,
                            .kinds = scene.kinds,
                            .kind_count = kind_count};
    const struct vm *vm = topology_find_vm(scene.topology, "guest");
    assert_int_equal(vm->clear_timeout_ns, 20000000);
    write_timeout(file, "3ms");
    assert_int_equal(reload_run(&reload), 0);
    assert_ptr_equal(topology_find_vm(scene.topology, "guest"), vm);
    assert_int_equal(vm->clear_timeout_ns, 3000000);
    reload_fini(&reload);
    scene_destroy(&scene);
    close(file);
    unlink(path);
}

/* ---- CPUs -------------------------------------------------------------------------------- */

static void pollers_on_any_cpu_get_cpus_of_their_own(void **state)
{
    (void)state;
    static const char text[] =
        "pollers:\n"
        "  - {name: a, cpu: any, sandbox: false}\n"
        "  - {name: b, cpu: 7, sandbox: false}\n" /* named after it was wanted */
        "  - {name: c, cpu: any, sandbox: false}\n"
        "  - {name: d, cpu: any, sandbox: false}\n"
        "vms: [{name: vm, vcpus: 1, source: memfd, poller: a}]\n"
        "clients: []\n";
    struct scene scene;
    scene_create(&scene, text);
    const struct topology *topology = scene.topology;
    assert_int_equal(topology->pollers[1].cpu, 7);
    for (size_t i = 0; i < topology->poller_count; i++) {
        assert_in_range(topology->pollers[i].cpu, 1, 7); /* CPU 0 is housekeeping's */
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(topology->pollers[i].cpu, topology->pollers[k].cpu);
    }
    scene_destroy(&scene);
}

/* hwloc cannot bind a thread on a machine it invented. */
static void nothing_starts_where_threads_run_elsewhere(void **state)
{
    (void)state;
    struct scene scene;
    scene_create(&scene, three_ranges);
    assert_int_equal(topology_start(scene.topology), -EXDEV);
    assert_true(poller_is_gone(scene.topology->pollers[0].poller));
    scene_destroy(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_go_where_the_plan_says),
        cmocka_unit_test(cpus_that_are_not_to_be_had_are_reported_where_they_stand),
        cmocka_unit_test(device_is_told_which_of_its_ranges_it_is),
        cmocka_unit_test(ranges_made_at_run_time_count_on),
        cmocka_unit_test(a_vm_that_stays_takes_its_clear_timeout_from_the_next_file),
        cmocka_unit_test(clients_of_other_pollers_have_the_deadline_of_their_file),
        cmocka_unit_test(pollers_on_any_cpu_get_cpus_of_their_own),
        cmocka_unit_test(nothing_starts_where_threads_run_elsewhere),
    };
    return cmocka_run_group_tests(tests, open_invented, close_invented);
}
