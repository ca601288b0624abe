/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs in the guest of acrn_test.sh, above ioreqd and Linux's own ACRN driver with acrn_sim below it: plays
 * the vCPUs of five VMs, the launcher of four and the device model of the fifth, resets and destroys
 * them with requests in flight, and holds every count against what the protocol promises.
 *     acrn-vcpus SOCKET
 * Prints "counts VM: ..." for each; exit code 1 with the first thing that is not as it should be. */
#include "server/socket/wire.h"
#include "tests/integration/qemu/acrn/acrn_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/acrn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BANK         UINT64_C(0xfe000000) /* 512 registers of 8 bytes, see acrn_test.sh */
#define SLOW         UINT64_C(0xfe010000) /* of a client that answers when it is told to */
#define NOWHERE      UINT64_C(0xfd000000)
#define KERNEL_PORT  UINT64_C(0x500) /* a doorbell of the driver's own */
#define STALE        UINT64_C(0x5a5a5a5a5a5a5a5a)
#define TIMEOUT_MS   10000u
#define VCPUS        2u
#define PAGE         4096
#define PAIRS        550u /* a write and a read each, of one vCPU */
#define PAIRS_SLOWER 200u

static const char *socket_path;
static int simulator;

#define CHECK(condition, ...)                                        \
    do {                                                             \
        if (!(condition)) {                                          \
            printf("failed at line %d: %s: ", __LINE__, #condition); \
            printf(__VA_ARGS__);                                     \
            printf("\n");                                            \
            exit(1);                                                 \
        }                                                            \
    } while (0)

struct vm {
    const char *name;
    uint16_t id;
    int device;
    bool polls;
};

/* ---- ioreqd's socket --------------------------------------------------------------------- */

/* One line; a connection that stays is returned by keep. The result of the reply, its text in line. */
static int ask_with(int descriptor, int *passed, int *keep, char line[WIRE_LINE_MAX],
                    const char *request)
{
    const char *text;
    int connection = wire_connect(socket_path);
    CHECK(connection >= 0, "%s: %s", socket_path, strerror(-connection));
    int result = descriptor >= 0 ? wire_send_line_with(connection, descriptor, "%s", request)
                                 : wire_send_line(connection, "%s", request);
    CHECK(result == 0, "%s: %s", request, strerror(-result));
    result = wire_receive_line(connection, line, WIRE_LINE_MAX, passed);
    CHECK(result == 0, "%s: %s", request, strerror(-result));
    result = wire_parse_reply(line, &text);
    memmove(line, text, strlen(text) + 1);
    if (keep)
        *keep = connection;
    else
        close(connection);
    return result;
}

static int ask(const char *format, const char *name)
{
    char line[WIRE_LINE_MAX], request[128];
    snprintf(request, sizeof(request), format, name);
    int result = ask_with(-1, NULL, NULL, line, request);
    if (result < 0)
        printf("%s: %s\n", request, line);
    return result;
}

static void borrow_device(struct vm *vm)
{
    char line[WIRE_LINE_MAX], request[64];
    unsigned id = 0;
    snprintf(request, sizeof(request), "hsm-device %s", vm->name);
    int result = ask_with(-1, &vm->device, NULL, line, request);
    CHECK(result == 0 && vm->device >= 0, "%s: %s", request, line);
    CHECK(sscanf(line, "vm_id=%u", &id) == 1 && id > 0, "%s: %s", request, line);
    vm->id = (uint16_t)id;
}

/* ---- vCPUs ------------------------------------------------------------------------------- */

static struct sim_figures figures_of(const struct vm *vm)
{
    struct sim_figures figures = {.vm = vm->id};
    CHECK(ioctl(simulator, SIM_FIGURES, &figures) == 0, "%s", strerror(errno));
    return figures;
}

/* One access; the value of a read. */
static int try_access(const struct vm *vm, uint16_t vcpu, struct sim_access *access)
{
    access->vm = vm->id;
    access->vcpu = vcpu;
    access->stale = STALE;
    access->polling = vm->polls;
    access->timeout_ms = TIMEOUT_MS;
    return ioctl(simulator, SIM_ACCESS, access) == 0 ? 0 : -errno;
}

static uint64_t access_as(const struct vm *vm, uint16_t vcpu, uint32_t type, uint32_t direction,
                          uint64_t address, uint32_t size_bytes, uint64_t value)
{
    struct sim_access access = {.type = type,
                                .direction = direction,
                                .address = address,
                                .size_bytes = size_bytes,
                                .value = value};
    int result = try_access(vm, vcpu, &access);
    CHECK(result == 0, "%s vCPU %u %#" PRIx64 ": %s", vm->name, vcpu, address, strerror(-result));
    return access.value;
}

static uint64_t mmio_read(const struct vm *vm, uint16_t vcpu, uint64_t address)
{
    return access_as(vm, vcpu, ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_READ, address, 8, 0);
}

static void mmio_write(const struct vm *vm, uint16_t vcpu, uint64_t address, uint64_t value)
{
    access_as(vm, vcpu, ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_WRITE, address, 8, value);
}

/* As a hypervisor pauses a VM: no vCPU begins an access; those under way go on to their end. */
struct gate {
    _Atomic bool is_paused, is_over;
    _Atomic uint32_t under_way;
};

static void gate_enter(struct gate *gate)
{
    if (!gate)
        return;
    while (atomic_fetch_add(&gate->under_way, 1), atomic_load(&gate->is_paused)) {
        atomic_fetch_sub(&gate->under_way, 1);
        usleep(200);
    }
}

static void gate_leave(struct gate *gate)
{
    if (gate)
        atomic_fetch_sub(&gate->under_way, 1);
}

struct load {
    const struct vm *vm;
    uint16_t vcpu;
    uint32_t pairs;
    struct gate *gate; /* NULL: never paused, and over after `pairs` */
    uint64_t requests, resets_seen;
    pthread_t thread;
};

/* Writes and reads back, each vCPU in registers of its own. */
static void *run_load(void *context)
{
    struct load *load = context;
    uint64_t state = 0x9e3779b97f4a7c15u * (load->vcpu + 1u);
    for (uint32_t i = 0; load->gate ? !atomic_load(&load->gate->is_over) : i < load->pairs; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t address = BANK + 8u * (load->vcpu * 64u + i % 64u), value = state;
        gate_enter(load->gate);
        mmio_write(load->vm, load->vcpu, address, value);
        gate_leave(load->gate);
        gate_enter(load->gate);
        uint64_t answer = mmio_read(load->vm, load->vcpu, address);
        gate_leave(load->gate);
        /* A reset may come between: then the register is as at power-on, or all-ones while it lasts; what
         * the driver finds PENDING during its own CLEAR it completes itself, without a value. */
        bool is_reset = load->gate && (answer == 0 || answer == UINT64_MAX || answer == STALE);
        CHECK(answer == value || is_reset, "%s vCPU %u: wrote %#" PRIx64 ", read %#" PRIx64,
              load->vm->name, load->vcpu, value, answer);
        load->requests += 2;
        load->resets_seen += answer != value;
    }
    return NULL;
}

static void start_load(struct load *load, const struct vm *vm, uint16_t vcpu, uint32_t pairs,
                       struct gate *gate)
{
    *load = (struct load){.vm = vm, .vcpu = vcpu, .pairs = pairs, .gate = gate};
    CHECK(pthread_create(&load->thread, NULL, run_load, load) == 0, "no thread");
}

/* Every vCPU at the same time. Requests are verified, and counted against the hypervisor's counts. */
static void serve(const struct vm *vm, uint32_t pairs)
{
    struct load loads[VCPUS];
    struct sim_figures before = figures_of(vm);
    uint64_t requests = 0;
    for (uint16_t i = 0; i < VCPUS; i++)
        start_load(&loads[i], vm, i, pairs, NULL);
    for (uint16_t i = 0; i < VCPUS; i++) {
        pthread_join(loads[i].thread, NULL);
        requests += loads[i].requests;
    }
    struct sim_figures after = figures_of(vm);
    uint64_t hypercalls = after.notified - before.notified;
    printf("== counts %s: %" PRIu64 " requests verified, %llu upcalls, %" PRIu64
           " completion hypercalls, %llu wrong ones, %llu slots not free\n",
           vm->name, requests, after.upcalls - before.upcalls, hypercalls, after.notified_wrong,
           after.not_free);
    CHECK(requests == 2ull * pairs * VCPUS, "%" PRIu64, requests);
    CHECK(after.accesses - before.accesses == requests, "%llu", (unsigned long long)after.accesses);
    CHECK(hypercalls == (vm->polls ? 0 : requests), "%" PRIu64, hypercalls);
    CHECK(after.notified_wrong == 0 && after.not_free == 0, "see above");
}

/* PCI configuration by ports. */
static void serve_pci(const struct vm *vm)
{
    /* The driver keeps 0xcf8 and makes data accesses PCICFG, which come to us. */
    access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_WRITE, 0xcf8, 4, 0x80000000u);
    uint64_t address = access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_READ, 0xcf8, 4, 0);
    CHECK(address == 0x80000000u, "%#" PRIx64, address);
    uint64_t ids = access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_READ, 0xcfc, 4, 0);
    CHECK(ids == 0x12751275u, "%#" PRIx64, ids);
}

