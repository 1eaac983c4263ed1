/* event_stream — Amazon's binary event stream (application/vnd.amazon.eventstream): messages found
 * in a transfer, and read.
 *
 *     0         4           8           12         12 + headers     total − 4     total
 *     │ total   │ headers   │ CRC-32 of │ headers… │ payload…       │ CRC-32 of   │
 *     │ in bytes│ in bytes  │ 0 … 8     │          │                │ 0 … total−4 │
 *
 *     a header    size of the name (1) · name · type (1) · value, by its type:
 *                 true 0, false 1: nothing · byte 2 · short 3 · integer 4 · long 5 ·
 *                 bytes 6, string 7: size (2), and so many · timestamp 8 · UUID 9
 *
 * Integers are big-endian; the checksum is gzip's. What a message is, its headers say:
 *
 *     :message-type event      :event-type NAME, the payload is the event
 *     :message-type exception  :exception-type NAME, the payload is the error
 *     :message-type error      :error-code, :error-message
 *
 *   thread  any, one at a time
 *   source  https://smithy.io/2.0/aws/amazon-eventstream.html; the vectors of aws/aws-sdk-js-v3
 *           packages/eventstream-marshaller/src/TestVectors.fixture.ts at 238be60b               */
#ifndef TOKENLOG_PROTOCOL_HTTP_EVENT_STREAM_H
#define TOKENLOG_PROTOCOL_HTTP_EVENT_STREAM_H

#include "protocol/base/slice.h"

enum {
    EVENT_STREAM_PRELUDE_BYTES = 12,
    EVENT_STREAM_CHECKSUM_BYTES = 4,
    EVENT_STREAM_HEADERS_BYTES_MAX = 128 << 10, /* as Amazon's own C library has them */
    EVENT_STREAM_MESSAGE_BYTES_MAX = 24 << 20,
};

/* event_stream_splitter — embed it; init by zero at the start of a transfer. It remembers a message's
 * prelude and how much of the message came; the bytes are kept by the caller. */
struct event_stream_splitter {
    uint8_t prelude[EVENT_STREAM_PRELUDE_BYTES];
    uint32_t size; /* bytes of the message that were scanned */
};

/* event_stream_split — find the end of the first message: as sse_split. The prelude's checksum is
 * looked at here, the message's by event_stream_read.
 *   answers  ERR_AGAIN
 *            ERR_INVALID these bytes begin no message, so that nothing can be found behind them:
 *                        every later call answers the same */
enum err event_stream_split(
    struct event_stream_splitter *splitter, struct slice fresh, size_t *end) NODISCARD;

/* What a message says; all borrowed from it, absent ones empty. */
struct event_stream_message {
    struct slice type; /* :message-type; absent ones are events */
    struct slice name; /* of an event, an exception; an error's code */
    struct slice text; /* :error-message */
    struct slice payload;
};

/* event_stream_read — one whole message.
 *   answers  ERR_INVALID its size, its checksums or its headers are wrong */
enum err event_stream_read(struct slice message, struct event_stream_message *out) NODISCARD;
bool event_stream_is_event(const struct event_stream_message *message);

#endif
