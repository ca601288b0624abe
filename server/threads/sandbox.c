/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/sandbox.h"

#include "server/sources/lost_page.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The filter as the kernel takes it. libseccomp builds it, here; arming it is two system calls and
 * nothing else: the library would allocate and free memory on the poller, and freeing may be a system
 * call that the filter already forbids. */
struct sandbox {
    struct sock_fprog program;
    struct sock_filter instructions[];
};

/* What becomes of a page whose memory went (lost_page.h): exactly that mmap, and the handler's end. */
static int add_lost_page(scmp_filter_ctx filter)
{
    int descriptor = lost_page_descriptor();
    if (descriptor < 0)
        return 0;
    const struct scmp_arg_cmp arguments[] = {
        {1, SCMP_CMP_EQ, 4096, 0},
        {2, SCMP_CMP_EQ, PROT_READ | PROT_WRITE, 0},
        {3, SCMP_CMP_EQ, MAP_SHARED | MAP_FIXED, 0},
        {4, SCMP_CMP_EQ, (scmp_datum_t)descriptor, 0},
        {5, SCMP_CMP_EQ, 0, 0},
    };
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigreturn), 0);
    return result < 0
               ? result
               : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 5, arguments);
}

static int add_rules(scmp_filter_ctx filter, enum poller_idle idle, enum sandbox_calls calls)
{
    /* A call by another door, 32-bit or x32, would end its thread alone: nobody might notice. */
    int ready = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (ready == 0 && calls == SANDBOX_SUBMIT_CALL)
        ready = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_enter), 0);
    if (ready == 0)
        ready = add_lost_page(filter);
    if (ready < 0)
        return ready;
    if (idle == POLLER_IDLE_YIELD)
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_yield), 0);
    if (idle != POLLER_IDLE_SLEEP)
        return 0;
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clock_nanosleep), 0);
    /* What the kernel makes of a sleep that a stop or a suspend interrupted. */
    return result < 0 ? result
                      : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(restart_syscall), 0);
}

/* The instructions of filter as they lie in descriptor. */
static int read_program(int descriptor, struct sandbox **sandbox)
{
    off_t size = lseek(descriptor, 0, SEEK_END);
    if (size <= 0 || (size_t)size % sizeof(struct sock_filter) != 0)
        return -EINVAL;
    struct sandbox *read = malloc(sizeof(*read) + (size_t)size);
    if (!read)
        return -ENOMEM;
    if (pread(descriptor, read->instructions, (size_t)size, 0) != size) {
        free(read);
        return -EIO;
    }
    read->program.len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
    read->program.filter = read->instructions;
    *sandbox = read;
    return 0;
}

int sandbox_create(enum poller_idle idle, enum sandbox_calls calls, struct sandbox **sandbox)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int descriptor = memfd_create("sandbox", MFD_CLOEXEC);
    int result = !filter ? -ENOMEM : descriptor < 0 ? -errno : add_rules(filter, idle, calls);
    if (result == 0)
        result = seccomp_export_bpf(filter, descriptor);
    if (result == 0)
        result = read_program(descriptor, sandbox);
    if (descriptor >= 0)
        close(descriptor);
    if (filter)
        seccomp_release(filter);
    return result;
}

int sandbox_arm(void *arm_context)
{
    struct sandbox *sandbox = arm_context;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &sandbox->program) < 0)
        return -errno;
    return 0;
}

void sandbox_destroy(struct sandbox *sandbox)
{
    free(sandbox);
}