/* ---- reset ------------------------------------------------------------------------------- */

struct slow_access {
    const struct vm *vm;
    struct sim_access access;
    int result;
    pthread_t thread;
};

static void *run_slow(void *context)
{
    struct slow_access *slow = context;
    slow->access = (struct sim_access){.type = ACRN_IOREQ_TYPE_MMIO,
                                       .direction = ACRN_IOREQ_DIR_READ,
                                       .address = SLOW,
                                       .size_bytes = 4};
    slow->result = try_access(slow->vm, 0, &slow->access);
    return NULL;
}

/* In flight when it returns: the client that answers when it is told to has it. */
static void start_slow(struct slow_access *slow, const struct vm *vm)
{
    char line[WIRE_LINE_MAX], request[64];
    slow->vm = vm;
    CHECK(pthread_create(&slow->thread, NULL, run_slow, slow) == 0, "no thread");
    snprintf(request, sizeof(request), "client-attach %s slow", vm->name);
    int result = ask_with(-1, NULL, NULL, line, request);
    CHECK(result == 0, "%s: %s", request, line);
}

/* As a device model resets: vCPUs paused, requests cleared, then the hypervisor's part. */
static void reset_in_flight(const struct vm *vm)
{
    struct slow_access slow;
    struct sim_figures before = figures_of(vm);
    start_slow(&slow, vm);
    CHECK(ask("vm-reset %s", vm->name) == 0, "the reset");
    pthread_join(slow.thread, NULL);
    CHECK(slow.result == 0 && (uint32_t)slow.access.value == UINT32_MAX, "%s, %#llx",
          strerror(-slow.result), (unsigned long long)slow.access.value);
    CHECK(ioctl(vm->device, ACRN_IOCTL_RESET_VM) == 0, "%s", strerror(errno));
    /* Too late, and refused: it touches nothing. */
    CHECK(ask("notify-finish %s slow 0 1", vm->name) == -ENOENT, "a late answer");
    struct sim_figures after = figures_of(vm);
    CHECK(after.notified - before.notified == (vm->polls ? 0u : 1u), "%llu",
          (unsigned long long)(after.notified - before.notified));
    CHECK(after.not_free == 0 && after.notified_wrong == 0, "slots");
    mmio_write(vm, 0, BANK, 1);
    CHECK(mmio_read(vm, 0, BANK) == 1, "after a reset");
    printf("== counts %s: reset with a request in flight: all-ones, %llu completion hypercalls\n",
           vm->name, (unsigned long long)(after.notified - before.notified));
}

