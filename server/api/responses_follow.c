/* responses_follow — from a sequence_number to an event's place.
 *
 *     number of event   0  1  2  –  3  4  5     (–: a comment has none)
 *     place             0  1  2  3  4  5  6
 *
 * Numbers rise with the places, and nearly always are the places. So the search begins at place N: if the
 * first number that it sees is not beyond N, nothing before it is; else it begins at place 0. */
#include "server/api/responses_follow.h"

#include <stdlib.h>

#include "protocol/dialect/responses_object.h"
#include "server/api/gather.h"

struct seeking {
    struct gather gather;
    uint64_t after, from;
    uint64_t place;   /* of the first event beyond `after`, if is_found */
    bool is_found;    /* an event beyond `after` */
    bool is_past;     /* an event at or before it was seen */
    bool is_at;       /* …at it */
    bool has_numbers; /* any was seen */
};

static void seeking_free(struct seeking *seeking)
{
    gather_deinit(&seeking->gather);
    free(seeking);
}

static enum err take_event(struct gather *gather, uint64_t seq, struct slice event)
{
    struct seeking *seeking = CONTAINER_OF(gather, struct seeking, gather);
    uint64_t number;
    if (responses_sequence_number(event, &number))
        return ERR_OK;
    seeking->has_numbers = true;
    if (number > seeking->after) {
        seeking->is_found = true;
        seeking->place = seq;
        return ERR_CLOSED;
    }
    seeking->is_past = true;
    seeking->is_at |= number == seeking->after;
    return ERR_OK;
}

static void answer_none(struct exchange *exchange, bool has_numbers)
{
    if (has_numbers)
        exchange_error(exchange, 416, "offset_out_of_range", "starting_after",
            "no event of this number is recorded: ask for what comes after one that you have "
            "received");
    else
        exchange_error(exchange, 400, "events_without_numbers", "starting_after",
            "this provider gave its events no sequence_number: read the recording at "
            "Tokenlog-Stream-Url/events, by place");
}

static void replay_from(struct exchange *exchange, struct stream *stream, uint64_t from)
{
    replay_start(exchange, stream,
        &(struct replay_request){.format = REPLAY_PROVIDER, .from = from, .follow = true});
}

static void seek(struct seeking *seeking, struct exchange *exchange, struct stream *stream);

static void sought(struct gather *gather, enum err err)
{
    struct seeking *seeking = CONTAINER_OF(gather, struct seeking, gather);
    struct exchange *exchange = gather->exchange;
    struct stream *stream = stream_ref(gather->stream);
    uint64_t next = reader_seq(gather->reader);
    bool has_numbers = seeking->has_numbers;
    bool is_too_far = seeking->from > 0 && !seeking->is_past;
    if (!err && is_too_far) {
        gather_deinit(gather);
        seeking->from = 0;
        seeking->is_found = false;
        seek(seeking, exchange, stream);
        return;
    }
    uint64_t from = seeking->is_found ? seeking->place : next;
    bool is_there = seeking->is_found || seeking->is_at;
    seeking_free(seeking);
    if (!err && is_there) {
        replay_from(exchange, stream, from);
        return;
    }
    stream_unref(stream);
    if (err)
        exchange_error(exchange, 500, "storage_fault", NULL,
            "the recording could not be read: %s; see `tokenlog verify`", err_text(err));
    else
        answer_none(exchange, has_numbers);
}

static void caller_gone(struct gather *gather)
{
    seeking_free(CONTAINER_OF(gather, struct seeking, gather));
}

static void seek(struct seeking *seeking, struct exchange *exchange, struct stream *stream)
{
    enum err err = gather_start(&seeking->gather, exchange, stream, seeking->from);
    if (!err)
        return;
    stream_unref(stream);
    seeking_free(seeking);
    exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
}

void responses_follow(struct exchange *exchange, struct stream *stream, uint64_t after)
{
    const struct row *row = stream_row(stream);
    uint64_t count = stream_watermark(stream);
    if (row->status && row->status < 400 && !row->is_sse) {
        stream_unref(stream);
        exchange_error(exchange, 400, "not_streamed", "stream",
            "this response was not asked for as a stream: get it without ?stream");
        return;
    }
    if (after == RESPONSES_FROM_START) {
        replay_from(exchange, stream, 0);
        return;
    }
    struct seeking *seeking = calloc(1, sizeof *seeking);
    if (!seeking) {
        stream_unref(stream);
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    seeking->after = after;
    seeking->from = after < count ? after : 0;
    seeking->gather.take = take_event;
    seeking->gather.done = sought;
    seeking->gather.gone = caller_gone;
    seek(seeking, exchange, stream);
}

/* ── the query ──────────────────────────────────────────────────────────────────────────────── */

static enum err read_stream(struct slice query, bool *is_streamed)
{
    struct slice text;
    *is_streamed = false;
    enum err err = query_get(query, "stream", &text);
    if (err == ERR_NOTFOUND || (!err && slice_equal(text, SLICE("false"))))
        return ERR_OK;
    TRY(err);
    *is_streamed = slice_equal(text, SLICE("true"));
    return *is_streamed ? ERR_OK : ERR_INVALID;
}

static enum err read_after(struct slice query, uint64_t *after)
{
    struct slice text;
    *after = RESPONSES_FROM_START;
    enum err err = query_get(query, "starting_after", &text);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    TRY(slice_u64(text, after));
    return *after == RESPONSES_FROM_START ? ERR_INVALID : ERR_OK;
}

enum err responses_read_query(struct exchange *exchange, bool *is_streamed, uint64_t *after)
{
    struct slice query = exchange_target(exchange).query;
    if (read_stream(query, is_streamed)) {
        exchange_error(exchange, 400, "invalid_stream", "stream", "`stream` is true or false");
        return ERR_INVALID;
    }
    bool is_valid = read_after(query, after) == ERR_OK;
    if (!is_valid || (*after != RESPONSES_FROM_START && !*is_streamed)) {
        exchange_error(exchange, 400, "invalid_offset", "starting_after",
            "`starting_after` is the sequence_number of the last event received: one decimal "
            "number, with stream=true");
        return ERR_INVALID;
    }
    return ERR_OK;
}
