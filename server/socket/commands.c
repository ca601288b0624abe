/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/commands_internal.h"

#include "server/log.h"
#include "server/notify/arrival.h"
#include "server/restart/adoption.h"
#include "server/restart/keeper.h"
#include "server/restart/remake.h"
#include "server/status.h"
#include "server/vm_client.h"
#include "server/vm_hsm.h"

#include <errno.h>
#include <inttypes.h>
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

static struct command_reply reply_pending(void)
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

/* ---- VMs --------------------------------------------------------------------------------- */

static struct command_reply attach(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    int descriptor = -1;
    int result = vm_hsm_is_handed(vm)    ? vm_hsm_attach(vm, call->pid, call->descriptor)
                 : call->descriptor >= 0 ? adoption_return(vm, call->descriptor, call->pid)
                                         : vm_attach(vm, call->pid, &descriptor);
    if (result == -ENOTCONN)
        return command_error(ENOTCONN, "expected hsm-device %s with /dev/acrn_hsm before",
                             vm->name);
    if (result == -EOPNOTSUPP)
        return command_error(EOPNOTSUPP,
                             "VM %s has its page from %s (source: %s), nobody attaches to it",
                             vm->name, vm->device, vm->source_kind->name);
    if (result == -ESTALE)
        return command_error(ESTALE, "that is not the page of VM %s", vm->name);
    if (result == -EEXIST)
        return command_error(EEXIST, "process %d plays the hypervisor of VM %s already",
                             (int)vm->requester_pid, vm->name);
    if (result < 0)
        return command_reply_result(result, vm->name);
    reply = command_reply_text("ok vcpus=%u poller_cpu=%u waits=%u kept=%u\n", vm->page->vcpu_count,
                               call->context->topology->pollers[vm->poller_index].cpu,
                               arrival_is_wanted(vm), keeper_is_there());
    reply.descriptor = descriptor;
    reply.attached = vm;
    log_info("vm %s: requester pid %d %s", vm->name, (int)call->pid,
             call->descriptor >= 0 ? "is back" : "attached");
    return reply;
}

/* With a descriptor: the device of a VM that is handed over; without: that of one that we created. */
static struct command_reply hsm_device(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    if (call->descriptor >= 0) {
        int result = vm_hsm_take_device(vm, call->descriptor);
        return result == -EINVAL
                   ? command_error(EINVAL,
                                   "VM %s: expected hsm_vm: handed_over in its configuration",
                                   vm->name)
                   : command_reply_result(result, vm->name);
    }
    int device = vm_hsm_lend(vm);
    if (device < 0)
        return command_error(ENODEV,
                             "VM %s: expected source: hsm with hsm_vm: created, or an open "
                             "/dev/acrn_hsm with this line",
                             vm->name);
    reply = command_reply_text("ok vm_id=%u\n", vm_hsm_id(vm));
    reply.descriptor = device;
    return reply;
}

/* A VM must be in that state, or its state does not matter: NULL. */
static struct command_reply with_vm(const struct call *call, int (*operation)(struct vm *vm),
                                    const char *state)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    int result = vm ? operation(vm) : 0;
    if (result == -EINVAL && state)
        return command_error(EINVAL, "VM %s is %s; expected a %s one", vm->name,
                             status_vm_state(vm), state);
    return vm ? command_reply_result(result, call->arguments[0]) : reply;
}

static struct command_reply start(const struct call *call)
{
    struct command_reply reply = with_vm(call, vm_start, "stopped");
    if (command_reply_is_ok(&reply))
        command_note_start(call, call->arguments[0]);
    return reply;
}

static struct command_reply pause_vm(const struct call *call)
{
    return with_vm(call, vm_pause, "running");
}

static struct command_reply resume(const struct call *call)
{
    return with_vm(call, vm_resume, "paused");
}

static struct command_reply destroy(const struct call *call)
{
    struct command_reply reply = with_vm(call, vm_destroy, NULL);
    if (command_reply_is_ok(&reply))
        remake_note_vm_end(call->context->topology, call->arguments[0]);
    return reply;
}

