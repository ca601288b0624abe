/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.h - the configuration file as plain data.
 *
 * Flow:    config_load: file -> libyaml events -> tree -> checks against tables of keys -> struct
 *          config. What only the machine can tell (does that CPU exist?) is checked by the server,
 *          which reports through config_report with the marks kept here. config_load_fragment does
 *          the same for one VM or client that an operation creates at run time.
 * Threads: control thread.
 * Memory:  one struct config owns every string and array below it; config_destroy frees all.
 * Errors:  every problem of the file is reported, in file order, each with file:line:column, what
 *          was expected and, where it helps, a suggestion; nothing is half applied.
 * Limits:  the CONFIG_*_MAX below; each is checked and reported with its place.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_NAME_MAX         15
#define CONFIG_FILE_BYTES_MAX   (8u * 1024u * 1024u) /* 65,536 ranges are up to 5 MiB of text */
#define CONFIG_NESTING_MAX      16
#define CONFIG_POLLERS_MAX      16
#define CONFIG_VMS_MAX          64
#define CONFIG_VCPUS_MAX        16
#define CONFIG_CLIENTS_MAX      1024
#define CONFIG_VM_CLIENTS_MAX   128
#define CONFIG_VM_RANGES_MAX    65536
#define CONFIG_RECORDS_MAX      4096 /* of one RECORDS option */
#define CONFIG_UIDS_MAX         64
#define CONFIG_SOCKET_BYTES_MAX 107 /* sun_path without its NUL */
#define CONFIG_PORT_LAST        UINT64_C(0xffff)
#define CONFIG_MMIO_LAST        UINT64_C(0xfffffffffffff) /* x86 has at most 52 address bits */
#define CONFIG_PCICFG_LAST      UINT64_C(0xfffffff)       /* bus 255, device 31, function 7 */
#define CONFIG_PCI_PORT_FIRST   UINT64_C(0xcf8)           /* configuration mechanism 1 */
#define CONFIG_PCI_PORT_LAST    UINT64_C(0xcff)
#define CONFIG_PRIORITY_MAX     1000
#define CONFIG_BROKEN_AFTER_MAX 1000000
#define CONFIG_IDLE_SPINS_MAX   1000000
#define CONFIG_DEVICE_BYTES_MAX 63 /* of a UIO device's name, or a PCI address */
#define CONFIG_MAP_MAX          5  /* UIO maps and BARs are 0 to 5 */
#define CONFIG_VECTOR_MAX       2047
#define CONFIG_OFFSET_BYTES_MAX (UINT64_C(1) << 40)
#define CONFIG_PAGE_BYTES       4096u
#define CONFIG_WORDS_MAX        64 /* of a command, or of an environment */
#define CONFIG_WORD_BYTES_MAX   1024
#define CONFIG_USER_BYTES_MAX   64
#define CONFIG_RESTARTS_MAX     32
#define CONFIG_DEADLINE_NS_MIN  50000
#define CONFIG_DEADLINE_NS_MAX  50000000
#define CONFIG_BUDGET_MAX       1000000 /* requests of a period */

/* Where a value stands in the file, both from 1; line 0: not in the file (a default). */
struct config_mark {
    uint32_t line;
    uint32_t column;
};

/* ---- device options: the tables come from the devices, through the server ---------------- */

enum config_option_kind {
    CONFIG_OPTION_NUMBER,
    CONFIG_OPTION_SIZE,
    CONFIG_OPTION_BOOL,
    CONFIG_OPTION_STRING,
    CONFIG_OPTION_CHOICE,
    CONFIG_OPTION_STREAM,
    CONFIG_OPTION_RECORDS,
};

/*
 * Same meaning as struct device_option of clients/device.h, which this folder may not include.
 * maximum 0 means no limit; for RECORDS the limits count records (0: CONFIG_RECORDS_MAX). Without
 * default_text the default is 0, false, the first choice, "", the stream none, or no records.
 */
struct config_option {
    const char *name;
    enum config_option_kind kind;
    bool required;
    const char *default_text;
    uint64_t minimum;
    uint64_t maximum;
    const char *const *choices;
    const struct config_option *fields;
    size_t field_count;
    const char *help;
};

