/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded into a program under test: its wall clock is the host's plus the seconds that stand in
 * the file $WALL_CLOCK_OFFSET_FILE at that moment. Other clocks are left alone. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long read_offset(void)
{
    long offset = 0;
    const char *path = getenv("WALL_CLOCK_OFFSET_FILE");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return 0;
    if (fscanf(file, "%ld", &offset) != 1)
        offset = 0;
    fclose(file);
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += read_offset();
    return (int)result;
}

time_t time(time_t *seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}
