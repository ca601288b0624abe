/* SPDX-License-Identifier: BSD-3-Clause */
/* Address ranges: the bounds of each, and that those of one VM and priority do not overlap. */
#include "config/load.h"
#include "config/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define FUNCTION_BYTES UINT64_C(4096) /* of configuration space */

static const char *range_type_name(enum config_range_type type)
{
    static const char *const names[] = {[CONFIG_RANGE_PORTIO] = "portio",
                                        [CONFIG_RANGE_MMIO] = "mmio",
                                        [CONFIG_RANGE_PCICFG] = "pcicfg"};
    return names[type];
}

/* The bounds of MMIO are those of the keys themselves. */
static bool check_address(struct load *load, enum config_range_type type,
                          const struct schema_value *value, const char *key)
{
    bool is_port = type == CONFIG_RANGE_PORTIO;
    uint64_t last = is_port                       ? CONFIG_PORT_LAST
                    : type == CONFIG_RANGE_PCICFG ? CONFIG_PCICFG_LAST
                                                  : CONFIG_MMIO_LAST;
    if (value->number <= last)
        return true;
    problems_add(&load->problems, value->mark,
                 "%s: 0x%" PRIx64 " is no %s; expected a number from 0 to 0x%" PRIx64 "%s", key,
                 value->number, is_port ? "port" : "PCI configuration address", last,
                 is_port ? "" : ", or bdf");
    return false;
}

/* A range that tells its function: neither in another address space nor with addresses as well. */
static bool range_read_bdf(struct load *load, const struct schema_record *record,
                           struct config_range *range)
{
    static const enum range_row addresses[] = {RANGE_FIRST, RANGE_LAST};
    const struct schema_value *bdf = &record->values[RANGE_BDF];
    bool is_right = range->type == CONFIG_RANGE_PCICFG;
    if (!is_right)
        problems_add(&load->problems, bdf->mark,
                     "bdf beside type: %s; expected first and last, or type: pcicfg",
                     range_type_name(range->type));
    for (size_t i = 0; is_right && i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        const struct schema_value *address = &record->values[addresses[i]];
        if (!address->node)
            continue;
        problems_add(&load->problems, address->mark,
                     "%s beside bdf; expected bdf alone, which is all of that function, or first "
                     "and last alone",
                     addresses[i] == RANGE_FIRST ? "first" : "last");
        is_right = false;
    }
    range->first = bdf->number;
    range->last = bdf->number + FUNCTION_BYTES - 1;
    return is_right && bdf->is_valid;
}

static bool range_read(struct load *load, const struct schema_record *record,
                       struct config_range *range)
{
    const struct schema_value *type = &record->values[RANGE_TYPE];
    const struct schema_value *first = &record->values[RANGE_FIRST];
    const struct schema_value *last = &record->values[RANGE_LAST];
    if (!last->node)
        last = first;
    if (!type->is_valid || !first->is_valid || !last->is_valid ||
        !record->values[RANGE_PRIORITY].is_valid)
        return false;
    *range = (struct config_range){.first = first->number,
                                   .last = last->number,
                                   .type = (enum config_range_type)type->number,
                                   .priority = (uint32_t)record->values[RANGE_PRIORITY].number,
                                   .mark = record->mark};
    if (record->values[RANGE_BDF].node)
        return range_read_bdf(load, record, range);
    bool is_inside = check_address(load, range->type, first, "first");
    if (last != first)
        is_inside = check_address(load, range->type, last, "last") && is_inside;
    if (!is_inside)
        return false;
    if (range->first <= range->last)
        return true;
    problems_add(&load->problems, last->mark,
                 "last: 0x%" PRIx64 " is below first; expected a number from 0x%" PRIx64,
                 range->last, range->first);
    return false;
}

