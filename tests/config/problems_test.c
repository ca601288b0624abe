/* SPDX-License-Identifier: BSD-3-Clause */
/* Wrong files: what is said, where, and that all of it is said in one run. */
#include "tests/config/fixture.h"

static void many_problems_are_told_in_one_run_in_file_order(void **state)
{
    (void)state;
    static const char file[] = "clients:\n"                                           /* 1 */
                               "  - {name: c, vm: guets, device: pain}\n"             /* 2 */
                               "vms:\n"                                               /* 3 */
                               "  - name: guest\n"                                    /* 4 */
                               "    vcpu: 1\n"                                        /* 5 */
                               "    poller: rtt\n"                                    /* 6 */
                               "pollers:\n"                                           /* 7 */
                               "  - {name: rt, cpu: -1, idle: sping, sandbox: yes}\n" /* 8 */
                               "server: {settle: 2h}\n";                              /* 9 */
    struct loaded loaded = loaded_text(file);
    assert_int_equal(loaded.error, -EINVAL);
    static const char expected[] =
        "test.yaml:2:19: vm: there is no VM 'guets' (did you mean 'guest'?); expected the name of "
        "a VM\n"
        "      - {name: c, vm: guets, device: pain}\n"
        "                      ^\n"
        "test.yaml:2:34: device: there is no device kind 'pain' (did you mean 'plain'?); expected "
        "the name of a device kind\n"
        "      - {name: c, vm: guets, device: pain}\n"
        "                                     ^\n"
        "test.yaml:4:5: key 'vcpus' is missing in vms; expected a number from 1 to 16\n"
        "      - name: guest\n"
        "        ^\n"
        "test.yaml:5:5: unknown key 'vcpu' in vms (did you mean 'vcpus'?); expected name, vcpus, "
        "source, device, map, offset, interrupt, vector, notify_by, notify_map, notify_offset, "
        "notify_value, notify_step, hsm_vm, direct, poller, default_client, clear_timeout, pci, "
        "vcpu_cpus, wait_after, budget\n"
        "        vcpu: 1\n"
        "        ^\n"
        "test.yaml:6:13: poller: there is no poller 'rtt' (did you mean 'rt'?); expected the name "
        "of a poller\n"
        "        poller: rtt\n"
        "                ^\n"
        "test.yaml:8:21: cpu: '-1' is negative or no number; expected the number of a CPU, or "
        "any\n"
        "      - {name: rt, cpu: -1, idle: sping, sandbox: yes}\n"
        "                        ^\n"
        "test.yaml:8:31: idle: 'sping' is none of the choices (did you mean 'spin'?); expected one "
        "of spin, pause, yield, sleep\n"
        "      - {name: rt, cpu: -1, idle: sping, sandbox: yes}\n"
        "                                  ^\n"
        "test.yaml:8:47: sandbox: 'yes' is neither true nor false; expected true or false\n"
        "      - {name: rt, cpu: -1, idle: sping, sandbox: yes}\n"
        "                                                  ^\n"
        "test.yaml:9:18: settle: '2h' is no number with a known unit; expected a duration from 1ms "
        "to 60s, such as 1s\n"
        "    server: {settle: 2h}\n"
        "                     ^\n";
    assert_string_equal(loaded.report, expected);
    assert_int_equal(loaded.config->problem_count, 9);
    loaded_free(&loaded);
}

static void duplicate_keys_name_the_first_place(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: a, name: b}]\nvms: [{name: g, vcpus: 1, poller: a}]\npollers: []\n",
            "test.yaml:1:21: duplicate key 'name' in pollers; expected it once, it stands at 1:12 "
            "already\n",
            "test.yaml:3:1: duplicate key 'pollers' in the file; expected it once, it stands at "
            "1:1 already\n");
}

static void duplicate_option_keys_are_refused(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - {name: d, vm: guest, device: every, ranges: [{type: mmio, first: 0}],\n"
                      "     options: {level: 1, level: 2, registers: [{name: a, offset: 0, name: "
                      "b}]}}\n",
            "test.yaml:7:26: duplicate key 'level' in options", "at 7:16",
            "test.yaml:7:69: duplicate key 'name' in registers", "at 7:49");
}

