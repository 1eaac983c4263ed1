/* replay — see replay.h.
 *
 *   WAITING ─(head visible)─▶ head ─▶ BODY: peek, push, take … ─▶ END ─▶ closed
 *      └─(ended without a head)─▶ an error in the caller's dialect
 */
#include "server/api/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/attempt.h"
#include "protocol/data/json.h"
#include "protocol/data/transcript.h"
#include "protocol/http/frames.h"
#include "server/api/render.h"
#include "server/stream/duplicates.h"

enum {
    SEND_ROOM_MIN = FRAME_BYTES_MAX + RENDER_FRAME_BYTES_MAX, /* an event's part always fits it */
    LINES_BYTES = 16 * 1024,          /* of one send, about; a line more may follow */
    SKIP_BYTES_MAX = 4 * 1024 * 1024, /* in one turn of the loop: some milliseconds */
    END_EVENT_BYTES_MAX = 1024, /* of the closing event: two names, a number, a reason of ours */
};

struct replay {
    struct exchange *exchange;
    struct stream *stream; /* borrowed from the reader */
    struct reader *reader;
    enum replay_format format;
    const char *attached;
    bool is_caller;
    int status;        /* 0: the recorded one */
    uint32_t retry_ms; /* to be said first; 0: it was, or is not */
    bool has_begun;
    bool is_ending; /* the closing event was pushed */
    bool has_row;   /* the row's line was pushed */
    uint32_t sent;  /* bytes of the frame at the reader's place that were pushed, or skipped */
    struct blank_lines seen;
    struct buf parts; /* of an opaque event whose rest is in the next block */
    struct buf text;  /* of the send under way: base64, the closing event */
};

void stream_url(const struct id *id, char out[STREAM_URL_BYTES])
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    (void)snprintf(out, STREAM_URL_BYTES, "/v1/streams/%s", text);
}

bool replay_is_whole(const struct row *row)
{
    return row->state == STREAM_COMPLETED ||
           (row->state == STREAM_FAILED && slice_equal(row->reason, SLICE("upstream_status")));
}

static void replay_free(struct replay *replay)
{
    reader_close(replay->reader);
    buf_deinit(&replay->parts);
    buf_deinit(&replay->text);
    free(replay);
}

/* ── the head ───────────────────────────────────────────────────────────────────────────────── */

/* Names come from callers and may hold what no header can; then it goes without. */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.size > 0;
}

/* Which of the attempts is answered with. */
static enum err add_attempt(struct exchange *exchange, const struct row *row)
{
    char number[16];
    struct attempt shown;
    if (attempt_shown(row->attempts, &shown))
        return ERR_OK;
    (void)snprintf(number, sizeof number, "%u", shown.number);
    if (is_plain(shown.target))
        TRY(exchange_add_header(exchange, SLICE("Tokenlog-Target"), shown.target));
    return exchange_add_header(exchange, SLICE("Tokenlog-Attempt"), slice_text(number));
}

/* Who was asked, and for what. */
static enum err add_target(struct exchange *exchange, const struct row *row)
{
    TRY(add_attempt(exchange, row));
    if (is_plain(row->provider))
        TRY(exchange_add_header(exchange, SLICE("Tokenlog-Provider"), row->provider));
    if (is_plain(row->model))
        TRY(exchange_add_header(exchange, SLICE("Tokenlog-Model"), row->model));
    return ERR_OK;
}

enum err replay_add_headers(
    struct exchange *exchange, const struct stream *stream, const char *attached)
{
    const struct row *row = stream_row(stream);
    char id[ID_TEXT_BYTES], url[STREAM_URL_BYTES];
    id_format(&row->id, id);
    stream_url(&row->id, url);
    TRY(exchange_add_header(exchange, SLICE("Tokenlog-Stream-Id"), slice_text(id)));
    TRY(exchange_add_header(exchange, SLICE("Tokenlog-Stream-Url"), slice_text(url)));
    TRY(add_target(exchange, row));
    TRY(exchange_add_header(exchange, SLICE("Tokenlog-Stream-State"),
        slice_text(stream_state_name(stream_visible_row(stream)->state))));
    TRY(exchange_announce(exchange, row));
    if (!attached)
        return ERR_OK;
    TRY(exchange_add_header(exchange, SLICE("Tokenlog-Attached"), slice_text(attached)));
    if (!stream_has_ended(stream))
        return ERR_OK;
    return exchange_add_header(exchange, SLICE("Idempotent-Replayed"), SLICE("true"));
}

