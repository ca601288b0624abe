/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * play.h - the server and the model side by side, in one thread, and everything that happens to
 * both.
 *
 * Flow:    play_create -> operations of control (random_test.c) and of the others (play_others) ->
 *          play_compare after each -> play_destroy.
 *
 *          The pollers have no threads but believe they have: where control waits for one it calls
 *          nanosleep, which is ours, and there the others have their turns: requesters write into
 *          slots, pollers make rounds, external clients finish. So operations are interleaved with
 *          everything that could happen meanwhile, and the same seed plays the same.
 *
 *          What an operation does to the model in between is put down beforehand as steps: each is
 *          done when the server's poller runs the next command.
 * Threads: one.
 * Errors:  the first difference is told with the seed and the last operations, and ends it.
 */
#ifndef TESTS_MODEL_PLAY_H
#define TESTS_MODEL_PLAY_H

#include "tests/model/reference.h"
#include "tests/support/world.h"

#define PLAY_VMS     4u
#define PLAY_CLIENTS 6u
#define PLAY_STEPS   32u
#define PLAY_LINES   20u

/* A device on both sides: what it answers follows from all that it has seen. */
struct play_device {
    struct device device;
    uint64_t seed;
    uint64_t hash;
    uint64_t calls;
    bool is_flaky; /* fails now and then */
    bool is_destroyed;
};

struct play_client {
    char name[CLIENT_NAME_MAX + 1];
    struct vm_client *client;
    struct reference_client *model;
    struct play_device theirs; /* the server's */
    struct play_device ours;   /* the model's */
    bool can_reset;
    bool is_external;
};

struct play_vm {
    char name[CLIENT_NAME_MAX + 1];
    struct vm *vm;
    struct reference_vm *model;
    bool is_attached; /* the requester may touch the page */
    enum vm_state state;
    struct play_client *clients[PLAY_CLIENTS]; /* [client_count], the oldest first */
    uint32_t client_count;
};

/* What happens to the model around a command of control's to a poller. Either may be NULL. */
struct play_step {
    void (*when_posted)(struct play_step *step);
    void (*when_run)(struct play_step *step);
    struct play_vm *vm;
    struct play_client *client;
    int result; /* of reference_settle_all */
};

struct play {
    struct world world;
    struct reference reference;
    struct play_vm *vms[PLAY_VMS]; /* [vm_count] */
    uint32_t vm_count;
    uint64_t seed, random, operations;
    uint32_t names; /* given so far */
    uint32_t lazy;  /* rounds that poller lazy_index will not make of its own */
    uint32_t lazy_index;
    struct play_step steps[PLAY_STEPS]; /* [steps_done, step_count) are to come */
    uint32_t step_count, steps_done;
    bool is_step_posted;
    uint32_t sleeps;                      /* of this operation */
    uint64_t counted[PAGE_COUNTER_COUNT]; /* by VMs that are gone */
    uint64_t settled[PAGE_SETTLED_COUNT];
    char lines[PLAY_LINES][160];
    uint64_t line_count;
};

void play_create(struct play *play, uint64_t seed);
void play_destroy(struct play *play);

/* Random numbers; the seed alone decides. */
uint64_t play_random(struct play *play);
static inline uint32_t play_below(struct play *play, uint32_t limit)
{
    return (uint32_t)(play_random(play) >> 33) % limit;
}
static inline bool play_one_in(struct play *play, uint32_t count)
{
    return play_below(play, count) == 0;
}

/* Something that happens by itself: a requester, a poller, an external client. */
void play_others(struct play *play);

/* One round of a poller, which ends with a command if there is one. */
void play_round(struct play *play, uint32_t poller_index);

/* An address, a type and a size where ranges and requests like to meet. play_ask.c. */
uint32_t play_type(struct play *play);
uint64_t play_address(struct play *play, uint32_t type);
/* A requester writes into a slot. play_ask.c. */
void play_ask(struct play *play, struct play_vm *vm);

/* Begins an operation of control: no steps. */
void play_begin(struct play *play);
void play_step(struct play *play, struct play_step step);
/* All steps were taken, and server and model agree on the result. */
void play_end(struct play *play, const char *what, int theirs, int ours);

void play_compare(struct play *play);

/* The model of a VM goes; what it counted is kept. */
void play_forget_vm(struct play *play, struct play_vm *vm);

/* Writes a line of the history. */
__attribute__((format(printf, 2, 3))) void play_line(struct play *play, const char *format, ...);
/* Tells a difference and ends the program. */
__attribute__((format(printf, 2, 3), noreturn)) void play_differ(struct play *play,
                                                                 const char *format, ...);

int play_handle(struct play_device *device, struct request *request);
void play_device_init(struct play_device *device, uint64_t seed, bool is_flaky);
void play_device_reset(struct play_device *device);

/* Operations of control; what they ask for may be wrong. play_vms.c, play_clients.c. */
void play_create_vm(struct play *play);
void play_destroy_vm(struct play *play, struct play_vm *vm);
void play_attach(struct play *play, struct play_vm *vm);
void play_detach(struct play *play, struct play_vm *vm);
void play_change_state(struct play *play, struct play_vm *vm);
void play_clear(struct play *play, struct play_vm *vm); /* or a reset */
void play_create_client(struct play *play, struct play_vm *vm);
void play_destroy_client(struct play *play, struct play_vm *vm, struct play_client *client);
/* The device's end was told, if there is one. */
void play_client_free(struct play *play, struct play_client *client);
void play_set_default(struct play *play, struct play_vm *vm, struct play_client *client);
void play_add_range(struct play *play, struct play_vm *vm, struct play_client *client);
void play_delete_range(struct play *play, struct play_vm *vm, struct play_client *client);
void play_set_ranges(struct play *play, struct play_vm *vm);

#endif
