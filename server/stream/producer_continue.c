/* producer_continue — a stream whose provider died in its middle, gone on with by another
 * (protocol/dialect/continuation.h), where its source has a way.
 *
 *   died ─▶ (next turn) its attempt is buried ─▶ what was shown is read back, a block a turn
 *     │                                                  │
 *     │        ┌── can not ◀── continuation_can ─────────┘
 *     │        │                  │ asks                        │ ends: the terminator, and that was it
 *     │        │                  ▼
 *     │        │   source.go_on ─▶ an attempt, held until it has proved good ─▶ adopted: its events follow
 *     │        ▼        │ none     │ failed: source.go_on again
 *     └─▶ failed, as it would have been without ◀────────┘
 *
 * A stream that broke off for another reason (the server died) is taken up so by the key's next one: its
 * events, but for an error that it ended with, are copied into that while they are read back.
 *
 * An error that a provider sends as an event is not shown while this may go on; it is if it does not.
 * And what is held of a tool call (hold.h): it is dropped by a death that is gone on from, else shown. */
#include "server/stream/producer_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/dialect/continuation.h"
#include "protocol/dialect/hold.h"
#include "server/stream/reader.h"

struct producer_death {
    struct producer *producer;
    const char *reason; /* static */
    char detail[DIALECT_ERROR_BYTES];
    struct stream *before; /* whose events are copied; NULL: the stream's own are read */
    struct buf last;       /* the error event that was not shown; empty: none */
    struct timer turn;     /* the next step, outside of whatever found the death */
    struct reader *reader; /* while it is read back */
    struct buf event;      /* of which only parts have come */
    bool is_buried, is_head_in;
    struct continuation *continuation;
};

struct producer_hold {
    struct hold *hold;
    struct buf out; /* what may be shown; `taken` of it is recorded */
    size_t taken;
    bool is_event_in; /* the event at hand: storage has not taken all that it brought */
};

static void turn_fired(struct timer *timer);

static bool is_over(const struct producer *producer)
{
    return producer->has_ended || producer->end.is_owed;
}

/* ── tool calls, held ───────────────────────────────────────────────────────────────────────── */

static bool find_codec(const struct producer *producer, const struct codec **out)
{
    return continuation_codec(slice_text(producer->dialect->name), out) == ERR_OK;
}

enum err producer_hold_new(struct producer *producer)
{
    const struct codec *caller;
    const struct producer_source *source = producer->source;
    if (!source || !source->calls->holds || !source->calls->holds(producer->source) ||
        !find_codec(producer, &caller))
        return ERR_OK;
    struct producer_hold *held = calloc(1, sizeof *held);
    if (!held)
        return fault(ERR_NOMEM, "what holds tool calls back");
    buf_init(&held->out, HOLD_CALL_BYTES_MAX + EVENT_BYTES_MAX);
    enum err err = hold_new(caller, &held->hold);
    if (err)
        free(held);
    else
        producer->hold = held;
    return err;
}

void producer_hold_free(struct producer *producer)
{
    struct producer_hold *held = producer->hold;
    if (!held)
        return;
    (void)hold_free(held->hold);
    buf_deinit(&held->out);
    free(held);
    producer->hold = NULL;
}

static enum err take_out(struct producer *producer)
{
    struct producer_hold *held = producer->hold;
    while (held->taken < held->out.size && !producer->has_ended && !producer->death) {
        struct slice rest = slice_sub(buf_slice(&held->out), held->taken, held->out.size);
        struct sse_splitter splitter = {0};
        size_t size;
        if (sse_split(&splitter, rest, &size))
            size = rest.size; /* a terminator without its blank line */
        TRY(producer_take_event(producer, slice_sub(rest, 0, size)));
        held->taken += size;
    }
    buf_clear(&held->out);
    held->taken = 0;
    return ERR_OK;
}

