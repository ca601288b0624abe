/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/script.h"

#include "server/restart/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT_MAGIC   UINT64_C(0x7074637371657231) /* "1reqsctp", and the format */
#define HEAD_BYTES     4096u
#define FILE_BYTES     (HEAD_BYTES + 2 * SCRIPT_HALF_BYTES)
#define LINE_ALIGNMENT 8u

/* Its own copy of each line, and where that is in the half. */
struct entry {
    struct script_line line;
    uint32_t offset;
};

struct script {
    int descriptor;
    uint32_t half;
    uint32_t end; /* of the half in use */
    struct entry *entries;
    size_t count, capacity;
};

/* Before each text, which ends with its NUL. */
struct line_head {
    uint64_t check; /* of what follows, and the text; 0: removed */
    uint32_t text_bytes;
    uint32_t number;
    char vm[CLIENT_NAME_MAX + 1], client[CLIENT_NAME_MAX + 1];
};

static uint64_t line_sum(const struct line_head *head, const char *text)
{
    const size_t from = offsetof(struct line_head, text_bytes);
    return checksum(text, head->text_bytes,
                    checksum((const char *)head + from, sizeof(*head) - from, 5));
}

static off_t place_of(uint32_t half, uint32_t offset)
{
    return (off_t)(HEAD_BYTES + (uint64_t)half * SCRIPT_HALF_BYTES + offset);
}

static uint32_t line_bytes(uint32_t text_bytes)
{
    uint32_t bytes = (uint32_t)sizeof(struct line_head) + text_bytes;
    return (bytes + LINE_ALIGNMENT - 1) / LINE_ALIGNMENT * LINE_ALIGNMENT;
}

/* ---- writing ----------------------------------------------------------------------------- */

static int write_at(const struct script *script, const void *bytes, size_t size_bytes, off_t at)
{
    ssize_t count = pwrite(script->descriptor, bytes, size_bytes, at);
    return count == (ssize_t)size_bytes ? 0 : count < 0 ? -errno : -EIO;
}

/* Half and end in one word, with what fits them: the store by which a change has happened. */
static uint64_t end_word(uint32_t half, uint32_t end)
{
    uint64_t low = (uint64_t)half << 31 | end;
    return checksum(&low, sizeof(low), SCRIPT_MAGIC) << 32 | low;
}

static int write_end(struct script *script, uint32_t half, uint32_t end)
{
    const uint64_t word = end_word(half, end);
    int result = write_at(script, &word, sizeof(word), 0);
    if (result < 0)
        return result;
    script->half = half;
    script->end = end;
    return 0;
}

static int write_line(const struct script *script, const struct script_line *line, uint32_t half,
                      uint32_t offset)
{
    struct line_head head = {.text_bytes = (uint32_t)strlen(line->text) + 1,
                             .number = line->number};
    memcpy(head.vm, line->vm, sizeof(head.vm));
    memcpy(head.client, line->client, sizeof(head.client));
    head.check = line_sum(&head, line->text);
    int result = write_at(script, &head, sizeof(head), place_of(half, offset));
    return result < 0 ? result
                      : write_at(script, line->text, head.text_bytes,
                                 place_of(half, offset) + (off_t)sizeof(head));
}

/* Into the other half, without what was removed. */
static int write_anew(struct script *script)
{
    uint32_t other = script->half ^ 1, end = 0;
    int result = 0;
    for (size_t i = 0; i < script->count && result == 0; i++) {
        const struct script_line *line = &script->entries[i].line;
        result = write_line(script, line, other, end);
        end += line_bytes((uint32_t)strlen(line->text) + 1);
    }
    uint32_t before = script->half;
    if (result == 0)
        result = write_end(script, other, end);
    if (result < 0)
        return result;
    end = 0;
    for (size_t i = 0; i < script->count; i++) {
        script->entries[i].offset = end;
        end += line_bytes((uint32_t)strlen(script->entries[i].line.text) + 1);
    }
    /* Its memory; a kernel that does not give it back costs no more than that. */
    fallocate(script->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, place_of(before, 0),
              SCRIPT_HALF_BYTES);
    return 0;
}

/* ---- the list ---------------------------------------------------------------------------- */

