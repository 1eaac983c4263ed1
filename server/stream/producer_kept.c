/* producer_kept — a response that the provider keeps: it goes on with it when we are gone, and gives it
 * out again by its ID, from behind any event (struct dialect_again: OpenAI's Responses and Google's
 * interactions, in the background).
 *
 *   live ──(connection lost)──▶ lost ─▶ pause ─▶ GET …/responses/ID?stream=true&starting_after=N ─┬─▶ live
 *                                ▲ ▲                                                               │
 *    a server died: its stream ──┘ └──(unreachable, or busy: KEPT_TRIES_MAX times without an event)┤
 *    is read back for N                                                                            │
 *                              as it would have died without all this ◀──(refused, or no more tries)
 *
 * N is the cursor of the last event that is recorded and has one. What was of an event after that is dropped,
 * and comes again whole; what comes again although it is there already is dropped too: by its number or,
 * where there are none, if it is the same byte for byte. So the recording is that of one response, and it is
 * one generation that is paid for.
 *
 * Nothing is noted here that is not in the record, but for a translated response, whose provider's frames are
 * asides, and for a stream whose tool calls are held back (hold.h), which may show a later event before an
 * earlier one. Both are asked for again by the server that knows them, and not by the next one
 * (row.is_kept_upstream).
 *
 *   source  https://platform.openai.com/docs/guides/background; google-genai 3.4.0 (Python)             */
#include "server/stream/producer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/http/url.h"
#include "server/stream/cursor.h"
#include "server/stream/reader.h"

enum { MS_NS = 1000000 };

struct producer_kept {
    struct producer *producer;
    const struct dialect *dialect; /* the provider's */
    char id[DIALECT_ID_BYTES];     /* empty: it was not told yet */
    struct buf place;              /* where it was made: a URL */
    struct cursor cursor;
    bool is_lost;            /* there is no connection that brings more of it: */
    unsigned tries;          /* so often, since an event came, was one looked for */
    int64_t retry_after_ms;  /* the last answer's; -1: none */
    enum stream_state state; /* how the stream ends if there will be none… */
    const char *reason;      /* …static */
    char detail[DIALECT_ERROR_BYTES];
    struct timer turn;
    /* After a server's death: what is recorded, read back. */
    struct reader *reader;
    uint64_t from;
    struct buf event; /* of which only parts have come */
};

static void turn_fired(struct timer *timer);
static void give_up(struct producer_kept *kept, const char *why);

static bool is_over(const struct producer *producer)
{
    return producer->has_ended || producer->end.is_owed;
}

/* ── made, and gone ─────────────────────────────────────────────────────────────────────────── */

enum err producer_kept_new(struct producer *producer)
{
    struct producer_kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        return fault(ERR_NOMEM, "what is known of a response that is kept");
    kept->producer = producer;
    kept->dialect = producer->run->dialect;
    kept->state = STREAM_FAILED;
    kept->retry_after_ms = -1;
    kept->turn.fire = turn_fired;
    buf_init(&kept->event, EVENT_BYTES_MAX);
    cursor_init(&kept->cursor, kept->dialect->again);
    buf_init(&kept->place, producer->run->url.size);
    enum err err = buf_append(&kept->place, buf_slice(&producer->run->url));
    producer->kept = kept;
    if (err)
        producer_kept_free(producer);
    return err;
}

static void kept_free(struct producer_kept *kept)
{
    timer_cancel(hub_loop(stream_hub(kept->producer->stream)), &kept->turn);
    (void)reader_close(kept->reader);
    buf_deinit(&kept->event);
    cursor_deinit(&kept->cursor);
    buf_deinit(&kept->place);
    free(kept);
}

void producer_kept_free(struct producer *producer)
{
    if (producer->kept)
        kept_free(producer->kept);
    producer->kept = NULL;
}

static void set_turn(struct producer_kept *kept, int64_t after_ms)
{
    struct loop *loop = hub_loop(stream_hub(kept->producer->stream));
    timer_set(loop, &kept->turn, loop_now_ns(loop) + after_ms * MS_NS);
}

/* ── its events ─────────────────────────────────────────────────────────────────────────────── */

bool producer_is_kept(const struct producer *producer)
{
    return producer->kept && !producer->translation && !producer->hold && producer->reading.id[0];
}