/* An error is told at once: what is held may not come before it. */
static bool is_error(const struct producer *producer, struct slice event)
{
    const struct dialect *dialect = producer->dialect;
    if (dialect->teaches && !dialect->teaches(event))
        return false;
    struct dialect_reading reading = producer->reading;
    (void)dialect->read_event(&reading, event);
    return reading.is_failed;
}

enum err producer_show_event(struct producer *producer, struct slice event)
{
    struct producer_hold *held = producer->hold;
    bool is_death = held && producer_may_continue(producer) && is_error(producer, event);
    if (!held || !producer->is_sse || is_death)
        return producer_take_event(producer, event);
    if (!held->is_event_in) {
        TRY(hold_event(held->hold, event, &held->out));
        held->is_event_in = true;
    }
    TRY(take_out(producer));
    held->is_event_in = false;
    return ERR_OK;
}

void producer_show_held(struct producer *producer)
{
    struct producer_hold *held = producer->hold;
    if (!held || producer->death || producer->has_ended)
        return;
    if (hold_release(held->hold, &held->out) || take_out(producer))
        LOG(producer->config.log, LOG_WARNING, "held_call_dropped",
            LOG_ID("stream", &stream_row(producer->stream)->id));
    producer_hold_free(producer);
}

/* It is no part of what the caller sees; the provider sent it all the same. */
static void drop_held(struct producer *producer)
{
    struct slice rest = producer->hold ? hold_held(producer->hold->hold) : SLICE_NONE;
    while (rest.size && !producer->translation) {
        struct slice piece = slice_sub(rest, 0, FRAGMENT_BYTES_MAX);
        if (producer_append_aside(producer, piece))
            break;
        rest = slice_sub(rest, piece.size, rest.size);
    }
    producer_hold_free(producer);
}

/* ── the death ──────────────────────────────────────────────────────────────────────────────── */

bool producer_may_continue(const struct producer *producer)
{
    const struct codec *caller;
    const struct producer_source *source = producer->source;
    return source && source->calls->go_on && producer->run && producer->is_sse &&
           producer->first_event_ns && !producer->is_blocked && !producer->death &&
           !is_over(producer) && find_codec(producer, &caller) &&
           source->calls->goes_on(producer->source);
}

static struct producer_death *death_free(struct producer_death *death)
{
    if (!death)
        return NULL;
    timer_cancel(hub_loop(stream_hub(death->producer->stream)), &death->turn);
    (void)reader_close(death->reader);
    (void)continuation_free(death->continuation);
    (void)stream_unref(death->before);
    buf_deinit(&death->last);
    buf_deinit(&death->event);
    free(death);
    return NULL;
}

void producer_death_free(struct producer *producer)
{
    producer->death = death_free(producer->death);
}

static void set_detail(struct producer_death *death, const char *detail)
{
    (void)snprintf(death->detail, sizeof death->detail, "%s", detail ? detail : "");
}

static void set_turn(struct producer_death *death, int64_t at_ns)
{
    timer_set(hub_loop(stream_hub(death->producer->stream)), &death->turn, at_ns);
}

static void next_turn(struct producer_death *death)
{
    set_turn(death, loop_now_ns(hub_loop(stream_hub(death->producer->stream))));
}

static struct producer_death *death_new(
    struct producer *producer, const char *reason, const char *detail)
{
    struct producer_death *death = calloc(1, sizeof *death);
    if (!death)
        return NULL;
    *death = (struct producer_death){.producer = producer, .reason = reason};
    death->turn.fire = turn_fired;
    set_detail(death, detail);
    buf_init(&death->last, FRAGMENT_BYTES_MAX);
    buf_init(&death->event, EVENT_BYTES_MAX);
    return death;
}

bool producer_goes_on(
    struct producer *producer, const char *reason, const char *detail, struct slice last)
{
    struct producer_death *death;
    if (!producer_may_continue(producer) || last.size > FRAGMENT_BYTES_MAX ||
        !(death = death_new(producer, reason, detail)))
        return false;
    if (buf_append(&death->last, last)) {
        (void)death_free(death);
        return false;
    }
    producer->death = death;
    next_turn(death);
    return true;
}

