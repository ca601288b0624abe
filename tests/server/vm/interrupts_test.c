/* SPDX-License-Identifier: BSD-3-Clause */
/* Eventfds as interrupts of a real guest, by line and by MSI; and those who cannot inject. */
#include "server/vm/interrupts.h"

#include "server/vm/kvm.h"
#include "server/vm/machine.h"
#include "tests/support/vm_fake_server.h"

#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define IMAGE_BYTES (64u << 10)
#define MSI_VECTOR  0x40u

/*
 * 16-bit code at the start of the image, ds = es = 0. Both vectors lead to a handler that prints
 * 'I' and halts: IRQ 5 of the PICs at vector 0x25, and MSI_VECTOR. A byte to port 0x80 asks the
 * server for the interrupt.
 */
static const uint8_t interrupt_code[] = {
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0,       /* cli; xor ax, ax; mov ds, ax; mov ss, ax */
    0xbc, 0x00, 0x70,                               /* mov sp, 0x7000 */
    0xc7, 0x06, 0x94, 0x00, 0x80, 0x00,             /* mov word [0x25 * 4], 0x80 */
    0xc7, 0x06, 0x96, 0x00, 0x00, 0xf0,             /* mov word [0x25 * 4 + 2], 0xf000 */
    0xc7, 0x06, 0x00, 0x01, 0x80, 0x00,             /* mov word [MSI_VECTOR * 4], 0x80 */
    0xc7, 0x06, 0x02, 0x01, 0x00, 0xf0,             /* mov word [MSI_VECTOR * 4 + 2], 0xf000 */
    0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, /* PIC: ICW1; ICW2, vectors from 0x20 */
    0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, /* ICW3; ICW4, 8086 mode */
    0xb0, 0xdf, 0xe6, 0x21,                         /* all masked but IRQ 5 */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f, 0x32, /* mov ecx, IA32_APIC_BASE; rdmsr */
    0x0d, 0x00, 0x0c, 0x0f, 0x30,                   /* or ax, 0xc00: x2APIC; wrmsr */
    0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00,             /* mov ecx, 0x80f: spurious interrupts */
    0x66, 0x31, 0xd2,                               /* xor edx, edx */
    0x66, 0xb8, 0xff, 0x01, 0x00, 0x00, 0x0f, 0x30, /* mov eax, enabled; wrmsr */
    0xb0, 0x01, 0xe6, 0x80,                         /* mov al, 1; out 0x80, al */
    0xfb, 0xf4, 0xeb, 0xfc,                         /* sti; hlt; jmp back to it */
};
static const uint8_t handler_code[] = {
    0xba, 0x02, 0x04, 0xb0, 0x49, 0xee, /* mov dx, 0x402; mov al, 'I'; out dx, al */
    0xf4, 0xeb, 0xfd,                   /* hlt; jmp back to it */
};
#define HANDLER_OFFSET 0x80
_Static_assert(sizeof(interrupt_code) <= HANDLER_OFFSET, "the handler lies behind it");

/* ---- a server that says one line and rings ----------------------------------------------- */

struct scene {
    struct fake_server server;
    const char *line;
    int descriptor;    /* an eventfd */
    bool rings_before; /* the line is said: KVM must see what came before it bound */
};

static void say(const struct scene *scene)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {(char *)(uintptr_t)scene->line, strlen(scene->line)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &scene->descriptor, sizeof(int));
    assert_int_equal(sendmsg(scene->server.connection_fd, &message, MSG_NOSIGNAL),
                     (ssize_t)strlen(scene->line));
}

static void ring(const struct scene *scene)
{
    uint64_t one = 1;
    assert_int_equal(write(scene->descriptor, &one, sizeof(one)), sizeof(one));
}

static void answer(void *context, uint32_t vcpu, struct requester_access *access)
{
    struct scene *scene = context;
    (void)vcpu;
    if (access->type != REQUEST_PORTIO || access->address != 0x80 ||
        access->direction != REQUEST_WRITE)
        return;
    if (scene->rings_before)
        ring(scene);
    say(scene);
    if (!scene->rings_before)
        ring(scene);
}

static void write_image(const char *path)
{
    static uint8_t image[IMAGE_BYTES];
    static const uint8_t reset_jump[] = {0xe9, 0x0d, 0x00}; /* from 0xfff0 to 0x10000 = 0 */
    memset(image, 0, sizeof(image));
    memcpy(image, interrupt_code, sizeof(interrupt_code));
    memcpy(image + HANDLER_OFFSET, handler_code, sizeof(handler_code));
    memcpy(image + 0xfff0, reset_jump, sizeof(reset_jump));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, sizeof(image), file), sizeof(image));
    assert_int_equal(fclose(file), 0);
}