/* The hypervisor alone, nobody cleared: the slot is taken from under the client. */
static void take_back_in_flight(const struct vm *vm)
{
    struct slow_access slow;
    start_slow(&slow, vm);
    CHECK(ioctl(vm->device, ACRN_IOCTL_RESET_VM) == 0, "%s", strerror(errno));
    pthread_join(slow.thread, NULL);
    CHECK(slow.result == -ECANCELED, "%s", strerror(-slow.result));
    ask("notify-finish %s slow 0 1", vm->name); /* wins its record, finds the slot FREE: dropped */
    usleep(20000);
    mmio_write(vm, 0, BANK, 2);
    CHECK(mmio_read(vm, 0, BANK) == 2, "after a slot was taken back");
    CHECK(figures_of(vm).not_free == 0, "slots");
}

/* vCPUs that never stop, and resets. */
static void reset_under_load(const struct vm *vm, uint32_t resets)
{
    struct load loads[VCPUS];
    struct gate gate = {.under_way = 0};
    uint64_t requests = 0, seen = 0;
    for (uint16_t i = 0; i < VCPUS; i++)
        start_load(&loads[i], vm, i, 0, &gate);
    for (uint32_t i = 0; i < resets; i++) {
        usleep(100000);
        atomic_store(&gate.is_paused, true);
        CHECK(ask("vm-reset %s", vm->name) == 0, "reset %u", i);
        while (atomic_load(&gate.under_way) > 0)
            usleep(200);
        CHECK(ioctl(vm->device, ACRN_IOCTL_RESET_VM) == 0, "%s", strerror(errno));
        atomic_store(&gate.is_paused, false);
    }
    atomic_store(&gate.is_over, true);
    for (uint16_t i = 0; i < VCPUS; i++) {
        pthread_join(loads[i].thread, NULL);
        requests += loads[i].requests;
        seen += loads[i].resets_seen;
    }
    struct sim_figures figures = figures_of(vm);
    printf("== counts %s: %u resets under load: %" PRIu64 " requests, %" PRIu64
           " of them saw one, %llu wrong hypercalls, %llu slots not free\n",
           vm->name, resets, requests, seen, figures.notified_wrong, figures.not_free);
    CHECK(figures.notified_wrong == 0 && figures.not_free == 0, "see above");
}

