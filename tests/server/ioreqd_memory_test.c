/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd's memory under load: a million requests cost its pollers no page fault, and it neither
 * grows nor unlocks anything. */
#include "tests/support/ioreqd.h"

#include <sys/mman.h>

#define WARM_UP 1000u
#define MILLION 1000000u
#define STEP    20000u

/* Why this cannot be tested here, or NULL. */
static const char *find_hindrance(void)
{
    if (IOREQD_SANITIZE[0])
        return "the sanitizers' run time locks no memory";
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        return "memory cannot be locked here: ulimit -l unlimited, or root";
    munlockall();
    return NULL;
}

/* A figure of /proc/PID/status, in KiB. */
static unsigned long read_figure(const char *name)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)ioreqd.pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = strlen(name);
    unsigned long figure = 0;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            figure = strtoul(line + length + 1, NULL, 10);
    fclose(file);
    return figure;
}

/* The number behind the first "key": of the status. */
static long read_number(const char *key)
{
    return strtol(daemon_figure(&ioreqd, "", key), NULL, 10);
}

static void a_million_requests_take_no_page_fault_and_no_memory(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, WARM_UP);
    read_number("faults");
    unsigned long anonymous = read_figure("RssAnon"), locked = read_figure("VmLck");
    assert_true(anonymous > 0 && locked > 0);
    /* No addresses without memory count against the limit: no thread has a heap of its own. */
    assert_true(locked <= read_figure("VmRSS"));
    /* A write and a read each. Where others take the CPUs this would take minutes: then fewer. */
    uint32_t made = 0;
    for (time_t begin = time(NULL); made < MILLION && time(NULL) < begin + 100; made += STEP)
        daemon_exercise(requester, STEP / 2);
    printf("%u requests\n", made);
    assert_int_equal(read_number("faults"), 0);
    assert_int_equal(read_figure("RssAnon"), anonymous);
    assert_int_equal(read_figure("VmLck"), locked);
    assert_true(read_number("requests") >= (long)(made + 2 * WARM_UP));
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

int main(void)
{
    const char *hindrance = find_hindrance();
    if (hindrance) {
        printf("skip: %s\n", hindrance);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        IOREQD_TEST(a_million_requests_take_no_page_fault_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