static void duplicate_names_name_the_first_place(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: a}, {name: a}]\n"
            "vms: [{name: g, vcpus: 1, poller: a}, {name: g, vcpus: 1, poller: a}]\n"
            "clients:\n"
            "  - {name: c, vm: g, device: plain, ranges: [{type: mmio, first: 0}]}\n"
            "  - {name: c, vm: g, device: plain, ranges: [{type: mmio, first: 1}]}\n",
            "test.yaml:1:29: a second poller 'a'", "the first stands at 1:18",
            "test.yaml:2:46: a second VM 'g'", "the first stands at 2:14",
            "test.yaml:5:12: a second client 'c'", "the first stands at 4:12");
}

static void names_of_16_bytes_and_foreign_characters_are_refused(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: abcdefghijklmnop}, {name: Rt}, {name: \"\"}, {name: \"a\\0b\"}]\n"
            "vms: [{name: \"\xc3\xa9\", vcpus: 1, poller: a}]\n",
            "test.yaml:1:18: name: 'abcdefghijklmnop' has 16 characters; expected a name of 1 to "
            "15 characters of a-z 0-9 _ -",
            "test.yaml:1:44: name: 'Rt' has 'R' in it", "test.yaml:1:56: name: '' has 0 characters",
            "test.yaml:1:68: name: 'a\\x00b' has a NUL in it",
            "test.yaml:2:14: name: '\\xc3\\xa9' has '\\xc3' in it");
}

static void missing_sections_are_told_once(void **state)
{
    (void)state;
    REFUSED("clients:\n  - {name: c, vm: g, device: plain, poller: p, ranges: [{type: mmio, first: "
            "0}]}\n",
            "test.yaml:1:1: key 'pollers' is missing in the file; expected a list of 1 to 16 "
            "mappings\n",
            "test.yaml:1:1: key 'vms' is missing in the file; expected a list of 1 to 64 "
            "mappings\n");
    struct loaded loaded = loaded_text("server: {}\n");
    assert_int_equal(loaded.config->problem_count, 2);
    loaded_free(&loaded);
}

static void wrong_shapes_are_told(void **state)
{
    (void)state;
    REFUSED("pollers: rt\nvms: []\nclients: {a: b}\nserver: [1]\n",
            "test.yaml:1:10: pollers: one word; expected a list of 1 to 16 mappings",
            "test.yaml:2:6: vms: 0 in the list; expected a list of 1 to 64 mappings",
            "test.yaml:3:10: clients: a mapping; expected a list of 0 to 1024 mappings",
            "test.yaml:4:9: server: a list; expected a mapping");
    REFUSED("pollers: [rt, [a], ~]\nvms:\nserver: {socket: [a], settle: {}, allowed_uids: 1}\n"
            "? [a]\n: b\n",
            "test.yaml:1:11: pollers: one word; expected a mapping with the key name",
            "test.yaml:1:15: pollers: a list; expected a mapping with the key name",
            "test.yaml:1:20: pollers: no value; expected a mapping with the key name",
            "test.yaml:2:5: vms: no value; expected", "test.yaml:3:18: socket: a list; expected",
            "test.yaml:3:31: settle: a mapping; expected",
            "test.yaml:3:49: allowed_uids: one word; expected a list of up to 64 numbers",
            "test.yaml:4:3: a list as a key of the file; expected server, pollers");
    REFUSED("- a\n", "test.yaml:1:1: no mapping; expected a mapping");
    REFUSED("word\n", "test.yaml:1:1: no mapping; expected a mapping");
    REFUSED("", "test.yaml:1:1: the file has no content; expected a mapping");
    REFUSED("# only\n", "test.yaml:1:1: the file has no content; expected a mapping");
    REFUSED("---\n...\n", "test.yaml:2:1: no mapping; expected a mapping");
}

static void bad_elements_of_number_lists_are_told(void **state)
{
    (void)state;
    REFUSED("server: {allowed_uids: [1, -1, [2], 4294967295, x]}\n",
            "test.yaml:1:28: allowed_uids: '-1' is negative or no number; expected a number from 0 "
            "to 0xfffffffe",
            "test.yaml:1:32: allowed_uids: a list; expected a number",
            "test.yaml:1:37: allowed_uids: '4294967295' is out of range",
            "test.yaml:1:49: allowed_uids: 'x' is no number");
}

