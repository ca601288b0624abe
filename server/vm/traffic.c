/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/traffic.h"

#include "clients/request.h"

#include <inttypes.h>

static const struct {
    const char *name;
    const char *json_name;
    double share;
} percentiles[] = {
    {"p50", "p50", 0.50},
    {"p99", "p99", 0.99},
    {"p99.9", "p99_9", 0.999},
    {"p99.99", "p99_99", 0.9999},
};
#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

void traffic_add(struct traffic *traffic, const struct requester_access *access,
                 uint64_t round_trip_ns)
{
    traffic->accesses[access->type == REQUEST_MMIO][access->direction == REQUEST_WRITE]++;
    histogram_record(&traffic->round_trip, round_trip_ns);
}

void traffic_merge(struct traffic *to, const struct traffic *from)
{
    for (size_t type = 0; type < 2; type++)
        for (size_t direction = 0; direction < 2; direction++)
            to->accesses[type][direction] += from->accesses[type][direction];
    histogram_add(&to->round_trip, &from->round_trip);
}

uint64_t traffic_count(const struct traffic *traffic)
{
    return histogram_count(&traffic->round_trip);
}

void traffic_print(const struct traffic *traffic, FILE *out)
{
    const struct histogram *round_trip = &traffic->round_trip;
    fprintf(out,
            "accesses      %" PRIu64 " (portio %" PRIu64 " reads %" PRIu64 " writes, mmio %" PRIu64
            " reads %" PRIu64 " writes)\n",
            traffic_count(traffic), traffic->accesses[0][0], traffic->accesses[0][1],
            traffic->accesses[1][0], traffic->accesses[1][1]);
    fputs("round trip ns", out);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        fprintf(out, " %s %" PRIu64, percentiles[i].name,
                histogram_percentile(round_trip, percentiles[i].share));
    fprintf(out, " max %" PRIu64 "\n", counter_read(&round_trip->max));
}

void traffic_print_json(const struct traffic *traffic, FILE *out)
{
    const struct histogram *round_trip = &traffic->round_trip;
    fprintf(out,
            "\"accesses\": {\"portio_reads\": %" PRIu64 ", \"portio_writes\": %" PRIu64
            ", \"mmio_reads\": %" PRIu64 ", \"mmio_writes\": %" PRIu64 "}, ",
            traffic->accesses[0][0], traffic->accesses[0][1], traffic->accesses[1][0],
            traffic->accesses[1][1]);
    fprintf(out, "\"round_trip_ns\": {\"count\": %" PRIu64, traffic_count(traffic));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        fprintf(out, ", \"%s\": %" PRIu64, percentiles[i].json_name,
                histogram_percentile(round_trip, percentiles[i].share));
    fprintf(out, ", \"max\": %" PRIu64 "}", counter_read(&round_trip->max));
}

void json_print_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            fprintf(out, "\\u%04x", byte); /* not UTF-8 aware: keeps any byte valid JSON */
        else
            fputc(byte, out);
    }
    fputc('"', out);
}