static struct command_reply clear_with(const struct call *call, int (*begin)(struct vm *vm))
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    int result = call->is_poll ? 0 : begin(vm);
    if (result == 0)
        result = vm_clear_poll(vm);
    if (result == -EAGAIN)
        return reply_pending();
    return result < 0 ? command_reply_result(result, vm->name)
                      : command_reply_text("ok completed=%d\n", result);
}

static struct command_reply clear(const struct call *call)
{
    return clear_with(call, vm_clear_begin);
}

static struct command_reply reset(const struct call *call)
{
    return clear_with(call, vm_reset_begin);
}

/* ---- clients ----------------------------------------------------------------------------- */

static struct command_reply client_create_external(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    const struct vm_client_options options = {
        .name = call->arguments[1], .is_default = true, .is_external = true};
    struct vm_client *client;
    int result = vm_client_create(vm, &options, &client);
    if (result == 0)
        command_note(call, "client-create-external", vm->name, client->client.name);
    return command_reply_result(result, call->arguments[1]);
}

static struct command_reply client_destroy(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    int result = vm_client_destroy(client);
    if (result == 0)
        remake_note_client_end(call->context->topology, call->arguments[0], call->arguments[1]);
    return command_reply_result(result, call->arguments[1]);
}

/* TYPE FIRST LAST [PRIORITY] after VM and client. */
static bool read_range(const struct call *call, struct router_range *range)
{
    uint64_t priority = 0;
    *range = (struct router_range){0};
    bool is_valid =
        command_read_type(call->arguments[2], &range->type) &&
        command_read_number(call->arguments[3], &range->first) &&
        command_read_number(call->arguments[4], &range->last) &&
        (call->argument_count < 6 ||
         (command_read_number(call->arguments[5], &priority) && priority <= UINT32_MAX));
    range->priority = (uint32_t)priority;
    return is_valid;
}

static struct command_reply range_add(const struct call *call)
{
    struct command_reply reply;
    struct router_range range;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    if (!read_range(call, &range))
        return command_error(EINVAL, "expected TYPE (portio, mmio, pcicfg) FIRST LAST [PRIORITY]");
    int result = vm_client_add_range(client, range.type, range.first, range.last, range.priority);
    if (result == -EEXIST)
        return command_error(EEXIST, "it overlaps a range of the same priority; give it another");
    if (result == -EINVAL)
        return command_error(EINVAL,
                             "no range of that type; expected FIRST up to LAST, of portio at "
                             "most 0xffff, of pcicfg 0xfffffff; PRIORITY below 4294967295");
    if (result == 0)
        command_note_range(client, &range, true);
    return command_reply_result(result, call->arguments[1]);
}

static struct command_reply range_delete(const struct call *call)
{
    struct command_reply reply;
    struct router_range range;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    if (call->argument_count > 5 || !read_range(call, &range))
        return command_error(EINVAL, "expected TYPE (portio, mmio, pcicfg) FIRST LAST");
    range.priority = vm_client_priority(client, range.type, range.first, range.last);
    int result = vm_client_delete_range(client, range.type, range.first, range.last);
    if (result == -ENOENT)
        return command_error(ENOENT, "client %s has no such range", client->client.name);
    if (result == 0)
        command_note_range(client, &range, false);
    return command_reply_result(result, call->arguments[1]);
}

static struct command_reply not_external(const struct vm_client *client)
{
    return command_error(EINVAL,
                         "client %s answers by itself; expected one of client-create-external",
                         client->client.name);
}

