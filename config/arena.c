/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN_BYTES     8u
#define ARENA_CHUNK_BYTES     (16u * 1024u)
#define ARENA_CHUNK_BYTES_MAX (1024u * 1024u)

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_SHARES_CHUNKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_SHARES_CHUNKS 0
#endif
#endif
#ifndef ARENA_SHARES_CHUNKS
#define ARENA_SHARES_CHUNKS 1
#endif

struct arena_chunk {
    struct arena_chunk *older;
    _Alignas(ARENA_ALIGN_BYTES) char bytes[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.chunk_bytes = ARENA_CHUNK_BYTES, .limit_bytes = limit_bytes};
}

void arena_fini(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
    *arena = (struct arena){.chunk_bytes = ARENA_CHUNK_BYTES,
                            .limit_bytes = arena->limit_bytes,
                            .beside = arena->beside};
}

static bool arena_grow(struct arena *arena, size_t wanted_bytes)
{
    size_t bytes = wanted_bytes;
    if (ARENA_SHARES_CHUNKS && bytes < arena->chunk_bytes)
        bytes = arena->chunk_bytes;
    size_t taken_bytes = arena->taken_bytes + (arena->beside ? arena->beside->taken_bytes : 0);
    size_t room = arena->limit_bytes - taken_bytes;
    if (bytes > room)
        bytes = room; /* the last chunk is as large as the limit still allows */
    if (bytes < wanted_bytes)
        return false;
    struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + bytes);
    if (!chunk)
        return false;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->bytes;
    arena->left_bytes = bytes;
    arena->taken_bytes += bytes;
    if (arena->chunk_bytes < ARENA_CHUNK_BYTES_MAX)
        arena->chunk_bytes *= 2;
    return true;
}

/* Exact size where a sanitizer watches the end of each piece. */
static size_t arena_rounded(size_t bytes)
{
    if (!ARENA_SHARES_CHUNKS)
        return bytes;
    return (bytes + ARENA_ALIGN_BYTES - 1) & ~(size_t)(ARENA_ALIGN_BYTES - 1);
}

void *arena_alloc(struct arena *arena, size_t count, size_t size_bytes)
{
    size_t bytes;
    if (arena->failed || __builtin_mul_overflow(count, size_bytes, &bytes) ||
        bytes > SIZE_MAX / 2) {
        arena->failed = true;
        return NULL;
    }
    bytes = arena_rounded(bytes > 0 ? bytes : 1);
    if ((!ARENA_SHARES_CHUNKS || bytes > arena->left_bytes) && !arena_grow(arena, bytes)) {
        arena->failed = true;
        return NULL;
    }
    void *piece = arena->next;
    arena->next += bytes;
    arena->left_bytes -= bytes;
    return piece;
}

char *arena_copy_text(struct arena *arena, const char *text, size_t text_bytes)
{
    if (text_bytes == SIZE_MAX) {
        arena->failed = true;
        return NULL;
    }
    char *copy = arena_alloc(arena, text_bytes + 1, 1);
    if (copy && text_bytes > 0)
        memcpy(copy, text, text_bytes);
    return copy;
}
