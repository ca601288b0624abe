/* SPDX-License-Identifier: BSD-3-Clause */
/* The storm's device processes: libioreq, a bank of registers or a formula, and now and then a pause
 * with a request in hand. */
#include "tests/stress/storm.h"

#include "clients/library/ioreq.h"
#include "server/vm/load_mix.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPIN_NS    20000u
#define LOOK_NS    5000000u /* how long a signal to register anew may go unseen */
#define PAUSE_ODDS 16u      /* one request in so many is kept for a while */
#define PAUSE_US   300u

static volatile sig_atomic_t wants_anew;

static void ask_for_anew(int signal_number)
{
    (void)signal_number;
    wants_anew = 1;
}

void storm_devices_init(struct storm *storm)
{
    static const struct storm_device devices[STORM_DEVICES] = {
        {.vm = "guest", .name = "strict-a", .kind = STORM_STRICT},
        {.vm = "guest", .name = "strict-b", .kind = STORM_STRICT},
        {.vm = "guest", .name = "hasty-a", .kind = STORM_HASTY},
        {.vm = "guest", .name = "hasty-b", .kind = STORM_HASTY},
        {.vm = "again", .name = "reset-a", .kind = STORM_RESET},
    };
    struct storm_shared *shared = mmap(NULL, sizeof(*shared) * STORM_DEVICES,
                                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    storm->bank =
        mmap(NULL, STORM_BANK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || storm->bank == MAP_FAILED)
        storm_fail("no memory to share: %s", strerror(errno));
    signal(SIGUSR1, ask_for_anew); /* inherited: it may come before the first line of a child's */
    memcpy(storm->devices, devices, sizeof(devices));
    for (uint32_t i = 0; i < STORM_DEVICES; i++) {
        struct storm_device *device = &storm->devices[i];
        uint64_t half = i % 2 * 0x1000u;
        device->shared = &shared[i];
        device->first =
            (device->kind == STORM_STRICT ? STORM_BANK_FIRST : STORM_FORMULA_FIRST) + half;
        device->last = device->first + (device->kind == STORM_RESET ? 0x1fff : 0xfff);
    }
}

static uint64_t access_value(const struct storm *storm, const struct storm_device *device,
                             const struct ioreq_request *request)
{
    uint64_t value = 0, offset = request->address - STORM_BANK_FIRST;
    if (device->kind != STORM_STRICT)
        return load_formula(request->address, request->size_bytes);
    if (offset + request->size_bytes > STORM_BANK_BYTES)
        abort(); /* the server routed what no range of ours has */
    if (request->direction == IOREQ_READ)
        memcpy(&value, storm->bank + offset, request->size_bytes);
    else
        memcpy(storm->bank + offset, &request->value, request->size_bytes);
    return value;
}

/* Until the server hangs up, or we are asked to come anew. */
static void serve(const struct storm *storm, const struct storm_device *device,
                  struct ioreq_client *client, uint32_t *count)
{
    while (!wants_anew) {
        struct ioreq_request request;
        int result = ioreq_receive(client, &request, LOOK_NS, SPIN_NS);
        if (result == -ETIMEDOUT || result == -EINTR)
            continue;
        if (result < 0)
            return;
        uint64_t value = access_value(storm, device, &request);
        if (++*count % PAUSE_ODDS == 0)
            storm_sleep_us(*count / PAUSE_ODDS * 37 % PAUSE_US);
        while ((result = ioreq_answer(client, request.token, value)) == -EAGAIN)
            ;
        if (result < 0)
            return;
    }
}

static _Noreturn void run(const struct storm *storm, const struct storm_device *device)
{
    uint32_t count = (uint32_t)getpid(); /* where in its requests it pauses */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        struct ioreq_client *client;
        int result = ioreq_register(storm->socket, device->vm, device->name, &client);
        if (result == 0) {
            atomic_fetch_add(&device->shared->registrations, 1);
            atomic_store(&device->shared->is_serving, 1);
            serve(storm, device, client, &count);
            wants_anew = 0;
            ioreq_close(client);
        } else {
            storm_sleep_us(300); /* the one before us is not gone yet, or the server is not there */
        }
    }
}

void storm_device_start(struct storm *storm, struct storm_device *device)
{
    atomic_store(&device->shared->is_serving, 0);
    device->is_stopped = false;
    device->pid = fork();
    if (device->pid < 0)
        storm_fail("no process: %s", strerror(errno));
    if (device->pid == 0)
        run(storm, device);
}

void storm_device_kill(struct storm_device *device)
{
    int status;
    if (kill(device->pid, SIGKILL) < 0 || waitpid(device->pid, &status, 0) != device->pid)
        storm_fail("%s: process %d is not there", device->name, (int)device->pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_fail("%s: its process ended by itself, wait status 0x%x", device->name,
                   (unsigned)status);
}

bool storm_device_is_serving(const struct storm_device *device)
{
    return atomic_load(&device->shared->is_serving);
}