static void options_are_checked_by_their_table(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - name: d\n    vm: guest\n    device: every\n"
                      "    ranges: [{type: mmio, first: 0}]\n"
                      "    options:\n"
                      "      level: 10\n"
                      "      memory: 64MB\n"
                      "      loud: \"true\"\n"
                      "      label: \"a\\nb\"\n"
                      "      mode: fats\n"
                      "      stream: ptyx\n"
                      "      registers: [{name: r}, {name: s, offset: 0x10000, sise: 1}]\n"
                      "      levle: 1\n",
            "test.yaml:11:14: level: '10' is out of range; expected a number from 1 to 9",
            "test.yaml:12:15: memory: '64MB' is no number with a known unit; expected a size from "
            "1MiB to 1024GiB, such as 64MiB",
            "test.yaml:13:13: loud: 'true' is text because of its quotes; expected true or false",
            "test.yaml:14:14: label: 'a\\x0ab' has a control character in it",
            "test.yaml:15:13: mode: 'fats' is none of the choices (did you mean 'fast'?); expected "
            "one of slow, fast",
            "test.yaml:16:15: stream: 'ptyx' is no stream (did you mean 'pty'?); expected none, "
            "stdio, pty, pty:LINK or file:PATH",
            "test.yaml:17:19: key 'offset' is missing in registers; expected a number from 0 to "
            "0xffff",
            "test.yaml:17:48: offset: '0x10000' is out of range",
            "test.yaml:17:57: unknown key 'sise' in registers (did you mean 'size'?)",
            "test.yaml:18:7: unknown key 'levle' in options (did you mean 'level'?); expected "
            "level, memory, loud");
}

static void streams_need_their_path(void **state)
{
    (void)state;
    static const char *const wrong[] = {"'pty:'", "'file:'", "\"\"", "PTY", "pty :x", "filex"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char file[512];
        snprintf(file, sizeof(file),
                 GOOD_HEAD "  - name: d\n    vm: guest\n    device: every\n"
                           "    ranges: [{type: mmio, first: 0}]\n"
                           "    options:\n      stream: %s\n",
                 wrong[i]);
        REFUSED(file, "test.yaml:11:15: stream: ");
    }
}

static void missing_required_option_is_told_at_the_client(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - {name: d, vm: guest, device: strict, ranges: [{type: mmio, first: 0}]}\n"
                      "  - {name: e, vm: guest, device: strict, options: {},\n"
                      "     ranges: [{type: mmio, first: 1}]}\n",
            "test.yaml:6:5: key 'must' is missing in options; expected a number from 0 to 10",
            "test.yaml:7:5: key 'must' is missing in options; expected a number from 0 to 10");
}

static void options_of_a_device_without_options_are_refused(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - {name: d, vm: guest, device: plain, ranges: [{type: mmio, first: 0}],\n"
                      "     options: {a: 1}}\n"
                      "  - {name: e, vm: guest, device: plain, ranges: [{type: mmio, first: 9}],\n"
                      "     options: [a]}\n",
            "test.yaml:7:16: unknown key 'a' in options; expected no key at all",
            "test.yaml:9:15: options: a list; expected a mapping");
}

static void default_client_must_be_of_its_vm(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: p}]\n"
            "vms:\n"
            "  - {name: a, vcpus: 1, poller: p, default_client: fallbak}\n"
            "  - {name: b, vcpus: 1, poller: p, default_client: fallback}\n"
            "clients:\n"
            "  - {name: fallback, vm: a, device: plain}\n",
            "test.yaml:3:52: default_client: this VM has no client 'fallbak' (did you mean "
            "'fallback'?); expected a client of this VM, or none",
            "test.yaml:4:52: default_client: client 'fallback' belongs to another VM; expected a "
            "client of this VM, or none");
}

static void clients_without_ranges_must_be_default(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: p}]\n"
            "vms: [{name: a, vcpus: 1, poller: p, default_client: d}]\n"
            "clients:\n"
            "  - {name: d, vm: a, device: plain}\n"
            "  - {name: e, vm: a, device: plain}\n"
            "  - {name: f, vm: a, device: plain, ranges: []}\n"
            "  - {name: none, vm: a, device: plain, ranges: [{type: mmio, first: 1}]}\n",
            "test.yaml:5:5: a client without ranges", "test.yaml:6:5: a client without ranges",
            "test.yaml:7:12: name: 'none' stands for no client");
}

