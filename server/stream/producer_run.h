/* producer_run — one attempt at one target: its request, its transfer, and its response for as long as
 * that is held; a part of the producer, which alone includes this.
 *
 *   WAITING ─(its start is in the record)─▶ HELD ──(it proved good)──▶ LIVE ──▶ its transfer ends
 *      └──(no other would follow)────────────│────────────────────────▶ ▲
 *                                            └─(it failed)─▶ FAILED ────┘ if no other follows: it stands
 *                                                              └─▶ given up
 *
 * HELD: head and bytes are kept, and read by the provider's dialect, until an event comes that is neither
 * an error nor a mere preamble (preamble.h), but for a short time and few bytes only: HOLD_MS after the
 * first event, HOLD_BYTES_MAX. A JSON body is held until it is whole: nobody can use a part of one. LIVE:
 * what is kept, and then what comes, goes to the producer as it is.
 *
 *   owns    its transfer: one that is given up frees itself once that has ended
 *   thread  loop */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_RUN_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_RUN_H

#include "protocol/http/frames.h"
#include "server/stream/producer.h"

enum run_state { RUN_WAITING, RUN_HELD, RUN_FAILED, RUN_LIVE };

/* What is kept of a response that is held. */
struct run_hold {
    struct buf bytes, head;
    struct timer timer; /* for its first bytes; then, for it to prove good */
    struct frame_splitter splitter;
    size_t frame; /* where the frame that is not whole begins, in `bytes` */
    struct dialect_reading reading;
    bool is_stream, is_json, has_frame;
};

/* What is kept of a response that may be no answer yet, but tell its place: producer_follow.c. */
struct run_follow {
    bool is_looked_for, is_too_large;
    bool is_stream;  /* of the place that is asked */
    bool is_refused; /* it was, for now: what is behind the head is dropped */
    int status;
    unsigned failures; /* of the place, in a row */
    struct buf head, body, url;
    struct buf cancel;  /* where to say that nobody wants the answer any more; empty: nowhere */
    struct timer timer; /* until the place is asked again */
};

struct run {
    struct loop *loop;
    struct producer *producer; /* NULL: given up */
    struct upstream *upstream; /* NULL: not dispatched, or over */
    enum run_state state;
    bool is_held;   /* from its start; else it is live from its start */
    bool is_paused; /* the transfer: data() answered ERR_AGAIN */
    bool is_late;   /* it was cancelled since nothing came behind its head */
    bool is_over;   /* the transfer ended: `how`, `message` */
    struct run_hold hold;
    enum upstream_end how;
    char message[DIALECT_ERROR_BYTES];
    int status; /* 0: no head yet */
    int64_t retry_after_ms;
    int64_t dispatched_ns; /* wall */
    struct run_follow follow;
    const struct dialect *dialect; /* that the provider speaks */
    /* What is asked. */
    const struct dialect *caller_dialect;
    struct producer_translate translate; /* provider NULL: none */
    struct buf url, request_body, header_text;
    struct upload *upload; /* a reference; NULL: request_body is all of it */
    uint8_t upload_digest[SHA256_BYTES];
    const char *headers[PRODUCER_HEADERS_MAX + 1];
    char ca_file[1024], method[PRODUCER_METHOD_BYTES];
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
    bool hides_usage;
    bool is_kept; /* the provider goes on with what it answers without us: producer_kept.c */
    /* Who it is. */
    uint32_t attempt; /* the source's */
    bool is_told;     /* the source was told of its end */
    struct attempt record;
    struct slice provider, model, provider_dialect; /* in `text`, as the record's */
    struct buf text;
};

/* run_new — WAITING.   answers ERR_LIMIT · faults ERR_NOMEM
 * run_dispatch — sent: LIVE, or HELD if is_held.   faults ERR_NOMEM
 * run_release — LIVE: what is kept is told the producer now, and then what comes.
 * run_resume — the producer may take more.
 * run_cancel — its transfer, if there is one; its end is told.
 * run_drop — the producer has nothing to do with it any more. It goes later: not within the call.
 * run_free — there is no transfer. NULL is taken. */
enum err run_new(
    struct producer *producer, const struct producer_request *request, struct run **out) NODISCARD;
enum err run_dispatch(struct run *run) NODISCARD;
void run_release(struct run *run);
void run_resume(struct run *run);
void run_cancel(struct run *run);
void run_drop(struct run *run);
void run_free(struct run *run);

/* run_owner — what a transfer that brings the answer is told to.
 * run_deliver — an answer that came before it was known to be one: its head and body, and its end.
 * run_send — a transfer, told to `owner`.   faults ERR_NOMEM
 * run_reads_stream — notes a head, with the status that is noted already: whether SSE follows.
 * run_lines_without_body — the header fields of a further request at the same provider, that has no body;
 *   NULL-terminated, borrowed. */
extern const struct upstream_owner run_owner;
void run_deliver(struct run *run, int status, struct slice head, struct slice body);
enum err run_send(struct run *run, const struct upstream_request *request,
    const struct upstream_owner *owner) NODISCARD;
bool run_reads_stream(struct run *run, struct slice head);
void run_lines_without_body(
    const struct run *run, const char *accept, const char *lines[PRODUCER_HEADERS_MAX + 2]);

/* producer_follow.c. run_follow_init, run_follow_deinit — of a run that is made, and freed.
 * run_follow_cancel — of a run that is given up: the provider is told, if it said where; else it goes on, and
 * bills. Once.
 * run_follow_owner — what its first transfer is told to: that looks whether the answer is elsewhere. */
void run_follow_init(struct run *run);
void run_follow_deinit(struct run *run);
void run_follow_cancel(struct run *run);
extern const struct upstream_owner run_follow_owner;

/* producer_request.c. Copies what of the request is sent; a failure leaves parts of it. */
enum err run_build_request(struct run *run, const struct producer_request *request) NODISCARD;

#endif
