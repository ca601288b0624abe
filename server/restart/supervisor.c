/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/supervisor.h"

#include "server/log.h"
#include "server/restart/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES   4096u
#define FIRST_PASSED    3 /* SD_LISTEN_FDS_START */
#define DELAY_FIRST_NS  20000000ull
#define DELAY_READY_NS  40000000ull /* the most for one that was ready: a start of its own again */
#define DELAY_MOST_NS   1000000000ull
#define MESSAGES_A_TURN 1024 /* whoever floods us delays nothing */
#define NS_PER_SECOND   1000000000ull
#define DESCRIPTORS_MAX 8 /* that one message may carry */

struct supervisor {
    const char *program;
    char *const *arguments;
    int notify_socket;
    char notify_name[2 * sizeof(((struct sockaddr_un *)0)->sun_path)];
    int signals;
    pid_t child;
    uint64_t started_ns;
    uint64_t delay_ns;  /* before the next start */
    uint32_t failures;  /* starts in a row that never became ready */
    bool is_ready;      /* the child has said so */
    bool was_ready;     /* any child ever */
    bool is_ending;     /* SIGTERM: no restart */
    bool is_restarting; /* SIGUSR2: an end in order, and a restart */
    uint32_t kept_count;
    struct {
        char name[KEEPER_NAME_BYTES];
        int descriptor;
    } kept[KEEPER_MAX];
    char names[KEEPER_MAX * KEEPER_NAME_BYTES]; /* of LISTEN_FDNAMES */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- what is kept ------------------------------------------------------------------------ */

static bool is_same_file(int a, int b)
{
    struct stat first, second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* Takes descriptor. One of the same file and name is there already, or there is no place: closed. */
static void keep(struct supervisor *self, const char *name, int descriptor)
{
    size_t length = strlen(name);
    bool fits = length > 0 && length < KEEPER_NAME_BYTES && !strchr(name, ':') &&
                self->kept_count < KEEPER_MAX;
    for (uint32_t i = 0; i < self->kept_count; i++)
        if (strcmp(self->kept[i].name, name) == 0 &&
            is_same_file(self->kept[i].descriptor, descriptor))
            fits = false;
    if (!fits) {
        close(descriptor);
        return;
    }
    strcpy(self->kept[self->kept_count].name, name);
    self->kept[self->kept_count++].descriptor = descriptor;
}

static void forget(struct supervisor *self, const char *name)
{
    for (uint32_t i = 0; i < self->kept_count;) {
        if (strcmp(self->kept[i].name, name) != 0) {
            i++;
            continue;
        }
        close(self->kept[i].descriptor);
        self->kept[i] = self->kept[--self->kept_count];
    }
}

/* ---- what ioreqd says -------------------------------------------------------------------- */

/* The value of KEY in text, lines of KEY=VALUE; NULL: it is not there. Cut to its line by a NUL. */
static const char *field(char *copy, const char *key)
{
    size_t length = strlen(key);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, key, length) == 0 && line[length] == '=')
            return line + length + 1;
    return NULL;
}

static bool says(const char *text, const char *key, char value[KEEPER_NAME_BYTES])
{
    char copy[MESSAGE_BYTES];
    strcpy(copy, text);
    const char *found = field(copy, key);
    if (found)
        snprintf(value, KEEPER_NAME_BYTES, "%s", found);
    return found != NULL;
}

static void obey(struct supervisor *self, const char *text, int *descriptors, size_t count)
{
    char name[KEEPER_NAME_BYTES] = "", value[KEEPER_NAME_BYTES];
    says(text, "FDNAME", name);
    if (says(text, "FDSTOREREMOVE", value))
        forget(self, name);
    bool is_kept = says(text, "FDSTORE", value);
    for (size_t i = 0; i < count; i++) {
        if (is_kept)
            keep(self, name, descriptors[i]);
        else
            close(descriptors[i]);
    }
    if (says(text, "READY", value)) {
        self->is_ready = self->was_ready = true;
        self->failures = 0;
        if (self->is_ending) /* it was started to settle what the one before it left */
            kill(self->child, SIGTERM);
    }
}