static void row_37_wrong_ranges_are_refused(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n"
                      "      - {type: portio, first: 0x71, last: 0x70}\n"
                      "      - {type: portio, first: 0x10000}\n"
                      "      - {type: portio, first: 0, last: 0x10000}\n"
                      "      - {type: mmio, first: 0, last: 0xffffffffffffffff}\n"
                      "      - {type: mmio, first: 0xffffffffffffffff}\n"
                      "      - {type: portoi, first: 1}\n"
                      "      - {first: 1}\n"
                      "      - {type: mmio}\n"
                      "      - {type: mmio, first: 2, last: 18446744073709551616}\n",
            "test.yaml:10:43: last: 0x70 is below first; expected a number from 0x71",
            "test.yaml:11:31: first: 0x10000 is no port; expected a number from 0 to 0xffff",
            "test.yaml:12:40: last: 0x10000 is no port",
            "test.yaml:13:38: last: '0xffffffffffffffff' is out of range; expected a number from 0 "
            "to 0xfffffffffffff",
            "test.yaml:14:29: first: '0xffffffffffffffff' is out of range",
            "test.yaml:15:16: type: 'portoi' is none of the choices (did you mean 'portio'?)",
            "test.yaml:16:9: key 'type' is missing in ranges",
            "test.yaml:17:9: key 'first' is missing in ranges; expected a number from 0 to "
            "0xfffffffffffff, or bdf\n",
            "test.yaml:18:38: last: '18446744073709551616' does not fit into 64 bits");
}

static void row_37_overlaps_name_both_places(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - name: a\n    vm: guest\n    device: plain\n    ranges:\n"
                      "      - {type: portio, first: 0x60, last: 0x70}\n"
                      "      - {type: portio, first: 0x70}\n"
                      "  - name: b\n    vm: guest\n    device: plain\n    ranges:\n"
                      "      - {type: portio, first: 0, last: 0x60}\n"
                      "      - {type: mmio, first: 0, last: 0xfffffffffffff}\n"
                      "      - {type: mmio, first: 0xfee00000, last: 0xfee00fff}\n",
            "test.yaml:11:9: portio 0x70-0x70 overlaps 0x60-0x70 of client 'a' at 10:9; expected "
            "ranges of one VM to be apart, or to differ in priority (both have 0)\n",
            "test.yaml:16:9: portio 0x0-0x60 overlaps 0x60-0x70 of client 'a' at 10:9; expected",
            "test.yaml:18:9: mmio 0xfee00000-0xfee00fff overlaps 0x0-0xfffffffffffff of client 'b' "
            "at 17:9");
}

static void row_37_overlaps_of_one_priority_are_refused_between_others(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - name: a\n    vm: guest\n    device: plain\n    ranges:\n"
                      "      - {type: mmio, first: 0, last: 0xffff, priority: 7}\n"
                      "      - {type: mmio, first: 0x10, last: 0x1f}\n"
                      "      - {type: mmio, first: 0x20, last: 0x2f, priority: 1000}\n"
                      "      - {type: mmio, first: 0xffff, last: 0x1ffff, priority: 7}\n"
                      "      - {type: pcicfg, bdf: \"00:1f.3\"}\n"
                      "      - {type: pcicfg, first: 0xfbfff, last: 0xfc000}\n",
            "test.yaml:13:9: mmio 0xffff-0x1ffff overlaps 0x0-0xffff of client 'a' at 10:9; "
            "expected ranges of one VM to be apart, or to differ in priority (both have 7)\n",
            "test.yaml:15:9: pcicfg 0xfbfff-0xfc000 overlaps 0xfb000-0xfbfff of client 'a' at "
            "14:9;");
    struct loaded loaded =
        loaded_text(GOOD_HEAD "  - {name: a, vm: guest, device: plain, ranges: [\n"
                              "    {type: mmio, first: 0, priority: 1001},\n"
                              "    {type: mmio, first: 0, priority: -1},\n"
                              "    {type: mmio, first: 0, priority: high}]}\n");
    assert_int_equal(loaded.config->problem_count, 3);
    assert_non_null(strstr(loaded.report, "test.yaml:7:38: priority: '1001' is out of range; "
                                          "expected a number from 0 to 1000\n"));
    loaded_free(&loaded);
}

