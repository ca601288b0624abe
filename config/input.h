/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.h - the bytes of a configuration file, checked, with an index of its lines.
 *
 * Flow:    input_read (a path) or input_take (memory) -> input_check -> excerpts -> input_fini.
 * Threads: one thread.
 * Memory:  a copy of the bytes and 4 bytes a line, owned by the input.
 * Errors:  what is no regular file, or too large, is refused before it is read; reading never
 *          blocks and never takes more than INPUT_BYTES_MAX + 1 bytes, even if the file grows.
 * Source:  RFC 3629 for what well-formed UTF-8 is.
 *
 * A column counts characters, not bytes, as libyaml does. Line breaks are LF, CR LF and CR; the
 * other breaks of YAML 1.1 (NEL, LS, PS) are refused, as are directives (%...): nothing here needs
 * them, and libyaml spends quadratic time on many of them.
 */
#ifndef CONFIG_INPUT_H
#define CONFIG_INPUT_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT_BYTES_MAX CONFIG_FILE_BYTES_MAX

struct input {
    char *buffer;      /* owned, with a NUL behind it */
    const char *bytes; /* [size_bytes], behind a byte order mark if there was one */
    size_t size_bytes;
    uint32_t *line_begins; /* [line_count] */
    size_t line_count;     /* at least 1 */
};

/* 0, or a negative errno with the cause in reason: -EFBIG too large, -EISDIR, -ENOTSUP other than
 * a regular file, -ENOMEM, or what open and read say. After a failure there is nothing to free. */
int input_read(struct input *input, const char *path, char *reason, size_t reason_bytes);

/* The same from memory, which is copied. 0, -EFBIG or -ENOMEM. */
int input_take(struct input *input, const void *bytes, size_t size_bytes);

void input_fini(struct input *input);

/* True when every byte may stand in a configuration file; else where and what the first is that
 * may not. */
bool input_check(const struct input *input, struct config_mark *mark, char *problem,
                 size_t problem_bytes);

/* The line's bytes without its break; line counts from 1 and is in the file. */
const char *input_line(const struct input *input, uint32_t line, size_t *line_bytes);

#endif