/* Of what one message carries: who sent it, and descriptors [return]. */
static size_t unpack(struct msghdr *message, pid_t *sender, int descriptors[DESCRIPTORS_MAX])
{
    size_t count = 0;
    *sender = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_CREDENTIALS) {
            struct ucred from;
            memcpy(&from, CMSG_DATA(header), sizeof(from));
            *sender = from.pid;
        } else if (header->cmsg_type == SCM_RIGHTS) {
            size_t bytes = header->cmsg_len - CMSG_LEN(0);
            for (size_t i = 0; i < bytes / sizeof(int); i++) {
                int descriptor;
                memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                if (count < DESCRIPTORS_MAX)
                    descriptors[count++] = descriptor;
                else
                    close(descriptor);
            }
        }
    }
    return count;
}

/* One message. False: there is none. */
static bool hear(struct supervisor *self)
{
    static char text[MESSAGE_BYTES];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec piece = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int descriptors[DESCRIPTORS_MAX];
    pid_t sender;
    ssize_t length = recvmsg(self->notify_socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0)
        return errno == EINTR;
    text[length] = '\0';
    size_t count = unpack(&message, &sender, descriptors);
    /* Anybody may send to an abstract address: our child alone is heard. */
    if (self->child > 0 && sender == self->child)
        obey(self, text, descriptors, count);
    else
        for (size_t i = 0; i < count; i++)
            close(descriptors[i]);
    return true;
}

/* ---- starting it ------------------------------------------------------------------------- */

