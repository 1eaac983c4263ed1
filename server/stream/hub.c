/* hub — see hub.h.
 *
 *   by_id   (project, id)  ─▶ stream     every stream in memory
 *   by_key  (project, key) ─▶ stream     the newest attempt, while its tail is in memory
 *   claims  (project, key) ─▶ claim      look-ups of keys under way, with those who wait
 *
 * A stream is in memory while it has a tail or a reference. `stream->tail` is NULL once storage has said `gone`; the row is then
 * the stream's own copy. */
#include "server/stream/hub.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

struct hub {
    struct hub_config config;
    struct storage *storage;
    struct map by_id, by_key, claims;
    uint64_t live_count, watcher_count;
    bool is_paused, is_stuck;
    struct list barriers; /* by LSN */
};

struct stream {
    struct map_node by_id, by_key;
    struct hub *hub;
    struct tail *tail;
    struct project *project;
    uint32_t project_number;
    struct id id;
    uint64_t key_hash;
    bool is_keyed; /* in by_key */
    bool is_live;  /* counted */
    bool is_deleted;
    unsigned holds_pending;
    int64_t touched_ns; /* asked to be noted */
    bool was_first_event_seen;
    size_t references;
    struct list watchers;
    size_t watcher_count;
    struct timer unwatched;
    struct producer *producer;
    const struct stream_writer *writer;
    struct buf row_bytes; /* when there is no tail */
    struct row row;
};

struct claim {
    struct map_node node;
    struct hub *hub;
    struct project *project;
    struct buf key;
    struct list waiters;
    size_t waiter_count;
    struct storage_query query;
    struct buf row_bytes; /* what the store knew */
};

/* ── finding ────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t hash_of(uint32_t project, struct slice name)
{
    uint8_t digest[SHA256_BYTES];
    struct slice parts[] = {slice_of(&project, sizeof project), name};
    sha256_parts(parts, 2, digest);
    return map_hash(slice_of(digest, sizeof digest));
}

static uint64_t hash_of_id(uint32_t project, const struct id *id)
{
    return map_hash(id_slice(id)) ^ project;
}

static struct stream *find_by_id(struct hub *hub, uint32_t project, const struct id *id)
{
    struct map_node *node = map_first(&hub->by_id, hash_of_id(project, id));
    for (; node; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (stream->project_number == project && id_equal(&stream->id, id))
            return stream;
    }
    return NULL;
}

static struct stream *find_by_key(struct hub *hub, uint32_t project, struct slice key)
{
    struct map_node *node = map_first(&hub->by_key, hash_of(project, key));
    for (; node; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_key);
        if (stream->project_number == project && slice_equal(stream_row(stream)->key, key))
            return stream;
    }
    return NULL;
}

/* ── a stream's life ────────────────────────────────────────────────────────────────────────────── */

static void unwatched_fired(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, unwatched);
    (void)stream_stop(
        stream, "unwatched", "nobody was reading, and the project's on_disconnect limit passed");
}

static enum err stream_new(struct hub *hub, struct project *project, uint32_t project_number,
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
    enum err err = map_insert(&hub->by_id, &stream->by_id, hash_of_id(project_number, id));
    if (err) {
        free(stream);
        return err;
    }
    *out = stream;
    return ERR_OK;
}

/* The newest attempt of a key is the one that is found. */
static enum err stream_index_key(struct stream *stream, const struct row *row)
{
    if (row->key.size == 0)
        return ERR_OK;
    struct stream *older = find_by_key(stream->hub, stream->project_number, row->key);
    if (older && stream_row(older)->attempt > row->attempt)
        return ERR_OK;
    if (older) {
        map_remove(&stream->hub->by_key, &older->by_key);
        older->is_keyed = false;
    }
    TRY(map_insert(
        &stream->hub->by_key, &stream->by_key, hash_of(stream->project_number, row->key)));
    stream->is_keyed = true;
    return ERR_OK;
}

static void stream_unindex_key(struct stream *stream)
{
    if (stream->is_keyed)
        map_remove(&stream->hub->by_key, &stream->by_key);
    stream->is_keyed = false;
}

static void stream_free(struct stream *stream)
{
    ASSERT(!stream->tail && list_is_empty(&stream->watchers) && !stream->producer);
    timer_cancel(stream->hub->config.loop, &stream->unwatched);
    stream_unindex_key(stream);
    map_remove(&stream->hub->by_id, &stream->by_id);
    buf_deinit(&stream->row_bytes);
    free(stream);
}

struct stream *stream_ref(struct stream *stream)
{
    ASSERT(stream->references > 0);
    stream->references++;
    return stream;
}