int ranges_read(struct load *load, const struct schema_value *value, struct config_client *client)
{
    struct config_range *ranges = arena_alloc(&load->arena, value->record_count, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    client->ranges = ranges;
    for (size_t i = 0; i < value->record_count; i++)
        client->range_count += range_read(load, &value->records[i], &ranges[client->range_count]);
    return 0;
}

struct placed_range {
    const struct config_range *range;
    const struct config_client *client;
};

static int compare_marks(struct config_mark left, struct config_mark right)
{
    if (left.line != right.line)
        return left.line < right.line ? -1 : 1;
    return (left.column > right.column) - (left.column < right.column);
}

static int compare_placed(const void *left, const void *right)
{
    const struct config_range *a = ((const struct placed_range *)left)->range;
    const struct config_range *b = ((const struct placed_range *)right)->range;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return compare_marks(a->mark, b->mark);
}

/* Reported at the one that stands later in the file; the other one is named. */
static void report_overlap(struct load *load, const struct placed_range *one,
                           const struct placed_range *other)
{
    bool is_later = compare_marks(one->range->mark, other->range->mark) > 0;
    const struct placed_range *later = is_later ? one : other;
    const struct placed_range *earlier = is_later ? other : one;
    problems_add(&load->problems, later->range->mark,
                 "%s 0x%" PRIx64 "-0x%" PRIx64 " overlaps 0x%" PRIx64 "-0x%" PRIx64
                 " of client '%s' at %u:%u; expected ranges of one VM to be apart, or to differ in "
                 "priority (both have %u)",
                 range_type_name(later->range->type), later->range->first, later->range->last,
                 earlier->range->first, earlier->range->last,
                 earlier->client->name ? earlier->client->name : "?",
                 (unsigned)earlier->range->mark.line, (unsigned)earlier->range->mark.column,
                 (unsigned)earlier->range->priority);
}

/* Overlaps of these are no conflict. */
static bool are_apart(const struct config_range *one, const struct config_range *other)
{
    return one->type != other->type || one->priority != other->priority;
}

static void check_overlaps(struct load *load, struct placed_range *placed, size_t count)
{
    qsort(placed, count, sizeof(*placed), compare_placed);
    const struct placed_range *widest = NULL; /* of those before: the one that reaches furthest */
    for (size_t i = 0; i < count; i++) {
        const struct config_range *range = placed[i].range;
        if (widest && are_apart(widest->range, range))
            widest = NULL;
        if (widest && widest->range->last >= range->first)
            report_overlap(load, widest, &placed[i]);
        if (!widest || widest->range->last < range->last)
            widest = &placed[i];
    }
}

static void check_pci_port(struct load *load, const struct config_vm *vm,
                           const struct config_range *range)
{
    if (!vm || !vm->pci || !config_range_is_pci_port(range))
        return;
    char place[32] = "by default";
    if (vm->pci_mark.line > 0)
        snprintf(place, sizeof(place), "at %u:%u", (unsigned)vm->pci_mark.line,
                 (unsigned)vm->pci_mark.column);
    problems_add(&load->problems, range->mark,
                 "portio 0x%" PRIx64 "-0x%" PRIx64 " touches 0xcf8..0xcff, where VM '%s' itself is "
                 "PCI configuration mechanism 1 (pci: true, %s); expected a pcicfg range for the "
                 "client, or pci: false for the VM",
                 range->first, range->last, vm->name ? vm->name : "?", place);
}

int ranges_check(struct load *load, uint32_t index, const struct config_vm *vm)
{
    const struct config *config = &load->config;
    size_t count = 0;
    for (size_t i = 0; i < config->client_count; i++)
        count += config->clients[i].vm == index ? config->clients[i].range_count : 0;
    struct placed_range *placed = arena_alloc(&load->scratch, count, sizeof(*placed));
    if (!placed)
        return -ENOMEM;
    size_t filled = 0;
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *client = &config->clients[i];
        for (size_t j = 0; client->vm == index && j < client->range_count; j++) {
            check_pci_port(load, vm, &client->ranges[j]);
            if (filled == CONFIG_VM_RANGES_MAX)
                problems_add(&load->problems, client->ranges[j].mark,
                             "VM '%s' has %zu ranges; expected at most %d",
                             vm && vm->name ? vm->name : "?", count, CONFIG_VM_RANGES_MAX);
            placed[filled++] = (struct placed_range){&client->ranges[j], client};
        }
    }
    check_overlaps(load, placed, filled);
    return 0;
}
