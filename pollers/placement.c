/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/placement.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SYNTHETIC_CPUS_MAX 4096u /* hwloc builds them in square time: one second */

struct placement {
    hwloc_topology_t topology;
    struct placement_machine *machine;
};

/* ---- opening ----------------------------------------------------------------------------- */

/* The product of the counts of an invented machine's levels, as far as the limit; hwloc builds
 * whatever is asked for. What stands in brackets does not multiply CPUs. */
static uint64_t synthetic_cpu_count(const char *text)
{
    uint64_t product = 1;
    unsigned depth = 0;
    bool is_count = true; /* a number here is a level's count: at the start, behind ':' or ' ' */
    for (; *text; text++) {
        depth += *text == '(' || *text == '[';
        depth -= depth > 0 && (*text == ')' || *text == ']');
        if (depth == 0 && is_count && *text >= '0' && *text <= '9') {
            char *end;
            unsigned long long count = strtoull(text, &end, 10);
            product = count > SYNTHETIC_CPUS_MAX ? UINT64_MAX : product * (count ? count : 1);
            text = end - 1;
            if (product > SYNTHETIC_CPUS_MAX)
                return product;
        }
        is_count = *text == ':' || *text == ' ';
    }
    return product;
}

static int set_xml(hwloc_topology_t topology, const char *path, char *reason)
{
    struct stat status;
    int error = stat(path, &status) < 0 ? errno : S_ISREG(status.st_mode) ? 0 : EINVAL;
    if (error == 0 && hwloc_topology_set_xml(topology, path) < 0)
        error = errno;
    if (error)
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "cannot read %s: %s; expected a file that lstopo wrote as XML", path,
                 error == EINVAL ? "it is no topology" : strerror(error));
    return -error;
}

static int set_synthetic(hwloc_topology_t topology, const char *text, char *reason)
{
    if (synthetic_cpu_count(text) > SYNTHETIC_CPUS_MAX) {
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "'%.64s' describes too many CPUs; expected at most %u", text, SYNTHETIC_CPUS_MAX);
        return -E2BIG;
    }
    if (hwloc_topology_set_synthetic(topology, text) == 0)
        return 0;
    snprintf(reason, PLACEMENT_REASON_BYTES,
             "'%.64s' describes no machine; expected levels and how many of each, the last of pu, "
             "such as \"pack:2 l3:8 core:8 pu:2\"",
             text);
    return -EINVAL;
}

/* Caches and devices cost memory; only what placement asks for is kept. CPUs that may not be used are, to say so. */
static int configure(hwloc_topology_t topology)
{
    static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_CORE};
    /* Not KEEP_NONE: a NUMA node would lose the group of CPUs that it is attached to. */
    hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        hwloc_topology_set_type_filter(topology, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL);
    return hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) < 0 ? -errno
                                                                                          : 0;
}

/* ---- from hwloc's tree to plain facts ---------------------------------------------------- */

/* hwloc does not know them; the kernel lists them as it lists every set of CPUs. */
static void read_isolated(hwloc_bitmap_t isolated)
{
    char text[4096] = "";
    FILE *file = fopen("/sys/devices/system/cpu/isolated", "re");
    if (!file)
        return;
    if (fgets(text, sizeof(text), file) && text[0] != '\n' && text[0] != '\0')
        hwloc_bitmap_list_sscanf(isolated, text);
    fclose(file);
}

static void set_numbers(hwloc_bitmap_t set, const uint32_t *cpus, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cpus[i] < PLACEMENT_CPUS_MAX)
            hwloc_bitmap_set(set, cpus[i]);
}

static uint32_t index_above(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t pu)
{
    hwloc_obj_t above = hwloc_get_ancestor_obj_by_type(topology, type, pu);
    return above ? above->logical_index : PLACEMENT_NONE;
}

/* The faster kinds have the higher efficiency values; below 0 they are not known. */
static uint32_t kind_of(hwloc_topology_t topology, hwloc_obj_t pu)
{
    int efficiency = -1;
    int kind = hwloc_cpukinds_get_by_cpuset(topology, pu->cpuset, 0);
    if (kind >= 0)
        hwloc_cpukinds_get_info(topology, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0);
    return efficiency < 0 ? 0 : (uint32_t)efficiency;
}