/* By eventfd, through ioreqd, which leaves both to the driver. */
static void use_eventfds(const struct vm *vm)
{
    char line[WIRE_LINE_MAX], request[96];
    uint64_t rings = 0;
    const uint64_t one = 1;
    int bell = eventfd(0, EFD_NONBLOCK), interrupt = eventfd(0, EFD_NONBLOCK);
    snprintf(request, sizeof(request), "ioeventfd-assign %s portio 0x510 4 any kernel", vm->name);
    CHECK(ask_with(bell, NULL, NULL, line, request) == 0, "%s: %s", request, line);
    snprintf(request, sizeof(request), "irqfd-assign %s line 4", vm->name);
    CHECK(ask_with(interrupt, NULL, NULL, line, request) == -EOPNOTSUPP, "%s: %s", request, line);
    snprintf(request, sizeof(request), "irqfd-assign %s msi 0xfee00000 0x41", vm->name);
    CHECK(ask_with(interrupt, NULL, NULL, line, request) == 0, "%s: %s", request, line);
    struct sim_figures before = figures_of(vm);
    for (int i = 0; i < 20; i++) {
        access_as(vm, 1, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_WRITE, 0x510, 4, 1);
        CHECK(write(interrupt, &one, sizeof(one)) == sizeof(one), "%s", strerror(errno));
    }
    struct sim_figures after = figures_of(vm);
    CHECK(read(bell, &rings, sizeof(rings)) == sizeof(rings) && rings == 20, "%" PRIu64, rings);
    CHECK(after.msis - before.msis == 20 && after.msi_address == 0xfee00000 &&
              after.msi_data == 0x41,
          "%llu MSIs", (unsigned long long)(after.msis - before.msis));
    snprintf(request, sizeof(request), "ioeventfd-deassign %s portio 0x510 4 any kernel", vm->name);
    CHECK(ask_with(bell, NULL, NULL, line, request) == 0, "%s: %s", request, line);
    snprintf(request, sizeof(request), "irqfd-deassign %s", vm->name);
    CHECK(ask_with(interrupt, NULL, NULL, line, request) == 0, "%s: %s", request, line);
    CHECK(write(interrupt, &one, sizeof(one)) == sizeof(one), "%s", strerror(errno));
    CHECK(figures_of(vm).msis == after.msis, "an MSI of an irqfd that is deassigned");
    printf("== counts %s: 20 doorbells and 20 MSIs by the driver's eventfds\n", vm->name);
    close(bell);
    close(interrupt);
}

