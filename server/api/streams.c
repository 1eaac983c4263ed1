/* streams — the recordings: list, look, read, stop, delete.
 *
 * Each call by ID is a *lookup* that the exchange waits for: the stream comes from memory, or from
 * the store by way of a reader thread. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/api.h"
#include "server/api/replay.h"
#include "server/api/request.h"

/* ── one stream by its ID ────────────────────────────────────────────────────────────────────── */

struct visit {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    void (*found)(struct visit *visit, struct stream *stream); /* owns both */
    struct replay_request replay;
    struct hub_barrier barrier;
    struct stream_watcher watcher;
    struct storage_query query;
    struct timer timer;
    int checks;
    struct stream *stream;
};

static void visit_closed(void *context)
{
    struct visit *visit = context;
    visit->exchange = NULL;
}

static const struct responder visit_responder = {NULL, visit_closed};

bool api_answer_gone(struct exchange *exchange, const struct stream *stream)
{
    if (!stream_is_deleted(stream))
        return false;
    const struct row *row = stream_row(stream);
    bool has_expired = row->state == STREAM_DELETED && slice_equal(row->reason, SLICE("expired"));
    bool was_evicted = row->state == STREAM_DELETED && slice_equal(row->reason, SLICE("evicted"));
    if (was_evicted)
        exchange_error(exchange, 410, "stream_evicted", NULL,
            "the recording was the oldest when the store grew past keep_bytes_max, and was "
            "deleted");
    else if (has_expired)
        exchange_error(exchange, 410, "stream_expired", NULL,
            "the recording's time was over and it was deleted; keep_days sets how long");
    else
        exchange_error(
            exchange, 410, "stream_deleted", NULL, "the recording was deleted on request");
    return true;
}

void api_answer_lookup_error(struct exchange *exchange, enum err err)
{
    if (err == ERR_NOTFOUND)
        exchange_error(exchange, 404, "stream_not_found", NULL,
            "no stream of this ID is known here; `GET /v1/streams` lists those of this key's "
            "project");
    else if (err == ERR_LIMIT)
        exchange_error(exchange, 503, "overloaded", NULL, "too many reads are waiting; try again");
    else
        exchange_error(exchange, 500, "storage_fault", NULL,
            "the recording could not be read: %s; see `tokenlog verify`", err_text(err));
}

static void visit_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct visit *visit = CONTAINER_OF(lookup, struct visit, lookup);
    if (!visit->exchange) {
        stream_unref(stream);
        free(visit);
        return;
    }
    exchange_release(visit->exchange);
    if (!err && api_answer_gone(visit->exchange, stream)) {
        stream_unref(stream);
        free(visit);
    } else if (err) {
        api_answer_lookup_error(visit->exchange, err);
        free(visit);
    } else {
        visit->found(visit, stream);
    }
}

static void visit_start(struct api *api, struct exchange *exchange, struct slice text,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay)
{
    struct id id;
    if (id_parse(text, &id)) {
        exchange_error(exchange, 404, "stream_not_found", "id",
            "a stream's ID is a UUID like 01890a5d-ac96-774b-bcce-b302099a8057, as in the header "
            "Tokenlog-Stream-Id");
        return;
    }
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    visit->api = api;
    visit->exchange = exchange;
    visit->found = found;
    visit->lookup.done = visit_found;
    if (replay)
        visit->replay = *replay;
    exchange_hold(exchange, &visit_responder, visit);
    hub_open(api->hub, exchange_project(exchange), &id, &visit->lookup);
}

/* ── show ───────────────────────────────────────────────────────────────────────────────────── */

/* What may be shown of a stream now: of a live one, what is durable. */
static enum err write_stream(struct stream *stream, struct buf *out)
{
    struct row row = *stream_visible_row(stream);
    if (!stream_has_ended(stream))
        row.events = stream_watermark(stream);
    return row_json(&row, out);
}

void api_answer_stream(struct exchange *exchange, struct stream *stream)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPLY_BYTES_MAX);
    enum err err = write_stream(stream, &text);
    if (!err)
        err = buf_append_byte(&text, '\n');
    if (err)
        api_answer_lookup_error(exchange, err);
    else
        exchange_reply(exchange, 200, "application/json", buf_slice(&text));
}

static void show_found(struct visit *visit, struct stream *stream)
{
    api_answer_stream(visit->exchange, stream);
    stream_unref(stream);
    free(visit);
}

void stream_show(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, show_found, NULL);
}

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

