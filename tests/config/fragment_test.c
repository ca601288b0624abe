/* SPDX-License-Identifier: BSD-3-Clause */
/* One VM or client as text, as an operation at run time gives it. */
#include "tests/config/fixture.h"

static const char *const pollers[] = {"rt", "slow"};
static const char *const vms[] = {"guest", "other"};
static const struct config_names names = {
    .pollers = pollers, .poller_count = 2, .vms = vms, .vm_count = 2};

static struct loaded fragment_of(const char *section, const char *text, size_t size_bytes,
                                 const struct config_names *given)
{
    struct loaded loaded = {0};
    FILE *stream = open_memstream(&loaded.report, &loaded.report_bytes);
    assert_non_null(stream);
    loaded.error = config_load_fragment(section, text, size_bytes, given, kinds, KIND_COUNT, stream,
                                        &loaded.config);
    fclose(stream);
    assert_true(loaded.error == 0 || loaded.error == -EINVAL);
    assert_non_null(loaded.config);
    assert_int_equal(loaded.error == 0, loaded.config->problem_count == 0);
    return loaded;
}

static struct loaded fragment_loaded(const char *section, const char *text)
{
    return fragment_of(section, text, strlen(text), &names);
}

/* text is refused with one problem, told in line. */
static void fragment_refused(const char *section, const char *text, const char *line)
{
    struct loaded loaded = fragment_loaded(section, text);
    bool is_right = loaded.error == -EINVAL && loaded.config->problem_count == 1 &&
                    strncmp(loaded.report, line, strlen(line)) == 0;
    if (!is_right)
        print_error("%s: %zu problems: %s", text, loaded.config->problem_count, loaded.report);
    assert_true(is_right);
    loaded_free(&loaded);
}

static void what_is_no_mapping_is_refused(void **state)
{
    (void)state;
    static const char *const sections[] = {"vms", "clients"};
    for (size_t i = 0; i < 2; i++) {
        const char *section = sections[i];
        fragment_refused(section, "",
                         "<command>:1:1: no content; expected a mapping with the key name\n");
        fragment_refused(section, "# x", "<command>:1:1: no content");
        fragment_refused(section, "word", "<command>:1:1: no mapping; expected a mapping");
        fragment_refused(section, "- {name: x}", "<command>:1:1: no mapping; expected a mapping");
        fragment_refused(section, "{name: x", "<command>:2:1: did not find expected");
        fragment_refused(section, "{name: &a x}", "<command>:1:8: an anchor");
        fragment_refused(section, "a: b\n--- \nc: d\n", "<command>:2:1: a second document");
        fragment_refused(section, "[[[[[[[[[[[[[[[[[[[[", "<command>:1:17: nested too deeply");
    }
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size_bytes;
        const char *line;
    } cases[] = {
        {"{name: x\0}", 10, "<command>:1:9: a NUL byte"},
        {"{name: \xff}", 9, "<command>:1:8: byte 0xff is not valid UTF-8"},
        {"{name: \x1b[2J}", 12, "<command>:1:8: the control character U+001B"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loaded loaded = fragment_of("vms", cases[i].bytes, cases[i].size_bytes, &names);
        assert_int_equal(loaded.error, -EINVAL);
        assert_memory_equal(loaded.report, cases[i].line, strlen(cases[i].line));
        loaded_free(&loaded);
    }
}

static void a_fragment_is_no_larger_than_a_file(void **state)
{
    (void)state;
    size_t size_bytes = (size_t)CONFIG_FILE_BYTES_MAX + 1;
    char *blanks = malloc(size_bytes);
    assert_non_null(blanks);
    memset(blanks, ' ', size_bytes);
    struct loaded loaded = fragment_of("clients", blanks, size_bytes, &names);
    assert_int_equal(loaded.error, -EINVAL);
    assert_non_null(strstr(loaded.report, "too large; expected at most 8 MiB"));
    loaded_free(&loaded);
    free(blanks);
}

static void other_sections_are_refused(void **state)
{
    (void)state;
    fragment_refused("pollers", "{name: x}",
                     "<command>: 'pollers' cannot be created at run time; expected vms or "
                     "clients\n");
    fragment_refused("", "{name: x}", "<command>: '' cannot be created");
    fragment_refused("vm\n", "{name: x}", "<command>: 'vm\\x0a' cannot be created");
}

