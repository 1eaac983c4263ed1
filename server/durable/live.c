/* live — GET ?live=sse: `data` events with what there is and what comes, each followed by a `control` event
 * that says where it ended.
 *
 *   frames ─▶ a data event: small appends that are there already together, a large one alone
 *          ─▶ control {streamNextOffset, streamCursor, upToDate | streamClosed}
 *   nothing more: parked, until the stream changes or the answer's time is over
 *
 * An answer ends after LIVE_SECONDS behind a control event, so that callers come back and CDNs can make one
 * of many; or when it has said that the stream is closed. A reading that fails ends it uncleanly. */
#include <stdio.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/durable/reading.h"

enum {
    /* One frame more than a batch, as lines of one byte at the worst, and what is around it. */
    LIVE_TEXT_BYTES_MAX = (LIVE_BATCH_BYTES + FRAME_BYTES_MAX) * SSE_WRITER_EXPANSION +
                          SSE_WRITER_FRAME_BYTES + CONTROL_BYTES_MAX + 16,
};

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

static enum err write_bytes(struct reading *reading, struct slice bytes)
{
    return sse_writer_write(&reading->sse, bytes, &reading->text);
}

static enum err begin_data(struct reading *reading)
{
    bool is_base64 = !reading->is_json && !durable_is_text(reading_type(reading));
    TRY(sse_writer_begin(&reading->sse, is_base64, &reading->text));
    reading->is_open = true;
    return reading->is_json ? write_bytes(reading, SLICE("[")) : ERR_OK;
}

static enum err end_data(struct reading *reading)
{
    reading->is_open = false;
    if (reading->is_json)
        TRY(write_bytes(reading, SLICE("]")));
    return sse_writer_end(&reading->sse, &reading->text);
}

static enum err write_control(struct reading *reading)
{
    uint64_t at = course_at(reading->course);
    bool is_at_tail = at >= entry_tail_visible(reading->call.stream);
    bool is_closed = is_at_tail && reading_is_closed(reading);
    char offset[DURABLE_OFFSET_BYTES];
    struct json_writer json;
    durable_offset_format(at, offset);
    TRY(buf_append_text(&reading->text, "event: control\ndata:"));
    json_writer_init(&json, &reading->text);
    json_open(&json, '{');
    json_key(&json, "streamNextOffset");
    json_string(&json, slice_text(offset));
    if (!is_closed) {
        char cursor[24];
        (void)snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)reading->cursor);
        json_key(&json, "streamCursor");
        json_string(&json, slice_text(cursor));
    }
    if (is_at_tail) {
        json_key(&json, "upToDate");
        json_boolean(&json, true);
    }
    if (is_closed) {
        json_key(&json, "streamClosed");
        json_boolean(&json, true);
    }
    json_close(&json, '}');
    TRY(json.err);
    reading->has_told = is_at_tail;
    reading->is_ending = is_closed || reading->is_over;
    return buf_append_text(&reading->text, "\n\n");
}

/* ── what to send next ──────────────────────────────────────────────────────────────────────── */

static enum err write_frame(struct reading *reading, struct slice bytes, bool is_last)
{
    if (!reading->is_open)
        TRY(begin_data(reading));
    else if (reading->is_whole && reading->is_json)
        TRY(write_bytes(reading, SLICE(",")));
    TRY(write_bytes(reading, bytes));
    course_take(reading->course);
    reading->is_whole = is_last;
    return ERR_OK;
}

/* A batch is full, or there is no more: only at the end of an append can a data event end. */
static enum err finish_data(struct reading *reading)
{
    if (reading->is_open) {
        TRY(end_data(reading));
        return write_control(reading);
    }
    reading->is_ending = reading->is_over || reading_is_gone(reading);
    bool is_news = !reading->has_told || reading_is_closed(reading);
    return is_news && !reading_is_gone(reading) ? write_control(reading) : ERR_OK;
}