static void events_found(struct visit *visit, struct stream *stream)
{
    metrics_add_label(visit->api->metrics, METRIC_streams_attached_total,
        stream_has_ended(stream) ? "id_finished" : "id_live", 1);
    stream_touch(stream);
    replay_start(visit->exchange, stream, &visit->replay);
    free(visit);
}

/* The offset: Last-Event-ID before ?from=, since a browser that reconnects repeats its first
 * URL. */
static enum err read_offset(struct exchange *exchange, uint64_t *from)
{
    const struct headers *headers = &exchange_request(exchange)->headers;
    struct slice text;
    if (headers_count(headers, "Last-Event-ID") > 1)
        return ERR_INVALID;
    *from = 0;
    if (headers_count(headers, "Last-Event-ID") == 1)
        return slice_u64(headers_get(headers, "Last-Event-ID"), from);
    enum err err = query_get(exchange_target(exchange).query, "from", &text);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    return slice_u64(text, from);
}

/* One of two words, or absent (the first). */
static enum err read_choice(struct exchange *exchange, const char *name, const char *first,
    const char *second, bool *is_second)
{
    struct slice text;
    *is_second = false;
    enum err err = query_get(exchange_target(exchange).query, name, &text);
    if (err == ERR_NOTFOUND || (!err && slice_equal(text, slice_text(first))))
        return ERR_OK;
    TRY(err);
    *is_second = slice_equal(text, slice_text(second));
    return *is_second ? ERR_OK : ERR_INVALID;
}

/* answers ERR_INVALID */
static enum err read_format(struct exchange *exchange, enum replay_format *format)
{
    struct slice text;
    enum err err = query_get(exchange_target(exchange).query, "format", &text);
    *format = REPLAY_SSE;
    if (err == ERR_NOTFOUND || (!err && slice_equal(text, SLICE("sse"))))
        return ERR_OK;
    TRY(err);
    *format = slice_equal(text, SLICE("raw")) ? REPLAY_RAW : REPLAY_LINES;
    return *format == REPLAY_RAW || slice_equal(text, SLICE("jsonl")) ? ERR_OK : ERR_INVALID;
}

void stream_events(struct api *api, struct exchange *exchange, struct slice id)
{
    struct replay_request replay = {0};
    bool is_snapshot;
    if (slice_equal(exchange_request(exchange)->method, SLICE("HEAD")))
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes GET");
    else if (read_offset(exchange, &replay.from))
        exchange_error(exchange, 400, "invalid_offset", "from",
            "`from` (or Last-Event-ID) is the number of events received so far: one decimal "
            "number");
    else if (read_format(exchange, &replay.format))
        exchange_error(exchange, 400, "invalid_format", "format", "`format` is sse, raw or jsonl");
    else if (read_choice(exchange, "live", "true", "false", &is_snapshot))
        exchange_error(exchange, 400, "invalid_live", "live", "`live` is true or false");
    else {
        replay.follow = !is_snapshot;
        visit_start(api, exchange, id, events_found, &replay);
    }
}

/* ── the request ────────────────────────────────────────────────────────────────────────────── */

static void request_found(struct visit *visit, struct stream *stream)
{
    request_start(visit->exchange, stream);
    free(visit);
}

void stream_request(struct api *api, struct exchange *exchange, struct slice id)
{
    if (slice_equal(exchange_request(exchange)->method, SLICE("HEAD")))
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes GET");
    else
        visit_start(api, exchange, id, request_found, NULL);
}

/* ── stop: answered once the end is visible ──────────────────────────────────────────────────── */

static void visit_free(struct visit *visit)
{
    stream_unref(visit->stream);
    free(visit);
}

static void stop_answer(struct visit *visit)
{
    stream_unwatch(visit->stream, &visit->watcher);
    if (stream_has_ended(visit->stream))
        api_answer_stream(visit->exchange, visit->stream);
    else
        exchange_error(visit->exchange, 503, "storage_full", NULL,
            "the stop could not be made durable: see the server's log");
    visit_free(visit);
}

static bool is_stop_settled(const struct visit *visit)
{
    return stream_has_ended(visit->stream) || hub_is_stuck(visit->api->hub);
}

static void stop_woken(struct stream_watcher *watcher)
{
    struct visit *visit = CONTAINER_OF(watcher, struct visit, watcher);
    watcher->is_parked = true;
    if (is_stop_settled(visit))
        stop_answer(visit);
}

static void stop_closed(void *context)
{
    struct visit *visit = context;
    stream_unwatch(visit->stream, &visit->watcher);
    visit_free(visit);
}

static const struct responder stop_responder = {NULL, stop_closed};

