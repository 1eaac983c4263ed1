/* metrics — counters, gauges and histograms from one table (metrics.def), printed as Prometheus
 * text.
 *
 * Values of the labels; any other counts as "other":
 *   code   1xx 2xx 3xx 4xx 5xx
 *   state  completed failed stopped interrupted
 *   how    key_live key_finished id_live id_finished
 *   kind   upstream_end_name()'s, and upstream_status, upstream_error_event
 *
 *   thread  one struct a reactor, written by it alone and summed when printed by any: plain loads
 *           and stores of 64 bits, no locked instruction on the token's path
 *   source  https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4) */
#ifndef TOKENLOG_SERVER_OBSERVE_METRICS_H
#define TOKENLOG_SERVER_OBSERVE_METRICS_H

#include "protocol/base/slice.h"

enum { METRICS_BYTES_MAX = 256 * 1024 /* a good bound for the buffer that is printed to */ };

enum metric {
#define COUNTER(name, label, help)  METRIC_##name,
#define GAUGE(name, help)           METRIC_##name,
#define HISTOGRAM(name, unit, help) METRIC_##name,
#include "server/observe/metrics.def"
    METRIC_COUNT
};

struct metrics;
enum err metrics_new(struct metrics **out) NODISCARD; /* faults ERR_NOMEM */
struct metrics *metrics_free(struct metrics *metrics);

/* metrics_add — to a counter without a label; metrics_add_label — to one with.
 * metrics_set — a gauge, or a counter without a label that somebody else counts.
 * metrics_observe — into a histogram: buckets are powers of two from 1 µs (or 1) up; a negative
 * value counts as 0. */
void metrics_add(struct metrics *metrics, enum metric metric, uint64_t amount);
void metrics_add_label(
    struct metrics *metrics, enum metric metric, const char *label, uint64_t amount);
void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value);
void metrics_observe(struct metrics *metrics, enum metric metric, int64_t value);

/* metrics_print — the sum of `each`, then tokenlog_build_info and the process's own metrics.
 * Answers and faults of buf_append. Reads /proc: a few system calls. */
enum err metrics_print(struct metrics *const *each, size_t count, struct buf *out) NODISCARD;

#endif
