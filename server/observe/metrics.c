/* metrics — the table's rows share one shape of value:
 *
 *     counter     cells[label]           (0: the only one)
 *     gauge       cells[0]
 *     histogram   cells[bucket], sum     bucket b: value ≤ 2^b units; the last one: the rest
 *
 * A cell is stored by its reactor alone and may be loaded by whoever prints: relaxed atomics, which
 * are plain moves. */
#include "server/observe/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/observe/process.h"

enum {
    BUCKET_COUNT = 28, /* up to 2^27 µs = 134 s, and the rest */
    CELL_COUNT = 32,   /* of a metric: the buckets, or a label's values */
    NS_PER_US = 1000,
};
static_assert(BUCKET_COUNT < CELL_COUNT, "the rest has a cell too");

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

static const struct metric_row {
    const char *name;
    enum metric_kind kind;
    const char *label; /* "" = none */
    bool is_ns;
    const char *help;
} rows[METRIC_COUNT] = {
#define COUNTER(name_, label_, help_)                                                              \
    [METRIC_##name_] = {#name_, KIND_COUNTER, (label_), false, (help_)},
#define GAUGE(name_, help_) [METRIC_##name_] = {#name_, KIND_GAUGE, "", false, (help_)},
#define HISTOGRAM(name_, unit_, help_)                                                             \
    [METRIC_##name_] = {#name_, KIND_HISTOGRAM, "", sizeof(unit_) > 1, (help_)},
#include "server/observe/metrics.def"
};

/* What each label may say; "other" ends the list and takes the rest. */
static const struct label {
    const char *name;
    const char *values[CELL_COUNT];
} labels[] = {
    {"code", {"1xx", "2xx", "3xx", "4xx", "5xx", "other"}},
    {"state", {"completed", "failed", "stopped", "interrupted", "other"}},
    {"how", {"key_live", "key_finished", "id_live", "id_finished", "other"}},
    {"kind", {"upstream_refused", "upstream_timeout_connect", "upstream_timeout_first_byte",
                 "upstream_timeout_idle", "upstream_reset", "upstream_malformed",
                 "upstream_canceled", "upstream_status", "upstream_error_event", "other"}},
    {"attempt", {"first", "retry", "failover", "hedge", "continuation", "resumption", "other"}},
    {"outcome", {"resumed", "refused", "unreachable", "other"}},
};

struct value {
    uint64_t cells[CELL_COUNT];
    uint64_t sum;
};

struct metrics {
    struct value values[METRIC_COUNT];
};

static void cell_set(uint64_t *cell, uint64_t value)
{
    __atomic_store_n(cell, value, __ATOMIC_RELAXED);
}

static uint64_t cell_get(const uint64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

enum err metrics_new(struct metrics **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : fault(ERR_NOMEM, "metrics");
}

struct metrics *metrics_free(struct metrics *metrics)
{
    free(metrics);
    return NULL;
}

static const struct label *label_of(const struct metric_row *row)
{
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (strcmp(labels[i].name, row->label) == 0)
            return &labels[i];
    return NULL;
}

static void add_cell(struct metrics *metrics, enum metric metric, size_t cell, uint64_t amount)
{
    uint64_t *at = &metrics->values[metric].cells[cell];
    cell_set(at, *at + amount);
}

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t amount)
{
    ASSERT(metric < METRIC_COUNT && rows[metric].kind == KIND_COUNTER && !rows[metric].label[0]);
    add_cell(metrics, metric, 0, amount);
}

void metrics_add_label(
    struct metrics *metrics, enum metric metric, const char *label, uint64_t amount)
{
    ASSERT(metric < METRIC_COUNT && rows[metric].kind == KIND_COUNTER);
    const struct label *known = label_of(&rows[metric]);
    ASSERT(known != NULL);
    size_t cell = 0;
    while (known->values[cell + 1] && strcmp(known->values[cell], label) != 0)
        cell++;
    add_cell(metrics, metric, cell, amount);
}

void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value)
{
    ASSERT(metric < METRIC_COUNT && rows[metric].kind != KIND_HISTOGRAM);
    cell_set(&metrics->values[metric].cells[0], value);
}

/* The first bucket whose bound 2^b × unit is not below the value. */
static size_t bucket_of(uint64_t value, uint64_t unit)
{
    uint64_t units = value / unit + (value % unit != 0);
    size_t bucket = units <= 1 ? 0 : (size_t)(64 - __builtin_clzll(units - 1));
    return bucket < BUCKET_COUNT ? bucket : BUCKET_COUNT;
}

void metrics_observe(struct metrics *metrics, enum metric metric, int64_t value)
{
    ASSERT(metric < METRIC_COUNT && rows[metric].kind == KIND_HISTOGRAM);
    uint64_t amount = value > 0 ? (uint64_t)value : 0;
    add_cell(metrics, metric, bucket_of(amount, rows[metric].is_ns ? NS_PER_US : 1), 1);
    uint64_t *sum = &metrics->values[metric].sum;
    cell_set(sum, *sum + amount);
}

/* ——— printing ——— */

static void sum_up(struct metrics *const *each, size_t count, enum metric metric, struct value *out)
{
    *out = (struct value){0};
    for (size_t i = 0; i < count; i++) {
        const struct value *value = &each[i]->values[metric];
        for (size_t cell = 0; cell < CELL_COUNT; cell++)
            out->cells[cell] += cell_get(&value->cells[cell]);
        out->sum += cell_get(&value->sum);
    }
}

static enum err print_head(const struct metric_row *row, struct buf *out)
{
    static const char *const kinds[] = {
        [KIND_COUNTER] = "counter", [KIND_GAUGE] = "gauge", [KIND_HISTOGRAM] = "histogram"};
    return buf_printf(out, "# HELP tokenlog_%s %s\n# TYPE tokenlog_%s %s\n", row->name, row->help,
        row->name, kinds[row->kind]);
}

static enum err print_labelled(
    const struct metric_row *row, const struct value *value, struct buf *out)
{
    const struct label *label = label_of(row);
    ASSERT(label != NULL);
    for (size_t i = 0; label->values[i]; i++)
        TRY(buf_printf(out, "tokenlog_%s{%s=\"%s\"} %" PRIu64 "\n", row->name, label->name,
            label->values[i], value->cells[i]));
    return ERR_OK;
}

/* `value` of `scale` to one, as a decimal number. */
static enum err print_scaled(struct buf *out, uint64_t value, uint64_t scale, int digits)
{
    if (scale == 1)
        return buf_printf(out, "%" PRIu64, value);
    return buf_printf(out, "%" PRIu64 ".%0*" PRIu64, value / scale, digits, value % scale);
}

static enum err print_histogram(
    const struct metric_row *row, const struct value *value, struct buf *out)
{
    uint64_t below = 0;
    for (size_t bucket = 0; bucket < BUCKET_COUNT; bucket++) {
        below += value->cells[bucket];
        TRY(buf_printf(out, "tokenlog_%s_bucket{le=\"", row->name));
        TRY(print_scaled(out, UINT64_C(1) << bucket, row->is_ns ? 1000000 : 1, 6));
        TRY(buf_printf(out, "\"} %" PRIu64 "\n", below));
    }
    below += value->cells[BUCKET_COUNT];
    TRY(buf_printf(out, "tokenlog_%s_bucket{le=\"+Inf\"} %" PRIu64 "\ntokenlog_%s_sum ", row->name,
        below, row->name));
    TRY(print_scaled(out, value->sum, row->is_ns ? 1000000000 : 1, 9));
    return buf_printf(out, "\ntokenlog_%s_count %" PRIu64 "\n", row->name, below);
}

static enum err print_row(const struct metric_row *row, const struct value *value, struct buf *out)
{
    TRY(print_head(row, out));
    if (row->kind == KIND_HISTOGRAM)
        return print_histogram(row, value, out);
    if (row->label[0])
        return print_labelled(row, value, out);
    return buf_printf(out, "tokenlog_%s %" PRIu64 "\n", row->name, value->cells[0]);
}

enum err metrics_print(struct metrics *const *each, size_t count, struct buf *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        struct value value;
        sum_up(each, count, (enum metric)i, &value);
        TRY(print_row(&rows[i], &value, out));
    }
    TRY(buf_append_text(out, "# HELP tokenlog_build_info 1, with the version as its label\n"
                             "# TYPE tokenlog_build_info gauge\n"
                             "tokenlog_build_info{version=\"" TOKENLOG_VERSION "\"} 1\n"));
    return process_print(out);
}