static void stop_found(struct visit *visit, struct stream *stream)
{
    visit->stream = stream;
    visit->watcher.wake = stop_woken;
    (void)stream_stop(stream, "stopped", "the stream was stopped on request");
    stream_watch(stream, &visit->watcher);
    exchange_hold(visit->exchange, &stop_responder, visit);
    stop_woken(&visit->watcher);
}

void stream_stop_post(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, stop_found, NULL);
}

/* ── delete: answered once nothing brings it back ────────────────────────────────────────────── */

enum {
    REMOVED_CHECK_MS = 5,      /* between two looks at whether the store has the tombstone */
    REMOVED_CHECKS_MAX = 1000, /* then the disk is full, or the like: it is as good as deleted */
};

static void removed_answer(struct visit *visit, int status)
{
    if (visit->exchange)
        exchange_reply(visit->exchange, status, NULL, SLICE_NONE);
    visit_free(visit);
}

static bool is_tombstone(struct storage_query *query)
{
    struct row row;
    bool is_deleted =
        row_decode(buf_slice(&query->bytes), &row) == ERR_OK && row.state == STREAM_DELETED;
    buf_deinit(&query->bytes);
    return is_deleted;
}

static void removed_checked(struct storage_query *query, enum err err)
{
    struct visit *visit = query->owner;
    struct loop *loop = visit->api->loop;
    (void)err; /* not found: it is not archived yet */
    bool is_removed = is_tombstone(query);
    if (!visit->exchange || is_removed)
        removed_answer(visit, 204);
    else if (++visit->checks == REMOVED_CHECKS_MAX)
        removed_answer(visit, 202);
    else
        timer_set(loop, &visit->timer, loop_now_ns(loop) + REMOVED_CHECK_MS * 1000000ll);
}

static void check_removed(struct timer *timer)
{
    struct visit *visit = CONTAINER_OF(timer, struct visit, timer);
    const struct row *row = stream_row(visit->stream);
    visit->query = (struct storage_query){.kind = STORAGE_ROW,
        .project = row->project,
        .id = row->id,
        .done = removed_checked,
        .owner = visit};
    if (!visit->exchange || storage_query(hub_storage(visit->api->hub), &visit->query))
        removed_answer(visit, 202);
}

static void barrier_done(struct hub_barrier *barrier, enum err err)
{
    struct visit *visit = CONTAINER_OF(barrier, struct visit, barrier);
    if (!err) {
        check_removed(&visit->timer);
        return;
    }
    if (visit->exchange)
        exchange_error(visit->exchange, 503, "storage_full", NULL,
            "the delete could not be made durable: see the server's log");
    visit_free(visit);
}

static void remove_found(struct visit *visit, struct stream *stream)
{
    enum err err = stream_is_held(stream) ? ERR_DENIED : stream_delete(stream, "deleted");
    if (!err) {
        visit->stream = stream;
        visit->barrier.done = barrier_done;
        visit->timer.fire = check_removed;
        exchange_hold(visit->exchange, &visit_responder, visit);
        hub_wait_durable(visit->api->hub, &visit->barrier);
        return;
    }
    if (err == ERR_BUSY)
        exchange_error(visit->exchange, 409, "stream_live", NULL,
            "the stream is still being written: stop it first (POST …/stop)");
    else if (err == ERR_DENIED)
        exchange_error(visit->exchange, 423, "stream_held", NULL,
            "the recording is under a legal hold: lift it first (DELETE …/hold)");
    else
        exchange_error(visit->exchange, 503, "storage_full", NULL,
            "the delete could not be recorded: %s", err_text(err));
    stream_unref(stream);
    free(visit);
}

void stream_remove(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, remove_found, NULL);
}

/* ── list ───────────────────────────────────────────────────────────────────────────────────── */

enum {
    LIST_DEFAULT = 20,
    LIST_LOOKED_AT_MAX =
        20000, /* rows of the store that one call may pass over because of its filters */
};

struct item {
    struct id id;
    struct buf json;
};

/* A page being put together: what is in memory first, since the store may not know its newest
 * state; then the store's. */
struct listing {
    struct exchange *exchange;
    struct storage_query query;
    struct hub_lookup lookup;
    size_t limit;
    struct id before;
    bool has_before;
    int state; /* enum stream_state, or -1 */
    struct buf model, key;
    struct item items[2 * LIST_PAGE_MAX]; /* from memory, then from the store */
    size_t memory_count, count;
    struct id *known; /* all in memory, sorted: the store's rows of these are stale */
    size_t known_count, known_capacity;
    struct id last_seen; /* of the store */
    size_t seen_count;
    enum err err;
};

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        buf_deinit(&listing->items[i].json);
    buf_deinit(&listing->model);
    buf_deinit(&listing->key);
    free(listing->known);
    free(listing);
}

