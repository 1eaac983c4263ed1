/* process — the process_… metrics that Prometheus' clients agree on, read from /proc/self.
 *
 *   thread  any; no state
 *   source  https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics;
 *   proc(5) */
#ifndef TOKENLOG_SERVER_OBSERVE_PROCESS_H
#define TOKENLOG_SERVER_OBSERVE_PROCESS_H

#include "protocol/base/slice.h"

/* process_print — appended; what cannot be read is left out. Answers and faults of buf_append. */
enum err process_print(struct buf *out) NODISCARD;

#endif
