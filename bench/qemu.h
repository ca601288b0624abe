/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu.h - QEMU with KVM as a contender: a firmware image in a guest with nothing but a debug console,
 * whose bytes come through a pipe.
 *
 * Flow:    qemu_start -> [qemu_read...] -> qemu_stop. Between two calls of qemu_read the process is
 *          stopped (SIGSTOP), so that it takes nothing from whoever else is measured.
 * Threads: one.
 * Memory:  the image is copied into a memory file, which QEMU opens; the process dies with us.
 * Errors:  negative errno; qemu_start: -ENOENT there is no such program.
 * Source:  qemu-system-x86_64(1).
 */
#ifndef BENCH_QEMU_H
#define BENCH_QEMU_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define QEMU_PROGRAM "qemu-system-x86_64"
#define QEMU_PACKAGE "qemu-system-x86"

struct qemu {
    pid_t pid; /* 0: not running */
    int output;
    int image;
};

/* image [image_bytes]; both QEMU's threads run on cpu. */
int qemu_start(struct qemu *qemu, const uint8_t *image, size_t image_bytes, uint16_t console_port,
               uint32_t cpu);
/* Lets it run until it has written bytes [byte_count]. -EPIPE: it ended. -ETIMEDOUT: nothing came
 * for 10 s. */
int qemu_read(struct qemu *qemu, void *bytes, size_t byte_count);
void qemu_stop(struct qemu *qemu);

#endif