static bool is_wanted(const struct listing *listing, const struct row *row, enum stream_state state)
{
    if (listing->has_before && memcmp(row->id.bytes, listing->before.bytes, ID_BYTES) >= 0)
        return false;
    if (state == STREAM_DELETED && listing->state != STREAM_DELETED)
        return false;
    if (listing->state >= 0 && (int)state != listing->state)
        return false;
    return listing->model.size == 0 || slice_equal(buf_slice(&listing->model), row->model);
}

static int newest_first(const void *a, const void *b)
{
    return memcmp(((const struct item *)b)->id.bytes, ((const struct item *)a)->id.bytes, ID_BYTES);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

static enum err remember(struct listing *listing, const struct id *id)
{
    if (listing->known_count == listing->known_capacity) {
        size_t capacity = listing->known_capacity ? listing->known_capacity * 2 : 64;
        struct id *known = realloc(listing->known, capacity * sizeof *known);
        if (!known)
            return fault(ERR_NOMEM, "listing");
        listing->known = known;
        listing->known_capacity = capacity;
    }
    listing->known[listing->known_count++] = *id;
    return ERR_OK;
}

/* The newest `limit` of those in memory are kept: the page is a heap of one array, sorted when it
 * overflows. */
static void take_from_memory(void *context, struct stream *stream)
{
    struct listing *listing = context;
    const struct row *row = stream_visible_row(stream);
    if (!row || listing->err || (listing->err = remember(listing, &row->id)))
        return;
    enum stream_state state = stream_is_deleted(stream) ? STREAM_DELETED : row->state;
    if (!is_wanted(listing, row, state))
        return;
    if (listing->count == 2 * LIST_PAGE_MAX) {
        qsort(listing->items, listing->count, sizeof *listing->items, newest_first);
        while (listing->count > LIST_PAGE_MAX)
            buf_deinit(&listing->items[--listing->count].json);
    }
    struct item *item = &listing->items[listing->count];
    item->id = row->id;
    buf_init(&item->json, ROW_BYTES_MAX * 8);
    listing->err = write_stream(stream, &item->json);
    listing->count++;
}

/* On a reader thread: touches the listing only. */
static enum err take_from_store(void *context, const struct row *row)
{
    struct listing *listing = context;
    listing->last_seen = row->id;
    listing->seen_count++;
    if (listing->known_count &&
        bsearch(&row->id, listing->known, listing->known_count, ID_BYTES, by_id))
        return ERR_OK;
    if (!is_wanted(listing, row, row->state))
        return ERR_OK;
    struct item *item = &listing->items[listing->count++];
    item->id = row->id;
    buf_init(&item->json, ROW_BYTES_MAX * 8);
    TRY(row_json(row, &item->json));
    return listing->count - listing->memory_count > listing->limit ? ERR_CLOSED : ERR_OK;
}

static enum err write_listing(
    const struct listing *listing, size_t shown, bool has_more, struct buf *out)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_open(&json, '{');
    json_key(&json, "object");
    json_string(&json, SLICE("list"));
    json_key(&json, "data");
    json_open(&json, '[');
    for (size_t i = 0; i < shown; i++)
        json_raw(&json, buf_slice(&listing->items[i].json));
    json_close(&json, ']');
    json_key(&json, "has_more");
    json_boolean(&json, has_more);
    json_key(&json, "next");
    char text[ID_TEXT_BYTES];
    const struct id *next =
        shown == listing->limit && shown ? &listing->items[shown - 1].id : &listing->last_seen;
    id_format(next, text);
    if (has_more)
        json_string(&json, slice_text(text));
    else
        json_null(&json);
    json_close(&json, '}');
    TRY(json.err);
    return buf_append_byte(out, '\n');
}

static void answer_listing(struct listing *listing)
{
    qsort(listing->items, listing->count, sizeof *listing->items, newest_first);
    bool is_cut = listing->seen_count >= LIST_LOOKED_AT_MAX;
    size_t shown = listing->count < listing->limit ? listing->count : listing->limit;
    while (is_cut && shown &&
           memcmp(listing->items[shown - 1].id.bytes, listing->last_seen.bytes, ID_BYTES) < 0)
        shown--; /* the store was not looked at so far: it comes with the next page */
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPLY_BYTES_MAX);
    enum err err = write_listing(listing, shown, listing->count > shown || is_cut, &text);
    if (err)
        exchange_error(
            listing->exchange, 500, "internal", "limit", "the page does not fit; ask for less");
    else
        exchange_reply(listing->exchange, 200, "application/json", buf_slice(&text));
}