struct stream *stream_unref(struct stream *stream)
{
    if (!stream)
        return NULL;
    ASSERT(stream->references > 0);
    if (--stream->references == 0)
        stream_free(stream);
    return NULL;
}

/* The tail holds one reference of the stream, until `gone`. */
static void stream_take_tail(struct stream *stream, struct tail *tail)
{
    stream->tail = tail;
    tail_set_owner(tail, stream_ref(stream));
}

static enum err stream_from_row(struct hub *hub, struct project *project, uint32_t project_number,
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

static void stream_count_live(struct stream *stream, bool is_live)
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

bool stream_row_is_durable(const struct stream *stream)
{
    return !stream->tail || tail_is_row_durable(stream->tail);
}

/* ── the hub ────────────────────────────────────────────────────────────────────────────────────── */

enum err hub_new(const struct hub_config *config, struct hub **out)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return fault(ERR_NOMEM, "hub");
    hub->config = *config;
    map_init(&hub->by_id);
    map_init(&hub->by_key);
    map_init(&hub->claims);
    list_init(&hub->barriers);
    *out = hub;
    return ERR_OK;
}

/* Storage is closed by now: tails are gone without a word, and nobody reads any more. */
struct hub *hub_free(struct hub *hub)
{
    if (!hub)
        return NULL;
    struct map_node *node;
    while ((node = map_walk(&hub->by_id, NULL))) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        stream->tail = NULL;
        stream->producer = NULL;
        stream_free(stream);
    }
    map_deinit(&hub->by_id);
    map_deinit(&hub->by_key);
    map_deinit(&hub->claims);
    free(hub);
    return NULL;
}

void hub_set_storage(struct hub *hub, struct storage *storage)
{
    hub->storage = storage;
    if (storage)
        return;
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node;
         node = map_walk(&hub->by_id, node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        timer_cancel(hub->config.loop, &stream->unwatched);
    }
}

struct storage *hub_storage(const struct hub *hub)
{
    return hub->storage;
}

struct log *hub_log(const struct hub *hub)
{
    return hub->config.log;
}

struct loop *hub_loop(const struct hub *hub)
{
    return hub->config.loop;
}

bool hub_is_paused(const struct hub *hub)
{
    return hub->is_paused;
}

bool hub_is_stuck(const struct hub *hub)
{
    return hub->is_stuck;
}

uint64_t hub_live_count(const struct hub *hub)
{
    return hub->live_count;
}

enum err hub_admits(const struct hub *hub)
{
    if (hub->live_count >= (uint64_t)hub->config.streams_max)
        return ERR_LIMIT;
    struct storage_status status;
    storage_status(hub->storage, &status);
    if (status.tail_bytes >= (uint64_t)hub->config.tail_bytes_max)
        return ERR_AGAIN;
    return storage_admits(hub->storage);
}

enum err hub_create(struct hub *hub, struct project *project, struct row *row, struct slice body,
    struct stream **out)
{
    struct stream *stream;
    struct tail *tail;
    struct stream *older = find_by_key(hub, row->project, row->key);
    TRY(stream_new(hub, project, row->project, &row->id, &stream));
    enum err err = stream_index_key(stream, row);
    if (!err)
        err = storage_create(hub->storage, row, body, &tail);
    if (err) {
        stream_unref(stream);
        if (older && !older->is_keyed) /* it is still the newest; the table has room, as before */
            ASSERT(stream_index_key(older, stream_row(older)) == ERR_OK);
        return err;
    }
    stream_take_tail(stream, tail);
    stream_count_live(stream, true);
    metrics_add(hub->config.metrics, METRIC_streams_started_total, 1);
    *out = stream;
    return ERR_OK;
}

/* ── what storage says ──────────────────────────────────────────────────────────────────────────── */

static void stream_wake(struct stream *stream)
{
    LIST_FOREACH_SAFE (node, &stream->watchers) {
        struct stream_watcher *watcher = CONTAINER_OF(node, struct stream_watcher, node);
        if (!watcher->is_parked)
            continue;
        watcher->is_parked = false;
        watcher->wake(watcher);
    }
}

