/* history — see the header. A step is: something that callers, providers, the disk or fate do; then a
 * turn of the loop; then a look at every stream in memory.                                     */
#include "tests/sim/history.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/stream/producer.h"
#include "server/stream/reader.h"
#include "tests/server/stream/upstream_fake.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/loop_sim.h"
#include "tests/sim/model.h"
#include "tests/sim/random.h"

enum {
    READERS_MAX = 24,
    KEYS = 5,
    SETTLE_TURNS_MAX = 4000,
    PATH_BYTES = 64,
    MEMORY_BYTES_MAX = 256 * 1024 * 1024, /* of tails: far above what the few events need */
};

struct caller {
    struct history *history;
    struct reader *reader; /* NULL: free */
    uint32_t tag;
    uint64_t seq;
    bool follows, is_woken;
    struct buf event;
};

/* A delete under way: as the server does, the stream is kept until the store has its tombstone, and
 * the caller is answered then. */
struct deleting {
    struct storage_query query;
    struct history *history;
    struct stream *stream; /* NULL: free */
    uint32_t tag;
    bool is_asking;
};

struct history {
    struct model model;
    struct sim_random random;
    bool is_verbose, is_dead, is_stuck, is_disk_held;
    uint64_t crashes;
    struct loop *loop;
    struct disk *disk;
    struct metrics *metrics;
    struct log *log;
    int log_fd;
    char path[PATH_BYTES];
    struct storage_config config;
    struct storage_host host;
    struct storage *storage;
    struct hub *hub;
    struct upstreams *upstreams;
    struct producer_config producer;
    struct provider_config provider;
    struct project project;
    struct task *first_task, **last_task;
    struct caller callers[READERS_MAX];
    struct deleting deletes[MODEL_STREAMS_MAX];
};

static uint64_t below(struct history *history, uint64_t bound)
{
    return sim_random_below(&history->random, bound);
}

static bool one_in(struct history *history, uint64_t count)
{
    return below(history, count) == 0;
}

/* ---- what storage is given ------------------------------------------------------------------- */

static int64_t host_now(void *context)
{
    return loop_now_ns(((struct history *)context)->loop);
}

static int64_t host_wall(void *context)
{
    return loop_wall_ns(((struct history *)context)->loop);
}

static void host_post(void *context, struct task *task)
{
    struct history *history = context;
    task->next = NULL;
    *history->last_task = task;
    history->last_task = &task->next;
}

static void drop_tasks(struct history *history)
{
    history->first_task = NULL;
    history->last_task = &history->first_task;
}

static void run_tasks(struct history *history)
{
    while (history->first_task) {
        struct task *task = history->first_task;
        history->first_task = task->next;
        if (!history->first_task)
            history->last_task = &history->first_task;
        task->run(task);
    }
}

static void host_wake_at(void *context, int64_t at_ns)
{
    (void)context, (void)at_ns; /* every turn ticks */
}

static void host_log(void *context, int level, const char *message)
{
    struct history *history = context;
    if (history->is_verbose)
        fprintf(stderr, "  log %d: %s\n", level, message);
}

static void on_changed(void *context, struct tail *tail)
{
    hub_changed(((struct history *)context)->hub, tail);
}

static void on_gone(void *context, struct tail *tail)
{
    hub_gone(((struct history *)context)->hub, tail);
}

static void on_pause(void *context, bool is_paused)
{
    hub_paused(((struct history *)context)->hub, is_paused);
}

static void on_stuck(void *context, enum err err)
{
    struct history *history = context;
    (void)err;
    history->is_stuck = history->model.was_stuck = true;
    hub_stuck(history->hub);
}

static void on_recovered(void *context, struct tail *tail)
{
    hub_recovered(((struct history *)context)->hub, tail);
}

/* ---- the process ----------------------------------------------------------------------------- */

static void process_start(struct history *history)
{
    int holder = 0;
    struct hub_config hub = {
        history->loop, history->metrics, history->log, 10000, MEMORY_BYTES_MAX};
    history->is_dead = history->is_stuck = history->is_disk_held = false;
    ASSERT(hub_new(&hub, &history->hub) == ERR_OK);
    enum err err = storage_open(&history->config, on_recovered, NULL, &holder, &history->storage);
    if (err != ERR_OK) {
        model_problem(&history->model, 0, "storage_open: %s", fault_origin());
        abort();
    }
    hub_set_storage(history->hub, history->storage);
    ASSERT(storage_project(history->storage, slice_text(history->project.name),
               &history->project.number) == ERR_OK);
}

