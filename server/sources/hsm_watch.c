/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/hsm_watch.h"

#include "pollers/memory.h"
#include "pollers/slot.h"
#include "server/sources/hsm_device.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define END_SIGNAL (SIGRTMAX - 2)
#define PAUSE_NS   1000000

struct hsm_watch {
    int device;
    int arrival;
    int rearm[2];
    pthread_t thread;
    _Atomic bool is_stopping, is_over, has_ended;
};

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
}

static void on_end(int signal_number)
{
    (void)signal_number; /* that it arrives ends the wait */
}

/* Until the poller has read the last arrival. False: it is to end. */
static bool wait_for_rearm(struct hsm_watch *watch)
{
    const uint64_t one = 1;
    char byte;
    if (write(watch->arrival, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return false;
    ssize_t count = 0;
    /* Acquire: pairs with hsm_watch_stop's release. */
    while (!atomic_load_explicit(&watch->is_stopping, memory_order_acquire) &&
           (count = read(watch->rearm[0], &byte, 1)) < 0 && errno == EINTR)
        ;
    return count == 1;
}

static void *run(void *context)
{
    struct hsm_watch *watch = context;
    const uint64_t one = 1;
    while (!atomic_load_explicit(&watch->is_stopping, memory_order_acquire)) {
        int result = hsm_call(watch->device, ACRN_IOCTL_ATTACH_IOREQ_CLIENT, NULL);
        if (atomic_load_explicit(&watch->is_stopping, memory_order_acquire))
            break;
        /* EINVAL: the VM went with it. */
        if (result == -ENODEV || result == 1 || result == -EINVAL) {
            /* Release: whoever sees it sees all that came before; nothing depends on that. */
            atomic_store_explicit(&watch->is_over, true, memory_order_release);
            break;
        }
        if (result < 0)
            pause_briefly();
        else if (!wait_for_rearm(watch))
            break;
    }
    /* One look more; a poller that waits for ever would not hear of its VM's end. */
    if (write(watch->arrival, &one, sizeof(one)) < 0)
        pause_briefly(); /* it is readable already */
    atomic_store_explicit(&watch->has_ended, true, memory_order_release);
    return NULL;
}

static void watch_free(struct hsm_watch *watch)
{
    if (watch->arrival >= 0)
        close(watch->arrival);
    for (int i = 0; i < 2; i++)
        if (watch->rearm[i] >= 0)
            close(watch->rearm[i]);
    free(watch);
}

int hsm_watch_start(int device, struct hsm_watch **watch)
{
    struct hsm_watch *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->device = device;
    created->rearm[0] = created->rearm[1] = -1;
    created->arrival = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const struct sigaction action = {.sa_handler = on_end}; /* no SA_RESTART: the wait must end */
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MEMORY_STACK_BYTES);
    int result = 0;
    if (created->arrival < 0 || pipe2(created->rearm, O_CLOEXEC) < 0 ||
        sigaction(END_SIGNAL, &action, NULL) < 0)
        result = -errno;
    if (result == 0)
        result = -pthread_create(&created->thread, &attributes, run, created);
    pthread_attr_destroy(&attributes);
    if (result < 0) {
        watch_free(created);
        return result;
    }
    pthread_setname_np(created->thread, "hsm");
    *watch = created;
    return 0;
}

void hsm_watch_stop(struct hsm_watch *watch)
{
    if (!watch)
        return;
    /* Release: pairs with the thread's acquire. */
    atomic_store_explicit(&watch->is_stopping, true, memory_order_release);
    /* A signal that comes just before a wait begins does not end it: until it has. */
    while (!atomic_load_explicit(&watch->has_ended, memory_order_acquire)) {
        pthread_kill(watch->thread, END_SIGNAL);
        pause_briefly();
    }
    pthread_join(watch->thread, NULL);
    watch_free(watch);
}

int hsm_watch_arrival(const struct hsm_watch *watch)
{
    return watch->arrival;
}

int hsm_watch_rearm(const struct hsm_watch *watch)
{
    return watch->rearm[1];
}

bool hsm_watch_is_over(const struct hsm_watch *watch)
{
    return atomic_load_explicit(&watch->is_over, memory_order_acquire);
}
