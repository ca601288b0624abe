/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * daemon_access.h - the guest's side of a VM of daemon.h's ioreqd: single accesses, each of which must be
 * answered.
 *
 * Flow:    daemon_attach -> daemon_read, daemon_write_word, daemon_exercise... -> requester_detach.
 * Threads: the test's; one a vCPU.
 * Memory:  the requester is the caller's.
 * Errors:  asserted: a test cannot go on.
 */
#ifndef TESTS_SUPPORT_DAEMON_ACCESS_H
#define TESTS_SUPPORT_DAEMON_ACCESS_H

#include "tests/support/daemon.h"

#include "clients/request.h"
#include "server/vm/requester.h"

/* DAEMON_SCRATCH_CLIENT's first word. */
#define DAEMON_SCRATCH 0xfe000000ull

static inline struct requester *daemon_attach(const struct daemon *daemon, const char *vm)
{
    struct requester *requester = NULL;
    char error[256] = "";
    int result = -EEXIST;
    /* An earlier requester's end may reach the server after us. */
    for (int i = 0; i < 500 && result == -EEXIST; i++) {
        result = requester_attach(daemon->socket, vm, &requester, error, sizeof(error));
        if (result == -EEXIST)
            daemon_pause();
    }
    if (result != 0)
        fail_msg("attach: %s", error);
    return requester;
}

/* One access that must be answered; returns the value. */
static inline uint64_t daemon_access(struct requester *requester, uint32_t vcpu,
                                     struct requester_access access)
{
    assert_int_equal(requester_access(requester, vcpu, &access), 0);
    return access.value;
}

static inline uint64_t daemon_read(struct requester *requester, uint64_t address, uint64_t size)
{
    return daemon_access(requester, 0,
                         (struct requester_access){.address = address,
                                                   .size_bytes = size,
                                                   .type = REQUEST_MMIO,
                                                   .direction = REQUEST_READ});
}

static inline void daemon_write_word(struct requester *requester, uint64_t address, uint64_t value)
{
    daemon_access(requester, 0,
                  (struct requester_access){.address = address,
                                            .value = value,
                                            .size_bytes = 8,
                                            .type = REQUEST_MMIO,
                                            .direction = REQUEST_WRITE});
}

static inline uint8_t daemon_read_port(struct requester *requester, uint64_t port)
{
    return (uint8_t)daemon_access(
        requester, 0,
        (struct requester_access){
            .address = port, .size_bytes = 1, .type = REQUEST_PORTIO, .direction = REQUEST_READ});
}

static inline void daemon_write_port(struct requester *requester, uint64_t port, uint8_t value)
{
    daemon_access(requester, 0,
                  (struct requester_access){.address = port,
                                            .value = value,
                                            .size_bytes = 1,
                                            .type = REQUEST_PORTIO,
                                            .direction = REQUEST_WRITE});
}

/* To the client "console" of daemon_write_config. */
static inline void daemon_write_console(struct requester *requester, const char *text)
{
    for (; *text; text++)
        daemon_write_port(requester, 0x402, (uint8_t)*text);
}

/* Writes and reads back `count` scratch words. */
static inline void daemon_exercise(struct requester *requester, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = DAEMON_SCRATCH + i % 512 * 8;
        daemon_write_word(requester, address, i * 0x9e3779b97f4a7c15u);
        assert_int_equal(daemon_read(requester, address, 8), i * 0x9e3779b97f4a7c15u);
    }
}

#endif
