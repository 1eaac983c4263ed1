/* listing — GET /v1/streams: those in memory first, since the store may not know their newest state; then
 * the store's, newest first, a page at a time. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/visit.h"
#include "server/stream/append.h"

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
    int state;        /* enum stream_state, or -1 */
    bool is_appended; /* streams that clients write; else generations */
    uint8_t space;    /* only of this one (append.h); 0: of all */
    struct buf model, key, run;
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
    buf_deinit(&listing->run);
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
    if (row->is_appended != listing->is_appended)
        return false;
    if (listing->space && (row->key.size == 0 || row->key.data[0] != listing->space))
        return false;
    if (listing->run.size && !slice_equal(buf_slice(&listing->run), row->run))
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
    listing->err = stream_describe(stream, &item->json);
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

/* A key as callers can have it: what begins with a control character is a name of ours (append.h). */
static bool is_callers_key(struct slice key)
{
    return key.size == 0 || (key.data[0] > ' ' && key.data[0] < 0x7f);
}

/* False: there is no such kind. */
static bool read_kind(struct slice query, bool *is_appended)
{
    struct slice raw;
    enum err err = query_get(query, "kind", &raw);
    *is_appended = !err && slice_equal(raw, SLICE("appended"));
    return err == ERR_NOTFOUND || *is_appended || (!err && slice_equal(raw, SLICE("generation")));
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
    if (!read_kind(query, &listing->is_appended))
        return "kind";
    listing->is_appended |= listing->space != 0;
    if (read_text(query, "model", &listing->model))
        return "model";
    if (read_text(query, "run", &listing->run))
        return "run";
    if (read_text(query, "idempotency_key", &listing->key) ||
        !is_callers_key(buf_slice(&listing->key)))
        return "idempotency_key";
    return NULL;
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

static void list(struct api *api, struct exchange *exchange, uint8_t space)
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    buf_init(&listing->model, DIALECT_MODEL_BYTES);
    buf_init(&listing->key, KEY_BYTES_MAX);
    buf_init(&listing->run, KEY_BYTES_MAX);
    listing->space = space;
    const char *wrong = read_filters(exchange, listing);
    if (!wrong) {
        listing_start(api, exchange, listing);
        return;
    }
    exchange_error(exchange, 400, "invalid_parameter", wrong,
        "`%s` is malformed: limit is 1 to %d, before a stream's ID, state one of accepted, "
        "streaming, completed, failed, stopped, interrupted, deleted, kind generation (as without "
        "it) or appended, model, idempotency_key and run text; each at most once",
        wrong, LIST_PAGE_MAX / 2);
    listing_free(listing);
}

void streams_list(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    list(api, exchange, 0);
}

void runs_list(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    list(api, exchange, APPEND_RUN);
}
