/* SPDX-License-Identifier: BSD-3-Clause */
/* Row 45 of tests/faults.md: a journal that is corrupt, truncated, of another version or all zero is
 * refused, with the reason; a sound one gives back what was put in. */
#include "server/restart/journal.h"

#include "pollers/memory.h"

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

static struct journal *journal;
static struct page_kept *kept;
static uint8_t *bytes; /* the file's [file_bytes], through another mapping */
static size_t file_bytes;

static int setup(void **state)
{
    (void)state;
    uint32_t owner;
    struct stat file;
    assert_int_equal(journal_create(&journal), 0);
    kept = journal_add_vm(journal, "guest", 4, MEMORY_ANY_NODE);
    assert_non_null(kept);
    process_kept_set(journal_add_process(journal, "guest", "disk", &owner),
                     (struct process_kept_words){.epoch = 5, .from_epoch = 3, .is_served = true});
    assert_int_equal(owner, 1);
    slot_record_hand(&kept->records[2], SLOT_PLACE_SENT, owner);
    slot_record_open(&kept->records[2]);
    journal_note_vm(kept, 77, true);
    assert_int_equal(fstat(journal_descriptor(journal), &file), 0);
    file_bytes = (size_t)file.st_size;
    bytes =
        mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, journal_descriptor(journal), 0);
    assert_true(bytes != MAP_FAILED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(bytes, file_bytes);
    journal_close(journal);
    return 0;
}

static int open_copy(int descriptor, struct journal **opened, char *reason)
{
    return journal_open(fcntl(descriptor, F_DUPFD_CLOEXEC, 0), opened, reason, 128);
}

static void expect_refused(int descriptor, const char *why)
{
    struct journal *opened = NULL;
    char reason[128] = "";
    assert_int_equal(open_copy(descriptor, &opened, reason), -EBADMSG);
    assert_null(opened);
    if (!strstr(reason, why))
        fail_msg("refused: %s; expected: %s", reason, why);
}

static int file_of(size_t size_bytes, bool is_sealed)
{
    int descriptor = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)size_bytes), 0);
    if (is_sealed)
        assert_int_equal(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return descriptor;
}

static void row_45_all_zero_is_refused(void **state)
{
    (void)state;
    int descriptor = file_of(file_bytes, true);
    expect_refused(descriptor, "empty");
    close(descriptor);
}

static void row_45_truncated_is_refused(void **state)
{
    (void)state;
    int descriptor = file_of(file_bytes - 4096, true);
    expect_refused(descriptor, "cut");
    close(descriptor);
    descriptor = file_of(0, true);
    expect_refused(descriptor, "cut");
    close(descriptor);
}

/* One that could be cut under us: SIGBUS. */
static void row_45_a_file_that_may_shrink_is_refused(void **state)
{
    (void)state;
    int descriptor = file_of(file_bytes, false);
    assert_int_equal(pwrite(descriptor, bytes, file_bytes, 0), file_bytes);
    expect_refused(descriptor, "sealed");
    close(descriptor);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    expect_refused(ends[0], "no memory file");
    close(ends[0]);
    close(ends[1]);
}

static void row_45_another_version_is_refused(void **state)
{
    (void)state;
    uint32_t version = 0;
    memcpy(bytes + 8, &version, sizeof(version));
    expect_refused(journal_descriptor(journal), "version");
}

/* Every byte that means something, one at a time. */
static void row_45_any_corrupt_byte_is_refused(void **state)
{
    (void)state;
    size_t refused = 0, head_bytes = 40;
    for (size_t i = 0; i < head_bytes; i++) {
        bytes[i] ^= 0x10;
        struct journal *opened = NULL;
        char reason[128];
        if (open_copy(journal_descriptor(journal), &opened, reason) == -EBADMSG)
            refused++;
        else
            journal_close(opened);
        bytes[i] ^= 0x10;
    }
    assert_int_equal(refused, head_bytes);
    /* The record that is open, its word, what began it, where it is; the names behind the records. */
    size_t record = (size_t)((uint8_t *)&kept->records[2] - (uint8_t *)kept);
    size_t vm = 4 * 4096; /* the first one's page */
    for (size_t i = 1; i < 24;
         i++) { /* the lowest bits may be another phase, of the same decision */
        bytes[vm + record + i] ^= 0x10;
        expect_refused(journal_descriptor(journal), "record");
        bytes[vm + record + i] ^= 0x10;
    }
    for (size_t i = 0; i < 16; i++) {
        bytes[vm + sizeof(*kept) + i] ^= 0x10;
        expect_refused(journal_descriptor(journal), "VM");
        bytes[vm + sizeof(*kept) + i] ^= 0x10;
    }
    struct journal *opened = NULL;
    char reason[128];
    assert_int_equal(open_copy(journal_descriptor(journal), &opened, reason), 0);
    journal_close(opened);
}

