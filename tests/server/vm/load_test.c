/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/load.h"
#include "server/vm/load_plan.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/skip.h"
#include "tests/support/vm_fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct load_mix mix_of(const char *text)
{
    struct load_mix mix;
    char error[256];
    if (!load_mix_parse(text, &mix, error, sizeof(error)))
        fail_msg("%s", error);
    return mix;
}

static void bad_mixes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ",",
        "scratch",
        "scratch:mmio:0-7",
        "scratch:mmio:0-7=",
        "scratch:mmio:0-7=0",
        "scratch:mmio:0-7=1000001",
        "scratch:mmio:0-7=99999999999999999999",
        "scratch:mmio:0-7=1,",
        "scratch:mmio:0-7=1;ones:mmio:8-15=1",
        "scratch:mmio:1-8=1",
        "scratch:mmio:0-6=1",
        "scratch:mmio:7-0=1",
        "scratch:mmio:0-0xffffffff=1",
        "twos:mmio:0-7=1",
        "ones:portio:0-0x10000=1",
        "scratch:mmio:0-0xf=1,ones:mmio:0xf-0x10=1",
    };
    struct load_mix mix = {.count = 99};
    char error[256];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (load_mix_parse(bad[i], &mix, error, sizeof(error)))
            fail_msg("'%s' was taken", bad[i]);
    assert_int_equal(mix.count, 99);

    char many[1024] = "";
    for (int i = 0; i <= LOAD_PARTS_MAX; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%sones:portio:%d-%d=1",
                 i ? "," : "", i, i);
    assert_false(load_mix_parse(many, &mix, error, sizeof(error)));
    assert_non_null(strstr(error, "more than 16"));
}

static void same_addresses_in_both_spaces_are_two_places(void **state)
{
    (void)state;
    struct load_mix mix = mix_of("scratch:mmio:0-15=3,scratch:portio:0-15=4");
    assert_int_equal(mix.count, 2);
    assert_int_equal(mix.weight, 7);
    assert_true(load_mix_suffices(&mix, 2));
    assert_false(load_mix_suffices(&mix, 3));
}

static struct load_plan *plan_of(const struct load_mix *mix, uint32_t vcpu, uint64_t seed)
{
    const struct load_plan_setup setup = {
        .mix = mix, .seed = seed, .vcpu = vcpu, .vcpu_count = 4, .read_percent = 50};
    struct load_plan *plan = load_plan_create(&setup);
    assert_non_null(plan);
    return plan;
}

static void formula_is_only_read_and_all_ones_is_counted_apart(void **state)
{
    (void)state;
    struct load_mix mix = mix_of("formula:mmio:0xffffffffffffff00-0xffffffffffffffff=1");
    struct load_plan *plan = plan_of(&mix, 1, 7);
    for (int i = 0; i < 1000; i++) {
        struct requester_access access;
        uint64_t expected = 0;
        load_plan_next(plan, &access);
        assert_int_equal(access.direction, REQUEST_READ);
        uint32_t size_bytes = (uint32_t)access.size_bytes;
        uint64_t right = load_formula(access.address, size_bytes);
        assert_true(right < request_ones(size_bytes));
        access.value = right;
        assert_true(load_plan_check(plan, &access, &expected));
        assert_false(load_plan_is_given_up(plan, &access));
        access.value = right ^ 2;
        if (access.value != request_ones(size_bytes)) {
            assert_false(load_plan_check(plan, &access, &expected));
            assert_true(expected == right);
        }
        access.value = request_ones(size_bytes);
        assert_true(load_plan_check(plan, &access, &expected));
        assert_true(load_plan_is_given_up(plan, &access));
    }
    load_plan_destroy(plan);
}

static bool access_is_valid(const struct requester_access *access)
{
    uint64_t size_bytes = access->size_bytes;
    bool has_size = size_bytes == 1 || size_bytes == 2 || size_bytes == 4 ||
                    (size_bytes == 8 && access->type == REQUEST_MMIO);
    return has_size && access->address % size_bytes == 0 &&
           access->value <= request_ones((uint32_t)size_bytes);
}

static void accesses_stay_in_their_vcpus_units(void **state)
{
    (void)state;
    struct load_mix mix = mix_of("scratch:mmio:0x1000-0x10ff=5,ones:portio:0x501-0x507=1,"
                                 "ones:mmio:0xfffffffffffffff9-0xffffffffffffffff=1,"
                                 "ones:mmio:0x2003-0x2003=1");
    uint64_t ones_count = 0;
    for (uint32_t vcpu = 0; vcpu < 4; vcpu++) {
        struct load_plan *plan = plan_of(&mix, vcpu, 7);
        for (int i = 0; i < 20000; i++) {
            struct requester_access access;
            uint64_t expected;
            load_plan_next(plan, &access);
            assert_true(access_is_valid(&access));
            uint64_t last = access.address + access.size_bytes - 1;
            if (access.address >= 0x1000 && access.address <= 0x10ff) {
                assert_int_equal(access.address / 8 % 4, vcpu);
                assert_int_equal(last / 8, access.address / 8);
            } else {
                ones_count++;
                assert_true((access.address >= 0x501 && last <= 0x507) ||
                            (access.address >= 0xfffffffffffffff9 && last >= access.address) ||
                            (access.address == 0x2003 && last == 0x2003));
            }
            if (access.direction == REQUEST_WRITE)
                assert_true(load_plan_check(plan, &access, &expected));
        }
        load_plan_destroy(plan);
    }
    assert_in_range(ones_count, 80000 * 3 / 8 - 2000, 80000 * 3 / 8 + 2000);
}

