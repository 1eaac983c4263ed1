/* row — all that is known of a stream besides its events: request, response head, times, end.
 *
 * A row is written whole each time it changes (accepted, head, end): the newest one in the journal
 * or the store is the truth, so that no chain of partial updates has to be replayed. It is a
 * msgpack map with small integer keys: an unknown key is skipped, a missing one has its zero value,
 * so that versions can differ by fields.
 *
 *     accepted ──▶ streaming ──▶ completed    the dialect's terminator, or HTTP's framing, is there
 *        │             ├───────▶ failed       provider error, reset, stall, malformed frame
 *        ├─────────────┼───────▶ stopped      an explicit stop, or a configured limit
 *        └─────────────┴───────▶ interrupted  we died, or shut down, while it was live; what came
 *                                             of it upstream is unknown
 *     any ended state ──▶ deleted             by request or by retention (`reason`: "deleted",
 *                                             "expired"); no events are left
 *
 *   thread  any; no state                                                                        */
#ifndef TOKENLOG_PROTOCOL_DATA_ROW_H
#define TOKENLOG_PROTOCOL_DATA_ROW_H

#include "protocol/base/digest.h"
#include "protocol/base/id.h"

enum stream_state {
    STREAM_ACCEPTED,
    STREAM_STREAMING,
    STREAM_COMPLETED,
    STREAM_FAILED,
    STREAM_STOPPED,
    STREAM_INTERRUPTED,
    STREAM_DELETED,
};
const char *stream_state_name(enum stream_state state); /* "accepted" … */
bool stream_state_is_live(enum stream_state state);     /* accepted or streaming */
/* stream_state_parse — the inverse of stream_state_name.  answers ERR_INVALID */
enum err stream_state_parse(struct slice name, enum stream_state *out) NODISCARD;

enum {
    ROW_BYTES_MAX =
        15 * 1024, /* encoded; fits an LMDB value of 16,368 bytes, and a journal record */
    ROW_STATE_BYTES_MAX = 8 * 1024, /* leaves room for all else */
};

/* Tokens; -1: the provider did not say. One meaning for all dialects: `input` counts cached input
 * too, `output` counts reasoning too, and `total` is their sum. */
struct usage {
    int64_t input, output, cached, reasoning, total;
};
#define USAGE_UNKNOWN ((struct usage){-1, -1, -1, -1, -1})

struct row {
    struct id id;
    uint64_t number;    /* in the store: boot epoch << 32 | counter; never reused */
    uint32_t project;   /* the project's number */
    uint32_t attempt;   /* 1, 2… of the same key */
    struct id previous; /* the stream of the attempt before, if attempt > 1 */
    enum stream_state state;
    bool is_streamed; /* the caller asked for a stream */
    bool is_sse;      /* events are SSE blocks; else opaque fragments of a body */
    struct slice project_name;
    struct slice key;          /* the caller's Idempotency-Key; empty if none */
    struct slice fingerprint;  /* SHA-256 of method, path and body; 32 bytes */
    struct slice method, path; /* as asked */
    struct slice dialect, model, provider;
    struct slice provider_dialect; /* empty: `dialect`; else the response was translated from it */
    struct slice metadata;         /* the caller's JSON object (Tokenlog-Metadata), or empty */
    struct slice run, step;        /* of an agent (Tokenlog-Run, Tokenlog-Step), or empty */
    struct slice attempts;     /* one entry for each target that was asked (attempt.h), or empty */
    struct slice upstream_id;  /* by which the provider gives out this response again, or empty */
    bool is_kept_upstream;     /* while it is live: the provider goes on without us, whoever dies */
    bool is_appended;          /* a client writes it: no generation (server/stream/append.h) */
    struct slice writer_state; /* the writer's own bytes, at most ROW_STATE_BYTES_MAX */
    /* Times: ns since the Unix epoch; 0 = has not happened. */
    int64_t accepted_ns, dispatched_ns, first_event_ns, last_event_ns, ended_ns;
    int64_t ttl_s;   /* kept for so long after its end (row_expires_ns); 0 = for ever */
    bool is_sliding; /* …or after its last reading (touched_ns), if that is later */
    /* What others than the writer say of it; the store keeps these through later versions. */
    bool is_held;        /* a legal hold: neither expires nor can be deleted */
    int64_t touched_ns;  /* read by ID or key, about; kept up of sliding ones only */
    struct slice damage; /* what of it can not be read any more; empty = nothing known */
    /* Response head. */
    uint32_t status; /* 0 = none yet */
    struct slice content_type;
    struct slice head;      /* further header fields to replay, "name: value\r\n" each */
    int64_t content_length; /* of an opaque body, as the provider said; -1 unknown */
    /* Counted so far. */
    uint64_t events, bytes, request_bytes;
    /* Of a request's body that was sent while it came, and is not recorded itself: what the provider was sent. */
    uint64_t upload_bytes;
    struct slice upload_digest; /* SHA-256, 32 bytes; empty: it was not whole */
    /* The end. */
    struct slice finish_reason; /* the provider's word */
    struct slice reason; /* our stable code of why ("upstream_reset"); empty when completed */
    struct slice detail; /* one sentence for people */
    struct usage usage;
};

/* row_encode — appended to `out`.  answers ERR_LIMIT past ROW_BYTES_MAX · faults ERR_NOMEM
 * row_decode — slices are borrowed from `bytes`.  faults ERR_CORRUPT */
enum err row_encode(const struct row *row, struct buf *out) NODISCARD;
enum err row_decode(struct slice bytes, struct row *out) NODISCARD;

/* row_expires_ns — when a row is to go: ttl_s after its end, or after its last reading if it is
 * sliding. One that a client writes (is_appended), open or closed: ttl_s after it was created or, if it
 * is sliding, after its last event or reading. 0 = never: no ttl_s, live (a generation), held, or past
 * the end of time. */
int64_t row_expires_ns(const struct row *row);

/* row_json — the row as the JSON object that GET /v1/streams/{id} shows, appended to `out`. Of a
 * live stream the caller puts in the current counts first. What is unknown or empty is null; times
 * are RFC 3339, UTC, with milliseconds.  answers buf_append's; a part may have been appended */
enum err row_json(const struct row *row, struct buf *out) NODISCARD;

#endif