static void stream_observe(struct stream *stream)
{
    const struct row *row = tail_row(stream->tail);
    struct metrics *metrics = stream->hub->config.metrics;
    if (!stream->was_first_event_seen && tail_watermark(stream->tail) > 0) {
        stream->was_first_event_seen = true;
        metrics_observe(metrics, METRIC_first_event_seconds,
            loop_wall_ns(stream->hub->config.loop) - row->accepted_ns);
    }
    if (!stream->is_live || !tail_has_ended(stream->tail))
        return;
    stream_count_live(stream, false);
    timer_cancel(stream->hub->config.loop, &stream->unwatched);
    metrics_add_label(metrics, METRIC_streams_ended_total, stream_state_name(row->state), 1);
    metrics_add(metrics, METRIC_events_total, row->events);
    metrics_add(metrics, METRIC_event_bytes_total, row->bytes);
    LOG(stream->hub->config.log, row->state == STREAM_COMPLETED ? LOG_INFO : LOG_WARNING,
        "stream_ended", LOG_ID("stream", &row->id),
        LOG_TEXT("state", stream_state_name(row->state)), LOG_SLICE("reason", row->reason),
        LOG_SLICE("detail", row->detail), LOG_SLICE("model", row->model),
        LOG_NUMBER("status", row->status), LOG_NUMBER("events", row->events),
        LOG_NUMBER("bytes", row->bytes), LOG_NUMBER("output_tokens", row->usage.output),
        LOG_NUMBER("ms", (row->ended_ns - row->accepted_ns) / 1000000));
}

void hub_changed(void *hub, struct tail *tail)
{
    struct stream *stream = tail_owner(tail);
    (void)hub;
    if (!stream) /* recovery could not take it up */
        return;
    stream_ref(stream);
    stream_observe(stream);
    if (stream->producer)
        stream->writer->changed(stream->producer);
    stream_wake(stream);
    stream_unref(stream);
}

void hub_gone(void *context, struct tail *tail)
{
    struct stream *stream = tail_owner(tail);
    (void)context;
    if (!stream)
        return;
    ASSERT(stream->tail == tail && !stream->producer);
    stream_observe(stream);
    stream_count_live(stream, false);
    stream_unindex_key(stream); /* from now on the store answers for the key */
    enum err err = row_encode(tail_row(tail), &stream->row_bytes);
    if (!err)
        err = row_decode(buf_slice(&stream->row_bytes), &stream->row);
    if (err) { /* out of memory: readers that are left see an end without a reason */
        LOG(stream->hub->config.log, LOG_ERROR, "row_lost", LOG_ID("stream", &stream->id));
        stream->row =
            (struct row){.id = stream->id, .state = STREAM_FAILED, .events = tail_events(tail)};
    }
    stream->tail = NULL;
    stream_wake(stream);
    stream_unref(stream);
}

/* What was under way when we died: received is a part of what is recorded, and what the provider did after is unknown. */
static enum err end_interrupted(
    struct hub *hub, struct tail *tail, const char *reason, const char *detail)
{
    struct row row = *tail_row(tail);
    row.state = STREAM_INTERRUPTED;
    row.reason = slice_text(reason);
    row.detail = slice_text(detail);
    row.ended_ns = loop_wall_ns(hub->config.loop);
    return tail_end(tail, SLICE_NONE, row.ended_ns, &row);
}

static enum err recover(struct hub *hub, struct tail *tail)
{
    const struct row *row = tail_row(tail);
    struct stream *stream;
    TRY(stream_new(hub, NULL, row->project, &row->id, &stream));
    enum err err = stream_index_key(stream, row);
    stream_take_tail(stream, tail);
    stream->was_first_event_seen = true;
    stream_unref(stream); /* the tail's is left */
    if (err || !stream_state_is_live(row->state))
        return err;
    LOG(hub->config.log, LOG_WARNING, "stream_interrupted", LOG_ID("stream", &row->id),
        LOG_NUMBER("events", tail_events(tail)));
    stream_count_live(stream, true);
    return end_interrupted(hub, tail, "server_died",
        "the server died while the provider was answering; what had been received is recorded");
}

void hub_recovered(void *context, struct tail *tail)
{
    struct hub *hub = context;
    enum err err = recover(hub, tail);
    if (err)
        LOG(hub->config.log, LOG_ERROR, "recovery", LOG_TEXT("error", err_text(err)),
            LOG_TEXT("origin", fault_origin()));
}

void hub_paused(void *context, bool is_paused)
{
    struct hub *hub = context;
    hub->is_paused = is_paused;
    if (is_paused)
        return;
    struct map_node *next;
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node; node = next) {
        next = map_walk(&hub->by_id, node);
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (stream->producer)
            stream->writer->resumed(stream->producer);
    }
}

void hub_stuck(struct hub *hub)
{
    hub->is_stuck = true;
    struct map_node *next;
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node; node = next) {
        next = map_walk(&hub->by_id, node);
        struct stream *stream = stream_ref(CONTAINER_OF(node, struct stream, by_id));
        if (stream->producer)
            stream->writer->stop(stream->producer, STREAM_FAILED, "storage_full",
                "nothing can be made durable any more");
        stream_wake(stream);
        stream_unref(stream);
    }
}

