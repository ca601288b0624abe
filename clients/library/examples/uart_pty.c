/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A serial port in a process of its own: the registers of a 16450 without interrupts, its line a pty.
 * A guest that polls the line status register has a console; `picocom` on the pty is the other end.
 *
 * Built with libioreq and libc alone; copy it to begin a device of your own.
 * Flow:  register -> poll: requests (ioreq_descriptor) and the pty -> answer each at once.
 * Errors: when the server hangs up or restarts, it registers anew; the line stays.
 */
#include <ioreq.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INPUT_BYTES 256u /* a power of two */

enum { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
#define LCR_DIVISOR_ACCESS 0x80u
#define LSR_DATA_READY     0x01u
#define LSR_TRANSMIT_EMPTY 0x60u
#define IIR_NONE           0x01u
#define MSR_READY          0xb0u /* DCD, DSR, CTS */

struct uart {
    int line;             /* the pty's master */
    uint8_t registers[8]; /* what was written to IER, LCR, MCR, SCR */
    uint8_t divisor[2];
    uint8_t input[INPUT_BYTES];
    unsigned first, count;
};

static int uart_open(struct uart *uart)
{
    uart->line = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (uart->line < 0 || grantpt(uart->line) < 0 || unlockpt(uart->line) < 0)
        return -errno;
    printf("line %s\n", ptsname(uart->line));
    fflush(stdout);
    return 0;
}

static void uart_receive(struct uart *uart)
{
    uint8_t bytes[INPUT_BYTES];
    ssize_t count = read(uart->line, bytes, INPUT_BYTES - uart->count);
    for (ssize_t i = 0; i < count; i++)
        uart->input[(uart->first + uart->count++) % INPUT_BYTES] = bytes[i];
}

static uint8_t uart_read(struct uart *uart, uint64_t offset)
{
    bool has_divisor = uart->registers[LCR] & LCR_DIVISOR_ACCESS;
    switch (offset) {
    case RBR_THR:
        if (has_divisor)
            return uart->divisor[0];
        if (uart->count == 0)
            return 0;
        uart->count--;
        return uart->input[uart->first++ % INPUT_BYTES];
    case IER:
        return has_divisor ? uart->divisor[1] : uart->registers[IER];
    case IIR_FCR:
        return IIR_NONE;
    case LSR:
        return LSR_TRANSMIT_EMPTY | (uart->count ? LSR_DATA_READY : 0);
    case MSR:
        return MSR_READY;
    default:
        return offset < 8 ? uart->registers[offset] : 0xff;
    }
}

static void uart_write(struct uart *uart, uint64_t offset, uint8_t value)
{
    bool has_divisor = uart->registers[LCR] & LCR_DIVISOR_ACCESS;
    if (offset > SCR)
        return;
    if (has_divisor && offset <= IER) {
        uart->divisor[offset] = value;
        return;
    }
    uart->registers[offset] = value;
    /* Nobody at the other end, or one that does not read: the byte is lost, as on a wire. */
    if (offset == RBR_THR && write(uart->line, &value, 1) < 0 && errno != EAGAIN && errno != EIO)
        perror("line");
}

static uint64_t uart_access(struct uart *uart, const struct ioreq_request *request)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < request->size_bytes; i++) {
        uint8_t byte = (uint8_t)(request->value >> 8 * i);
        if (request->direction == IOREQ_WRITE)
            uart_write(uart, request->offset + i, byte);
        else
            value |= (uint64_t)uart_read(uart, request->offset + i) << 8 * i;
    }
    return value;
}

/* Until the server hangs up. */
static int serve(struct uart *uart, struct ioreq_client *client)
{
    for (;;) {
        struct ioreq_request request;
        int result;
        while ((result = ioreq_try_receive(client, &request)) == 0)
            while ((result = ioreq_answer(client, request.token, uart_access(uart, &request))) ==
                   -EAGAIN)
                ;
        if (result == -EAGAIN)
            result = ioreq_arm(client);
        if (result == -EAGAIN)
            continue;
        if (result < 0)
            return result;
        struct pollfd entries[] = {
            {.fd = ioreq_descriptor(client), .events = POLLIN},
            {.fd = uart->count < INPUT_BYTES ? uart->line : -1, .events = POLLIN},
        };
        /* A pty that nobody has open hangs up for ever: it is looked at ten times a second. */
        bool is_open = poll(&entries[1], 1, 0) == 0 || !(entries[1].revents & POLLHUP);
        poll(entries, is_open ? 2 : 1, is_open ? -1 : 100);
        if (entries[1].revents & POLLIN)
            uart_receive(uart);
    }
}

int main(int count, char **arguments)
{
    struct uart uart = {.line = -1};
    if (count != 4 || strcmp(arguments[1], "--help") == 0) {
        fprintf(count == 2 ? stdout : stderr,
                "usage: %s SOCKET VM CLIENT\n"
                "Serves CLIENT of VM (device: process) as a serial port; says which pty it is.\n",
                arguments[0]);
        return count == 2 ? 0 : 2;
    }
    int result = uart_open(&uart);
    if (result < 0) {
        fprintf(stderr, "no pty: %s\n", strerror(-result));
        return 1;
    }
    for (bool was_there = false;;) {
        struct ioreq_client *client;
        result = ioreq_register(arguments[1], arguments[2], arguments[3], &client);
        if (result < 0 && !was_there) {
            fprintf(stderr, "cannot register: %s\n", ioreq_error(NULL));
            return 1;
        }
        was_there = true;
        if (result == 0)
            serve(&uart, client);
        ioreq_close(client);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}
