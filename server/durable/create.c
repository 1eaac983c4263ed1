/* create — PUT: a stream, or the certainty that it is there as asked; a fork is a stream whose first events
 * are another one's.
 *
 *   a fork: its source is found ─▶ what a sub-offset takes of the event behind the fork is read
 *   the name is claimed ─▶ taken: 200 as asked, 409 otherwise
 *                       └▶ free:  the source's count, the row, what it begins with: in one turn ─▶ 201
 *
 * Of the event that a sub-offset lies in, the fork gets a copy of the beginning as its own first event: so
 * every stretch of a stream is whole events of one stream. A row that says it has not begun is of a
 * creation that a crash cut off before its first event: it is taken away by whoever finds it. */
#include "server/durable/create.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/data/messages.h"
#include "protocol/data/timestamp.h"
#include "server/durable/recording.h"

enum { URL_BYTES_MAX = 16 * 1024 /* of Location: a Host and a path, which fit a request's head */ };

static struct creation *creation_of(struct call *call)
{
    return CONTAINER_OF(call, struct creation, call);
}

static void creation_end(struct call *call)
{
    struct creation *creation = creation_of(call);
    course_close(creation->course);
    stream_unref(creation->source);
    buf_deinit(&creation->joined);
    buf_deinit(&creation->source_key);
    buf_deinit(&creation->prefix);
    call_deinit(call);
    free(creation);
}

/* ── fields; false: answered ────────────────────────────────────────────────────────────────── */

static bool refuse_life(struct creation *creation, const char *name)
{
    call_refuse(&creation->call, 400, "invalid_expiry", name,
        "send Stream-TTL, a whole number of seconds, or Stream-Expires-At, a time by RFC 3339; not "
        "both");
    return false;
}

static bool read_life(struct creation *creation)
{
    struct slice ttl = exchange_header(creation->call.exchange, "Stream-TTL");
    struct slice expires = exchange_header(creation->call.exchange, "Stream-Expires-At");
    creation->has_ttl = ttl.data;
    if (ttl.data && (expires.data || durable_number(ttl, &creation->ttl_s)))
        return refuse_life(creation, "Stream-TTL");
    if (expires.data && (timestamp_parse(expires, &creation->expires_ns) || !creation->expires_ns))
        return refuse_life(creation, "Stream-Expires-At");
    return true;
}

static bool read_fields(struct creation *creation)
{
    struct call *call = &creation->call;
    creation->content_type = exchange_header(call->exchange, "Content-Type");
    creation->closes = durable_is_true(exchange_header(call->exchange, "Stream-Closed"));
    if (creation->content_type.size > CONTENT_TYPE_BYTES_MAX) {
        call_refuse(call, 400, "invalid_content_type", "Content-Type",
            "a media type has at most %d bytes here", CONTENT_TYPE_BYTES_MAX);
        return false;
    }
    return read_life(creation) && fork_read_fields(creation);
}

/* ── the answer ─────────────────────────────────────────────────────────────────────────────── */

static void add_location(struct call *call)
{
    CLEANUP(buf_deinit) struct buf url;
    struct slice path = exchange_target(call->exchange).path;
    buf_init(&url, URL_BYTES_MAX);
    enum err err = durable_write_origin(call->api, call->exchange, &url);
    if (!err)
        err = buf_append(&url, path);
    if (!err)
        call_add(call, "Location", buf_slice(&url));
}

static void answer(struct call *call, int status)
{
    struct writer_state state;
    enum err err = entry_state(call->stream, &state);
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    add_location(call);
    call_add_offset(call, entry_tail(call->stream));
    if (state.is_closed)
        call_add_true(call, "Stream-Closed");
    call_reply(call, status, stream_row(call->stream)->content_type, SLICE_NONE);
}

static void answer_created(struct call *call)
{
    answer(call, 201);
}

static void answer_there(struct call *call)
{
    answer(call, 200);
}

/* ── a name that is taken ───────────────────────────────────────────────────────────────────── */

/* What a fork was not told to be, it got from its source. */
static bool is_life_as_asked(const struct creation *creation, const struct writer_state *state)
{
    bool is_asked = creation->has_ttl || creation->expires_ns;
    if (creation_is_fork(creation) && !is_asked)
        return true;
    return creation->has_ttl == state->has_ttl && creation->ttl_s == state->ttl_s &&
           creation->expires_ns == state->expires_ns;
}