static void same_seed_gives_the_same_accesses(void **state)
{
    (void)state;
    struct load_mix mix = mix_of(LOAD_DEFAULT_MIX);
    struct load_plan *first = plan_of(&mix, 1, 42);
    struct load_plan *second = plan_of(&mix, 1, 42);
    struct load_plan *other = plan_of(&mix, 1, 43);
    uint64_t expected;
    int equal_count = 0;
    for (int i = 0; i < 1000; i++) {
        struct requester_access a;
        struct requester_access b;
        struct requester_access c;
        load_plan_next(first, &a);
        load_plan_next(second, &b);
        load_plan_next(other, &c);
        assert_memory_equal(&a, &b, sizeof(a));
        equal_count += memcmp(&a, &c, sizeof(a)) == 0;
        (void)load_plan_check(first, &a, &expected);
        (void)load_plan_check(second, &b, &expected);
        (void)load_plan_check(other, &c, &expected);
    }
    assert_true(equal_count < 10);
    load_plan_destroy(first);
    load_plan_destroy(second);
    load_plan_destroy(other);
}

/* Plays a plan against the fake machine without a page; how many answers were wrong. */
static uint64_t play(const struct load_mix *mix, struct fake_machine *machine, int count)
{
    struct load_plan *plan = plan_of(mix, 0, 11);
    uint64_t wrong_count = 0;
    for (int i = 0; i < count; i++) {
        struct requester_access access;
        uint64_t expected = 0;
        load_plan_next(plan, &access);
        fake_machine_answer(machine, 0, &access);
        if (!load_plan_check(plan, &access, &expected)) {
            wrong_count++;
            assert_int_not_equal(expected, access.value);
        }
    }
    load_plan_destroy(plan);
    return wrong_count;
}

static void oracle_accepts_a_right_machine(void **state)
{
    (void)state;
    static struct fake_machine machine;
    memset(machine.bank, 0x5a, sizeof(machine.bank)); /* it must not assume zeroes */
    struct load_mix mix = mix_of(LOAD_DEFAULT_MIX);
    assert_int_equal(play(&mix, &machine, 50000), 0);
}

static void oracle_sees_one_wrong_bit(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_mix mix = mix_of("scratch:mmio:0xfe000000-0xfe00001f=1");
    machine.tampered_address = 0xfe000000;
    assert_true(play(&mix, &machine, 1000) > 0);
    mix = mix_of("ones:portio:0x500-0x503=1");
    machine.tampered_address = 0x502;
    assert_true(play(&mix, &machine, 1000) > 0);
}

static void oracle_sees_bits_beyond_the_size(void **state)
{
    (void)state;
    struct load_mix mix = mix_of("ones:mmio:0x500-0x500=1");
    struct load_plan *plan = plan_of(&mix, 0, 1);
    struct requester_access access;
    uint64_t expected;
    do {
        load_plan_next(plan, &access);
    } while (access.direction == REQUEST_WRITE);
    access.value = 0x1ff;
    assert_false(load_plan_check(plan, &access, &expected));
    assert_int_equal(expected, 0xff);
    load_plan_destroy(plan);
}

struct outcome {
    int code;
    char report[4096];
};

static const char *poller_cpu_of_server;

/* Runs the command's engine against a fake server. */
static struct outcome run_load(struct fake_machine *machine, struct load_options *options)
{
    struct fake_server server = {
        .vcpu_count = 2,
        .answer = fake_machine_answer,
        .context = machine,
        .more = poller_cpu_of_server,
    };
    struct outcome outcome = {0};
    fake_server_start(&server);
    options->attach.socket_path = server.socket_path;
    FILE *report = fmemopen(outcome.report, sizeof(outcome.report), "w");
    assert_non_null(report);
    outcome.code = load_run(options, report);
    fclose(report);
    fake_server_stop(&server);
    return outcome;
}

static void load_verifies_every_read(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_options options;
    load_options_init(&options);
    options.count = 5001; /* the remainder goes to one vCPU */
    options.seed = 3;
    options.wants_json = true;
    struct outcome outcome = run_load(&machine, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "\"wrong\": 0,"));
    assert_non_null(strstr(outcome.report, "\"count\": 5001,"));
    assert_non_null(strstr(outcome.report, "\"passed\": true,"));
    assert_int_equal(machine.requests, 5001);
}

