/* SPDX-License-Identifier: BSD-3-Clause */
/* What a right file becomes: values, defaults, references, marks. */
#include "tests/config/fixture.h"

static struct config *good(const char *text, struct loaded *loaded)
{
    *loaded = loaded_text(text);
    if (loaded->error)
        print_error("%s", loaded->report);
    assert_int_equal(loaded->error, 0);
    assert_int_equal(loaded->config->problem_count, 0);
    assert_string_equal(loaded->report, "");
    return loaded->config;
}

static void smallest_file_has_every_default(void **state)
{
    (void)state;
    struct loaded loaded;
    const struct config *config = good("pollers:\n  - name: rt\n"
                                       "vms:\n  - name: guest\n    vcpus: 1\n    poller: rt\n",
                                       &loaded);
    assert_string_equal(config->path, "test.yaml");
    assert_string_equal(config->server.socket, "/run/ioreqd/ioreqd.sock");
    assert_true(config->server.lock_memory);
    assert_int_equal(config->server.settle_ns, 1000000000);
    assert_int_equal(config->server.allowed_uid_count, 0);
    assert_int_equal(config->server.socket_mark.line, 0);
    assert_int_equal(config->poller_count, 1);
    assert_string_equal(config->pollers[0].name, "rt");
    assert_int_equal(config->pollers[0].cpu, CONFIG_CPU_ANY);
    assert_int_equal(config->server.cpu, CONFIG_CPU_ANY);
    assert_int_equal(config->server.notify_cpu, CONFIG_CPU_ANY);
    assert_int_equal(config->vms[0].vcpu_cpu_count, 0);
    assert_int_equal(config->pollers[0].idle, CONFIG_IDLE_SPIN);
    assert_int_equal(config->pollers[0].idle_sleep_ns, 50000);
    assert_int_equal(config->pollers[0].idle_spins, 0);
    assert_int_equal(config->server.cpu_dma_latency, CONFIG_CPU_DMA_LATENCY_HOLD);
    assert_true(config->pollers[0].sandbox);
    assert_int_equal(config->pollers[0].mark.line, 2);
    assert_int_equal(config->pollers[0].mark.column, 5);
    assert_int_equal(config->pollers[0].cpu_mark.line, 0);
    assert_int_equal(config->vm_count, 1);
    assert_int_equal(config->vms[0].vcpus, 1);
    assert_int_equal(config->vms[0].source, CONFIG_SOURCE_MEMFD);
    assert_int_equal(config->vms[0].poller, 0);
    assert_int_equal(config->vms[0].default_client, CONFIG_NO_CLIENT);
    assert_int_equal(config->vms[0].clear_timeout_ns, 100000000);
    assert_true(config->vms[0].pci);
    assert_int_equal(config->vms[0].pci_mark.line, 0);
    assert_int_equal(config->client_count, 0);
    loaded_free(&loaded);
}

