/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/bench.h"

#include "pollers/ticks.h"
#include "server/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* The first line of a file, without its end; "" if there is none. */
static void read_line(const char *path, char *line, size_t line_bytes)
{
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fgets(line, (int)line_bytes, file))
        line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

static void read_cpu_model(char *model, size_t model_bytes)
{
    char line[256];
    snprintf(model, model_bytes, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(model, model_bytes, "%s", colon + 2);
        break;
    }
    fclose(file);
}

struct machine {
    char cpu[256];
    char isolated[256];
    char governor[64];
    struct utsname kernel;
};

static void read_machine(struct machine *machine)
{
    read_cpu_model(machine->cpu, sizeof(machine->cpu));
    read_line("/sys/devices/system/cpu/isolated", machine->isolated, sizeof(machine->isolated));
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", machine->governor,
              sizeof(machine->governor));
    uname(&machine->kernel);
}

void bench_machine_report(struct report *object)
{
    struct machine machine;
    read_machine(&machine);
    report_add_text(object, "cpu", machine.cpu);
    report_add_text(object, "kernel", machine.kernel.release);
    report_add_text(object, "isolated", machine.isolated);
    report_add_text(object, "governor", machine.governor);
    report_add_number(object, "ticks_per_second", ticks_per_second());
    report_add_text(object, "version", IOREQD_VERSION);
    report_add_text(object, "commit", IOREQD_COMMIT);
    report_add_text(object, "build", IOREQD_BUILD_TYPE);
    report_add_text(object, "flags", IOREQD_FLAGS);
    report_add_text(object, "compiler", __VERSION__);
}

void bench_machine_print(void)
{
    struct machine machine;
    read_machine(&machine);
    printf("%s, Linux %s, isolated CPUs: %s, governor: %s, commit %s\n", machine.cpu,
           machine.kernel.release, machine.isolated[0] ? machine.isolated : "none",
           machine.governor[0] ? machine.governor : "unknown", IOREQD_COMMIT);
}
