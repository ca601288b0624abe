/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a trace: refused with a line that says where, or read whole. */
#include "server/vm/trace.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int file = memfd_create("trace", MFD_CLOEXEC);
    assert(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    char path[64], error[TRACE_ERROR_BYTES] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    struct trace_reader *reader = NULL;
    int result = trace_reader_open(path, &reader, error);
    if (result == 0) {
        struct trace_entry entry;
        while ((result = trace_read(reader, &entry, error)) == 1)
            assert(entry.vcpu < trace_reader_header(reader)->vcpu_count);
        trace_reader_close(reader);
    }
    assert(result == 0 || (error[0] != '\0' && strlen(error) < sizeof(error)));
    close(file);
    return 0;
}