static void every_key_is_taken(void **state)
{
    (void)state;
    struct loaded loaded;
    const struct config *config = good(
        "---\n"
        "server: {socket: /tmp/s, lock_memory: false, settle: 250ms, allowed_uids: [0x3e8, 1001],\n"
        "         cpu: 5, notify_cpu: 6, cpu_dma_latency: leave}\n"
        "pollers:\n"
        "  - {name: one, cpu: 9999, idle: sleep, idle_sleep: 1ms, idle_spins: 1000000, sandbox: "
        "false}\n"
        "  - {name: two, cpu: any, idle: pause}\n"
        "vms:\n"
        "  - {name: a, vcpus: 16, source: memfd, poller: two, default_client: rest, vcpu_cpus: "
        "\"2-5,8\"}\n"
        "  - {name: b, vcpus: 1, poller: one, default_client: none, clear_timeout: 10s, pci: "
        "false}\n"
        "clients:\n"
        "  - name: dev\n"
        "    vm: a\n"
        "    device: every\n"
        "    ranges: [{type: portio, first: 0x70, last: 0x71}, {type: mmio, first: 0xfe000000}]\n"
        "    options:\n"
        "      level: 0x9\n"
        "      memory: 2 GiB\n"
        "      loud: true\n"
        "      label: \"\"\n"
        "      mode: slow\n"
        "      stream: pty:/run/tty\n"
        "      registers: [{name: r, offset: 0x10, reset: 0xffffffffffffffff}]\n"
        "  - {name: rest, vm: a, device: plain, poller: one, broken_after: 1000000,\n"
        "     ranges: [{type: pcicfg, first: 0xffffff0, last: 0xfffffff, priority: 1000},\n"
        "              {bdf: ff:1f.7, type: pcicfg}, {type: pcicfg, bdf: \"0:2.0\", priority: "
        "1}]}\n"
        "  - {name: dev, vm: b, device: plain, ranges: [{type: portio, first: 0, last: 0xffff}]}\n",
        &loaded);
    assert_string_equal(config->server.socket, "/tmp/s");
    assert_false(config->server.lock_memory);
    assert_int_equal(config->server.settle_ns, 250000000);
    assert_int_equal(config->server.allowed_uid_count, 2);
    assert_int_equal(config->server.allowed_uids[0], 1000);
    assert_int_equal(config->server.allowed_uids[1], 1001);
    assert_int_equal(config->server.lock_memory_mark.line, 2);
    assert_int_equal(config->server.lock_memory_mark.column, 39);
    assert_int_equal(config->pollers[0].cpu, 9999);
    assert_int_equal(config->pollers[0].cpu_mark.line, 5);
    assert_int_equal(config->pollers[0].cpu_mark.column, 22);
    assert_int_equal(config->pollers[0].idle, CONFIG_IDLE_SLEEP);
    assert_int_equal(config->pollers[0].idle_sleep_ns, 1000000);
    assert_int_equal(config->pollers[0].idle_spins, 1000000);
    assert_int_equal(config->server.cpu_dma_latency, CONFIG_CPU_DMA_LATENCY_LEAVE);
    assert_false(config->pollers[0].sandbox);
    assert_int_equal(config->pollers[1].idle, CONFIG_IDLE_PAUSE);
    assert_int_equal(config->server.cpu, 5);
    assert_int_equal(config->server.cpu_mark.line, 3);
    assert_int_equal(config->server.notify_cpu, 6);
    static const uint32_t vcpu_cpus[] = {2, 3, 4, 5, 8};
    assert_int_equal(config->vms[0].vcpu_cpu_count, 5);
    assert_memory_equal(config->vms[0].vcpu_cpus, vcpu_cpus, sizeof(vcpu_cpus));
    assert_int_equal(config->vms[0].vcpu_cpus_mark.line, 8);
    assert_int_equal(config->vms[1].vcpu_cpu_count, 0);
    assert_int_equal(config->vms[0].poller, 1);
    assert_int_equal(config->vms[0].default_client, 1);
    assert_int_equal(config->vms[1].default_client, CONFIG_NO_CLIENT);
    assert_int_equal(config->client_count, 3);

    const struct config_client *dev = &config->clients[0];
    assert_int_equal(dev->vm, 0);
    assert_int_equal(dev->poller, 1);
    assert_int_equal(dev->device, 1);
    assert_int_equal(dev->range_count, 2);
    assert_int_equal(dev->ranges[0].type, CONFIG_RANGE_PORTIO);
    assert_int_equal(dev->ranges[0].last, 0x71);
    assert_int_equal(dev->ranges[1].type, CONFIG_RANGE_MMIO);
    assert_int_equal(dev->ranges[1].first, 0xfe000000);
    assert_int_equal(dev->ranges[1].last, 0xfe000000);
    assert_int_equal(dev->ranges[1].mark.line, 14);
    assert_int_equal(dev->values[EVERY_LEVEL].number, 9);
    assert_int_equal(dev->values[EVERY_LEVEL].mark.line, 16);
    assert_int_equal(dev->values[EVERY_LEVEL].mark.column, 14);
    assert_int_equal(dev->values[EVERY_MEMORY].number, UINT64_C(2) << 30);
    assert_int_equal(dev->values[EVERY_LOUD].number, 1);
    assert_string_equal(dev->values[EVERY_LABEL].string, "");
    assert_int_equal(dev->values[EVERY_MODE].number, 0);
    assert_string_equal(dev->values[EVERY_STREAM].string, "pty:/run/tty");
    assert_int_equal(dev->values[EVERY_REGISTERS].record_count, 1);
    const struct config_value *record = dev->values[EVERY_REGISTERS].records[0];
    assert_string_equal(record[0].string, "r");
    assert_int_equal(record[1].number, 0x10);
    assert_int_equal(record[2].number, 4);
    assert_int_equal(record[2].mark.line, 0);
    assert_true(record[3].number == UINT64_MAX);

    assert_int_equal(config->vms[0].clear_timeout_ns, 100000000);
    assert_int_equal(config->vms[1].clear_timeout_ns, UINT64_C(10000000000));
    assert_true(config->vms[0].pci);
    assert_false(config->vms[1].pci);
    assert_int_equal(config->vms[1].pci_mark.line, 9);
    assert_int_equal(config->vms[1].pci_mark.column, 85);

    const struct config_client *rest = &config->clients[1];
    assert_int_equal(dev->broken_after, 0);
    assert_int_equal(rest->broken_after, 1000000);
    assert_int_equal(rest->range_count, 3);
    assert_int_equal(rest->ranges[0].type, CONFIG_RANGE_PCICFG);
    assert_int_equal(rest->ranges[0].first, 0xffffff0);
    assert_int_equal(rest->ranges[0].last, CONFIG_PCICFG_LAST);
    assert_int_equal(rest->ranges[0].priority, 1000);
    assert_int_equal(rest->ranges[1].first, 0xffff000);
    assert_int_equal(rest->ranges[1].last, 0xfffffff);
    assert_int_equal(rest->ranges[1].priority, 0);
    assert_int_equal(rest->ranges[2].first, 0x10000);
    assert_int_equal(rest->ranges[2].last, 0x10fff);

    assert_int_equal(config->clients[1].poller, 0);
    assert_int_equal(config->clients[2].vm, 1);
    assert_int_equal(config->clients[2].poller, 0);
    loaded_free(&loaded);
}

