/* SPDX-License-Identifier: BSD-3-Clause */
/* Row 50: clocks that are not what they seem. */
#include "tests/support/daemon_access.h"
#include "tests/support/skip.h"

#include "config/config.h"
#include "server/devices/device_options.h"
#include "server/topology.h"

static void check_with(const struct machine_facts *facts, const char *sandbox, char *report,
                       size_t report_bytes, size_t *problem_count)
{
    char text[512];
    snprintf(text, sizeof(text),
             "pollers:\n"
             "  - {name: rt, cpu: any, sandbox: %s}\n"
             "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt}]\n"
             "clients: []\n",
             sandbox);
    FILE *out = fmemopen(report, report_bytes, "w");
    assert_non_null(out);
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    struct config *config = NULL;
    struct placement *placement = NULL;
    assert_int_equal(placement_open(&placement), 0);
    assert_int_equal(config_load_bytes("clock.yaml", (const uint8_t *)text, strlen(text), kinds,
                                       kind_count, out, &config),
                     0);
    topology_check(config, placement, facts);
    *problem_count = config->problem_count;
    config_destroy(config);
    placement_close(placement);
    device_config_kinds_destroy(kinds);
    fclose(out);
}

static void row50_sandbox_without_an_invariant_counter_is_refused(void **state)
{
    (void)state;
    char report[1024] = "";
    size_t problem_count;
    const struct machine_facts variant = {.tsc_is_invariant = false};
    check_with(&variant, "true", report, sizeof(report), &problem_count);
    assert_int_equal(problem_count, 1);
    assert_non_null(strstr(report, "clock.yaml:2:35: "));
    assert_non_null(strstr(report, "not invariant"));
    check_with(&variant, "false", report, sizeof(report), &problem_count);
    assert_int_equal(problem_count, 0);
    const struct machine_facts invariant = {.tsc_is_invariant = true};
    check_with(&invariant, "true", report, sizeof(report), &problem_count);
    assert_int_equal(problem_count, 0);
}

/* The daemon under test sees a wall clock that a file moves: wall_clock_shim. */
static void shim_clock(struct daemon *daemon)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/offset", daemon->folder);
    setenv("WALL_CLOCK_OFFSET_FILE", path, 1);
    setenv("LD_PRELOAD", BINARY_DIR "/tests/libwall_clock_shim.so", 1);
}

static uint64_t rtc_read(struct requester *requester, uint8_t index)
{
    daemon_write_port(requester, 0x70, index);
    return daemon_read_port(requester, 0x71);
}

static void row50_wall_clock_that_jumps_ten_years_changes_nothing(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], "the sanitizers' run time must be the first library");
    struct daemon ioreqd;
    daemon_init(&ioreqd);
    char text[1024], offset[128];
    snprintf(offset, sizeof(offset), "%s/offset", ioreqd.folder);
    daemon_write(offset, "0");
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers: [{name: rt, cpu: any, idle: yield}]\n"
             "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt}]\n"
             "clients:\n"
             "  - name: rtc\n"
             "    vm: guest\n"
             "    device: cmos\n"
             "    ranges: [{type: portio, first: 0x70, last: 0x71}]\n" DAEMON_SCRATCH_CLIENT,
             ioreqd.socket);
    daemon_write(ioreqd.config, text);
    ioreqd.prepare = shim_clock;
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    uint64_t year = rtc_read(requester, 0x09);
    const char *const jumps[] = {"315360000", "-315360000", "0"};
    for (size_t i = 0; i < 3; i++) {
        daemon_write(offset, jumps[i]);
        daemon_exercise(requester, 500);
        assert_int_equal(rtc_read(requester, 0x09), year);
    }
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    daemon_fini(&ioreqd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row50_sandbox_without_an_invariant_counter_is_refused),
        cmocka_unit_test(row50_wall_clock_that_jumps_ten_years_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
