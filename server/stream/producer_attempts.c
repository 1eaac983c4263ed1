/* producer_attempts — which attempt is made when; see producer.h.
 *
 *   first ─▶ send ─┬─▶ (not held) adopted ───────────────────────────────▶ the stream's response
 *     ▲            └─▶ held ─┬─ prove ─▶ adopted, the other given up ─────▶   ▲
 *     │                      └─ fail ─▶ go on ─┬─ next: this one is given up  │
 *     │                                        ├─ later: pause                │
 *     └────────(journalled)────────────────────┘  none: it stands ────────────┘
 *
 * `held` has those that may yet become the response: one, or two where a hedge is under way; and the one
 * that failed last, until another takes its place. */
#include "server/stream/producer_state.h"

#include "protocol/base/own.h"

static bool ask_next(struct producer *producer);
static struct run *last_failed(const struct producer *producer);

static bool is_over(const struct producer *producer)
{
    return producer->has_ended || producer->end.is_owed;
}

static bool is_under_way(const struct run *run)
{
    return run && run->state != RUN_FAILED;
}

static struct run **place_of(struct producer *producer, const struct run *run)
{
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        if (producer->held[i] == run)
            return &producer->held[i];
    return NULL;
}

/* ── what is noted of them ──────────────────────────────────────────────────────────────────── */

static int64_t first_event_ms(const struct run *run)
{
    int64_t first_ns = run->record.first_event_ns;
    return first_ns ? (first_ns - run->dispatched_ns) / 1000000 : -1;
}

static void tell(struct producer *producer, struct run *run, enum producer_end end)
{
    if (!producer->source || run->is_told)
        return;
    run->is_told = true;
    const struct producer_outcome outcome = {.end = end,
        .status = run->status,
        .retry_after_ms = run->retry_after_ms,
        .first_event_ms = first_event_ms(run)};
    producer->source->calls->ended(producer->source, run->attempt, &outcome);
}

/* What is static outlives it. */
static void note_end(
    struct producer *producer, struct run *run, const struct usage *usage, const char *why)
{
    run->record.ended_ns = producer_wall_ns(producer);
    run->record.status = (uint32_t)run->status;
    run->record.why = slice_text(why);
    run->record.usage = *usage;
    if (producer->source)
        run->record.cost_nano_usd =
            producer->source->calls->cost(producer->source, run->attempt, usage);
}

/* Of the live one: what it says itself, where what is shown is the sum of several. */
static const struct usage *live_usage(const struct producer *producer)
{
    return producer->is_going_on && producer->translation
               ? producer_translate_usage(producer->translation)
               : &producer->reading.usage;
}

/* The oldest make room. */
static void add_past(struct producer *producer, const struct attempt *attempt)
{
    struct buf *past = &producer->past;
    while (attempt_encode(attempt, past) == ERR_LIMIT && past->size) {
        struct attempt oldest;
        struct slice rest = buf_slice(past);
        enum err err = attempt_decode(&rest, &oldest);
        ASSERT(!err); /* our own */
        buf_consume(past, past->size - rest.size);
    }
}

/* As the message was, as much of it as one aside holds. */
static void keep_aside(struct producer *producer, const struct run *run)
{
    CLEANUP(buf_deinit) struct buf message;
    buf_init(&message, FRAGMENT_BYTES_MAX);
    if (!run->status || is_over(producer) || buf_printf(&message, "HTTP %d\r\n", run->status) ||
        buf_append(&message, buf_slice(&run->hold.head)) || buf_append_text(&message, "\r\n"))
        return;
    struct slice body = buf_slice(&run->hold.bytes);
    if (buf_append(&message, slice_sub(body, 0, message.size_max - message.size)) ||
        producer_append_aside(producer, buf_slice(&message)))
        LOG(producer->config.log, LOG_WARNING, "aside_dropped",
            LOG_ID("stream", &stream_row(producer->stream)->id));
}

/* It is no part of what readers see. */
static void give_up(struct producer *producer, struct run *run, const char *why)
{
    if (run->record.ended_ns == 0)
        note_end(producer, run, &run->hold.reading.usage, why);
    tell(producer, run, PRODUCER_STOPPED);
    keep_aside(producer, run);
    add_past(producer, &run->record);
    *place_of(producer, run) = NULL;
    run_drop(run);
}

static void write_attempt(struct producer *producer, const struct run *run)
{
    if (run && run->record.target.size && attempt_encode(&run->record, &producer->attempts))
        return; /* it has no room */
}

struct slice producer_write_attempts(struct producer *producer)
{
    buf_clear(&producer->attempts);
    if (producer->past.size && buf_append(&producer->attempts, buf_slice(&producer->past)))
        return SLICE_NONE;
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        write_attempt(producer, producer->held[i]);
    write_attempt(producer, producer->run);
    return buf_slice(&producer->attempts);
}

/* ── the end of the stream ──────────────────────────────────────────────────────────────────── */

