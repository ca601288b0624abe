/* SPDX-License-Identifier: BSD-3-Clause */
/* The sections of the file as the arrays of struct config, and the names by which they refer to
 * one another. */
#include "config/cpu_list.h"
#include "config/load.h"
#include "config/suggest.h"
#include "config/tables.h"

#include <errno.h>
#include <string.h>

/* The names of one section, for references; a name that was wrong is NULL. */
struct names {
    const char *const *names; /* [count] */
    size_t count;
    const char *what; /* "poller" */
    bool is_section;  /* its absence has been reported already */
};

static int names_take(struct load *load, const struct schema_value *section, size_t row,
                      const char *what, struct names *names)
{
    const char **texts = arena_alloc(&load->scratch, section->record_count, sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < section->record_count; i++) {
        const struct schema_value *name = &section->records[i].values[row];
        texts[i] = name->is_valid ? name->string : NULL;
    }
    *names = (struct names){
        .names = texts, .count = section->record_count, .what = what, .is_section = true};
    return 0;
}

/* The index of the name in value, or LOAD_NO_INDEX with the problem reported. */
static uint32_t resolve(struct load *load, const char *key, const struct schema_value *value,
                        const struct names *names)
{
    /* Where the whole section is missing that is the problem to tell, not each reference. */
    if (!value->is_valid || (names->count == 0 && names->is_section))
        return LOAD_NO_INDEX;
    struct suggest suggest;
    suggest_begin(&suggest, value->string);
    for (size_t i = 0; i < names->count; i++) {
        if (!names->names[i])
            continue;
        if (strcmp(names->names[i], value->string) == 0)
            return (uint32_t)i;
        suggest_offer(&suggest, names->names[i]);
    }
    problems_add(&load->problems, value->mark,
                 "%s: there is no %s '%s'%s; expected the name of a %s", key, names->what,
                 value->string, suggest_hint(&suggest), names->what);
    return LOAD_NO_INDEX;
}

/* A name given twice in one group; groups NULL: the section is one group. */
static void check_duplicate_names(struct load *load, const struct schema_value *section,
                                  const struct names *names, const struct config_client *clients)
{
    for (size_t i = 0; i < names->count; i++) {
        for (size_t j = 0; names->names[i] && j < i; j++) {
            bool is_same_group = !clients || clients[i].vm == clients[j].vm;
            if (!names->names[j] || !is_same_group || strcmp(names->names[i], names->names[j]) != 0)
                continue;
            /* The name is the first row of every section. */
            struct config_mark first = section->records[j].values[0].mark;
            problems_add(&load->problems, section->records[i].values[0].mark,
                         "a second %s '%s'; expected another name, the first stands at %u:%u",
                         names->what, names->names[i], (unsigned)first.line,
                         (unsigned)first.column);
            break;
        }
    }
}

/* The server must not look for a CPU that is no number. */
static uint32_t cpu_of(const struct schema_value *value)
{
    return value->is_valid ? (uint32_t)value->number : CONFIG_CPU_ANY;
}

static int server_build(struct load *load, const struct schema_value *section)
{
    const struct schema_value *values =
        section->record_count > 0
            ? section->records[0].values
            : schema_read(&load->context, "server", file_keys[FILE_SERVER].fields, SERVER_ROWS,
                          NULL, section->mark);
    if (!values)
        return -ENOMEM;
    const struct schema_value *uids = &values[SERVER_ALLOWED_UIDS];
    uint32_t *allowed = arena_alloc(&load->arena, uids->record_count, sizeof(*allowed));
    if (!allowed)
        return -ENOMEM;
    for (size_t i = 0; i < uids->record_count; i++)
        allowed[i] = (uint32_t)uids->records[i].values[0].number;
    load->config.server = (struct config_server){
        .socket = load_keep_text(load, values[SERVER_SOCKET].string),
        .lock_memory = values[SERVER_LOCK_MEMORY].number != 0,
        .settle_ns = values[SERVER_SETTLE].number,
        .cpu_dma_latency = (enum config_cpu_dma_latency)values[SERVER_CPU_DMA_LATENCY].number,
        .allowed_uids = allowed,
        .allowed_uid_count = uids->record_count,
        .cpu = cpu_of(&values[SERVER_CPU]),
        .notify_cpu = cpu_of(&values[SERVER_NOTIFY_CPU]),
        .notify = (enum config_notify)values[SERVER_NOTIFY].number,
        .socket_mark = values[SERVER_SOCKET].mark,
        .lock_memory_mark = values[SERVER_LOCK_MEMORY].mark,
        .cpu_mark = values[SERVER_CPU].mark,
        .notify_cpu_mark = values[SERVER_NOTIFY_CPU].mark,
    };
    return 0;
}

