/* SPDX-License-Identifier: BSD-3-Clause */
/* A real guest takes the interrupts of a UART and of the clock: ioreqd on one side, ioreq-vm with a small image
 * on the other. Each is taken once: the image prints a '.' for one whose cause was there, '!' for one
 * without, and goes on with the next byte only then, so that a lost one would end it by --timeout. */
#include "tests/support/daemon.h"

#include <sys/stat.h>

#define IMAGE_BYTES    (64u << 10)
#define MAIN_OFFSET    0x100
#define HANDLER_OFFSET 0x200
#define ELCR_OFFSET    0x400 /* a byte: lines 3 to 7 that the PIC takes as levels */
#define UNSERVED_OFFSET \
    0x401         /* a byte: after how many interrupts the UART's cause is seen to; 0: at once */
#define TAKEN 50u /* 0x32 in the code */

/*
 * 16-bit code, ds = ss = 0. Vectors 0x24 (line 4), 0x28 (line 8) and 0x40 (the message) lead to the handler.
 * Lines 2, 4 and 8 of the PICs are let in; the local APIC is in x2APIC mode, and enabled.
 */
static const uint8_t prologue_code[] = {
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, /* cli; xor ax, ax; mov ds, ax; mov ss, ax */
    0xbc, 0x00, 0x70,                         /* mov sp, 0x7000 */
    0xc7, 0x06, 0x90, 0x00, 0x00, 0x02,       /* mov word [0x90], 0x200 */
    0xc7, 0x06, 0x92, 0x00, 0x00, 0xf0,       /* mov word [0x92], 0xf000 */
    0xc7, 0x06, 0xa0, 0x00, 0x00, 0x02,       /* mov word [0xa0], 0x200 */
    0xc7, 0x06, 0xa2, 0x00, 0x00, 0xf0,       /* mov word [0xa2], 0xf000 */
    0xc7, 0x06, 0x00, 0x01, 0x00, 0x02,       /* mov word [0x100], 0x200 */
    0xc7, 0x06, 0x02, 0x01, 0x00, 0xf0,       /* mov word [0x102], 0xf000 */
    0xc6, 0x06, 0x00, 0x05, 0x00, 0xb0, 0x11, /* mov byte [0x500], 0x0; mov al, 0x11 */
    0xe6, 0x20, 0xe6, 0xa0, 0xb0, 0x20,       /* out 0x20, al; out 0xa0, al; mov al, 0x20 */
    0xe6, 0x21, 0xb0, 0x28, 0xe6, 0xa1,       /* out 0x21, al; mov al, 0x28; out 0xa1, al */
    0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x02,       /* mov al, 0x4; out 0x21, al; mov al, 0x2 */
    0xe6, 0xa1, 0xb0, 0x01, 0xe6, 0x21,       /* out 0xa1, al; mov al, 0x1; out 0x21, al */
    0xe6, 0xa1, 0xb0, 0xeb, 0xe6, 0x21,       /* out 0xa1, al; mov al, 0xeb; out 0x21, al */
    0xb0, 0xfe, 0xe6, 0xa1, 0x2e, 0xa0, 0x00,
    0x04,                   /* mov al, 0xfe; out 0xa1, al; mov al, cs:[0x400] */
    0xba, 0xd0, 0x04, 0xee, /* mov dx, 0x4d0; out dx, al */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f,
    0x32,                               /* mov ecx, 0x1b; rdmsr */
    0x0d, 0x00, 0x0c, 0x0f, 0x30,       /* or ax, 0xc00; wrmsr */
    0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00, /* mov ecx, 0x80f */
    0x66, 0x31, 0xd2,                   /* xor edx, edx */
    0x66, 0xb8, 0xff, 0x01, 0x00, 0x00, 0x0f,
    0x30,             /* mov eax, 0x1ff; wrmsr */
    0xe9, 0x80, 0x00, /* jmp */
};

/*
 * Transmitter empty. Where a level is looked at first, interrupts off: the line must come up at the PIC ('H'),
 * and go down again once the cause is read ('L'). Then TAKEN interrupts, and 200 accesses in which none
 * may come.
 */