static enum err add_stream_headers(struct replay *replay)
{
    return replay_add_headers(replay->exchange, replay->stream, replay->attached);
}

/* An error that stands for a stream names it, as every answer does: where it does not fit, it goes
 * without. */
static void name_stream(struct replay *replay)
{
    if (add_stream_headers(replay))
        LOG(hub_log(stream_hub(replay->stream)), LOG_WARNING, "headers_dropped",
            LOG_ID("stream", &stream_row(replay->stream)->id));
}

/* The stream ended and there is no response to show: say why, in the caller's dialect. */
static void answer_headless(struct replay *replay)
{
    struct exchange *exchange = replay->exchange;
    const struct row *row = stream_row(replay->stream);
    int status = row->state == STREAM_STOPPED || row->state == STREAM_INTERRUPTED ? 409
                 : slice_has_prefix(row->reason, SLICE("upstream_timeout"))       ? 504
                 : slice_equal(row->reason, SLICE("storage_full")) ||
                         slice_equal(row->reason, SLICE("internal"))
                     ? 503
                     : 502;
    char code[64];
    if (row->state == STREAM_FAILED)
        (void)snprintf(code, sizeof code, "%.*s", SLICE_PRINT(row->reason));
    else
        (void)snprintf(code, sizeof code, "stream_%s", stream_state_name(row->state));
    name_stream(replay);
    const char *advice =
        row->state == STREAM_INTERRUPTED
            ? "; send Tokenlog-On-Interrupted: restart with the same key to ask anew"
            : "";
    exchange_error(exchange, status, code, NULL, "no response was recorded: %.*s%s",
        SLICE_PRINT(row->detail), advice);
    replay_free(replay);
}

/* It can not be made durable any more. */
static void answer_never(struct replay *replay)
{
    exchange_error(replay->exchange, 503, "storage_full", NULL,
        "the answer can not be recorded, so it is not shown: see the server's log");
    replay_free(replay);
}

/* Its first byte cannot be read: what rots later in it ends the answer without a clean end. */
static void answer_damaged(struct replay *replay, enum err err)
{
    exchange_error(replay->exchange, 500, err == ERR_CORRUPT ? "stream_damaged" : "storage_fault",
        NULL, "the recording cannot be read from there on: %s; `tokenlog verify` tells more",
        err_text(err));
    replay_free(replay);
}

/* A whole answer was asked for and only a part of it exists: a 200 would be taken for all of it. */
static void answer_part(struct replay *replay)
{
    const struct row *row = stream_row(replay->stream);
    char url[STREAM_URL_BYTES];
    stream_url(&row->id, url);
    char code[64];
    (void)snprintf(code, sizeof code, "stream_%s", stream_state_name(row->state));
    name_stream(replay);
    exchange_error(replay->exchange, 409, code, NULL,
        "the answer is not whole (%.*s); what was received is at %s/events, and "
        "with the same key Tokenlog-On-Interrupted: restart asks anew, and continue, of a stream, "
        "goes on",
        SLICE_PRINT(row->reason), url);
    replay_free(replay);
}

/* A part of it is of use: it is so many whole frames. */
static bool is_in_frames(const struct row *row)
{
    enum framing framing;
    return row->is_sse || framing_of_type(row->content_type, &framing) == ERR_OK;
}

static enum err begin_provider(struct replay *replay)
{
    const struct row *row = stream_row(replay->stream);
    int64_t length = row->content_length;
    if (length < 0 && !is_in_frames(row) && stream_has_ended(replay->stream) &&
        replay_is_whole(row))
        length = (int64_t)row->bytes;
    int status = replay->status ? replay->status : (int)row->status;
    return exchange_begin(replay->exchange, status, row->content_type, length, row->head);
}

static enum err begin(struct replay *replay)
{
    const struct row *row = stream_row(replay->stream);
    TRY(add_stream_headers(replay));
    replay->has_begun = true;
    if (replay->format == REPLAY_PROVIDER)
        return begin_provider(replay);
    TRY(exchange_add_header(replay->exchange, SLICE("Cache-Control"), SLICE("no-store")));
    struct slice type = replay->format == REPLAY_SSE     ? SLICE("text/event-stream; charset=utf-8")
                        : replay->format == REPLAY_LINES ? SLICE("application/x-ndjson")
                        : row->content_type.size         ? row->content_type
                                                         : SLICE("application/octet-stream");
    return exchange_begin(replay->exchange, 200, type, -1, SLICE_NONE);
}

/* ── the body ───────────────────────────────────────────────────────────────────────────────── */