void producer_end_attempts(struct producer *producer, enum stream_state state, const char *reason)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    const char *why = state == STREAM_COMPLETED ? NULL : reason;
    timer_cancel(loop, &producer->pause);
    timer_cancel(loop, &producer->hedge);
    producer->is_waiting = false;
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        if (producer->held[i])
            give_up(producer, producer->held[i], why);
    struct run *run = producer->run;
    if (!run)
        return;
    if (run->is_told) /* it stands: what it failed of is known */
        why = run->record.why.size ? (const char *)run->record.why.data : NULL;
    note_end(producer, run, live_usage(producer), why);
}

static enum producer_end end_before_events(const struct producer *producer)
{
    switch (producer->run->how) {
    case UPSTREAM_REFUSED:
    case UPSTREAM_TIMEOUT_CONNECT: return PRODUCER_NOT_SENT;
    case UPSTREAM_TIMEOUT_FIRST_BYTE: return PRODUCER_TIMED_OUT;
    case UPSTREAM_COMPLETE:
    case UPSTREAM_TIMEOUT_IDLE:
    case UPSTREAM_RESET:
    case UPSTREAM_MALFORMED:
    case UPSTREAM_CANCELED: break;
    case UPSTREAM_CUT: return PRODUCER_STOPPED;
    }
    return producer->reading.is_failed ? PRODUCER_ERROR_EVENT : PRODUCER_BROKEN;
}

static enum producer_end end_of_live(const struct producer *producer)
{
    const struct row *row = stream_row(producer->stream);
    bool is_ours = slice_equal(row->reason, SLICE("storage_full")) ||
                   slice_equal(row->reason, SLICE("internal"));
    if (row->state == STREAM_COMPLETED)
        return PRODUCER_SERVED;
    if (row->state != STREAM_FAILED || is_ours)
        return PRODUCER_STOPPED;
    if (producer->status >= 400)
        return PRODUCER_STATUS;
    return producer->first_event_ns ? PRODUCER_DIED : end_before_events(producer);
}

void producer_leave_source(struct producer *producer)
{
    if (producer->run)
        tell(producer, producer->run, end_of_live(producer));
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        if (producer->held[i])
            tell(producer, producer->held[i], PRODUCER_STOPPED);
    if (producer->source)
        producer->source->calls->close(producer->source);
    producer->source = NULL;
}

/* ── sent ───────────────────────────────────────────────────────────────────────────────────── */

static void dispatch(struct producer *producer, struct run *run)
{
    if (run_dispatch(run)) {
        producer_fail(producer, "internal", "the request could not be sent: out of memory");
        return;
    }
    if (producer->dispatched_ns == 0)
        producer->dispatched_ns = run->dispatched_ns;
    if (run->is_held && run->record.kind != ATTEMPT_HEDGE)
        producer_hedge_fired(&producer->hedge);
}

/* Those that wait, if they may go. */
void producer_send(struct producer *producer)
{
    producer->is_waiting = producer->is_keyed && !stream_row_is_durable(producer->stream);
    if (producer->is_waiting)
        return;
    struct run *const runs[] = {producer->held[0], producer->held[1], producer->run};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0] && !is_over(producer); i++)
        if (runs[i] && runs[i]->state == RUN_WAITING)
            dispatch(producer, runs[i]);
}
static_assert(PRODUCER_HELD_MAX == 2, "all of them are sent");

static enum err begin(
    struct producer *producer, const struct producer_request *request, bool is_held)
{
    struct run *run;
    TRY(run_new(producer, request, &run));
    run->record.number = ++producer->attempt_count;
    run->record.started_ns = producer_wall_ns(producer);
    run->is_held = is_held;
    if (!is_held)
        return producer_adopt(producer, run);
    struct run **place = place_of(producer, NULL);
    ASSERT(place);
    *place = run;
    return ERR_OK;
}

static bool is_more(const struct producer *producer)
{
    return producer->source && producer->source->calls->is_more(producer->source);
}

enum err producer_first(struct producer *producer, const struct producer_request *request)
{
    return begin(producer, request, is_more(producer));
}

void producer_wait_until(struct producer *producer, int64_t at_ns)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    int64_t step_ns = loop_now_ns(loop) + PRODUCER_PAUSE_STEP_MS * 1000000ll;
    timer_set(loop, &producer->pause, at_ns < step_ns ? at_ns : step_ns);
}

/* A keyed one waits until storage takes its start: a crash must not hide that it was sent. */
static void journal_and_send(struct producer *producer)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    bool is_recorded = producer_record_head(producer) == ERR_OK;
    producer->is_unjournalled = producer->is_keyed && !is_recorded;
    if (producer->is_unjournalled)
        producer_wait_until(producer, loop_now_ns(loop) + PRODUCER_RETRY_MS * 1000000ll);
    else
        producer_send(producer);
}

static void begin_another(
    struct producer *producer, const struct producer_request *request, bool is_held)
{
    if (begin(producer, request, is_held))
        producer_fail(producer, "internal", "a further attempt could not be made: out of memory");
    else
        journal_and_send(producer);
}

void producer_begin_another(struct producer *producer, const struct producer_request *request)
{
    struct run *last = last_failed(producer);
    if (last)
        give_up(producer, last, NULL);
    begin_another(producer, request, true);
}

