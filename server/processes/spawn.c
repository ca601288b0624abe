/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/processes/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES         (16u * 1024u)
#define CLOSE_RANGE_ON_EXEC 4u /* CLOSE_RANGE_CLOEXEC, where headers are older than the kernel */

/* A sanitizer's book-keeping is the parent's, and the child does not come back. */
#define BARE __attribute__((no_sanitize("address", "thread")))

int spawn_find_user(const char *text, struct spawn_user *user)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    bool is_number = errno == 0 && end != text && *end == '\0' && number < UINT32_MAX;
    const struct passwd *found = getpwnam(text);
    if (!found && is_number)
        found = getpwuid((uid_t)number);
    if (!found && !is_number)
        return -ENOENT;
    *user = (struct spawn_user){.is_set = true,
                                .uid = found ? found->pw_uid : (uid_t)number,
                                .gid = found ? found->pw_gid : (gid_t)number};
    user->group_count = SPAWN_GROUPS_MAX;
    if (!found)
        user->group_count = 0;
    else if (getgrouplist(found->pw_name, found->pw_gid, user->groups, &user->group_count) < 0)
        user->group_count = SPAWN_GROUPS_MAX;
    return 0;
}

/* ---- the child, until it is another program ---------------------------------------------- */

/* It shares our memory: this is how it tells. */
struct child {
    const struct spawn_options *options;
    pid_t parent;
    int null_descriptor;
    int error;
    const char *step;
};

/* Does not come back. */
BARE static int child_fail(struct child *child, const char *step)
{
    child->error = errno;
    child->step = step;
    _exit(127);
}

/* Raw calls: libc's would change the user of all our threads. */
BARE static void child_become(struct child *child, const struct spawn_user *user)
{
    if (!user->is_set)
        return;
    if (syscall(SYS_setgroups, (size_t)user->group_count, user->groups) < 0 ||
        syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
        syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0)
        child_fail(child, "cannot become that user");
}

BARE static int child_main(void *argument)
{
    struct child *child = argument;
    const struct spawn_options *options = child->options;
    /* The table of handlers is its own, the functions in it are ours. */
    const struct sigaction as_usual = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &as_usual, NULL);
    setsid();
    if (dup2(child->null_descriptor, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        child_fail(child, "cannot have standard streams");
    if (sched_setaffinity(0, sizeof(*options->cpus), options->cpus) < 0)
        child_fail(child, "cannot run on that CPU");
    child_become(child, options->user);
    /* After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != child->parent)
        _exit(127);
    /* A kernel without it: each of ours is closed on exec by itself. */
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_ON_EXEC);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(options->words[0], (char *const *)(uintptr_t)options->words,
           (char *const *)(uintptr_t)options->environment);
    return child_fail(child, "cannot execute it");
}

/* ---- the parent -------------------------------------------------------------------------- */

/* Kept: to unmap one would interrupt the pollers' CPUs. */
static _Alignas(64) char stack[STACK_BYTES];

static int start_child(struct child *child, struct spawned *spawned)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* no handler of ours may run in the child */
    int pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    child, &spawned->descriptor);
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        spawned->step = "cannot make a process";
        return -error;
    }
    spawned->pid = pid;
    return 0;
}

int spawn_process(const struct spawn_options *options, struct spawned *spawned)
{
    *spawned = (struct spawned){.descriptor = -1, .step = ""};
    struct child child = {.options = options,
                          .parent = getpid(),
                          .null_descriptor = open("/dev/null", O_RDWR | O_CLOEXEC)};
    if (child.null_descriptor < 0) {
        spawned->step = "cannot open /dev/null";
        return -errno;
    }
    int result = start_child(&child, spawned);
    close(child.null_descriptor);
    if (result == 0 && child.step) { /* it has come to its end already */
        struct spawn_end end;
        siginfo_t ended = {0};
        waitid(P_PIDFD, (id_t)spawned->descriptor, &ended, WEXITED | WNOWAIT);
        spawn_reap(spawned->pid, spawned->descriptor, &end);
        close(spawned->descriptor);
        spawned->step = child.step;
        result = child.error ? -child.error : -ECHILD;
    }
    return result;
}

void spawn_signal(pid_t pid, int signal)
{
    kill(-pid, signal);
}

bool spawn_reap(pid_t pid, int descriptor, struct spawn_end *end)
{
    siginfo_t ended = {0};
    if (waitid(P_PIDFD, (id_t)descriptor, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        ended.si_pid == 0)
        return false;
    spawn_signal(pid, SIGKILL); /* while the dead one still has the number */
    waitid(P_PIDFD, (id_t)descriptor, &ended, WEXITED | WNOHANG);
    bool has_exited = ended.si_code == CLD_EXITED;
    *end = (struct spawn_end){.exit_code = has_exited ? ended.si_status : -1,
                              .signal = has_exited ? 0 : ended.si_status};
    return true;
}