static void load_fails_on_wrong_answers(void **state)
{
    (void)state;
    static struct fake_machine machine;
    machine.tampered_address = 0xfe000008;
    struct load_options options;
    load_options_init(&options);
    options.mix = mix_of("scratch:mmio:0xfe000000-0xfe00000f=1");
    options.count = 500;
    static struct captured_stderr captured;
    capture_begin(&captured);
    struct outcome outcome = run_load(&machine, &options);
    const char *said = capture_end(&captured);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_non_null(strstr(outcome.report, "wrong"));
    assert_non_null(
        strstr(said, "mmio:0xfe000000-0xfe00000f: is there a register_bank with count"));
}

static void load_explains_only_what_was_wrong(void **state)
{
    (void)state;
    static struct fake_machine machine;
    machine.tampered_address = 0x500;
    struct load_options options;
    load_options_init(&options);
    options.mix = mix_of("scratch:mmio:0xfe000000-0xfe00000f=1,ones:portio:0x500-0x500=1");
    options.count = 500;
    static struct captured_stderr captured;
    capture_begin(&captured);
    struct outcome outcome = run_load(&machine, &options);
    const char *said = capture_end(&captured);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_null(strstr(said, "register_bank"));
    assert_non_null(strstr(said, "portio:0x500-0x500: is there a device"));
}

/* Where each vCPU's thread may run, as the server's thread can see: by what the report says. */
static void load_keeps_off_the_pollers_cpu(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_options options;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    skip_if(CPU_COUNT(&allowed) < 2, "one CPU only");
    load_options_init(&options);
    options.count = 100;
    options.wants_json = true;
    poller_cpu_of_server = " poller_cpu=0";
    struct outcome outcome = run_load(&machine, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "\"poller_cpu\": 0,"));
    assert_null(strstr(outcome.report, "\"cpus\": \"0"));

    static struct captured_stderr captured;
    options.cpus = (struct cpu_list){.count = 2, .cpus = {1, 0}};
    capture_begin(&captured);
    outcome = run_load(&machine, &options);
    const char *said = capture_end(&captured);
    poller_cpu_of_server = NULL;
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(said, "--cpus names CPU 0"));
    assert_non_null(strstr(outcome.report, "\"cpus\": \"1,0\""));
}

static void load_at_a_rate_ends_with_its_duration(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_options options;
    load_options_init(&options);
    options.rate = 1000;
    options.duration_ns = 50000000;
    struct outcome outcome = run_load(&machine, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "open loop"));
    assert_non_null(strstr(outcome.report, "timeout"));
}

static void load_that_does_not_fit_the_page_is_wrong_usage(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_options options;
    load_options_init(&options);
    options.vcpu_count = 3;
    assert_int_equal(run_load(&machine, &options).code, EXIT_USAGE);
    options.vcpu_count = 2;
    options.cpus = (struct cpu_list){.count = 1};
    assert_int_equal(run_load(&machine, &options).code, EXIT_USAGE);
    options.cpus.count = 0;
    options.mix = mix_of("scratch:mmio:0-7=1");
    assert_int_equal(run_load(&machine, &options).code, EXIT_USAGE);
}

static void load_on_a_cpu_that_is_not_there_fails(void **state)
{
    (void)state;
    static struct fake_machine machine;
    struct load_options options;
    load_options_init(&options);
    options.vcpu_count = 1;
    options.cpus = (struct cpu_list){.count = 1, .cpus = {1023}};
    assert_int_equal(run_load(&machine, &options).code, EXIT_FAILED);
}

static void cut_after_some(void *context, uint32_t vcpu, struct requester_access *access)
{
    struct fake_server *server = context;
    (void)vcpu;
    access->value = request_ones((uint32_t)access->size_bytes);
    atomic_store(&server->cuts, true);
}

static void load_fails_when_the_server_goes(void **state)
{
    (void)state;
    struct fake_server server = {.vcpu_count = 2, .answer = cut_after_some, .context = &server};
    struct load_options options;
    load_options_init(&options);
    options.mix = mix_of("ones:mmio:0-0xff=1");
    options.count = UINT64_MAX / 2; /* for ever */
    fake_server_start(&server);
    options.attach.socket_path = server.socket_path;
    assert_int_equal(load_run(&options, stdout), EXIT_FAILED);
    fake_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_mixes_are_refused),
        cmocka_unit_test(formula_is_only_read_and_all_ones_is_counted_apart),
        cmocka_unit_test(same_addresses_in_both_spaces_are_two_places),
        cmocka_unit_test(accesses_stay_in_their_vcpus_units),
        cmocka_unit_test(same_seed_gives_the_same_accesses),
        cmocka_unit_test(oracle_accepts_a_right_machine),
        cmocka_unit_test(oracle_sees_one_wrong_bit),
        cmocka_unit_test(oracle_sees_bits_beyond_the_size),
        cmocka_unit_test(load_verifies_every_read),
        cmocka_unit_test(load_fails_on_wrong_answers),
        cmocka_unit_test(load_explains_only_what_was_wrong),
        cmocka_unit_test(load_keeps_off_the_pollers_cpu),
        cmocka_unit_test(load_at_a_rate_ends_with_its_duration),
        cmocka_unit_test(load_that_does_not_fit_the_page_is_wrong_usage),
        cmocka_unit_test(load_on_a_cpu_that_is_not_there_fails),
        cmocka_unit_test(load_fails_when_the_server_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