static void listing_done(struct storage_query *query, enum err err)
{
    struct listing *listing = query->owner;
    if (listing->exchange) {
        exchange_release(listing->exchange);
        if (err && err != ERR_NOTFOUND && err != ERR_CLOSED)
            api_answer_lookup_error(listing->exchange, err);
        else
            answer_listing(listing);
    }
    buf_deinit(&query->bytes);
    listing_free(listing);
}

static void listing_closed(void *context)
{
    struct listing *listing = context;
    listing->exchange = NULL;
}

static const struct responder listing_responder = {NULL, listing_closed};

/* By the caller's key: at most one, for a caller that died before it had an ID. */
static void key_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct listing *listing = lookup->owner;
    if (listing->exchange) {
        exchange_release(listing->exchange);
        if (!err)
            take_from_memory(listing, stream);
        if (err && err != ERR_NOTFOUND)
            api_answer_lookup_error(listing->exchange, err);
        else
            answer_listing(listing);
    }
    stream_unref(stream);
    listing_free(listing);
}

static enum err read_text(struct slice query, const char *name, struct buf *out)
{
    struct slice raw;
    enum err err = query_get(query, name, &raw);
    if (err)
        return err == ERR_NOTFOUND ? ERR_OK : err;
    return percent_decode(raw, true, out);
}

/* The name of the parameter at fault, or NULL. */
static const char *read_filters(struct exchange *exchange, struct listing *listing)
{
    struct slice query = exchange_target(exchange).query, raw;
    uint64_t limit = LIST_DEFAULT;
    enum err err = query_get(query, "limit", &raw);
    if (!err)
        err = slice_u64(raw, &limit);
    if ((err && err != ERR_NOTFOUND) || limit == 0 || limit > LIST_PAGE_MAX / 2)
        return "limit";
    listing->limit = limit;
    err = query_get(query, "before", &raw);
    listing->has_before = !err;
    if (!err)
        err = id_parse(raw, &listing->before);
    if (err && err != ERR_NOTFOUND)
        return "before";
    enum stream_state state = STREAM_ACCEPTED;
    err = query_get(query, "state", &raw);
    listing->state = err ? -1 : 0;
    if (!err && !(err = stream_state_parse(raw, &state)))
        listing->state = (int)state;
    if (err && err != ERR_NOTFOUND)
        return "state";
    if (read_text(query, "model", &listing->model))
        return "model";
    return read_text(query, "idempotency_key", &listing->key) ? "idempotency_key" : NULL;
}

static void listing_start(struct api *api, struct exchange *exchange, struct listing *listing)
{
    listing->exchange = exchange;
    exchange_hold(exchange, &listing_responder, listing);
    if (listing->key.size) {
        listing->lookup.done = key_found;
        listing->lookup.owner = listing;
        hub_claim(api->hub, exchange_project(exchange), buf_slice(&listing->key), &listing->lookup);
        return;
    }
    hub_walk(api->hub, exchange_project(exchange), take_from_memory, listing);
    qsort(listing->items, listing->count, sizeof *listing->items, newest_first);
    while (listing->count > listing->limit + 1)
        buf_deinit(&listing->items[--listing->count].json);
    listing->memory_count = listing->count;
    if (listing->known_count)
        qsort(listing->known, listing->known_count, sizeof *listing->known, by_id);
    listing->query = (struct storage_query){.kind = STORAGE_LIST,
        .project = exchange_project(exchange)->number,
        .id = listing->before,
        .has_before = listing->has_before,
        .rows_max = LIST_LOOKED_AT_MAX,
        .visit = take_from_store,
        .context = listing,
        .done = listing_done,
        .owner = listing};
    enum err err =
        listing->err ? listing->err : storage_query(hub_storage(api->hub), &listing->query);
    if (err)
        listing_done(&listing->query, err);
}

void streams_list(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    buf_init(&listing->model, DIALECT_MODEL_BYTES);
    buf_init(&listing->key, KEY_BYTES_MAX);
    const char *wrong = read_filters(exchange, listing);
    if (!wrong) {
        listing_start(api, exchange, listing);
        return;
    }
    exchange_error(exchange, 400, "invalid_parameter", wrong,
        "`%s` is malformed: limit is 1 to %d, before a stream's ID, state one of accepted, "
        "streaming, "
        "completed, failed, stopped, interrupted, deleted; each at most once",
        wrong, LIST_PAGE_MAX / 2);
    listing_free(listing);
}