bool producer_is_lost(const struct producer *producer)
{
    return producer->kept && producer->kept->is_lost;
}

bool producer_kept_has(struct producer_kept *kept, struct slice event)
{
    enum err err = cursor_check(&kept->cursor, event);
    if (err == ERR_INVALID)
        give_up(kept, "it gives out other events than it gave before");
    return err != ERR_OK;
}

static void note_id(struct producer_kept *kept, struct slice event)
{
    const struct producer *producer = kept->producer;
    struct dialect_reading reading = {0};
    if (producer->translation)
        (void)kept->dialect->read_event(&reading, event);
    memcpy(kept->id, producer->translation ? reading.id : producer->reading.id, sizeof kept->id);
}

void producer_kept_note(struct producer_kept *kept, struct slice event)
{
    struct run *run = kept->producer->run;
    if (!kept->id[0])
        note_id(kept, event);
    if (cursor_take(&kept->cursor, event))
        kept->tries = 0;
    if (run && run->record.first_event_ns == 0)
        run->record.first_event_ns = producer_wall_ns(kept->producer);
}

/* ── what is asked of the provider ──────────────────────────────────────────────────────────── */

/* Beside the place that made the response, whose query (Azure's api-version) goes on. */
static enum err write_place(const struct producer_kept *kept, const char *what, struct buf *out)
{
    struct slice url = slice_text((const char *)kept->place.data);
    ptrdiff_t mark = slice_find_byte(url, '?');
    struct slice path = mark < 0 ? url : slice_sub(url, 0, (size_t)mark);
    TRY(buf_append(out, path));
    TRY(buf_append_byte(out, '/'));
    TRY(percent_encode(slice_text(kept->id), out));
    TRY(buf_append_text(out, what));
    if (mark >= 0) {
        TRY(buf_append_byte(out, strchr(what, '?') ? '&' : '?'));
        TRY(buf_append(out, slice_sub(url, (size_t)mark + 1, url.size)));
    }
    return buf_append_byte(out, '\0');
}

/* As the response was asked for, but for what speaks of that request's body. `names` holds two of its. */
static enum err make_request(
    const struct run *before, const char *method, struct buf *names, struct producer_request *out)
{
    static const struct headers none;
    TRY(buf_append(names, before->record.target));
    TRY(buf_append_byte(names, '\0'));
    size_t key = names->size;
    TRY(buf_append(names, before->record.key));
    TRY(buf_append_byte(names, '\0'));
    *out = (struct producer_request){.dialect = before->caller_dialect,
        .method = method,
        .content_type = "",
        .ca_file = before->ca_file[0] ? before->ca_file : NULL,
        .headers = &none,
        .hides_usage = before->hides_usage,
        .connect_timeout_ms = before->connect_timeout_ms,
        .first_byte_timeout_ms = before->first_byte_timeout_ms,
        .idle_timeout_ms = before->idle_timeout_ms,
        .attempt = before->attempt,
        .kind = ATTEMPT_RESUMPTION,
        .target = (const char *)names->data,
        .key_name = (const char *)names->data + key,
        .provider = before->provider,
        .model = before->model,
        .provider_dialect = before->provider_dialect,
        .is_kept = true};
    return ERR_OK;
}

static enum err make_run(struct producer_kept *kept, const char *method, const char *accept,
    const char *what, struct run **out)
{
    CLEANUP(buf_deinit) struct buf url, names;
    struct producer *producer = kept->producer;
    struct producer_request request;
    const char *lines[PRODUCER_HEADERS_MAX + 2];
    buf_init(&url, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&names, ATTEMPT_TARGET_BYTES_MAX + ATTEMPT_WORD_BYTES_MAX + 2);
    TRY(write_place(kept, what, &url));
    TRY(make_request(producer->run, method, &names, &request));
    run_lines_without_body(producer->run, accept, lines);
    request.url = (const char *)url.data;
    request.credentials = lines;
    return run_new(producer, &request, out);
}

