/* stream — one stream: who holds it, what is known of it, who writes it, who watches it. See
 * hub.h. */
#include "server/stream/hub_state.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

static void unwatched_fired(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, unwatched);
    (void)stream_stop(
        stream, "unwatched", "nobody was reading, and the project's on_disconnect limit passed");
}

enum err stream_new(struct hub *hub, struct project *project, uint32_t project_number,
    const struct id *id, struct stream **out)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return fault(ERR_NOMEM, "stream");
    stream->hub = hub;
    stream->project = project;
    stream->project_number = project_number;
    stream->id = *id;
    stream->references = 1;
    stream->unwatched.fire = unwatched_fired;
    list_init(&stream->watchers);
    buf_init(&stream->row_bytes, ROW_BYTES_MAX);
    enum err err = map_insert(&hub->by_id, &stream->by_id, hub_hash_id(project_number, id));
    if (err) {
        free(stream);
        return err;
    }
    *out = stream;
    return ERR_OK;
}

/* The newest attempt of a key is the one that is found. */
enum err stream_index_key(struct stream *stream, const struct row *row)
{
    if (row->key.size == 0)
        return ERR_OK;
    struct stream *older = hub_find_key(stream->hub, stream->project_number, row->key);
    if (older && stream_row(older)->attempt > row->attempt)
        return ERR_OK;
    if (older) {
        map_remove(&stream->hub->by_key, &older->by_key);
        older->is_keyed = false;
    }
    TRY(map_insert(
        &stream->hub->by_key, &stream->by_key, hub_hash(stream->project_number, row->key)));
    stream->is_keyed = true;
    return ERR_OK;
}

enum err stream_index_upstream(struct stream *stream)
{
    struct slice upstream_id = stream_row(stream)->upstream_id;
    if (upstream_id.size == 0 || stream->is_upstream)
        return ERR_OK;
    TRY(map_insert(&stream->hub->by_upstream, &stream->by_upstream,
        hub_hash(stream->project_number, upstream_id)));
    stream->is_upstream = true;
    return ERR_OK;
}

void stream_unindex(struct stream *stream)
{
    if (stream->is_keyed)
        map_remove(&stream->hub->by_key, &stream->by_key);
    if (stream->is_upstream)
        map_remove(&stream->hub->by_upstream, &stream->by_upstream);
    stream->is_keyed = stream->is_upstream = false;
}

void stream_free(struct stream *stream)
{
    ASSERT(!stream->tail && list_is_empty(&stream->watchers) && !stream->producer);
    timer_cancel(stream->hub->config.loop, &stream->unwatched);
    stream_unindex(stream);
    map_remove(&stream->hub->by_id, &stream->by_id);
    buf_deinit(&stream->row_bytes);
    free(stream);
}

/* The tail's own reference keeps no open one in memory. */
static void note_wanted(struct stream *stream, bool is_wanted)
{
    if (stream->is_appended && stream->tail && stream->hub->storage)
        tail_set_wanted(stream->tail, is_wanted);
}

struct stream *stream_ref(struct stream *stream)
{
    ASSERT(stream->references > 0);
    if (++stream->references == 2)
        note_wanted(stream, true);
    return stream;
}

struct stream *stream_unref(struct stream *stream)
{
    if (!stream)
        return NULL;
    ASSERT(stream->references > 0);
    if (--stream->references == 0)
        stream_free(stream);
    else if (stream->references == 1)
        note_wanted(stream, false);
    return NULL;
}

/* The tail holds one reference of the stream, until `gone`. */
void stream_take_tail(struct stream *stream, struct tail *tail)
{
    stream->tail = tail;
    stream->is_appended = tail_row(tail)->is_appended;
    stream->hub->appended_count += stream->is_appended;
    tail_set_owner(tail, stream_ref(stream));
}

void stream_leave_tail(struct stream *stream)
{
    stream->tail = NULL;
    stream->hub->appended_count -= stream->is_appended;
}

enum err stream_from_row(struct hub *hub, struct project *project, uint32_t project_number,
    struct slice encoded, struct stream **out)
{
    struct row row;
    TRY(row_decode(encoded, &row));
    struct stream *stream;
    TRY(stream_new(hub, project, project_number, &row.id, &stream));
    enum err err = buf_append(&stream->row_bytes, encoded);
    if (!err)
        err = row_decode(buf_slice(&stream->row_bytes), &stream->row);
    if (err)
        stream_unref(stream);
    else
        *out = stream;
    return err;
}

enum err stream_reopen(struct stream *stream, const struct storage_query *query)
{
    struct tail *tail;
    struct hub *hub = stream->hub;
    if (hub->appended_count >= APPENDED_OPEN_MAX)
        return ERR_LIMIT;
    TRY(stream_index_key(stream, &stream->row));
    TRY(storage_reopen(hub->storage, query, &stream->row, &tail));
    stream->was_first_event_seen = true;
    stream_take_tail(stream, tail);
    buf_deinit(&stream->row_bytes); /* the tail has its own */
    buf_init(&stream->row_bytes, ROW_BYTES_MAX);
    return ERR_OK;
}

void stream_count_live(struct stream *stream, bool is_live)
{
    if (stream->is_live == is_live)
        return;
    stream->is_live = is_live;
    stream->hub->live_count += is_live ? 1 : (uint64_t)-1;
    metrics_set(stream->hub->config.metrics, METRIC_streams_live, stream->hub->live_count);
}

const struct row *stream_row(const struct stream *stream)
{
    return stream->tail ? tail_row(stream->tail) : &stream->row;
}

struct tail *stream_tail(const struct stream *stream)
{
    return stream->tail;
}

