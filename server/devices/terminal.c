/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 0x01u

static struct termios as_it_was;
static volatile sig_atomic_t is_borrowed;
static bool is_escaped;

/* Also in a signal handler: tcsetattr may be called there. */
void terminal_return(void)
{
    if (!is_borrowed)
        return;
    is_borrowed = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &as_it_was);
}

bool terminal_is_borrowed(void)
{
    return is_borrowed;
}

static void return_and_die(int signal_number)
{
    terminal_return();
    raise(signal_number); /* SA_RESETHAND: the default now */
}

static void return_at_every_end(void)
{
    static bool is_arranged;
    if (is_arranged)
        return;
    is_arranged = true;
    atexit(terminal_return);
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGQUIT};
    struct sigaction action = {.sa_handler = return_and_die, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        sigaction(deadly[i], &action, NULL);
}

bool terminal_borrow(void)
{
    if (is_borrowed || !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &as_it_was) < 0)
        return false;
    return_at_every_end();
    struct termios keys = as_it_was;
    cfmakeraw(&keys);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    is_escaped = false;
    is_borrowed = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0)
        return true;
    is_borrowed = 0;
    return false;
}

size_t terminal_filter(uint8_t *bytes, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        bool was_escaped = is_escaped;
        is_escaped = !was_escaped && bytes[i] == CTRL_A;
        if (was_escaped && bytes[i] == 'x')
            kill(getpid(), SIGTERM);
        else if (!is_escaped && (!was_escaped || bytes[i] == CTRL_A))
            bytes[left++] = bytes[i];
    }
    return left;
}
