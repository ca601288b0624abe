/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * invented_machine.h - the machine of a test of placement, the threads that want to run on it, and what
 * the plan made of them.
 *
 * Flow:    machine_is, machine_isolates or machine_allows -> poller, poller_asking, housekeeping: each
 *          gives the index of its seat -> plan -> seats, place_of, assert_holds, assert_gave_up ->
 *          close_machine as the teardown (ON_A_MACHINE).
 * Threads: one machine a test program, one test at a time.
 */
#ifndef TESTS_POLLERS_INVENTED_MACHINE_H
#define TESTS_POLLERS_INVENTED_MACHINE_H

#include "pollers/placement.h"
#include "pollers/placement_plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* after those, as it asks */
#include <cmocka.h>
#include <string.h>

#define THREADS_MAX 20u
#define VCPUS_MAX   16u

static struct placement *placement;
static struct placement_wish wishes[THREADS_MAX];
static struct placement_seat seats[THREADS_MAX];
static size_t wish_count;
static uint32_t vcpus_kept[THREADS_MAX][VCPUS_MAX];

#define CPUS(...) \
    (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

static inline void open_source(struct placement_source source)
{
    char reason[PLACEMENT_REASON_BYTES];
    wish_count = 0;
    if (placement_open_source(&source, &placement, reason) != 0)
        fail_msg("%s", reason);
}

static inline void machine_is(const char *synthetic)
{
    open_source((struct placement_source){.synthetic = synthetic});
}

static inline void machine_isolates(const char *synthetic, const uint32_t *isolated, size_t count)
{
    open_source((struct placement_source){
        .synthetic = synthetic, .isolated = isolated, .isolated_count = count});
}

static inline void machine_allows(const char *synthetic, const uint32_t *allowed, size_t count)
{
    open_source((struct placement_source){
        .synthetic = synthetic, .allowed = allowed, .allowed_count = count});
}

static inline size_t add(struct placement_wish wish)
{
    wishes[wish_count] = wish;
    return wish_count++;
}

/* A poller that serves VMs whose vCPUs run on those CPUs. */
static inline size_t poller(const char *name, const uint32_t *vcpu_cpus, size_t count)
{
    uint32_t *kept = vcpus_kept[wish_count]; /* a list in a loop ends with the loop's round */
    assert_true(count <= VCPUS_MAX);
    for (size_t i = 0; i < count; i++)
        kept[i] = vcpu_cpus[i];
    return add((struct placement_wish){
        .name = name, .cpu = PLACEMENT_ANY, .vcpu_cpus = kept, .vcpu_cpu_count = count});
}

static inline size_t poller_asking(const char *name, uint32_t cpu)
{
    return add((struct placement_wish){.name = name, .cpu = cpu});
}

static inline size_t housekeeping(enum placement_role role, uint32_t cpu)
{
    return add((struct placement_wish){.name = role == PLACEMENT_CONTROL ? "control" : "notifier",
                                       .role = role,
                                       .cpu = cpu,
                                       .gives_way = true});
}

static inline int plan(void)
{
    return placement_plan(placement_machine(placement), wishes, wish_count, seats);
}

static inline int close_machine(void **state)
{
    (void)state;
    placement_close(placement);
    placement = NULL;
    return 0;
}

static inline const struct placement_cpu *place_of(size_t index)
{
    const struct placement_cpu *cpu =
        placement_find(placement_machine(placement), seats[index].cpu);
    assert_non_null(cpu);
    return cpu;
}

static inline const struct placement_cpu *the_cpu(uint32_t cpu)
{
    return placement_find(placement_machine(placement), cpu);
}

static inline void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("not said: %s\nbut: %s", part, text);
}

/* What stands before "given up". */
static inline void assert_holds(size_t index, const char *rule)
{
    char held[PLACEMENT_TEXT_BYTES];
    snprintf(held, sizeof(held), "%s", seats[index].why);
    char *end = strstr(held, "given up: ");
    if (end)
        *end = '\0';
    assert_says(held, rule);
}

static inline void assert_gave_up(size_t index, const char *rule)
{
    const char *given_up = strstr(seats[index].why, "given up: ");
    assert_says(given_up ? given_up : "(nothing given up)", rule);
}

#define ON_A_MACHINE(function) cmocka_unit_test_teardown(function, close_machine)

#endif
