/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/commands_internal.h"

#include "server/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- replies ----------------------------------------------------------------------------- */

struct command_reply command_reply_text(const char *format, ...)
{
    struct command_reply reply = {.descriptor = -1};
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&reply.text, format, arguments) < 0)
        reply.text = NULL;
    va_end(arguments);
    return reply;
}

struct command_reply command_error(int error, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return command_reply_text("error %d %s\n", error, reason);
}

struct command_reply command_reply_result(int result, const char *what)
{
    return result < 0 ? command_error(-result, "%s: %s", what, strerror(-result))
                      : command_reply_text("ok\n");
}

bool command_reply_is_ok(const struct command_reply *reply)
{
    return reply->text && strncmp(reply->text, "ok", 2) == 0;
}

struct command_reply command_reply_pending(void)
{
    return (struct command_reply){.is_pending = true, .descriptor = -1};
}

/* ---- arguments --------------------------------------------------------------------------- */

struct vm *command_find_vm(const struct call *call, struct command_reply *reply)
{
    struct vm *vm = topology_find_vm(call->context->topology, call->arguments[0]);
    if (!vm)
        *reply = command_error(ENOENT, "no VM is called %.64s", call->arguments[0]);
    return vm;
}

struct vm_client *command_find_client(const struct call *call, struct command_reply *reply)
{
    struct vm *vm = command_find_vm(call, reply);
    struct vm_client *client = vm ? topology_find_client(vm, call->arguments[1]) : NULL;
    if (vm && !client)
        *reply =
            command_error(ENOENT, "VM %s has no client called %.64s", vm->name, call->arguments[1]);
    return client;
}

bool command_read_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

bool command_read_type(const char *text, uint32_t *type)
{
    static const char *const names[] = {"portio", "mmio", "pcicfg"};
    for (*type = 0; *type < 3; (*type)++)
        if (strcmp(text, names[*type]) == 0)
            return true;
    return false;
}

/* ---- the server -------------------------------------------------------------------------- */

static struct command_reply reload(const struct call *call)
{
    int result = call->context->reload ? reload_run(call->context->reload) : -EOPNOTSUPP;
    return result < 0 ? command_error(-result, "the old configuration stays; see the server's log")
                      : command_reply_text("ok\n");
}

static struct command_reply status(const struct call *call)
{
    bool as_json = call->argument_count == 1 && strcmp(call->arguments[0], "json") == 0;
    if (call->argument_count == 1 && !as_json)
        return command_error(EINVAL, "expected: status [--json]");
    struct topology *topology = call->context->topology;
    char *text = as_json ? status_json(topology) : status_text(topology);
    if (!text)
        return command_error(ENOMEM, "no memory");
    struct command_reply reply = command_reply_text("ok\n%s%s", text, as_json ? "\n" : "");
    free(text);
    return reply;
}

/* ---- the table --------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    const char *usage;
    uint32_t minimum, maximum; /* arguments */
    struct command_reply (*run)(const struct call *call);
} commands[] = {
    {"attach", "VM", 1, 1, command_attach},
    {"hsm-device", "VM", 1, 1, command_hsm_device},
    {"status", "[--json]", 0, 1, status},
    {"reload", "", 0, 0, reload},
    {"vm-create", "{name: ..., vcpus: ..., source: ..., poller: ...}", 1, UINT32_MAX,
     command_vm_create},
    {"vm-destroy", "VM", 1, 1, command_vm_destroy},
    {"vm-start", "VM", 1, 1, command_vm_start},
    {"vm-pause", "VM", 1, 1, command_vm_pause},
    {"vm-resume", "VM", 1, 1, command_vm_resume},
    {"vm-clear", "VM", 1, 1, command_vm_clear},
    {"vm-reset", "VM", 1, 1, command_vm_reset},
    {"client-create", "{name: ..., vm: ..., device: ..., ranges: [...], options: {...}}", 1,
     UINT32_MAX, command_client_create},
    {"client-create-external", "VM CLIENT", 2, 2, command_client_create_external},
    {"client-destroy", "VM CLIENT", 2, 2, command_client_destroy},
    {"client-register", "VM CLIENT [EPOCH TAKEN]", 2, 4, command_client_register},
    {"client-start", "VM CLIENT", 2, 2, command_client_start},
    {"client-stop", "VM CLIENT", 2, 2, command_client_stop},
    {"client-attach", "VM CLIENT", 2, 2, command_client_attach},
    {"notify-finish", "VM CLIENT VCPU [VALUE]", 3, 4, command_notify_finish},
    {"range-add", "VM CLIENT TYPE FIRST LAST [PRIORITY]", 5, 6, command_range_add},
    {"ioeventfd-assign", "VM TYPE ADDRESS LENGTH [DATA|any [zero|ones|kernel]]", 4, 6,
     command_ioeventfd_assign},
    {"ioeventfd-deassign", "VM TYPE ADDRESS LENGTH [DATA|any [kernel]]", 4, 6,
     command_ioeventfd_deassign},
    {"irqfd-assign", "VM line GSI | VM msi ADDRESS DATA", 3, 4, command_irqfd_assign},
    {"irqfd-deassign", "VM", 1, 1, command_irqfd_deassign},
    {"notify-assign", "VM VCPU", 2, 2, command_notify_assign},
    {"upcall-assign", "VM", 1, 1, command_upcall_assign},
    {"range-delete", "VM CLIENT TYPE FIRST LAST", 5, 5, command_range_delete},
};

static struct command_reply dispatch(const struct command_context *context, const char *line,
                                     pid_t pid, int descriptor, bool is_poll)
{
    const char *blank = strchr(line, ' ');
    struct call call = {.context = context,
                        .pid = pid,
                        .descriptor = descriptor,
                        .is_poll = is_poll,
                        .rest = blank ? blank + 1 : ""};
    char *copy = strdup(line), *rest = NULL;
    if (!copy)
        return (struct command_reply){.descriptor = -1};
    const char *name = strtok_r(copy, " ", &rest);
    uint32_t count = 0;
    for (char *each = strtok_r(NULL, " ", &rest); each; each = strtok_r(NULL, " ", &rest))
        if (count++ < ARGUMENTS_MAX)
            call.arguments[count - 1] = each;
    call.argument_count = count;
    struct command_reply reply =
        command_error(EINVAL, "unknown command '%.40s'; see ioreqctl --help", name ? name : "");
    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        free(reply.text);
        reply = count >= commands[i].minimum && count <= commands[i].maximum
                    ? commands[i].run(&call)
                    : command_error(EINVAL, "expected: %s %s", commands[i].name, commands[i].usage);
        break;
    }
    free(copy);
    return reply;
}

struct command_reply command_run(const struct command_context *context, const char *line, pid_t pid,
                                 int descriptor)
{
    return dispatch(context, line, pid, descriptor, false);
}

struct command_reply command_poll(const struct command_context *context, const char *line)
{
    return dispatch(context, line, 0, -1, true);
}
