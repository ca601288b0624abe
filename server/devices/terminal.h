/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * terminal.h - the terminal at standard input, lent to a guest.
 *
 * Flow:    terminal_borrow -> terminal_filter on what is typed -> terminal_return.
 *
 *          Every key is the guest's, Ctrl-C too, and its bytes reach the screen as they are. Ctrl-A is
 *          the escape: Ctrl-A x ends the server (as SIGTERM does), Ctrl-A Ctrl-A sends one Ctrl-A,
 *          Ctrl-A and anything else sends nothing.
 * Threads: control; one terminal a process.
 * Errors:  the terminal is as it was after terminal_return, exit, and a signal that dumps core. Not
 *          after SIGKILL or the sandbox's kill: type reset.
 */
#ifndef SERVER_DEVICES_TERMINAL_H
#define SERVER_DEVICES_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_KEYS "Ctrl-A x ends the server, Ctrl-A Ctrl-A sends Ctrl-A"

/* False: standard input is no terminal, or belongs to somebody in the foreground; nothing changed. */
bool terminal_borrow(void);
/* Nothing happens if it was not borrowed. */
void terminal_return(void);
bool terminal_is_borrowed(void);

/* Takes the escapes out of bytes [count], in place; returns how many are left for the guest. */
size_t terminal_filter(uint8_t *bytes, size_t count);

#endif