/* ---- interrupts of devices --------------------------------------------------------------- */

#define COM1         0x3f8u /* an edge, line 4 */
#define COM2         0x2f8u /* a level, line 20 */
#define COM3         0x3e8u /* a message */
#define CLOCK        0x70u  /* an edge, line 8 */
#define MSI_ADDRESS  0xfee00000u
#define MSI_DATA     0x51u
#define ROUNDS       20u
#define ROUNDS_CLOCK 5u

static void out(const struct vm *vm, uint64_t port, uint64_t value)
{
    access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_WRITE, port, 1, value);
}

static uint64_t in(const struct vm *vm, uint64_t port)
{
    return access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_READ, port, 1, 0) & 0xff;
}

struct interrupt_counts {
    uint64_t raised, lowered, msis;
};

/* These hypercalls since `before`, no more and no less. An access is answered after them, unless the poller
 * answers past the driver, or no access was their cause. */
static void expect_interrupts(const struct vm *vm, const struct sim_figures *before, bool waits,
                              struct interrupt_counts expected)
{
    struct interrupt_counts counts;
    for (uint32_t i = 0;; i++) {
        struct sim_figures now = figures_of(vm);
        counts = (struct interrupt_counts){now.raised - before->raised,
                                           now.lowered - before->lowered, now.msis - before->msis};
        if (!waits || i == 5000 || memcmp(&counts, &expected, sizeof(counts)) == 0)
            break;
        usleep(1000);
    }
    CHECK(memcmp(&counts, &expected, sizeof(counts)) == 0,
          "%s: raised %" PRIu64 " of %" PRIu64 ", lowered %" PRIu64 " of %" PRIu64
          ", messages %" PRIu64 " of %" PRIu64,
          vm->name, counts.raised, expected.raised, counts.lowered, expected.lowered, counts.msis,
          expected.msis);
}

/* The UARTs' transmitters are empty: the interrupt enable raises, the interrupt identification lowers. */
static void interrupt_by_uarts(const struct vm *vm, bool waits)
{
    struct sim_figures before = figures_of(vm);
    struct interrupt_counts expected = {0};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const struct {
            uint32_t port, line;
        } lines[] = {{COM1, 4}, {COM2, 20}};
        for (uint32_t k = 0; k < 2; k++) {
            out(vm, lines[k].port + 1, 2);
            expected.raised++;
            expect_interrupts(vm, &before, waits, expected);
            CHECK(figures_of(vm).line == lines[k].line, "%llu", figures_of(vm).line);
            CHECK((in(vm, lines[k].port + 2) & 0xf) == 2, "no interrupt is pending");
            expected.lowered++;
            expect_interrupts(vm, &before, waits, expected);
            out(vm, lines[k].port + 1, 0);
        }
        out(vm, COM3 + 1, 2);
        expected.msis++;
        expect_interrupts(vm, &before, waits, expected);
        CHECK((in(vm, COM3 + 2) & 0xf) == 2, "no interrupt is pending");
        out(vm, COM3 + 1, 0);
    }
    struct sim_figures after = figures_of(vm);
    CHECK(after.msi_address == MSI_ADDRESS && after.msi_data == MSI_DATA, "%#llx %#llx",
          after.msi_address, after.msi_data);
    printf("== counts %s: %u interrupts of UARTs: %" PRIu64 " lines raised, %" PRIu64
           " lowered, %" PRIu64 " messages\n",
           vm->name, 3 * ROUNDS, expected.raised, expected.lowered, expected.msis);
}