static void caller_leave(struct caller *caller)
{
    caller->reader = reader_close(caller->reader);
    buf_deinit(&caller->event);
}

static void callers_leave(struct history *history)
{
    for (int i = 0; i < READERS_MAX; i++)
        if (history->callers[i].reader)
            caller_leave(&history->callers[i]);
    for (int i = 0; i < MODEL_STREAMS_MAX; i++)
        if (history->deletes[i].stream)
            history->deletes[i].stream = stream_unref(history->deletes[i].stream);
}

/* What a dead process held is freed in good order; nothing of it reaches the disk any more. */
static void process_die(struct history *history, bool is_power_cut)
{
    history->is_dead = true;
    history->crashes++;
    history->model.was_interrupted = true;
    model_note(&history->model, is_power_cut);
    if (is_power_cut)
        sim_disk_power_cut(history->disk);
    else
        sim_disk_kill(history->disk);
    run_tasks(history);
    callers_leave(history);
    run_tasks(history);
    hub_stuck(history->hub);
    fake_cancel_all(history->upstreams);
    fake_run(history->upstreams);
    sim_loop_advance(history->loop, 0);
    history->storage = storage_abandon(history->storage);
    drop_tasks(history);
    hub_set_storage(history->hub, NULL);
    history->hub = hub_free(history->hub);
}

static void look(void *context, struct stream *stream)
{
    struct history *history = context;
    const struct row *row = stream_visible_row(stream);
    uint32_t tag = model_tag(&stream_row(stream)->id);
    if (stream_is_deleted(stream))
        model_gone(&history->model, tag, true, host_wall(history));
    else
        model_saw(&history->model, tag, stream_watermark(stream), row);
}

static void check_memory(struct history *history)
{
    struct storage_status status;
    storage_status(history->storage, &status);
    if (status.queued_bytes > WRITE_QUEUE_BYTES_MAX || status.tail_bytes > MEMORY_BYTES_MAX ||
        status.journal.backlog_bytes > (uint64_t)BATCH_BUFFER_COUNT * BATCH_BYTES)
        model_problem(&history->model, 0, "memory: %" PRIu64 " queued, %" PRIu64 " in tails",
            status.queued_bytes, status.tail_bytes);
}

static void turn(struct history *history, int64_t by_ns)
{
    sim_loop_advance(history->loop, by_ns);
    run_tasks(history);
    fake_run(history->upstreams);
    if (!history->is_disk_held)
        (void)sim_disk_complete(history->disk, 1 + below(history, 4));
    storage_tick(history->storage);
    hub_tick(history->hub);
    for (uint64_t steps = below(history, 4); steps > 0; steps--)
        (void)storage_step(history->storage);
    hub_walk(history->hub, &history->project, look, history);
    check_memory(history);
}

/* ---- callers --------------------------------------------------------------------------------- */

static void caller_woken(void *context)
{
    ((struct caller *)context)->is_woken = true;
}

static void caller_take(struct caller *caller, const struct reader_view *view)
{
    struct model *model = &caller->history->model;
    for (uint32_t i = view->index; i < view->end; i++) {
        ASSERT(buf_append(&caller->event, block_frame(view->block, i)) == ERR_OK);
        if (view->block->frames[i].flags & FRAME_MORE)
            continue;
        if (block_seq(view->block, i) != caller->seq)
            model_problem(model, caller->tag, "event %" PRIu64 " after %" PRIu64,
                block_seq(view->block, i), caller->seq);
        model_saw_event(model, caller->tag, caller->seq++, buf_slice(&caller->event));
        buf_clear(&caller->event);
    }
}

