/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* In the child. Returns only if it fails. */
static int become_qemu(int image, int output, uint16_t console_port, uint32_t cpu)
{
    char image_path[32], device[64];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    snprintf(image_path, sizeof(image_path), "/proc/self/fd/%d", image);
    snprintf(device, sizeof(device), "isa-debugcon,iobase=0x%x,chardev=out", console_port);
    char *arguments[] = {QEMU_PROGRAM,
                         "-nodefaults",
                         "-no-user-config",
                         "-display",
                         "none",
                         "-M",
                         "pc",
                         "-accel",
                         "kvm",
                         "-cpu",
                         "host",
                         "-m",
                         "16",
                         "-bios",
                         image_path,
                         "-chardev",
                         "stdio,id=out,signal=off",
                         "-device",
                         device,
                         NULL};
    int nothing = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Its complaints stay on our stderr; image stays open across the exec. */
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        fcntl(image, F_SETFD, 0) < 0 || sched_setaffinity(0, sizeof(set), &set) < 0)
        return errno;
    execvp(QEMU_PROGRAM, arguments);
    return errno;
}

/* verdict: a pipe that the exec closes, or that brings its errno. */
static int fork_qemu(struct qemu *qemu, int output, uint16_t console_port, uint32_t cpu)
{
    int verdict[2], error = 0;
    if (pipe2(verdict, O_CLOEXEC) < 0)
        return -errno;
    qemu->pid = fork();
    if (qemu->pid == 0) {
        error = become_qemu(qemu->image, output, console_port, cpu);
        if (write(verdict[1], &error, sizeof(error)) < 0)
            _exit(2);
        _exit(1);
    }
    close(verdict[1]);
    if (qemu->pid < 0) {
        error = errno;
        qemu->pid = 0;
    } else if (read(verdict[0], &error, sizeof(error)) != sizeof(error)) {
        error = 0;
    }
    close(verdict[0]);
    return -error;
}

int qemu_start(struct qemu *qemu, const uint8_t *image, size_t image_bytes, uint16_t console_port,
               uint32_t cpu)
{
    int output[2];
    *qemu = (struct qemu){.output = -1};
    qemu->image = memfd_create("guest image", MFD_CLOEXEC);
    if (qemu->image < 0 || pipe2(output, O_CLOEXEC) < 0) {
        int result = -errno;
        qemu_stop(qemu);
        return result;
    }
    qemu->output = output[0];
    int result = write(qemu->image, image, image_bytes) == (ssize_t)image_bytes ? 0 : -EIO;
    if (result == 0)
        result = fork_qemu(qemu, output[1], console_port, cpu);
    close(output[1]); /* the end of QEMU is the end of the pipe */
    if (result < 0)
        qemu_stop(qemu);
    return result;
}

int qemu_read(struct qemu *qemu, void *bytes, size_t byte_count)
{
    int result = 0;
    kill(qemu->pid, SIGCONT);
    while (byte_count > 0 && result == 0) {
        struct pollfd entry = {.fd = qemu->output, .events = POLLIN};
        int ready = poll(&entry, 1, PATIENCE_MS);
        ssize_t length = ready > 0 ? read(qemu->output, bytes, byte_count) : 0;
        if (ready == 0)
            result = -ETIMEDOUT;
        else if (ready < 0 || length < 0)
            result = errno == EINTR ? 0 : -errno;
        else if (length == 0)
            result = -EPIPE;
        bytes = (uint8_t *)bytes + (length > 0 ? length : 0);
        byte_count -= length > 0 ? (size_t)length : 0;
    }
    kill(qemu->pid, SIGSTOP);
    return result;
}

void qemu_stop(struct qemu *qemu)
{
    if (qemu->pid > 0) {
        kill(qemu->pid, SIGKILL);
        waitpid(qemu->pid, NULL, 0);
    }
    if (qemu->output >= 0)
        close(qemu->output);
    if (qemu->image >= 0)
        close(qemu->image);
    *qemu = (struct qemu){.output = -1, .image = -1};
}
