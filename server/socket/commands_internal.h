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

/* Not now: command_poll asks again. */
struct command_reply command_reply_pending(void);

/* It says that it was done. */
bool command_reply_is_ok(const struct command_reply *reply);

/* The VM that the first argument names; NULL with *reply filled. */
struct vm *command_find_vm(const struct call *call, struct command_reply *reply);

/* The client that the first two name; NULL with *reply filled. */
struct vm_client *command_find_client(const struct call *call, struct command_reply *reply);

/* Decimal or 0x...; portio, mmio or pcicfg. */
bool command_read_number(const char *text, uint64_t *number);
bool command_read_type(const char *text, uint32_t *type);

/* ---- what was made, for the next server: after success (commands_again.c) ---------------- */

/* The line made, or changed, that VM, or that client of it. */
void command_note(const struct call *call, const char *command, const char *vm, const char *client);
void command_note_start(const struct call *call, const char *vm);

/* range is as it was in the client; only its bounds, type and priority are looked at. */
void command_note_range(const struct vm_client *client, const struct router_range *range,
                        bool is_added);

/* text is the whole line, begin how it begins, of that eventfd. */
void command_note_eventfd(const struct call *call, const char *vm, const char *text);
void command_unnote_eventfd(const struct call *call, const char *vm, const char *begin);

/* ---- commands in files of their own ------------------------------------------------------ */

/* commands_vm.c */
struct command_reply command_attach(const struct call *call);
struct command_reply command_hsm_device(const struct call *call);
struct command_reply command_vm_start(const struct call *call);
struct command_reply command_vm_pause(const struct call *call);
struct command_reply command_vm_resume(const struct call *call);
struct command_reply command_vm_destroy(const struct call *call);
struct command_reply command_vm_clear(const struct call *call);
struct command_reply command_vm_reset(const struct call *call);

/* commands_create.c */
struct command_reply command_vm_create(const struct call *call);
struct command_reply command_client_create(const struct call *call);

/* commands_client.c */
struct command_reply command_client_destroy(const struct call *call);
struct command_reply command_range_add(const struct call *call);
struct command_reply command_range_delete(const struct call *call);

/* commands_external.c */
struct command_reply command_client_create_external(const struct call *call);
struct command_reply command_client_attach(const struct call *call);
struct command_reply command_notify_finish(const struct call *call);

/* commands_register.c */
struct command_reply command_client_register(const struct call *call);
struct command_reply command_client_start(const struct call *call);
struct command_reply command_client_stop(const struct call *call);

/* commands_eventfd.c */
struct command_reply command_ioeventfd_assign(const struct call *call);
struct command_reply command_ioeventfd_deassign(const struct call *call);
struct command_reply command_irqfd_assign(const struct call *call);
struct command_reply command_irqfd_deassign(const struct call *call);

/* commands_notify.c */
struct command_reply command_notify_assign(const struct call *call);
struct command_reply command_upcall_assign(const struct call *call);

#endif