static bool is_origin_as_asked(const struct creation *creation, const struct writer_state *state)
{
    if (!creation_is_fork(creation))
        return state->depth == 0;
    return state->depth > 0 && slice_equal(state->source_name, buf_slice(&creation->source_key)) &&
           state->sub_offset == creation->sub_offset &&
           (!creation->has_fork_at || state->inherited == creation->fork_at);
}

static bool is_as_asked(const struct creation *creation, const struct writer_state *state)
{
    struct slice type = creation->content_type;
    if (!type.size && !creation_is_fork(creation))
        type = SLICE("application/octet-stream");
    return (!type.size ||
               durable_is_same_type(type, stream_row(creation->call.stream)->content_type)) &&
           creation->closes == state->is_closed && is_life_as_asked(creation, state) &&
           is_origin_as_asked(creation, state);
}

static void compare(struct creation *creation, const struct writer_state *state)
{
    if (is_as_asked(creation, state))
        call_wait(&creation->call, answer_there);
    else
        call_refuse(&creation->call, 409, "stream_exists", NULL,
            "a stream is at this path already, with another media type, life, origin, or state of "
            "closure");
}

/* ── a name that is free ────────────────────────────────────────────────────────────────────── */

static struct slice type_of(const struct creation *creation)
{
    if (creation_is_fork(creation))
        return stream_row(creation->source)->content_type;
    return creation->content_type.size ? creation->content_type : SLICE("application/octet-stream");
}

/* The body as an event. False: answered. */
static bool read_body(struct creation *creation, struct slice *event)
{
    struct call *call = &creation->call;
    const char *why = NULL;
    size_t count;
    *event = exchange_body(call->exchange);
    if (event->size == 0 || !durable_is_json(type_of(creation)))
        return true;
    buf_init(&creation->joined, event->size);
    enum err err = messages_join(*event, &creation->joined, &count, &why);
    *event = buf_slice(&creation->joined);
    if (err_is_fault(err))
        call_refuse_storage(call, ERR_LIMIT);
    else if (err)
        call_refuse(call, 400, "invalid_json", NULL, "the body is not JSON: %s", why);
    return !err;
}

static void make_state(
    const struct creation *creation, const struct writer_state *source, struct writer_state *out)
{
    bool is_asked = creation->has_ttl || creation->expires_ns;
    *out = (struct writer_state){.is_closed = creation->closes,
        .is_begun = true,
        .has_ttl = creation->has_ttl,
        .ttl_s = creation->ttl_s,
        .expires_ns = creation->expires_ns};
    if (!creation_is_fork(creation))
        return;
    if (!is_asked) {
        out->has_ttl = source->has_ttl;
        out->ttl_s = source->ttl_s;
        out->expires_ns = source->expires_ns;
    }
    out->depth = source->depth + 1;
    out->source = stream_row(creation->source)->id;
    out->inherited = creation->fork_at;
    out->sub_offset = creation->sub_offset;
    out->source_name = buf_slice(&creation->source_key);
}

/* After which nobody is to find it; the row counts from its creation or, with a TTL, its last use. It has
 * no word for a life of 0 s. */
static int64_t life_s(const struct creation *creation, const struct writer_state *state)
{
    int64_t now_ns = loop_wall_ns(creation->call.api->loop);
    if (state->has_ttl)
        return state->ttl_s ? (int64_t)state->ttl_s : 1;
    if (!state->expires_ns)
        return 0;
    return state->expires_ns > now_ns ? (state->expires_ns - now_ns) / 1000000000 + 1 : 1;
}

static enum err create_row(
    struct creation *creation, struct writer_state *state, bool is_begun, struct stream **out)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, WRITER_STATE_BYTES_MAX);
    state->is_begun = is_begun;
    TRY(writer_state_encode(state, &encoded));
    state->is_begun = true;
    struct row row = {.ttl_s = life_s(creation, state),
        .is_sliding = state->has_ttl,
        .key = buf_slice(&creation->call.key),
        .content_type = type_of(creation),
        .attempt = creation->attempt,
        .previous = creation->previous,
        .writer_state = buf_slice(&encoded)};
    return append_create(
        creation->call.api->hub, exchange_project(creation->call.exchange), &row, out);
}

/* What it begins with; the last of it says that it has begun. */
static enum err write_content(
    struct creation *creation, struct stream *stream, struct slice body, struct writer_state *state)
{
    struct slice prefix = buf_slice(&creation->prefix);
    if (prefix.size && body.size)
        TRY(append_event(stream, prefix, SLICE_NONE));
    if (prefix.size || body.size)
        return entry_write(stream, body.size ? body : prefix, state);
    return ERR_OK;
}