/* Periodic, by itself; each is acknowledged before there is a next one. */
static void interrupt_by_clock(const struct vm *vm)
{
    struct sim_figures before = figures_of(vm);
    out(vm, CLOCK, 0x0b);
    out(vm, CLOCK + 1, 0x42);
    for (uint32_t i = 1; i <= ROUNDS_CLOCK; i++) {
        expect_interrupts(vm, &before, true, (struct interrupt_counts){i, i - 1, 0});
        CHECK(figures_of(vm).line == 8, "%llu", figures_of(vm).line);
        if (i == ROUNDS_CLOCK) {
            out(vm, CLOCK, 0x0b); /* no more */
            out(vm, CLOCK + 1, 0x02);
        } else {
            out(vm, CLOCK, 0x0c);
            CHECK((in(vm, CLOCK + 1) & 0xc0) == 0xc0, "not the clock");
        }
    }
    expect_interrupts(vm, &before, true, (struct interrupt_counts){ROUNDS_CLOCK, ROUNDS_CLOCK, 0});
    printf("== counts %s: %u interrupts of the clock\n", vm->name, ROUNDS_CLOCK);
}

/* ---- a device model ---------------------------------------------------------------------- */

struct model {
    struct vm vm;
    int page, connection;
    struct acrn_io_request *slots;
};

static void create_vm(struct model *model)
{
    model->vm.device = open("/dev/acrn_hsm", O_RDWR | O_CLOEXEC);
    CHECK(model->vm.device >= 0, "%s", strerror(errno));
    model->page = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(model->page >= 0 && ftruncate(model->page, PAGE) == 0, "%s", strerror(errno));
    model->slots = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, model->page, 0);
    CHECK(model->slots != MAP_FAILED, "%s", strerror(errno));
    struct acrn_vm_creation creation = {.vcpu_num = VCPUS,
                                        .ioreq_buf = (uint64_t)(uintptr_t)model->slots};
    CHECK(ioctl(model->vm.device, ACRN_IOCTL_CREATE_VM, &creation) == 0, "%s", strerror(errno));
    model->vm.id = creation.vmid;
}

static int hand_over(struct model *model, char line[WIRE_LINE_MAX])
{
    char request[64];
    snprintf(request, sizeof(request), "hsm-device %s", model->vm.name);
    int result = ask_with(model->vm.device, NULL, NULL, line, request);
    CHECK(result == 0, "%s: %s", request, line);
    snprintf(request, sizeof(request), "attach %s", model->vm.name);
    result = ask_with(model->page, NULL, &model->connection, line, request);
    if (result < 0)
        close(model->connection);
    return result;
}

static bool is_attached(const char *name)
{
    char line[WIRE_LINE_MAX], request[64];
    int device = -1;
    snprintf(request, sizeof(request), "hsm-device %s", name);
    int result = ask_with(-1, &device, NULL, line, request);
    if (device >= 0)
        close(device);
    return result == 0;
}

/* A doorbell that the driver keeps: PROCESSING with kernel_handled, which is not for us. */
static void ring_in_kernel(const struct vm *vm)
{
    uint64_t rings = 0;
    int bell = eventfd(0, EFD_NONBLOCK);
    struct acrn_ioeventfd doorbell = {
        .fd = (uint32_t)bell, .flags = ACRN_IOEVENTFD_FLAG_PIO, .addr = KERNEL_PORT, .len = 4};
    CHECK(ioctl(vm->device, ACRN_IOCTL_IOEVENTFD, &doorbell) == 0, "%s", strerror(errno));
    for (int i = 0; i < 100; i++)
        access_as(vm, 0, ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_WRITE, KERNEL_PORT, 4, 1);
    CHECK(read(bell, &rings, sizeof(rings)) == sizeof(rings) && rings == 100, "%" PRIu64, rings);
    doorbell.flags |= ACRN_IOEVENTFD_FLAG_DEASSIGN;
    CHECK(ioctl(vm->device, ACRN_IOCTL_IOEVENTFD, &doorbell) == 0, "%s", strerror(errno));
    close(bell);
}

