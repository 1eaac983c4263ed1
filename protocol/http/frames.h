/* frames — how providers cut a streamed response into pieces, behind one splitter.
 *
 *     FRAMING_SSE            text/event-stream                    a block with its blank line   sse.h
 *     FRAMING_LINES          application/x-ndjson and the like    a line with its line end
 *     FRAMING_EVENT_STREAM   application/vnd.amazon.eventstream   a message            event_stream.h
 *
 * A line ends in LF. Nothing is left out: frames and what is left at the end are the input.
 *
 *   thread  any, one at a time                                                                   */
#ifndef TOKENLOG_PROTOCOL_HTTP_FRAMES_H
#define TOKENLOG_PROTOCOL_HTTP_FRAMES_H

#include "protocol/http/event_stream.h"
#include "protocol/http/sse.h"

enum framing { FRAMING_SSE, FRAMING_LINES, FRAMING_EVENT_STREAM };

/* framing_of_type — of a response, by its Content-Type.  answers ERR_NOTFOUND it has no frames */
enum err framing_of_type(struct slice content_type, enum framing *out) NODISCARD;

/* frame_splitter — embed it; init by zero, but for the framing, at the start of a transfer. A copy of
 * it begins anew where it was taken: it remembers no bytes but a binary message's prelude. */
struct frame_splitter {
    enum framing framing;
    union {
        struct sse_splitter sse;
        struct event_stream_splitter event_stream;
    };
};

/* frame_split — find the end of the first frame: as sse_split.
 *   answers  ERR_AGAIN · ERR_INVALID the bytes are not framed so; no later frame can be found
 * frame_split_end — the transfer is over: as sse_split_end. */
enum err frame_split(struct frame_splitter *splitter, struct slice fresh, size_t *end) NODISCARD;
bool frame_split_end(struct frame_splitter *splitter);

#endif