static void wrong_pcicfg_ranges_are_refused(void **state)
{
    (void)state;
    REFUSED(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n"
                      "      - {type: pcicfg, first: 0x10000000}\n"
                      "      - {type: pcicfg, first: 0, last: 0x10000000}\n"
                      "      - {type: pcicfg, first: 1, last: 0}\n"
                      "      - {type: pcicfg}\n"
                      "      - {type: pcicfg, last: 1}\n"
                      "      - {type: pcicfg, bdf: \"00:1f.3\", first: 0xfb000}\n"
                      "      - {type: pcicfg, bdf: \"00:1f.3\", last: 0xfbfff}\n"
                      "      - {type: portio, bdf: \"00:1f.3\"}\n"
                      "      - {type: mmio, bdf: \"00:1f.3\", first: 1, last: 2}\n"
                      "      - {bdf: \"00:1f.3\"}\n"
                      "      - {type: pcicfg, bdf: [0, 1, 2]}\n"
                      "      - {type: pcicfg, bdf: }\n"
                      "      - {type: pcicfg, bdf: \"00:20.0\", priority: 1}\n",
            "test.yaml:10:31: first: 0x10000000 is no PCI configuration address; expected a number "
            "from 0 to 0xfffffff, or bdf\n",
            "test.yaml:11:40: last: 0x10000000 is no PCI configuration address",
            "test.yaml:12:40: last: 0x0 is below first", "test.yaml:13:9: key 'first' is missing",
            "test.yaml:14:9: key 'first' is missing",
            "test.yaml:15:47: first beside bdf; expected bdf alone, which is all of that function, "
            "or first and last alone\n",
            "test.yaml:16:46: last beside bdf;",
            "test.yaml:17:29: bdf beside type: portio; expected first and last, or type: "
            "pcicfg\n",
            "test.yaml:18:27: bdf beside type: mmio;", "test.yaml:19:9: key 'type' is missing",
            "test.yaml:20:29: bdf: a list; expected bus:device.function, such as 00:1f.3\n",
            "test.yaml:21:29: bdf: no value;",
            "test.yaml:22:29: bdf: '00:20.0' has a device above 1f; expected bus:device.function, "
            "such as 00:1f.3\n");
}

static void ports_of_pci_are_refused_to_clients(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: p}]\n"
            "vms:\n"
            "  - {name: a, vcpus: 1, poller: p}\n"
            "  - {name: b, vcpus: 1, poller: p, pci: true}\n"
            "  - {name: c, vcpus: 1, poller: p, pci: false}\n"
            "clients:\n"
            "  - {name: d, vm: a, device: plain, ranges: [{type: portio, first: 0xcf8}]}\n"
            "  - {name: d, vm: b, device: plain, ranges: [{type: portio, first: 0, last: 0xcf8},\n"
            "    {type: portio, first: 0xcff, last: 0xffff, priority: 9}]}\n"
            "  - {name: d, vm: c, device: plain, ranges: [{type: portio, first: 0xcf8}]}\n",
            "test.yaml:7:46: portio 0xcf8-0xcf8 touches 0xcf8..0xcff, where VM 'a' itself is PCI "
            "configuration mechanism 1 (pci: true, by default); expected a pcicfg range for the "
            "client, or pci: false for the VM\n",
            "test.yaml:8:46: portio 0x0-0xcf8 touches 0xcf8..0xcff, where VM 'b' itself is PCI "
            "configuration mechanism 1 (pci: true, at 4:41); expected",
            "test.yaml:9:5: portio 0xcff-0xffff touches");
    struct loaded loaded = loaded_text(
        GOOD_HEAD
        "  - {name: d, vm: guest, device: plain, ranges: [{type: portio, first: 0xcf9}]}\n");
    assert_int_equal(loaded.config->problem_count, 1);
    loaded_free(&loaded);
}

static void bounds_of_the_vm_and_client_keys_are_told(void **state)
{
    (void)state;
    REFUSED("pollers: [{name: p}]\n"
            "vms:\n"
            "  - {name: a, vcpus: 1, poller: p, clear_timeout: 0ms, pci: 1}\n"
            "  - {name: b, vcpus: 1, poller: p, clear_timeout: 10001ms, pci: \"true\"}\n"
            "  - {name: c, vcpus: 1, poller: p, clear_timeout: 100}\n"
            "clients:\n"
            "  - {name: d, vm: a, device: plain, broken_after: 1000001,\n"
            "     ranges: [{type: mmio, first: 1}]}\n"
            "  - {name: e, vm: a, device: plain, broken_after: never,\n"
            "     ranges: [{type: mmio, first: 2}]}\n",
            "test.yaml:3:51: clear_timeout: '0ms' is out of range; expected a duration from 1ms to "
            "10s",
            "test.yaml:3:61: pci: '1' is neither true nor false",
            "test.yaml:4:51: clear_timeout: '10001ms' is out of range",
            "test.yaml:4:65: pci: 'true' is text because of its quotes",
            "test.yaml:5:51: clear_timeout: '100' ",
            "test.yaml:7:51: broken_after: '1000001' is out of range; expected a number from 0 to "
            "1000000\n",
            "test.yaml:9:51: broken_after: 'never' is no number");
}