enum err producer_take_up(struct producer *producer, struct stream *before)
{
    const struct row *row = stream_row(before);
    struct producer_death *death = death_new(
        producer, "not_gone_on_with", "the answer that broke off could not be gone on with");
    if (!death)
        return fault(ERR_NOMEM, "what is known of a stream that broke off");
    producer->death = death;
    death->before = stream_ref(before);
    death->is_buried = true;
    producer->status = (int)row->status;
    producer->is_sse = producer->is_framed = row->is_sse;
    producer->splitter = producer->event_start = (struct frame_splitter){.framing = FRAMING_SSE};
    producer->content_length = -1;
    TRY(buf_append(&producer->head, slice_sub(row->head, 0, producer->head.size_max)));
    TRY(buf_append(&producer->content_type, row->content_type));
    next_turn(death);
    return ERR_OK;
}

/* As it would have ended without all this: the error that was kept back is shown now. */
void producer_die(struct producer *producer)
{
    struct producer_death *death = producer->death;
    producer->death = NULL; /* it could not be gone on from */
    if (death->last.size && producer_take_event(producer, buf_slice(&death->last)))
        LOG(producer->config.log, LOG_WARNING, "event_dropped",
            LOG_ID("stream", &stream_row(producer->stream)->id));
    producer_fail(producer, death->reason, death->detail);
    (void)death_free(death);
}

static void say_why(const struct producer *producer, const char *why)
{
    if (producer->death->before)
        set_detail(producer->death, why);
    LOG(producer->config.log, LOG_INFO, "not_gone_on_with",
        LOG_ID("stream", &stream_row(producer->stream)->id), LOG_TEXT("why", why));
}

/* ── what was shown, read back ──────────────────────────────────────────────────────────────── */

static void woken(void *context)
{
    next_turn(context);
}

static enum err record_head(struct producer_death *death)
{
    TRY(producer_record_head(death->producer));
    death->is_head_in = true;
    return ERR_OK;
}

static enum err begin_reading(struct producer_death *death)
{
    struct producer *producer = death->producer;
    const struct row *row = stream_row(producer->stream);
    const struct codec *caller = NULL;
    char id[ID_TEXT_BYTES];
    id_format(&row->id, id);
    if (!find_codec(producer, &caller))
        return ERR_NOTFOUND;
    TRY(continuation_new(caller,
        &(struct sequence_context){.stream_id = slice_text(id),
            .created_s = row->accepted_ns / 1000000000,
            .model = row->model,
            .includes_usage = !producer->reading.hides_usage},
        &death->continuation));
    struct stream *from = stream_ref(death->before ? death->before : producer->stream);
    return reader_new(from, 0, !death->before, woken, death, &death->reader);
}

static enum err take_event(struct producer_death *death, struct slice event)
{
    struct producer *producer = death->producer;
    if (death->before && is_error(producer, event))
        return ERR_OK; /* it was the end of that one, and is none of this one */
    if (death->before) {
        TRY(producer_append(producer, event));
        (void)producer->dialect->read_event(&producer->reading, event);
    }
    return continuation_take(death->continuation, event);
}

/* A frame is a part of an event; most are whole.   answers ERR_FULL storage takes no more: it is to come
 * again */
static enum err take_frame(struct producer_death *death, const struct block *block, uint32_t index)
{
    struct slice frame = block_frame(block, index);
    bool has_more = block->frames[index].flags & FRAME_MORE;
    if (!has_more && death->event.size == 0)
        return take_event(death, frame);
    size_t known = death->event.size;
    TRY(buf_append(&death->event, frame));
    enum err err = has_more ? ERR_OK : take_event(death, buf_slice(&death->event));
    if (err)
        death->event.size = known;
    else if (!has_more)
        buf_clear(&death->event);
    return err;
}