/* One line for each request that waits for an external client: what it would see in the page. */
static struct command_reply client_attach(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client && call->is_poll) {
        free(reply.text);
        return command_error(ENODEV, "the client is being destroyed");
    }
    if (!client)
        return reply;
    uint32_t vcpus;
    int result = vm_client_wait(client, 0, &vcpus);
    if (result == -EINVAL)
        return not_external(client);
    if (result == -ETIMEDOUT)
        return reply_pending();
    if (result < 0)
        return command_reply_result(result, client->client.name);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return command_error(ENOMEM, "no memory");
    fputs("ok\n", out);
    static const char *const types[] = {"portio", "mmio", "pcicfg", "wp"};
    for (uint32_t vcpu = 0; vcpu < SLOT_COUNT; vcpu++) {
        struct request request;
        if ((vcpus >> vcpu & 1) && vm_client_look(client, vcpu, &request) == 0)
            fprintf(out,
                    "vcpu=%u type=%s direction=%s address=0x%" PRIx64 " size=%u value=0x%" PRIx64
                    "\n",
                    vcpu, types[request.type], request_is_read(&request) ? "read" : "write",
                    request.address, request.size_bytes, request.value);
    }
    return (struct command_reply){.text = fclose(out) == 0 ? text : NULL, .descriptor = -1};
}

static struct command_reply notify_finish(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    uint64_t vcpu, value = UINT64_MAX;
    if (!client)
        return reply;
    if (!command_read_number(call->arguments[2], &vcpu) ||
        (call->argument_count > 3 && !command_read_number(call->arguments[3], &value)))
        return command_error(EINVAL, "expected VCPU [VALUE]");
    if (!client->client.external)
        return not_external(client);
    uint32_t vcpu_count = client->vm->page->vcpu_count;
    if (vcpu >= vcpu_count)
        return command_error(EINVAL, "VM %s has no vCPU %s; expected a number from 0 to %u",
                             client->vm->name, call->arguments[2], vcpu_count - 1);
    int result = vm_client_finish(client, (uint32_t)vcpu, value);
    if (result == -ENOENT)
        return command_error(ENOENT, "no request of that vCPU is in flight with this client");
    return command_reply_result(result, "notify-finish");
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
    {"attach", "VM", 1, 1, attach},
    {"hsm-device", "VM", 1, 1, hsm_device},
    {"status", "[--json]", 0, 1, status},
    {"reload", "", 0, 0, reload},
    {"vm-create", "{name: ..., vcpus: ..., source: ..., poller: ...}", 1, UINT32_MAX,
     command_vm_create},
    {"vm-destroy", "VM", 1, 1, destroy},
    {"vm-start", "VM", 1, 1, start},
    {"vm-pause", "VM", 1, 1, pause_vm},
    {"vm-resume", "VM", 1, 1, resume},
    {"vm-clear", "VM", 1, 1, clear},
    {"vm-reset", "VM", 1, 1, reset},
    {"client-create", "{name: ..., vm: ..., device: ..., ranges: [...], options: {...}}", 1,
     UINT32_MAX, command_client_create},
    {"client-create-external", "VM CLIENT", 2, 2, client_create_external},
    {"client-destroy", "VM CLIENT", 2, 2, client_destroy},
    {"client-register", "VM CLIENT [EPOCH TAKEN]", 2, 4, command_client_register},
    {"client-start", "VM CLIENT", 2, 2, command_client_start},
    {"client-stop", "VM CLIENT", 2, 2, command_client_stop},
    {"client-attach", "VM CLIENT", 2, 2, client_attach},
    {"notify-finish", "VM CLIENT VCPU [VALUE]", 3, 4, notify_finish},
    {"range-add", "VM CLIENT TYPE FIRST LAST [PRIORITY]", 5, 6, range_add},
    {"ioeventfd-assign", "VM TYPE ADDRESS LENGTH [DATA|any [zero|ones|kernel]]", 4, 6,
     command_ioeventfd_assign},
    {"ioeventfd-deassign", "VM TYPE ADDRESS LENGTH [DATA|any [kernel]]", 4, 6,
     command_ioeventfd_deassign},
    {"irqfd-assign", "VM line GSI | VM msi ADDRESS DATA", 3, 4, command_irqfd_assign},
    {"irqfd-deassign", "VM", 1, 1, command_irqfd_deassign},
    {"notify-assign", "VM VCPU", 2, 2, command_notify_assign},
    {"upcall-assign", "VM", 1, 1, command_upcall_assign},
    {"range-delete", "VM CLIENT TYPE FIRST LAST", 5, 5, range_delete},
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
