/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that runs out anywhere during a load: refused, nothing handed over, nothing leaked. */
#include "tests/config/fixture.h"

#include "config/load.h"

static const char good_file[] =
    "server: {allowed_uids: [1, 2]}\n"
    "pollers: [{name: a}]\n"
    "vms: [{name: g, vcpus: 1, poller: a, default_client: e}]\n"
    "clients:\n"
    "  - {name: d, vm: g, device: every, ranges: [{type: mmio, first: 1}],\n"
    "     options: {registers: [{name: r, offset: 1}]}}\n"
    "  - {name: e, vm: g, device: plain}\n";

static const char wrong_file[] = "pollers: [{name: a, name: b}]\nvms: 1\nclientss: []\n";

static int load_within(const char *text, size_t memory_bytes_max)
{
    char *report = NULL;
    size_t report_bytes = 0;
    FILE *stream = open_memstream(&report, &report_bytes);
    assert_non_null(stream);
    struct config *config = (struct config *)&report_bytes; /* must be overwritten */
    int error = load_bytes("m.yaml", text, strlen(text), kinds, KIND_COUNT, stream,
                           memory_bytes_max, &config);
    fclose(stream);
    if (error == -ENOMEM) {
        assert_null(config);
        if (memory_bytes_max >= 16) /* else there is no room even for the path */
            assert_non_null(strstr(report, "m.yaml: no memory left"));
    } else {
        assert_non_null(config);
    }
    config_destroy(config);
    free(report);
    return error;
}

static void too_little_memory_is_refused_at_every_step(void **state)
{
    (void)state;
    size_t enough = 0;
    for (size_t bytes = 0; enough == 0; bytes += 24) {
        assert_true(bytes < 1u << 20);
        if (load_within(good_file, bytes) == 0)
            enough = bytes;
    }
    assert_true(enough > 1000);
    size_t refused = 0;
    for (size_t bytes = 0; bytes < 1u << 20 && refused == 0; bytes += 24) {
        if (load_within(wrong_file, bytes) == -EINVAL)
            refused = bytes;
    }
    assert_true(refused > 1000);
}

static void arena_counts_no_more_than_its_limit(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100000);
    while (!arena.failed) {
        char *piece = arena_alloc(&arena, 7, 11);
        if (piece)
            memset(piece, 0xff, 77);
        assert_true(arena.taken_bytes <= 100000);
    }
    assert_true(arena.taken_bytes > 90000);
    assert_null(arena_alloc(&arena, 1, 1)); /* failed stays failed */
    arena_fini(&arena);
}

static void arena_refuses_sizes_that_wrap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX / 2, 3));
    arena_fini(&arena);
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, 1, SIZE_MAX));
    arena_fini(&arena);
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_copy_text(&arena, "", SIZE_MAX));
    arena_fini(&arena);
}

#define RANGES 10000u

static void what_a_load_keeps_is_little_more_than_its_ranges(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    assert_non_null(stream);
    fputs("pollers: [{name: a}]\nvms: [{name: g, vcpus: 1, poller: a}]\nclients:\n"
          "  - name: d\n    vm: g\n    device: plain\n    ranges:\n",
          stream);
    for (unsigned i = 0; i < RANGES; i++)
        fprintf(stream, "      - {type: mmio, first: %u, last: %u}\n", i * 8, i * 8 + 7);
    fclose(stream);
    struct config *config = NULL;
    assert_int_equal(
        config_load_bytes("r.yaml", text, text_bytes, kinds, KIND_COUNT, NULL, &config), 0);
    memset(text, 0xff, text_bytes); /* nothing of it is looked at any more */
    free(text);
    const struct load *load = (const struct load *)config;
    assert_int_equal(load->scratch.taken_bytes, 0);
    assert_true(load->arena.taken_bytes < RANGES * sizeof(struct config_range) + 65536);
    assert_string_equal(config->clients[0].name, "d");
    assert_int_equal(config->clients[0].ranges[RANGES - 1].last, RANGES * 8 - 1);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_little_memory_is_refused_at_every_step),
        cmocka_unit_test(what_a_load_keeps_is_little_more_than_its_ranges),
        cmocka_unit_test(arena_counts_no_more_than_its_limit),
        cmocka_unit_test(arena_refuses_sizes_that_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