struct config_device_kind {
    const char *name;
    const char *summary;
    const struct config_option *options;
    size_t option_count;
};

/* One value, in the order of the kind's options; defaults are filled in. */
struct config_value {
    uint64_t number;    /* NUMBER, SIZE (bytes), BOOL (0 or 1), CHOICE (index) */
    const char *string; /* STRING, STREAM */
    const struct config_value *const *records;
    size_t record_count;
    struct config_mark mark;
};

/* ---- the file ---------------------------------------------------------------------------- */

enum config_idle { CONFIG_IDLE_SPIN, CONFIG_IDLE_PAUSE, CONFIG_IDLE_YIELD, CONFIG_IDLE_SLEEP };
enum config_cpu_dma_latency { CONFIG_CPU_DMA_LATENCY_HOLD, CONFIG_CPU_DMA_LATENCY_LEAVE };
enum config_notify { CONFIG_NOTIFY_SQPOLL, CONFIG_NOTIFY_SUBMIT, CONFIG_NOTIFY_THREAD };
enum config_source {
    CONFIG_SOURCE_MEMFD,
    CONFIG_SOURCE_UIO,
    CONFIG_SOURCE_PCI,
    CONFIG_SOURCE_VFIO,
    CONFIG_SOURCE_HSM
};

/* How a device's interrupt is let in again after each: UIO never (plain), by a write of 1 to it, or by
 * its PCI command register; VFIO by itself, for a line (intx) or a message (msix). */
enum config_interrupt {
    CONFIG_INTERRUPT_NONE,
    CONFIG_INTERRUPT_PLAIN,
    CONFIG_INTERRUPT_WRITE,
    CONFIG_INTERRUPT_PCI,
    CONFIG_INTERRUPT_INTX,
    CONFIG_INTERRUPT_MSIX,
};

/* How a device tells its requester: not, by 4 bytes written to it (UIO), or by a store to a register. */
enum config_notify_by {
    CONFIG_NOTIFY_BY_NONE,
    CONFIG_NOTIFY_BY_CONTROL,
    CONFIG_NOTIFY_BY_DOORBELL,
};

/* Equal the ABI's 0, 1 and 2. Addresses of PCICFG: bus << 20 | device << 15 | function << 12 | reg.
 */
enum config_range_type { CONFIG_RANGE_PORTIO, CONFIG_RANGE_MMIO, CONFIG_RANGE_PCICFG };

/* What becomes of who has used up its budget. */
enum config_budget_action {
    CONFIG_BUDGET_COUNT,
    CONFIG_BUDGET_DEPRIORITISE,
    CONFIG_BUDGET_QUARANTINE
};

#define CONFIG_PROCESS_KIND "process" /* the device kind that `start` is for */

#define CONFIG_CPU_ANY UINT32_MAX /* the server chooses */

struct config_server {
    const char *socket; /* path of the Unix socket; default /run/ioreqd/ioreqd.sock */
    bool lock_memory;   /* default true */
    uint64_t settle_ns; /* how long SIGTERM waits for clients; default 1 s, 1 ms..60 s */
    enum config_cpu_dma_latency cpu_dma_latency; /* default hold */
    const uint32_t *allowed_uids; /* [allowed_uid_count], beside root and the server's own */
    size_t allowed_uid_count;
    uint32_t cpu;              /* of the control thread, or CONFIG_CPU_ANY */
    uint32_t notify_cpu;       /* of the notifier's and io_uring's, or CONFIG_CPU_ANY */
    enum config_notify notify; /* default sqpoll */
    struct config_mark socket_mark;
    struct config_mark lock_memory_mark;
    struct config_mark cpu_mark;
    struct config_mark notify_cpu_mark;
};

struct config_poller {
    const char *name;
    uint32_t cpu;            /* or CONFIG_CPU_ANY */
    enum config_idle idle;   /* default spin */
    uint32_t idle_spins;     /* empty sweeps before it yields or sleeps; 0, if not given: by idle */
    uint64_t idle_sleep_ns;  /* idle: sleep - how long one sleep is; default 50 us, 1 us..10 ms */
    bool sandbox;            /* kill the process on any system call of this poller; default true */
    uint64_t stuck_after_ns; /* without a round, then it is told of; default 1 s, 20 ms..60 s */
    struct config_mark mark;
    struct config_mark cpu_mark;
    struct config_mark sandbox_mark;
};

