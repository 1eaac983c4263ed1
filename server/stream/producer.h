/* producer — upstream → journal, one per live generation. Owned by nobody's connection: the caller
 * may go, the generation lives on.
 *
 *   WAITING ──(request record durable; unkeyed: at once)──▶ DISPATCHED ──head──▶ STREAMING
 *   ──terminator, end, stop──▶ ENDED
 *      └──────────────────────────── stop ──────────────────────┴────────────────────┘     │ lets
 *      the transfer finish (connection reuse)
 *                                                                                          ▼ freed
 *
 * Bytes from the provider are split into events (SSE blocks, or fragments of an opaque body), each
 * is read by the dialect and
 * appended to the stream's tail; the terminator goes in one batch with the final row. When storage
 * has no room the transfer is paused.
 *
 *   thread
 *   loop */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_H

#include "protocol/dialect/translate.h"
#include "protocol/http/header.h"
#include "server/io/upstream.h"
#include "server/stream/hub.h"

struct producer_config {
    struct upstreams *upstreams;
    struct metrics *metrics;
    struct log *log;
    int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms;
};

/* How a response in another dialect is translated into the caller's, which the stream keeps. */
struct producer_translate {
    const struct codec *provider, *caller;
    struct slice model;    /* as the caller named it */
    bool includes_usage;   /* the caller asked for it */
    struct slice left_out; /* of the request: Tokenlog-Left-Out of the response; may be empty */
};

/* What to ask of whom. Everything is copied. */
struct producer_request {
    const struct dialect *dialect;              /* the caller's */
    const struct producer_translate *translate; /* NULL: bytes are passed on as they are */
    const char *method;                         /* NULL: POST */
    const char *url;
    const char *content_type; /* of the body; NULL: application/json, "": none is sent */
    const char *const
        *credentials;              /* "Name: value" each, NULL-terminated; sent first. NULL: none */
    const char *ca_file;           /* NULL: the system's */
    const struct headers *headers; /* the caller's; those that may cross do */
    struct slice body;
    bool hides_usage;
    bool is_keyed; /* dispatch only once the request record is durable */
};

/* producer_start — takes a reference of the stream. From here the stream always comes to an end,
 * whatever happens.
 *   faults  ERR_NOMEM; the stream has been ended as failed if possible */
enum err producer_start(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request) NODISCARD;

#endif
