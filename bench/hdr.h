/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hdr.h - counts of values as HdrHistogram keeps, prints and encodes them. zlib.
 *
 * Flow:    hdr_create -> hdr_record for every value -> hdr_print_percentiles (a .hgrm file), hdr_encode
 *          (one interval of a .hlog file) -> hdr_destroy.
 * Threads: one.
 * Memory:  8 KiB for each power of two up to `highest`, at least 16 KiB.
 * Errors:  no memory: NULL.
 * Source:  HdrHistogram's layout with 3 significant digits and a unit of 1; its encoding V2 (counts as
 *          zig-zag LEB128, runs of zeros as one negative number; zlib; base64); its text of percentiles,
 *          5 steps each time what is left halves. http://hdrhistogram.org
 */
#ifndef BENCH_HDR_H
#define BENCH_HDR_H

#include <stdint.h>
#include <stdio.h>

struct hdr;

/* highest: no value will be above it. */
struct hdr *hdr_create(uint64_t highest);
void hdr_destroy(struct hdr *hdr);

/* value: 0..highest. */
void hdr_record(struct hdr *hdr, uint64_t value, uint64_t count);

uint64_t hdr_count(const struct hdr *hdr);
/* Of what was recorded; 0 when empty. The mean takes a value for the middle of its bucket. */
uint64_t hdr_max(const struct hdr *hdr);
uint64_t hdr_min(const struct hdr *hdr);
double hdr_mean(const struct hdr *hdr);

/* Values are divided by `units`. What could not be written shows in ferror(file). */
void hdr_print_percentiles(const struct hdr *hdr, double units, FILE *file);

/* Text for a log, the caller's to free(). */
char *hdr_encode(const struct hdr *hdr);

#endif
