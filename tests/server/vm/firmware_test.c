/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int file_setup(void **state)
{
    (void)state;
    strcpy(path, "/tmp/ioreqd-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int file_teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static int load(off_t size_bytes, const char *explanation)
{
    struct firmware firmware;
    char error[256] = "";
    assert_int_equal(truncate(path, size_bytes), 0);
    int result = firmware_load(path, &firmware, error, sizeof(error));
    if (explanation && !strstr(error, explanation))
        fail_msg("%lld bytes gave '%s'", (long long)size_bytes, error);
    if (result == 0)
        assert_int_equal(firmware.size_bytes, size_bytes);
    firmware_unload(&firmware);
    return result;
}

static void sizes_out_of_limits_are_refused(void **state)
{
    (void)state;
    assert_int_equal(load(0, "64 KiB to 16 MiB"), -EINVAL);
    assert_int_equal(load((64 << 10) - 4096, "64 KiB to 16 MiB"), -EINVAL);
    assert_int_equal(load((16 << 20) + 4096, "64 KiB to 16 MiB"), -EINVAL);
    assert_int_equal(load(1ll << 40, "64 KiB to 16 MiB"), -EINVAL);
    assert_int_equal(load((64 << 10) + 1, "whole flash image"), -EINVAL);
    assert_int_equal(load(734858, "whole flash image"), -EINVAL);
}

static void sizes_at_the_limits_are_taken(void **state)
{
    (void)state;
    assert_int_equal(load(64 << 10, NULL), 0);
    assert_int_equal(load(1920 << 10, NULL), 0); /* no power of two */
    assert_int_equal(load(16 << 20, NULL), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    struct firmware firmware;
    char error[256];
    assert_int_equal(firmware_load("/nonexistent", &firmware, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent"));
    assert_int_equal(firmware_load("/tmp", &firmware, error, sizeof(error)), -EINVAL);
    assert_int_equal(firmware_load("/dev/zero", &firmware, error, sizeof(error)), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(firmware_load(path, &firmware, error, sizeof(error)), -EINVAL);
}

static void image_is_a_copy(void **state)
{
    (void)state;
    struct firmware firmware;
    char error[256];
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 64 << 10), 0);
    assert_int_equal(pwrite(fd, "end", 3, (64 << 10) - 3), 3);
    assert_int_equal(firmware_load(path, &firmware, error, sizeof(error)), 0);
    assert_int_equal(ftruncate(fd, 0), 0); /* a mapping of the file would now be SIGBUS */
    close(fd);
    assert_memory_equal(firmware.bytes + (64 << 10) - 3, "end", 3);
    assert_string_equal(firmware.name, strrchr(path, '/') + 1);
    firmware_unload(&firmware);
}

static void shadow_is_the_end_or_all_of_a_small_image(void **state)
{
    (void)state;
    assert_int_equal(firmware_shadow_bytes(16 << 20, FIRMWARE_SHADOW_BYTES), 128 << 10);
    assert_int_equal(firmware_shadow_bytes(128 << 10, FIRMWARE_SHADOW_BYTES), 128 << 10);
    assert_int_equal(firmware_shadow_bytes(64 << 10, FIRMWARE_SHADOW_BYTES), 64 << 10);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, file_setup, file_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(sizes_out_of_limits_are_refused),
        WITH_FILE(sizes_at_the_limits_are_taken),
        WITH_FILE(what_is_no_file_is_refused),
        WITH_FILE(image_is_a_copy),
        cmocka_unit_test(shadow_is_the_end_or_all_of_a_small_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
