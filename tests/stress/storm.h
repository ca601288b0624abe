/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm.h - ioreqd under full load while its device processes are killed, stopped and replaced, their
 * ranges moved and a VM reset: what the files of the storm share.
 *
 * Flow:    storm_server_start -> storm_device_start for each -> storm_load_start -> acts at random
 *          (storm.c) -> storm_load_stop -> storm_account -> storm_server_stop.
 * Threads: one; the server, the loads and the devices are processes, and die with this one.
 * Memory:  a bank shared with the device processes, so that a device's state outlives its process and
 *          a request that was taken may be asked again.
 * Errors:  what cannot go on ends the program with a line and exit code 1; what the storm is looking
 *          for is counted in struct storm_account.
 *
 * What must hold, by kind of client:
 *   strict   no deadline, on_death: reissue. Every read gives what this vCPU wrote last; the server
 *            never answers in the device's place.
 *   hasty    a deadline, on_death: fail. Every read gives load_formula or all-ones, and there are
 *            exactly as many all-ones as the server says it gave.
 *   reset    as hasty, of a VM that is reset again and again: at most as many.
 * With --server-kills the server's figures begin anew with each server, so that all-ones are not
 * counted against them; and there are no devices of its own, whose registers go with it.
 */
#ifndef TESTS_STRESS_STORM_H
#define TESTS_STRESS_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_BANK_FIRST    0xfe100000ull
#define STORM_BANK_BYTES    0x2000u
#define STORM_FORMULA_FIRST 0xfe110000ull
#define STORM_FORMULA_LAST  0xfe111fffull
#define STORM_DEVICES       5u
#define STORM_MOVABLE_BYTES 0x800u /* of a range, what moves to its neighbour and back */

enum storm_kind { STORM_STRICT, STORM_HASTY, STORM_RESET };

/* Shared with the device's process. */
struct storm_shared {
    _Atomic uint32_t is_serving;    /* registered, since the last start */
    _Atomic uint64_t registrations; /* in all its lives */
};

struct storm_device {
    const char *vm, *name;
    enum storm_kind kind;
    uint64_t first, last; /* its range */
    pid_t pid;
    bool is_stopped;
    uint64_t stopped_until_ms;
    struct storm_shared *shared;
};

struct storm_load {
    pid_t pid;
    char report[128];
};

struct storm {
    const char *build; /* where the programs are */
    char folder[64], socket[96], config[96], log[96];
    pid_t server; /* or its supervisor */
    bool is_supervised;
    struct storm_load guest, reset; /* the loads on both VMs */
    struct storm_device devices[STORM_DEVICES];
    uint8_t *bank; /* [STORM_BANK_BYTES] */
    uint64_t seed;
};

/* What the server says, of both VMs, and what it holds. */
struct storm_figures {
    uint64_t strict_in_place;        /* must stay 0: answers in place of strict devices */
    uint64_t hasty_in_place;         /* late, unserved and failed of hasty ones */
    uint64_t reset_in_place;         /* the same in the VM that is reset, and what clears took */
    uint64_t dropped;                /* must stay 0: slots that were answered by somebody else */
    uint64_t handed_on, asked_again; /* to the next incarnation */
    uint64_t late, refused, quarantines; /* must not, but may */
    uint64_t descriptors, mappings, resident_kib;
    uint32_t attached, serving; /* VMs; devices */
};

struct storm_account {
    uint64_t answers_guest, answers_reset, wrong, unanswered, given_up_guest, given_up_reset;
    bool loads_passed;
};

struct storm_options {
    uint64_t seed, milliseconds, kills; /* 0: no such limit */
    const char *build;
    bool kills_server, keeps_folder;
};

/* False: something was lost. */
bool storm_run(const struct storm_options *options);

uint64_t storm_now_ms(void);
void storm_sleep_us(uint64_t us);
/* One line to stderr; ends with code 1, and with it every process. */
_Noreturn void storm_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- storm_device.c ---- */

void storm_devices_init(struct storm *storm);
void storm_device_start(struct storm *storm, struct storm_device *device);
/* kill -9, then waits for its end. */
void storm_device_kill(struct storm_device *device);
bool storm_device_is_serving(const struct storm_device *device);

/* ---- storm_server.c ---- */

void storm_server_start(struct storm *storm);
/* The process that serves: the one that was started, or the supervisor's child; 0: none just now. */
pid_t storm_server_pid(const struct storm *storm);
/* kill -9 of the one that serves; returns when the next one does. */
void storm_server_kill(struct storm *storm);
/* SIGTERM; false: another exit code than 0. */
bool storm_server_stop(struct storm *storm);
/* Before an end out of order: a server whose supervisor dies serves on. */
void storm_server_abandon(void);
/* One command, as ioreqctl sends it; the reply's errno, 0 for ok. *number: the digits behind
 * `completed=`; may be NULL. */
int storm_command(const struct storm *storm, uint64_t *number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void storm_figures(const struct storm *storm, struct storm_figures *figures);
void storm_loads_start(struct storm *storm);
/* Fails if a load has ended by itself. */
void storm_loads_check(const struct storm *storm);
void storm_loads_stop(struct storm *storm, struct storm_account *account);

#endif
