/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/placement.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct placement {
    hwloc_topology_t topology;
    hwloc_bitmap_t usable;   /* online, and allowed by the process's affinity and cgroup */
    hwloc_bitmap_t isolated; /* of the usable ones */
};

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

int placement_open(struct placement **placement)
{
    struct placement *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return -ENOMEM;
    opened->usable = hwloc_bitmap_alloc();
    opened->isolated = hwloc_bitmap_alloc();
    if (!opened->usable || !opened->isolated || hwloc_topology_init(&opened->topology) < 0) {
        hwloc_bitmap_free(opened->usable);
        hwloc_bitmap_free(opened->isolated);
        free(opened);
        return -ENOMEM;
    }
    /* Caches and devices are of no use here and cost memory. */
    hwloc_topology_set_all_types_filter(opened->topology, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    if (hwloc_topology_load(opened->topology) < 0) {
        placement_close(opened);
        return -ENODEV;
    }
    hwloc_bitmap_copy(opened->usable, hwloc_topology_get_allowed_cpuset(opened->topology));
    /* Isolated CPUs are not in the affinity a process starts with, yet they may be bound to: what
     * counts is what the cgroup allows, and that is what hwloc's allowed set is. */
    read_isolated(opened->isolated);
    hwloc_bitmap_and(opened->isolated, opened->isolated, opened->usable);
    *placement = opened;
    return 0;
}

void placement_close(struct placement *placement)
{
    if (!placement)
        return;
    hwloc_topology_destroy(placement->topology);
    hwloc_bitmap_free(placement->usable);
    hwloc_bitmap_free(placement->isolated);
    free(placement);
}

bool placement_check(const struct placement *placement, uint32_t cpu, char *reason,
                     size_t reason_bytes)
{
    if (cpu <= INT32_MAX && hwloc_bitmap_isset(placement->usable, cpu))
        return true;
    char usable[256];
    hwloc_bitmap_list_snprintf(usable, sizeof(usable), placement->usable);
    snprintf(reason, reason_bytes,
             "CPU %u does not exist or may not be used here; expected one of %s", cpu, usable);
    return false;
}

bool placement_is_isolated(const struct placement *placement, uint32_t cpu)
{
    return hwloc_bitmap_isset(placement->isolated, cpu);
}

static int highest_but_zero(hwloc_const_bitmap_t set)
{
    int last = hwloc_bitmap_last(set);
    return last > 0 ? last : -1;
}

uint32_t placement_choose(const struct placement *placement, const uint32_t *taken,
                          size_t taken_count)
{
    hwloc_bitmap_t left = hwloc_bitmap_dup(placement->usable);
    hwloc_bitmap_t isolated = hwloc_bitmap_dup(placement->isolated);
    for (size_t i = 0; i < taken_count; i++) {
        hwloc_bitmap_clr(left, taken[i]);
        hwloc_bitmap_clr(isolated, taken[i]);
    }
    int cpu = hwloc_bitmap_first(isolated);
    if (cpu < 0)
        cpu = highest_but_zero(left);
    if (cpu < 0)
        cpu = hwloc_bitmap_first(left); /* CPU 0, before two pollers share one */
    if (cpu < 0)
        cpu = highest_but_zero(placement->usable);
    if (cpu < 0)
        cpu = hwloc_bitmap_first(placement->usable);
    hwloc_bitmap_free(left);
    hwloc_bitmap_free(isolated);
    return (uint32_t)cpu;
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
