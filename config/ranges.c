/* SPDX-License-Identifier: BSD-3-Clause */
/* Address ranges: the bounds of each, and that those of one VM do not overlap. */
#include "config/load.h"
#include "config/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char *range_type_name(enum config_range_type type)
{
    return type == CONFIG_RANGE_PORTIO ? "portio" : "mmio";
}

static bool check_port(struct load *load, const struct schema_value *value, const char *key)
{
    if (value->number <= CONFIG_PORT_LAST)
        return true;
    problems_add(&load->problems, value->mark,
                 "%s: 0x%" PRIx64 " is no port; expected a number from 0 to 0xffff", key,
                 value->number);
    return false;
}

static bool range_read(struct load *load, const struct schema_record *record,
                       struct config_range *range)
{
    const struct schema_value *type = &record->values[RANGE_TYPE];
    const struct schema_value *first = &record->values[RANGE_FIRST];
    const struct schema_value *last = &record->values[RANGE_LAST];
    if (!last->node)
        last = first;
    if (!type->is_valid || !first->is_valid || !last->is_valid)
        return false;
    *range = (struct config_range){.first = first->number,
                                   .last = last->number,
                                   .type = (enum config_range_type)type->number,
                                   .mark = record->mark};
    if (range->type == CONFIG_RANGE_PORTIO) {
        bool is_port = check_port(load, first, "first");
        if (last != first)
            is_port = check_port(load, last, "last") && is_port;
        if (!is_port)
            return false;
    }
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
                 " of client '%s' at %u:%u; expected ranges of one VM to be apart",
                 range_type_name(later->range->type), later->range->first, later->range->last,
                 earlier->range->first, earlier->range->last,
                 earlier->client->name ? earlier->client->name : "?",
                 (unsigned)earlier->range->mark.line, (unsigned)earlier->range->mark.column);
}

static void check_overlaps(struct load *load, struct placed_range *placed, size_t count)
{
    qsort(placed, count, sizeof(*placed), compare_placed);
    const struct placed_range *widest = NULL; /* of those before: the one that reaches furthest */
    for (size_t i = 0; i < count; i++) {
        const struct config_range *range = placed[i].range;
        if (widest && widest->range->type == range->type && widest->range->last >= range->first)
            report_overlap(load, widest, &placed[i]);
        if (!widest || widest->range->type != range->type || widest->range->last < range->last)
            widest = &placed[i];
    }
}

static int check_vm(struct load *load, uint32_t vm)
{
    const struct config *config = &load->config;
    size_t count = 0;
    for (size_t i = 0; i < config->client_count; i++)
        count += config->clients[i].vm == vm ? config->clients[i].range_count : 0;
    struct placed_range *placed = arena_alloc(&load->arena, count, sizeof(*placed));
    if (!placed)
        return -ENOMEM;
    size_t filled = 0;
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *client = &config->clients[i];
        for (size_t j = 0; client->vm == vm && j < client->range_count; j++) {
            if (filled == CONFIG_VM_RANGES_MAX)
                problems_add(&load->problems, client->ranges[j].mark,
                             "VM '%s' has %zu ranges; expected at most %d",
                             config->vms[vm].name ? config->vms[vm].name : "?", count,
                             CONFIG_VM_RANGES_MAX);
            placed[filled++] = (struct placed_range){&client->ranges[j], client};
        }
    }
    check_overlaps(load, placed, filled);
    return 0;
}

int ranges_check(struct load *load)
{
    int error = 0;
    for (uint32_t vm = 0; !error && vm < load->config.vm_count; vm++)
        error = check_vm(load, vm);
    return error;
}