static void caller_ended(struct caller *caller, enum err err)
{
    struct history *history = caller->history;
    struct model *model = &history->model;
    const struct stream *stream = reader_stream(caller->reader);
    const struct model_stream *known = &model->streams[caller->tag];
    bool may_be_gone = known->is_delete_asked || known->ttl_s > 0 || model->is_rotten;
    if (err == ERR_CLOSED && caller->follows && !stream_is_deleted(stream) &&
        (!stream_has_ended(stream) || caller->seq != stream_watermark(stream)))
        model_problem(model, caller->tag, "a reader was told the end at %" PRIu64, caller->seq);
    if (err != ERR_CLOSED && !(err == ERR_FULL && history->is_stuck) &&
        !(err == ERR_NOTFOUND && may_be_gone))
        model_problem(model, caller->tag, "a reader at %" PRIu64 " of %" PRIu64 " got %s",
            caller->seq, known->visible, err_name(err));
    caller_leave(caller);
}

static void caller_pull(struct caller *caller, uint64_t views)
{
    struct reader_view view;
    for (; views > 0; views--) {
        enum err err = reader_peek(caller->reader, &view);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) {
            caller_ended(caller, err);
            return;
        }
        caller_take(caller, &view);
        reader_take(caller->reader, view.end);
    }
}

static struct caller *caller_free_place(struct history *history)
{
    for (int i = 0; i < READERS_MAX; i++)
        if (!history->callers[i].reader)
            return &history->callers[i];
    return NULL;
}

/* Takes over the reference. */
static struct caller *attach(
    struct history *history, struct stream *stream, uint64_t from, bool follows)
{
    struct caller *caller = caller_free_place(history);
    if (!caller) {
        stream_unref(stream);
        return NULL;
    }
    *caller = (struct caller){.history = history,
        .tag = model_tag(&stream_row(stream)->id),
        .seq = from,
        .follows = follows};
    bool is_past = from > stream_watermark(stream);
    enum err err = reader_new(stream, from, follows, caller_woken, caller, &caller->reader);
    if ((err == ERR_LIMIT) != is_past)
        model_problem(
            &history->model, caller->tag, "attaching at %" PRIu64 ": %s", from, err_name(err));
    if (err != ERR_OK) {
        stream_unref(stream);
        return NULL;
    }
    buf_init(&caller->event, MODEL_EVENT_BYTES_MAX);
    return caller;
}

/* ---- finding, and what is then done ---------------------------------------------------------- */

enum intent { ATTACH, STOP, DELETE, CLAIM, CHECK };

struct errand {
    struct hub_lookup lookup;
    struct history *history;
    enum intent intent;
    uint32_t tag; /* but CLAIM */
    int key;      /* CLAIM */
    bool *is_done;
};

static void delete_asked(struct storage_query *query, enum err err)
{
    struct deleting *deleting = query->owner;
    struct row row;
    deleting->is_asking = false;
    bool is_buried = err == ERR_OK && row_decode(buf_slice(&query->bytes), &row) == ERR_OK &&
                     row.state == STREAM_DELETED;
    buf_deinit(&query->bytes);
    if (!is_buried || deleting->history->is_dead)
        return;
    deleting->history->model.streams[deleting->tag].is_delete_durable = true;
    deleting->stream = stream_unref(deleting->stream);
}

static void ask_for_tombstones(struct history *history)
{
    for (uint32_t i = 0; i < history->model.count; i++) {
        struct deleting *deleting = &history->deletes[i];
        if (!deleting->stream || deleting->is_asking)
            continue;
        deleting->query = (struct storage_query){.kind = STORAGE_ROW,
            .project = history->project.number,
            .id = history->model.streams[i].id,
            .done = delete_asked,
            .owner = deleting};
        deleting->is_asking = storage_query(history->storage, &deleting->query) == ERR_OK;
    }
}

static void delete_found(struct history *history, uint32_t tag, struct stream *stream)
{
    struct deleting *deleting = &history->deletes[tag];
    if (stream_is_deleted(stream) || deleting->stream)
        return;
    enum err err = stream_delete(stream, "deleted");
    if (err != ERR_OK)
        return;
    history->model.streams[tag].is_delete_asked = true;
    *deleting = (struct deleting){.history = history, .stream = stream_ref(stream), .tag = tag};
}

static void begin(struct history *history, int key, const struct stream *before);

