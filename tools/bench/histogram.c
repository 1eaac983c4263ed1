/* histogram — the bucket of a value v is v itself below 64, else (octave, the 6 bits below the top
 * one):
 *
 *     v = 1bbbbbb…  with n bits below the six   ─▶  index = (n + 1) * 64 + bbbbbb               */
#include "tools/bench/histogram.h"

#include "protocol/base/err.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB)
        return (unsigned)value;
    unsigned shift = 63u - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(value);
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((value >> shift) - SUB);
}

static uint64_t upper_end(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return (((uint64_t)(bucket & (SUB - 1)) + SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, int64_t value_ns, uint64_t count)
{
    const uint64_t top = (UINT64_C(1) << HISTOGRAM_TOP_BITS) - 1;
    uint64_t value = value_ns < 0 ? 0 : (uint64_t)value_ns;
    if (value > top)
        value = top;
    unsigned bucket = bucket_of(value);
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    histogram->buckets[bucket] += count;
    histogram->count += count;
    histogram->sum_ns += value * count;
    if (count > 0 && value > histogram->max_ns)
        histogram->max_ns = value;
}

int64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    ASSERT(percent >= 0 && percent <= 100);
    uint64_t wanted = (uint64_t)((double)histogram->count * percent / 100);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted || (seen == histogram->count && seen > 0)) {
            uint64_t end = upper_end(i);
            return (int64_t)(end < histogram->max_ns ? end : histogram->max_ns);
        }
    }
    return 0;
}

static double us(int64_t ns)
{
    return (double)ns / 1000;
}

static void print_buckets(const struct histogram *histogram, FILE *out)
{
    const char *comma = "";
    fprintf(out, ", \"buckets\": [");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        fprintf(out, "%s[%.3f, %llu]", comma, us((int64_t)upper_end(i)),
            (unsigned long long)histogram->buckets[i]);
        comma = ", ";
    }
    fputc(']', out);
}

void histogram_print(const struct histogram *histogram, FILE *out, bool with_buckets)
{
    double mean = histogram->count ? us((int64_t)(histogram->sum_ns / histogram->count)) : 0;
    fprintf(out,
        "{\"count\": %llu, \"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, "
        "\"p999\": %.1f, \"max\": %.1f",
        (unsigned long long)histogram->count, mean, us(histogram_percentile(histogram, 50)),
        us(histogram_percentile(histogram, 90)), us(histogram_percentile(histogram, 99)),
        us(histogram_percentile(histogram, 99.9)), us((int64_t)histogram->max_ns));
    if (with_buckets)
        print_buckets(histogram, out);
    fputc('}', out);
}
