/* SPDX-License-Identifier: BSD-3-Clause */
/* sketch.h's first half: the boxes and where they lie. */
#include "server/ctl/sketch_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_WIDTH_MIN 8u  /* of a CPU's line, in cells */
#define CPU_WIDTH_MAX 28u /* longer names are cut off */
#define FRAME_CELLS   2u  /* left of what a box holds, and right of it */

/* From the outside in. */
enum level { LEVEL_MACHINE, LEVEL_PACKAGE, LEVEL_CACHE, LEVEL_CORE };

struct layout {
    const struct placement_machine *machine;
    const struct sketch_entry *entries;
    size_t entry_count;
    bool is_compact;
    uint32_t cpu_width;
    struct sketch *sketch;
    int error;
};

/* CPUs [begin, end) of the machine, neighbours, that lie in one box. */
struct span {
    size_t begin, end;
};

/* ---- grouping ---------------------------------------------------------------------------- */

/* True if both are in the same box of that level, given that they are in all outer ones. */
static bool is_together(enum level level, const struct placement_cpu *one,
                        const struct placement_cpu *other)
{
    switch (level) {
    case LEVEL_PACKAGE:
        return one->package == other->package && one->node == other->node;
    case LEVEL_CACHE:
        return placement_is_near(one, other);
    default:
        return one->core == other->core;
    }
}

static struct span first_group(const struct layout *layout, enum level level, size_t begin,
                               size_t end)
{
    const struct placement_cpu *cpus = layout->machine->cpus;
    struct span group = {begin, begin + 1};
    while (group.end < end && is_together(level, &cpus[begin], &cpus[group.end]))
        group.end++;
    return group;
}

static bool is_occupied(const struct layout *layout, const struct placement_cpu *cpu)
{
    for (size_t i = 0; i < layout->entry_count; i++)
        if (layout->entries[i].cpu == cpu->cpu)
            return true;
    return false;
}

/* True if nobody is there and all CPUs look like `like`. */
static bool is_dull(const struct layout *layout, struct span span, const struct placement_cpu *like)
{
    for (size_t i = span.begin; i < span.end; i++) {
        const struct placement_cpu *cpu = &layout->machine->cpus[i];
        if (is_occupied(layout, cpu) || cpu->is_usable != like->is_usable ||
            cpu->is_isolated != like->is_isolated || cpu->kind != like->kind)
            return false;
    }
    return true;
}

/* group and the groups behind it that are as dull; group itself if it is not. */
static struct span extend_dull(const struct layout *layout, enum level level, struct span group,
                               size_t end, size_t *group_count)
{
    const struct placement_cpu *like = &layout->machine->cpus[group.begin];
    *group_count = 1;
    if (!layout->is_compact || !is_dull(layout, group, like))
        return group;
    while (group.end < end) {
        struct span next = first_group(layout, level, group.end, end);
        if (!is_dull(layout, next, like))
            break;
        group.end = next.end;
        ++*group_count;
    }
    return group;
}

/* ---- boxes ------------------------------------------------------------------------------- */

static struct sketch_box *add_box(struct layout *layout, enum sketch_style style, uint32_t x,
                                  uint32_t y)
{
    static struct sketch_box lost; /* written where memory ended; the sketch is not shown */
    struct sketch *sketch = layout->sketch;
    if (sketch->count == sketch->capacity) {
        size_t capacity = sketch->capacity ? 2 * sketch->capacity : 64;
        struct sketch_box *boxes = realloc(sketch->boxes, capacity * sizeof(*boxes));
        if (!boxes) {
            layout->error = -ENOMEM;
            return &lost;
        }
        sketch->boxes = boxes;
        sketch->capacity = capacity;
    }
    struct sketch_box *box = &sketch->boxes[sketch->count++];
    *box = (struct sketch_box){.x = x, .y = y, .style = style};
    return box;
}