static int pollers_build(struct load *load, const struct schema_value *section)
{
    struct config_poller *pollers =
        arena_alloc(&load->arena, section->record_count, sizeof(*pollers));
    if (!pollers)
        return -ENOMEM;
    for (size_t i = 0; i < section->record_count; i++) {
        const struct schema_value *values = section->records[i].values;
        pollers[i] = (struct config_poller){
            .name = load_keep_text(load, values[POLLER_NAME].string),
            .cpu = cpu_of(&values[POLLER_CPU]),
            .idle = (enum config_idle)values[POLLER_IDLE].number,
            .idle_spins = (uint32_t)values[POLLER_IDLE_SPINS].number,
            .idle_sleep_ns = values[POLLER_IDLE_SLEEP].number,
            .sandbox = values[POLLER_SANDBOX].number != 0,
            .stuck_after_ns = values[POLLER_STUCK_AFTER].number,
            .mark = section->records[i].mark,
            .cpu_mark = values[POLLER_CPU].mark,
            .sandbox_mark = values[POLLER_SANDBOX].mark,
        };
    }
    load->config.pollers = pollers;
    load->config.poller_count = section->record_count;
    return 0;
}

static int vm_build(struct load *load, const struct schema_record *record,
                    const struct names *pollers, struct config_vm *vm)
{
    const struct schema_value *values = record->values;
    const struct schema_value *list = &values[VM_VCPU_CPUS];
    size_t cpu_count = list->is_valid ? (size_t)list->number : 0;
    uint32_t *cpus = arena_alloc(&load->arena, cpu_count, sizeof(*cpus));
    if (!cpus)
        return -ENOMEM;
    if (cpu_count > 0)
        cpu_list_read(list->string, cpus, &cpu_count);
    *vm = (struct config_vm){
        .name = load_keep_text(load, values[VM_NAME].string),
        .vcpus = (uint32_t)values[VM_VCPUS].number,
        .source = (enum config_source)values[VM_SOURCE].number,
        .poller = resolve(load, "poller", &values[VM_POLLER], pollers),
        .default_client = CONFIG_NO_CLIENT, /* until clients are read */
        .clear_timeout_ns = values[VM_CLEAR_TIMEOUT].number,
        .wait_after_ns = values[VM_WAIT_AFTER].number,
        .pci = values[VM_PCI].number != 0,
        .vcpu_cpus = cpus,
        .vcpu_cpu_count = cpu_count,
        .mark = record->mark,
        .pci_mark = values[VM_PCI].mark,
        .wait_after_mark = values[VM_WAIT_AFTER].mark,
        .vcpu_cpus_mark = list->mark,
    };
    place_read(load, values, record->mark, &vm->place);
    hsm_read(load, values, vm);
    return budget_read(load, &values[VM_BUDGET], &vm->budget);
}

static int vms_build(struct load *load, const struct schema_value *section,
                     const struct names *pollers, struct config_vm **built)
{
    struct config_vm *vms = arena_alloc(&load->arena, section->record_count, sizeof(*vms));
    if (!vms)
        return -ENOMEM;
    for (size_t i = 0; i < section->record_count; i++)
        if (vm_build(load, &section->records[i], pollers, &vms[i]) < 0)
            return -ENOMEM;
    *built = vms;
    load->config.vms = vms;
    load->config.vm_count = section->record_count;
    return 0;
}

static void check_deadline(struct load *load, const struct schema_value *values,
                           const struct config_client *client)
{
    static const uint32_t keys[] = {CLIENT_DEADLINE, CLIENT_LATE, CLIENT_LATE_VALUE};
    bool is_process = client->device != LOAD_NO_INDEX &&
                      strcmp(load->kinds[client->device].name, CONFIG_PROCESS_KIND) == 0;
    for (size_t i = 0; is_process && i < sizeof(keys) / sizeof(keys[0]); i++)
        if (values[keys[i]].node)
            problems_add(&load->problems, values[keys[i]].mark,
                         "a process has its deadline by its device's options; expected options: "
                         "{deadline_us: ..., late: ..., late_value: ...}");
    if (client->deadline_ns > 0 && client->deadline_ns < CONFIG_DEADLINE_NS_MIN)
        problems_add(&load->problems, values[CLIENT_DEADLINE].mark,
                     "deadline: expected 50us to 50ms, or 0us for none");
}

