/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/image.h"
#include "tests/support/scratch_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define BYTES 128

static char folder[SCRATCH_FOLDER_BYTES], path[64], beside[64];
static struct device_image *image;
static uint64_t saved;

static int init(void **state)
{
    (void)state;
    scratch_folder_create(folder);
    snprintf(path, sizeof(path), "%s/nvram", folder);
    snprintf(beside, sizeof(beside), "%s/nvram.new", folder);
    image = calloc(1, sizeof(*image) + BYTES);
    image->path = path;
    image->size_bytes = BYTES;
    saved = 0;
    return 0;
}

static int fini(void **state)
{
    (void)state;
    free(image);
    scratch_folder_destroy(folder);
    return 0;
}

static void change(uint8_t value)
{
    for (size_t i = 0; i < BYTES; i++)
        atomic_store(&image->bytes[i], value);
    atomic_fetch_add(&image->generation, 1);
}

static void assert_file_is(uint8_t value)
{
    uint8_t bytes[BYTES + 1];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), BYTES);
    fclose(file);
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal(bytes[i], value);
}

static void unchanged_image_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void changed_image_is_saved_whole_and_once(void **state)
{
    (void)state;
    change(1);
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_file_is(1);
    assert_int_equal(saved, 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_int_equal(access(path, F_OK), -1);
    change(2);
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_file_is(2);
    assert_int_equal(access(beside, F_OK), -1);
}

static void what_a_crash_left_beside_it_goes(void **state)
{
    (void)state;
    scratch_file_write(beside, "half of an ima");
    change(3);
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_file_is(3);
}

static void link_beside_it_is_not_followed(void **state)
{
    (void)state;
    char victim[64];
    snprintf(victim, sizeof(victim), "%s/victim", folder);
    scratch_file_write(victim, "precious");
    assert_int_equal(symlink(victim, beside), 0);
    change(4);
    assert_int_equal(image_save_if_changed(image, &saved), -EEXIST);
    struct stat status;
    assert_int_equal(stat(victim, &status), 0);
    assert_int_equal(status.st_size, 8);
    assert_int_equal(lstat(beside, &status), 0);
    assert_int_equal(unlink(beside), 0);
    assert_int_equal(image_save_if_changed(image, &saved), 0); /* tried again */
    assert_file_is(4);
}

/* Would hold up control for good. */
static void fifo_beside_it_is_not_opened(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(beside, 0600), 0);
    change(5);
    assert_int_equal(image_save_if_changed(image, &saved), -EEXIST);
    assert_int_equal(saved, 0);
}

static void missing_folder_is_an_error_until_it_is_there(void **state)
{
    (void)state;
    char away[40];
    snprintf(away, sizeof(away), "%s.away", folder);
    assert_int_equal(rename(folder, away), 0);
    change(6);
    assert_int_equal(image_save_if_changed(image, &saved), -ENOENT);
    assert_int_equal(image_save_if_changed(image, &saved), -ENOENT);
    assert_int_equal(rename(away, folder), 0);
    assert_int_equal(image_save_if_changed(image, &saved), 0);
    assert_file_is(6);
}

#define IMAGE_TEST(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMAGE_TEST(unchanged_image_writes_nothing),
        IMAGE_TEST(changed_image_is_saved_whole_and_once),
        IMAGE_TEST(what_a_crash_left_beside_it_goes),
        IMAGE_TEST(link_beside_it_is_not_followed),
        IMAGE_TEST(fifo_beside_it_is_not_opened),
        IMAGE_TEST(missing_folder_is_an_error_until_it_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