/* One block.  answers ERR_CLOSED all was read · ERR_AGAIN `woken` comes */
static enum err read_block(struct producer_death *death)
{
    struct tail *tail = stream_tail(death->producer->stream);
    struct reader_view view;
    enum err err = ERR_OK;
    if (!death->before && (!tail || reader_seq(death->reader) >= tail_events(tail)))
        return ERR_CLOSED;
    TRY(reader_peek(death->reader, &view));
    uint32_t taken = view.index;
    while (taken < view.end && !(err = take_frame(death, view.block, taken)))
        taken++;
    if (taken > view.index)
        reader_take(death->reader, taken);
    return err;
}

/* ── what becomes of it ─────────────────────────────────────────────────────────────────────── */

/* All was said: the terminator, and what has to stand before it. */
static void write_end(struct producer *producer)
{
    CLEANUP(buf_deinit) struct buf end;
    struct producer_death *death = producer->death;
    buf_init(&end, FRAGMENT_BYTES_MAX);
    if (continuation_end(death->continuation, &end)) {
        producer_die(producer);
        return;
    }
    producer->death = death_free(death);
    producer_process(producer, buf_slice(&end));
}

void producer_ask_to_go_on(struct producer *producer)
{
    struct producer_death *death = producer->death;
    struct producer_request request;
    int64_t at_ns = 0;
    enum err err =
        producer->source->calls->go_on(producer->source, death->continuation, &request, &at_ns);
    if (err == ERR_AGAIN) {
        producer_wait_until(producer, at_ns);
    } else if (err) {
        say_why(producer, "no other provider can be asked to go on");
        producer_die(producer);
    } else {
        request.kind = ATTEMPT_CONTINUATION;
        producer_begin_another(producer, &request);
    }
}

static void decide(struct producer *producer)
{
    struct producer_death *death = producer->death;
    const char *why = "";
    switch (continuation_can(death->continuation, producer->has_whole_calls, &why)) {
    case CONTINUATION_CANNOT:
        say_why(producer, why);
        producer_die(producer);
        return;
    case CONTINUATION_ENDS: write_end(producer); return;
    case CONTINUATION_ASKS: producer_ask_to_go_on(producer); return;
    }
}

/* The response so far stays; what it came by goes. */
static void bury(struct producer_death *death)
{
    struct producer *producer = death->producer;
    death->is_buried = true;
    producer->has_whole_calls = producer->hold != NULL;
    drop_held(producer);
    producer_bury(producer, death->reason);
    producer->translation = producer_translate_free(producer->translation);
    producer->is_complete = producer->is_throttled = false;
    buf_clear(&producer->pending);
    producer->splitter = producer->event_start = (struct frame_splitter){.framing = FRAMING_SSE};
}

static void turn_fired(struct timer *timer)
{
    struct producer_death *death = CONTAINER_OF(timer, struct producer_death, turn);
    struct producer *producer = death->producer;
    enum err err = ERR_OK;
    if (is_over(producer))
        return;
    if (!death->is_buried)
        bury(death);
    else if (death->before && !death->is_head_in)
        err = record_head(death);
    else if (!death->continuation)
        err = begin_reading(death);
    else if (death->reader)
        err = read_block(death);
    if (err == ERR_CLOSED) {
        death->reader = reader_close(death->reader);
        decide(producer);
    } else if (!err) {
        next_turn(death);
    } else if (err == ERR_FULL) {
        set_turn(death,
            loop_now_ns(hub_loop(stream_hub(producer->stream))) + PRODUCER_RETRY_MS * 1000000ll);
    } else if (err != ERR_AGAIN) {
        say_why(producer, err_text(err));
        producer_die(producer);
    }
}

/* ── adopted ────────────────────────────────────────────────────────────────────────────────── */

enum err producer_adopt_continuation(
    struct producer *producer, const struct codec *provider, struct translation **out)
{
    struct producer_death *death = producer->death;
    ASSERT(death && death->continuation);
    if (death->last.size && producer_append_aside(producer, buf_slice(&death->last)))
        return ERR_LIMIT;
    TRY(continuation_begin(death->continuation, provider, out));
    producer->death = death_free(death);
    return producer->hold ? ERR_OK : producer_hold_new(producer);
}
