/* metrics — counters, gauges and histograms from one table (metrics.def), printed as Prometheus text.
 *   thread  one struct a reactor, written by it alone, summed when printed: no atomics on the token's path */
#ifndef TOKENLOG_SERVER_OBSERVE_METRICS_H
#define TOKENLOG_SERVER_OBSERVE_METRICS_H

#include "protocol/base/slice.h"

enum metric {
#define COUNTER(name, label, help)  METRIC_##name,
#define GAUGE(name, help)           METRIC_##name,
#define HISTOGRAM(name, unit, help) METRIC_##name,
#include "server/observe/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    METRIC_COUNT
};
struct metrics;
enum err metrics_new(struct metrics **out) NODISCARD;
struct metrics *metrics_free(struct metrics *metrics);
void metrics_add(struct metrics *metrics, enum metric metric, uint64_t amount);             /* counter without label */
void metrics_add_label(struct metrics *metrics, enum metric metric, const char *label, uint64_t amount); /* label: one of the known values, else "other" */
void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value);              /* gauge */
void metrics_observe(struct metrics *metrics, enum metric metric, int64_t value);           /* histogram; powers of two from 1 µs (or 1) up */
enum err metrics_print(struct metrics *const *each, size_t count, struct buf *out) NODISCARD;

#endif
