/* histogram — durations in ns, counted in log-linear buckets: 64 a factor of two, so a percentile is
 * at most 1.6 % too high, from 1 ns to 18 minutes, in 18 KiB and a few ns a value.
 *
 *   thread  one */
#ifndef TOKENLOG_TOOLS_BENCH_HISTOGRAM_H
#define TOKENLOG_TOOLS_BENCH_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    HISTOGRAM_SUB_BITS = 6,  /* 64 buckets an octave */
    HISTOGRAM_TOP_BITS = 40, /* 2^40 ns = 18 minutes; longer ones count as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

/* All zeros is an empty one. */
struct histogram {
    uint64_t count;
    uint64_t sum_ns, max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* histogram_add — `count` values; one below zero counts as zero. */
void histogram_add(struct histogram *histogram, int64_t value_ns, uint64_t count);
/* histogram_percentile — the upper end of the bucket that holds it, at most the maximum; 0 if there
 * is none. `percent` in 0 … 100. */
int64_t histogram_percentile(const struct histogram *histogram, double percent);
/* histogram_print — a JSON object: count, then in µs mean, p50, p90, p99, p999, max; with_buckets:
 * also [[upper end in µs, count], …] of those that are not empty. */
void histogram_print(const struct histogram *histogram, FILE *out, bool with_buckets);

#endif