static void move_boxes(struct layout *layout, size_t first, uint32_t right, uint32_t down,
                       uint32_t left)
{
    for (size_t i = first; i < layout->sketch->count; i++) {
        layout->sketch->boxes[i].x += right;
        layout->sketch->boxes[i].x -= left;
        layout->sketch->boxes[i].y += down;
    }
}

/* "12* rt, vCPU guest" */
static void name_cpu(const struct layout *layout, const struct placement_cpu *cpu, char *title)
{
    size_t used = (size_t)snprintf(title, SKETCH_TITLE_BYTES, "%u%s", cpu->cpu,
                                   cpu->is_isolated  ? "*"
                                   : !cpu->is_usable ? " x"
                                                     : "");
    const char *between = " ";
    for (size_t i = 0; i < layout->entry_count && used < SKETCH_TITLE_BYTES; i++) {
        const struct sketch_entry *entry = &layout->entries[i];
        if (entry->cpu != cpu->cpu)
            continue;
        used += (size_t)snprintf(title + used, SKETCH_TITLE_BYTES - used, "%s%s%s", between,
                                 entry->occupant == SKETCH_VCPU ? "vCPU " : "", entry->name);
        between = ", ";
    }
    if (strlen(title) > CPU_WIDTH_MAX)
        strcpy(title + CPU_WIDTH_MAX - 2, "..");
}

static enum sketch_style style_of(const struct layout *layout, const struct placement_cpu *cpu)
{
    size_t pollers = 0, all = 0, vcpus = 0;
    for (size_t i = 0; i < layout->entry_count; i++) {
        if (layout->entries[i].cpu != cpu->cpu)
            continue;
        all++;
        pollers += layout->entries[i].occupant == SKETCH_POLLER;
        vcpus += layout->entries[i].occupant == SKETCH_VCPU;
    }
    if (pollers + vcpus > 0 && all > (pollers ? 1 : vcpus))
        return SKETCH_CPU_CROWDED;
    if (pollers > 0)
        return SKETCH_CPU_POLLER;
    if (vcpus > 0)
        return SKETCH_CPU_VCPU;
    if (all > 0)
        return SKETCH_CPU_HOUSEKEEPING;
    return cpu->is_usable ? SKETCH_CPU_FREE : SKETCH_CPU_FORBIDDEN;
}

static void add_cpu(struct layout *layout, const struct placement_cpu *cpu, uint32_t x, uint32_t y)
{
    struct sketch_box *box = add_box(layout, style_of(layout, cpu), x, y);
    box->width = layout->cpu_width;
    box->height = 1;
    box->is_isolated = cpu->is_isolated;
    name_cpu(layout, cpu, box->title);
}

static bool is_in_span(const struct layout *layout, struct span span, uint32_t number)
{
    const struct placement_cpu *cpu = placement_find(layout->machine, number);
    size_t index = cpu ? (size_t)(cpu - layout->machine->cpus) : SIZE_MAX;
    return index >= span.begin && index < span.end;
}

/* "4-7,68-71", or how many where that is too long. */
static void list_span(const struct layout *layout, struct span span, char *text, size_t text_bytes)
{
    size_t used = 0;
    for (uint32_t cpu = 0; cpu < layout->machine->number_count && used < text_bytes; cpu++) {
        uint32_t last = cpu;
        if (!is_in_span(layout, span, cpu))
            continue;
        while (is_in_span(layout, span, last + 1))
            last++;
        used += (size_t)snprintf(text + used, text_bytes - used, cpu < last ? "%s%u-%u" : "%s%u",
                                 used ? "," : "", cpu, last);
        cpu = last;
    }
    if (used >= text_bytes)
        snprintf(text, text_bytes, "%zu CPUs", span.end - span.begin);
}

