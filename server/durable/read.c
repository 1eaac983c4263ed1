/* read — GET and HEAD: what there is from an offset on, at once (catch-up) or when there is some
 * (long-poll).
 *
 *   gather whole events into `text`, about READ_BYTES_MAX ─▶ 200, next offset, up to date?, closed?
 *     ├ nothing there, long-poll ─▶ parked, without a thread ─▶ gather again │ its time is over ─▶ 204
 *     └ the first event alone is larger ─▶ 200, and it is sent as it is read
 *
 * The head says what held when it was written. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/data/timestamp.h"
#include "server/durable/reading.h"
#include "server/durable/recording.h"

enum {
    ETAG_BYTES = ID_TEXT_BYTES + 2 * 17 + 8, /* quotes, ID, two offsets, ":c" */
    OFFSET_RAW_BYTES_MAX = 64,               /* of the parameter, decoded */
    BRACKET_BYTES = 3,                       /* around messages, and a comma between them */
};
#define CACHE_SHARED  "public, max-age=60, stale-while-revalidate=300"
#define CACHE_PRIVATE "private, max-age=60, stale-while-revalidate=300"

static struct reading *reading_of(struct call *call)
{
    return CONTAINER_OF(call, struct reading, call);
}

static void reading_end(struct call *call)
{
    struct reading *reading = reading_of(call);
    timer_cancel(call->api->loop, &reading->timer);
    course_close(reading->course);
    buf_deinit(&reading->text);
    call_deinit(call);
    free(reading);
}

/* ── what is read ───────────────────────────────────────────────────────────────────────────── */

bool reading_is_closed(const struct reading *reading)
{
    const struct stream *stream = reading->call.stream;
    struct writer_state state;
    if (!append_is_appended(stream))
        return stream_has_ended(stream);
    return entry_state_visible(stream, &state) == ERR_OK && state.is_closed;
}

bool reading_is_gone(const struct reading *reading)
{
    return stream_is_deleted(reading->call.stream);
}

struct slice reading_type(const struct reading *reading)
{
    const struct stream *stream = reading->call.stream;
    struct slice type = stream_row(stream)->content_type;
    return type.size && append_is_appended(stream) ? type : SLICE("application/octet-stream");
}

/* ── the answer's head ──────────────────────────────────────────────────────────────────────── */

static void add_place(struct reading *reading, uint64_t at)
{
    struct call *call = &reading->call;
    call_add_offset(call, at);
    if (at < entry_tail_visible(call->stream))
        return;
    call_add_true(call, "Stream-Up-To-Date");
    if (reading_is_closed(reading))
        call_add_true(call, "Stream-Closed");
}

static void add_cursor(struct reading *reading)
{
    if (reading->mode == READ_LONG_POLL)
        call_add_number(&reading->call, "Stream-Cursor", reading->cursor);
}

static void make_etag(const struct reading *reading, char out[ETAG_BYTES])
{
    struct stream *stream = reading->call.stream;
    bool is_end = reading->end >= entry_tail_visible(stream) && reading_is_closed(reading);
    char id[ID_TEXT_BYTES];
    id_format(&stream_row(stream)->id, id);
    (void)snprintf(out, ETAG_BYTES, "\"%s:%" PRIx64 ":%" PRIx64 "%s\"", id, reading->from,
        reading->end, is_end ? ":c" : "");
}

/* A list of tags, weak ones too (RFC 9110 §13.1.2). */
static bool is_known(const struct reading *reading, const char *etag)
{
    struct slice known = exchange_header(reading->call.exchange, "If-None-Match");
    return reading->mode == READ_CATCH_UP && known.size &&
           (slice_find(known, slice_text(etag)) >= 0 || slice_equal(known, SLICE("*")));
}

/* What is at the tail changes with the next append: nobody is to keep it. */
static void add_caching(struct reading *reading, const char *etag)
{
    struct call *call = &reading->call;
    bool is_moving = reading->is_now || reading->end == reading->from;
    call_add(call, "Cache-Control",
        is_moving                       ? SLICE("no-store")
        : auth_is_open(call->api->auth) ? SLICE(CACHE_SHARED)
                                        : SLICE(CACHE_PRIVATE));
    if (!reading->is_now)
        call_add(call, "ETag", slice_text(etag));
}