static enum err send_run(struct run *run, const struct upstream_owner *owner)
{
    const struct upstream_request request = {.url = (const char *)run->url.data,
        .method = run->method,
        .headers = run->headers,
        .connect_timeout_ms = run->connect_timeout_ms,
        .first_byte_timeout_ms = run->first_byte_timeout_ms,
        .idle_timeout_ms = run->idle_timeout_ms,
        .ca_file = run->ca_file[0] ? run->ca_file : NULL};
    run->dispatched_ns = loop_wall_ns(run->loop);
    metrics_add(run->producer->config.metrics, METRIC_upstream_requests_total, 1);
    return run_send(run, &request, owner);
}

/* ── found again, or not ────────────────────────────────────────────────────────────────────── */

static void count(const struct producer *producer, const char *outcome)
{
    metrics_add_label(producer->config.metrics, METRIC_resumptions_total, outcome, 1);
}

/* As it would have ended had the provider kept nothing. */
static void give_up(struct producer_kept *kept, const char *why)
{
    struct producer *producer = kept->producer;
    char detail[DIALECT_ERROR_BYTES];
    int size = snprintf(detail, sizeof detail, "%.150s; asked for again, %s", kept->detail, why);
    ASSERT(size > 0);
    LOG(producer->config.log, LOG_WARNING, "not_resumed",
        LOG_ID("stream", &stream_row(producer->stream)->id), LOG_TEXT("why", why));
    producer->kept = NULL;
    if (kept->state == STREAM_INTERRUPTED)
        producer_end_or_owe(producer, kept->state, kept->reason, detail);
    else
        producer_died(producer, kept->reason, detail);
    kept_free(kept);
}

static void wait_to_ask(struct producer_kept *kept)
{
    unsigned doublings = kept->tries < 16 ? kept->tries : 16;
    int64_t wait_ms = (int64_t)KEPT_WAIT_MS << doublings;
    if (wait_ms > KEPT_WAIT_MS_MAX)
        wait_ms = KEPT_WAIT_MS_MAX;
    if (wait_ms < kept->retry_after_ms)
        wait_ms = kept->retry_after_ms < KEPT_RETRY_AFTER_MS_MAX ? kept->retry_after_ms
                                                                 : KEPT_RETRY_AFTER_MS_MAX;
    kept->retry_after_ms = -1;
    set_turn(kept, wait_ms);
}

static bool is_refusal(int status)
{
    bool may_change = status == 408 || status == 409 || status == 425 || status == 429;
    return status >= 200 && status < 500 && !may_change;
}

/* The answer to what was asked is none that can be gone on with. */
static void failed(struct producer_kept *kept, const struct run *run, const char *message)
{
    char why[96];
    if (run->status)
        (void)snprintf(why, sizeof why, "the provider answered with status %d", run->status);
    else
        (void)snprintf(why, sizeof why, "it was not reached: %.60s", message ? message : "");
    bool is_refused = is_refusal(run->status);
    count(kept->producer, is_refused ? "refused" : "unreachable");
    kept->retry_after_ms = run->retry_after_ms;
    if (is_refused || ++kept->tries >= KEPT_TRIES_MAX)
        give_up(kept, why);
    else
        wait_to_ask(kept);
}

static void found(struct producer_kept *kept, struct run *run)
{
    struct producer *producer = kept->producer;
    kept->is_lost = false;
    kept->state = STREAM_FAILED; /* what happens to it from now on is the provider's doing */
    cursor_ask(&kept->cursor);
    run->state = RUN_LIVE;
    run->record.is_shown = true;
    run->record.from = tail_events(stream_tail(producer->stream));
    count(producer, "resumed");
    metrics_add_label(
        producer->config.metrics, METRIC_attempts_total, attempt_kind_name(run->record.kind), 1);
    LOG(producer->config.log, LOG_INFO, "resumed",
        LOG_ID("stream", &stream_row(producer->stream)->id), LOG_TEXT("upstream_id", kept->id),
        LOG_SLICE("after", cursor_last(&kept->cursor)));
    if (producer_record_head(producer))
        LOG(producer->config.log, LOG_DEBUG, "attempt_unrecorded", /* its end has it too */
            LOG_ID("stream", &stream_row(producer->stream)->id));
}

static struct producer_kept *awaited_by(const struct run *run)
{
    struct producer *producer = run->producer;
    bool is_awaited = producer && !is_over(producer) && producer_is_lost(producer);
    return is_awaited && producer->run == run ? producer->kept : NULL;
}

