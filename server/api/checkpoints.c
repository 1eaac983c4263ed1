/* checkpoints — PUT, GET, DELETE /v1/runs/{run}/checkpoints/{name}, and their list; server/run/README.md has what
 * they answer. A checkpoint's bytes are read from its event; all else is in the runbook. Its ETag is its ID:
 * made when it is put, and so never that of another, also not after the run was deleted and begun again, or
 * a crash took back what was not durable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/member.h"
#include "protocol/data/timestamp.h"
#include "protocol/http/url.h"
#include "server/api/run_call.h"
#include "server/stream/reader.h"

enum { ETAG_BYTES = ID_TEXT_BYTES + 2 };

static void make_etag(const struct id *checkpoint, char out[ETAG_BYTES])
{
    char text[ID_TEXT_BYTES];
    id_format(checkpoint, text);
    (void)snprintf(out, ETAG_BYTES, "\"%s\"", text);
}

/* One of the field's entity tags is this one, or it is `*` (RFC 9110 §13.1). */
static bool names_etag(struct slice field, const struct id *checkpoint)
{
    char etag[ETAG_BYTES];
    make_etag(checkpoint, etag);
    return slice_equal(field, SLICE("*")) || slice_find(field, slice_text(etag)) >= 0;
}

static void refuse_absent(struct run_call *call)
{
    run_call_refuse(call, 404, "checkpoint_not_found", "name", "the run has no such checkpoint");
}

/* False: answered. */
static bool check_conditions(struct run_call *call, const struct run_checkpoint *checkpoint)
{
    struct slice match = exchange_header(call->exchange, "If-Match");
    struct slice none_match = exchange_header(call->exchange, "If-None-Match");
    bool is_met = (!match.data || (checkpoint && names_etag(match, &checkpoint->id))) &&
                  (!none_match.data || !checkpoint || !names_etag(none_match, &checkpoint->id));
    if (!is_met)
        run_call_refuse(call, 412, "precondition_failed", match.data ? "If-Match" : "If-None-Match",
            "the checkpoint is another one now: GET it, and put what comes of both");
    return is_met;
}

/* ── as JSON ────────────────────────────────────────────────────────────────────────────────── */

static void put_checkpoint(struct json_writer *json, const struct run_checkpoint *checkpoint)
{
    char etag[ETAG_BYTES];
    make_etag(&checkpoint->id, etag);
    json_open(json, '{');
    member_text(json, "object", SLICE("checkpoint"));
    member_text(json, "name", checkpoint->name);
    member_number(json, "seq", checkpoint->version);
    member_text(json, "etag", slice_text(etag));
    member_number(json, "size", checkpoint->size);
    member_text(json, "content_type", checkpoint->content_type);
    member_time(json, "created_at", checkpoint->at_ms * 1000000);
    json_key(json, "offsets");
    if (checkpoint->offsets.size)
        json_raw(json, checkpoint->offsets);
    else
        json_null(json);
    json_close(json, '}');
}

/* ── PUT ────────────────────────────────────────────────────────────────────────────────────── */

/* call->kept is the request's: what it says of the blob, and the blob. */
struct putting {
    struct run_call call;
    struct run_checkpoint own; /* another may have its name by the time that it is durable */
    struct slice blob;
    bool is_new;
};

static void is_put(struct run_call *call)
{
    CLEANUP(buf_deinit) struct buf text;
    struct putting *putting = CONTAINER_OF(call, struct putting, call);
    char etag[ETAG_BYTES];
    struct json_writer json;
    buf_init(&text, REPLY_BYTES_MAX);
    make_etag(&putting->own.id, etag);
    run_call_add(call, "ETag", slice_text(etag));
    json_writer_init(&json, &text);
    put_checkpoint(&json, &putting->own);
    if (json.err)
        run_call_refuse_err(call, ERR_AGAIN);
    else
        run_call_reply(call, putting->is_new ? 201 : 200, "application/json", buf_slice(&text));
}