static const uint8_t uart_main_code[] = {
    0xba, 0xf9, 0x03, 0xb0, 0x02, 0xee, /* mov dx, 0x3f9; mov al, 0x2; out dx, al */
    0x2e, 0x80, 0x3e, 0x01, 0x04, 0x00, 0x74,
    0x2a,                               /* cmp byte cs:[0x401], 0x0; je */
    0xb0, 0x0a, 0xe6, 0x20, 0xe4, 0x20, /* mov al, 0xa; out 0x20, al; in al, 0x20 */
    0xa8, 0x10, 0x74, 0xf6,             /* test al, 0x10; je */
    0xb0, 0x48, 0xba, 0x02, 0x04, 0xee, /* mov al, 0x48; mov dx, 0x402; out dx, al */
    0xba, 0xfa, 0x03, 0xec, 0xb0, 0x0a, /* mov dx, 0x3fa; in al, dx; mov al, 0xa */
    0xe6, 0x20, 0xe4, 0x20, 0xa8, 0x10, 0x75,
    0xf6,                                     /* out 0x20, al; in al, 0x20; test al, 0x10; jne */
    0xb0, 0x4c, 0xba, 0x02, 0x04, 0xee,       /* mov al, 0x4c; mov dx, 0x402; out dx, al */
    0xb0, 0x78, 0xba, 0xf8, 0x03, 0xee, 0xfa, /* mov al, 0x78; mov dx, 0x3f8; out dx, al; cli */
    0x80, 0x3e, 0x00, 0x05, 0x32, 0x73, 0x04, /* cmp byte [0x500], 0x32; jae */
    0xfb, 0xf4, 0xeb, 0xf4,                   /* sti; hlt; jmp */
    0xfb, 0xb9, 0xc8, 0x00, 0xba, 0xfd, 0x03,
    0xec,       /* sti; mov cx, 0xc8; mov dx, 0x3fd; in al, dx */
    0xe2, 0xfd, /* loop */
    0xfa, 0xb0, 0x45, 0xba, 0x02, 0x04, 0xee,
    0xf4,       /* cli; mov al, 0x45; mov dx, 0x402; out dx, al; hlt */
    0xeb, 0xfd, /* jmp */
};

/* Counts at 0x500. Prints 'r' and leaves the cause alone, or '.', '!' and sends the next byte. */
static const uint8_t uart_handler_code[] = {
    0x66, 0x60, 0xfe, 0x06, 0x00, 0x05, /* pushad; inc byte [0x500] */
    0xa0, 0x00, 0x05, 0x2e, 0x3a, 0x06, 0x01,
    0x04,                   /* mov al, [0x500]; cmp al, byte cs:[0x401] */
    0xb0, 0x72, 0x76, 0x21, /* mov al, 0x72; jbe */
    0xba, 0xfa, 0x03, 0xec, 0x24, 0x0f, 0x3c,
    0x02,                               /* mov dx, 0x3fa; in al, dx; and al, 0xf; cmp al, 0x2 */
    0xb0, 0x2e, 0x74, 0x02,             /* mov al, 0x2e; je */
    0xb0, 0x21, 0xba, 0x02, 0x04, 0xee, /* mov al, 0x21; mov dx, 0x402; out dx, al */
    0xa0, 0x00, 0x05, 0x3c, 0x32, 0x73, 0x0c, /* mov al, [0x500]; cmp al, 0x32; jae */
    0x04, 0x40, 0xba, 0xf8, 0x03, 0xee, 0xeb,
    0x04,                               /* add al, 0x40; mov dx, 0x3f8; out dx, al; jmp */
    0xba, 0x02, 0x04, 0xee, 0xb0, 0x20, /* mov dx, 0x402; out dx, al; mov al, 0x20 */
    0xe6, 0xa0, 0xe6, 0x20,             /* out 0xa0, al; out 0x20, al */
    0x66, 0xb9, 0x0b, 0x08, 0x00, 0x00, /* mov ecx, 0x80b */
    0x66, 0x31, 0xd2, 0x66, 0x31, 0xc0, 0x0f,
    0x30,             /* xor edx, edx; xor eax, eax; wrmsr */
    0x66, 0x61, 0xcf, /* popad; iret */
};