static void handed_over(void)
{
    char line[WIRE_LINE_MAX];
    struct model model = {.vm = {.name = "handed"}};
    create_vm(&model);
    /* The page of another file: its zeroes are no slots. */
    int page = model.page;
    model.page = memfd_create("wrong", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(ftruncate(model.page, PAGE) == 0, "%s", strerror(errno));
    CHECK(hand_over(&model, line) == -ENODATA, "a page of zeroes: %s", line);
    close(model.page);
    model.page = page;
    CHECK(hand_over(&model, line) == 0, "%s", line);
    serve(&model.vm, PAIRS_SLOWER);
    CHECK(mmio_read(&model.vm, 0, NOWHERE) == UINT64_MAX, "an access to nowhere");
    ring_in_kernel(&model.vm);
    serve(&model.vm, PAIRS_SLOWER);

    /* The device model leaves, and comes again. */
    close(model.connection);
    usleep(100000);
    CHECK(hand_over(&model, line) == 0, "the second time: %s", line);
    serve(&model.vm, PAIRS_SLOWER);

    /* Our place is destroyed under us: we let go, and may come again. */
    CHECK(ioctl(model.vm.device, ACRN_IOCTL_DESTROY_IOREQ_CLIENT) == 0, "%s", strerror(errno));
    struct pollfd hangup = {.fd = model.connection, .events = POLLIN};
    CHECK(poll(&hangup, 1, 5000) == 1, "ioreqd keeps a connection whose VM it does not serve");
    close(model.connection);
    CHECK(hand_over(&model, line) == 0, "the third time: %s", line);
    serve(&model.vm, PAIRS_SLOWER);
    CHECK(ioctl(model.vm.device, ACRN_IOCTL_DESTROY_VM) == 0, "%s", strerror(errno));
    close(model.connection);
    close(model.vm.device);
}

/* The launcher destroys what ioreqd serves, with a request in flight; ioreqd notices and goes on. */
static void destroy_in_flight(const struct vm *vm)
{
    struct slow_access slow;
    start_slow(&slow, vm);
    CHECK(ioctl(vm->device, ACRN_IOCTL_DESTROY_VM) == 0, "%s", strerror(errno));
    pthread_join(slow.thread, NULL);
    CHECK(slow.result == -ENODEV, "%s", strerror(-slow.result));
    for (int i = 0; i < 50 && is_attached(vm->name); i++)
        usleep(100000);
    CHECK(!is_attached(vm->name), "ioreqd does not notice");
    printf("== counts %s: destroyed with a request in flight\n", vm->name);
}

static void add_slow(const struct vm *vm)
{
    CHECK(ask("client-create-external %s slow", vm->name) == 0, "slow");
    CHECK(ask("range-add %s slow mmio 0xfe010000 0xfe01000f", vm->name) == 0, "slow");
}

int main(int argc, char **argv)
{
    struct vm notified = {.name = "notified"}, direct = {.name = "direct", .polls = true},
              polled = {.name = "polled", .polls = true}, waiting = {.name = "waiting"};
    struct vm *all[] = {&notified, &direct, &polled};
    CHECK(argc == 2, "expected the socket's path");
    setvbuf(stdout, NULL, _IOLBF, 0);
    socket_path = argv[1];
    simulator = open("/dev/acrn_sim", O_RDWR | O_CLOEXEC);
    CHECK(simulator >= 0, "%s", strerror(errno));
    for (int i = 0; i < 3; i++) {
        borrow_device(all[i]);
        add_slow(all[i]);
    }
    borrow_device(&waiting);
    serve(&waiting, PAIRS_SLOWER); /* its poller sleeps in between, and is woken by ATTACH */
    serve(&notified, PAIRS);
    serve(&direct, PAIRS);
    serve(&polled, PAIRS_SLOWER);
    for (int i = 0; i < 3; i++) {
        serve_pci(all[i]);
        use_eventfds(all[i]);
        interrupt_by_uarts(all[i], all[i] == &direct);
        interrupt_by_clock(all[i]);
        reset_in_flight(all[i]);
        take_back_in_flight(all[i]);
        reset_under_load(all[i], 3);
    }
    handed_over();
    CHECK(ioctl(waiting.device, ACRN_IOCTL_DESTROY_VM) == 0, "%s", strerror(errno));
    for (int i = 0; i < 50 && is_attached(waiting.name); i++)
        usleep(100000);
    CHECK(!is_attached(waiting.name), "ioreqd does not notice");
    destroy_in_flight(&notified);
    serve(&direct, PAIRS_SLOWER);
    destroy_in_flight(&direct);
    serve(&polled, PAIRS_SLOWER);
    return 0;
}