static void put_found(struct run_call *call)
{
    struct putting *putting = CONTAINER_OF(call, struct putting, call);
    struct run_checkpoint *own = &putting->own;
    const struct runbook *book = run_book(call->visit.run);
    own->name = buf_slice(&call->item);
    own->at_ms = loop_wall_ns(call->api->loop) / 1000000;
    own->size = putting->blob.size;
    const struct run_checkpoint *older = runbook_checkpoint(book, own->name);
    if (!check_conditions(call, older))
        return;
    putting->is_new = !older;
    struct run_record record = {.type = RUN_CHECKPOINT,
        .name = own->name,
        .content_type = own->content_type,
        .offsets = own->offsets,
        .at_ms = own->at_ms,
        .blob = putting->blob};
    enum err err = run_write(call->visit.run, &record);
    if (err) {
        run_call_refuse_err(call, err);
        return;
    }
    const struct run_checkpoint *put = runbook_checkpoint(book, own->name);
    own->id = put->id;
    own->version = put->version;
    run_call_wait(call, call->visit.run, is_put);
}

/* The code of what is wrong, or NULL. */
static const char *read_fields(struct putting *putting)
{
    struct exchange *exchange = putting->call.exchange;
    const char *why;
    size_t at;
    putting->own.content_type = exchange_header(exchange, "Content-Type");
    putting->own.offsets = exchange_header(exchange, "Tokenlog-Offsets");
    putting->blob = exchange_body(exchange);
    if (putting->own.content_type.size == 0)
        putting->own.content_type = SLICE("application/octet-stream");
    if (slice_equal(buf_slice(&putting->call.item), SLICE("latest")))
        return "invalid_checkpoint";
    if (putting->own.content_type.size > RUN_TYPE_BYTES_MAX)
        return "invalid_content_type";
    if (putting->own.offsets.size > RUN_OFFSETS_BYTES_MAX ||
        (putting->own.offsets.data && json_object_check(putting->own.offsets, &why, &at)))
        return "invalid_offsets";
    return NULL;
}

/* The request goes with its caller; what is to be written stays. */
static enum err keep_request(struct putting *putting)
{
    struct buf *kept = &putting->call.kept;
    size_t type = putting->own.content_type.size, offsets = putting->own.offsets.size;
    TRY(buf_append(kept, putting->own.content_type));
    TRY(buf_append(kept, putting->own.offsets));
    TRY(buf_append(kept, putting->blob));
    TRY(buf_append_byte(kept, 0)); /* so that it is somewhere, however empty it is */
    struct slice all = buf_slice(kept);
    putting->own.content_type = slice_sub(all, 0, type);
    putting->own.offsets = slice_sub(all, type, offsets);
    putting->blob = slice_sub(all, type + offsets, all.size - 1 - type - offsets);
    return ERR_OK;
}

void checkpoint_put(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct putting *putting = run_call_new(api, exchange, sizeof *putting, NULL);
    if (!putting)
        return;
    const char *wrong = read_fields(putting);
    if (wrong) {
        run_call_refuse(&putting->call, 400, wrong, NULL,
            "a checkpoint is not named `latest`, has a Content-Type of at most %d bytes, and "
            "Tokenlog-Offsets, if any, is one JSON object of at most %d bytes",
            RUN_TYPE_BYTES_MAX, RUN_OFFSETS_BYTES_MAX);
    } else if (putting->blob.size > RUN_BLOB_BYTES_MAX) {
        run_call_refuse(&putting->call, 413, "checkpoint_too_large", NULL,
            "a checkpoint has at most %d bytes: keep what is larger elsewhere, and its name here",
            RUN_BLOB_BYTES_MAX);
    } else if (keep_request(putting)) {
        run_call_refuse_err(&putting->call, ERR_AGAIN);
    } else {
        putting->call.visit.begins = true;
        putting->call.visit.ttl_s = exchange_project(exchange)->keep_s;
        run_call_visit(&putting->call, put_found);
    }
}