struct project *stream_project(const struct stream *stream)
{
    return stream->project;
}

struct hub *stream_hub(const struct stream *stream)
{
    return stream->hub;
}

const struct row *stream_visible_row(const struct stream *stream)
{
    return stream->tail ? tail_durable_row(stream->tail) : &stream->row;
}

bool stream_is_deleted(const struct stream *stream)
{
    return stream->is_deleted || stream_row(stream)->state == STREAM_DELETED;
}

bool stream_has_ended(const struct stream *stream)
{
    return !stream->tail || tail_has_ended(stream->tail);
}

uint64_t stream_watermark(const struct stream *stream)
{
    return stream->tail ? tail_watermark(stream->tail) : stream->row.events;
}

bool stream_head_is_visible(const struct stream *stream)
{
    return stream_has_ended(stream) || tail_watermark(stream->tail) > 0;
}

bool stream_is_left(const struct stream *stream)
{
    return stream->is_left;
}

bool stream_row_is_durable(const struct stream *stream)
{
    return !stream->tail || tail_is_row_durable(stream->tail);
}

/* ── ending ─────────────────────────────────────────────────────────────────────────────────── */

bool stream_stop(struct stream *stream, const char *reason, const char *detail)
{
    if (!stream->producer)
        return false;
    stream->writer->stop(stream->producer, STREAM_STOPPED, reason, detail);
    return true;
}

enum err stream_delete(struct stream *stream, const char *reason)
{
    const struct row *row = stream_row(stream);
    if (!stream_has_ended(stream) && !row->is_appended)
        return ERR_BUSY;
    TRY(storage_delete(stream->hub->storage, stream->project_number, &stream->id, row->number,
        slice_text(reason)));
    stream->is_deleted = true;
    return ERR_OK;
}

/* ── held, and read ─────────────────────────────────────────────────────────────────────────── */

/* A tail has learnt it from storage; the row of a stream without one is ours. */
static void hold_done(void *owner, enum err err)
{
    struct stream_hold *hold = owner;
    struct stream *stream = hold->stream;
    stream->holds_pending--;
    if (!err && !stream->tail)
        stream->row.is_held = hold->is_held;
    hold->done(hold, err);
    stream_unref(stream);
}

enum err stream_set_held(struct stream *stream, bool is_held, struct stream_hold *hold)
{
    struct storage_amendment amendment = {.project = stream->project_number,
        .id = stream->id,
        .number = stream_row(stream)->number,
        .kind = is_held ? AMEND_HOLD : AMEND_RELEASE,
        .done = hold_done,
        .owner = hold};
    hold->stream = stream;
    hold->is_held = is_held;
    TRY(storage_amend(stream->hub->storage, &amendment));
    stream->holds_pending++;
    stream_ref(stream);
    return ERR_OK;
}

bool stream_is_held(const struct stream *stream)
{
    return stream->holds_pending > 0 || stream_row(stream)->is_held;
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* One that cannot be noted now is noted at a next reading. */
void stream_touch(struct stream *stream)
{
    const struct row *row = stream_row(stream);
    int64_t now_ns = loop_wall_ns(stream->hub->config.loop);
    int64_t last_ns = latest(latest(row->ended_ns, row->touched_ns), stream->noted_ns);
    if (!row->is_sliding || row->ttl_s <= 0 || (!stream_has_ended(stream) && !row->is_appended))
        return;
    stream->touched_ns = now_ns;
    if ((now_ns - last_ns) / 1000000 < row->ttl_s * (1000 / TOUCH_DIVISOR))
        return;
    struct storage_amendment amendment = {.project = stream->project_number,
        .id = stream->id,
        .number = row->number,
        .kind = AMEND_TOUCH,
        .time_ns = now_ns};
    if (storage_amend(stream->hub->storage, &amendment) == ERR_OK)
        stream->noted_ns = now_ns;
}

/* ── who writes, who watches ─────────────────────────────────────────────────────────────────── */

void stream_set_producer(
    struct stream *stream, struct producer *producer, const struct stream_writer *writer)
{
    ASSERT(!producer != !stream->producer);
    stream->producer = producer;
    stream->writer = writer;
}

void stream_watch(struct stream *stream, struct stream_watcher *watcher)
{
    watcher->is_parked = false;
    list_append(&stream->watchers, &watcher->node);
    stream->watcher_count++;
    metrics_set(stream->hub->config.metrics, METRIC_readers_attached, ++stream->hub->watcher_count);
    timer_cancel(stream->hub->config.loop, &stream->unwatched);
}

/* The last watcher of a live generation is gone: the project says what that means. */
static void stream_unwatched(struct stream *stream)
{
    struct disconnect rule =
        stream->project ? stream->project->on_disconnect : (struct disconnect){0};
    if (!stream->hub->storage || !stream->producer || stream->outlives_callers ||
        rule.policy == DISCONNECT_CONTINUE)
        return;
    int64_t after_ns = rule.policy == DISCONNECT_STOP ? 0 : rule.after_s * 1000000000;
    struct loop *loop = stream->hub->config.loop;
    timer_set(loop, &stream->unwatched, loop_now_ns(loop) + after_ns);
}

void stream_outlive_callers(struct stream *stream)
{
    stream->outlives_callers = true;
    timer_cancel(stream->hub->config.loop, &stream->unwatched);
}

void stream_unwatch(struct stream *stream, struct stream_watcher *watcher)
{
    ASSERT(stream->watcher_count > 0);
    list_unlink(&watcher->node);
    metrics_set(stream->hub->config.metrics, METRIC_readers_attached, --stream->hub->watcher_count);
    if (--stream->watcher_count == 0)
        stream_unwatched(stream);
}
