/* responses — see responses.h.
 *
 *     GET                           ─▶ a body: as recorded
 *                                   └▶ events ─▶ gather ─▶ responses_object ─▶ the object
 *     GET ?stream&starting_after=N  ─▶ responses_follow.c
 *     POST with background          ─▶ (its ID is durable) ─▶ as GET */
#include "server/api/responses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/dialect/responses_object.h"
#include "server/api/ending.h"
#include "server/api/gather.h"
#include "server/api/responses_follow.h"
#include "server/stream/duplicates.h"

/* ── which response ─────────────────────────────────────────────────────────────────────────── */

static const size_t uuid_groups[] = {8, 4, 4, 4, 12};
enum {
    UUID_GROUPS = sizeof uuid_groups / sizeof *uuid_groups,
    OWN_ID_BYTES = sizeof "resp_" - 1 + 2 * ID_BYTES,
};

/* The stream that an ID of ours says, or that is named by its own ID. */
static bool read_own_id(struct slice text, struct id *out)
{
    char uuid[ID_TEXT_BYTES];
    size_t at = sizeof "resp_" - 1, used = 0;
    if (text.size != OWN_ID_BYTES || !slice_has_prefix(text, SLICE("resp_")))
        return id_parse(text, out) == ERR_OK;
    for (size_t i = 0; i < UUID_GROUPS; i++) {
        if (i)
            uuid[used++] = '-';
        memcpy(uuid + used, text.data + at, uuid_groups[i]);
        at += uuid_groups[i];
        used += uuid_groups[i];
    }
    return id_parse(slice_of(uuid, used), out) == ERR_OK;
}

static void write_own_id(const struct stream *stream, char out[DIALECT_ID_BYTES])
{
    char uuid[ID_TEXT_BYTES];
    size_t at = 0, used = sizeof "resp_" - 1;
    id_format(&stream_row(stream)->id, uuid);
    memcpy(out, "resp_", used);
    for (size_t i = 0; i < UUID_GROUPS; i++) {
        memcpy(out + used, uuid + at, uuid_groups[i]);
        at += uuid_groups[i] + 1;
        used += uuid_groups[i];
    }
    out[used] = '\0';
}

static bool is_response(const struct stream *stream)
{
    return slice_equal(stream_row(stream)->dialect, SLICE("openai_responses"));
}

/* By the stream it says, then by what a provider called it: that, too, may look like an ID of ours. */
static void looked_up(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct visit *visit = CONTAINER_OF(lookup, struct visit, lookup);
    bool was_by_name = lookup->query.kind == STORAGE_KEY;
    if (!err && !is_response(stream)) {
        stream_unref(stream);
        stream = NULL;
        err = ERR_NOTFOUND;
    }
    if (err == ERR_NOTFOUND && !was_by_name && visit->exchange)
        hub_open_upstream(
            visit->api->hub, exchange_project(visit->exchange), slice_text(visit->name), lookup);
    else
        visit_found(lookup, err, stream);
}

static bool is_id_text(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '%')
            return false;
    return text.size > 0 && text.size < DIALECT_ID_BYTES;
}

static void find(struct api *api, struct exchange *exchange, struct slice text,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay)
{
    struct id id;
    if (!is_id_text(text)) {
        api_answer_lookup_error(exchange, ERR_NOTFOUND);
        return;
    }
    struct visit *visit = visit_new(api, exchange, found, replay);
    if (!visit)
        return;
    visit->name[0] = KEY_SPACE_UPSTREAM;
    memcpy(visit->name + 1, text.data, text.size);
    visit->lookup.done = looked_up;
    if (read_own_id(text, &id))
        hub_open(api->hub, exchange_project(exchange), &id, &visit->lookup);
    else
        hub_open_upstream(
            api->hub, exchange_project(exchange), slice_text(visit->name), &visit->lookup);
}

/* ── the object ─────────────────────────────────────────────────────────────────────────────── */

struct showing {
    struct gather gather;
    struct responses_object object;
    uint64_t from;             /* the first event gathered */
    char id[DIALECT_ID_BYTES]; /* as the caller knows it */
};

static struct showing *showing_free(struct showing *showing)
{
    gather_deinit(&showing->gather);
    responses_object_deinit(&showing->object);
    free(showing);
    return NULL;
}

/* Of a response whose last event is not recorded; NULL: as the newest event says. */
static const char *status_of(const struct row *row, bool has_begun)
{
    switch (row->state) {
    case STREAM_ACCEPTED: return "queued";
    case STREAM_STREAMING: return has_begun ? NULL : "queued";
    case STREAM_STOPPED: return "cancelled";
    case STREAM_COMPLETED: return "completed";
    case STREAM_FAILED:
    case STREAM_INTERRUPTED:
    case STREAM_DELETED: return "failed";
    }
    return NULL;
}

