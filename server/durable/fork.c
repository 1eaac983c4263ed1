/* fork — the source of a stream that is to be created: found, judged, and where the fork lies inside an
 * event, read. */
#include "protocol/base/own.h"
#include "protocol/data/messages.h"
#include "server/durable/create.h"

bool creation_is_fork(const struct creation *creation)
{
    return creation->source_name.size > 0;
}

/* ── fields ─────────────────────────────────────────────────────────────────────────────────── */

static bool refuse_field(struct creation *creation, const char *name, const char *what)
{
    call_refuse(&creation->call, 400, "invalid_fork", name, "%s %s", name, what);
    return false;
}

/* The path of a stream of this server. */
static enum err read_source(struct slice path, struct buf *key)
{
    static const struct slice root = SLICE("/v1/stream/");
    if (!slice_has_prefix(path, root))
        return ERR_INVALID;
    return durable_key(slice_sub(path, root.size, path.size), key);
}

static bool read_places(struct creation *creation, struct slice offset, struct slice sub_offset)
{
    bool is_now = false;
    creation->has_fork_at = offset.data;
    if (offset.data && (durable_offset_parse(offset, &creation->fork_at, &is_now) || is_now))
        return refuse_field(
            creation, "Stream-Fork-Offset", "is an offset that this server has given out");
    if (sub_offset.data && durable_number(sub_offset, &creation->sub_offset))
        return refuse_field(creation, "Stream-Fork-Sub-Offset",
            "is a number of bytes, or of messages of a stream of JSON");
    return true;
}

bool fork_read_fields(struct creation *creation)
{
    struct exchange *exchange = creation->call.exchange;
    struct slice from = exchange_header(exchange, "Stream-Forked-From");
    struct slice offset = exchange_header(exchange, "Stream-Fork-Offset");
    struct slice sub_offset = exchange_header(exchange, "Stream-Fork-Sub-Offset");
    if (!from.data)
        return !(offset.data || sub_offset.data) ||
               refuse_field(creation, "Stream-Forked-From", "is needed with Stream-Fork-…");
    creation->source_name = from;
    if (read_source(from, &creation->source_key) || creation->source_key.size > KEY_BYTES_MAX)
        return refuse_field(creation, "Stream-Forked-From",
            "is the path of another stream of this server: /v1/stream/…");
    return read_places(creation, offset, sub_offset);
}

/* ── the prefix ─────────────────────────────────────────────────────────────────────────────── */

static void prefix_done(struct creation *creation, bool has_failed)
{
    creation->has_prefix_failed = has_failed;
    creation->course = course_close(creation->course);
    if (creation->call.exchange)
        creation->call.next(&creation->call);
    else
        call_end(&creation->call);
}

/* Of the whole event, what is asked for. */
static void cut_prefix(struct creation *creation)
{
    size_t size = creation->sub_offset;
    enum err err = ERR_OK;
    if (durable_is_json(stream_row(creation->source)->content_type))
        err = messages_prefix(buf_slice(&creation->prefix), creation->sub_offset, &size);
    else if (creation->sub_offset > creation->prefix.size)
        err = ERR_LIMIT;
    if (!err)
        creation->prefix.size = size;
    prefix_done(creation, err);
}

static void read_prefix(void *context)
{
    struct creation *creation = context;
    struct slice bytes;
    bool is_last = false;
    enum err err = ERR_OK;
    while (!is_last) {
        err = course_peek(creation->course, &bytes, &is_last);
        if (err == ERR_AGAIN)
            return;
        if (!err)
            err = buf_append(&creation->prefix, bytes);
        if (err)
            break;
        course_take(creation->course);
    }
    if (!err)
        cut_prefix(creation);
    else if (err == ERR_CLOSED)
        prefix_done(creation, true);
    else if (creation->call.exchange)
        call_refuse_storage(&creation->call, err);
    else
        call_end(&creation->call);
}

static void begin_prefix(struct creation *creation)
{
    struct stream *source = creation->source;
    uint64_t tail = entry_tail_visible(source);
    uint64_t at = creation->has_fork_at ? creation->fork_at : tail;
    if (at >= tail) {
        prefix_done(creation, true);
        return;
    }
    buf_init(&creation->prefix, (size_t)creation->call.api->config->body_bytes_max);
    enum err err = course_new(stream_ref(source), at, read_prefix, creation, &creation->course);
    if (err) {
        stream_unref(source);
        call_refuse_storage(&creation->call, err);
        return;
    }
    read_prefix(creation);
}

/* ── the source ─────────────────────────────────────────────────────────────────────────────── */

static void source_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct creation *creation =
        CONTAINER_OF(CONTAINER_OF(lookup, struct call, lookup), struct creation, call);
    creation->source = stream;
    if (!creation->call.exchange)
        call_end(&creation->call);
    else if (err && err != ERR_NOTFOUND)
        call_refuse_storage(&creation->call, err);
    else if (!err && creation->sub_offset && stream_visible_row(stream) &&
             !stream_is_deleted(stream))
        begin_prefix(creation);
    else
        prefix_done(creation, false);
}

void fork_find_source(struct creation *creation, void (*next)(struct call *call))
{
    struct call *call = &creation->call;
    call->next = next;
    call->lookup.done = source_found;
    hub_claim(call->api->hub, exchange_project(call->exchange), buf_slice(&creation->source_key),
        &call->lookup);
}

static bool refuse_source(struct creation *creation, bool is_kept)
{
    if (is_kept)
        call_refuse(&creation->call, 409, "source_deleted", "Stream-Forked-From",
            "the stream to be forked was deleted; it is kept for the forks that were made of it");
    else
        call_refuse(&creation->call, 404, "source_not_found", "Stream-Forked-From",
            "there is no stream to be forked at this path");
    return false;
}

static bool refuse_place(struct creation *creation)
{
    call_refuse(&creation->call, 400, "invalid_fork_offset", "Stream-Fork-Offset",
        "the fork lies past the end of what it is to begin with: of the stream, or with a "
        "sub-offset of "
        "the append behind the offset");
    return false;
}

bool fork_check(struct creation *creation, const struct writer_state *source)
{
    struct call *call = &creation->call;
    int64_t now_ns = loop_wall_ns(call->api->loop);
    if (!creation->source || !stream_visible_row(creation->source))
        return refuse_source(creation, false);
    enum standing standing = entry_standing(creation->source, source, now_ns);
    if (standing != ENTRY_HERE)
        return refuse_source(creation, standing == ENTRY_KEPT);
    uint64_t tail = entry_tail_visible(creation->source);
    if (!creation->has_fork_at)
        creation->fork_at = tail;
    if (creation->fork_at > tail || creation->has_prefix_failed)
        return refuse_place(creation);
    if (source->depth >= FORK_DEPTH_MAX) {
        call_refuse(call, 400, "fork_too_deep", "Stream-Forked-From",
            "the stream to be forked is the %uth fork of a fork: fork an earlier one",
            source->depth);
        return false;
    }
    struct slice type = stream_row(creation->source)->content_type;
    if (creation->content_type.size && !durable_is_same_type(creation->content_type, type)) {
        call_refuse(call, 409, "content_type_mismatch", "Content-Type",
            "the stream to be forked holds %.*s", SLICE_PRINT(type));
        return false;
    }
    return true;
}