/* The exit code of `ioreq-vm kvm` that waits for the handler's 'I'. */
static int run_guest(struct scene *scene)
{
    char image[] = "/tmp/ioreqd-test-image-XXXXXX";
    char report[4096];
    struct kvm_options options;
    int file = mkstemp(image);
    assert_true(file >= 0);
    close(file);
    write_image(image);
    scene->descriptor = eventfd(0, EFD_CLOEXEC);
    scene->server.vcpu_count = 1;
    scene->server.answer = answer;
    scene->server.context = scene;
    fake_server_start(&scene->server);
    kvm_options_init(&options);
    options.attach.socket_path = scene->server.socket_path;
    options.firmware_path = image;
    options.memory_bytes = 1 << 20;
    options.until = "I";
    options.timeout_ns = 60000000000u;
    FILE *out = fmemopen(report, sizeof(report), "w");
    assert_non_null(out);
    int code = kvm_run(&options, out);
    fclose(out);
    fake_server_stop(&scene->server);
    close(scene->descriptor);
    unlink(image);
    return code;
}

static void skip_without_kvm(void)
{
    char reason[256];
    if (machine_probe(reason, sizeof(reason)) == 0)
        return;
    print_message("skip: %s\n", reason);
    skip();
}

static void line_interrupts_the_guest(void **state)
{
    (void)state;
    skip_without_kvm();
    struct scene scene = {.line = "irqfd assign 1 line 5\n"};
    assert_int_equal(run_guest(&scene), EXIT_OK);
}

static void msi_interrupts_the_guest(void **state)
{
    (void)state;
    skip_without_kvm();
    struct scene scene = {.line = "irqfd assign 1 msi 0xfee00000 0x40\n"};
    assert_int_equal(run_guest(&scene), EXIT_OK);
}

static void signal_before_the_binding_is_not_lost(void **state)
{
    (void)state;
    skip_without_kvm();
    struct scene scene = {.line = "irqfd assign 7 line 5\n", .rings_before = true};
    assert_int_equal(run_guest(&scene), EXIT_OK);
}

/* ---- without a guest --------------------------------------------------------------------- */

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

static void without_an_irqchip_descriptors_are_closed(void **state)
{
    (void)state;
    struct interrupts interrupts;
    interrupts_init(&interrupts, -1, false);
    int descriptor = eventfd(0, EFD_CLOEXEC);
    interrupts_hear(&interrupts, "irqfd assign 1 line 5", descriptor);
    assert_false(is_open(descriptor));
    interrupts_hear(&interrupts, "irqfd deassign 1", -1);
    interrupts_fini(&interrupts);
}

static void lines_that_make_no_sense_are_ignored(void **state)
{
    (void)state;
    struct interrupts interrupts;
    interrupts_init(&interrupts, -1, true);
    const char *const lines[] = {"irqfd assign 0 line 5",
                                 "irqfd assign 1 line 24",
                                 "irqfd assign 1 line 5x",
                                 "irqfd assign 1 msi 0x1",
                                 "irqfd assign 1 pin 5",
                                 "irqfd assign 1 level 24",
                                 "irqfd assign 0 level 5",
                                 "irqfd assign 1 level",
                                 "irqfd resample 1",
                                 "irqfd lower 1",
                                 "irqfd lower",
                                 "irqfd deassign 4",
                                 "irqfd deassign 0",
                                 "irqfd",
                                 "",
                                 "something of a later version"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int descriptor = eventfd(0, EFD_CLOEXEC);
        interrupts_hear(&interrupts, lines[i], descriptor);
        assert_false(is_open(descriptor));
        for (size_t k = 0; k < INTERRUPTS_MAX; k++)
            assert_int_equal(interrupts.entries[k].id, 0);
    }
    interrupts_fini(&interrupts);
}

static void what_kvm_refuses_is_let_go(void **state)
{
    (void)state;
    struct interrupts interrupts;
    interrupts_init(&interrupts, -1, true); /* every ioctl fails */
    const char *const lines[] = {"irqfd assign 1 line 5", "irqfd assign 1 msi 0xfee00000 0x40"};
    for (size_t i = 0; i < 2; i++) {
        int descriptor = eventfd(0, EFD_CLOEXEC);
        interrupts_hear(&interrupts, lines[i], descriptor);
        assert_false(is_open(descriptor));
    }
    interrupts_hear(&interrupts, "irqfd assign 1 line 5", -1);
    interrupts_fini(&interrupts);
}

/* ---- levels: KVM's own lines, without a guest ---------------------------------------------- */

/* A VM with interrupt controllers. */
static int bare_vm(void)
{
    int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    assert_true(kvm_fd >= 0);
    int vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
    assert_true(vm_fd >= 0);
    assert_int_equal(ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0), 0);
    close(kvm_fd);
    return vm_fd;
}

static bool line_is_high(int vm_fd, uint32_t line)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    assert_int_equal(ioctl(vm_fd, KVM_GET_IRQCHIP, &chip), 0);
    return chip.chip.ioapic.irr >> line & 1;
}

/* KVM raises by a kernel thread. */
static void await_high(int vm_fd, uint32_t line)
{
    while (!line_is_high(vm_fd, line))
        sched_yield();
}

struct level {
    struct interrupts interrupts;
    int vm_fd, trigger, resample; /* eventfds: ours */
};