static void claimed(struct errand *errand, enum err err, struct stream *stream)
{
    struct history *history = errand->history;
    bool is_over = err == ERR_OK && stream_has_ended(stream) &&
                   (stream_is_deleted(stream) || stream_row(stream)->state != STREAM_COMPLETED);
    if (err == ERR_OK || err == ERR_NOTFOUND)
        model_key(&history->model, errand->key, stream ? &stream_row(stream)->id : NULL);
    if (err == ERR_NOTFOUND || (is_over && one_in(history, 2)))
        begin(history, errand->key, stream);
    else if (stream && !stream_is_deleted(stream))
        (void)attach(history, stream_ref(stream), 0, true);
}

static void found(struct errand *errand, struct stream *stream)
{
    struct history *history = errand->history;
    uint64_t from = below(history, stream_watermark(stream) + 2);
    switch (errand->intent) {
    case CHECK:
        if (!stream_is_deleted(stream))
            (void)attach(history, stream_ref(stream), 0, true);
        break;
    case ATTACH:
        if (!stream_is_deleted(stream))
            (void)attach(history, stream_ref(stream), from, !one_in(history, 3));
        break;
    case STOP:
        history->model.streams[errand->tag].is_stop_asked |=
            stream_stop(stream, "stopped", "a caller asked for it");
        break;
    case DELETE: delete_found(history, errand->tag, stream); break;
    case CLAIM: break;
    }
}

static void errand_done(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct errand *errand = CONTAINER_OF(lookup, struct errand, lookup);
    struct history *history = errand->history;
    if (errand->is_done)
        *errand->is_done = true;
    if (history->is_dead)
        ; /* nobody is told */
    else if (errand->intent == CLAIM)
        claimed(errand, err, stream);
    else if (err == ERR_NOTFOUND)
        model_gone(&history->model, errand->tag, false, host_wall(history));
    else if (err == ERR_OK) {
        look(history, stream);
        found(errand, stream);
    }
    if (stream)
        stream_unref(stream);
    free(errand);
}

static struct errand *errand_new(struct history *history, enum intent intent)
{
    struct errand *errand = calloc(1, sizeof *errand);
    ASSERT(errand);
    errand->history = history;
    errand->intent = intent;
    errand->lookup.done = errand_done;
    return errand;
}

static void go(struct history *history, enum intent intent, uint32_t tag, bool *is_done)
{
    struct errand *errand = errand_new(history, intent);
    errand->tag = tag;
    errand->is_done = is_done;
    hub_open(history->hub, &history->project, &history->model.streams[tag].id, &errand->lookup);
}

static void claim(struct history *history)
{
    static const char *const names[KEYS] = {"a", "b", "c", "d", "e"};
    struct errand *errand = errand_new(history, CLAIM);
    errand->key = (int)below(history, KEYS);
    hub_claim(history->hub, &history->project, slice_text(names[errand->key]), &errand->lookup);
}

/* ---- generations ----------------------------------------------------------------------------- */

static void produce(struct history *history, struct stream *stream, uint32_t tag, bool is_keyed)
{
    static struct headers headers; /* none */
    const struct dialect *dialect;
    char body[16];
    int size = snprintf(body, sizeof body, "%" PRIu32, tag);
    ASSERT(dialect_for_path(SLICE("/v1/chat/completions"), &dialect) == ERR_OK);
    struct producer_request request = {.dialect = dialect,
        .provider = &history->provider,
        .target = SLICE("/v1/chat/completions"),
        .headers = &headers,
        .body = slice_of(body, (size_t)size),
        .is_keyed = is_keyed};
    ASSERT(producer_start(&history->producer, stream, &request) == ERR_OK);
}

