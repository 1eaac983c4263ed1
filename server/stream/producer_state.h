/* producer_state — what the parts of the producer share, and nobody else includes.
 *
 *   producer.c           its life: made, ended, freed; the response that the stream has
 *   producer_attempts.c  which attempt is made when, and what the row says of them
 *   producer_run.c       one attempt: its transfer, and its response while that is held
 *   producer_request.c   what is sent to the provider
 *   producer_record.c    what is given to storage, and what is owed to it
 *   producer_translate.c a response in another dialect than the caller's
 *   producer_continue.c  one that died, gone on with; tool calls held until they are whole
 *   producer_kept.c      one that the provider goes on with without us, asked for again */
#ifndef TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H
#define TOKENLOG_SERVER_STREAM_PRODUCER_STATE_H

#include "protocol/http/frames.h"
#include "server/stream/producer_run.h"

struct producer_translation;
struct producer_death;
struct producer_hold;
struct producer_kept;

/* What each event touches comes first. */
struct producer {
    struct stream *stream;
    const struct dialect *dialect;            /* the caller's */
    struct producer_translation *translation; /* NULL: the provider speaks it too */
    struct producer_hold *hold;               /* NULL: tool calls are shown as they come */
    struct producer_death *death;             /* the response died, and may be gone on with */
    struct producer_kept *kept;               /* NULL: what of it is not received here is lost */
    struct run *run;                          /* whose response the stream has; NULL: none yet */
    int64_t first_event_ns;
    struct frame_splitter splitter, event_start; /* now, and at the start of the pending event */
    bool is_waiting;                             /* an attempt, for its start to be durable */
    bool is_framed;       /* the response comes in frames, as the splitter cuts it */
    bool is_sse;          /* what is recorded is */
    bool is_going_on;     /* what follows is of another attempt than what came before */
    bool has_whole_calls; /* so far no other call was shown */
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
    struct timer linger, retry;
    int status; /* 0: no head yet */
    int64_t dispatched_ns;
    bool is_keyed;
    /* What comes before a response is the stream's. */
    struct producer_source *source; /* NULL: there is one attempt */
    struct run *held[PRODUCER_HELD_MAX];
    struct timer pause, hedge; /* until the next attempt; until one beside the one under way */
    bool is_unjournalled;      /* pause: until storage takes the start of the newest */
    uint32_t attempt_count;
    struct buf past;       /* attempts that were given up, as the row has them */
    struct buf attempts;   /* all */
    size_t attempts_bytes; /* so many of a row are for them */
};

/* producer.c. producer_adopt — from here on the stream's response is this attempt's.
 * producer_read_head — its fields, borrowed. producer_head, producer_data, producer_transfer_ended — of
 * that response, as struct upstream_owner has them.
 * producer_finish_transfer — it ended as HTTP's framing says.
 * producer_died — it can not be gone on with: the one place that decides what comes of that.
 * producer_fail_by_event — the provider has sent an error in its stream.
 * producer_count_error — of a kind, in the metrics. */
enum err producer_adopt(struct producer *producer, struct run *run) NODISCARD;
void producer_read_head(struct slice head, struct headers *all);
void producer_head(struct producer *producer, int status, struct slice head);
enum err producer_data(struct producer *producer, struct slice bytes) NODISCARD;
void producer_transfer_ended(struct producer *producer, enum upstream_end how, const char *message);
void producer_died(struct producer *producer, const char *reason, const char *detail);
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
 * put in producer->head. producer_translate_provider — how what is sent ends. producer_translate_usage — as
 * the provider says.
 * producer_translate_head — the response's: whether it is the caller's as well, with *type; of what is
 * no SSE that is known only once the body was translated. producer_translate_frame — a frame of the provider's, as producer_handle_event.
 * producer_translate_end — the transfer's, after all frames; likewise.
 * producer_translate_body — more of a body that is no SSE. producer_finish_body — it is whole. */
enum err producer_translate_new(
    struct producer *producer, const struct producer_translate *translate) NODISCARD;
struct producer_translation *producer_translate_free(struct producer_translation *translation);
const struct dialect *producer_translate_provider(const struct producer_translation *translation);
const struct usage *producer_translate_usage(const struct producer_translation *translation);
bool producer_translate_head(struct producer *producer, int status, struct slice *type);
enum err producer_translate_frame(struct producer *producer, struct slice frame) NODISCARD;
enum err producer_translate_end(struct producer *producer) NODISCARD;
void producer_translate_body(struct producer *producer, struct slice bytes);
void producer_finish_body(struct producer *producer);