static void set_environment(struct supervisor *self)
{
    char text[32];
    setenv("NOTIFY_SOCKET", self->notify_name, 1);
    snprintf(text, sizeof(text), "%u", KEEPER_MAX);
    setenv("FDSTORE", text, 1);
    unsetenv("WATCHDOG_USEC");
    snprintf(text, sizeof(text), "%u", self->kept_count);
    setenv("LISTEN_FDS", text, 1);
    snprintf(text, sizeof(text), "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
    self->names[0] = '\0';
    for (uint32_t i = 0; i < self->kept_count; i++) {
        strcat(self->names, i > 0 ? ":" : "");
        strcat(self->names, self->kept[i].name);
    }
    setenv("LISTEN_FDNAMES", self->names, 1);
}

/* Away from where they go first, so that none is overwritten before it is moved. */
static bool place_descriptors(struct supervisor *self)
{
    int above = FIRST_PASSED + (int)self->kept_count;
    for (uint32_t i = 0; i < self->kept_count; i++)
        self->kept[i].descriptor = fcntl(self->kept[i].descriptor, F_DUPFD_CLOEXEC, above);
    for (uint32_t i = 0; i < self->kept_count; i++)
        if (self->kept[i].descriptor < 0 ||
            dup2(self->kept[i].descriptor, FIRST_PASSED + (int)i) < 0)
            return false;
    return true;
}

static void become(struct supervisor *self)
{
    sigset_t child; /* the others stay blocked, as control wants them: none is lost meanwhile */
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (place_descriptors(self)) {
        set_environment(self);
        execv(self->program, self->arguments);
    }
    log_error("cannot start %s: %s", self->program, strerror(errno));
    _exit(1);
}

static int start(struct supervisor *self)
{
    self->is_ready = self->is_restarting = false;
    self->started_ns = now_ns();
    self->child = fork();
    if (self->child == 0)
        become(self);
    if (self->child > 0)
        return 0;
    log_error("cannot start ioreqd: %s", strerror(errno));
    return -errno;
}

/* ---- its end ----------------------------------------------------------------------------- */

static void tell_death(const struct supervisor *self, int status, bool goes_on)
{
    const char *then = goes_on ? "it is started again" : "it is not started again";
    if (WIFEXITED(status))
        log_warning("ioreqd, process %d, ended with exit code %d; %s", (int)self->child,
                    WEXITSTATUS(status), then);
    else if (WTERMSIG(status) == SIGSYS)
        log_error("ioreqd, process %d, was ended by its sandbox: a poller made a system call; %s",
                  (int)self->child, then);
    else
        log_warning("ioreqd, process %d, was killed by signal %d (%s); %s", (int)self->child,
                    WTERMSIG(status), strsignal(WTERMSIG(status)), then);
}

/* What comes after that end: true, another start, after delay_ns; false, ours, with *code. */
static bool judge(struct supervisor *self, int status, int *code)
{
    bool is_exit = WIFEXITED(status);
    *code = is_exit ? WEXITSTATUS(status) : 1;
    if (self->is_restarting && is_exit && *code == 0) {
        self->delay_ns = 0;
        return true;
    }
    /* What is kept is unsettled: a clean end takes it back. So one more has to settle it. */
    bool owes = self->is_ending && self->was_ready && self->kept_count > 0;
    if (!owes && (self->is_ending || (is_exit && (*code == 0 || !self->was_ready))))
        return false; /* in order, or a configuration that is none from the first */
    self->failures += !self->is_ready;
    bool goes_on = self->failures < SUPERVISOR_FAILURES_MAX;
    bool was_settled = self->is_ready && now_ns() - self->started_ns >= SUPERVISOR_SETTLED_NS;
    self->delay_ns = was_settled ? 0 : self->delay_ns ? 2 * self->delay_ns : DELAY_FIRST_NS;
    uint64_t most_ns = self->is_ready ? DELAY_READY_NS : DELAY_MOST_NS;
    if (self->delay_ns > most_ns)
        self->delay_ns = most_ns;
    tell_death(self, status, goes_on);
    if (!goes_on)
        log_error("ioreqd died %u times before it was ready; %u kept descriptors are given up",
                  self->failures, self->kept_count);
    *code = 1;
    return goes_on;
}

static void pass_on(struct supervisor *self)
{
    struct signalfd_siginfo signal_info;
    while (read(self->signals, &signal_info, sizeof(signal_info)) == sizeof(signal_info)) {
        int number = (int)signal_info.ssi_signo;
        if (number == SIGCHLD)
            continue;
        self->is_ending = self->is_ending || number == SIGTERM || number == SIGINT;
        self->is_restarting = self->is_restarting || number == SIGUSR2;
        if (self->child > 0)
            kill(self->child, number);
    }
}

/* Until the child's end, whose status is returned, or until timeout_ns without a child. */
static int watch(struct supervisor *self, uint64_t timeout_ns)
{
    uint64_t until = now_ns() + timeout_ns;
    for (;;) {
        struct pollfd entries[] = {{.fd = self->notify_socket, .events = POLLIN},
                                   {.fd = self->signals, .events = POLLIN}};
        uint64_t now = now_ns();
        if (self->child <= 0 && (now >= until || self->is_ending))
            return 0;
        int timeout_ms = self->child > 0 ? -1 : (int)((until - now) / 1000000 + 1);
        poll(entries, 2, timeout_ms);
        pass_on(self);
        int status = 0;
        bool has_ended = self->child > 0 && waitpid(self->child, &status, WNOHANG) == self->child;
        for (int i = 0; i < MESSAGES_A_TURN && hear(self); i++) /* also what it said last */
            ;
        if (has_ended)
            return status;
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static int open_all(struct supervisor *self)
{
    /* The kernel chooses an abstract address. */
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    struct sockaddr_un address;
    socklen_t length = sizeof(address);
    const int on = 1;
    sigset_t set;
    self->notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (self->notify_socket < 0 ||
        bind(self->notify_socket, (const struct sockaddr *)&any, sizeof(sa_family_t)) < 0 ||
        setsockopt(self->notify_socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        getsockname(self->notify_socket, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    size_t name_length = length - offsetof(struct sockaddr_un, sun_path) - 1;
    snprintf(self->notify_name, sizeof(self->notify_name), "@%.*s", (int)name_length,
             address.sun_path + 1);
    signal(SIGPIPE, SIG_IGN); /* whoever reads our words may go */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals < 0 ? -errno : 0;
}

int supervisor_run(const char *program, char *const *arguments)
{
    static struct supervisor self;
    self.program = program;
    self.arguments = arguments;
    int result = open_all(&self), code = 1;
    if (result < 0) {
        log_error("cannot supervise: %s", strerror(-result));
        return 1;
    }
    for (;;) {
        if (start(&self) < 0) {
            if (++self.failures == SUPERVISOR_FAILURES_MAX)
                return 1;
            watch(&self, DELAY_MOST_NS);
            continue;
        }
        int status = watch(&self, 0);
        bool goes_on = judge(&self, status, &code);
        self.child = 0;
        if (!goes_on)
            return code;
        watch(&self, self.delay_ns);
        if (self.is_ending && self.kept_count == 0)
            return code;
    }
}
