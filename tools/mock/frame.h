/* frame — SSE events on the wire: their line ends, and HTTP's chunks around them.
 *
 *   12f CRLF  event: NAME eol  data: DATA eol  eol  CRLF
 *
 * One chunk an event; without the chunk's parts when the body ends with the connection. */
#ifndef TOKENLOG_TOOLS_MOCK_FRAME_H
#define TOKENLOG_TOOLS_MOCK_FRAME_H

#include "protocol/base/slice.h"
#include "tools/mock/behavior.h"

struct frame {
    enum behavior_sse sse;
    bool is_chunked;
};

const char *frame_line_end(const struct frame *frame);
/* frame_put — `bytes` as one chunk. */
enum err frame_put(const struct frame *frame, struct slice bytes, struct buf *out) NODISCARD;
/* frame_event — one SSE event; `name` may be NULL. `*data_at`, unless NULL, gets the offset of
 * `data` in `out`. */
enum err frame_event(const struct frame *frame, const char *name, struct slice data,
    struct buf *out, size_t *data_at) NODISCARD;
/* frame_event_size — of the event alone, without the chunk around it. */
size_t frame_event_size(const struct frame *frame, const char *name, size_t data_size);
/* frame_end — the last chunk, where there are chunks. */
enum err frame_end(const struct frame *frame, struct buf *out) NODISCARD;

#endif
