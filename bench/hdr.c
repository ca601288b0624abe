/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/hdr.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define DIGITS              3
#define SUB_BITS            11 /* 2048 sub-buckets: the first power of two from 2 * 10^DIGITS */
#define SUB_COUNT           (1u << SUB_BITS)
#define SUB_HALF            (SUB_COUNT / 2)
#define STEPS_A_HALF        5
#define COOKIE_V2           0x1c849313u
#define COOKIE_COMPRESSED   0x1c849314u
#define HEADER_BYTES        40u /* of the encoding, before it is compressed */
#define COUNT_BYTES_MAX     9u
#define COMPRESSED_PREAMBLE 8u

struct hdr {
    uint64_t highest;
    uint64_t count;
    uint64_t max, min;
    uint32_t bucket_count;
    uint32_t length;
    uint64_t counts[]; /* [length] */
};

/* ---- buckets ----------------------------------------------------------------------------- */

static uint32_t bucket_of(uint64_t value)
{
    return 64 - SUB_BITS - (uint32_t)__builtin_clzll(value | (SUB_COUNT - 1));
}

static uint32_t index_of(uint64_t value)
{
    uint32_t bucket = bucket_of(value);
    return bucket * SUB_HALF + (uint32_t)(value >> bucket);
}

static uint64_t last_value_of(uint32_t index)
{
    if (index < SUB_COUNT)
        return index;
    uint32_t bucket = index / SUB_HALF - 1;
    return (((uint64_t)(index - bucket * SUB_HALF) + 1) << bucket) - 1;
}

static double middle_value_of(uint32_t index)
{
    uint64_t last = last_value_of(index), width = 1ull << bucket_of(last);
    return (double)(last - width + 1 + width / 2);
}

struct hdr *hdr_create(uint64_t highest)
{
    if (highest < 2)
        highest = 2; /* the least the format allows */
    uint32_t buckets = bucket_of(highest) + 1, length = (buckets + 1) * SUB_HALF;
    struct hdr *hdr = calloc(1, sizeof(*hdr) + length * sizeof(hdr->counts[0]));
    if (!hdr)
        return NULL;
    hdr->highest = highest;
    hdr->bucket_count = buckets;
    hdr->length = length;
    return hdr;
}

void hdr_destroy(struct hdr *hdr)
{
    free(hdr);
}

void hdr_record(struct hdr *hdr, uint64_t value, uint64_t count)
{
    assert(value <= hdr->highest);
    if (count == 0)
        return;
    hdr->counts[index_of(value)] += count;
    if (hdr->count == 0 || value < hdr->min)
        hdr->min = value;
    if (value > hdr->max)
        hdr->max = value;
    hdr->count += count;
}

uint64_t hdr_count(const struct hdr *hdr)
{
    return hdr->count;
}

uint64_t hdr_max(const struct hdr *hdr)
{
    return hdr->max;
}

uint64_t hdr_min(const struct hdr *hdr)
{
    return hdr->min;
}

double hdr_mean(const struct hdr *hdr)
{
    double sum = 0;
    for (uint32_t i = 0; i < hdr->length; i++)
        sum += (double)hdr->counts[i] * middle_value_of(i);
    return hdr->count ? sum / (double)hdr->count : 0;
}

static double deviation_of(const struct hdr *hdr, double mean)
{
    double sum = 0;
    for (uint32_t i = 0; i < hdr->length; i++) {
        double distance = middle_value_of(i) - mean;
        sum += (double)hdr->counts[i] * distance * distance;
    }
    return hdr->count ? sqrt(sum / (double)hdr->count) : 0;
}

/* ---- text -------------------------------------------------------------------------------- */

/* percentile: 0..100. */
static double next_percentile(double percentile)
{
    uint32_t halvings = (uint32_t)log2(100 / (100 - percentile)) + 1;
    return percentile + 100 / (STEPS_A_HALF * exp2(halvings));
}

static void print_steps(const struct hdr *hdr, double units, FILE *file)
{
    uint64_t seen = 0;
    double percentile = 0, value = 0;
    for (uint32_t i = 0; i < hdr->length; i++) {
        if (hdr->counts[i] == 0)
            continue;
        seen += hdr->counts[i];
        value = (double)last_value_of(i) / units;
        while (100 * (double)seen / (double)hdr->count >= percentile) {
            fprintf(file, "%12.*f %2.12f %10llu %14.2f\n", DIGITS, value, percentile / 100,
                    (unsigned long long)seen, 1 / (1 - percentile / 100));
            percentile = next_percentile(percentile);
            if (seen == hdr->count)
                break;
        }
    }
    if (hdr->count)
        fprintf(file, "%12.*f %2.12f %10llu\n", DIGITS, value, 1.0, (unsigned long long)seen);
}