static void answer_object(struct showing *showing, struct exchange *exchange)
{
    CLEANUP(buf_deinit) struct buf text;
    const struct stream *stream = showing->gather.stream;
    const struct row *row = stream_visible_row(stream);
    const char *status = status_of(row, showing->object.base.size > 0);
    bool has_failed = status && strcmp(status, "failed") == 0;
    const struct responses_state state = {.id = slice_text(showing->id),
        .status = status,
        .code = has_failed ? row->reason : SLICE_NONE,
        .message = row->detail,
        .model = row->model,
        .created_s = row->accepted_ns / 1000000000,
        .is_over = stream_has_ended(stream)};
    buf_init(&text, REPLY_BYTES_MAX);
    enum err err = responses_object_write(&showing->object, &state, &text);
    if (!err)
        err = replay_add_headers(exchange, stream, NULL);
    if (!err)
        exchange_reply(exchange, 200, "application/json", buf_slice(&text));
    else
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
}

static void answer_unread(struct exchange *exchange, enum err err)
{
    if (err == ERR_LIMIT)
        exchange_error(exchange, 413, "response_too_large", NULL,
            "the response is larger than %d bytes: read its events (?stream=true)",
            REPLY_BYTES_MAX);
    else
        api_answer_lookup_error(exchange, err);
}

static enum err take_event(struct gather *gather, uint64_t seq, struct slice event)
{
    struct showing *showing = CONTAINER_OF(gather, struct showing, gather);
    (void)seq;
    return responses_object_event(&showing->object, event);
}

static void gather_from(
    struct showing *showing, struct exchange *exchange, struct stream *stream, uint64_t from);

static void gathered(struct gather *gather, enum err err)
{
    struct showing *showing = CONTAINER_OF(gather, struct showing, gather);
    struct exchange *exchange = gather->exchange;
    if (!err && showing->from > 0 && !showing->object.is_final) {
        struct stream *stream = stream_ref(gather->stream);
        gather_deinit(gather);
        gather_from(showing, exchange, stream, 0);
        return;
    }
    if (err)
        answer_unread(exchange, err);
    else
        answer_object(showing, exchange);
    showing_free(showing);
}

static void caller_gone(struct gather *gather)
{
    showing_free(CONTAINER_OF(gather, struct showing, gather));
}

/* Takes over the reference. */
static void gather_from(
    struct showing *showing, struct exchange *exchange, struct stream *stream, uint64_t from)
{
    showing->from = from;
    enum err err = gather_start(&showing->gather, exchange, stream, from);
    if (!err)
        return;
    stream_unref(stream);
    showing_free(showing);
    api_answer_lookup_error(exchange, err);
}

/* Takes over the reference. The last event of a completed one nearly always says it all. */
static void show(struct exchange *exchange, struct stream *stream, const char *id)
{
    const struct row *row = stream_visible_row(stream);
    bool is_body = row->status && !row->is_sse && row->status < 400;
    if (is_body && replay_is_whole(row)) {
        replay_start(exchange, stream, &(struct replay_request){.format = REPLAY_PROVIDER});
        return;
    }
    struct showing *showing = calloc(1, sizeof *showing);
    if (!showing) {
        stream_unref(stream);
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    responses_object_init(&showing->object, REPLY_BYTES_MAX);
    (void)snprintf(showing->id, sizeof showing->id, "%s", id);
    showing->gather.take = take_event;
    showing->gather.done = gathered;
    showing->gather.gone = caller_gone;
    bool is_last_enough = row->state == STREAM_COMPLETED && row->events > 0;
    gather_from(showing, exchange, stream, is_last_enough ? row->events - 1 : 0);
}

static void show_found(struct visit *visit, struct stream *stream)
{
    struct exchange *exchange = visit->exchange;
    stream_touch(stream);
    show(exchange, stream, visit->name + 1);
    free(visit);
}

/* ── the calls ──────────────────────────────────────────────────────────────────────────────── */

static void follow_found(struct visit *visit, struct stream *stream)
{
    stream_touch(stream);
    responses_follow(visit->exchange, stream, visit->replay.from);
    free(visit);
}

void response_show(struct api *api, struct exchange *exchange, struct slice id)
{
    struct replay_request replay = {0};
    bool is_streamed;
    if (slice_equal(exchange_request(exchange)->method, SLICE("HEAD"))) {
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes GET");
        return;
    }
    if (responses_read_query(exchange, &is_streamed, &replay.from))
        return;
    find(api, exchange, id, is_streamed ? follow_found : show_found, &replay);
}

static void cancelled(struct visit *visit)
{
    struct exchange *exchange = visit->exchange;
    exchange_release(exchange);
    show(exchange, stream_ref(visit->stream), visit->name + 1);
    visit_free(visit);
}

static void cancel_found(struct visit *visit, struct stream *stream)
{
    visit->settled = cancelled;
    ending_stop(visit, stream);
}

void response_cancel(struct api *api, struct exchange *exchange, struct slice id)
{
    find(api, exchange, id, cancel_found, NULL);
}

static void removed(struct visit *visit)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_writer writer;
    buf_init(&text, DIALECT_ID_BYTES * 8);
    json_writer_init(&writer, &text);
    json_open(&writer, '{');
    json_key(&writer, "id");
    json_string(&writer, slice_text(visit->name + 1));
    json_key(&writer, "object");
    json_string(&writer, SLICE("response"));
    json_key(&writer, "deleted");
    json_boolean(&writer, true);
    json_close(&writer, '}');
    if (writer.err)
        exchange_error(visit->exchange, 503, "overloaded", NULL, "deleted, but out of memory");
    else
        exchange_reply(visit->exchange, 200, "application/json", buf_slice(&text));
    visit_free(visit);
}