/* Periodic, 1,024 a second. */
static const uint8_t clock_main_code[] = {
    0xb0, 0x0b, 0xe6, 0x70, 0xb0, 0x42,             /* mov al, 0xb; out 0x70, al; mov al, 0x42 */
    0xe6, 0x71, 0xfa, 0x80, 0x3e, 0x00, 0x05, 0x32, /* out 0x71, al; cli; cmp byte [0x500], 0x32 */
    0x73, 0x04,                                     /* jae */
    0xfb, 0xf4, 0xeb, 0xf4,                         /* sti; hlt; jmp */
    0xb0, 0x0b, 0xe6, 0x70, 0xb0, 0x02,             /* mov al, 0xb; out 0x70, al; mov al, 0x2 */
    0xe6, 0x71, 0xb0, 0x45, 0xba, 0x02, 0x04,       /* out 0x71, al; mov al, 0x45; mov dx, 0x402 */
    0xee, 0xf4, 0xeb, 0xfd,                         /* out dx, al; hlt; jmp */
};

static const uint8_t clock_handler_code[] = {
    0x66, 0x60, 0xfe, 0x06, 0x00, 0x05,
    0xb0, 0x0c,                         /* pushad; inc byte [0x500]; mov al, 0xc */
    0xe6, 0x70, 0xe4, 0x71, 0x24, 0xc0, /* out 0x70, al; in al, 0x71; and al, 0xc0 */
    0x3c, 0xc0, 0xb0, 0x2e, 0x74, 0x02, /* cmp al, 0xc0; mov al, 0x2e; je */
    0xb0, 0x21, 0xba, 0x02, 0x04, 0xee, /* mov al, 0x21; mov dx, 0x402; out dx, al */
    0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20,
    0x66, 0x61, /* mov al, 0x20; out 0xa0, al; out 0x20, al; popad */
    0xcf,       /* iret */
};

_Static_assert(sizeof(prologue_code) <= MAIN_OFFSET, "main lies behind it");
_Static_assert(sizeof(uart_main_code) <= HANDLER_OFFSET - MAIN_OFFSET, "the handler lies behind");
_Static_assert(sizeof(uart_handler_code) <= ELCR_OFFSET - HANDLER_OFFSET, "the bytes lie behind");

static struct daemon ioreqd;

static char *in_folder(const char *name)
{
    static char path[4][160];
    static size_t next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof(path[0]), "%s/%s", ioreqd.folder, name);
    return to;
}

struct image {
    const uint8_t *main, *handler;
    size_t main_bytes, handler_bytes;
    uint8_t elcr, unserved;
};

static void write_image(const struct image *from)
{
    static uint8_t image[IMAGE_BYTES];
    static const uint8_t reset_jump[] = {0xe9, 0x0d, 0x00}; /* from 0xfff0 to 0x10000 = 0 */
    memset(image, 0, sizeof(image));
    memcpy(image, prologue_code, sizeof(prologue_code));
    memcpy(image + MAIN_OFFSET, from->main, from->main_bytes);
    memcpy(image + HANDLER_OFFSET, from->handler, from->handler_bytes);
    image[ELCR_OFFSET] = from->elcr;
    image[UNSERVED_OFFSET] = from->unserved;
    memcpy(image + 0xfff0, reset_jump, sizeof(reset_jump));
    FILE *file = fopen(in_folder("image"), "we");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, sizeof(image), file), sizeof(image));
    assert_int_equal(fclose(file), 0);
}

static void start_server(const char *uart_interrupt)
{
    char text[2048];
    snprintf(
        text, sizeof(text),
        "server: {socket: %s}\n"
        "pollers: [{name: rt, idle: yield, sandbox: %s}]\n"
        "vms: [{name: guest, vcpus: 1, poller: rt, default_client: rest}]\n"
        "clients:\n"
        "  - {name: console, vm: guest, device: debug_console, options: {output: \"file:%s\"},\n"
        "     ranges: [{type: portio, first: 0x402}]}\n"
        "  - {name: com1, vm: guest, device: uart, options: {stream: \"file:%s\"},\n"
        "     ranges: [{type: portio, first: 0x3f8, last: 0x3ff}], interrupt: %s}\n"
        "  - {name: clock, vm: guest, device: cmos, interrupt: 8,\n"
        "     ranges: [{type: portio, first: 0x70, last: 0x71}]}\n"
        "  - {name: rest, vm: guest, device: fallback}\n",
        ioreqd.socket, DAEMON_SANDBOX, in_folder("console"), in_folder("sent"), uart_interrupt);
    daemon_write(ioreqd.config, text);
    daemon_start(&ioreqd);
}

