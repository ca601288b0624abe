/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/thread_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int thread_faults_parse(const char *line, uint64_t *faults)
{
    uint64_t minor, major;
    const char *name_end = strrchr(line, ')');
    /* state ppid pgrp session tty tpgid flags minflt cminflt majflt */
    if (!name_end || sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %*u %" SCNu64,
                            &minor, &major) != 2)
        return -EINVAL;
    *faults = minor + major;
    return 0;
}

int thread_faults_read(int thread_id, uint64_t *faults)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread_id);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    ssize_t length = read(descriptor, line, sizeof(line) - 1);
    int error = errno;
    close(descriptor);
    if (length < 0)
        return -error;
    line[length] = '\0';
    return thread_faults_parse(line, faults);
}
