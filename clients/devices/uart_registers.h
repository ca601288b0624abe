/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uart_registers.h - the registers of a UART 16550A and their bits, under the names of the data sheet.
 *
 * Source: National PC16550D data sheet, tables II to IV.
 */
#ifndef CLIENTS_DEVICES_UART_REGISTERS_H
#define CLIENTS_DEVICES_UART_REGISTERS_H

#define UART_REGISTER_COUNT 8u
#define UART_FIFO_BYTES     16u

/* By their offset. Two or three share one: by direction, and by LCR_DIVISOR_ACCESS. */
enum uart_register {
    UART_RBR_THR_DLL = 0,
    UART_IER_DLM = 1,
    UART_IIR_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7,
};

#define IER_RECEIVED_DATA 0x01u
#define IER_THR_EMPTY     0x02u
#define IER_LINE_STATUS   0x04u
#define IER_MODEM_STATUS  0x08u
#define IER_MASK          0x0fu

/* Interrupt identification, highest priority first. */
#define IIR_LINE_STATUS   0x06u
#define IIR_RECEIVED_DATA 0x04u
#define IIR_TIMEOUT       0x0cu
#define IIR_THR_EMPTY     0x02u
#define IIR_MODEM_STATUS  0x00u
#define IIR_NONE          0x01u
#define IIR_FIFOS_ENABLED 0xc0u

#define FCR_ENABLE         0x01u
#define FCR_CLEAR_RECEIVE  0x02u
#define FCR_CLEAR_TRANSMIT 0x04u

#define LCR_DIVISOR_ACCESS 0x80u

#define MCR_DTR      0x01u
#define MCR_RTS      0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOPBACK 0x10u
#define MCR_MASK     0x1fu

#define LSR_DATA_READY        0x01u
#define LSR_OVERRUN           0x02u
#define LSR_THR_EMPTY         0x20u
#define LSR_TRANSMITTER_EMPTY 0x40u

#define MSR_DELTA_CTS  0x01u
#define MSR_DELTA_DSR  0x02u
#define MSR_RI_ENDED   0x04u
#define MSR_DELTA_DCD  0x08u
#define MSR_CTS        0x10u
#define MSR_DSR        0x20u
#define MSR_RI         0x40u
#define MSR_DCD        0x80u
#define MSR_DELTA_MASK 0x0fu

#endif