static void again_head(void *context, int status, struct slice head)
{
    struct run *run = context;
    struct producer_kept *kept = awaited_by(run);
    if (!kept)
        return;
    run->status = status;
    if (run_reads_stream(run, head))
        found(kept, run);
}

static enum err again_data(void *context, struct slice bytes)
{
    struct run *run = context;
    return run->state == RUN_LIVE ? run_owner.data(run, bytes) : ERR_OK;
}

static void again_ended(void *context, enum upstream_end how, const char *message)
{
    struct run *run = context;
    struct producer_kept *kept = awaited_by(run);
    if (!run->producer || run->state == RUN_LIVE) {
        run_owner.ended(run, how, message);
        return;
    }
    run->upstream = NULL;
    run->is_over = true;
    if (kept)
        failed(kept, run, message);
    else
        producer_transfer_ended(run->producer, how, message);
}

static const struct upstream_owner again_owner = {again_head, again_data, again_ended, NULL};

static enum err ask_again(struct producer_kept *kept)
{
    CLEANUP(buf_deinit) struct buf what;
    struct run *run;
    buf_init(&what, DIALECT_CURSOR_BYTES_MAX * 3 + 64);
    TRY(cursor_query(&kept->cursor, &what));
    TRY(make_run(kept, "GET", "Accept: text/event-stream", (const char *)what.data, &run));
    run->state = RUN_HELD;
    producer_replace(kept->producer, run, kept->reason);
    return send_run(run, &again_owner);
}

/* ── lost ───────────────────────────────────────────────────────────────────────────────────── */

bool producer_may_take_back(const struct producer *producer)
{
    const struct producer_kept *kept = producer->kept;
    return kept && kept->id[0] && cursor_is_known(&kept->cursor) && kept->tries < KEPT_TRIES_MAX &&
           producer->run && !producer->reading.is_failed && !producer->death && !is_over(producer);
}

bool producer_takes_back(struct producer *producer, const char *reason, const char *detail)
{
    struct producer_kept *kept = producer->kept;
    if (!producer_may_take_back(producer))
        return false;
    kept->is_lost = true;
    kept->reason = reason;
    (void)snprintf(kept->detail, sizeof kept->detail, "%s", detail ? detail : "");
    run_cancel(producer->run);
    producer->is_complete = producer->is_throttled = false;
    buf_clear(&producer->pending);
    producer->splitter = producer->event_start = (struct frame_splitter){.framing = FRAMING_SSE};
    wait_to_ask(kept);
    kept->tries++;
    return true;
}

/* ── a server died ──────────────────────────────────────────────────────────────────────────── */

static void woken(void *context)
{
    set_turn(context, 0);
}

static enum err take_frame(struct producer_kept *kept, const struct block *block, uint32_t index)
{
    struct producer *producer = kept->producer;
    TRY(buf_append(&kept->event, block_frame(block, index)));
    if (block->frames[index].flags & FRAME_MORE)
        return ERR_OK;
    struct slice event = buf_slice(&kept->event);
    (void)producer->dialect->read_event(&producer->reading, event);
    (void)cursor_take(&kept->cursor, event);
    buf_clear(&kept->event);
    return ERR_OK;
}

static enum err begin_reading(struct producer_kept *kept, uint64_t from)
{
    kept->from = from;
    kept->reader = reader_close(kept->reader);
    struct stream *stream = stream_ref(kept->producer->stream);
    enum err err = reader_new(stream, from, false, woken, kept, &kept->reader);
    if (err)
        (void)stream_unref(stream);
    return err;
}

/* A block. One of the last events nearly always has a cursor; comments have none. */
static enum err read_on(struct producer_kept *kept)
{
    struct reader_view view;
    enum err err = reader_peek(kept->reader, &view);
    if (err == ERR_CLOSED && kept->from > 0 && cursor_last(&kept->cursor).size == 0) {
        cursor_deinit(&kept->cursor);
        cursor_init(&kept->cursor, kept->dialect->again);
        return begin_reading(kept, 0);
    }
    TRY(err);
    for (uint32_t index = view.index; index < view.end; index++)
        TRY(take_frame(kept, view.block, index));
    reader_take(kept->reader, view.end);
    return ERR_OK;
}