/* Its poller, where it names none, is left to the caller. */
static int client_build(struct load *load, const struct schema_record *record,
                        const struct names *pollers, const struct names *vms,
                        const struct names *kinds, struct config_client *client)
{
    const struct schema_value *values = record->values;
    *client = (struct config_client){
        .name = load_keep_text(load, values[CLIENT_NAME].string),
        .vm = resolve(load, "vm", &values[CLIENT_VM], vms),
        .poller = CONFIG_POLLER_OF_VM,
        .broken_after = values[CLIENT_BROKEN_AFTER].number,
        .deadline_ns = values[CLIENT_DEADLINE].number,
        .late = (enum config_late)values[CLIENT_LATE].number,
        .late_value = values[CLIENT_LATE_VALUE].number,
        .device = resolve(load, "device", &values[CLIENT_DEVICE], kinds),
        .mark = record->mark,
    };
    if (values[CLIENT_NAME].is_valid && strcmp(client->name, NO_CLIENT_WORD) == 0)
        problems_add(&load->problems, values[CLIENT_NAME].mark,
                     "name: '%s' stands for no client; expected another name", NO_CLIENT_WORD);
    if (values[CLIENT_POLLER].node)
        client->poller = resolve(load, "poller", &values[CLIENT_POLLER], pollers);
    if (client->device != LOAD_NO_INDEX) {
        client->values =
            device_options_read(load, client->device, &values[CLIENT_OPTIONS], record->mark);
        if (!client->values)
            return -ENOMEM;
    }
    check_deadline(load, values, client);
    int error = start_read(load, &values[CLIENT_START], client);
    interrupt_read(load, &values[CLIENT_INTERRUPT], &client->interrupt);
    if (!error)
        error = budget_read(load, &values[CLIENT_BUDGET], &client->budget);
    return error ? error : ranges_read(load, &values[CLIENT_RANGES], client);
}

static void check_client_counts(struct load *load)
{
    size_t counts[CONFIG_VMS_MAX] = {0};
    for (size_t i = 0; i < load->config.client_count; i++) {
        const struct config_client *client = &load->config.clients[i];
        if (client->vm != LOAD_NO_INDEX && ++counts[client->vm] == CONFIG_VM_CLIENTS_MAX + 1)
            problems_add(&load->problems, client->mark,
                         "more clients than a VM may have; expected at most %d",
                         CONFIG_VM_CLIENTS_MAX);
    }
}

static int kind_names_take(struct load *load, struct names *kinds)
{
    const char **texts = arena_alloc(&load->scratch, load->kind_count, sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < load->kind_count; i++)
        texts[i] = load->kinds[i].name;
    *kinds = (struct names){.names = texts, .count = load->kind_count, .what = "device kind"};
    return 0;
}

static int clients_build(struct load *load, const struct schema_value *section,
                         const struct names *pollers, const struct names *vms,
                         const struct names *names)
{
    struct config_client *clients =
        arena_alloc(&load->arena, section->record_count, sizeof(*clients));
    struct names kinds;
    if (!clients || kind_names_take(load, &kinds) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < section->record_count; i++) {
        int error = client_build(load, &section->records[i], pollers, vms, &kinds, &clients[i]);
        if (error)
            return error;
        bool names_poller = section->records[i].values[CLIENT_POLLER].node != NULL;
        if (!names_poller && clients[i].vm != LOAD_NO_INDEX)
            clients[i].poller = load->config.vms[clients[i].vm].poller;
    }
    load->config.clients = clients;
    load->config.client_count = section->record_count;
    check_duplicate_names(load, section, names, clients);
    check_client_counts(load);
    return 0;
}

/* The client of that name in vm, or LOAD_NO_INDEX with the problem reported. */
static uint32_t resolve_default_client(struct load *load, uint32_t vm,
                                       const struct schema_value *value, const struct names *names)
{
    struct suggest suggest;
    suggest_begin(&suggest, value->string);
    suggest_offer(&suggest, NO_CLIENT_WORD);
    bool is_elsewhere = false;
    for (size_t i = 0; i < names->count; i++) {
        bool is_ours = load->config.clients[i].vm == vm;
        bool is_named = names->names[i] && strcmp(names->names[i], value->string) == 0;
        if (is_ours && is_named)
            return (uint32_t)i;
        is_elsewhere = is_elsewhere || is_named;
        if (is_ours && names->names[i])
            suggest_offer(&suggest, names->names[i]);
    }
    problems_add(&load->problems, value->mark,
                 is_elsewhere ? "default_client: client '%s' belongs to another VM%s; expected a "
                                "client of this VM, or none"
                              : "default_client: this VM has no client '%s'%s; expected a client "
                                "of this VM, or none",
                 value->string, suggest_hint(&suggest));
    return LOAD_NO_INDEX;
}

