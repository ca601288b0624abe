/* SPDX-License-Identifier: BSD-3-Clause */
/* commands_internal.h - what the files of commands share: a line taken apart, and replies to it. */
#ifndef SERVER_SOCKET_COMMANDS_INTERNAL_H
#define SERVER_SOCKET_COMMANDS_INTERNAL_H

#include "server/socket/commands.h"

#define ARGUMENTS_MAX 6u

struct call {
    const struct command_context *context;
    pid_t pid;
    int descriptor;   /* came with the line, and stays the caller's; -1: none */
    bool is_poll;     /* asked again */
    const char *rest; /* the line behind the command's name, as it came */
    uint32_t argument_count;
    const char *arguments[ARGUMENTS_MAX]; /* taken apart at its blanks */
};

__attribute__((format(printf, 1, 2))) struct command_reply command_reply_text(const char *format,
                                                                              ...);

/* For operations whose result says everything. */
struct command_reply command_reply_result(int result, const char *what);

/* The VM that the first argument names; NULL with *reply filled. */
struct vm *command_find_vm(const struct call *call, struct command_reply *reply);

/* The client that the first two name; NULL with *reply filled. */
struct vm_client *command_find_client(const struct call *call, struct command_reply *reply);

/* Decimal or 0x...; portio, mmio or pcicfg. */
bool command_read_number(const char *text, uint64_t *number);
bool command_read_type(const char *text, uint32_t *type);

struct command_reply command_ioeventfd_assign(const struct call *call);
struct command_reply command_ioeventfd_deassign(const struct call *call);
struct command_reply command_irqfd_assign(const struct call *call);
struct command_reply command_irqfd_deassign(const struct call *call);
struct command_reply command_notify_assign(const struct call *call);
struct command_reply command_upcall_assign(const struct call *call);
struct command_reply command_vm_create(const struct call *call);
struct command_reply command_client_create(const struct call *call);
struct command_reply command_client_register(const struct call *call);
struct command_reply command_client_start(const struct call *call);
struct command_reply command_client_stop(const struct call *call);

#endif