/* Fills `text`. ERR_AGAIN: what there is, is in it. */
static enum err compose(struct reading *reading)
{
    while (reading->text.size < LIVE_BATCH_BYTES) {
        struct slice bytes;
        bool is_last;
        enum err err = course_peek(reading->course, &bytes, &is_last);
        if (err == ERR_CLOSED || (err == ERR_AGAIN && reading->is_open && reading->is_whole)) {
            TRY(finish_data(reading));
            return ERR_AGAIN;
        }
        TRY(err);
        TRY(write_frame(reading, bytes, is_last));
    }
    if (reading->is_open && reading->is_whole)
        return finish_data(reading);
    return ERR_OK;
}

/* ── sending ────────────────────────────────────────────────────────────────────────────────── */

/* A part of `text`; the connection borrows it until the next fill. */
static void push(struct reading *reading, struct exchange *exchange)
{
    size_t room = exchange_room(exchange);
    struct slice rest = slice_sub(buf_slice(&reading->text), reading->sent, room);
    if (rest.size == 0)
        return;
    if (exchange_push(exchange, SLICE_NONE, rest, NULL, NULL))
        exchange_finish(exchange, false);
    else
        reading->pushed = rest.size;
}

static void fill(void *context, struct exchange *exchange)
{
    struct reading *reading = context;
    reading->sent += reading->pushed;
    reading->pushed = 0;
    if (reading->sent < reading->text.size) {
        push(reading, exchange);
        return;
    }
    buf_clear(&reading->text);
    reading->sent = 0;
    if (reading->is_ending) {
        exchange_finish(exchange, true);
        return;
    }
    enum err err = compose(reading);
    if (err && err != ERR_AGAIN) {
        exchange_finish(exchange, false);
    } else if (reading->text.size) {
        push(reading, exchange);
    } else if (reading->is_ending) {
        exchange_finish(exchange, true);
    } else {
        course_park(reading->course);
        buf_deinit(&reading->text); /* who waits holds no buffer */
        buf_init(&reading->text, LIVE_TEXT_BYTES_MAX);
        exchange_rest(exchange);
    }
}

static void closed(void *context)
{
    struct reading *reading = context;
    reading->call.exchange = NULL;
    call_end(&reading->call);
}

static const struct responder responder = {fill, closed};

static void wake(void *context)
{
    struct reading *reading = context;
    exchange_wake(reading->call.exchange);
}

static void is_over(struct timer *timer)
{
    struct reading *reading = CONTAINER_OF(timer, struct reading, timer);
    reading->is_over = true;
    exchange_wake(reading->call.exchange);
}

static void set_end(struct reading *reading)
{
    struct loop *loop = reading->call.api->loop;
    uint32_t random;
    loop_random(loop, &random, sizeof random);
    int64_t after_ms = LIVE_SECONDS * 1000 + random % LIVE_JITTER_MS;
    reading->timer.fire = is_over;
    timer_set(loop, &reading->timer, loop_now_ns(loop) + after_ms * 1000000);
}

void live_start(struct reading *reading)
{
    struct call *call = &reading->call;
    struct exchange *exchange = call->exchange;
    bool is_base64 = !reading->is_json && !durable_is_text(reading_type(reading));
    buf_init(&reading->text, LIVE_TEXT_BYTES_MAX);
    if (course_new(stream_ref(call->stream), reading->from, wake, reading, &reading->course)) {
        stream_unref(call->stream);
        call_refuse_storage(call, ERR_LIMIT);
        return;
    }
    call_add(call, "Cache-Control", SLICE("no-cache"));
    if (is_base64)
        call_add(call, "Stream-SSE-Data-Encoding", SLICE("base64"));
    exchange_release(exchange);
    exchange_hold(exchange, &responder, reading);
    if (exchange_begin(exchange, 200, SLICE("text/event-stream"), -1, SLICE_NONE)) {
        call_refuse(call, 500, "internal", NULL, "the response head does not fit");
        return;
    }
    set_end(reading);
}
