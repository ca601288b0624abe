/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UART 16550A: eight byte registers (uart_registers.h), `stride` bytes apart.
 *
 * Line speed and format are kept but do not slow or change anything: a character takes no time and
 * all its 8 bits arrive.
 *   transmit   a byte for THR goes into the output ring. THRE and TEMT are 1 while the ring would
 *              take a whole FIFO; a guest that writes regardless loses bytes, which the ring counts.
 *   receive    every access first moves what the input ring holds into the FIFO, as far as there is
 *              room: input waits in the ring, so an overrun can only come about in loopback.
 *   timeout    with fewer bytes than the trigger level the line is idle (else more bytes would be
 *              there), so the character-timeout indication is given at once.
 *   not there  break, parity and framing errors: LSR bits 2..4 and 7 are 0.
 *
 * An access of several bytes goes to consecutive addresses, low byte first, each a register access
 * of its own. With a stride of 2 or 4 the register is the lowest byte of its stride; the others
 * read 0 and drop writes. Addresses after the eighth register read all-ones.
 *
 * Source: National PC16550D data sheet (register names, tables II to IV); TI TL16C550C.
 */
#include "clients/devices/device_stream.h"
#include "clients/devices/devices.h"
#include "clients/devices/uart_registers.h"

#include <errno.h>
#include <stdlib.h>

#define DIVISOR_AT_RESET 12u /* 9600 baud from 1.8432 MHz */

enum { OPTION_STREAM, OPTION_STRIDE, OPTION_COUNT };

/* Its index is log2 of the stride. */
static const char *const uart_strides[] = {"1", "2", "4", NULL};

static const struct device_option uart_options[OPTION_COUNT] = {
    [OPTION_STREAM] = {.name = "stream",
                       .kind = DEVICE_OPTION_STREAM,
                       .default_text = "pty",
                       .help = "the other end of the line: none, stdio, pty, pty:LINK or "
                               "file:PATH (output only, appended)"},
    [OPTION_STRIDE] = {.name = "stride",
                       .kind = DEVICE_OPTION_CHOICE,
                       .default_text = "1",
                       .choices = uart_strides,
                       .help = "bytes from one register to the next; 4 for most MMIO UARTs"},
};

struct uart {
    struct device device;
    uint32_t stride_shift;
    uint8_t fifo[UART_FIFO_BYTES]; /* received; without FIFOs only one byte is used: RBR */
    uint32_t fifo_first;
    uint32_t fifo_count;
    uint32_t trigger_level; /* received bytes that make an interrupt */
    bool fifos_enabled;
    bool thr_empty_pending; /* the THRE interrupt's own latch: reading IIR clears it */
    bool overrun;
    uint8_t divisor_low;
    uint8_t divisor_high;
    uint8_t ier;
    uint8_t lcr;
    uint8_t mcr;
    uint8_t msr;
    uint8_t scr;
};

/* ---- receiver and transmitter ------------------------------------------------------------ */

static uint32_t fifo_capacity(const struct uart *uart)
{
    return uart->fifos_enabled ? UART_FIFO_BYTES : 1;
}

static bool is_looped_back(const struct uart *uart)
{
    return (uart->mcr & MCR_LOOPBACK) != 0;
}

static void receiver_clear(struct uart *uart)
{
    uart->fifo_first = 0;
    uart->fifo_count = 0;
}

static void receiver_put(struct uart *uart, uint8_t byte)
{
    if (uart->fifo_count == fifo_capacity(uart)) {
        uart->overrun = true;
        if (!uart->fifos_enabled)
            uart->fifo[uart->fifo_first] = byte; /* RBR is overwritten, a full FIFO is not */
        return;
    }
    uart->fifo[(uart->fifo_first + uart->fifo_count) % UART_FIFO_BYTES] = byte;
    uart->fifo_count++;
}

static uint8_t receiver_take(struct uart *uart)
{
    uint8_t byte = uart->fifo[uart->fifo_first];
    if (uart->fifo_count > 0) {
        uart->fifo_first = (uart->fifo_first + 1) % UART_FIFO_BYTES;
        uart->fifo_count--;
    }
    return byte; /* empty: what lay there last, as from hardware */
}

/* In loopback the receiver is disconnected from the line: input waits in the ring. */
static void receiver_fill(struct uart *uart)
{
    uint8_t byte;
    if (!uart->device.input || is_looped_back(uart))
        return;
    while (uart->fifo_count < fifo_capacity(uart) && byte_ring_try_pop(uart->device.input, &byte))
        receiver_put(uart, byte);
}

/* The guest may write a whole FIFO without asking again, so there must be room for one. */
static bool transmitter_is_empty(const struct uart *uart)
{
    return is_looped_back(uart) || !uart->device.output ||
           byte_ring_space(uart->device.output) >= UART_FIFO_BYTES;
}

