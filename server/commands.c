/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/commands.h"

#include "server/log.h"
#include "server/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 1, 2))) static struct command_reply reply_text(const char *format,
                                                                             ...)
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
    return reply_text("error %d %s\n", error, reason);
}

static struct command_reply attach(struct topology *topology, const char *name, pid_t pid)
{
    struct vm *vm = topology_find_vm(topology, name);
    if (!vm)
        return command_error(ENOENT, "no VM is called %.64s", name);
    int descriptor = -1;
    int result = vm_attach(vm, pid, &descriptor);
    if (result == -EEXIST)
        return command_error(EEXIST, "process %d plays the hypervisor of VM %s already",
                             (int)vm->requester_pid, vm->name);
    if (result < 0)
        return command_error(-result, "VM %s: %s", vm->name, strerror(-result));
    struct command_reply reply = reply_text("ok vcpus=%u\n", vm->page->vcpu_count);
    reply.descriptor = descriptor;
    reply.attached = vm;
    log_info("vm %s: requester pid %d attached", vm->name, (int)pid);
    return reply;
}

static struct command_reply status(struct topology *topology, const char *form, pid_t pid)
{
    (void)pid;
    bool as_json = strcmp(form, "json") == 0;
    if (!as_json && form[0] != '\0')
        return command_error(EINVAL, "expected: status [json]");
    char *text = as_json ? status_json(topology) : status_text(topology);
    if (!text)
        return command_error(ENOMEM, "no memory");
    struct command_reply reply = reply_text("ok\n%s%s", text, as_json ? "\n" : "");
    free(text);
    return reply;
}

struct command_reply command_run(struct topology *topology, char *line, pid_t pid)
{
    static const struct {
        const char *name;
        struct command_reply (*run)(struct topology *topology, const char *argument, pid_t pid);
    } commands[] = {{"attach", attach}, {"status", status}};
    char *argument = strchr(line, ' ');
    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(line, commands[i].name) == 0)
            return commands[i].run(topology, argument ? argument : "", pid);
    return command_error(EINVAL, "unknown command; expected attach VM or status [json]");
}
