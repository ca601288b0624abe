/* SPDX-License-Identifier: BSD-3-Clause */
/* How a client's process is started, its interrupt, and budgets: mappings that stand within others. */
#include "config/load.h"
#include "config/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The values of a mapping that need not stand there. NULL: no memory. */
static const struct schema_value *values_of(struct load *load, const char *section,
                                            const struct schema_value *value,
                                            const struct schema_key *key)
{
    if (value->record_count > 0)
        return value->records[0].values;
    return schema_read(&load->context, section, key->fields, key->field_count, NULL, value->mark);
}

/* NULL: no memory. */
static const char *const *keep_texts(struct load *load, const struct schema_value *list)
{
    const char **texts = arena_alloc(&load->arena, list->record_count + 1, sizeof(*texts));
    for (size_t i = 0; texts && i < list->record_count; i++)
        texts[i] = load_keep_text(load, list->records[i].values[0].string);
    return texts;
}

static void check_start(struct load *load, const struct schema_value *values,
                        const struct config_client *client)
{
    const struct config_start *start = &client->start;
    const struct schema_value *environment = &values[START_ENVIRONMENT];
    bool is_process = client->device != LOAD_NO_INDEX &&
                      strcmp(load->kinds[client->device].name, CONFIG_PROCESS_KIND) == 0;
    if (start->command_count > 0 && client->device != LOAD_NO_INDEX && !is_process)
        problems_add(&load->problems, start->command_mark,
                     "command: '%s' is answered for in the server itself; expected device: %s",
                     load->kinds[client->device].name, CONFIG_PROCESS_KIND);
    if (start->command_count > 0 && values[START_COMMAND].is_valid && start->command[0][0] != '/')
        problems_add(&load->problems, start->command_mark,
                     "command: '%s'; expected an absolute path first", start->command[0]);
    for (size_t i = 0; environment->is_valid && i < start->environment_count; i++) {
        const char *equals = strchr(start->environment[i], '=');
        if (!equals || equals == start->environment[i])
            problems_add(&load->problems, environment->records[i].mark,
                         "environment: '%s'; expected NAME=VALUE", start->environment[i]);
    }
}

int start_read(struct load *load, const struct schema_value *value, struct config_client *client)
{
    const struct schema_key *clients = &file_keys[FILE_CLIENTS];
    const struct schema_value *values =
        values_of(load, "start", value, &clients->fields[CLIENT_START]);
    if (!values)
        return -ENOMEM;
    client->start = (struct config_start){
        .command = keep_texts(load, &values[START_COMMAND]),
        .command_count = values[START_COMMAND].record_count,
        .user = load_keep_text(load, values[START_USER].string),
        .cpu = values[START_CPU].is_valid ? (uint32_t)values[START_CPU].number : CONFIG_CPU_ANY,
        .environment = keep_texts(load, &values[START_ENVIRONMENT]),
        .environment_count = values[START_ENVIRONMENT].record_count,
        .restart_limit = values[START_RESTART_LIMIT].number,
        .restart_within_ns = values[START_RESTART_WITHIN].number,
        .command_mark = values[START_COMMAND].mark,
        .user_mark = values[START_USER].mark,
        .cpu_mark = values[START_CPU].mark,
    };
    if (!client->start.command || !client->start.environment)
        return -ENOMEM;
    check_start(load, values, client);
    return 0;
}

/* False: the mapping says neither a line nor a whole message, or both. */
static bool interrupt_is_whole(struct load *load, const struct schema_value *values,
                               struct config_mark mark)
{
    bool has_line = values[INTERRUPT_LINE].node, has_address = values[INTERRUPT_ADDRESS].node;
    bool has_data = values[INTERRUPT_DATA].node;
    if (has_address != has_data)
        problems_add(&load->problems, mark,
                     "interrupt: half a message; expected both address and data");
    else if (has_line == has_address)
        problems_add(&load->problems, mark, "interrupt: %s; expected line, or address and data",
                     has_line ? "a line and a message" : "neither a line nor a message");
    return has_address == has_data && has_line != has_address;
}

static void check_message(struct load *load, const struct schema_value *values)
{
    const struct schema_value *address = &values[INTERRUPT_ADDRESS];
    const struct schema_value *data = &values[INTERRUPT_DATA];
    if (values[INTERRUPT_TRIGGER].node)
        problems_add(&load->problems, values[INTERRUPT_TRIGGER].mark,
                     "trigger: a message has none; expected it with line");
    if (address->is_valid && address->number % 4 != 0)
        problems_add(&load->problems, address->mark,
                     "address: 0x%" PRIx64 "; expected a multiple of 4", address->number);
    if (data->is_valid && (data->number & 0xff) < CONFIG_MESSAGE_VECTOR_MIN)
        problems_add(&load->problems, data->mark,
                     "data: its vector is %" PRIu64
                     ", an exception's; expected 0x10 or more in the "
                     "low 8 bits",
                     data->number & 0xff);
}

void interrupt_read(struct load *load, const struct schema_value *value,
                    struct config_client_interrupt *interrupt)
{
    *interrupt = (struct config_client_interrupt){.mark = value->mark};
    if (value->record_count == 0)
        return;
    const struct schema_value *values = value->records[0].values;
    if (!interrupt_is_whole(load, values, value->mark))
        return;
    interrupt->line = (uint32_t)values[INTERRUPT_LINE].number;
    interrupt->address = values[INTERRUPT_ADDRESS].number;
    interrupt->data = (uint32_t)values[INTERRUPT_DATA].number;
    if (values[INTERRUPT_LINE].node) {
        interrupt->kind = (enum config_client_interrupt_kind)(values[INTERRUPT_TRIGGER].number + 1);
    } else {
        interrupt->kind = CONFIG_CLIENT_INTERRUPT_MESSAGE;
        check_message(load, values);
    }
}

int budget_read(struct load *load, const struct schema_value *value, struct config_budget *budget)
{
    const struct schema_key *clients = &file_keys[FILE_CLIENTS];
    const struct schema_value *values =
        values_of(load, "budget", value, &clients->fields[CLIENT_BUDGET]);
    if (!values)
        return -ENOMEM;
    *budget = (struct config_budget){
        .time_ns = values[BUDGET_TIME].number,
        .requests = values[BUDGET_REQUESTS].number,
        .period_ns = values[BUDGET_PERIOD].number,
        .action = (enum config_budget_action)values[BUDGET_ACTION].number,
    };
    if (values[BUDGET_TIME].is_valid && values[BUDGET_PERIOD].is_valid &&
        budget->time_ns > budget->period_ns)
        problems_add(&load->problems, values[BUDGET_TIME].mark,
                     "time: more than the period has; expected less than period");
    return 0;
}