/* ── GET ────────────────────────────────────────────────────────────────────────────────────── */

/* A call that reads one event: the checkpoint as it was when it was asked for, also if it is another by now. */
struct fetching {
    struct run_call call;
    bool is_there;
    struct id id;
    struct stream *stream; /* the run's, when it was asked for, and… */
    uint64_t seq;          /* …the checkpoint's event there */
    struct reader *reader;
    struct buf event;
};

static void fetching_end(struct run_call *call)
{
    struct fetching *fetching = CONTAINER_OF(call, struct fetching, call);
    reader_close(fetching->reader);
    stream_unref(fetching->stream);
    buf_deinit(&fetching->event);
}

static void add_fields(struct run_call *call, const struct run_record *record, const char *etag)
{
    char at[TIMESTAMP_TEXT_BYTES];
    timestamp_format(record->at_ms * 1000000, at);
    run_call_add(call, "ETag", slice_text(etag));
    run_call_add(call, "Content-Type", record->content_type);
    run_call_add(call, "Tokenlog-Checkpoint", record->name);
    run_call_add(call, "Tokenlog-Checkpoint-At", slice_text(at));
    if (record->offsets.size)
        run_call_add(call, "Tokenlog-Offsets", record->offsets);
}

static void answer_blob(struct fetching *fetching)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    struct run_call *call = &fetching->call;
    struct run_record record;
    char etag[ETAG_BYTES];
    enum err err = run_record_read(buf_slice(&fetching->event), &tree, &record);
    if (err) {
        run_call_refuse_err(call, ERR_CORRUPT);
        return;
    }
    make_etag(&record.id, etag);
    add_fields(call, &record, etag);
    run_call_reply(call, 200, NULL, record.blob);
}

/* ERR_OK: the event is whole. */
static enum err fetch(struct fetching *fetching)
{
    struct reader_view view;
    for (;;) {
        TRY(reader_peek(fetching->reader, &view));
        bool is_last = !(view.block->frames[view.index].flags & FRAME_MORE);
        TRY(buf_append(&fetching->event, block_frame(view.block, view.index)));
        reader_take(fetching->reader, view.index + 1);
        if (is_last)
            return ERR_OK;
    }
}

static void get_found(struct run_call *call);

/* The run's journal was written anew meanwhile, and the one that was being read is gone. */
static void get_again(struct fetching *fetching)
{
    fetching->reader = reader_close(fetching->reader);
    buf_deinit(&fetching->event);
    get_found(&fetching->call);
}

static void fetch_on(void *context)
{
    struct fetching *fetching = context;
    enum err err = fetch(fetching);
    if (err == ERR_AGAIN)
        return;
    if (!fetching->call.exchange)
        run_call_end(&fetching->call);
    else if (err && fetching->stream != run_stream(fetching->call.visit.run))
        get_again(fetching);
    else if (err)
        run_call_refuse_err(&fetching->call, err);
    else
        answer_blob(fetching);
}

static void get_settled(struct run_call *call)
{
    struct fetching *fetching = CONTAINER_OF(call, struct fetching, call);
    struct slice known = exchange_header(call->exchange, "If-None-Match");
    char etag[ETAG_BYTES];
    if (!fetching->is_there) {
        refuse_absent(call);
        return;
    }
    if (known.data && names_etag(known, &fetching->id)) {
        make_etag(&fetching->id, etag);
        run_call_add(call, "ETag", slice_text(etag));
        run_call_reply(call, 304, NULL, SLICE_NONE);
        return;
    }
    struct stream *stream = stream_ref(fetching->stream);
    buf_init(&fetching->event, RUN_BLOB_BYTES_MAX + RUN_LINE_BYTES_MAX);
    enum err err = reader_new(stream, fetching->seq, true, fetch_on, fetching, &fetching->reader);
    if (err) {
        stream_unref(stream);
        run_call_refuse_err(call, ERR_AGAIN);
        return;
    }
    fetch_on(fetching);
}