static void answer_nothing(struct reading *reading)
{
    struct call *call = &reading->call;
    add_place(reading, reading->from);
    add_cursor(reading);
    call_add(call, "Cache-Control", SLICE("no-store"));
    call_reply(call, 204, SLICE_NONE, SLICE_NONE);
}

/* ── one large event ────────────────────────────────────────────────────────────────────────── */

static void large_fill(void *context, struct exchange *exchange);

static void large_closed(void *context)
{
    struct reading *reading = context;
    reading->call.exchange = NULL;
    call_end(&reading->call);
}

static const struct responder large_responder = {large_fill, large_closed};

static enum err large_more(struct reading *reading)
{
    struct slice bytes;
    bool is_last;
    if (course_at(reading->course) == reading->end)
        return ERR_CLOSED;
    TRY(course_peek(reading->course, &bytes, &is_last));
    TRY(buf_append(&reading->text, bytes));
    course_take(reading->course);
    return is_last && reading->is_json ? buf_append_byte(&reading->text, ']') : ERR_OK;
}

/* What was pushed has been sent when `fill` comes. */
static void large_fill(void *context, struct exchange *exchange)
{
    struct reading *reading = context;
    reading->sent += reading->pushed;
    reading->pushed = 0;
    enum err err = ERR_OK;
    if (reading->sent == reading->text.size) {
        buf_clear(&reading->text);
        reading->sent = 0;
        err = large_more(reading);
    }
    if (err == ERR_AGAIN) {
        exchange_rest(exchange);
        return;
    }
    size_t room = exchange_room(exchange);
    struct slice rest = slice_sub(buf_slice(&reading->text), reading->sent, room);
    if (!err && rest.size) {
        err = exchange_push(exchange, SLICE_NONE, rest, NULL, NULL);
        reading->pushed = err ? 0 : rest.size;
    }
    if (err)
        exchange_finish(exchange, err == ERR_CLOSED);
}

static void answer_large(struct reading *reading)
{
    struct call *call = &reading->call;
    reading->is_answering = true;
    exchange_release(call->exchange);
    exchange_hold(call->exchange, &large_responder, reading);
    if (exchange_begin(call->exchange, 200, reading_type(reading), -1, SLICE_NONE)) {
        call_refuse(call, 500, "internal", NULL, "the response head does not fit");
        return;
    }
}

/* ── gathering ──────────────────────────────────────────────────────────────────────────────── */

static void answer_gathered(struct reading *reading)
{
    struct call *call = &reading->call;
    char etag[ETAG_BYTES];
    make_etag(reading, etag);
    add_caching(reading, etag);
    add_place(reading, reading->end);
    add_cursor(reading);
    if (is_known(reading, etag)) {
        call_reply(call, 304, SLICE_NONE, SLICE_NONE);
    } else if (reading->is_large) {
        answer_large(reading);
    } else {
        reading->text.size = reading->end_size;
        if (reading->is_json && buf_append_byte(&reading->text, ']'))
            call_refuse_storage(call, ERR_LIMIT);
        else
            call_reply(call, 200, reading_type(reading), buf_slice(&reading->text));
    }
}

static bool is_full(const struct reading *reading)
{
    return reading->text.size >= READ_BYTES_MAX;
}

/* ERR_CLOSED: that is all. ERR_OK: enough. */
static enum err gather(struct reading *reading)
{
    while (!is_full(reading)) {
        struct slice bytes;
        bool is_last;
        TRY(course_peek(reading->course, &bytes, &is_last));
        bool is_between = reading->text.size == reading->end_size;
        if (is_between && reading->is_json && reading->end > reading->from)
            TRY(buf_append_byte(&reading->text, ','));
        TRY(buf_append(&reading->text, bytes));
        course_take(reading->course);
        if (is_last) {
            reading->end = course_at(reading->course);
            reading->end_size = reading->text.size;
        }
    }
    reading->is_large = reading->end == reading->from;
    reading->end += reading->is_large;
    return ERR_OK;
}