/* ── ending ─────────────────────────────────────────────────────────────────────────────────────── */

bool stream_stop(struct stream *stream, const char *reason, const char *detail)
{
    if (!stream->producer)
        return false;
    stream->writer->stop(stream->producer, STREAM_STOPPED, reason, detail);
    return true;
}

void hub_interrupt_all(struct hub *hub, const char *reason)
{
    struct map_node *next;
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node; node = next) {
        next = map_walk(&hub->by_id, node);
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (stream->producer)
            stream->writer->stop(stream->producer, STREAM_INTERRUPTED, reason,
                "the server was told to stop before the provider had finished");
    }
}

enum err stream_delete(struct stream *stream, const char *reason)
{
    if (!stream_has_ended(stream))
        return ERR_BUSY;
    const struct row *row = stream_row(stream);
    TRY(storage_delete(stream->hub->storage, stream->project_number, &stream->id, row->number,
        slice_text(reason)));
    stream->is_deleted = true;
    return ERR_OK;
}

/* ── held, and read ─────────────────────────────────────────────────────────────────────────────── */

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
    int64_t last_ns = latest(latest(row->ended_ns, row->touched_ns), stream->touched_ns);
    if (!row->is_sliding || row->ttl_s <= 0 || !stream_has_ended(stream) ||
        (now_ns - last_ns) / 1000000 < row->ttl_s * (1000 / TOUCH_DIVISOR))
        return;
    struct storage_amendment amendment = {.project = stream->project_number,
        .id = stream->id,
        .number = row->number,
        .kind = AMEND_TOUCH,
        .time_ns = now_ns};
    if (storage_amend(stream->hub->storage, &amendment) == ERR_OK)
        stream->touched_ns = now_ns;
}

/* ── who writes, who watches ────────────────────────────────────────────────────────────────────── */

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
    if (!stream->hub->storage || !stream->producer || rule.policy == DISCONNECT_CONTINUE)
        return;
    int64_t after_ns = rule.policy == DISCONNECT_STOP ? 0 : rule.after_s * 1000000000;
    struct loop *loop = stream->hub->config.loop;
    timer_set(loop, &stream->unwatched, loop_now_ns(loop) + after_ns);
}

void stream_unwatch(struct stream *stream, struct stream_watcher *watcher)
{
    ASSERT(stream->watcher_count > 0);
    list_unlink(&watcher->node);
    metrics_set(stream->hub->config.metrics, METRIC_readers_attached, --stream->hub->watcher_count);
    if (--stream->watcher_count == 0)
        stream_unwatched(stream);
}

/* ── looking up ─────────────────────────────────────────────────────────────────────────────────── */

/* What the store said of a stream becomes a stream in memory, unless one came up meanwhile. */
static enum err adopt(
    struct hub *hub, struct project *project, struct slice encoded, struct stream **out)
{
    struct row row;
    TRY(row_decode(encoded, &row));
    struct stream *stream = find_by_id(hub, project->number, &row.id);
    if (stream) {
        *out = stream_ref(stream);
        return ERR_OK;
    }
    return stream_from_row(hub, project, project->number, encoded, out);
}

static void open_done(struct storage_query *query, enum err err)
{
    struct hub_lookup *lookup = query->owner;
    struct stream *stream = NULL;
    struct buf bytes = query->bytes;
    query->bytes = (struct buf){0};
    if (!err)
        err = adopt(lookup->hub, lookup->project, buf_slice(&bytes), &stream);
    buf_deinit(&bytes);
    lookup->done(lookup, err, stream);
}

static struct stream *adopt_project(struct stream *stream, struct project *project)
{
    if (!stream->project) /* recovered before its project's key was seen */
        stream->project = project;
    return stream_ref(stream);
}

void hub_open(
    struct hub *hub, struct project *project, const struct id *id, struct hub_lookup *lookup)
{
    struct stream *stream = find_by_id(hub, project->number, id);
    if (stream && !stream_visible_row(stream)) {
        lookup->done(lookup, ERR_NOTFOUND, NULL); /* nobody can have been told its ID */
        return;
    }
    if (stream) {
        lookup->done(lookup, ERR_OK, adopt_project(stream, project));
        return;
    }
    lookup->hub = hub;
    lookup->project = project;
    lookup->query = (struct storage_query){.kind = STORAGE_ROW,
        .project = project->number,
        .id = *id,
        .done = open_done,
        .owner = lookup};
    enum err err = storage_query(hub->storage, &lookup->query);
    if (err)
        lookup->done(lookup, err, NULL);
}

