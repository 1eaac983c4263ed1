/* replay — a reader's events as an HTTP response: the one loop behind live answers, resumes,
 * duplicates and replays.
 *
 *   REPLAY_PROVIDER  the response as the provider gave it: its status, its fields, its bytes
 *   (inference routes)
 *   REPLAY_RAW       the same bytes from an offset, status 200 (…/events?format=raw)
 *   REPLAY_SSE       SSE with `id:` lines and a closing `event: tokenlog.end` (…/events)
 *   REPLAY_LINES     JSON lines with the time of each event, as transcript.h writes them: the row,
 *   the events, an end (…?format=jsonl)
 *
 * The first two end by invariant 5: cleanly only if the recording is whole. The others always end
 * cleanly, and say how the stream ended.
 * A provider-shaped response begins once its head and first event are durable.
 *
 *   owns    the stream's reference passes to the replay, which frees itself when the exchange lets
 *   go
 *   thread
 *   loop */
#ifndef TOKENLOG_SERVER_API_REPLAY_H
#define TOKENLOG_SERVER_API_REPLAY_H

#include "protocol/http/blank_lines.h"
#include "server/http/exchange.h"
#include "server/stream/reader.h"

enum replay_format { REPLAY_PROVIDER, REPLAY_RAW, REPLAY_SSE, REPLAY_LINES };

struct replay_request {
    enum replay_format format;
    uint64_t from;
    uint64_t
        seen; /* of REPLAY_RAW, with `from` 0: skip as many blank lines (blank_lines.h); any number */
    bool follow;
    int status;           /* REPLAY_PROVIDER: in the place of the recorded one; 0: that */
    uint32_t retry_ms;    /* REPLAY_SSE: a `retry:` line comes first; 0: none */
    const char *attached; /* "live" or "finished": by key; NULL: the first caller, or by ID */
    bool is_caller;       /* it asked the question, first or again (duplicates.h) */
};
/* replay_start — answers the exchange, now or as the stream goes on. An offset past the end is
 * answered as an error. */
void replay_start(
    struct exchange *exchange, struct stream *stream, const struct replay_request *request);

/* replay_is_whole — whether a recording may end cleanly: completed, or a provider's error response
 * that arrived whole. */
bool replay_is_whole(const struct row *row);
/* replay_add_headers — which stream it is and how it stands, as every answer that shows one says;
 * `attached` as replay_request's. */
enum err replay_add_headers(
    struct exchange *exchange, const struct stream *stream, const char *attached) NODISCARD;
/* stream_url — "/v1/streams/<id>". */
enum { STREAM_URL_BYTES = 12 + ID_TEXT_BYTES };
void stream_url(const struct id *id, char out[STREAM_URL_BYTES]);

#endif