void hdr_print_percentiles(const struct hdr *hdr, double units, FILE *file)
{
    double mean = hdr_mean(hdr);
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    print_steps(hdr, units, file);
    fprintf(file, "#[Mean    = %12.*f, StdDeviation   = %12.*f]\n", DIGITS, mean / units, DIGITS,
            deviation_of(hdr, mean) / units);
    fprintf(file, "#[Max     = %12.*f, Total count    = %12llu]\n", DIGITS,
            hdr->count ? (double)last_value_of(index_of(hdr->max)) / units : 0,
            (unsigned long long)hdr->count);
    fprintf(file, "#[Buckets = %12u, SubBuckets     = %12u]\n", hdr->bucket_count, SUB_COUNT);
}

/* ---- encoding ---------------------------------------------------------------------------- */

static uint8_t *put_big_endian(uint8_t *at, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

/* Zig-zag LEB128 of at most 9 bytes: the ninth takes eight bits. */
static uint8_t *put_count(uint8_t *at, int64_t count)
{
    uint64_t rest = ((uint64_t)count << 1) ^ (uint64_t)(count >> 63);
    for (uint32_t i = 0; i < COUNT_BYTES_MAX - 1; i++) {
        if (rest < 0x80) {
            *at++ = (uint8_t)rest;
            return at;
        }
        *at++ = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    *at++ = (uint8_t)rest;
    return at;
}

/* Returns the end. */
static uint8_t *put_counts(uint8_t *at, const struct hdr *hdr)
{
    uint32_t end = index_of(hdr->max) + 1;
    for (uint32_t i = 0; i < end;) {
        uint32_t zeros = 0;
        while (i + zeros < end && hdr->counts[i + zeros] == 0)
            zeros++;
        at = put_count(at, zeros ? -(int64_t)zeros : (int64_t)hdr->counts[i]);
        i += zeros ? zeros : 1;
    }
    return at;
}

static void put_header(uint8_t *at, const struct hdr *hdr, uint64_t payload_bytes)
{
    const double ratio = 1; /* of integers to the values they stand for */
    uint64_t ratio_bits;
    memcpy(&ratio_bits, &ratio, sizeof(ratio_bits));
    at = put_big_endian(at, COOKIE_V2, 4);
    at = put_big_endian(at, payload_bytes, 4);
    at = put_big_endian(at, 0, 4); /* no offset */
    at = put_big_endian(at, DIGITS, 4);
    at = put_big_endian(at, 1, 8); /* the lowest value that differs from 0 */
    at = put_big_endian(at, hdr->highest, 8);
    put_big_endian(at, ratio_bits, 8);
}

static char *base64(const uint8_t *bytes, size_t count)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((count + 2) / 3 * 4 + 1), *at = text;
    for (size_t i = 0; i < count && text; i += 3) {
        size_t left = count - i;
        uint32_t three = (uint32_t)bytes[i] << 16;
        three |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= left > 2 ? bytes[i + 2] : 0;
        *at++ = letters[three >> 18];
        *at++ = letters[three >> 12 & 63];
        *at++ = left > 1 ? letters[three >> 6 & 63] : '=';
        *at++ = left > 2 ? letters[three & 63] : '=';
    }
    if (text)
        *at = '\0';
    return text;
}

char *hdr_encode(const struct hdr *hdr)
{
    char *text = NULL;
    uint8_t *plain = malloc(HEADER_BYTES + (size_t)COUNT_BYTES_MAX * hdr->length);
    if (!plain)
        return NULL;
    size_t payload_bytes = (size_t)(put_counts(plain + HEADER_BYTES, hdr) - plain) - HEADER_BYTES;
    put_header(plain, hdr, payload_bytes);
    uLongf packed_bytes = compressBound(HEADER_BYTES + payload_bytes);
    uint8_t *packed = malloc(COMPRESSED_PREAMBLE + packed_bytes);
    if (packed && compress(packed + COMPRESSED_PREAMBLE, &packed_bytes, plain,
                           HEADER_BYTES + payload_bytes) == Z_OK) {
        put_big_endian(put_big_endian(packed, COOKIE_COMPRESSED, 4), packed_bytes, 4);
        text = base64(packed, COMPRESSED_PREAMBLE + packed_bytes);
    }
    free(packed);
    free(plain);
    return text;
}