/* source: hsm - whose VM it is in the driver. */
enum config_hsm_vm { CONFIG_HSM_VM_CREATED, CONFIG_HSM_VM_HANDED_OVER };

/* Where the page of a source other than memfd is. */
struct config_place {
    const char *device;    /* uio: its name, or like pci and vfio domain:bus:device.function */
    uint32_t map;          /* uio: which map; pci, vfio: which BAR */
    uint64_t offset_bytes; /* of the page in it; a multiple of CONFIG_PAGE_BYTES */
    enum config_interrupt interrupt;
    uint32_t vector; /* interrupt: msix */
    enum config_notify_by notify_by;
    uint32_t notify_map; /* doorbell: where the register is */
    uint64_t notify_offset_bytes;
    uint32_t notify_value; /* what is written for vCPU 0 */
    uint32_t notify_step;  /* is added for each further one */
    /* hsm, whose device is the driver's: */
    enum config_hsm_vm hsm_vm;
    bool direct; /* slots that poll are completed past the driver; default false */
    uint32_t vcpus;
    uint64_t cpu_affinity; /* a bit for each of vcpu_cpus below 64 */
};

/* What a client or a VM may have of its poller in each period. */
struct config_budget {
    uint64_t time_ns;   /* 0: any */
    uint64_t requests;  /* 0: any */
    uint64_t period_ns; /* default 10 ms, 100 us..10 s */
    enum config_budget_action action;
};

struct config_vm {
    const char *name;
    uint32_t vcpus; /* 1..16 */
    enum config_source source;
    struct config_place place;
    uint32_t poller;         /* index into pollers */
    uint32_t default_client; /* index into clients, or CONFIG_NO_CLIENT */
    uint64_t
        clear_timeout_ns;   /* what clients get to finish at a reset; default 100 ms, 1 ms..10 s */
    uint64_t wait_after_ns; /* without a request, then its poller may wait; 0, the default: never */
    bool pci;               /* ports 0xcf8..0xcff are the VM's own; default true */
    const uint32_t *vcpu_cpus; /* [vcpu_cpu_count], ascending; none: not known */
    size_t vcpu_cpu_count;
    struct config_budget budget;
    struct config_mark mark;
    struct config_mark pci_mark;
    struct config_mark wait_after_mark;
    struct config_mark vcpu_cpus_mark;
};
#define CONFIG_NO_CLIENT UINT32_MAX

struct config_range {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
    enum config_range_type type;
    uint32_t priority; /* where ranges overlap, the higher one owns; default 0, 0..1000 */
    struct config_mark mark;
};

/* How a device interrupts the guest: by a line of its I/O APIC, or by a message (MSI). */
enum config_client_interrupt_kind {
    CONFIG_CLIENT_INTERRUPT_NONE,
    CONFIG_CLIENT_INTERRUPT_EDGE,
    CONFIG_CLIENT_INTERRUPT_LEVEL,
    CONFIG_CLIENT_INTERRUPT_MESSAGE,
};

#define CONFIG_MESSAGE_FIRST      0xfee00000u /* where x86 has its local APICs */
#define CONFIG_MESSAGE_LAST       0xfeefffffu
#define CONFIG_MESSAGE_VECTOR_MIN 0x10u /* those below are exceptions */

struct config_client_interrupt {
    enum config_client_interrupt_kind kind; /* NONE: if not given */
    uint32_t line;                          /* EDGE, LEVEL: 1..23 */
    uint64_t address;                       /* MESSAGE */
    uint32_t data;                          /* MESSAGE */
    struct config_mark mark;
};

/* How the process of a client of kind `process` is started. */
struct config_start {
    const char *const *command; /* [command_count]; 0: it comes by itself */
    size_t command_count;
    const char *user;               /* "": the server's own */
    uint32_t cpu;                   /* or CONFIG_CPU_ANY */
    const char *const *environment; /* [environment_count] NAME=VALUE, beside the server's own */
    size_t environment_count;
    uint64_t restart_limit; /* restarts within restart_within_ns, then it is left alone */
    uint64_t restart_within_ns;
    struct config_mark command_mark;
    struct config_mark user_mark;
    struct config_mark cpu_mark;
};