static void get_found(struct run_call *call)
{
    struct fetching *fetching = CONTAINER_OF(call, struct fetching, call);
    const struct run_checkpoint *checkpoint =
        runbook_checkpoint(run_book(call->visit.run), buf_slice(&call->item));
    stream_unref(fetching->stream);
    fetching->stream = stream_ref(run_stream(call->visit.run));
    fetching->is_there = checkpoint;
    if (checkpoint) {
        fetching->id = checkpoint->id;
        fetching->seq = checkpoint->seq;
    }
    if (checkpoint && checkpoint->seq < stream_watermark(fetching->stream))
        get_settled(call);
    else
        run_call_settle(call, get_settled);
}

void checkpoint_get(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct fetching *fetching = run_call_new(api, exchange, sizeof *fetching, fetching_end);
    if (fetching)
        run_call_visit(&fetching->call, get_found);
}

/* ── the list ───────────────────────────────────────────────────────────────────────────────── */

/* Which of them, in which order. */
struct list_query {
    struct buf prefix;       /* of the name */
    struct buf before;       /* names less than this one; empty: any */
    uint64_t before_version; /* and older than this */
    bool is_by_name;         /* the greatest name first; else newest first */
    uint64_t limit;
};

/* As bytes; a name that goes on behind another one is greater. */
static int compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool is_wanted(const struct list_query *query, const struct run_checkpoint *checkpoint)
{
    return checkpoint->version < query->before_version &&
           slice_has_prefix(checkpoint->name, buf_slice(&query->prefix)) &&
           (query->before.size == 0 || compare(checkpoint->name, buf_slice(&query->before)) < 0);
}