/* One line for all CPUs of a span that holds nothing. */
static uint32_t add_summary(struct layout *layout, struct span span, uint32_t x, uint32_t y)
{
    const struct placement_cpu *first = &layout->machine->cpus[span.begin];
    enum sketch_style style = first->is_usable ? SKETCH_CPU_FREE : SKETCH_CPU_FORBIDDEN;
    struct sketch_box *box = add_box(layout, style, x, y);
    char list[CPU_WIDTH_MAX];
    list_span(layout, span, list, sizeof(list));
    int length = snprintf(box->title, sizeof(box->title), "%s%s", list,
                          first->is_isolated  ? "*"
                          : !first->is_usable ? " x"
                                              : "");
    box->width = (uint32_t)length > layout->cpu_width ? (uint32_t)length : layout->cpu_width;
    box->height = 1;
    box->is_isolated = first->is_isolated;
    return box->width;
}

/* ---- what is written on the frames ------------------------------------------------------- */

static void name_frame(const struct layout *layout, enum level level, struct span span,
                       char title[SKETCH_TITLE_BYTES])
{
    const struct placement_cpu *first = &layout->machine->cpus[span.begin];
    const struct placement_cpu *last = &layout->machine->cpus[span.end - 1];
    char range[32], extra[48] = "";
    uint32_t from = level == LEVEL_CACHE ? first->near : first->core;
    uint32_t to = level == LEVEL_CACHE ? last->near : last->core;
    snprintf(range, sizeof(range), from < to ? "s %u-%u" : " %u", from, to);
    switch (level) {
    case LEVEL_MACHINE:
        snprintf(title, SKETCH_TITLE_BYTES, "machine");
        break;
    case LEVEL_PACKAGE:
        if (first->package != PLACEMENT_NONE)
            snprintf(extra, sizeof(extra), "package %u, ", first->package);
        snprintf(title, SKETCH_TITLE_BYTES, "%sNUMA node %u", extra, first->node);
        break;
    case LEVEL_CACHE:
        if (first->l3_KiB > 0)
            snprintf(extra, sizeof(extra), ", %u %s%s",
                     first->l3_KiB % 1024 ? first->l3_KiB : first->l3_KiB / 1024,
                     first->l3_KiB % 1024 ? "KiB" : "MiB", from < to ? " each" : "");
        snprintf(title, SKETCH_TITLE_BYTES, "L3%s%s", range, extra);
        break;
    case LEVEL_CORE:
        if (layout->machine->kind_count > 1)
            snprintf(extra, sizeof(extra), ", kind %u", first->kind);
        snprintf(title, SKETCH_TITLE_BYTES, "core%s%s", range, extra);
        break;
    }
}

static enum sketch_style style_of_frame(enum level level)
{
    return level == LEVEL_CORE    ? SKETCH_BOX_CORE
           : level == LEVEL_CACHE ? SKETCH_BOX_CACHE
                                  : SKETCH_BOX_PACKAGE;
}

/* ---- layout ------------------------------------------------------------------------------ */

struct extent {
    uint32_t width, height;
};

static struct extent lay_out(struct layout *layout, enum level level, struct span span,
                             size_t group_count, uint32_t x, uint32_t y, uint32_t width_max);

/* The inner level of a box; a level without boxes of its own here is passed over. */
static enum level level_below(const struct layout *layout, enum level level, struct span span)
{
    const struct placement_cpu *first = &layout->machine->cpus[span.begin];
    if (level == LEVEL_MACHINE)
        return LEVEL_PACKAGE;
    if (level == LEVEL_PACKAGE && first->near_kind == PLACEMENT_NEAR_L3)
        return LEVEL_CACHE;
    return LEVEL_CORE;
}

