/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/ctl/placement_report.h"

#include "server/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *role_name(enum placement_role role)
{
    switch (role) {
    case PLACEMENT_POLLER:
        return "poller";
    case PLACEMENT_CONTROL:
        return "control";
    default:
        return "notify";
    }
}

/* ---- table ------------------------------------------------------------------------------- */

/* text, folded between words at width; further lines begin at column indent, where the first one
 * begins already. */
static void print_folded(const char *text, uint32_t indent, uint32_t width, FILE *stream)
{
    size_t room = width - indent;
    while (strlen(text) > room) {
        size_t length = room;
        while (length > 0 && text[length] != ' ')
            length--;
        if (length == 0)
            length = strcspn(text, " "); /* one word that is longer than a line */
        fprintf(stream, "%.*s\n", (int)length, text);
        text += length + (text[length] == ' ');
        if (!*text)
            return;
        fprintf(stream, "%*s", (int)indent, "");
    }
    fprintf(stream, "%s\n", text);
}

static void print_machine(const struct placement_machine *machine, FILE *stream)
{
    static const struct {
        const char *name;
        enum placement_set set;
    } sets[] = {{"isolated", PLACEMENT_ISOLATED},
                {"not allowed here", PLACEMENT_FORBIDDEN},
                {"offline", PLACEMENT_OFFLINE}};
    fprintf(stream, "%zu CPU%s, %u core%s", machine->cpu_count, machine->cpu_count == 1 ? "" : "s",
            machine->core_count, machine->core_count == 1 ? "" : "s");
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        char list[PLACEMENT_LIST_BYTES];
        placement_list(machine, sets[i].set, list, sizeof(list));
        if (strcmp(list, "none") != 0 || sets[i].set == PLACEMENT_ISOLATED)
            fprintf(stream, "; %s: %s", sets[i].name, list);
    }
    fputs("\n\n", stream);
}

void placement_report_table(const struct placement_machine *machine, const struct thread_plan *plan,
                            uint32_t width, FILE *stream)
{
    print_machine(machine, stream);
    uint32_t indent = (uint32_t)fprintf(stream, "%-15s  %-7s %5s %5s %4s %5s  ", "THREAD", "ROLE",
                                        "CPU", "CORE", "L3", "NODE");
    fputs("WHY\n", stream);
    for (size_t i = 0; i < plan->count; i++) {
        const struct placement_cpu *cpu = placement_find(machine, plan->seats[i].cpu);
        char l3[16] = "-";
        if (cpu->near_kind == PLACEMENT_NEAR_L3)
            snprintf(l3, sizeof(l3), "%u", cpu->near);
        fprintf(stream, "%-15s  %-7s %5u %5u %4s %5u  ", plan->wishes[i].name,
                role_name(plan->wishes[i].role), cpu->cpu, cpu->core, l3, cpu->node);
        print_folded(plan->seats[i].why, indent, width, stream);
    }
    fputc('\n', stream);
    bool has_warnings = false;
    for (size_t i = 0; i < plan->count; i++) {
        if (!plan->seats[i].warning[0])
            continue;
        uint32_t at = (uint32_t)fprintf(stream, "warning: %s: ", plan->wishes[i].name);
        print_folded(plan->seats[i].warning, at, width, stream);
        has_warnings = true;
    }
    if (has_warnings)
        fputc('\n', stream);
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void report_machine(const struct placement_machine *machine, struct report *object)
{
    static const char *const names[] = {[PLACEMENT_USABLE] = "usable",
                                        [PLACEMENT_ISOLATED] = "isolated",
                                        [PLACEMENT_OFFLINE] = "offline",
                                        [PLACEMENT_FORBIDDEN] = "forbidden"};
    report_add_number(object, "cpus", machine->cpu_count);
    report_add_number(object, "cores", machine->core_count);
    report_add_bool(object, "is_this_system", machine->is_this_system);
    char *list = malloc((size_t)PLACEMENT_CPUS_MAX * 6); /* room for all of them, never cut off */
    for (size_t i = 0; list && i < sizeof(names) / sizeof(names[0]); i++) {
        placement_list(machine, (enum placement_set)i, list, (size_t)PLACEMENT_CPUS_MAX * 6);
        report_add_text(object, names[i], list);
    }
    free(list);
}

int placement_report_json(const struct config *config, const struct placement_machine *machine,
                          const struct thread_plan *plan, FILE *stream)
{
    struct report *root = report_create();
    report_add_text(root, "file", config->path);
    report_machine(machine, report_add_object(root, "machine"));
    struct report *threads = report_add_array(root, "threads");
    for (size_t i = 0; i < plan->count; i++) {
        const struct placement_cpu *cpu = placement_find(machine, plan->seats[i].cpu);
        struct report *thread = report_append_object(threads);
        report_add_text(thread, "name", plan->wishes[i].name);
        report_add_text(thread, "role", role_name(plan->wishes[i].role));
        report_add_number(thread, "cpu", cpu->cpu);
        report_add_number(thread, "core", cpu->core);
        report_add_text(thread, "near", placement_near_name(cpu->near_kind));
        report_add_number(thread, "near_index", cpu->near);
        report_add_number(thread, "node", cpu->node);
        report_add_bool(thread, "isolated", cpu->is_isolated);
        report_add_text(thread, "why", plan->seats[i].why);
        report_add_text(thread, "warning", plan->seats[i].warning);
    }
    char *text = report_text(root);
    report_destroy(root);
    if (!text)
        return -ENOMEM;
    int written = fprintf(stream, "%s\n", text);
    free(text);
    return written < 0 ? -EIO : 0;
}