/* ── meanwhile ──────────────────────────────────────────────────────────────────────────────── */

static size_t under_way(const struct producer *producer)
{
    size_t count = 0;
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        count += is_under_way(producer->held[i]);
    return count;
}

void producer_hedge_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, hedge);
    struct producer_request request;
    int64_t at_ns;
    if (is_over(producer) || producer->run || producer->death || !producer->source ||
        under_way(producer) != 1)
        return;
    enum err err = producer->source->calls->hedge(producer->source, &request, &at_ns);
    if (err == ERR_AGAIN)
        timer_set(hub_loop(stream_hub(producer->stream)), &producer->hedge, at_ns);
    else if (!err)
        begin_another(producer, &request, true);
}

/* ── how a held one ends ────────────────────────────────────────────────────────────────────── */

void producer_prove(struct producer *producer, struct run *run)
{
    if (is_over(producer))
        return;
    run->record.first_event_ns = producer_wall_ns(producer);
    timer_cancel(run->loop, &producer->hedge);
    timer_cancel(run->loop, &producer->pause);
    *place_of(producer, run) = NULL;
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        if (producer->held[i])
            give_up(producer, producer->held[i], "hedge_lost");
    if (producer->source)
        producer->source->calls->shows(producer->source, run->attempt, first_event_ms(run));
    if (producer_adopt(producer, run))
        producer_fail(producer, "internal", "the answer could not be taken: out of memory");
    else
        run_release(run);
}

/* What was looked for in vain is no attempt: nothing was to be paid for it. */
void producer_replace(struct producer *producer, struct run *run, const char *why)
{
    static const struct usage unknown = USAGE_UNKNOWN; /* the response says it once, at its end */
    struct run *old = producer->run;
    if (old->record.is_shown) {
        note_end(producer, old, &unknown, why);
        add_past(producer, &old->record);
    }
    bool is_counted = !old->record.is_shown && old->record.number;
    run->record.number = is_counted ? old->record.number : ++producer->attempt_count;
    run->record.started_ns = producer_wall_ns(producer);
    producer->run = run;
    run_drop(old);
}

void producer_bury(struct producer *producer, const char *why)
{
    struct run *run = producer->run;
    producer_kept_free(producer);
    note_end(producer, run, live_usage(producer), why);
    tell(producer, run, PRODUCER_DIED);
    add_past(producer, &run->record);
    producer->run = NULL;
    run_drop(run);
}

void producer_stand(struct producer *producer, struct run *run)
{
    if (producer->death) { /* what it answered is no part of the response */
        give_up(producer, run, NULL);
        producer_die(producer);
        return;
    }
    *place_of(producer, run) = NULL;
    if (producer_adopt(producer, run))
        producer_fail(producer, "internal", "the answer could not be taken: out of memory");
    else
        run_release(run);
}

bool producer_may_go_on(
    struct producer *producer, struct run *run, enum producer_end end, const char *why)
{
    note_end(producer, run, &run->hold.reading.usage, why);
    tell(producer, run, end);
    return under_way(producer) > 0 || is_more(producer);
}

void producer_go_on(struct producer *producer, struct run *run)
{
    timer_cancel(run->loop, &run->hold.timer);
    if (is_over(producer))
        return;
    if (under_way(producer) > 0)
        give_up(producer, run, NULL);
    else if (!ask_next(producer) && producer_record_head(producer))
        LOG(producer->config.log, LOG_DEBUG,
            "attempt_unrecorded", /* the next one's start has it too */
            LOG_ID("stream", &stream_row(producer->stream)->id));
}

static struct run *last_failed(const struct producer *producer)
{
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        if (producer->held[i])
            return producer->held[i];
    return NULL;
}

/* False: not yet. */
static bool ask_next(struct producer *producer)
{
    struct run *last = last_failed(producer);
    struct producer_request request;
    int64_t at_ns = 0;
    if (producer->death) {
        producer_ask_to_go_on(producer);
        return true;
    }
    ASSERT(last && under_way(producer) == 0);
    enum err err = producer->source->calls->next(producer->source, &request, &at_ns);
    if (err == ERR_AGAIN) {
        producer_wait_until(producer, at_ns);
    } else if (err) {
        producer_stand(producer, last);
    } else {
        give_up(producer, last, NULL);
        begin_another(producer, &request, is_more(producer));
    }
    return err != ERR_AGAIN;
}

void producer_pause_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, pause);
    if (is_over(producer))
        return;
    if (producer->is_unjournalled)
        journal_and_send(producer);
    else
        (void)ask_next(producer);
}

void producer_source_ready(struct producer_source *source)
{
    struct producer *producer = source->producer;
    if (!producer->is_unjournalled && producer->pause.index)
        producer_wait_until(producer, 0);
}

void producer_showed(struct producer *producer)
{
    struct run *run = producer->run;
    if (!run || run->record.first_event_ns) /* none: what another stream has shown */
        return;
    run->record.first_event_ns = producer->first_event_ns;
    if (producer->source && !run->is_told)
        producer->source->calls->shows(producer->source, run->attempt, first_event_ms(run));
}
