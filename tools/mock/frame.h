/* frame — events on the wire: SSE and its line ends, lines of JSON, or binary messages (message.h), and
 * HTTP's chunks around them.
 *
 *   12f CRLF  event: NAME eol  data: DATA eol  eol  CRLF
 *   12f CRLF  DATA eol  CRLF
 *
 * One chunk an event; without the chunk's parts when the body ends with the connection. */
#ifndef TOKENLOG_TOOLS_MOCK_FRAME_H
#define TOKENLOG_TOOLS_MOCK_FRAME_H

#include "protocol/base/slice.h"
#include "tools/mock/behavior.h"

enum frame_kind { FRAME_SSE, FRAME_LINES, FRAME_MESSAGES };

struct frame {
    enum frame_kind kind;
    enum behavior_sse sse;
    bool is_chunked;
};

const char *frame_line_end(const struct frame *frame);
const char *frame_content_type(const struct frame *frame);
/* frame_put — `bytes` as one chunk. */
enum err frame_put(const struct frame *frame, struct slice bytes, struct buf *out) NODISCARD;
/* frame_event — one event; `name` may be NULL, and lines have none. `*data_at`, unless NULL, gets the offset of
 * `data` in `out`. */
enum err frame_event(const struct frame *frame, const char *name, struct slice data,
    struct buf *out, size_t *data_at) NODISCARD;
/* frame_event_size — of the event alone, without the chunk around it. */
size_t frame_event_size(const struct frame *frame, const char *name, size_t data_size);
/* frame_mend — of an event, with its chunk, whose data were changed in place: its checksum. */
void frame_mend(const struct frame *frame, struct buf *event);
/* frame_end — the last chunk, where there are chunks. */
enum err frame_end(const struct frame *frame, struct buf *out) NODISCARD;

#endif
