/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - a file of accesses and their answers, one line each, in the order they were made.
 *
 * Flow:    trace_writer_open -> trace_write... -> trace_writer_commit or _abandon;
 *          trace_reader_open -> trace_reader_check -> trace_read until it gives 0 ->
 *          trace_reader_close.
 * Threads: one at a time.
 * Memory:  a line; the file is streamed, however long it is.
 * Errors:  a writer's first failure is kept and returned by commit: an unfinished trace never
 *          appears under its name. A reader says file:line and what was expected.
 *
 *     # a comment
 *     ioreq-trace 1 vcpus=1 firmware_bytes=131072 firmware=bios.bin
 *     0 portio w 0x70 1 0x8f
 *     0 portio r 0x71 1 0x0
 *     0 portio r 0x71 1 0x26 ~
 *     end 3
 *
 * A line is: vCPU, space, read or write, address, size in bytes, value (the data, or the answer),
 * and ~ where the answer is not deterministic: it tells the time or what somebody typed. The last
 * line counts the accesses, so that a truncated file is known as one.
 */
#ifndef SERVER_VM_TRACE_H
#define SERVER_VM_TRACE_H

#include "server/vm/requester.h"

#include <stdbool.h>

#define TRACE_VERSION     1
#define TRACE_LINE_MAX    200 /* bytes without the newline */
#define TRACE_NAME_MAX    64
#define TRACE_ERROR_BYTES 512
#define TRACE_COUNT_MAX   1000000000000u

struct trace_header {
    uint32_t vcpu_count;
    uint64_t firmware_bytes;
    char firmware_name[TRACE_NAME_MAX + 1]; /* printable, without blanks */
};

struct trace_entry {
    struct requester_access access;
    uint32_t vcpu;
    bool is_volatile; /* a read whose answer may differ */
};

struct trace_writer;
struct trace_reader;

/* Creates path.tmp.PID beside path. What path names already must be a regular file, which commit
 * replaces. 0, or a negative errno with a line in error [TRACE_ERROR_BYTES]. */
int trace_writer_open(const char *path, const struct trace_header *header,
                      struct trace_writer **writer, char *error);
void trace_write(struct trace_writer *writer, const struct trace_entry *entry);
/* Writes the last line, and renames the file to its path. The writer is gone either way; on failure
 * so is the file. 0, or a negative errno with a line in error. */
int trace_writer_commit(struct trace_writer *writer, char *error);
/* Removes the file. */
void trace_writer_abandon(struct trace_writer *writer);

/* 0, or a negative errno with a line in error [TRACE_ERROR_BYTES]. */
int trace_reader_open(const char *path, struct trace_reader **reader, char *error);
const struct trace_header *trace_reader_header(const struct trace_reader *reader);
/* 1 and *entry; 0 after the last one of a whole file; -EINVAL or -EIO with a line in error. */
int trace_read(struct trace_reader *reader, struct trace_entry *entry, char *error);
/* Reads all of it, and begins again at the first entry: what comes after can fail only if somebody
 * writes to the file meanwhile. Before the first trace_read. 0, or as trace_read. */
int trace_reader_check(struct trace_reader *reader, char *error);
/* Line number of the entry that trace_read gave last; 1 is the first. */
uint64_t trace_reader_line(const struct trace_reader *reader);
/* Bytes read and in the file, for progress. */
void trace_reader_position(const struct trace_reader *reader, uint64_t *done_bytes,
                           uint64_t *all_bytes);
void trace_reader_close(struct trace_reader *reader);

#endif