/* Runs ioreq-vm with arguments, its output beside the daemon's. */
static int run_vm(const char *const *arguments)
{
    struct daemon vm = ioreqd;
    snprintf(vm.out, sizeof(vm.out), "%s", in_folder("vm-out"));
    snprintf(vm.err, sizeof(vm.err), "%s", in_folder("vm-err"));
    daemon_spawn(&vm, arguments);
    return daemon_wait(&vm);
}

static void skip_without_kvm(void)
{
    const char *const probe[] = {BINARY_DIR "/ioreq-vm", "kvm", "--probe", NULL};
    if (run_vm(probe) == 0)
        return;
    print_message("skip: no KVM guest can run here\n");
    skip();
}

/* Until its 'E'. */
static void run_guest(void)
{
    char image[160];
    snprintf(image, sizeof(image), "%s", in_folder("image"));
    const char *const arguments[] = {BINARY_DIR "/ioreq-vm",
                                     "kvm",
                                     "--firmware",
                                     image,
                                     "--memory",
                                     "1MiB",
                                     "--socket",
                                     ioreqd.socket,
                                     "--until",
                                     "E",
                                     "--timeout",
                                     "120",
                                     NULL};
    int code = run_vm(arguments);
    if (code != 0) {
        char command[256];
        snprintf(command, sizeof(command), "cat %s %s %s >&2", in_folder("vm-err"),
                 in_folder("console"), ioreqd.err);
        if (system(command) != 0)
            print_message("nothing to tell\n");
    }
    assert_int_equal(code, 0);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_false(daemon_file_has(in_folder("vm-err"), "ignored"));
}

static void assert_file(const char *name, const char *expected)
{
    char text[256] = "";
    FILE *file = fopen(in_folder(name), "re");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    assert_string_equal(text, expected);
}

/* What the console has if all are taken: `before`, and a dot for each but the first `unserved`. */
static void assert_taken(const char *before, uint32_t unserved)
{
    char expected[128];
    size_t length = (size_t)snprintf(expected, sizeof(expected), "%s", before);
    memset(expected + length, '.', TAKEN - unserved);
    expected[length + TAKEN - unserved] = 'E';
    expected[length + TAKEN - unserved + 1] = '\0';
    assert_file("console", expected);
}

/* What the UART has sent: `before`, and a byte behind each interrupt but the last. */
static void assert_sent(const char *before, uint32_t unserved)
{
    char expected[128];
    size_t length = (size_t)snprintf(expected, sizeof(expected), "%s", before);
    for (uint32_t taken = unserved + 1; taken < TAKEN; taken++)
        expected[length++] = (char)(0x40 + taken);
    expected[length] = '\0';
    assert_file("sent", expected);
}

static void run_uart(const char *interrupt, uint8_t elcr, uint8_t unserved)
{
    skip_without_kvm();
    write_image(&(struct image){uart_main_code, uart_handler_code, sizeof(uart_main_code),
                                sizeof(uart_handler_code), elcr, unserved});
    start_server(interrupt);
    run_guest();
}

static void each_edge_is_taken_once(void **state)
{
    (void)state;
    run_uart("4", 0, 0);
    assert_taken("", 0);
    assert_sent("", 0);
}

/* Up at the PIC while the UART asks, down when it asks no more; taken again after an EOI while it still asks. */
static void level_is_taken_for_as_long_as_it_is_high(void **state)
{
    (void)state;
    run_uart("{line: 4, trigger: level}", 1 << 4, 2);
    assert_taken("HLrr", 2);
    assert_sent("x", 2);
}

static void each_message_is_taken_once(void **state)
{
    (void)state;
    run_uart("{address: 0xfee00000, data: 0x40}", 0, 0);
    assert_taken("", 0);
    assert_sent("", 0);
}

static void each_of_the_clocks_is_taken_once(void **state)
{
    (void)state;
    skip_without_kvm();
    write_image(&(struct image){.main = clock_main_code,
                                .handler = clock_handler_code,
                                .main_bytes = sizeof(clock_main_code),
                                .handler_bytes = sizeof(clock_handler_code)});
    start_server("4");
    run_guest();
    assert_taken("", 0);
}

static int begin(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    return 0;
}

static int end(void **state)
{
    (void)state;
    daemon_fini(&ioreqd);
    return 0;
}

#define GUEST_TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(each_edge_is_taken_once),
        GUEST_TEST(level_is_taken_for_as_long_as_it_is_high),
        GUEST_TEST(each_message_is_taken_once),
        GUEST_TEST(each_of_the_clocks_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