static void finish_reading(struct producer_kept *kept)
{
    struct producer *producer = kept->producer;
    kept->reader = reader_close(kept->reader);
    if (producer->reading.is_failed)
        producer_fail_by_event(producer);
    else if (!cursor_is_known(&kept->cursor))
        give_up(kept, "its recorded events have nothing to ask by");
    else
        wait_to_ask(kept);
}

static void turn_fired(struct timer *timer)
{
    struct producer_kept *kept = CONTAINER_OF(timer, struct producer_kept, turn);
    if (is_over(kept->producer))
        return;
    bool is_reading = kept->reader != NULL;
    enum err err = is_reading ? read_on(kept) : ask_again(kept);
    if (is_reading && err == ERR_CLOSED)
        finish_reading(kept);
    else if (err && err != ERR_AGAIN)
        give_up(kept, err_text(err));
    else if (is_reading && !err)
        set_turn(kept, 0);
}

/* What the row says of the response that is to be gone on with. */
static enum err take_row(struct producer *producer, const struct row *row)
{
    producer->status = (int)row->status;
    producer->is_sse = producer->is_framed = true;
    producer->splitter = producer->event_start = (struct frame_splitter){.framing = FRAMING_SSE};
    producer->content_length = -1;
    producer->dispatched_ns = row->dispatched_ns;
    producer->first_event_ns = row->first_event_ns;
    memcpy(producer->reading.id, row->upstream_id.data, row->upstream_id.size);
    producer->reading.owes_finish = !producer->dialect->has_terminator; /* if no event has told */
    TRY(buf_append(&producer->head, slice_sub(row->head, 0, producer->head.size_max)));
    return buf_append(&producer->content_type, row->content_type);
}

/* Those that were under way when the server died. */
static enum err take_attempts(struct producer *producer, struct slice attempts, int64_t died_ns)
{
    struct attempt attempt;
    while (attempts.size && attempt_decode(&attempts, &attempt) == ERR_OK) {
        if (attempt.ended_ns == 0) {
            attempt.ended_ns = died_ns;
            attempt.why = SLICE("server_died");
        }
        producer->attempt_count = attempt.number;
        TRY(attempt_encode(&attempt, &producer->past));
    }
    return ERR_OK;
}

enum err producer_reopen(struct producer *producer, const struct producer_request *request)
{
    const struct row *row = stream_row(producer->stream);
    struct run *run;
    if (row->upstream_id.size == 0 || row->upstream_id.size >= DIALECT_ID_BYTES ||
        !request->dialect->again)
        return ERR_INVALID;
    TRY(run_new(producer, request, &run));
    run->state = RUN_LIVE; /* it was: its transfer is over */
    run->is_over = true;
    run->record.ended_ns = producer_wall_ns(producer);
    producer->run = run;
    TRY(producer_kept_new(producer));
    struct producer_kept *kept = producer->kept;
    TRY(take_row(producer, row));
    TRY(take_attempts(producer, row->attempts, tail_last_event_ns(stream_tail(producer->stream))));
    memcpy(kept->id, producer->reading.id, sizeof kept->id);
    kept->is_lost = true;
    kept->state = STREAM_INTERRUPTED;
    kept->reason = "server_died";
    (void)snprintf(kept->detail, sizeof kept->detail,
        "the server died while the provider was answering; what had been received is recorded");
    uint64_t events = tail_events(stream_tail(producer->stream));
    TRY(begin_reading(kept, events > KEPT_LOOK_BACK ? events - KEPT_LOOK_BACK : 0));
    set_turn(kept, 0);
    return ERR_OK;
}

/* ── given up by us ─────────────────────────────────────────────────────────────────────────── */

/* Nobody waits for the answer: a provider that does not heed it goes on, and bills. */
void producer_kept_cancel(struct producer *producer)
{
    struct producer_kept *kept = producer->kept;
    struct run *run;
    if (!kept || !kept->id[0] || !producer->run)
        return;
    enum err err = make_run(kept, "POST", "Accept: application/json", "/cancel", &run);
    if (!err) {
        err = send_run(run, &run_owner);
        run->producer = NULL;
        if (err)
            run_free(run);
    }
    if (err)
        LOG(producer->config.log, LOG_WARNING, "not_cancelled",
            LOG_ID("stream", &stream_row(producer->stream)->id), LOG_TEXT("why", err_text(err)));
}