static void read_cpu(hwloc_topology_t topology, hwloc_obj_t pu, struct placement_cpu *cpu)
{
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, pu);
    int node = hwloc_bitmap_first(pu->nodeset);
    cpu->cpu = pu->os_index;
    cpu->is_online = true;
    cpu->core = index_above(topology, HWLOC_OBJ_CORE, pu);
    if (cpu->core == PLACEMENT_NONE)
        cpu->core = pu->logical_index; /* no cores are told of: each CPU is one */
    cpu->package = index_above(topology, HWLOC_OBJ_PACKAGE, pu);
    cpu->node = node < 0 ? 0 : (uint32_t)node;
    cpu->kind = kind_of(topology, pu);
    if (cache) {
        cpu->near_kind = PLACEMENT_NEAR_L3;
        cpu->near = cache->logical_index;
        cpu->l3_KiB = (uint32_t)(cache->attr->cache.size / 1024);
    } else if (cpu->package != PLACEMENT_NONE) {
        cpu->near_kind = PLACEMENT_NEAR_PACKAGE;
        cpu->near = cpu->package;
    } else if (hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) > 1) {
        cpu->near_kind = PLACEMENT_NEAR_NODE;
        cpu->near = cpu->node;
    } else {
        cpu->near_kind = PLACEMENT_NEAR_MACHINE;
    }
}

struct reading {
    const struct placement_source *source;
    hwloc_bitmap_t offline, allowed, isolated, inherited;
};

static void read_sets(hwloc_topology_t topology, struct reading *reading)
{
    const struct placement_source *source = reading->source;
    hwloc_bitmap_andnot(reading->offline, hwloc_topology_get_complete_cpuset(topology),
                        hwloc_topology_get_topology_cpuset(topology));
    /* Isolated CPUs are not in the affinity a process starts with, yet they may be bound to: what
     * counts is what the cgroup allows, and that is what hwloc's allowed set is. */
    if (source->allowed)
        set_numbers(reading->allowed, source->allowed, source->allowed_count);
    else
        hwloc_bitmap_fill(reading->allowed);
    hwloc_bitmap_and(reading->allowed, reading->allowed,
                     hwloc_topology_get_allowed_cpuset(topology));
    if (source->isolated)
        set_numbers(reading->isolated, source->isolated, source->isolated_count);
    else if (hwloc_topology_is_thissystem(topology))
        read_isolated(reading->isolated);
    if (hwloc_get_cpubind(topology, reading->inherited, HWLOC_CPUBIND_PROCESS) < 0)
        hwloc_bitmap_fill(reading->inherited); /* an invented machine: hwloc gives all, or none */
}

static int read_machine(hwloc_topology_t topology, const struct reading *reading,
                        struct placement_machine **machine)
{
    int online = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    int offline = hwloc_bitmap_weight(reading->offline);
    if (online <= 0 || offline < 0)
        return -ENODEV;
    int result = placement_machine_create((size_t)online + (size_t)offline, machine);
    if (result < 0)
        return result;
    struct placement_cpu *next = (*machine)->cpus;
    hwloc_obj_t pu = NULL;
    while ((pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu))) {
        read_cpu(topology, pu, next);
        next->is_usable = hwloc_bitmap_isset(reading->allowed, pu->os_index);
        next->is_isolated = hwloc_bitmap_isset(reading->isolated, pu->os_index);
        next->is_inherited = hwloc_bitmap_isset(reading->inherited, pu->os_index);
        if (next->kind >= (*machine)->kind_count)
            (*machine)->kind_count = next->kind + 1;
        if (next->core >= (*machine)->core_count)
            (*machine)->core_count = next->core + 1;
        next++;
    }
    for (int cpu = hwloc_bitmap_first(reading->offline); cpu >= 0;
         cpu = hwloc_bitmap_next(reading->offline, cpu))
        *next++ = (struct placement_cpu){.cpu = (uint32_t)cpu,
                                         .core = PLACEMENT_NONE,
                                         .package = PLACEMENT_NONE,
                                         .near = PLACEMENT_NONE,
                                         .near_kind = PLACEMENT_NEAR_MACHINE};
    (*machine)->is_this_system = hwloc_topology_is_thissystem(topology);
    return placement_machine_finish(*machine);
}