static struct claim *find_claim(struct hub *hub, struct project *project, struct slice key)
{
    struct map_node *node = map_first(&hub->claims, hash_of(project->number, key));
    for (; node; node = map_next(node)) {
        struct claim *claim = CONTAINER_OF(node, struct claim, node);
        if (claim->project->number == project->number && slice_equal(buf_slice(&claim->key), key))
            return claim;
    }
    return NULL;
}

static void claim_free(struct claim *claim)
{
    ASSERT(list_is_empty(&claim->waiters));
    map_remove(&claim->hub->claims, &claim->node);
    buf_deinit(&claim->key);
    buf_deinit(&claim->row_bytes);
    free(claim);
}

/* One in line: the map first, since the one before may have created the stream; then what the store knew. */
static void claim_answer(struct claim *claim, struct hub_lookup *lookup, enum err err)
{
    struct stream *stream = find_by_key(claim->hub, claim->project->number, buf_slice(&claim->key));
    if (stream) {
        lookup->done(lookup, ERR_OK, adopt_project(stream, claim->project));
        return;
    }
    if (!err)
        err = adopt(claim->hub, claim->project, buf_slice(&claim->row_bytes), &stream);
    lookup->done(lookup, err, stream);
}

static void claim_done(struct storage_query *query, enum err err)
{
    struct claim *claim = query->owner;
    claim->row_bytes = query->bytes;
    query->bytes = (struct buf){0};
    struct list *node;
    while ((node = list_pop(&claim->waiters)))
        claim_answer(claim, CONTAINER_OF(node, struct hub_lookup, node), err);
    claim_free(claim);
}

static enum err claim_new(
    struct hub *hub, struct project *project, struct slice key, struct claim **out)
{
    struct claim *claim = calloc(1, sizeof *claim);
    if (!claim)
        return fault(ERR_NOMEM, "claim");
    claim->hub = hub;
    claim->project = project;
    list_init(&claim->waiters);
    buf_init(&claim->key, KEY_BYTES_MAX);
    enum err err = buf_append(&claim->key, key);
    if (!err)
        err = map_insert(&hub->claims, &claim->node, hash_of(project->number, key));
    if (err) {
        buf_deinit(&claim->key);
        free(claim);
        return err;
    }
    claim->query = (struct storage_query){.kind = STORAGE_KEY,
        .project = project->number,
        .key = buf_slice(&claim->key),
        .done = claim_done,
        .owner = claim};
    err = storage_query(hub->storage, &claim->query);
    if (err)
        claim_free(claim);
    else
        *out = claim;
    return err;
}

void hub_claim(
    struct hub *hub, struct project *project, struct slice key, struct hub_lookup *lookup)
{
    lookup->hub = hub;
    lookup->project = project;
    struct stream *stream = find_by_key(hub, project->number, key);
    if (stream) {
        lookup->done(lookup, ERR_OK, adopt_project(stream, project));
        return;
    }
    struct claim *claim = find_claim(hub, project, key);
    enum err err = claim ? ERR_OK : claim_new(hub, project, key, &claim);
    if (!err && claim->waiter_count >= CLAIM_WAITERS_MAX)
        err = ERR_LIMIT;
    if (err) {
        lookup->done(lookup, err, NULL);
        return;
    }
    claim->waiter_count++;
    list_append(&claim->waiters, &lookup->node);
}

/* ── all of them, and what is durable ───────────────────────────────────────────────────────────── */

void hub_walk(struct hub *hub, const struct project *project,
    void (*visit)(void *context, struct stream *stream), void *context)
{
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node;
         node = map_walk(&hub->by_id, node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (stream->project_number == project->number)
            visit(context, stream);
    }
}

void hub_wait_durable(struct hub *hub, struct hub_barrier *barrier)
{
    struct storage_status status;
    storage_status(hub->storage, &status);
    barrier->lsn = status.journal.appended_lsn;
    list_append(&hub->barriers, &barrier->node);
}

void hub_tick(struct hub *hub)
{
    if (list_is_empty(&hub->barriers))
        return;
    struct storage_status status;
    storage_status(hub->storage, &status);
    while (!list_is_empty(&hub->barriers)) {
        struct hub_barrier *barrier = CONTAINER_OF(hub->barriers.next, struct hub_barrier, node);
        bool is_reached = barrier->lsn <= status.journal.durable_lsn;
        if (!is_reached && !status.journal.is_stuck)
            return;
        list_unlink(&barrier->node);
        barrier->done(barrier, is_reached ? ERR_OK : ERR_FULL);
    }
}
