/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* after those, as it asks */
#include <cmocka.h>

static void empty_histogram_has_no_percentiles(void **state)
{
    (void)state;
    static struct histogram histogram;
    assert_int_equal(histogram_count(&histogram), 0);
    assert_int_equal(histogram_percentile(&histogram, 0.99), 0);
}

static void values_beyond_the_buckets_are_kept(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_record(&histogram, UINT64_MAX);
    histogram_record(&histogram, 1ull << 45);
    assert_int_equal(histogram_count(&histogram), 2);
    assert_int_equal(counter_read(&histogram.max), UINT64_MAX);
    assert_int_equal(histogram_percentile(&histogram, 1), UINT64_MAX);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (uint64_t value = 0; value < 64; value++)
        histogram_record(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 0.5), 31);
    assert_int_equal(histogram_percentile(&histogram, 0), 0);
    assert_int_equal(histogram_percentile(&histogram, 1), 63);
}

static void buckets_are_contiguous_and_narrow(void **state)
{
    (void)state;
    for (uint32_t bucket = 0; bucket + 1 < HISTOGRAM_BUCKET_COUNT; bucket++) {
        uint64_t last = histogram_bucket_last(bucket);
        assert_int_equal(histogram_bucket(last), bucket);
        assert_int_equal(histogram_bucket(last + 1), bucket + 1);
        uint64_t first = bucket ? histogram_bucket_last(bucket - 1) + 1 : 0;
        assert_true(last - first <= first / HISTOGRAM_SUB_COUNT);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKET_COUNT - 1);
}

static void percentiles_are_within_a_bucket_of_the_truth(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_record(&histogram, value);
    const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    for (size_t i = 0; i < 5; i++) {
        double truth = shares[i] * 100000;
        double found = (double)histogram_percentile(&histogram, shares[i]);
        assert_true(found >= truth && found <= truth * 1.033);
    }
    assert_int_equal(histogram_percentile(&histogram, 1), 100000);
}

static void sums_and_copies_keep_everything(void **state)
{
    (void)state;
    static struct histogram one, other, copy;
    histogram_record(&one, 5);
    histogram_record(&other, 7000);
    histogram_add(&one, &other);
    histogram_copy(&one, &copy);
    assert_int_equal(histogram_count(&copy), 2);
    assert_int_equal(counter_read(&copy.max), 7000);
    assert_int_equal(histogram_percentile(&copy, 0.5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_histogram_has_no_percentiles),
        cmocka_unit_test(values_beyond_the_buckets_are_kept),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(buckets_are_contiguous_and_narrow),
        cmocka_unit_test(percentiles_are_within_a_bucket_of_the_truth),
        cmocka_unit_test(sums_and_copies_keep_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