/* What a read gets that is not answered in time. */
enum config_late { CONFIG_LATE_ONES, CONFIG_LATE_LAST, CONFIG_LATE_VALUE };

struct config_client {
    const char *name;
    uint32_t vm;           /* index into vms */
    uint32_t poller;       /* index into pollers; default: the VM's */
    struct config_client_interrupt interrupt;
    uint64_t broken_after; /* errors, then it is asked no more; 0, the default: never */
    /* On a poller of its own: what a request has, 50 us..50 ms, 0: any time; default 10 ms. */
    uint64_t deadline_ns;
    enum config_late late;
    uint64_t late_value;
    uint32_t device;       /* index into the device kinds given to config_load */
    const struct config_value *values; /* [option_count of the kind] */
    const struct config_range *ranges; /* [range_count] */
    size_t range_count;
    struct config_start start;
    struct config_budget budget;
    bool is_sound; /* config_load found nothing wrong in it: its device may be tried */
    struct config_mark mark;
};

struct config {
    const char *path;
    struct config_server server;
    const struct config_poller *pollers; /* [poller_count], at least 1 */
    size_t poller_count;
    const struct config_vm *vms; /* [vm_count], at least 1 */
    size_t vm_count;
    const struct config_client *clients; /* [client_count] */
    size_t client_count;
    size_t problem_count; /* reported so far; a config with problems must not be used */
    FILE *report;         /* where problems go; not owned */
};

/*
 * Loads and checks path against kinds [kind_count], which must outlive *config. Problems are
 * written to report (NULL: only counted), one a line with the offending line and a caret below.
 * *config is set, and owned by the caller, whenever 0 or -EINVAL is returned. 0: usable. -EINVAL:
 * problems reported. -ENOMEM. Other negative errno: the file cannot be read (reported as path:
 * reason).
 */
int config_load(const char *path, const struct config_device_kind *kinds, size_t kind_count,
                FILE *report, struct config **config);

/* The same from bytes [size_bytes] in memory; name stands for the path in reports. */
int config_load_bytes(const char *name, const void *bytes, size_t size_bytes,
                      const struct config_device_kind *kinds, size_t kind_count, FILE *report,
                      struct config **config);

/* ---- one VM or client, created at run time ----------------------------------------------- */

/* What exists, for a fragment to refer to by name. */
struct config_names {
    const char *const *pollers; /* [poller_count] */
    size_t poller_count;
    const char *const *vms; /* [vm_count] */
    size_t vm_count;
};

#define CONFIG_POLLER_OF_VM UINT32_MAX /* poller of a fragment's client that names none */

/*
 * One element of the file's list `section` ("vms" or "clients"), as text [size_bytes] in the same
 * syntax: {name: x, vm: guest, device: uart, ranges: [...]}. *config then holds that VM or client
 * alone, as vms[0] or clients[0]; its poller and vm index the arrays of names, which need to live
 * during the call only. kinds must outlive *config. Problems are reported as
 * <command>:line:column. Returns as config_load.
 *
 * Left to the caller, who knows what exists: a name in use, limits of a VM and the process,
 * overlaps with other clients' ranges, config_range_is_pci_port where the VM has pci. A client
 * without ranges is not refused, a VM's default_client can only be none: it has no clients yet.
 */
int config_load_fragment(const char *section, const char *text, size_t size_bytes,
                         const struct config_names *names, const struct config_device_kind *kinds,
                         size_t kind_count, FILE *report, struct config **config);

/* True: no client of a VM with pci may have it, the VM answers there itself. */
static inline bool config_range_is_pci_port(const struct config_range *range)
{
    return range->type == CONFIG_RANGE_PORTIO && range->first <= CONFIG_PCI_PORT_LAST &&
           range->last >= CONFIG_PCI_PORT_FIRST;
}

/* Reports one more problem found by the server, in the same form, and counts it. */
__attribute__((format(printf, 3, 4))) void
config_report(struct config *config, struct config_mark mark, const char *format, ...);

void config_destroy(struct config *config);

#endif