static void keys_are_those_of_the_section(void **state)
{
    (void)state;
    fragment_refused("vms", "{name: x, vcpus: 1, poller: rt, ranges: []}",
                     "<command>:1:33: unknown key 'ranges' in vms; expected name, vcpus, source, "
                     "device, map, offset, interrupt, vector, notify_by, notify_map, "
                     "notify_offset, notify_value, notify_step, hsm_vm, direct, poller, "
                     "default_client, clear_timeout, pci, vcpu_cpus, wait_after, budget\n");
    fragment_refused("clients", "{name: x, vm: guest, device: plain, vcpus: 1}",
                     "<command>:1:37: unknown key 'vcpus' in clients");
    fragment_refused("clients", "name: x\nvm: guest\ndevice: strict\n",
                     "<command>:1:1: key 'must' is missing in options");
    fragment_refused("clients", "{name: x, vm: guest, device: strict, options: {must: 11}}",
                     "<command>:1:54: must: '11' is out of range; expected a number from 0 to 10");
    struct loaded loaded = fragment_loaded("clients", "{}");
    assert_int_equal(loaded.config->problem_count, 3); /* name, vm, device */
    loaded_free(&loaded);
    loaded = fragment_loaded("vms", "{}");
    assert_int_equal(loaded.config->problem_count, 3); /* name, vcpus, poller */
    loaded_free(&loaded);
}

static void references_are_to_the_given_names(void **state)
{
    (void)state;
    fragment_refused("vms", "{name: x, vcpus: 1, poller: rtt}",
                     "<command>:1:29: poller: there is no poller 'rtt' (did you mean 'rt'?); "
                     "expected the name of a poller\n"
                     "    {name: x, vcpus: 1, poller: rtt}\n"
                     "                                ^\n");
    fragment_refused("clients", "{name: x, vm: guset, device: plain}",
                     "<command>:1:15: vm: there is no VM 'guset' (did you mean 'guest'?)");
    fragment_refused("clients", "{name: x, vm: guest, device: pain}",
                     "<command>:1:30: device: there is no device kind 'pain'");
    fragment_refused("clients", "{name: x, vm: guest, device: plain, poller: fast}",
                     "<command>:1:45: poller: there is no poller 'fast'");
    fragment_refused("clients", "{name: none, vm: guest, device: plain}",
                     "<command>:1:8: name: 'none' stands for no client");
    fragment_refused("vms", "{name: x, vcpus: 1, poller: rt, default_client: fallback}",
                     "<command>:1:49: default_client: a VM created at run time has no client "
                     "'fallback' yet; expected none");
}

static void references_without_any_names_are_refused(void **state)
{
    (void)state;
    static const struct config_names none = {0};
    static const char vm[] = "{name: x, vcpus: 1, poller: rt}";
    static const char client[] = "{name: x, vm: guest, device: plain}";
    struct loaded loaded = fragment_of("vms", vm, strlen(vm), &none);
    assert_int_equal(loaded.config->problem_count, 1);
    assert_non_null(strstr(loaded.report, "there is no poller 'rt'"));
    loaded_free(&loaded);
    loaded = fragment_of("clients", client, strlen(client), &none);
    assert_int_equal(loaded.config->problem_count, 1);
    assert_non_null(strstr(loaded.report, "there is no VM 'guest'"));
    loaded_free(&loaded);
}

static void own_ranges_are_checked(void **state)
{
    (void)state;
    fragment_refused("clients",
                     "name: x\nvm: other\ndevice: plain\nranges:\n"
                     "- {type: mmio, first: 0, last: 9}\n- {type: mmio, first: 9}\n",
                     "<command>:6:3: mmio 0x9-0x9 overlaps 0x0-0x9 of client 'x' at 5:3; expected "
                     "ranges of one VM to be apart, or to differ in priority (both have 0)\n");
    fragment_refused("clients",
                     "{name: x, vm: other, device: plain, ranges: [{type: portio, first: 65536}]}",
                     "<command>:1:68: first: 0x10000 is no port");
}

static void good_vm_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = fragment_loaded(
        "vms", "{name: new, vcpus: 3, poller: slow, default_client: none, clear_timeout: 5ms}");
    const struct config *config = loaded.config;
    assert_string_equal(loaded.report, "");
    assert_string_equal(config->path, "<command>");
    assert_int_equal(config->vm_count, 1);
    assert_int_equal(config->client_count + config->poller_count, 0);
    assert_string_equal(config->vms[0].name, "new");
    assert_int_equal(config->vms[0].vcpus, 3);
    assert_int_equal(config->vms[0].source, CONFIG_SOURCE_MEMFD);
    assert_int_equal(config->vms[0].poller, 1);
    assert_int_equal(config->vms[0].default_client, CONFIG_NO_CLIENT);
    assert_int_equal(config->vms[0].clear_timeout_ns, 5000000);
    assert_true(config->vms[0].pci);
    loaded_free(&loaded);
}

