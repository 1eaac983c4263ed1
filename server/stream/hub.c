/* hub — see hub.h.
 *
 *   by_id   (project, id)  ─▶ stream     every stream in memory
 *   by_key  (project, key) ─▶ stream     the newest attempt, while its tail is in memory
 *   by_upstream  (project, upstream_id) ─▶ stream   likewise, any attempt
 *   claims  (project, key) ─▶ claim      look-ups of keys under way, with those who wait
 *   (lookup.c) */
#include "server/stream/hub_state.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"

/* ── finding ────────────────────────────────────────────────────────────────────────────────── */

uint64_t hub_hash(uint32_t project, struct slice name)
{
    uint8_t digest[SHA256_BYTES];
    struct slice parts[] = {slice_of(&project, sizeof project), name};
    sha256_parts(parts, 2, digest);
    return map_hash(slice_of(digest, sizeof digest));
}

uint64_t hub_hash_id(uint32_t project, const struct id *id)
{
    return map_hash(id_slice(id)) ^ project;
}

struct stream *hub_find(struct hub *hub, uint32_t project, const struct id *id)
{
    struct map_node *node = map_first(&hub->by_id, hub_hash_id(project, id));
    for (; node; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (stream->project_number == project && id_equal(&stream->id, id))
            return stream;
    }
    return NULL;
}

struct stream *hub_find_key(struct hub *hub, uint32_t project, struct slice key)
{
    struct map_node *node = key.size ? map_first(&hub->by_key, hub_hash(project, key)) : NULL;
    for (; node; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_key);
        if (stream->project_number == project && slice_equal(stream_row(stream)->key, key))
            return stream;
    }
    return NULL;
}

struct stream *hub_find_upstream(struct hub *hub, uint32_t project, struct slice upstream_id)
{
    struct map_node *node = map_first(&hub->by_upstream, hub_hash(project, upstream_id));
    for (; node; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_upstream);
        if (stream->project_number == project &&
            slice_equal(stream_row(stream)->upstream_id, upstream_id))
            return stream;
    }
    return NULL;
}

/* ── the hub ────────────────────────────────────────────────────────────────────────────────── */

static void probe_again(struct hub *hub)
{
    hub->probe_due_ns = loop_now_ns(hub->config.loop) + OVERLOAD_PROBE_MS * INT64_C(1000000);
    timer_set(hub->config.loop, &hub->probe, hub->probe_due_ns);
}

/* Once nothing is under way, nothing is too much. */
static void probe_fired(struct timer *timer)
{
    struct hub *hub = CONTAINER_OF(timer, struct hub, probe);
    int64_t lag_ns = loop_now_ns(hub->config.loop) - hub->probe_due_ns;
    if (hub->live_count) {
        overload_note(&hub->overload, lag_ns, hub->live_count);
        probe_again(hub);
    } else {
        overload_forget(&hub->overload);
    }
}

static void nothing(struct timer *timer)
{
    (void)timer;
}

enum err hub_new(const struct hub_config *config, struct hub **out)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return fault(ERR_NOMEM, "hub");
    hub->config = *config;
    hub->probe.fire = probe_fired;
    hub->again.fire = nothing;
    overload_init(&hub->overload, 0);
    map_init(&hub->by_id);
    map_init(&hub->by_key);
    map_init(&hub->by_upstream);
    map_init(&hub->claims);
    duplicates_init(&hub->duplicates);
    list_init(&hub->barriers);
    list_init(&hub->waiting);
    enum err err = sweep_new(hub, &hub->sweep);
    if (err) {
        free(hub);
        return err;
    }
    *out = hub;
    return ERR_OK;
}

/* Storage is closed by now: tails are gone without a word, and nobody reads any more. */
struct hub *hub_free(struct hub *hub)
{
    if (!hub)
        return NULL;
    struct map_node *node;
    duplicates_deinit(&hub->duplicates);
    while ((node = map_walk(&hub->by_id, NULL))) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        stream->tail = NULL;
        stream->producer = NULL;
        stream_free(stream);
    }
    map_deinit(&hub->by_id);
    map_deinit(&hub->by_key);
    map_deinit(&hub->by_upstream);
    map_deinit(&hub->claims);
    sweep_free(hub->sweep);
    free(hub);
    return NULL;
}