static void options_left_out_have_their_defaults(void **state)
{
    (void)state;
    struct loaded loaded;
    const struct config *config = good(
        GOOD_HEAD "  - {name: d, vm: guest, device: every, ranges: [{type: mmio, first: 0}]}\n",
        &loaded);
    const struct config_value *values = config->clients[0].values;
    assert_int_equal(values[EVERY_LEVEL].number, 7);
    assert_int_equal(values[EVERY_LEVEL].mark.line, 0);
    assert_int_equal(values[EVERY_MEMORY].number, 64 << 20);
    assert_int_equal(values[EVERY_LOUD].number, 0);
    assert_string_equal(values[EVERY_LABEL].string, "plain");
    assert_int_equal(values[EVERY_MODE].number, 1);
    assert_string_equal(values[EVERY_STREAM].string, "none");
    assert_int_equal(values[EVERY_REGISTERS].record_count, 0);
    assert_int_equal(values[EVERY_FREE].number, 0);
    loaded_free(&loaded);
}

static void byte_order_mark_and_crlf_are_fine(void **state)
{
    (void)state;
    struct loaded loaded;
    const struct config *config = good("\xef\xbb\xbfpollers:\r\n  - name: rt\r\n"
                                       "vms: [{name: g, vcpus: 1, poller: rt}]\r\n",
                                       &loaded);
    assert_int_equal(config->pollers[0].mark.line, 2);
    assert_int_equal(config->vms[0].mark.column, 7);
    loaded_free(&loaded);
}

static void adjacent_ranges_and_both_spaces_do_not_overlap(void **state)
{
    (void)state;
    struct loaded loaded;
    good(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n"
                   "      - {type: portio, first: 0x10, last: 0x1f}\n"
                   "      - {type: portio, first: 0x20, last: 0x2f}\n"
                   "      - {type: portio, first: 0, last: 0xf}\n"
                   "      - {type: mmio, first: 0, last: 0xfffffffffffff}\n",
         &loaded);
    loaded_free(&loaded);
}