static void begin(struct history *history, int key, const struct stream *before)
{
    static const char *const names[KEYS] = {"a", "b", "c", "d", "e"};
    static uint8_t body[300000];
    struct model *model = &history->model;
    uint8_t random[ID_RANDOM_BYTES] = {0};
    if (model->count == MODEL_STREAMS_MAX || hub_admits(history->hub) != ERR_OK)
        return;
    uint32_t tag = model->count;
    memcpy(random + 4, &tag, sizeof tag);
    size_t body_bytes = one_in(history, 8) ? (size_t)below(history, sizeof body) : 20;
    struct row row = {.id = id_make(host_wall(history) / 1000000, random),
        .project = history->project.number,
        .project_name = slice_text(history->project.name),
        .attempt = before ? stream_row(before)->attempt + 1 : 1,
        .state = STREAM_ACCEPTED,
        .is_streamed = true,
        .key = key < 0 ? SLICE_NONE : slice_text(names[key]),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .dialect = SLICE("openai_chat"),
        .model = SLICE("m"),
        .accepted_ns = host_wall(history),
        .ttl_s = one_in(history, 4) ? 1 + (int64_t)below(history, 100) : 0,
        .content_length = -1,
        .request_bytes = body_bytes,
        .usage = USAGE_UNKNOWN};
    struct stream *stream;
    enum err err =
        hub_create(history->hub, &history->project, &row, slice_of(body, body_bytes), &stream);
    if (err != ERR_OK)
        return;
    model->streams[tag] =
        (struct model_stream){.id = row.id, .number = row.number, .key = key, .ttl_s = row.ttl_s};
    model->count++;
    produce(history, stream, tag, key >= 0);
    if (one_in(history, 2))
        (void)attach(history, stream_ref(stream), 0, true);
    stream_unref(stream);
}

/* ---- providers ------------------------------------------------------------------------------- */

static void send_event(
    struct history *history, struct upstream *upstream, uint32_t tag, enum model_kind kind)
{
    static uint8_t bytes[MODEL_EVENT_BYTES_MAX];
    struct model_stream *stream = &history->model.streams[tag];
    if (stream->cut_bytes == 0)
        stream->kinds[stream->given] = kind;
    struct slice event = model_event(&history->model, tag, stream->given, bytes);
    size_t size = event.size - stream->cut_bytes;
    if (one_in(history, 4) && size > 1)
        size = 1 + (size_t)below(history, size - 1);
    struct slice part = slice_sub(event, stream->cut_bytes, size);
    stream->cut_bytes += size;
    if (stream->cut_bytes == event.size) {
        kind = stream->kinds[stream->given];
        stream->has_done |= kind == MODEL_DONE;
        stream->has_failed |= kind == MODEL_ERROR;
        stream->given++;
        stream->cut_bytes = 0;
    }
    (void)fake_data(upstream, part);
}

static enum model_kind next_kind(struct history *history, const struct model_stream *stream)
{
    if (stream->given == MODEL_EVENTS_MAX - 1 || one_in(history, 20))
        return MODEL_DONE;
    return one_in(history, 60) ? MODEL_ERROR : MODEL_CHUNK;
}

static void provide(struct history *history, struct upstream *upstream)
{
    uint64_t tag64 = 0;
    ASSERT(slice_u64(fake_body(upstream), &tag64) == ERR_OK);
    uint32_t tag = (uint32_t)tag64;
    struct model_stream *stream = &history->model.streams[tag];
    if (fake_is_canceled(upstream) || fake_is_paused(upstream))
        return;
    bool is_over = stream->has_done || stream->has_failed || stream->given == MODEL_EVENTS_MAX;
    /* A terminator without its blank line counts as one, too: that is the producer's own test. */
    bool is_in_terminator = stream->cut_bytes > 0 && stream->kinds[stream->given] == MODEL_DONE;
    if (is_over || (one_in(history, 60) && !is_in_terminator)) {
        bool is_reset = one_in(history, 3);
        stream->has_failed |= !stream->has_done; /* truncated, or reset */
        fake_end(upstream, is_reset || !stream->has_head ? UPSTREAM_RESET : UPSTREAM_COMPLETE);
        return;
    }
    if (!stream->has_head) {
        stream->has_head = true;
        fake_sse(upstream);
        return;
    }
    for (uint64_t events = 1 + below(history, 6);
         events > 0 && !fake_is_paused(upstream) && !stream->has_done && !stream->has_failed &&
         !fake_is_canceled(upstream);
         events--)
        send_event(history, upstream, tag, next_kind(history, stream));
}

static void providers(struct history *history)
{
    size_t open = fake_open(history->upstreams);
    for (uint64_t i = 0; open > 0 && i < 3; i++) {
        struct upstream *upstream = fake_at(history->upstreams, (size_t)below(history, open));
        provide(history, upstream);
        open = fake_open(history->upstreams);
    }
}