static void long_lines_are_clipped_around_the_place(void **state)
{
    (void)state;
    char file[4096];
    char blanks[1001];
    memset(blanks, ' ', 1000);
    blanks[1000] = '\0';
    snprintf(file, sizeof(file), "pollers: [{name: a}, %s{nam: b}, %s{name: c}]\n", blanks, blanks);
    struct loaded loaded = loaded_text(file);
    char expected[1024];
    snprintf(
        expected, sizeof(expected),
        "test.yaml:1:1023: unknown key 'nam' in pollers (did you mean 'name'?); expected name, "
        "cpu, idle, idle_spins, idle_sleep, sandbox, stuck_after\n"
        "    ...%.59s{nam: b}, %.31s...\n"
        "       %.60s^\n",
        blanks, blanks, blanks);
    const char *at = strstr(loaded.report, "test.yaml:1:1023: unknown");
    assert_non_null(at);
    assert_memory_equal(at, expected, strlen(expected));
    loaded_free(&loaded);
}

static void caret_stands_right_behind_other_characters_and_tabs(void **state)
{
    (void)state;
    /* Column 8 in characters; two bytes of UTF-8 are shown as eight columns. */
    REFUSED("{\"\xc3\xa9\":\t1}\n", "test.yaml:1:2: unknown key '\\xc3\\xa9' in the file",
            "    {\"\\xc3\\xa9\": 1}\n     ^\n");
    REFUSED("\"\xc3\xa9\": 1\npollers: [{name: a, \"\xe2\x82\xac\": 1, x: 1}]\n",
            "test.yaml:2:29: unknown key 'x' in pollers",
            "    pollers: [{name: a, \"\\xe2\\x82\\xac\": 1, x: 1}]\n"
            "                                           ^\n");
}

static void path_in_reports_is_escaped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    struct config *config;
    assert_int_equal(config_load_bytes("a\x1b[2Jb", "", 0, kinds, KIND_COUNT, stream, &config),
                     -EINVAL);
    fclose(stream);
    assert_memory_equal(text, "a\\x1b[2Jb:1:1: ", 15);
    config_destroy(config);
    free(text);
}

static void no_report_stream_only_counts(void **state)
{
    (void)state;
    struct config *config;
    assert_int_equal(config_load_bytes("x", "a: b", 4, kinds, KIND_COUNT, NULL, &config), -EINVAL);
    assert_int_equal(config->problem_count, 3);
    config_report(config, (struct config_mark){1, 1}, "one more");
    assert_int_equal(config->problem_count, 4);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_problems_are_told_in_one_run_in_file_order),
        cmocka_unit_test(duplicate_keys_name_the_first_place),
        cmocka_unit_test(duplicate_option_keys_are_refused),
        cmocka_unit_test(duplicate_names_name_the_first_place),
        cmocka_unit_test(names_of_16_bytes_and_foreign_characters_are_refused),
        cmocka_unit_test(missing_sections_are_told_once),
        cmocka_unit_test(wrong_shapes_are_told),
        cmocka_unit_test(bad_elements_of_number_lists_are_told),
        cmocka_unit_test(options_are_checked_by_their_table),
        cmocka_unit_test(streams_need_their_path),
        cmocka_unit_test(missing_required_option_is_told_at_the_client),
        cmocka_unit_test(options_of_a_device_without_options_are_refused),
        cmocka_unit_test(default_client_must_be_of_its_vm),
        cmocka_unit_test(clients_without_ranges_must_be_default),
        cmocka_unit_test(row_37_wrong_ranges_are_refused),
        cmocka_unit_test(row_37_overlaps_name_both_places),
        cmocka_unit_test(row_37_overlaps_of_one_priority_are_refused_between_others),
        cmocka_unit_test(wrong_pcicfg_ranges_are_refused),
        cmocka_unit_test(ports_of_pci_are_refused_to_clients),
        cmocka_unit_test(bounds_of_the_vm_and_client_keys_are_told),
        cmocka_unit_test(long_lines_are_clipped_around_the_place),
        cmocka_unit_test(caret_stands_right_behind_other_characters_and_tabs),
        cmocka_unit_test(path_in_reports_is_escaped),
        cmocka_unit_test(no_report_stream_only_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