static void ranges_of_different_priority_may_overlap(void **state)
{
    (void)state;
    struct loaded loaded;
    good(GOOD_HEAD
         "  - {name: a, vm: guest, device: plain,\n"
         "     ranges: [{type: mmio, first: 0, last: 0xfffff},\n"
         "              {type: mmio, first: 0x1000, last: 0x1fff, priority: 1},\n"
         "              {type: mmio, first: 0x1800, last: 0x18ff, priority: 2},\n"
         "              {type: mmio, first: 0x2000, last: 0x2fff, priority: 1},\n"
         "              {type: mmio, first: 0x100000, last: 0x1fffff}]}\n"
         "  - {name: b, vm: guest, device: plain,\n"
         "     ranges: [{type: mmio, first: 0, last: 0xfffffffffffff, priority: 1000}]}\n",
         &loaded);
    loaded_free(&loaded);
}

static void ports_beside_those_of_pci_are_fine(void **state)
{
    (void)state;
    struct loaded loaded;
    good(GOOD_HEAD "  - {name: a, vm: guest, device: plain,\n"
                   "     ranges: [{type: portio, first: 0, last: 0xcf7},\n"
                   "              {type: portio, first: 0xd00, last: 0xffff},\n"
                   "              {type: mmio, first: 0xcf8, last: 0xcff},\n"
                   "              {type: pcicfg, first: 0xcf8, last: 0xcff}]}\n",
         &loaded);
    loaded_free(&loaded);
}

static void a_poller_nobody_uses_is_fine(void **state)
{
    (void)state;
    struct loaded loaded;
    good("pollers: [{name: a}, {name: b}]\nvms: [{name: g, vcpus: 1, poller: b}]\n", &loaded);
    loaded_free(&loaded);
}

static void default_client_may_have_ranges(void **state)
{
    (void)state;
    struct loaded loaded;
    const struct config *config =
        good("pollers: [{name: a}]\nvms: [{name: g, vcpus: 1, poller: a, default_client: d}]\n"
             "clients: [{name: d, vm: g, device: plain, ranges: [{type: portio, first: 1}]}]\n",
             &loaded);
    assert_int_equal(config->vms[0].default_client, 0);
    loaded_free(&loaded);
}

static void server_reports_in_the_same_form(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    static const char file[] = "pollers: [{name: a, cpu: 9999}]\n"
                               "vms: [{name: g, vcpus: 1, poller: a}]\n";
    struct config *config;
    assert_int_equal(
        config_load_bytes("x.yaml", file, strlen(file), kinds, KIND_COUNT, stream, &config), 0);
    config_report(config, config->pollers[0].cpu_mark, "CPU %u is not here; expected 0 to %d",
                  config->pollers[0].cpu, 1);
    config_report(config, config->server.socket_mark, "the directory is missing");
    assert_int_equal(config->problem_count, 2);
    fclose(stream);
    assert_string_equal(text, "x.yaml:1:26: CPU 9999 is not here; expected 0 to 1\n"
                              "    pollers: [{name: a, cpu: 9999}]\n"
                              "                             ^\n"
                              "x.yaml: the directory is missing\n");
    config_destroy(config);
    free(text);
}

static void destroy_of_nothing_is_fine(void **state)
{
    (void)state;
    config_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_file_has_every_default),
        cmocka_unit_test(every_key_is_taken),
        cmocka_unit_test(options_left_out_have_their_defaults),
        cmocka_unit_test(byte_order_mark_and_crlf_are_fine),
        cmocka_unit_test(adjacent_ranges_and_both_spaces_do_not_overlap),
        cmocka_unit_test(ranges_of_different_priority_may_overlap),
        cmocka_unit_test(ports_beside_those_of_pci_are_fine),
        cmocka_unit_test(a_poller_nobody_uses_is_fine),
        cmocka_unit_test(default_client_may_have_ranges),
        cmocka_unit_test(server_reports_in_the_same_form),
        cmocka_unit_test(destroy_of_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