/* Where a name belongs among `count` descending ones. */
static size_t place_of(struct slice name, const struct run_checkpoint *const *found, size_t count)
{
    size_t from = 0, to = count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (compare(found[middle]->name, name) > 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* The first `most` of them; how many there are. Names that grow with time, as most do, are found in
 * descending order. */
static size_t select_first(const struct runbook *book, const struct list_query *query,
    const struct run_checkpoint **found, size_t most)
{
    size_t count = 0;
    const struct list *node = book->checkpoints.prev;
    for (; node != &book->checkpoints && (query->is_by_name || count < most); node = node->prev) {
        const struct run_checkpoint *checkpoint =
            CONTAINER_OF((struct list *)(uintptr_t)node, struct run_checkpoint, node);
        if (!is_wanted(query, checkpoint))
            continue;
        size_t at = query->is_by_name ? place_of(checkpoint->name, found, count) : count;
        if (at == most)
            continue;
        size_t behind = (count < most ? count : most - 1) - at;
        memmove(found + at + 1, found + at, behind * sizeof(struct run_checkpoint *));
        found[at] = checkpoint;
        count += count < most;
    }
    return count;
}

static void put_next(
    struct json_writer *json, const struct list_query *query, const struct run_checkpoint *last)
{
    member_flag(json, "has_more", last);
    json_key(json, "next");
    if (!last)
        json_null(json);
    else if (query->is_by_name)
        json_string(json, last->name);
    else
        json_unsigned(json, last->version);
}

static void write_list(struct json_writer *json, const struct list_query *query,
    const struct run_checkpoint *const *found, size_t count)
{
    bool has_more = count > query->limit;
    size_t shown = has_more ? query->limit : count;
    json_open(json, '{');
    member_text(json, "object", SLICE("list"));
    json_key(json, "data");
    json_open(json, '[');
    for (size_t i = 0; i < shown; i++)
        put_checkpoint(json, found[i]);
    json_close(json, ']');
    put_next(json, query, has_more ? found[shown - 1] : NULL);
    json_close(json, '}');
}

/* A parameter that is a name, or the beginning of one; or not given. */
static enum err read_name(struct slice query, const char *parameter, struct buf *out)
{
    struct slice raw;
    enum err err = query_get(query, parameter, &raw);
    return err == ERR_NOTFOUND ? ERR_OK : err ? err : percent_decode(raw, true, out);
}

static enum err read_version(struct slice query, const char *parameter, uint64_t *out)
{
    struct slice raw;
    enum err err = query_get(query, parameter, &raw);
    return err == ERR_NOTFOUND ? ERR_OK : err ? err : slice_u64(raw, out);
}

/* The parameter that is wrong, or NULL. */
static const char *read_query(struct slice text, struct list_query *query)
{
    struct slice order;
    enum err err = query_get(text, "order", &order);
    query->is_by_name = !err && slice_equal(order, SLICE("name"));
    if (err != ERR_NOTFOUND && !query->is_by_name)
        return "order";
    if (read_name(text, "prefix", &query->prefix))
        return "prefix";
    err = query->is_by_name ? read_name(text, "before", &query->before)
                            : read_version(text, "before", &query->before_version);
    return err ? "before" : NULL;
}

static void is_listed(struct run_call *call)
{
    run_call_reply(call, 200, "application/json", buf_slice(&call->kept));
}

static void answer_list(struct run_call *call, const struct list_query *query)
{
    struct json_writer json;
    size_t most = (size_t)query->limit + 1;
    const struct run_checkpoint **found = calloc(most, sizeof *found);
    if (!found) {
        run_call_refuse_err(call, ERR_AGAIN);
        return;
    }
    size_t count = select_first(run_book(call->visit.run), query, found, most);
    json_writer_init(&json, &call->kept);
    write_list(&json, query, found, count);
    free(found);
    if (json.err)
        run_call_refuse(call, 500, "internal", "limit", "the page does not fit; ask for less");
    else
        run_call_settle(call, is_listed);
}

static void list_found(struct run_call *call)
{
    struct list_query query = {.before_version = UINT64_MAX};
    if (!run_call_page(call, &query.limit))
        return;
    buf_init(&query.prefix, RUN_NAME_BYTES_MAX);
    buf_init(&query.before, RUN_NAME_BYTES_MAX);
    const char *wrong = read_query(exchange_target(call->exchange).query, &query);
    if (wrong)
        run_call_refuse(call, 400, "invalid_parameter", wrong,
            "`order` is `name` or left out, `prefix` the beginning of names, `before` the `next` "
            "of "
            "the page before; each once");
    else
        answer_list(call, &query);
    buf_deinit(&query.prefix);
    buf_deinit(&query.before);
}

void checkpoints_list(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct run_call *call = run_call_new(api, exchange, sizeof *call, NULL);
    if (call)
        run_call_visit(call, list_found);
}

/* ── DELETE ─────────────────────────────────────────────────────────────────────────────────── */

static void is_removed(struct run_call *call)
{
    run_call_reply(call, 204, NULL, SLICE_NONE);
}

static void remove_found(struct run_call *call)
{
    const struct run_checkpoint *checkpoint =
        runbook_checkpoint(run_book(call->visit.run), buf_slice(&call->item));
    if (!check_conditions(call, checkpoint))
        return;
    if (!checkpoint) {
        refuse_absent(call);
        return;
    }
    struct run_record record = {.type = RUN_DELETE, .name = checkpoint->name};
    enum err err = run_write(call->visit.run, &record);
    if (err)
        run_call_refuse_err(call, err);
    else
        run_call_wait(call, call->visit.run, is_removed);
}

void checkpoint_remove(struct api *api, struct exchange *exchange, struct slice id)
{
    (void)id;
    struct run_call *call = run_call_new(api, exchange, sizeof *call, NULL);
    if (call)
        run_call_visit(call, remove_found);
}