/* ---- fate ------------------------------------------------------------------------------------ */

static void disk_fault(struct history *history)
{
    enum sim_operation operation = (enum sim_operation)below(history, SIM_OPERATION_COUNT);
    if (operation == SIM_READ)
        operation = SIM_WRITE;
    sim_disk_fail(history->disk, operation, 1 + below(history, 3), 1 + below(history, 2),
        one_in(history, 2) ? ERR_IO : ERR_FULL);
}

static void flip(struct history *history)
{
    char path[100];
    uint64_t size;
    (void)snprintf(path, sizeof path, "%s/journal-%02u", history->path,
        (unsigned)below(history, history->config.segment_count));
    if (!sim_disk_bytes(history->disk, path, &size))
        return;
    uint64_t range = size < 65536 || one_in(history, 3) ? size : 65536;
    history->model.is_rotten = true;
    sim_disk_flip_bit(history->disk, path, below(history, range * 8));
}

static void crash(struct history *history, bool may_rot)
{
    process_die(history, one_in(history, 2));
    if (may_rot && one_in(history, 2))
        flip(history);
    process_start(history);
}

static void act(struct history *history, bool may_rot)
{
    struct model *model = &history->model;
    uint64_t what = below(history, 1000);
    uint32_t tag = model->count ? (uint32_t)below(history, model->count) : 0;
    if (what < 60 || model->count == 0)
        begin(history, -1, NULL);
    else if (what < 110)
        claim(history);
    else if (what < 190)
        go(history, ATTACH, tag, NULL);
    else if (what < 205)
        go(history, STOP, tag, NULL);
    else if (what < 235)
        go(history, DELETE, tag, NULL);
    else if (what < 245)
        disk_fault(history);
    else if (what < 265 || (history->is_stuck && what < 400))
        crash(history, may_rot);
    else if (what < 300)
        history->is_disk_held = !history->is_disk_held;
    else
        providers(history);
}

static void pull_some(struct history *history)
{
    for (int i = 0; i < READERS_MAX; i++) {
        struct caller *caller = &history->callers[i];
        if (caller->reader && one_in(history, 2))
            caller_pull(caller, 1 + below(history, 3));
        if (caller->reader && one_in(history, 40))
            caller_leave(caller);
    }
}