static void server_reports_in_the_same_form(void **state)
{
    (void)state;
    static const char text[] = "{name: new, vcpus: 3, poller: slow}";
    struct loaded loaded = {0};
    FILE *stream = open_memstream(&loaded.report, &loaded.report_bytes);
    assert_int_equal(config_load_fragment("vms", text, strlen(text), &names, kinds, KIND_COUNT,
                                          stream, &loaded.config),
                     0);
    config_report(loaded.config, loaded.config->vms[0].mark, "VM 'new' is there already");
    assert_int_equal(loaded.config->problem_count, 1);
    fclose(stream);
    assert_string_equal(loaded.report, "<command>:1:1: VM 'new' is there already\n"
                                       "    {name: new, vcpus: 3, poller: slow}\n"
                                       "    ^\n");
    loaded_free(&loaded);
}

static void good_client_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = fragment_loaded(
        "clients", "{name: new, vm: other, device: every, poller: slow, broken_after: 3,\n"
                   " ranges: [{type: pcicfg, bdf: 00:02.0, priority: 4},\n"
                   "          {type: portio, first: 0xcfc}],\n"
                   " options: {level: 3, registers: [{name: r, offset: 1}]}}");
    assert_string_equal(loaded.report, "");
    assert_int_equal(loaded.config->client_count, 1);
    assert_int_equal(loaded.config->vm_count, 0);
    const struct config_client *client = &loaded.config->clients[0];
    assert_string_equal(client->name, "new");
    assert_int_equal(client->vm, 1);
    assert_int_equal(client->poller, 1);
    assert_int_equal(client->device, 1);
    assert_int_equal(client->broken_after, 3);
    assert_int_equal(client->values[EVERY_LEVEL].number, 3);
    assert_int_equal(client->values[EVERY_REGISTERS].record_count, 1);
    assert_int_equal(client->range_count, 2);
    assert_int_equal(client->ranges[0].type, CONFIG_RANGE_PCICFG);
    assert_int_equal(client->ranges[0].first, 0x10000);
    assert_int_equal(client->ranges[0].priority, 4);
    assert_false(config_range_is_pci_port(&client->ranges[0]));
    assert_true(config_range_is_pci_port(&client->ranges[1])); /* the caller knows the VM */
    loaded_free(&loaded);
}

static void client_may_leave_poller_and_ranges_to_the_caller(void **state)
{
    (void)state;
    struct loaded loaded = fragment_loaded("clients", "{name: new, vm: guest, device: plain}");
    assert_int_equal(loaded.error, 0);
    assert_int_equal(loaded.config->clients[0].vm, 0);
    assert_int_equal(loaded.config->clients[0].poller, CONFIG_POLLER_OF_VM);
    assert_int_equal(loaded.config->clients[0].range_count, 0);
    loaded_free(&loaded);
}

static void pci_ports_are_those_that_touch_them(void **state)
{
    (void)state;
    static const struct {
        struct config_range range;
        bool is_pci_port;
    } cases[] = {
        {{.first = 0xcf8, .last = 0xcff}, true},  {{.first = 0, .last = 0xffff}, true},
        {{.first = 0, .last = 0xcf8}, true},      {{.first = 0xcff, .last = 0xcff}, true},
        {{.first = 0xcfa, .last = 0xcfa}, true},  {{.first = 0, .last = 0xcf7}, false},
        {{.first = 0xd00, .last = 0xd00}, false}, {{.first = 0, .last = 0xffff, .type = 1}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(config_range_is_pci_port(&cases[i].range), cases[i].is_pci_port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_mapping_is_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(a_fragment_is_no_larger_than_a_file),
        cmocka_unit_test(other_sections_are_refused),
        cmocka_unit_test(keys_are_those_of_the_section),
        cmocka_unit_test(references_are_to_the_given_names),
        cmocka_unit_test(references_without_any_names_are_refused),
        cmocka_unit_test(own_ranges_are_checked),
        cmocka_unit_test(good_vm_is_taken),
        cmocka_unit_test(server_reports_in_the_same_form),
        cmocka_unit_test(good_client_is_taken),
        cmocka_unit_test(client_may_leave_poller_and_ranges_to_the_caller),
        cmocka_unit_test(pci_ports_are_those_that_touch_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
