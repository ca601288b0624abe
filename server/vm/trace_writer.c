/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/trace.h"

#include "clients/request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct trace_writer {
    FILE *file;
    char *path;
    char *temporary_path;
    uint64_t count;
    int error; /* errno of the first failed write */
};

static void trace_writer_destroy(struct trace_writer *writer)
{
    if (writer->file)
        fclose(writer->file);
    free(writer->path);
    free(writer->temporary_path);
    free(writer);
}

static void trace_writer_check(struct trace_writer *writer, int result)
{
    if (result < 0 && writer->error == 0)
        writer->error = errno ? errno : EIO;
}

static void trace_write_header(struct trace_writer *writer, const struct trace_header *header)
{
    char name[TRACE_NAME_MAX + 1];
    size_t length = 0;
    for (; length < TRACE_NAME_MAX && header->firmware_name[length]; length++) {
        char byte = header->firmware_name[length];
        name[length] = '_'; /* a blank would split the line, a control byte the terminal */
        if (byte > ' ' && byte < 0x7f)
            name[length] = byte;
    }
    name[length] = '\0';
    trace_writer_check(
        writer,
        fprintf(writer->file,
                "# vcpu space direction address size value; ~ marks an answer that may "
                "differ\nioreq-trace %d vcpus=%" PRIu32 " firmware_bytes=%" PRIu64 " firmware=%s\n",
                TRACE_VERSION, header->vcpu_count, header->firmware_bytes,
                length > 0 ? name : "-"));
}

/* Whether the rename at the end can replace what is at path now; a device node must not go either. */
static int trace_check_target(const char *path, char *error)
{
    struct stat status;
    if (*path == '\0') {
        snprintf(error, TRACE_ERROR_BYTES, "a trace needs a file name");
        return -ENOENT;
    }
    if (stat(path, &status) != 0 || S_ISREG(status.st_mode))
        return 0; /* creating the file beside it tells the rest */
    snprintf(error, TRACE_ERROR_BYTES, "cannot write %s: %s", path,
             S_ISDIR(status.st_mode) ? "it is a directory; name a file in it"
                                     : "it is not a regular file");
    return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
}

int trace_writer_open(const char *path, const struct trace_header *header,
                      struct trace_writer **writer, char *error)
{
    int refusal = trace_check_target(path, error);
    if (refusal != 0)
        return refusal;
    struct trace_writer *created = calloc(1, sizeof(*created));
    if (!created || !(created->path = strdup(path)) ||
        asprintf(&created->temporary_path, "%s.tmp.%ld", path, (long)getpid()) < 0) {
        if (created) {
            created->temporary_path = NULL;
            trace_writer_destroy(created);
        }
        snprintf(error, TRACE_ERROR_BYTES, "%s: out of memory", path);
        return -ENOMEM;
    }
    /* O_EXCL: never through a link that somebody else put there. */
    int fd = open(created->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    created->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!created->file) {
        int result = -errno;
        snprintf(error, TRACE_ERROR_BYTES, "cannot create %s: %s", created->temporary_path,
                 strerror(-result));
        if (fd >= 0) {
            close(fd);
            unlink(created->temporary_path);
        }
        trace_writer_destroy(created);
        return result;
    }
    trace_write_header(created, header);
    *writer = created;
    return 0;
}

void trace_write(struct trace_writer *writer, const struct trace_entry *entry)
{
    const struct requester_access *access = &entry->access;
    trace_writer_check(writer,
                       fprintf(writer->file,
                               "%" PRIu32 " %s %c 0x%" PRIx64 " %" PRIu64 " 0x%" PRIx64 "%s\n",
                               entry->vcpu, access->type == REQUEST_PORTIO ? "portio" : "mmio",
                               access->direction == REQUEST_READ ? 'r' : 'w', access->address,
                               access->size_bytes, access->value, entry->is_volatile ? " ~" : ""));
    writer->count++;
}

int trace_writer_commit(struct trace_writer *writer, char *error)
{
    trace_writer_check(writer, fprintf(writer->file, "end %" PRIu64 "\n", writer->count));
    trace_writer_check(writer, fflush(writer->file));
    trace_writer_check(writer, fsync(fileno(writer->file)));
    if (writer->error == 0)
        trace_writer_check(writer, rename(writer->temporary_path, writer->path));
    int result = -writer->error;
    if (result != 0) {
        snprintf(error, TRACE_ERROR_BYTES, "cannot write %s: %s", writer->path, strerror(-result));
        unlink(writer->temporary_path);
    }
    trace_writer_destroy(writer);
    return result;
}

void trace_writer_abandon(struct trace_writer *writer)
{
    unlink(writer->temporary_path);
    trace_writer_destroy(writer);
}