static void release_block(void *block)
{
    block_unref(block);
}

/* The index past the view's frames that end by `limit` in the block's bytes: a stored one has thousands. */
static uint32_t frames_within(const struct reader_view *view, size_t limit)
{
    uint32_t low = view->index, high = view->end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (view->block->frames[middle].end <= limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Frames that lie next to each other go as one piece: a provider's bytes need nothing in between, and
 * a rendering has its id lines. */
static enum err push_raw(struct replay *replay, const struct reader_view *view, size_t room)
{
    struct block *block = view->block;
    size_t start = (size_t)(block_frame(block, view->index).data - block->bytes) + replay->sent;
    uint32_t index = frames_within(view, start + room);
    bool is_partial = index == view->index;
    size_t size = is_partial ? room : block->frames[index - 1].end - start;
    if (size)
        TRY(exchange_push(replay->exchange, SLICE_NONE, slice_of(block->bytes + start, size),
            release_block, block_ref(block)));
    replay->sent = is_partial ? replay->sent + (uint32_t)size : 0;
    if (!is_partial)
        reader_take(replay->reader, index);
    return ERR_OK;
}

static bool is_continued(const struct reader_view *view)
{
    return view->block->frames[view->index].flags & FRAME_MORE;
}

/* ERR_LIMIT: not one more fits. */
static enum err push_sse(struct replay *replay, const struct reader_view *view, size_t room)
{
    struct rendering rendering;
    TRY(render_sse(view, room, &rendering));
    reader_take(replay->reader, rendering.end);
    if (rendering.size == 0) {
        free(rendering.bytes);
        return ERR_OK;
    }
    return exchange_push(replay->exchange, SLICE_NONE, slice_of(rendering.bytes, rendering.size),
        free, rendering.bytes);
}

/* A fragment of an opaque body as an event: base64, whole fragments only, so that ids count what
 * was received. */
static enum err push_opaque(struct replay *replay, const struct reader_view *view)
{
    struct slice frame = block_frame(view->block, view->index);
    uint64_t seq = block_seq(view->block, view->index);
    TRY(buf_append(&replay->parts, frame));
    bool is_whole = !is_continued(view);
    reader_take(replay->reader, view->index + 1);
    if (!is_whole)
        return ERR_OK;
    buf_clear(&replay->text);
    TRY(buf_printf(
        &replay->text, "id: %llu\nevent: tokenlog.bytes\ndata: ", (unsigned long long)seq + 1));
    TRY(base64_encode(buf_slice(&replay->parts), &replay->text));
    TRY(buf_append_text(&replay->text, "\n\n"));
    buf_clear(&replay->parts);
    return exchange_push(replay->exchange, SLICE_NONE, buf_slice(&replay->text), NULL, NULL);
}

static enum err push_end_event(struct replay *replay)
{
    const struct row *row = stream_visible_row(replay->stream);
    bool has_ended = stream_has_ended(replay->stream);
    buf_clear(&replay->text);
    TRY(buf_append_text(&replay->text, "event: tokenlog.end\n"));
    if (has_ended) /* who has received it need not come again: 204 */
        TRY(buf_printf(&replay->text, "id: %llu\n", (unsigned long long)row->events + 1));
    TRY(buf_append_text(&replay->text, "data: "));
    struct json_writer json;
    json_writer_init(&json, &replay->text);
    json_open(&json, '{');
    json_key(&json, "state");
    json_string(&json, slice_text(stream_state_name(row->state)));
    json_key(&json, "events");
    json_unsigned(&json, has_ended ? row->events : reader_seq(replay->reader));
    json_key(&json, "reason");
    if (row->reason.size)
        json_string(&json, row->reason);
    else
        json_null(&json);
    json_close(&json, '}');
    TRY(json.err);
    TRY(buf_append_text(&replay->text, "\n\n"));
    replay->is_ending = true;
    return exchange_push(replay->exchange, SLICE_NONE, buf_slice(&replay->text), NULL, NULL);
}

static void finish(struct replay *replay)
{
    if (replay->format == REPLAY_SSE) {
        if (!replay->is_ending && exchange_room(replay->exchange) < END_EVENT_BYTES_MAX)
            return; /* this send is full: `fill` comes again */
        if (!replay->is_ending && push_end_event(replay))
            exchange_finish(replay->exchange, false);
        else
            exchange_finish(replay->exchange, true);
        return;
    }
    /* A snapshot of a live stream is whole in itself. */
    bool has_ended = stream_has_ended(replay->stream);
    exchange_finish(replay->exchange,
        has_ended ? replay_is_whole(stream_row(replay->stream)) : replay->format == REPLAY_RAW);
}

static enum err push(struct replay *replay, const struct reader_view *view, size_t room)
{
    if (replay->format != REPLAY_SSE || view->is_derived)
        return push_raw(replay, view, room);
    return stream_row(replay->stream)->is_sse ? push_sse(replay, view, room)
                                              : push_opaque(replay, view);
}

/* What the caller counted by blank lines is looked for in the bytes.  answers how many were skipped */
static size_t skip_seen(struct replay *replay, const struct reader_view *view)
{
    size_t skipped = 0;
    for (uint32_t index = view->index; index < view->end; index++) {
        struct slice frame = block_frame(view->block, index);
        size_t size = blank_lines_skip(&replay->seen, frame);
        skipped += size;
        if (size < frame.size) {
            replay->sent = (uint32_t)size;
            if (index > view->index)
                reader_take(replay->reader, index);
            return skipped;
        }
    }
    reader_take(replay->reader, view->end);
    return skipped;
}

/* `text` carries one opaque event a send: the connection borrows it until it is sent. */
static bool is_one_a_send(const struct replay *replay)
{
    return replay->format == REPLAY_SSE && replay->text.size > 0;
}

/* ── lines: as many as make a send ───────────────────────────────────────────────────────────── */

static enum err append_row(struct replay *replay)
{
    CLEANUP(buf_deinit) struct buf encoded;
    struct row row = *stream_visible_row(replay->stream);
    buf_init(&encoded, ROW_BYTES_MAX);
    if (!stream_has_ended(replay->stream))
        row.events = stream_watermark(replay->stream);
    TRY(row_encode(&row, &encoded));
    replay->has_row = true;
    return transcript_write(TRANSCRIPT_JSONL,
        &(struct transcript_record){.kind = TRANSCRIPT_STREAM, .bytes = buf_slice(&encoded)},
        &replay->text);
}

static enum err append_event(struct replay *replay)
{
    struct reader_view view;
    TRY(reader_peek(replay->reader, &view));
    const struct transcript_record record = {.kind = TRANSCRIPT_EVENT,
        .seq = block_seq(view.block, view.index),
        .time_ns = view.block->frames[view.index].time_ns,
        .is_more = is_continued(&view),
        .bytes = block_frame(view.block, view.index)};
    TRY(transcript_write(TRANSCRIPT_JSONL, &record, &replay->text));
    reader_take(replay->reader, view.index + 1);
    return ERR_OK;
}

static enum err append_end(struct replay *replay)
{
    const struct row *row = stream_visible_row(replay->stream);
    bool has_ended = stream_has_ended(replay->stream);
    replay->is_ending = true;
    return transcript_write(TRANSCRIPT_JSONL,
        &(struct transcript_record){.kind = TRANSCRIPT_END,
            .id = row->id,
            .state = slice_text(stream_state_name(row->state)),
            .reason = row->reason,
            .event_count = has_ended ? row->events : reader_seq(replay->reader),
            .byte_count = row->bytes},
        &replay->text);
}

static void fill_lines(struct replay *replay)
{
    enum err err = replay->has_row ? ERR_OK : append_row(replay);
    while (!err && replay->text.size < LINES_BYTES)
        err = append_event(replay);
    if (err == ERR_CLOSED)
        err = append_end(replay);
    if (err == ERR_AGAIN)
        err = ERR_OK;
    if (!err && replay->text.size)
        err = exchange_push(replay->exchange, SLICE_NONE, buf_slice(&replay->text), NULL, NULL);
    if (err || replay->is_ending)
        exchange_finish(replay->exchange, !err);
}

/* How long a browser's EventSource waits before it comes again. */
static enum err push_retry(struct replay *replay)
{
    TRY(buf_printf(&replay->text, "retry: %u\n\n", replay->retry_ms));
    replay->retry_ms = 0;
    return exchange_push(replay->exchange, SLICE_NONE, buf_slice(&replay->text), NULL, NULL);
}

/* ── one send ───────────────────────────────────────────────────────────────────────────────── */

static void replay_fill(void *context, struct exchange *exchange)
{
    struct replay *replay = context;
    buf_clear(&replay->text); /* the last send is done */
    if (replay->format == REPLAY_LINES) {
        if (exchange_room(exchange) > 0)
            fill_lines(replay);
        return;
    }
    if (replay->retry_ms && exchange_room(exchange) > 0) {
        if (push_retry(replay))
            exchange_finish(exchange, false);
        return; /* `text` is being sent */
    }
    size_t room, skipped = 0;
    while ((room = exchange_room(exchange)) > 0 && !is_one_a_send(replay)) {
        struct reader_view view;
        enum err err = reader_peek(replay->reader, &view);
        if (err == ERR_AGAIN) {
            exchange_rest(exchange);
            return;
        }
        if (err == ERR_CLOSED) {
            finish(replay);
            return;
        }
        if (!err && replay->seen.left) {
            skipped += skip_seen(replay, &view);
            if (skipped < SKIP_BYTES_MAX)
                continue;
            exchange_wake(exchange);
            return;
        }
        if (!err) {
            err = push(replay, &view, room);
            if (err == ERR_LIMIT && room < SEND_ROOM_MIN)
                return; /* this send is full: `fill` comes again */
        }
        if (err) { /* what is visible was sent; the rest cannot be read: never a clean end */
            exchange_finish(exchange, false);
            return;
        }
    }
}

/* ── waiting, and the rest ───────────────────────────────────────────────────────────────────── */

/* Whether something was answered: now is the time for the head, or for an error in its place. */
static void try_begin(struct replay *replay)
{
    struct stream *stream = replay->stream;
    const struct row *row = stream_row(stream);
    if (!stream_tail(stream)) {
        struct reader_view view;
        enum err err = reader_peek(replay->reader, &view);
        if (err == ERR_AGAIN)
            return;
        if (err_is_fault(err)) {
            answer_damaged(replay, err);
            return;
        }
    }
    if (replay->format == REPLAY_PROVIDER) {
        if (!stream_head_is_visible(stream)) {
            struct reader_view view;
            enum err err = reader_peek(replay->reader, &view);
            if (err == ERR_AGAIN)
                return;
            if (err) {
                answer_never(replay);
                return;
            }
        }
        if ((row->status == 0 || row->status >= 400) && exchange_falls_back(replay->exchange)) {
            replay_free(replay);
            return;
        }
        if (row->status == 0) {
            answer_headless(replay);
            return;
        }
        bool is_part = stream_has_ended(stream) && !replay_is_whole(row);
        if (is_part && !is_in_frames(row) && replay->attached) {
            answer_part(replay);
            return;
        }
    }
    if (begin(replay)) {
        exchange_error(replay->exchange, 500, "internal", NULL, "the response head does not fit");
        replay_free(replay);
    }
}

static void replay_wake(void *context)
{
    struct replay *replay = context;
    if (replay->has_begun)
        exchange_wake(replay->exchange);
    else
        try_begin(replay);
}

static void replay_closed(void *context)
{
    struct replay *replay = context;
    if (replay->is_caller && !exchange_was_sent(replay->exchange))
        duplicates_left(replay->stream, !replay->attached);
    replay_free(replay);
}

static const struct responder responder = {replay_fill, replay_closed};

void replay_start(
    struct exchange *exchange, struct stream *stream, const struct replay_request *request)
{
    struct replay *replay = calloc(1, sizeof *replay);
    enum err err = replay ? reader_new(stream, request->from, request->follow, replay_wake, replay,
                                &replay->reader)
                          : ERR_NOMEM;
    if (err) {
        uint64_t watermark = stream_watermark(stream);
        bool is_live = !stream_has_ended(stream);
        stream_unref(stream);
        free(replay);
        if (err == ERR_LIMIT)
            exchange_error(exchange, 416, "offset_out_of_range", "from",
                "the stream has %llu events%s: ask for an offset up to that",
                (unsigned long long)watermark, is_live ? " so far" : "");
        else
            exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    if (request->format == REPLAY_SSE && stream_row(stream)->is_sse)
        reader_derive(replay->reader, render_sse_block);
    replay->exchange = exchange;
    replay->stream = stream;
    replay->format = request->format;
    replay->status = request->status;
    replay->attached = request->attached;
    replay->is_caller = request->is_caller;
    replay->retry_ms = request->format == REPLAY_SSE ? request->retry_ms : 0;
    replay->seen.left = request->seen;
    buf_init(&replay->parts, FRAGMENT_BYTES_MAX);
    buf_init(&replay->text, (size_t)FRAGMENT_BYTES_MAX * 2);
    exchange_hold(exchange, &responder, replay);
    reader_touches(replay->reader,
        (const void *[STREAM_TOUCHED_MAX]){replay, exchange, exchange_connection(exchange)});
    try_begin(replay);
}
