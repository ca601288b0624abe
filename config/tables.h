/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tables.h - every key of the configuration file that is not a device's own option.
 *
 * Flow:    read by load.c through schema.h, printed by print.c.
 * Threads: any; constant.
 * Memory:  static.
 * Errors:  none.
 *
 * The enumerations name the rows of the tables, in their order.
 */
#ifndef CONFIG_TABLES_H
#define CONFIG_TABLES_H

#include "config/schema.h"

enum file_row { FILE_SERVER, FILE_POLLERS, FILE_VMS, FILE_CLIENTS, FILE_ROWS };
enum server_row {
    SERVER_SOCKET,
    SERVER_LOCK_MEMORY,
    SERVER_SETTLE,
    SERVER_CPU_DMA_LATENCY,
    SERVER_ALLOWED_UIDS,
    SERVER_CPU,
    SERVER_NOTIFY_CPU,
    SERVER_NOTIFY,
    SERVER_ROWS
};
enum poller_row {
    POLLER_NAME,
    POLLER_CPU,
    POLLER_IDLE,
    POLLER_IDLE_SPINS,
    POLLER_IDLE_SLEEP,
    POLLER_SANDBOX,
    POLLER_STUCK_AFTER,
    POLLER_ROWS
};
enum vm_row {
    VM_NAME,
    VM_VCPUS,
    VM_SOURCE,
    VM_DEVICE,
    VM_MAP,
    VM_OFFSET,
    VM_INTERRUPT,
    VM_VECTOR,
    VM_NOTIFY_BY,
    VM_NOTIFY_MAP,
    VM_NOTIFY_OFFSET,
    VM_NOTIFY_VALUE,
    VM_NOTIFY_STEP,
    VM_HSM_VM,
    VM_DIRECT,
    VM_POLLER,
    VM_DEFAULT_CLIENT,
    VM_CLEAR_TIMEOUT,
    VM_PCI,
    VM_VCPU_CPUS,
    VM_WAIT_AFTER,
    VM_BUDGET,
    VM_ROWS
};
enum client_row {
    CLIENT_NAME,
    CLIENT_VM,
    CLIENT_DEVICE,
    CLIENT_POLLER,
    CLIENT_BROKEN_AFTER,
    CLIENT_DEADLINE,
    CLIENT_LATE,
    CLIENT_LATE_VALUE,
    CLIENT_INTERRUPT,
    CLIENT_RANGES,
    CLIENT_OPTIONS,
    CLIENT_START,
    CLIENT_BUDGET,
    CLIENT_ROWS
};
enum range_row { RANGE_TYPE, RANGE_FIRST, RANGE_LAST, RANGE_BDF, RANGE_PRIORITY, RANGE_ROWS };

enum start_row {
    START_COMMAND,
    START_USER,
    START_CPU,
    START_ENVIRONMENT,
    START_RESTART_LIMIT,
    START_RESTART_WITHIN,
    START_ROWS
};
enum interrupt_row {
    INTERRUPT_LINE,
    INTERRUPT_TRIGGER,
    INTERRUPT_ADDRESS,
    INTERRUPT_DATA,
    INTERRUPT_ROWS
};
enum budget_row { BUDGET_TIME, BUDGET_REQUESTS, BUDGET_PERIOD, BUDGET_ACTION, BUDGET_ROWS };

extern const struct schema_key file_keys[FILE_ROWS];

/* What default_client means by no client; so no client may have this name. */
#define NO_CLIENT_WORD "none"

/* What `device` of a VM means by none; so a UIO device of that name cannot be named. */
#define NO_DEVICE_WORD "none"

/* What `device` is with source: hsm where it is not given. */
#define HSM_DEVICE_WORD "/dev/acrn_hsm"

#endif