/* Something may have come just now, of which the rest is being read. */
static void is_timed_out(struct timer *timer)
{
    struct reading *reading = CONTAINER_OF(timer, struct reading, timer);
    if (reading->end > reading->from)
        answer_gathered(reading);
    else
        answer_nothing(reading);
}

static void park(struct reading *reading)
{
    struct api *api = reading->call.api;
    if (reading->timer.index == 0)
        timer_set(api->loop, &reading->timer,
            loop_now_ns(api->loop) + api->config->long_poll_timeout_ms * 1000000);
    course_park(reading->course);
}

static void proceed(struct reading *reading)
{
    struct call *call = &reading->call;
    enum err err = gather(reading);
    if (err == ERR_AGAIN)
        return;
    bool is_empty = err == ERR_CLOSED && reading->end == reading->from;
    if (err && err != ERR_CLOSED)
        call_refuse_storage(call, err);
    else if (!is_empty || reading->mode == READ_CATCH_UP)
        answer_gathered(reading);
    else if (reading_is_closed(reading))
        answer_nothing(reading);
    else if (reading_is_gone(reading))
        call_refuse(call, 404, "stream_not_found", NULL, "the stream was deleted");
    else
        park(reading);
}

static void reading_wake(void *context)
{
    struct reading *reading = context;
    if (reading->is_answering)
        exchange_wake(reading->call.exchange);
    else
        proceed(reading);
}

/* A caller who goes while nothing of ours is under way is not waited for. */
static void gone(void *context)
{
    struct reading *reading = context;
    reading->call.exchange = NULL;
    call_end(&reading->call);
}

static const struct responder parked = {NULL, gone};

static void start_gathering(struct reading *reading)
{
    struct call *call = &reading->call;
    buf_init(&reading->text, READ_BYTES_MAX + FRAME_BYTES_MAX + BRACKET_BYTES);
    enum err err = course_new(
        stream_ref(call->stream), reading->from, reading_wake, reading, &reading->course);
    if (err)
        stream_unref(call->stream);
    if (!err && reading->is_json)
        err = buf_append_byte(&reading->text, '[');
    if (err) {
        call_refuse_storage(call, ERR_LIMIT);
        return;
    }
    reading->end = reading->from;
    reading->end_size = reading->text.size;
    exchange_release(call->exchange);
    exchange_hold(call->exchange, &parked, reading);
    proceed(reading);
}

/* ── HEAD ───────────────────────────────────────────────────────────────────────────────────── */

static void answer_head(struct reading *reading)
{
    struct call *call = &reading->call;
    struct writer_state state = {0};
    char expires[TIMESTAMP_TEXT_BYTES];
    if (append_is_appended(call->stream) && entry_state_visible(call->stream, &state))
        state = (struct writer_state){0};
    call_add_offset(call, entry_tail_visible(call->stream));
    if (reading_is_closed(reading))
        call_add_true(call, "Stream-Closed");
    if (state.has_ttl)
        call_add_number(call, "Stream-TTL", state.ttl_s);
    if (state.expires_ns) {
        timestamp_format(state.expires_ns, expires);
        call_add(call, "Stream-Expires-At", slice_text(expires));
    }
    call_add(call, "Cache-Control", SLICE("no-store"));
    call_reply(call, 200, reading_type(reading), SLICE_NONE);
}

/* ── the request ────────────────────────────────────────────────────────────────────────────── */

static void answer_now(struct reading *reading)
{
    struct call *call = &reading->call;
    add_place(reading, reading->from);
    call_add(call, "Cache-Control", SLICE("no-store"));
    call_reply(call, 200, reading_type(reading), reading->is_json ? SLICE("[]") : SLICE_NONE);
}

static void start(struct call *call)
{
    struct reading *reading = reading_of(call);
    reading->is_json =
        durable_is_json(stream_row(call->stream)->content_type) && append_is_appended(call->stream);
    if (slice_equal(exchange_request(call->exchange)->method, SLICE("HEAD"))) {
        answer_head(reading);
        return;
    }
    stream_touch(call->stream);
    uint64_t tail = entry_tail_visible(call->stream);
    if (reading->is_now)
        reading->from = tail;
    if (reading->from > tail)
        call_refuse(call, 400, "invalid_offset", "offset",
            "the offset is past the end of the stream: it is none that was given out for it");
    else if (reading->mode == READ_LIVE)
        live_start(reading);
    else if (reading->mode == READ_CATCH_UP && reading->is_now)
        answer_now(reading);
    else
        start_gathering(reading);
}