static int64_t some_time(struct history *history)
{
    if (one_in(history, 30))
        return (int64_t)below(history, 40) * 1000000000;
    return (int64_t)(1 + below(history, one_in(history, 4) ? 50000 : 3000)) * 1000;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void settle(struct history *history)
{
    for (int op = 0; op < SIM_OPERATION_COUNT; op++)
        sim_disk_fail(history->disk, (enum sim_operation)op, 0, 0, ERR_OK);
    if (history->is_stuck) {
        process_die(history, false);
        process_start(history);
    }
    history->is_disk_held = false;
    history->model.was_interrupted = true;
    hub_interrupt_all(history->hub, "shutdown");
    fake_cancel_all(history->upstreams);
    int turns = 0;
    while ((hub_live_count(history->hub) > 0 || fake_open(history->upstreams) > 0) &&
           turns++ < SETTLE_TURNS_MAX)
        turn(history, 10000000);
    storage_drain(history->storage);
    while (!storage_is_drained(history->storage) && turns++ < SETTLE_TURNS_MAX)
        turn(history, 10000000);
    if (turns >= SETTLE_TURNS_MAX)
        model_problem(&history->model, 0, "it does not come to rest");
}

static void check_all(struct history *history)
{
    for (uint32_t tag = 0; tag < history->model.count; tag++) {
        bool is_done = false;
        callers_leave(history);
        go(history, CHECK, tag, &is_done);
        for (int turns = 0; turns < SETTLE_TURNS_MAX; turns++) {
            turn(history, 1000000);
            bool is_reading = false;
            for (int i = 0; i < READERS_MAX; i++) {
                if (history->callers[i].reader)
                    caller_pull(&history->callers[i], 1000);
                is_reading |= history->callers[i].reader != NULL;
            }
            if (is_done && !is_reading)
                break;
        }
        if (!is_done)
            model_problem(&history->model, tag, "looking for it does not end");
    }
    struct storage_status status;
    storage_status(history->storage, &status);
    if (status.tails != 0 || status.tail_bytes != 0 || status.queued_bytes != 0)
        model_problem(&history->model, 0, "memory is left: %" PRIu64 " tails", status.tails);
}

static void verify_found(void *context, const struct id *id, const char *what)
{
    struct model *model = context;
    model_problem(model, id ? model_tag(id) : 0, "verify: %s", what);
}

static void process_end(struct history *history)
{
    callers_leave(history);
    for (int i = 0; i < 4; i++)
        turn(history, 1000000000);
    history->storage = storage_close(history->storage);
    run_tasks(history);
    hub_set_storage(history->hub, NULL);
    history->hub = hub_free(history->hub);
    struct store *store;
    ASSERT(store_open(history->path, true, 1, &store) == ERR_OK);
    if (!history->model.is_rotten)
        ASSERT(store_verify(store, verify_found, NULL, &history->model) == ERR_OK);
    store_close(store);
}

static void make_directory(struct history *history)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(history->path, sizeof history->path, "%s/tokenlog-sim-XXXXXX", base);
    ASSERT(mkdtemp(history->path));
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    ASSERT(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[400];
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    (void)closedir(directory);
    (void)rmdir(path);
}

static void set_up(struct history *history, uint64_t seed)
{
    history->random = sim_random_new(seed);
    history->model.seed = seed;
    history->loop = sim_loop_new();
    history->disk = sim_disk_new(seed);
    history->last_task = &history->first_task;
    history->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT(metrics_new(&history->metrics) == ERR_OK);
    ASSERT(log_new(history->log_fd, LOG_ERROR, &history->log) == ERR_OK);
    ASSERT(upstreams_new(history->loop, NULL, &history->upstreams) == ERR_OK);
    make_directory(history);
    history->project = (struct project){.name = "default"};
    history->provider = (struct provider_config){
        .name = "fake", .base_url = "http://provider", .api_key = "secret", .auth = AUTH_BEARER};
    history->producer = (struct producer_config){
        .upstreams = history->upstreams, .metrics = history->metrics, .log = history->log};
    history->host =
        (struct storage_host){history, host_now, host_wall, host_post, host_wake_at, host_log};
    history->config = (struct storage_config){.path = history->path,
        .disk = history->disk,
        .host = &history->host,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .segment_count = SEGMENT_COUNT_MIN + (uint32_t)below(history, 4),
        .commit_spacing_ns = (int64_t)below(history, 2) * 1000000,
        .archive_after_ns = (int64_t)(1 + below(history, 1000)) * 1000000,
        .retention_step_ns = 1000000000,
        .tombstone_ttl_s = 1000000000,
        .zstd_level = 1,
        .has_no_threads = true,
        .changed = on_changed,
        .gone = on_gone,
        .pause = on_pause,
        .stuck = on_stuck,
        .context = history};
}

static void tear_down(struct history *history)
{
    upstreams_free(history->upstreams);
    sim_loop_free(history->loop);
    sim_disk_free(history->disk);
    log_free(history->log);
    metrics_free(history->metrics);
    (void)close(history->log_fd);
    remove_directory(history->path);
}

struct history_result history_run(uint64_t seed, const struct history_options *options)
{
    struct history *history = calloc(1, sizeof *history);
    ASSERT(history);
    history->is_verbose = options->is_verbose;
    set_up(history, seed);
    sim_disk_ignore_sync(history->disk, options->has_lying_disk);
    process_start(history);
    bool may_rot = one_in(history, 8);
    uint64_t steps = 20 + below(history, 200);
    for (history->model.step = 1; history->model.step <= steps && !history->model.problems;
         history->model.step++) {
        act(history, may_rot);
        pull_some(history);
        ask_for_tombstones(history);
        turn(history, some_time(history));
    }
    settle(history);
    check_all(history);
    process_end(history);
    struct history_result result = {.problems = history->model.problems,
        .trace = history->model.trace,
        .steps = steps,
        .streams = history->model.count,
        .crashes = history->crashes};
    tear_down(history);
    free(history);
    return result;
}
