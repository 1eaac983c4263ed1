/* sse_writer — writes one event of SSE whose data are bytes that come in pieces: as they are, line by line, or
 * as base64. What the bytes say cannot end the event or begin a field: every line end in them, LF, CR or
 * CRLF, begins a new `data:` line (and so reads as LF).
 *
 *   event: data
 *   data:first line
 *   data:second line
 *   (blank)
 *
 *   thread  any, one at a time
 *   source  https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.6 */
#ifndef TOKENLOG_PROTOCOL_HTTP_SSE_WRITER_H
#define TOKENLOG_PROTOCOL_HTTP_SSE_WRITER_H

#include "protocol/base/slice.h"

enum {
    SSE_WRITER_GROUP_BYTES = 3, /* become four characters of base64 */
    /* What a byte can become, and what an event has besides. */
    SSE_WRITER_EXPANSION = sizeof "\ndata:" - 1,
    SSE_WRITER_FRAME_BYTES = sizeof "event: data\ndata:" + 8,
};

struct sse_writer {
    bool is_base64;
    bool is_at_start; /* of a line */
    bool is_after_cr;
    uint8_t held[SSE_WRITER_GROUP_BYTES];
    size_t held_size;
};

/* All answer buf_append's. A piece must leave the buffer room for SSE_WRITER_EXPANSION times its size. */
enum err sse_writer_begin(struct sse_writer *writer, bool is_base64, struct buf *out) NODISCARD;
enum err sse_writer_write(struct sse_writer *writer, struct slice piece, struct buf *out) NODISCARD;
enum err sse_writer_end(struct sse_writer *writer, struct buf *out) NODISCARD;

#endif
