/* producer — upstream → journal, one per live generation. Owned by nobody's connection: the caller
 * may go, the generation lives on.
 *
 *   WAITING ──(request record durable; unkeyed: at once)──▶ DISPATCHED ──▶ (held) ──▶ STREAMING ──▶ ENDED
 *      ▲                                                       │ failed, and another attempt is allowed
 *      └──(its start is in the record)◀──(backoff)◀────────────┘                  stop: ENDED, from any
 *
 * Bytes from the provider are split into events (SSE blocks, or fragments of an opaque body), each is
 * read by the dialect and appended to the stream's tail; the terminator goes in one batch with the final
 * row. When storage has no room the transfer is paused.
 *
 * Whom to ask next is its *source*'s to say (struct producer_source); without one a single attempt is
 * made. An attempt that may be followed by another is held until it has proved good (producer_run.h);
 * what is not held passes with no delay. One that failed is not seen by readers: its bytes are asides,
 * and it is in the row's list of attempts. If none is left the last one stands, and is passed on.
 * Each attempt of a keyed request is in the durable record before it is dispatched.
 *
 * Where the provider keeps an answer (is_kept) a connection that is lost is made up for, and so is a server
 * that dies: producer_kept.c.
 *
 *   thread
 *   loop */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_H

#include "protocol/data/attempt.h"
#include "protocol/dialect/continuation.h"
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

/* How an attempt ended, and what it showed. */
struct producer_outcome {
    enum producer_end {
        PRODUCER_SERVED,      /* a whole response */
        PRODUCER_NOT_SENT,    /* no connection: nothing was dispatched */
        PRODUCER_TIMED_OUT,   /* no head, or no first event, in time */
        PRODUCER_STATUS,      /* a response of 400 or more */
        PRODUCER_ERROR_EVENT, /* an error inside a 200, before anything was shown */
        PRODUCER_BROKEN,      /* it died before anything was shown */
        PRODUCER_DIED,        /* in mid-stream */
        PRODUCER_STOPPED,     /* we gave it up: says nothing of the target */
    } end;
    int status;             /* 0: no head came */
    int64_t retry_after_ms; /* -1: it does not say */
    int64_t first_event_ms; /* from dispatch; -1: none came */
};

struct producer_request;
struct producer_source;

/* Who says what is asked next. `attempt` is what producer_request had; all but `close` may be called as
 * long as the source is not closed, never from inside a call of its own.
 *
 *   next     the next attempt's request.  answers  ERR_AGAIN not before *at_ns, of loop_now_ns: it is asked
 *            again then, or at producer_source_ready, or sooner · ERR_CLOSED there is none, or no further
 *            one is allowed · faults: likewise
 *   hedge    another one to be made beside the one that `next` gave last: the same, once that is sent
 *   is_more  whether another attempt might follow, now or later
 *   shows    its first good event has come, and nothing is asked any more unless the stream dies
 *   ended    once for each request that next and hedge gave, and for the first
 *   cost     in nano-dollars; -1: not known
 *   close    the producer is done with it
 *
 * The last three may be NULL, for none.
 *   holds    whether tool calls are shown only once they are whole (hold.h)
 *   goes_on  whether a response that dies in its middle is to be gone on with
 *   go_on    the request that asks another provider to go on with what was shown; as next. It is translated,
 *            be it into the caller's own dialect. ERR_CLOSED also where nobody can be asked that */
struct producer_source_calls {
    enum err (*next)(struct producer_source *source, struct producer_request *out, int64_t *at_ns);
    enum err (*hedge)(struct producer_source *source, struct producer_request *out, int64_t *at_ns);
    bool (*is_more)(struct producer_source *source);
    void (*shows)(struct producer_source *source, uint32_t attempt, int64_t first_event_ms);
    void (*ended)(
        struct producer_source *source, uint32_t attempt, const struct producer_outcome *outcome);
    int64_t (*cost)(struct producer_source *source, uint32_t attempt, const struct usage *usage);
    void (*close)(struct producer_source *source);
    bool (*holds)(struct producer_source *source);
    bool (*goes_on)(struct producer_source *source);
    enum err (*go_on)(struct producer_source *source, const struct continuation *shown,
        struct producer_request *out, int64_t *at_ns);
};
/* Embedded in its owner. */
struct producer_source {
    const struct producer_source_calls *calls;
    struct producer *producer; /* set by it */
};
/* producer_source_ready — what `next` waited for has come. */
void producer_source_ready(struct producer_source *source);

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
    struct upload *upload; /* instead: sent while it arrives. A reference is taken */
    bool hides_usage;
    bool is_keyed; /* dispatch only once the request record is durable; as the first says */
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms; /* 0: the config's */
    /* Which attempt it is: for the source, and for the record. NULL: the row's, or none. */
    uint32_t attempt;
    enum attempt_kind kind;
    const char *target, *key_name;
    struct slice provider, model, provider_dialect;
    struct producer_source *source; /* of the first: it passes to the producer. NULL: none */
    /* Of the first: a stream that broke off, to be gone on with in this one. Its events come first, byte for
     * byte, and then what go_on of the source leads to; of the request only dialect, is_keyed, hides_usage and
     * source are used. A reference is taken. */
    struct stream *before;
    bool
        is_kept; /* the provider goes on with its answer without us, and gives it out again: GET `url`/ID */
    /* Of the first: the stream is that of a server that died, whose provider keeps the answer. `url`,
     * `credentials` and the like are those of the call that was made then; nothing is sent but to go on. */
    bool is_reopened;
};

/* producer_start — takes a reference of the stream. From here the stream always comes to an end,
 * whatever happens.
 *   faults  ERR_NOMEM; the stream has been ended as failed if possible */
enum err producer_start(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request) NODISCARD;

#endif
