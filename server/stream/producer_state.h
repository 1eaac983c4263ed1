/* producer_state — what the parts of the producer share, and nobody else includes.
 *
 *   producer.c           its life: made, dispatched, freed; the transfer, as libcurl tells of it
 *   producer_record.c    what is given to storage, and what is owed to it
 *   producer_request.c   what is sent to the provider */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H

#include "protocol/http/sse.h"
#include "server/stream/producer.h"

/* What each event touches comes first. */
struct producer {
    struct stream *stream;
    const struct dialect *dialect;
    struct upstream *upstream;
    int64_t first_event_ns;
    struct sse_splitter splitter, event_start; /* now, and at the start of the pending event */
    bool is_waiting;                           /* for the request record */
    bool is_sse;
    bool is_blocked;
    bool is_head_owed;
    bool is_throttled; /* the transfer is paused: resume it */
    bool has_ended;    /* the final row was given to the tail, or never can be */
    bool is_complete;  /* the transfer ended well */
    struct buf pending;
    struct {
        bool is_owed;
        enum stream_state state;
        const char *reason;
        char detail[DIALECT_ERROR_BYTES];
    } end;
    struct dialect_reading reading;
    struct producer_config config;
    struct buf body;               /* of an opaque response: the first BODY_KEPT_BYTES_MAX */
    struct buf head, content_type; /* of the response, as its row keeps them */
    int64_t content_length;
    struct buf url, request_body;
    struct buf header_text;
    const char *headers[PRODUCER_HEADERS_MAX + 1];
    char ca_file[1024], method[PRODUCER_METHOD_BYTES];
    struct timer linger, retry;
    int status; /* 0: no head yet */
    int64_t dispatched_ns;
};

/* producer.c. producer_finish_transfer — the response ended as HTTP's framing says. */
int64_t producer_wall_ns(const struct producer *producer);
void producer_free(struct producer *producer);
void producer_finish_transfer(struct producer *producer);

/* producer_record.c. producer_process — bytes of the response. producer_handle_event — one event: on
 * an error nothing was recorded; it is to be handled again. producer_block — storage took no more:
 * `rest` waits in `pending`.
 * producer_record_head — the row, with what is known of the response.
 * producer_end_or_owe — the final row. producer_fail — the same, and the transfer is given up.
 * producer_note_end and producer_owe_end — it follows what is owed before it.
 * producer_stop, producer_resume — as struct stream_writer has them. */
void producer_process(struct producer *producer, struct slice bytes);
enum err producer_handle_event(struct producer *producer, struct slice event) NODISCARD;
void producer_block(struct producer *producer, struct slice rest);
enum err producer_record_head(struct producer *producer) NODISCARD;
void producer_end_or_owe(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_fail(struct producer *producer, const char *reason, const char *detail);
void producer_note_end(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_owe_end(struct producer *producer);
void producer_stop(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_resume(struct producer *producer);
void producer_linger_fired(struct timer *timer);
void producer_retry_fired(struct timer *timer);

/* producer_request.c. Copies what of the request is sent; a failure leaves parts of it. */
enum err producer_build_request(
    struct producer *producer, const struct producer_request *request) NODISCARD;

#endif