void hub_set_storage(struct hub *hub, struct storage *storage)
{
    hub->storage = storage;
    if (storage) {
        sweep_start(hub->sweep);
        return;
    }
    sweep_stop(hub->sweep);
    duplicates_clear(&hub->duplicates);
    timer_cancel(hub->config.loop, &hub->probe);
    timer_cancel(hub->config.loop, &hub->again);
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

void hub_committed(struct hub *hub, int64_t latency_ns)
{
    overload_note_commit(&hub->overload, latency_ns);
}

void hub_on_over(struct hub *hub, bool (*over)(void *context, struct stream *stream), void *context)
{
    hub->over = over;
    hub->over_context = context;
}

void hub_set_lag_max(struct hub *hub, int64_t lag_max_ns)
{
    overload_init(&hub->overload, lag_max_ns);
}

enum err hub_admits(struct hub *hub)
{
    if (hub->live_count >= (uint64_t)hub->config.streams_max)
        return ERR_LIMIT;
    if (hub->overload.lag_max_ns && !hub->probe.index)
        probe_again(hub);
    if (!overload_admits(&hub->overload, hub->live_count))
        return ERR_AGAIN;
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
    struct stream *older = hub_find_key(hub, row->project, row->key);
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
    stream->was_first_event_seen = row->is_appended; /* its measure is of generations */
    if (!row->is_appended) {
        stream_count_live(stream, true);
        metrics_add(hub->config.metrics, METRIC_streams_started_total, 1);
    }
    *out = stream;
    return ERR_OK;
}

/* ── what storage says ───────────────────────────────────────────────────────────────────────── */

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

static void fetch(const void *object)
{
    __builtin_prefetch(object);
    __builtin_prefetch((const char *)object + CACHE_LINE_BYTES);
}

static void fetch_watchers(const struct stream *stream)
{
    LIST_FOREACH (node, &stream->watchers) {
        const struct stream_watcher *watcher = CONTAINER_OF(node, struct stream_watcher, node);
        for (int i = 0; i < STREAM_TOUCHED_MAX; i++)
            if (watcher->touches[i])
                fetch(watcher->touches[i]);
        return; /* most have one */
    }
}

/* stream ─▶ its producer and first watcher ─▶ what that wakes: each is found in the one before. */
void hub_changes_soon(const struct tail *tail, int distance)
{
    const struct stream *stream = tail_owner(tail);
    if (!stream)
        return;
    if (distance == 3) {
        fetch(stream);
    } else if (distance == 2) {
        tail_fetch(tail);
        fetch(stream->producer);
        fetch(CONTAINER_OF(stream->watchers.next, struct stream_watcher, node));
    } else if (distance == 1) {
        fetch_watchers(stream);
    }
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
    ASSERT(stream->references == 1 || !stream_state_is_live(tail_row(tail)->state));
    stream_observe(stream);
    stream_count_live(stream, false);
    stream_unindex(stream); /* from now on the store answers for its names */
    enum err err = row_encode(tail_row(tail), &stream->row_bytes);
    if (!err)
        err = row_decode(buf_slice(&stream->row_bytes), &stream->row);
    if (err) { /* out of memory: readers that are left see an end without a reason */
        LOG(stream->hub->config.log, LOG_ERROR, "row_lost", LOG_ID("stream", &stream->id));
        stream->row =
            (struct row){.id = stream->id, .state = STREAM_FAILED, .events = tail_events(tail)};
    }
    stream_leave_tail(stream);
    stream_wake(stream);
    stream_unref(stream);
}

/* What was under way when we died: received is a part of what is recorded, and what the provider
 * did after is unknown. */
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

static enum err end_dead(struct hub *hub, struct tail *tail)
{
    LOG(hub->config.log, LOG_WARNING, "stream_interrupted", LOG_ID("stream", &tail_row(tail)->id),
        LOG_NUMBER("events", tail_events(tail)));
    return end_interrupted(hub, tail, "server_died",
        "the server died while the provider was answering; what had been received is recorded");
}

static void say_unrecovered(const struct hub *hub, enum err err)
{
    LOG(hub->config.log, LOG_ERROR, "recovery", LOG_TEXT("error", err_text(err)),
        LOG_TEXT("origin", fault_origin()));
}

static enum err recover(struct hub *hub, struct tail *tail)
{
    const struct row *row = tail_row(tail);
    struct stream *stream;
    TRY(stream_new(hub, NULL, row->project, &row->id, &stream));
    enum err err = tail_is_outdone(tail) ? ERR_OK : stream_index_key(stream, row);
    stream_take_tail(stream, tail);
    if (!err)
        err = stream_index_upstream(stream);
    stream->was_first_event_seen = true;
    stream_unref(stream); /* the tail's is left */
    if (err || !stream_state_is_live(row->state) || row->is_appended)
        return err;
    stream_count_live(stream, true);
    return row->is_kept_upstream ? ERR_OK : end_dead(hub, tail);
}

void hub_recovered(void *context, struct tail *tail)
{
    struct hub *hub = context;
    enum err err = recover(hub, tail);
    if (err)
        say_unrecovered(hub, err);
}

/* A generation that nobody goes on with. */
static bool is_left(const struct stream *stream)
{
    return stream->is_live && stream->tail && !stream->producer &&
           stream_state_is_live(tail_row(stream->tail)->state);
}

void hub_take_up(struct hub *hub, bool (*take)(void *context, struct stream *stream), void *context)
{
    for (struct map_node *node = map_walk(&hub->by_id, NULL); node;
         node = map_walk(&hub->by_id, node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        if (!is_left(stream) || take(context, stream) || !is_left(stream))
            continue;
        enum err err = end_dead(hub, stream->tail);
        if (err)
            say_unrecovered(hub, err);
    }
}

/* From one stream to the next: it is referenced until the one after it is asked for, so that whatever is
 * done meanwhile may let go of it, and of any other. NULL: the first; there is none. */
static struct stream *go_through(struct hub *hub, struct stream *last)
{
    struct map_node *node = map_walk(&hub->by_id, last ? &last->by_id : NULL);
    struct stream *next = node ? stream_ref(CONTAINER_OF(node, struct stream, by_id)) : NULL;
    stream_unref(last);
    return next;
}

void hub_paused(void *context, bool is_paused)
{
    struct hub *hub = context;
    struct stream *stream = NULL;
    hub->is_paused = is_paused;
    if (is_paused)
        return;
    while ((stream = go_through(hub, stream)))
        if (stream->producer)
            stream->writer->resumed(stream->producer);
}

void hub_stuck(struct hub *hub)
{
    struct stream *stream = NULL;
    hub->is_stuck = true;
    while ((stream = go_through(hub, stream))) {
        if (stream->producer)
            stream->writer->stop(stream->producer, STREAM_FAILED, "storage_full",
                "nothing can be made durable any more");
        stream_wake(stream);
    }
}

void hub_interrupt_all(struct hub *hub, const char *reason)
{
    struct stream *stream = NULL;
    while ((stream = go_through(hub, stream))) {
        bool had_producer = stream->producer;
        if (had_producer)
            stream->writer->stop(stream->producer, STREAM_INTERRUPTED, reason,
                "the server was told to stop before the provider had finished");
        if (had_producer && is_left(stream)) {
            stream->is_left = true;
            stream_count_live(stream, false);
            stream_wake(stream);
        }
    }
}

/* ── all of them, and what is durable ────────────────────────────────────────────────────────── */

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

static void wait(struct hub *hub, struct hub_barrier *barrier)
{
    struct storage_status status;
    storage_status(hub->storage, &status);
    barrier->lsn = status.journal.appended_lsn;
    storage_hurry(hub->storage);
    list_append(&hub->barriers, &barrier->node);
}

void hub_wait_durable(struct hub *hub, struct hub_barrier *barrier)
{
    barrier->stream = NULL;
    wait(hub, barrier);
}

void hub_wait_stream(struct stream *stream, struct hub_barrier *barrier)
{
    barrier->stream = stream;
    if (stream->tail)
        barrier->mark = tail_given(stream->tail);
    wait(stream->hub, barrier);
}

static bool is_shown(const struct hub_barrier *barrier)
{
    const struct tail *tail = barrier->stream ? barrier->stream->tail : NULL;
    return !tail || tail_shows(tail, barrier->mark);
}

/* Of those whose LSN is durable nearly all are shown, too. */
static void take_reached(struct hub *hub, const struct journal_status *journal)
{
    while (!list_is_empty(&hub->barriers)) {
        struct hub_barrier *barrier = CONTAINER_OF(hub->barriers.next, struct hub_barrier, node);
        if (barrier->lsn > journal->durable_lsn && !journal->is_stuck)
            return;
        list_unlink(&barrier->node);
        if (barrier->lsn <= journal->durable_lsn)
            list_append(&hub->waiting, &barrier->node);
        else
            barrier->done(barrier, ERR_FULL);
    }
}

static bool is_reached(const struct hub *hub, const struct journal_status *journal)
{
    return !list_is_empty(&hub->barriers) &&
           CONTAINER_OF(hub->barriers.next, struct hub_barrier, node)->lsn <= journal->durable_lsn;
}

/* This turn's writing is over: what was given after it is for the next one, as is who waits for nothing, and
 * the loop is not to sleep before that. */
static void ask_for_turn(struct hub *hub, const struct storage_status *before)
{
    struct storage_status after;
    storage_status(hub->storage, &after);
    if (after.journal.appended_lsn != before->journal.appended_lsn ||
        after.queued_bytes > before->queued_bytes || is_reached(hub, &after.journal))
        timer_set(hub->config.loop, &hub->again, loop_now_ns(hub->config.loop));
}

void hub_tick(struct hub *hub)
{
    if (list_is_empty(&hub->barriers) && list_is_empty(&hub->waiting))
        return;
    struct storage_status status;
    struct list waiting;
    struct list *node;
    storage_status(hub->storage, &status);
    take_reached(hub, &status.journal);
    list_init(&waiting);
    list_move(&waiting, &hub->waiting);
    while ((node = list_pop(&waiting))) {
        struct hub_barrier *barrier = CONTAINER_OF(node, struct hub_barrier, node);
        bool has_come = is_shown(barrier);
        if (has_come || status.journal.is_stuck)
            barrier->done(barrier, has_come ? ERR_OK : ERR_FULL);
        else
            list_append(&hub->waiting, &barrier->node);
    }
    ask_for_turn(hub, &status);
}
