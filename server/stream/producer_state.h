/* producer_state — what the parts of the producer share, and nobody else includes.
 *
 *   producer.c           its life: made, dispatched, freed; the transfer, as libcurl tells of it
 *   producer_record.c    what is given to storage, and what is owed to it
 *   producer_request.c   what is sent to the provider
 *   producer_translate.c a response in another dialect than the caller's */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H

#include "protocol/http/sse.h"
#include "server/stream/producer.h"

struct producer_translation;

/* What each event touches comes first. */
struct producer {
    struct stream *stream;
    const struct dialect *dialect;            /* the caller's */
    struct producer_translation *translation; /* NULL: the provider speaks it too */
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

/* producer.c. producer_finish_transfer — the response ended as HTTP's framing says.
 * producer_fail_by_event — the provider has sent an error in its stream.
 * producer_count_error — of a kind, in the metrics. */
int64_t producer_wall_ns(const struct producer *producer);
void producer_count_error(const struct producer *producer, const char *kind);
void producer_free(struct producer *producer);
void producer_finish_transfer(struct producer *producer);
void producer_fail_by_event(struct producer *producer);

/* producer_record.c. producer_process — bytes of the response. producer_handle_event — one event: on
 * an error nothing was recorded; it is to be handled again. producer_take_event — one of the caller's
 * dialect, likewise. producer_append, producer_append_aside — record it, as it is. producer_block — storage took no more:
 * `rest` waits in `pending`.
 * producer_record_head — the row, with what is known of the response.
 * producer_end_or_owe — the final row. producer_fail — the same, and the transfer is given up.
 * producer_fail_too_large — the same: storage never takes such an event.
 * producer_note_end and producer_owe_end — it follows what is owed before it.
 * producer_stop, producer_resume — as struct stream_writer has them. */
void producer_process(struct producer *producer, struct slice bytes);
enum err producer_handle_event(struct producer *producer, struct slice event) NODISCARD;
enum err producer_take_event(struct producer *producer, struct slice event) NODISCARD;
enum err producer_append(struct producer *producer, struct slice event) NODISCARD;
enum err producer_append_aside(struct producer *producer, struct slice event) NODISCARD;
void producer_block(struct producer *producer, struct slice rest);
enum err producer_record_head(struct producer *producer) NODISCARD;
void producer_end_or_owe(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_fail(struct producer *producer, const char *reason, const char *detail);
void producer_fail_too_large(struct producer *producer);
void producer_note_end(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_owe_end(struct producer *producer);
void producer_stop(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail);
void producer_resume(struct producer *producer);
void producer_linger_fired(struct timer *timer);
void producer_retry_fired(struct timer *timer);

/* producer_translate.c. producer_translate_new — after the row is made; the response's head so far is
 * put in producer->head. producer_translate_provider — how what is sent ends.
 * producer_translate_head — the response's: whether it is the caller's as well, with *type; of what is
 * no SSE that is known only once the body was translated. producer_translate_frame — a frame of the provider's, as producer_handle_event.
 * producer_translate_end — the transfer's, after all frames; likewise.
 * producer_translate_body — more of a body that is no SSE. producer_finish_body — it is whole. */
enum err producer_translate_new(
    struct producer *producer, const struct producer_translate *translate) NODISCARD;
struct producer_translation *producer_translate_free(struct producer_translation *translation);
const struct dialect *producer_translate_provider(const struct producer_translation *translation);
bool producer_translate_head(struct producer *producer, int status, struct slice *type);
enum err producer_translate_frame(struct producer *producer, struct slice frame) NODISCARD;
enum err producer_translate_end(struct producer *producer) NODISCARD;
void producer_translate_body(struct producer *producer, struct slice bytes);
void producer_finish_body(struct producer *producer);

/* producer_request.c. Copies what of the request is sent; a failure leaves parts of it. */
enum err producer_build_request(
    struct producer *producer, const struct producer_request *request) NODISCARD;

#endif
