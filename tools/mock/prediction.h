/* prediction — Replicate's answers, which are elsewhere: what was asked for is kept here, and read at a place
 * of its own, as a stream or again and again until it is done.
 *
 *   POST /v1/models/OWNER/NAME/predictions ─▶ {"id": "mock17", "status": "starting", "urls": {…}}
 *   GET  /v1/predictions/mock17            ─▶ the same, "processing" … then "succeeded" or "failed"
 *   GET  /v1/predictions/mock17/stream     ─▶ the events
 *
 * It is paid for when it is asked for, read or not: its readings are in no books.
 *
 *   thread  the loop's
 *   source  https://replicate.com/docs/reference/http (2026-08) */
#ifndef TOKENLOG_TOOLS_MOCK_PREDICTION_H
#define TOKENLOG_TOOLS_MOCK_PREDICTION_H

#include "tools/mock/bounds.h"
#include "tools/mock/stream.h"

struct prediction;

struct predictions {
    struct prediction *held[PREDICTIONS_MAX]; /* owned; by generation, the last ones of all */
};

void predictions_deinit(struct predictions *predictions);
/* prediction_begin — puts it into the books, as over, and keeps it. `order` gets its generation; its answer's
 * model and host are copied.   faults ERR_NOMEM */
enum err prediction_begin(struct predictions *predictions, struct stats *stats,
    struct stream_order *order, struct prediction **out) NODISCARD;
/* prediction_find — by the path of a place.  answers ERR_NOTFOUND no such, or not any more
 *   is_stream  the place is that of the events */
enum err prediction_find(const struct predictions *predictions, struct slice path,
    struct prediction **out, bool *is_stream) NODISCARD;
/* prediction_order — what a reading gets of it; the text is borrowed from it. */
struct stream_order prediction_order(const struct prediction *prediction);
/* prediction_poll — whether it is done by `now_ns`, for one who asks for all of it. Each call counts (poll=N). */
bool prediction_poll(struct prediction *prediction, int64_t now_ns);
/* prediction_render — the object of one that is not done; with its places, if the order names our host.   faults ERR_NOMEM */
enum err prediction_render(
    const struct prediction *prediction, const char *status, struct buf *out) NODISCARD;

#endif
