/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arena.h - memory of one load: many small pieces, one owner, freed together.
 *
 * Flow:    arena_init -> arena_alloc, arena_copy_text ... -> arena_fini.
 * Threads: one thread.
 * Memory:  chunks that double from 16 KiB to 1 MiB; never more than limit_bytes in all. Built with
 *          the address sanitizer every piece is a chunk of its own, so that overruns are seen.
 * Errors:  NULL when the limit or the machine's memory is reached; `failed` then stays set, so
 *          that a caller may go on and look once at the end.
 * Source:  D. Hanson, Fast Allocation and Deallocation of Memory Based on Object Lifetimes, 1990.
 */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    char *next;
    size_t left_bytes;
    size_t chunk_bytes;
    size_t taken_bytes;
    size_t limit_bytes;
    const struct arena *beside; /* what it takes counts against the limit too; NULL: none */
    bool failed;
};

void arena_init(struct arena *arena, size_t limit_bytes);
void arena_fini(struct arena *arena);

/* Zeroed room for count objects of size_bytes, aligned to 8. count 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t count, size_t size_bytes);

/* A NUL-terminated copy of text [text_bytes]. */
char *arena_copy_text(struct arena *arena, const char *text, size_t text_bytes);

#endif
