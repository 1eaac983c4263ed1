/* replicate — what the files of predictions have in common: Replicate's, and those of a Cog container.
 *
 *     the object      {"id", "status": "starting" | "processing" | "succeeded" | "failed" | "canceled",
 *                      "output": "…" | ["…", …], "error": "…", "metrics": {…}, "urls": {…}}
 *     Replicate's stream, at urls.stream        Cog's stream, the answer to its request
 *       event: output   data: TEXT                event: start      {"id", "status"}
 *       event: error    data: TEXT                event: output     {"chunk", "index"}
 *       event: logs     data: TEXT                event: log, metric
 *       event: done     {"reason"}                event: completed  the object
 *
 * Internal to protocol/dialect. Spans are borrowed from the text.
 *
 *   thread  any; no state
 *   source  https://replicate.com/docs/topics/predictions/streaming (2026-08);
 *           https://replicate.com/docs/reference/http (2026-08);
 *           replicate/cog docs/http.md at 02b7f42b                                               */
#ifndef TOKENLOG_PROTOCOL_DIALECT_REPLICATE_H
#define TOKENLOG_PROTOCOL_DIALECT_REPLICATE_H

#include "protocol/dialect/codec.h"

enum replicate_status { REPLICATE_RUNNING, REPLICATE_SUCCEEDED, REPLICATE_FAILED };

/* The object; absent members have an empty raw text. */
struct replicate_prediction {
    struct json_span id, output, error;
    enum replicate_status status; /* canceled ones failed */
    bool is_canceled;
    struct usage usage; /* where its metrics count tokens */
};

/* replicate_read — of a text that is one valid JSON object. */
void replicate_read(struct slice text, struct replicate_prediction *out);
/* replicate_reason — of the event "done": the same by its reason, which is empty if all went well. */
enum replicate_status replicate_reason(struct slice text, bool *is_canceled);

#endif