static void level_begin(struct level *level)
{
    level->vm_fd = bare_vm();
    level->trigger = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    level->resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    interrupts_init(&level->interrupts, level->vm_fd, true);
}

static void level_bind(struct level *level)
{
    interrupts_hear(&level->interrupts, "irqfd assign 1 level 5", dup(level->trigger));
    interrupts_hear(&level->interrupts, "irqfd resample 1", dup(level->resample));
}

static void level_end(struct level *level)
{
    interrupts_fini(&level->interrupts);
    close(level->trigger);
    close(level->resample);
    close(level->vm_fd);
}

static void raise_level(const struct level *level)
{
    const uint64_t one = 1;
    assert_int_equal(write(level->trigger, &one, sizeof(one)), sizeof(one));
}

static uint64_t resampled(const struct level *level)
{
    uint64_t count = 0;
    return read(level->resample, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void level_without_its_resample_is_not_bound(void **state)
{
    (void)state;
    skip_without_kvm();
    struct level level;
    level_begin(&level);
    interrupts_hear(&level.interrupts, "irqfd assign 1 level 5", dup(level.trigger));
    interrupts_hear(&level.interrupts, "irqfd lower 1", -1);
    interrupts_hear(&level.interrupts, "irqfd resample 1", -1);
    interrupts_hear(&level.interrupts, "irqfd resample 2", dup(level.resample));
    interrupts_hear(&level.interrupts, "irqfd deassign 1", -1);
    level_bind(&level);
    int again = dup(level.resample);
    interrupts_hear(&level.interrupts, "irqfd resample 1", again);
    assert_false(is_open(again));
    raise_level(&level);
    await_high(level.vm_fd, 5);
    level_end(&level);
}

static void level_is_high_until_it_is_lowered(void **state)
{
    (void)state;
    skip_without_kvm();
    struct level level;
    level_begin(&level);
    level_bind(&level);
    assert_false(line_is_high(level.vm_fd, 5));
    assert_int_equal(resampled(&level), 1); /* it is bound */
    for (int i = 0; i < 3; i++) {
        raise_level(&level);
        await_high(level.vm_fd, 5);
        assert_int_equal(resampled(&level), 0);
        interrupts_hear(&level.interrupts, "irqfd lower 1", -1);
        assert_false(line_is_high(level.vm_fd, 5));
        assert_int_equal(resampled(&level), 1);
    }
    raise_level(&level);
    await_high(level.vm_fd, 5);
    interrupts_hear(&level.interrupts, "irqfd deassign 1", -1);
    assert_false(line_is_high(level.vm_fd, 5));
    level_end(&level);
}

static void next_server_begins_anew(void **state)
{
    (void)state;
    skip_without_kvm();
    struct level level;
    level_begin(&level);
    level_bind(&level);
    raise_level(&level);
    await_high(level.vm_fd, 5);
    interrupts_forget(&level.interrupts);
    assert_false(line_is_high(level.vm_fd, 5));
    level_bind(&level); /* the same number: of another server */
    raise_level(&level);
    await_high(level.vm_fd, 5);
    level_end(&level);
}

static void send_line(void *context, uint32_t vcpu, struct requester_access *access)
{
    (void)vcpu;
    struct scene *scene = context;
    say(scene);
    access->value = 1;
}

/* As replay and load attach: whatever the server says, accesses go on and nothing leaks. */
static void requester_without_a_listener_ignores_lines(void **state)
{
    (void)state;
    struct scene scene = {.line = "irqfd assign 1 line 5\n"};
    struct requester *requester;
    char error[256];
    scene.descriptor = eventfd(0, EFD_CLOEXEC);
    scene.server.vcpu_count = 1;
    scene.server.answer = send_line;
    scene.server.context = &scene;
    fake_server_start(&scene.server);
    assert_int_equal(
        requester_attach(scene.server.socket_path, "guest", &requester, error, sizeof(error)), 0);
    for (int i = 0; i < 50; i++) {
        struct requester_access access = {.address = 0x84, .size_bytes = 1, .type = REQUEST_PORTIO};
        assert_int_equal(requester_access(requester, 0, &access), 0);
        assert_int_equal(access.value, 1);
    }
    requester_detach(requester);
    int lowest = dup(scene.descriptor); /* lies above whatever leaked: 50 of them */
    assert_true(lowest < scene.descriptor + 40);
    close(lowest);
    fake_server_stop(&scene.server);
    close(scene.descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_irqchip_descriptors_are_closed),
        cmocka_unit_test(lines_that_make_no_sense_are_ignored),
        cmocka_unit_test(what_kvm_refuses_is_let_go),
        cmocka_unit_test(level_without_its_resample_is_not_bound),
        cmocka_unit_test(level_is_high_until_it_is_lowered),
        cmocka_unit_test(next_server_begins_anew),
        cmocka_unit_test(requester_without_a_listener_ignores_lines),
        cmocka_unit_test(line_interrupts_the_guest),
        cmocka_unit_test(msi_interrupts_the_guest),
        cmocka_unit_test(signal_before_the_binding_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