static void row_45_a_corrupt_client_is_refused(void **state)
{
    (void)state;
    uint32_t owner;
    struct process_kept *process = journal_add_process(journal, "guest", "disk", &owner);
    for (uint32_t bit = 0; bit < 64; bit++) {
        atomic_fetch_xor(&process->word, 1ull << bit);
        expect_refused(journal_descriptor(journal), "client");
        atomic_fetch_xor(&process->word, 1ull << bit);
    }
}

static void a_sound_one_gives_back_what_was_put_in(void **state)
{
    (void)state;
    struct journal *opened = NULL;
    char reason[128] = "";
    assert_int_equal(open_copy(journal_descriptor(journal), &opened, reason), 0);
    assert_null(journal_find_vm(opened, "gues", 4, MEMORY_ANY_NODE));
    assert_null(journal_find_vm(opened, "guest", 3, MEMORY_ANY_NODE));
    struct page_kept *found = journal_find_vm(opened, "guest", 4, MEMORY_ANY_NODE);
    assert_non_null(found);
    assert_int_equal(slot_record_word(&found->records[2]), slot_record_word(&kept->records[2]));
    pid_t pid;
    bool is_paused;
    journal_read_vm(found, &pid, &is_paused);
    assert_int_equal(pid, 77);
    assert_true(is_paused);
    struct process_kept_words words = {0};
    uint32_t owner;
    assert_true(process_kept_get(journal_add_process(opened, "guest", "disk", &owner), &words));
    assert_int_equal(owner, 1);
    assert_int_equal(words.epoch, 5);
    assert_int_equal(words.from_epoch, 3);
    assert_true(words.is_served);
    assert_non_null(journal_add_process(opened, "guest", "other", &owner));
    assert_int_equal(owner, 2);
    journal_close(opened);
}

static void what_is_forgotten_makes_room(void **state)
{
    (void)state;
    char name[16];
    for (uint32_t i = 1; i < 64; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        assert_non_null(journal_add_vm(journal, name, 1, MEMORY_ANY_NODE));
    }
    assert_null(journal_add_vm(journal, "more", 1, MEMORY_ANY_NODE));
    journal_forget_vm(journal, kept);
    assert_null(journal_find_vm(journal, "guest", 4, MEMORY_ANY_NODE));
    assert_non_null(journal_add_vm(journal, "more", 1, MEMORY_ANY_NODE));
}

/* A token of before cannot be one of after. */
static void two_journals_begin_at_other_tickets(void **state)
{
    (void)state;
    struct journal *other;
    assert_int_equal(journal_create(&other), 0);
    struct page_kept *place = journal_add_vm(other, "guest", 4, MEMORY_ANY_NODE);
    assert_int_not_equal(slot_record_word(&place->records[0]), slot_record_word(&kept->records[0]));
    journal_close(other);
}

static void what_nobody_asks_for_is_forgotten(void **state)
{
    (void)state;
    struct journal *opened = NULL;
    char reason[128];
    uint32_t owner;
    assert_int_equal(open_copy(journal_descriptor(journal), &opened, reason), 0);
    assert_non_null(journal_find_vm(opened, "guest", 4, MEMORY_ANY_NODE));
    assert_non_null(journal_add_vm(opened, "next", 1, MEMORY_ANY_NODE));
    journal_forget_unclaimed(opened);
    assert_non_null(journal_find_vm(opened, "guest", 4, MEMORY_ANY_NODE));
    assert_non_null(journal_find_vm(opened, "next", 1, MEMORY_ANY_NODE));
    /* "disk" had number 1 */
    assert_non_null(journal_add_process(opened, "guest", "another", &owner));
    assert_int_equal(owner, 1);
    journal_forget_unclaimed(opened);
    assert_non_null(journal_add_process(opened, "guest", "third", &owner));
    assert_int_equal(owner, 2);
    journal_close(opened);
    assert_int_equal(open_copy(journal_descriptor(journal), &opened, reason), 0);
    journal_forget_unclaimed(opened);
    assert_null(journal_find_vm(opened, "guest", 4, MEMORY_ANY_NODE));
    journal_close(opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_45_all_zero_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(row_45_truncated_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(row_45_a_file_that_may_shrink_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(row_45_another_version_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(row_45_any_corrupt_byte_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(row_45_a_corrupt_client_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sound_one_gives_back_what_was_put_in, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_forgotten_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(two_journals_begin_at_other_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_asks_for_is_forgotten, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