static void remove_found(struct visit *visit, struct stream *stream)
{
    visit->settled = removed;
    ending_remove(visit, stream);
}

void response_remove(struct api *api, struct exchange *exchange, struct slice id)
{
    find(api, exchange, id, remove_found, NULL);
}

/* ── the beginning, in the background ────────────────────────────────────────────────────────── */

struct beginning {
    struct exchange *exchange;
    struct stream *stream;
    struct stream_watcher watcher;
    const char *attached;
};

static void beginning_free(struct beginning *beginning)
{
    stream_unwatch(beginning->stream, &beginning->watcher);
    stream_unref(beginning->stream);
    free(beginning);
}

/* A translated one has its ID from us; a body says its own somewhere. */
static bool is_named(const struct stream *stream)
{
    const struct row *row = stream_visible_row(stream);
    bool is_told =
        row && stream_head_is_visible(stream) && (row->is_sse || stream_has_ended(stream));
    return row && (row->provider_dialect.size || is_told);
}

static void begin(struct beginning *beginning)
{
    struct exchange *exchange = beginning->exchange;
    struct stream *stream = stream_ref(beginning->stream);
    const struct row *row = stream_visible_row(stream);
    char id[DIALECT_ID_BYTES];
    write_own_id(stream, id);
    if (row->upstream_id.size && row->upstream_id.size < sizeof id)
        (void)snprintf(id, sizeof id, "%.*s", SLICE_PRINT(row->upstream_id));
    bool has_nothing = stream_has_ended(stream) && (row->status == 0 || row->status >= 400);
    const struct replay_request whole = {.format = REPLAY_PROVIDER,
        .follow = true,
        .attached = beginning->attached,
        .is_caller = true};
    exchange_release(exchange);
    beginning_free(beginning);
    if (has_nothing)
        replay_start(exchange, stream, &whole);
    else
        show(exchange, stream, id);
}

static void beginning_woken(struct stream_watcher *watcher)
{
    struct beginning *beginning = CONTAINER_OF(watcher, struct beginning, watcher);
    watcher->is_parked = true;
    if (is_named(beginning->stream)) {
        begin(beginning);
    } else if (hub_is_stuck(stream_hub(beginning->stream))) {
        exchange_error(beginning->exchange, 503, "storage_full", NULL,
            "the answer can not be recorded, so it is not shown: see the server's log");
        beginning_free(beginning);
    }
}

static void beginning_closed(void *context)
{
    struct beginning *beginning = context;
    duplicates_left(beginning->stream, !beginning->attached);
    beginning_free(beginning);
}

static const struct responder responder = {NULL, beginning_closed};

void responses_begin(struct exchange *exchange, struct stream *stream, const char *attached)
{
    struct beginning *beginning = calloc(1, sizeof *beginning);
    if (!beginning) {
        stream_unref(stream);
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    beginning->exchange = exchange;
    beginning->stream = stream;
    beginning->attached = attached;
    beginning->watcher.wake = beginning_woken;
    stream_watch(stream, &beginning->watcher);
    exchange_hold(exchange, &responder, beginning);
    beginning_woken(&beginning->watcher);
}