/* The boxes within a box: in rows, left to right. Returns the room they take. */
static struct extent lay_out_inside(struct layout *layout, enum level level, struct span span,
                                    uint32_t x, uint32_t y, uint32_t width_max)
{
    struct extent all = {0, 0};
    uint32_t row_x = 0, row_height = 0;
    enum level below = level_below(layout, level, span);
    for (size_t at = span.begin; at < span.end;) {
        size_t count, first_box = layout->sketch->count;
        struct span group = first_group(layout, below, at, span.end);
        group = extend_dull(layout, below, group, span.end, &count);
        struct extent extent =
            lay_out(layout, below, group, count, x + row_x, y + all.height, width_max);
        if (row_x > 0 && row_x + extent.width > width_max) { /* into the next row */
            move_boxes(layout, first_box, 0, row_height, row_x);
            all.height += row_height;
            row_x = row_height = 0;
        }
        row_x += extent.width + 1;
        row_height = extent.height > row_height ? extent.height : row_height;
        all.width = row_x - 1 > all.width ? row_x - 1 : all.width;
        at = group.end;
    }
    all.height += row_height;
    return all;
}

/* A box with all that is in it. group_count above 1: that many dull ones as one. */
static struct extent lay_out(struct layout *layout, enum level level, struct span span,
                             size_t group_count, uint32_t x, uint32_t y, uint32_t width_max)
{
    size_t index = layout->sketch->count;
    struct sketch_box *box = add_box(layout, style_of_frame(level), x, y);
    name_frame(layout, level, span, box->title);
    struct extent inside = {layout->cpu_width, (uint32_t)(span.end - span.begin)};
    uint32_t inner_x = x + FRAME_CELLS, inner_y = y + 1;
    bool is_summary =
        group_count > 1 || (layout->is_compact && level == LEVEL_CACHE &&
                            is_dull(layout, span, &layout->machine->cpus[span.begin]));
    if (is_summary)
        inside = (struct extent){add_summary(layout, span, inner_x, inner_y), 1};
    else if (level == LEVEL_CORE)
        for (size_t i = span.begin; i < span.end; i++)
            add_cpu(layout, &layout->machine->cpus[i], inner_x,
                    inner_y + (uint32_t)(i - span.begin));
    else
        inside = lay_out_inside(layout, level, span, inner_x, inner_y,
                                width_max > 2 * FRAME_CELLS ? width_max - 2 * FRAME_CELLS : 1);
    if (layout->error)
        return inside;
    box = &layout->sketch->boxes[index]; /* it may have moved */
    uint32_t title_width = (uint32_t)strlen(box->title) + 2;
    box->width = (title_width > inside.width ? title_width : inside.width) + 2 * FRAME_CELLS;
    box->height = inside.height + 2;
    return (struct extent){box->width, box->height};
}

static uint32_t widest_cpu(const struct layout *layout, size_t count)
{
    uint32_t width = CPU_WIDTH_MIN;
    for (size_t i = 0; i < count; i++) {
        char title[SKETCH_TITLE_BYTES];
        name_cpu(layout, &layout->machine->cpus[i], title);
        width = strlen(title) > width ? (uint32_t)strlen(title) : width;
    }
    return width;
}

int sketch_create(const struct placement_machine *machine, const struct sketch_entry *entries,
                  size_t entry_count, bool is_compact, uint32_t width, struct sketch **sketch)
{
    struct sketch *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    struct layout layout = {.machine = machine,
                            .entries = entries,
                            .entry_count = entry_count,
                            .is_compact = is_compact,
                            .sketch = created};
    size_t online = 0; /* those offline are at the end, and no box knows them */
    while (online < machine->cpu_count && machine->cpus[online].is_online)
        online++;
    if (online < machine->cpu_count)
        placement_list(machine, PLACEMENT_OFFLINE, created->offline, sizeof(created->offline));
    layout.cpu_width = widest_cpu(&layout, online);
    struct extent extent =
        lay_out(&layout, LEVEL_MACHINE, (struct span){0, online}, 1, 0, 0, width);
    created->width = extent.width;
    created->height = extent.height;
    if (layout.error)
        sketch_destroy(created);
    else
        *sketch = created;
    return layout.error;
}

void sketch_destroy(struct sketch *sketch)
{
    if (!sketch)
        return;
    free(sketch->boxes);
    free(sketch);
}