static bool refuse_query(struct reading *reading, const char *name, const char *message)
{
    call_refuse(&reading->call, 400, "invalid_query", name, "%s", message);
    return false;
}

static bool read_offset(struct reading *reading, struct slice query)
{
    struct slice raw;
    CLEANUP(buf_deinit) struct buf offset;
    buf_init(&offset, OFFSET_RAW_BYTES_MAX);
    enum err err = query_get(query, "offset", &raw);
    reading->has_offset = err != ERR_NOTFOUND;
    if (!reading->has_offset)
        return true;
    if (!err)
        err = percent_decode(raw, true, &offset);
    if (!err)
        err = durable_offset_parse(buf_slice(&offset), &reading->from, &reading->is_now);
    return !err ||
           refuse_query(reading, "offset",
               "offset is one that this server has given out, or -1, or now, and sent once");
}

static bool read_mode(struct reading *reading, struct slice query)
{
    struct slice live;
    enum err err = query_get(query, "live", &live);
    if (err == ERR_NOTFOUND)
        return true;
    bool is_long_poll = !err && slice_equal(live, SLICE("long-poll"));
    if (!is_long_poll && (err || !slice_equal(live, SLICE("sse"))))
        return refuse_query(reading, "live", "live is long-poll or sse, and sent once");
    reading->mode = is_long_poll ? READ_LONG_POLL : READ_LIVE;
    return reading->has_offset ||
           refuse_query(reading, "offset", "with `live` an offset is needed: -1 is the beginning");
}

static bool read_query(struct reading *reading)
{
    struct slice query = exchange_target(reading->call.exchange).query, cursor = SLICE_NONE;
    struct loop *loop = reading->call.api->loop;
    uint32_t random;
    if (!read_offset(reading, query) || !read_mode(reading, query))
        return false;
    if (query_get(query, "cursor", &cursor) == ERR_INVALID)
        return refuse_query(reading, "cursor", "cursor is sent once");
    loop_random(loop, &random, sizeof random);
    reading->cursor = durable_cursor(loop_wall_ns(loop), cursor, random);
    return true;
}

/* ── recordings ─────────────────────────────────────────────────────────────────────────────── */

/* The proxy protocol's word for what was recorded; call_add copies. */
static void start_recording(struct call *call)
{
    const struct row *row = stream_visible_row(call->stream);
    if (row && row->content_type.size)
        call_add(call, "Upstream-Content-Type", row->content_type);
    start(call);
}

static void recording_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct call *call = CONTAINER_OF(lookup, struct call, lookup);
    call->stream = stream;
    bool is_gone = !err && stream_is_deleted(stream);
    bool is_written = !err && append_is_appended(stream);
    if (!call->exchange)
        call_end(call);
    else if (err && err != ERR_NOTFOUND)
        call_refuse_storage(call, err);
    else if (err || is_written)
        call_refuse(call, 404, "stream_not_found", NULL, "no recording of this ID is known here");
    else if (is_gone)
        call_refuse(call, 410, "stream_deleted", NULL, "the recording was deleted");
    else
        start_recording(call);
}

static void find(struct reading *reading, struct slice name)
{
    struct call *call = &reading->call;
    struct slice text;
    struct id id;
    if (!recording_is_named(name, &text)) {
        if (call_name(call, name))
            call_find(call, start);
    } else if (id_parse(text, &id)) {
        call_refuse(call, 404, "stream_not_found", NULL, "no recording of this ID is known here");
    } else {
        call->lookup.done = recording_found;
        hub_open(call->api->hub, exchange_project(call->exchange), &id, &call->lookup);
    }
}

void durable_get(struct api *api, struct exchange *exchange, struct slice name)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    reading->timer.fire = is_timed_out;
    call_open(&reading->call, api, exchange, reading_end);
    if (read_query(reading))
        find(reading, name);
}
