/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same random operations on the server and on the model: VMs, clients, ranges and requesters
 * come, go and misbehave; all that can be seen is compared after each.
 *
 * --seed N --count M replays M operations of one seed; without, some hundred worlds of their own
 * seed each. The seed is printed.
 */
#include "tests/model/play.h"

#include <stdio.h>
#include <sys/random.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WORLDS 50u
#else
#define WORLDS 200u
#endif
#define OPERATIONS_A_WORLD 10000u

/* A client on another poller, of a VM whose clearing waits for nobody; NULL: there is none. */
static struct play_client *find_slow(struct play *play, struct play_vm **vm)
{
    for (uint32_t i = 0; i < play->vm_count; i++) {
        *vm = play->vms[i];
        if (!(*vm)->model->is_swept || (*vm)->vm->clear_timeout_ns > 1 || (*vm)->model->vcpus < 3)
            continue;
        for (uint32_t k = 0; k < (*vm)->client_count; k++)
            if ((*vm)->clients[k]->model->is_far)
                return (*vm)->clients[k];
    }
    return NULL;
}

/* A device that is slow through several resets: its inbox fills with what was settled for it. */
static void flood(struct play *play)
{
    struct play_vm *vm;
    struct play_client *slow = find_slow(play, &vm);
    if (!slow)
        return;
    play_set_default(play, vm, slow);
    play->lazy_index = slow->model->poller_index;
    play->lazy = 1000;
    for (uint32_t i = 0; i < 40; i++) {
        play_begin(play);
        for (uint32_t k = 0; k < 4 * vm->model->vcpus; k++)
            play_ask(play, vm);
        play_round(play, vm->model->poller_index);
        if (!play_one_in(play, 4))
            play_clear(play, vm);
    }
    play->lazy = 0;
}

/* ---- all of it --------------------------------------------------------------------------- */

static void control(struct play *play)
{
    uint32_t choice = play_below(play, 100);
    if (play->vm_count == 0 || choice < 4) {
        play_create_vm(play);
        return;
    }
    struct play_vm *vm = play->vms[play_below(play, play->vm_count)];
    struct play_client *client =
        vm->client_count ? vm->clients[play_below(play, vm->client_count)] : NULL;
    if (choice < 6)
        play_destroy_vm(play, vm);
    else if (choice < 12)
        play_attach(play, vm);
    else if (choice < 14)
        play_detach(play, vm);
    else if (choice < 22)
        play_change_state(play, vm);
    else if (choice < 32)
        play_clear(play, vm);
    else if (choice < 44)
        play_create_client(play, vm);
    else if (choice < 48)
        play_set_default(play, vm, play_one_in(play, 4) ? NULL : client);
    else if (choice < 50)
        play_set_ranges(play, vm);
    else if (choice < 52)
        flood(play);
    else if (client && choice < 56)
        play_destroy_client(play, vm, client);
    else if (client && choice < 86)
        play_add_range(play, vm, client);
    else if (client)
        play_delete_range(play, vm, client);
}

static uint64_t counted[PAGE_COUNTER_COUNT], settled[PAGE_SETTLED_COUNT];

static void play_world(uint64_t seed, uint64_t count)
{
    struct play play;
    play_create(&play, seed);
    for (; play.operations < count; play.operations++) {
        play_begin(&play);
        if (play_one_in(&play, 8))
            control(&play);
        else
            play_others(&play);
        if (play.lazy == 0 && play_one_in(&play, 1000))
            play.lazy = 200, play.lazy_index = play_below(&play, 2);
        play_compare(&play);
    }
    play_destroy(&play);
    for (uint32_t i = 0; i < PAGE_COUNTER_COUNT; i++)
        counted[i] += play.counted[i];
    for (uint32_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        settled[i] += play.settled[i];
}

static uint64_t first_seed, count_asked;

static void server_does_what_the_model_does(void **state)
{
    (void)state;
    if (count_asked) {
        play_world(first_seed, count_asked);
        return;
    }
    for (uint32_t i = 0; i < WORLDS; i++)
        play_world(first_seed + i, OPERATIONS_A_WORLD);
    /* All that can happen in one thread did happen; a slot is only taken back before the claim by
     * somebody who runs at the same time. */
    for (uint32_t i = 0; i < PAGE_COUNTER_COUNT; i++)
        if (i != PAGE_REVOKED && counted[i] == 0)
            fail_msg("counter %u never rose", i);
    for (uint32_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        if (settled[i] == 0)
            fail_msg("settled %u never rose", i);
}

int main(int argc, char **argv)
{
    if (getrandom(&first_seed, sizeof(first_seed), 0) < 0)
        return 1;
    first_seed >>= 16;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0    ? &first_seed
                           : strcmp(argv[i], "--count") == 0 ? &count_asked
                                                             : NULL;
        if (!number) {
            fprintf(stderr, "Usage: %s [--seed N] [--count N]\n", argv[0]);
            return 2;
        }
        *number = strtoull(argv[i + 1], NULL, 0);
    }
    printf("seed %llu\n", (unsigned long long)first_seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(server_does_what_the_model_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