static enum err write_stream(
    struct creation *creation, struct slice body, struct writer_state *state, struct stream **out)
{
    bool has_content = body.size || creation->prefix.size;
    TRY(create_row(creation, state, !has_content, out));
    enum err err = write_content(creation, *out, body, state);
    if (!err)
        return ERR_OK;
    if (append_delete(*out, "not_created"))
        LOG(creation->call.api->log, LOG_WARNING, "creation_left_behind",
            LOG_ID("stream", &stream_row(*out)->id));
    *out = stream_unref(*out);
    return err;
}

/* In one turn, and in this order: the source's count, the row, the content. What fails takes back what
 * was done before. */
static enum err write_all(struct creation *creation, struct slice body, struct writer_state *state)
{
    if (creation_is_fork(creation))
        TRY(entry_add_fork(creation->source));
    enum err err = write_stream(creation, body, state, &creation->call.stream);
    if (err && creation_is_fork(creation))
        entry_release(creation->source);
    return err;
}

static void create(struct creation *creation)
{
    struct call *call = &creation->call;
    struct writer_state source = {0}, state;
    struct slice body;
    enum err err = append_admits(call->api->hub);
    if (!err && creation->source)
        err = entry_state(creation->source, &source);
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    if ((creation_is_fork(creation) && !fork_check(creation, &source)) ||
        !read_body(creation, &body))
        return;
    make_state(creation, &source, &state);
    err = write_all(creation, body, &state);
    if (err == ERR_LIMIT)
        call_refuse(call, 413, "append_too_large", NULL,
            "one append is more than the journal takes at once: send it in several");
    else if (err)
        call_refuse_storage(call, err);
    else
        call_wait(call, answer_created);
}

/* ── the claim ──────────────────────────────────────────────────────────────────────────────── */

static void claim(struct call *call);

static void taken_away(struct removal *removal, enum err err)
{
    struct call *call = CONTAINER_OF(removal, struct call, removal);
    call->stream = stream_unref(call->stream);
    if (!call->exchange)
        call_end(call);
    else if (err)
        call_refuse_storage(call, err);
    else
        claim(call);
}

static void take_away(struct creation *creation)
{
    struct call *call = &creation->call;
    if (creation->tries++ == CREATION_TRIES) {
        call_refuse_storage(call, ERR_AGAIN);
        return;
    }
    call->removal.done = taken_away;
    entry_remove(call->stream, "expired", &call->removal);
}

/* The name has, or had, a stream. */
static void judge(struct creation *creation)
{
    struct call *call = &creation->call;
    const struct row *row = stream_row(call->stream);
    struct writer_state state;
    enum err err = entry_state(call->stream, &state);
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    switch (entry_standing(call->stream, &state, loop_wall_ns(call->api->loop))) {
    case ENTRY_ABSENT:
        creation->attempt = row->attempt + 1;
        creation->previous = row->id;
        call->stream = stream_unref(call->stream);
        create(creation);
        return;
    case ENTRY_KEPT:
        call_refuse(call, 409, "stream_deleted", NULL,
            "the stream of this path was deleted, and is kept for the forks that were made of it: "
            "the "
            "path is free again once they are deleted too");
        return;
    case ENTRY_OVER: take_away(creation); return;
    case ENTRY_HERE: compare(creation, &state); return;
    }
}

static void claimed(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct call *call = CONTAINER_OF(lookup, struct call, lookup);
    struct creation *creation = creation_of(call);
    call->stream = stream;
    creation->attempt = 1;
    if (!call->exchange)
        call_end(call);
    else if (err == ERR_NOTFOUND)
        create(creation);
    else if (err)
        call_refuse_storage(call, err);
    else
        judge(creation);
}

static void claim(struct call *call)
{
    call->lookup.done = claimed;
    hub_claim(
        call->api->hub, exchange_project(call->exchange), buf_slice(&call->key), &call->lookup);
}

void durable_put(struct api *api, struct exchange *exchange, struct slice name)
{
    if (recording_refuse(exchange, name))
        return;
    struct creation *creation = calloc(1, sizeof *creation);
    if (!creation) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    buf_init(&creation->source_key, KEY_BYTES_MAX + 1);
    call_open(&creation->call, api, exchange, creation_end);
    if (!call_name(&creation->call, name) || !read_fields(creation))
        return;
    if (creation_is_fork(creation))
        fork_find_source(creation, claim);
    else
        claim(&creation->call);
}
