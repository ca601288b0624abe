/* SPDX-License-Identifier: BSD-3-Clause */
/* The reference names every key of every table, with what may stand there and its default. */
#include "tests/config/fixture.h"

#include "config/print.h"

struct seen {
    size_t count;
    char names[4096];
};

static void note_key(const struct config_key *key, void *context)
{
    struct seen *seen = context;
    size_t used = strlen(seen->names);
    snprintf(seen->names + used, sizeof(seen->names) - used, "%s/%s\n", key->section, key->name);
    seen->count++;
    assert_int_equal(key->required, key->default_text == NULL);
    assert_true(strlen(key->expected) > 0);
}

static void every_key_is_visited_once(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(config_visit_keys(kinds, KIND_COUNT, note_key, &seen), 0);
    assert_int_equal(seen.count, 4 + 8 + 7 + 22 + 13 + 5 + 6 + 4 + 4 + 8 + 4 + 4 + 1);
    static const char *const some[] = {"/server\n",
                                       "server/settle\n",
                                       "pollers/cpu\n",
                                       "vms/default_client\n",
                                       "clients/options\n",
                                       "vms/clear_timeout\n",
                                       "vms/pci\n",
                                       "clients/broken_after\n",
                                       "clients.interrupt/trigger\n",
                                       "clients.ranges/last\n",
                                       "clients.ranges/bdf\n",
                                       "clients.ranges/priority\n",
                                       "options of every/stream\n",
                                       "options of every.registers/offset\n",
                                       "options of strict/must\n"};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        assert_non_null(strstr(seen.names, some[i]));
}

static void reference_tells_kind_default_and_reason(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    assert_non_null(stream);
    assert_int_equal(config_print_reference(kinds, KIND_COUNT, stream), 0);
    fclose(stream);
    static const char *const lines[] = {
        "\nserver\n",
        "\n  settle             a duration from 1ms to 60s, such as 1s; default 1s\n",
        "\n  idle               one of spin, pause, yield, sleep; default spin\n",
        "\n  vcpus              a number from 1 to 16; required\n",
        "\n  clear_timeout      a duration from 1ms to 10s, such as 100ms; default 100ms\n",
        "\n  pci                true or false; default true\n",
        "\n  broken_after       a number from 0 to 1000000; default 0\n",
        "\n  type               one of portio, mmio, pcicfg; required\n",
        "\n  first              a number from 0 to 0xfffffffffffff; required, unless bdf\n",
        "\n  last               a number from 0 to 0xfffffffffffff; default first\n",
        "\n  bdf                bus:device.function, such as 00:1f.3; default none, then",
        "\n  priority           a number from 0 to 1000; default 0\n",
        "\noptions of every: one option of each kind\n",
        "\n  level              a number from 1 to 9; default 7\n"
        "                       how much\n",
        "\n  memory             a size from 1MiB to 1024GiB, such as 64MiB; default 64MiB\n",
        "\noptions of every.registers\n",
        "\noptions of strict: one required option\n",
        "\n  plain              has no options (no options)\n",
    };
    const char *at = text;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *found = strstr(at, lines[i]);
        if (!found)
            print_error("missing: %s\nin:\n%s", lines[i], at);
        assert_non_null(found);
        at = found;
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_visited_once),
        cmocka_unit_test(reference_tells_kind_default_and_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