static int remember(struct script *script, const struct script_line *line, uint32_t offset)
{
    if (script->count == script->capacity) {
        size_t capacity = 2 * script->capacity + 16;
        struct entry *grown = realloc(script->entries, capacity * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        script->entries = grown;
        script->capacity = capacity;
    }
    char *text = strdup(line->text);
    if (!text)
        return -ENOMEM;
    struct entry *entry = &script->entries[script->count++];
    *entry = (struct entry){.line = *line, .offset = offset};
    entry->line.text = text;
    return 0;
}

static void forget(struct script *script, size_t index)
{
    free((void *)(uintptr_t)script->entries[index].line.text);
    script->count--;
    memmove(&script->entries[index], &script->entries[index + 1],
            (script->count - index) * sizeof(script->entries[0]));
}

size_t script_count(const struct script *script)
{
    return script->count;
}

const struct script_line *script_at(const struct script *script, size_t index)
{
    return &script->entries[index].line;
}

int script_add(struct script *script, const struct script_line *line)
{
    size_t length = strlen(line->text);
    if (length >= SCRIPT_TEXT_MAX)
        return -EMSGSIZE;
    uint32_t bytes = line_bytes((uint32_t)length + 1);
    int result = script->end + bytes > SCRIPT_HALF_BYTES ? write_anew(script) : 0;
    if (result == 0 && script->end + bytes > SCRIPT_HALF_BYTES)
        result = -ENOSPC;
    uint32_t offset = script->end;
    if (result == 0)
        result = remember(script, line, offset);
    if (result < 0)
        return result;
    result = write_line(script, line, script->half, offset);
    if (result == 0)
        result = write_end(script, script->half, offset + bytes);
    if (result < 0)
        forget(script, script->count - 1);
    return result;
}

void script_remove(struct script *script, size_t index)
{
    const uint64_t removed = 0;
    /* A store into a page that is there; what cannot be removed is made again, and no worse. */
    write_at(script, &removed, sizeof(removed),
             place_of(script->half, script->entries[index].offset));
    forget(script, index);
}

/* ---- life -------------------------------------------------------------------------------- */

void script_close(struct script *script)
{
    if (!script)
        return;
    while (script->count > 0)
        forget(script, script->count - 1);
    free(script->entries);
    if (script->descriptor >= 0)
        close(script->descriptor);
    free(script);
}

int script_descriptor(const struct script *script)
{
    return script->descriptor;
}

int script_create(struct script **script)
{
    struct script *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->descriptor = memfd_create("ioreqd-script", MFD_CLOEXEC);
    int result = created->descriptor < 0 || ftruncate(created->descriptor, FILE_BYTES) < 0
                     ? -errno
                     : write_end(created, 0, 0);
    if (result < 0)
        script_close(created);
    else
        *script = created;
    return result;
}

/* ---- an earlier one ---------------------------------------------------------------------- */

static bool read_at(const struct script *script, void *bytes, size_t size_bytes, off_t at)
{
    return pread(script->descriptor, bytes, size_bytes, at) == (ssize_t)size_bytes;
}

static const char *read_end(struct script *script)
{
    struct stat file;
    uint64_t word;
    if (fstat(script->descriptor, &file) < 0 || !S_ISREG(file.st_mode))
        return "it is no memory file";
    if (file.st_size != FILE_BYTES || !read_at(script, &word, sizeof(word), 0))
        return "it is cut, or of another version";
    script->half = (uint32_t)(word >> 31 & 1);
    script->end = (uint32_t)(word & 0x7fffffffu);
    if (word != end_word(script->half, script->end) || script->end > SCRIPT_HALF_BYTES)
        return "its end is damaged, or of another version";
    return NULL;
}

/* The line at offset, and where the next one is. */
static const char *read_line(struct script *script, uint32_t *offset, char *text)
{
    static const char damaged[] = "a line is damaged";
    struct line_head head;
    off_t place = place_of(script->half, *offset);
    if (script->end - *offset < sizeof(head) || !read_at(script, &head, sizeof(head), place) ||
        head.text_bytes < 1 || head.text_bytes > SCRIPT_TEXT_MAX ||
        line_bytes(head.text_bytes) > script->end - *offset ||
        !read_at(script, text, head.text_bytes, place + (off_t)sizeof(head)))
        return damaged;
    uint32_t at = *offset;
    *offset += line_bytes(head.text_bytes);
    if (head.check == 0)
        return NULL;
    if (head.check != line_sum(&head, text) || memchr(text, '\0', head.text_bytes) == NULL ||
        memchr(head.vm, '\0', sizeof(head.vm)) == NULL ||
        memchr(head.client, '\0', sizeof(head.client)) == NULL)
        return damaged;
    struct script_line line = {.number = head.number, .text = text};
    memcpy(line.vm, head.vm, sizeof(line.vm));
    memcpy(line.client, head.client, sizeof(line.client));
    return remember(script, &line, at) < 0 ? "no memory" : NULL;
}

static const char *read_all(struct script *script)
{
    const char *wrong = read_end(script);
    char *text = malloc(SCRIPT_TEXT_MAX);
    if (!wrong && !text)
        wrong = "no memory";
    for (uint32_t offset = 0; !wrong && offset < script->end;)
        wrong = read_line(script, &offset, text);
    free(text);
    return wrong;
}

int script_open(int descriptor, struct script **script, char *reason, size_t reason_bytes)
{
    struct script *opened = calloc(1, sizeof(*opened));
    const char *wrong = "no memory";
    if (opened) {
        opened->descriptor = descriptor;
        wrong = read_all(opened);
    } else {
        close(descriptor);
    }
    if (wrong) {
        snprintf(reason, reason_bytes, "%s", wrong);
        script_close(opened);
        return -EBADMSG;
    }
    *script = opened;
    return 0;
}