static void transmitter_put(struct uart *uart, uint8_t byte)
{
    if (is_looped_back(uart)) {
        receiver_put(uart, byte);
    } else if (uart->device.output) {
        (void)byte_ring_try_push(uart->device.output, byte);
    }
    uart->thr_empty_pending = true; /* counts once transmitter_is_empty() again: often at once */
}

/* ---- modem lines and interrupts ---------------------------------------------------------- */

/* What is plugged in is always there and ready; in loopback MCR's outputs come back. */
static uint8_t modem_lines(const struct uart *uart)
{
    if (!is_looped_back(uart))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void modem_status_update(struct uart *uart)
{
    uint8_t lines = modem_lines(uart);
    uint8_t changed = lines ^ uart->msr;
    uint8_t delta = uart->msr & MSR_DELTA_MASK;
    delta |= changed & MSR_CTS ? MSR_DELTA_CTS : 0;
    delta |= changed & MSR_DSR ? MSR_DELTA_DSR : 0;
    delta |= changed & MSR_RI && !(lines & MSR_RI) ? MSR_RI_ENDED : 0;
    delta |= changed & MSR_DCD ? MSR_DELTA_DCD : 0;
    uart->msr = lines | delta;
}

/* The pending interrupt of highest priority, as IIR bits 0..3. */
static uint8_t interrupt_pending(const struct uart *uart)
{
    if (uart->ier & IER_LINE_STATUS && uart->overrun)
        return IIR_LINE_STATUS;
    if (uart->ier & IER_RECEIVED_DATA && uart->fifo_count > 0)
        return uart->fifo_count >= uart->trigger_level ? IIR_RECEIVED_DATA : IIR_TIMEOUT;
    if (uart->ier & IER_THR_EMPTY && uart->thr_empty_pending && transmitter_is_empty(uart))
        return IIR_THR_EMPTY;
    if (uart->ier & IER_MODEM_STATUS && uart->msr & MSR_DELTA_MASK)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

/* ---- registers --------------------------------------------------------------------------- */

static uint8_t iir_take(struct uart *uart)
{
    uint8_t pending = interrupt_pending(uart);
    if (pending == IIR_THR_EMPTY)
        uart->thr_empty_pending = false;
    return pending | (uart->fifos_enabled ? IIR_FIFOS_ENABLED : 0);
}

static uint8_t lsr_take(struct uart *uart)
{
    uint8_t lsr = uart->fifo_count > 0 ? LSR_DATA_READY : 0;
    lsr |= uart->overrun ? LSR_OVERRUN : 0;
    lsr |= transmitter_is_empty(uart) ? LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY : 0;
    uart->overrun = false;
    return lsr;
}

static uint8_t msr_take(struct uart *uart)
{
    uint8_t msr = uart->msr;
    uart->msr &= (uint8_t)~MSR_DELTA_MASK;
    return msr;
}

static void fcr_write(struct uart *uart, uint8_t byte)
{
    static const uint8_t trigger_levels[4] = {1, 4, 8, 14};
    bool enable = (byte & FCR_ENABLE) != 0;
    if (enable != uart->fifos_enabled) {
        receiver_clear(uart); /* changing the mode clears the FIFOs */
        uart->fifos_enabled = enable;
        uart->trigger_level = 1;
    }
    if (!enable)
        return; /* the other bits are programmed only together with the enable */
    if (byte & FCR_CLEAR_RECEIVE)
        receiver_clear(uart);
    if (byte & FCR_CLEAR_TRANSMIT)
        uart->thr_empty_pending = true; /* what was written has left already */
    uart->trigger_level = trigger_levels[byte >> 6];
}

static void ier_write(struct uart *uart, uint8_t byte)
{
    /* Enabling the THRE interrupt while THR is empty raises it. */
    if (byte & IER_THR_EMPTY && !(uart->ier & IER_THR_EMPTY))
        uart->thr_empty_pending = true;
    uart->ier = byte & IER_MASK;
}

static uint8_t register_read(struct uart *uart, enum uart_register index)
{
    bool divisor = (uart->lcr & LCR_DIVISOR_ACCESS) != 0;
    switch (index) {
    case UART_RBR_THR_DLL:
        return divisor ? uart->divisor_low : receiver_take(uart);
    case UART_IER_DLM:
        return divisor ? uart->divisor_high : uart->ier;
    case UART_IIR_FCR:
        return iir_take(uart);
    case UART_LCR:
        return uart->lcr;
    case UART_MCR:
        return uart->mcr;
    case UART_LSR:
        return lsr_take(uart);
    case UART_MSR:
        return msr_take(uart);
    case UART_SCR:
        return uart->scr;
    }
    return 0xff;
}

static void register_write(struct uart *uart, enum uart_register index, uint8_t byte)
{
    bool divisor = (uart->lcr & LCR_DIVISOR_ACCESS) != 0;
    switch (index) {
    case UART_RBR_THR_DLL:
        if (divisor) {
            uart->divisor_low = byte;
        } else {
            transmitter_put(uart, byte);
        }
        break;
    case UART_IER_DLM:
        if (divisor) {
            uart->divisor_high = byte;
        } else {
            ier_write(uart, byte);
        }
        break;
    case UART_IIR_FCR:
        fcr_write(uart, byte);
        break;
    case UART_LCR:
        uart->lcr = byte;
        break;
    case UART_MCR:
        uart->mcr = byte & MCR_MASK;
        modem_status_update(uart);
        break;
    case UART_LSR: /* written in factory tests only */
    case UART_MSR:
        break;
    case UART_SCR:
        uart->scr = byte;
        break;
    }
}

/* ---- device ------------------------------------------------------------------------------ */

static int uart_create(const struct device_setup *setup, struct device **device)
{
    uint64_t stride_shift = setup->values[OPTION_STRIDE].number;
    uint64_t size_bytes = (uint64_t)UART_REGISTER_COUNT << stride_shift;
    if (setup->range_count != 1 ||
        setup->ranges[0].last - setup->ranges[0].first < size_bytes - 1) {
        return device_refuse(setup, EINVAL,
                             "ranges: with stride %s a UART needs exactly one, of %u addresses or "
                             "more",
                             uart_strides[stride_shift], (unsigned)size_bytes);
    }
    struct uart *uart = calloc(1, sizeof(*uart));
    if (!uart)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    uart->device.ops = &device_uart;
    uart->stride_shift = (uint32_t)stride_shift;
    int rc = device_stream_init(&uart->device, setup, "stream", setup->values[OPTION_STREAM].string,
                                DEVICE_STREAM_OUTPUT_AND_INPUT);
    if (rc < 0) {
        free(uart);
        return rc;
    }
    *device = &uart->device;
    return 0;
}

/* Master reset. Divisor and scratch survive it on hardware, where they begin undefined. */
static void uart_reset(struct device *device)
{
    struct uart *uart = (struct uart *)device;
    receiver_clear(uart);
    device_stream_drain(device); /* typed for whoever ran before */
    uart->trigger_level = 1;
    uart->fifos_enabled = false;
    uart->thr_empty_pending = false;
    uart->overrun = false;
    device_set_line(device, false);
    uart->divisor_low = DIVISOR_AT_RESET;
    uart->divisor_high = 0;
    uart->ier = 0;
    uart->lcr = 0;
    uart->mcr = 0;
    uart->msr = modem_lines(uart);
    uart->scr = 0;
}

static uint8_t byte_access(struct uart *uart, const struct request *request, uint32_t byte_index)
{
    uint64_t at = request->offset + byte_index;
    uint64_t index = at >> uart->stride_shift;
    if (index >= UART_REGISTER_COUNT)
        return 0xff;
    if (index << uart->stride_shift != at)
        return 0;
    if (request_is_read(request))
        return register_read(uart, (enum uart_register)index);
    register_write(uart, (enum uart_register)index, (uint8_t)(request->value >> (8 * byte_index)));
    return 0;
}

/* Relaxed: control's next look sees it. Output that drains raises the line without an access. */
static void set_line(struct uart *uart)
{
    device_set_line(&uart->device, interrupt_pending(uart) != IIR_NONE);
    atomic_store_explicit(&uart->device.line.is_clocked,
                          uart->ier & IER_THR_EMPTY && uart->thr_empty_pending &&
                              !transmitter_is_empty(uart),
                          memory_order_relaxed);
}

static int uart_handle(struct device *device, struct request *request)
{
    struct uart *uart = (struct uart *)device;
    if (request->range_index == REQUEST_NO_RANGE)
        return -ENXIO;
    receiver_fill(uart);
    uint64_t answer = 0;
    for (uint32_t i = 0; i < request->size_bytes; i++)
        answer |= (uint64_t)byte_access(uart, request, i) << (8 * i);
    if (request_is_read(request))
        request->value = answer;
    set_line(uart);
    return 0;
}

static void uart_tend(struct device *device, uint64_t ticks)
{
    struct uart *uart = (struct uart *)device;
    (void)ticks;
    receiver_fill(uart);
    set_line(uart);
}

static void uart_destroy(struct device *device)
{
    device_stream_fini(device);
    free(device);
}

const struct device_ops device_uart = {
    .name = "uart",
    .summary = "serial port 16550A",
    .options = uart_options,
    .option_count = OPTION_COUNT,
    .create = uart_create,
    .reset = uart_reset,
    .handle = uart_handle,
    .is_prompt = true,
    .tend = uart_tend,
    .destroy = uart_destroy,
};
