/* SPDX-License-Identifier: BSD-3-Clause */
/* A script that is corrupt, cut or empty is refused, with the reason; a sound one gives back its lines in
 * order, without those that were removed, however often it was full. */
#include "server/restart/script.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define FIRST_LINE 4096 /* where the first half begins */

static struct script *script;

static int setup(void **state)
{
    (void)state;
    return script_create(&script);
}

static int teardown(void **state)
{
    (void)state;
    script_close(script);
    return 0;
}

static int add(const char *vm, const char *client, const char *text, uint32_t number)
{
    struct script_line line = {.number = number, .text = text};
    snprintf(line.vm, sizeof(line.vm), "%s", vm);
    snprintf(line.client, sizeof(line.client), "%s", client);
    return script_add(script, &line);
}

static int open_again(struct script **opened, char *reason)
{
    return script_open(fcntl(script_descriptor(script), F_DUPFD_CLOEXEC, 0), opened, reason, 128);
}

static void assert_refused(const char *words)
{
    struct script *opened = NULL;
    char reason[128] = "";
    assert_int_equal(open_again(&opened, reason), -EBADMSG);
    assert_null(opened);
    assert_non_null(strstr(reason, words));
}

static uint8_t byte_at(off_t at)
{
    uint8_t byte;
    assert_int_equal(pread(script_descriptor(script), &byte, 1, at), 1);
    return byte;
}

static void set_byte(off_t at, uint8_t byte)
{
    assert_int_equal(pwrite(script_descriptor(script), &byte, 1, at), 1);
}

/* ---- what is refused ---------------------------------------------------------------------- */

static void files_that_are_none_are_refused(void **state)
{
    (void)state;
    struct script *opened = NULL;
    char reason[128];
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(script_open(pipes[0], &opened, reason, sizeof(reason)), -EBADMSG);
    assert_non_null(strstr(reason, "no memory file"));
    close(pipes[1]);
    int zeroes = memfd_create("zeroes", MFD_CLOEXEC);
    struct stat file;
    assert_int_equal(fstat(script_descriptor(script), &file), 0);
    assert_int_equal(ftruncate(zeroes, file.st_size), 0);
    assert_int_equal(script_open(zeroes, &opened, reason, sizeof(reason)), -EBADMSG);
    assert_non_null(strstr(reason, "its end is damaged"));
    assert_int_equal(ftruncate(script_descriptor(script), FIRST_LINE), 0);
    assert_refused("cut");
}

static void no_damaged_bit_is_believed(void **state)
{
    (void)state;
    assert_int_equal(add("made", "disk", "client-create {name: disk, vm: made}", 0), 0);
    size_t bytes = 48 + strlen("client-create {name: disk, vm: made}") + 1;
    for (off_t at = 0; at < FIRST_LINE + (off_t)bytes; at = at == 7 ? FIRST_LINE : at + 1)
        for (uint32_t bit = 0; bit < 8; bit++) {
            uint8_t before = byte_at(at);
            set_byte(at, before ^ (uint8_t)(1u << bit));
            assert_refused("damaged");
            set_byte(at, before);
        }
    struct script *opened;
    char reason[128];
    assert_int_equal(open_again(&opened, reason), 0);
    script_close(opened);
}

static void text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[SCRIPT_TEXT_MAX + 1];
    memset(text, 'a', SCRIPT_TEXT_MAX);
    assert_int_equal(add("made", "", text, 0), -EMSGSIZE);
    text[SCRIPT_TEXT_MAX - 1] = '\0';
    assert_int_equal(add("made", "", text, 0), 0);
    assert_int_equal(script_count(script), 1);
}

/* ---- what is kept ------------------------------------------------------------------------- */

static void assert_lines(const struct script *seen, uint32_t first, uint32_t step)
{
    for (size_t i = 0; i < script_count(seen); i++) {
        const struct script_line *line = script_at(seen, i);
        char text[32];
        snprintf(text, sizeof(text), "line %u", first + (uint32_t)i * step);
        assert_string_equal(line->text, text);
        assert_string_equal(line->vm, "made");
        assert_string_equal(line->client, "disk");
        assert_int_equal(line->number, 9);
    }
}

static void lines_come_back_in_order_without_the_removed(void **state)
{
    (void)state;
    struct script *opened;
    char text[32], reason[128];
    for (uint32_t i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "line %u", i);
        assert_int_equal(add("made", "disk", text, 9), 0);
    }
    for (size_t i = 0; i < 5; i++)
        script_remove(script, i); /* the even ones */
    assert_lines(script, 1, 2);
    assert_int_equal(open_again(&opened, reason), 0);
    assert_int_equal(script_count(opened), 5);
    assert_lines(opened, 1, 2);
    script_close(opened);
}

/* Written, and the end not moved: it has not happened. */
static void a_line_that_was_cut_off_is_none(void **state)
{
    (void)state;
    struct script *opened;
    char reason[128];
    uint64_t end;
    assert_int_equal(add("made", "disk", "line 0", 9), 0);
    assert_int_equal(pread(script_descriptor(script), &end, sizeof(end), 0), sizeof(end));
    assert_int_equal(add("made", "disk", "line 1", 9), 0);
    assert_int_equal(pwrite(script_descriptor(script), &end, sizeof(end), 0), sizeof(end));
    assert_int_equal(open_again(&opened, reason), 0);
    assert_int_equal(script_count(opened), 1);
    assert_lines(opened, 0, 1);
    script_close(opened);
}

static void a_full_half_is_written_anew_and_too_many_are_refused(void **state)
{
    (void)state;
    static char text[SCRIPT_TEXT_MAX];
    struct script *opened;
    char reason[128];
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(add("made", "disk", "line 0", 9), 0);
    /* Three halves of what goes again. */
    for (uint32_t i = 0; i < 3 * SCRIPT_HALF_BYTES / SCRIPT_TEXT_MAX; i++) {
        assert_int_equal(add("made", "disk", text, 0), 0);
        script_remove(script, 1);
    }
    struct stat file;
    assert_int_equal(fstat(script_descriptor(script), &file), 0);
    assert_true(file.st_blocks * 512 <= SCRIPT_HALF_BYTES + 2 * SCRIPT_TEXT_MAX);
    assert_int_equal(open_again(&opened, reason), 0);
    assert_int_equal(script_count(opened), 1);
    assert_lines(opened, 0, 1);
    script_close(opened);
    int result = 0;
    size_t count = 1;
    while ((result = add("made", "disk", text, 0)) == 0)
        count++;
    assert_int_equal(result, -ENOSPC);
    assert_int_equal(open_again(&opened, reason), 0);
    assert_int_equal(script_count(opened), count);
    script_close(opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_that_are_none_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(no_damaged_bit_is_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(text_that_is_too_long_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_come_back_in_order_without_the_removed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_was_cut_off_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_half_is_written_anew_and_too_many_are_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