/* Every client is reached by a range, or by being the default one. */
static void check_reachable(struct load *load, uint32_t vm, const struct schema_value *clients)
{
    for (size_t i = 0; i < load->config.client_count; i++) {
        const struct schema_value *ranges = &clients->records[i].values[CLIENT_RANGES];
        if (load->config.clients[i].vm != vm || load->config.vms[vm].default_client == i ||
            !ranges->is_valid || ranges->record_count > 0)
            continue;
        problems_add(&load->problems, load->config.clients[i].mark,
                     "a client without ranges; expected ranges, or that its VM has it as "
                     "default_client");
    }
}

static void default_clients_build(struct load *load, const struct schema_value *section,
                                  const struct schema_value *clients, struct config_vm *vms,
                                  const struct names *client_names)
{
    for (uint32_t i = 0; i < section->record_count; i++) {
        const struct schema_value *value = &section->records[i].values[VM_DEFAULT_CLIENT];
        if (!value->is_valid)
            continue;
        if (strcmp(value->string, NO_CLIENT_WORD) != 0) {
            vms[i].default_client = resolve_default_client(load, i, value, client_names);
            if (vms[i].default_client == LOAD_NO_INDEX)
                continue; /* else the one that was meant would be reported as well */
        }
        check_reachable(load, i, clients);
    }
}

int sections_build(struct load *load, const struct schema_value *values)
{
    const struct schema_value *vms = &values[FILE_VMS];
    const struct schema_value *clients = &values[FILE_CLIENTS];
    struct names poller_names, vm_names, client_names;
    struct config_vm *built_vms;
    int error = server_build(load, &values[FILE_SERVER]);
    if (!error)
        error = names_take(load, &values[FILE_POLLERS], POLLER_NAME, "poller", &poller_names);
    if (!error)
        error = names_take(load, vms, VM_NAME, "VM", &vm_names);
    if (!error)
        error = names_take(load, clients, CLIENT_NAME, "client", &client_names);
    if (!error)
        error = pollers_build(load, &values[FILE_POLLERS]);
    if (!error)
        error = vms_build(load, vms, &poller_names, &built_vms);
    if (!error)
        error = clients_build(load, clients, &poller_names, &vm_names, &client_names);
    if (error)
        return error;
    check_duplicate_names(load, &values[FILE_POLLERS], &poller_names, NULL);
    check_duplicate_names(load, vms, &vm_names, NULL);
    default_clients_build(load, vms, clients, built_vms, &client_names);
    for (uint32_t i = 0; !error && i < load->config.vm_count; i++)
        error = ranges_check(load, i, &built_vms[i]);
    return error;
}

/* ---- one VM or client alone -------------------------------------------------------------- */

int sections_build_vm(struct load *load, const struct schema_record *record,
                      const struct config_names *names)
{
    struct names pollers = {names->pollers, names->poller_count, "poller", false};
    struct config_vm *vm = arena_alloc(&load->arena, 1, sizeof(*vm));
    if (!vm || vm_build(load, record, &pollers, vm) < 0)
        return -ENOMEM;
    load->config.vms = vm;
    load->config.vm_count = 1;
    const struct schema_value *client = &record->values[VM_DEFAULT_CLIENT];
    if (client->is_valid && strcmp(client->string, NO_CLIENT_WORD) != 0)
        problems_add(&load->problems, client->mark,
                     "default_client: a VM created at run time has no client '%s' yet; expected "
                     "none, and the client created as default afterwards",
                     client->string);
    return 0;
}

int sections_build_client(struct load *load, const struct schema_record *record,
                          const struct config_names *names)
{
    struct names pollers = {names->pollers, names->poller_count, "poller", false};
    struct names vms = {names->vms, names->vm_count, "VM", false};
    struct names kinds;
    struct config_client *client = arena_alloc(&load->arena, 1, sizeof(*client));
    if (!client || kind_names_take(load, &kinds) != 0)
        return -ENOMEM;
    load->config.clients = client;
    load->config.client_count = 1;
    int error = client_build(load, record, &pollers, &vms, &kinds, client);
    return error ? error : ranges_check(load, client->vm, NULL);
}
