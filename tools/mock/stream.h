/* stream — one generation on its way out: what its next write holds and when it is due. Knows no
 * sockets.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_TOOLS_MOCK_STREAM_H
#define TOKENLOG_TOOLS_MOCK_STREAM_H

#include "tools/mock/behavior.h"
#include "tools/mock/shape.h"
#include "tools/mock/stats.h"

struct stream;

/* What the connection does once the bytes of a write are with the kernel. */
enum stream_act {
    ACT_GO_ON, /* the next write, when it is due */
    ACT_DONE,  /* the answer is whole: the next request, or close where the head said so */
    ACT_STALL, /* nothing, until the caller goes */
    ACT_CLOSE, /* FIN */
    ACT_RESET, /* RST */
};

struct stream_order {
    const struct shape *shape;
    struct behavior behavior;
    struct answer answer; /* `model` is copied */
    struct ticket ticket; /* open; the stream ends it. Empty: of what is in the books already */
    int64_t now_ns;       /* monotonic: the schedule's zero */
    uint64_t from;        /* of a stream with sequence numbers: the first event that is sent */
    bool is_stream;
    bool keeps_alive; /* the connection may serve another request */
    bool is_http10;
};

/* stream_new — NULL: out of memory, and the ticket is still the caller's. */
struct stream *stream_new(const struct stream_order *order);
/* stream_free — ends the ticket, as aborted unless stream_over() came first. */
struct stream *stream_free(struct stream *stream, struct stats *stats);

/* stream_end_ns — when an order's whole answer is due. */
int64_t stream_end_ns(const struct stream_order *order);
/* stream_due_ns — when the next write is due; may be in the past. */
int64_t stream_due_ns(const struct stream *stream);
/* stream_render — append the next write's bytes to `out`. Answers and faults are buf_append's.
 *   `*act` is what comes after them. */
enum err stream_render(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act) NODISCARD;
/* stream_over — the kernel has all bytes of a write whose act ends the answer. */
void stream_over(struct stream *stream);
bool stream_is_byte_wise(const struct stream *stream);
bool stream_closes(const struct stream *stream); /* no request may follow on this connection */

#endif