/* ---- life -------------------------------------------------------------------------------- */

static int load(struct placement *placement, const struct placement_source *source, char *reason)
{
    int result = configure(placement->topology);
    if (result == 0 && source->xml)
        result = set_xml(placement->topology, source->xml, reason);
    else if (result == 0 && source->synthetic)
        result = set_synthetic(placement->topology, source->synthetic, reason);
    if (result < 0)
        return result;
    if (hwloc_topology_load(placement->topology) < 0) {
        snprintf(reason, PLACEMENT_REASON_BYTES, "%s: it is no topology that hwloc can read",
                 source->xml ? source->xml : "this machine");
        return source->xml ? -EINVAL : -ENODEV;
    }
    struct reading reading = {source, hwloc_bitmap_alloc(), hwloc_bitmap_alloc(),
                              hwloc_bitmap_alloc(), hwloc_bitmap_alloc()};
    result = -ENOMEM;
    if (reading.offline && reading.allowed && reading.isolated && reading.inherited) {
        read_sets(placement->topology, &reading);
        result = read_machine(placement->topology, &reading, &placement->machine);
    }
    hwloc_bitmap_free(reading.offline);
    hwloc_bitmap_free(reading.allowed);
    hwloc_bitmap_free(reading.isolated);
    hwloc_bitmap_free(reading.inherited);
    return result;
}

int placement_open_source(const struct placement_source *source, struct placement **placement,
                          char *reason)
{
    reason[0] = '\0';
    struct placement *opened = calloc(1, sizeof(*opened));
    int result = -ENOMEM;
    if (opened && hwloc_topology_init(&opened->topology) == 0)
        result = load(opened, source, reason);
    if (result == 0 && opened->machine->usable_count == 0) {
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no CPU is left that may be used; expected at least one that is online and "
                 "allowed");
        result = -EINVAL;
    }
    if (result < 0) {
        if (!reason[0])
            snprintf(reason, PLACEMENT_REASON_BYTES, "cannot read the machine: %s",
                     strerror(-result));
        placement_close(opened);
        return result;
    }
    *placement = opened;
    return 0;
}

int placement_open(struct placement **placement)
{
    char reason[PLACEMENT_REASON_BYTES];
    return placement_open_source(&(struct placement_source){0}, placement, reason);
}

void placement_close(struct placement *placement)
{
    if (!placement)
        return;
    if (placement->topology)
        hwloc_topology_destroy(placement->topology);
    placement_machine_destroy(placement->machine);
    free(placement);
}

const struct placement_machine *placement_machine(const struct placement *placement)
{
    return placement->machine;
}

bool placement_is_isolated(const struct placement *placement, uint32_t cpu)
{
    const struct placement_cpu *found = placement_find(placement->machine, cpu);
    return found && found->is_isolated;
}

int placement_bind_self(const struct placement *placement, uint32_t cpu)
{
    hwloc_bitmap_t wanted = hwloc_bitmap_alloc();
    hwloc_bitmap_t found = hwloc_bitmap_alloc();
    if (!wanted || !found) {
        hwloc_bitmap_free(wanted);
        hwloc_bitmap_free(found);
        return -ENOMEM;
    }
    int result = 0;
    hwloc_bitmap_only(wanted, cpu);
    if (hwloc_set_cpubind(placement->topology, wanted, HWLOC_CPUBIND_THREAD | HWLOC_CPUBIND_STRICT))
        result = -errno;
    else if (hwloc_get_last_cpu_location(placement->topology, found, HWLOC_CPUBIND_THREAD))
        result = -errno;
    else if (!hwloc_bitmap_isequal(wanted, found))
        result = -EXDEV;
    hwloc_bitmap_free(wanted);
    hwloc_bitmap_free(found);
    return result;
}