/* producer_attempts.c. producer_first — the first attempt: made, not sent. producer_send — sent, once its
 * start is in the record.
 * producer_may_go_on — a held attempt failed: noted, and the source told; whether another is under way, or
 * may follow. producer_go_on — the next one, if any; else this one stands. producer_stand — it does.
 * producer_prove — it proved good: the others are given up.
 * producer_showed — the first event of the response is recorded.
 * producer_write_attempts — for the row; borrowed until the next call.
 * producer_bury — the live one has died of that: its part of the response stays. producer_replace — the
 * same, and another connection brings what comes after: of its end the source is told. producer_begin_another —
 * held; producer_wait_until — for the next one, to be asked for then.
 * producer_end_attempts — the stream ends so: none is made any more, and what is known of them is noted.
 * producer_leave_source — the source is told of the last one's end, and closed. */
enum err producer_first(
    struct producer *producer, const struct producer_request *request) NODISCARD;
void producer_send(struct producer *producer);
bool producer_may_go_on(
    struct producer *producer, struct run *run, enum producer_end end, const char *why);
void producer_go_on(struct producer *producer, struct run *run);
void producer_stand(struct producer *producer, struct run *run);
void producer_prove(struct producer *producer, struct run *run);
void producer_showed(struct producer *producer);
void producer_bury(struct producer *producer, const char *why);
void producer_replace(struct producer *producer, struct run *run, const char *why);
void producer_begin_another(struct producer *producer, const struct producer_request *request);
void producer_wait_until(struct producer *producer, int64_t at_ns);
struct slice producer_write_attempts(struct producer *producer);
void producer_end_attempts(struct producer *producer, enum stream_state state, const char *reason);
void producer_leave_source(struct producer *producer);
void producer_pause_fired(struct timer *timer);
void producer_hedge_fired(struct timer *timer);

/* producer_continue.c. producer_hold_new — if the source says so. producer_show_event — as
 * producer_take_event, by way of what is held. producer_show_held — the stream ends: that is shown too.
 * producer_may_continue — whether a death now might be gone on from. producer_goes_on — the response has died
 * of that (static, as in the row; `last` is the event that said it, or empty): false: it is not gone on
 * with. Else it is worked at, and what still comes of the attempt is nothing.
 * producer_ask_to_go_on — the next attempt at that. producer_die — there is none: it ends as it died.
 * producer_take_up — from the start: `before` is gone on with.
 * producer_adopt_continuation — an attempt at it has proved good: its translation. */
enum err producer_hold_new(struct producer *producer) NODISCARD;
void producer_hold_free(struct producer *producer);
enum err producer_show_event(struct producer *producer, struct slice event) NODISCARD;
void producer_show_held(struct producer *producer);
bool producer_may_continue(const struct producer *producer);
bool producer_goes_on(
    struct producer *producer, const char *reason, const char *detail, struct slice last);
void producer_ask_to_go_on(struct producer *producer);
void producer_die(struct producer *producer);
enum err producer_take_up(struct producer *producer, struct stream *before) NODISCARD;
void producer_death_free(struct producer *producer);
enum err producer_adopt_continuation(
    struct producer *producer, const struct codec *provider, struct translation **out) NODISCARD;

/* producer_kept.c. producer_kept_new — of a run that has just been adopted. producer_is_kept — for the row:
 * whoever comes after us may go on too. producer_is_lost — no connection brings more of it, for now.
 * producer_kept_has — the event came before. producer_kept_note — it was taken now.
 * producer_may_take_back — whether a lost connection can be made up for. producer_takes_back — it was lost, of that:
 * false: it can not. Else it is worked at, and what still comes of that connection is nothing.
 * producer_reopen — from the start: of the stream of a server that died.
 * producer_kept_cancel — nobody wants it any more: the provider is told. */
enum err producer_kept_new(struct producer *producer) NODISCARD;
void producer_kept_free(struct producer *producer);
bool producer_is_kept(const struct producer *producer);
bool producer_is_lost(const struct producer *producer);
bool producer_kept_has(struct producer_kept *kept, struct slice event);
void producer_kept_note(struct producer_kept *kept, struct slice event);
bool producer_may_take_back(const struct producer *producer);
bool producer_takes_back(struct producer *producer, const char *reason, const char *detail);
enum err producer_reopen(
    struct producer *producer, const struct producer_request *request) NODISCARD;
void producer_kept_cancel(struct producer *producer);

#endif
