/* runs — see runs.h.
 *
 *   LOOKING ─▶ WAITING (what is under way becomes durable, and so can be read) ─▶ READING ─▶ READY
 *      └─ begun ────────────────────────────────────────────────────────────────────────────▶ │
 *   READY ─ its stream was deleted, or is over ─▶ out of the map: the next visit begins anew
 *     │ ▲
 *     └─┴ HELD for the last moment of its journal's rewrite: who is in it stays, visits wait
 *
 * Records that were written are in the book before they are durable: a run is dropped only where nobody
 * visits it, and whoever visits again reads what was visible after a wait. */
#include "server/run/runs.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/run/rewrite.h"
#include "server/stream/reader.h"

struct run {
    struct runs *runs;
    struct map_node by_name;
    bool is_mapped, is_ready;
    struct list lru; /* of runs->idle, while nobody visits */
    struct project *project;
    struct buf key;      /* the byte of its space, and the name */
    struct list waiting; /* visits, until it is ready */
    size_t visits;
    struct stream *stream;
    struct hub_lookup lookup;
    struct hub_barrier barrier;
    struct reader *reader;
    struct buf event; /* being read */
    uint64_t seq;     /* of the next one */
    struct runbook book;
    struct rewrite *rewrite;    /* under way; counts as a visit */
    struct list rewriting;      /* of runs->rewriting, then */
    uint64_t next_rewrite_from; /* bytes of the journal; after a rewrite that came to nothing */
};

struct runs {
    struct hub *hub;
    struct map by_name;
    struct list idle; /* least lately visited first */
    size_t idle_count, idle_bytes;
    struct list rewriting;
    uint64_t rewrite_bytes_min;
};

/* ── what is kept ───────────────────────────────────────────────────────────────────────────── */

enum err runs_new(struct hub *hub, struct runs **out)
{
    struct runs *runs = calloc(1, sizeof *runs);
    if (!runs)
        return fault(ERR_NOMEM, "runs");
    runs->hub = hub;
    map_init(&runs->by_name);
    list_init(&runs->idle);
    list_init(&runs->rewriting);
    runs->rewrite_bytes_min = RUN_REWRITE_BYTES_MIN;
    *out = runs;
    return ERR_OK;
}

void runs_rewrite_from(struct runs *runs, uint64_t bytes)
{
    runs->rewrite_bytes_min = bytes;
}

static void unmap(struct run *run)
{
    if (run->is_mapped)
        map_remove(&run->runs->by_name, &run->by_name);
    run->is_mapped = false;
}

static void run_free(struct run *run)
{
    ASSERT(run->visits == 0 && list_is_empty(&run->waiting));
    unmap(run);
    reader_close(run->reader);
    stream_unref(run->stream);
    runbook_deinit(&run->book);
    buf_deinit(&run->key);
    buf_deinit(&run->event);
    free(run);
}

static size_t weight(const struct run *run)
{
    return sizeof *run + run->book.bytes;
}

static void stop_idling(struct run *run)
{
    if (list_is_empty(&run->lru))
        return;
    list_unlink(&run->lru);
    run->runs->idle_count--;
    run->runs->idle_bytes -= weight(run);
}

static void drop_oldest(struct runs *runs)
{
    struct run *run = CONTAINER_OF(runs->idle.next, struct run, lru);
    stop_idling(run);
    run_free(run);
}

/* Nobody visits any more. */
static void idle(struct run *run)
{
    struct runs *runs = run->runs;
    if (!run->is_mapped) {
        run_free(run);
        return;
    }
    list_append(&runs->idle, &run->lru);
    runs->idle_count++;
    runs->idle_bytes += weight(run);
    while (runs->idle_count > RUNS_KEPT_MAX || runs->idle_bytes > RUNS_KEPT_BYTES_MAX)
        drop_oldest(runs);
}

static void leave(struct run *run)
{
    ASSERT(run->visits > 0);
    if (--run->visits == 0)
        idle(run);
}

static void answer_all(struct run *run, enum err err);

/* Visits that wait are of callers who are gone. */
static void stop_rewrites(struct runs *runs)
{
    struct list *node;
    while ((node = list_pop(&runs->rewriting))) {
        struct run *run = CONTAINER_OF(node, struct run, rewriting);
        run->rewrite = rewrite_free(run->rewrite);
        answer_all(run, ERR_CANCELED);
        leave(run);
    }
}

struct runs *runs_free(struct runs *runs)
{
    if (!runs)
        return NULL;
    stop_rewrites(runs);
    while (!list_is_empty(&runs->idle))
        drop_oldest(runs);
    map_deinit(&runs->by_name);
    free(runs);
    return NULL;
}

/* ── ready, or not to be had ────────────────────────────────────────────────────────────────── */

/* `done` may leave at once. */
static void answer_all(struct run *run, enum err err)
{
    struct list waiting;
    list_init(&waiting);
    list_move(&waiting, &run->waiting);
    run->is_ready = !err;
    if (err)
        unmap(run);
    run->visits++; /* ours */
    struct list *node;
    while ((node = list_pop(&waiting))) {
        struct run_visit *visit = CONTAINER_OF(node, struct run_visit, node);
        visit->run = err ? NULL : run;
        run->visits += !err;
        visit->done(visit, err);
    }
    leave(run);
}

/* A record may have a megabyte; most have a hundred bytes. */
static void forget_event(struct run *run)
{
    buf_deinit(&run->event);
    buf_init(&run->event, RUN_LINE_BYTES_MAX + RUN_BLOB_BYTES_MAX);
}

/* A record of a later version says nothing to us, and is passed over. */
static enum err apply(struct run *run)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    struct run_record record;
    enum err err = run_record_read(buf_slice(&run->event), &tree, &record);
    if (!err)
        err = runbook_apply(&run->book, &record, run->seq);
    buf_clear(&run->event);
    run->seq++;
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* ERR_CLOSED: that was the last. */
static enum err read_on(struct run *run)
{
    struct reader_view view;
    for (;;) {
        TRY(reader_peek(run->reader, &view));
        for (uint32_t i = view.index; i < view.end; i++) {
            TRY(buf_append(&run->event, block_frame(view.block, i)));
            if (!(view.block->frames[i].flags & FRAME_MORE))
                TRY(apply(run));
        }
        reader_take(run->reader, view.end);
    }
}

static void reader_woken(void *context)
{
    struct run *run = context;
    enum err err = read_on(run);
    if (err == ERR_AGAIN)
        return;
    run->reader = reader_close(run->reader);
    forget_event(run);
    answer_all(run, err == ERR_CLOSED ? ERR_OK : err);
}

static void written_durably(struct hub_barrier *barrier, enum err err)
{
    struct run *run = CONTAINER_OF(barrier, struct run, barrier);
    if (!err)
        err = reader_new(stream_ref(run->stream), 0, false, reader_woken, run, &run->reader);
    if (err)
        answer_all(run, err);
    else
        reader_woken(run);
}

static bool is_there(const struct stream *stream)
{
    int64_t expires_ns = append_expires_ns(stream);
    return append_is_open(stream) &&
           (!expires_ns || expires_ns > loop_wall_ns(hub_loop(stream_hub(stream))));
}

static struct run_visit *beginner(const struct run *run)
{
    LIST_FOREACH (node, &run->waiting) {
        struct run_visit *visit = CONTAINER_OF(node, struct run_visit, node);
        if (visit->begins)
            return visit;
    }
    return NULL;
}

/* In place of the one before, if there was one. */
static enum err begin(struct run *run, const struct stream *before)
{
    struct run_visit *visit = beginner(run);
    if (!visit)
        return ERR_NOTFOUND;
    TRY(append_admits(run->runs->hub));
    struct row row = {.key = buf_slice(&run->key),
        .content_type = SLICE("application/json"),
        .metadata = visit->metadata,
        .attempt = before ? stream_row(before)->attempt + 1 : 1,
        .ttl_s = visit->ttl_s,
        .is_sliding = visit->ttl_s > 0};
    TRY(append_create(run->runs->hub, run->project, &row, &run->stream));
    visit->is_new = true;
    return ERR_OK;
}

static void found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct run *run = CONTAINER_OF(lookup, struct run, lookup);
    if (!err && is_there(stream)) {
        run->stream = stream;
        run->barrier.done = written_durably;
        hub_wait_stream(run->stream, &run->barrier);
        return;
    }
    if (!err || err == ERR_NOTFOUND)
        err = begin(run, stream);
    stream_unref(stream);
    answer_all(run, err);
}

/* ── visits ─────────────────────────────────────────────────────────────────────────────────── */

static uint64_t hash_of(const struct project *project, struct slice name)
{
    return map_hash(name) ^ ((uint64_t)project->number << 32);
}

static struct run *find(const struct runs *runs, const struct run_visit *visit)
{
    struct map_node *node = map_first(&runs->by_name, hash_of(visit->project, visit->name));
    for (; node; node = map_next(node)) {
        struct run *run = CONTAINER_OF(node, struct run, by_name);
        if (run->project->number == visit->project->number &&
            slice_equal(run_name(run), visit->name))
            return run;
    }
    return NULL;
}

static enum err run_new(struct runs *runs, const struct run_visit *visit, struct run **out)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return fault(ERR_NOMEM, "run");
    run->runs = runs;
    run->project = visit->project;
    list_init(&run->lru);
    list_init(&run->rewriting);
    list_init(&run->waiting);
    runbook_init(&run->book);
    buf_init(&run->event, RUN_LINE_BYTES_MAX + RUN_BLOB_BYTES_MAX);
    buf_init(&run->key, 1 + RUN_NAME_BYTES_MAX);
    enum err err = buf_append_byte(&run->key, APPEND_RUN);
    if (!err)
        err = buf_append(&run->key, visit->name);
    if (!err)
        err = map_insert(&runs->by_name, &run->by_name, hash_of(visit->project, visit->name));
    if (err) {
        run_free(run);
        return err;
    }
    run->is_mapped = true;
    *out = run;
    return ERR_OK;
}

static void begin_looking(struct run *run)
{
    run->lookup.done = found;
    hub_claim(run->runs->hub, run->project, buf_slice(&run->key), &run->lookup);
}

void runs_visit(struct runs *runs, struct run_visit *visit)
{
    struct run *run = find(runs, visit);
    visit->run = NULL;
    visit->is_new = false;
    list_init(&visit->node);
    if (run && run->is_ready && !is_there(run->stream)) {
        unmap(run);
        if (!list_is_empty(&run->lru)) {
            stop_idling(run);
            run_free(run);
        }
        run = NULL;
    }
    if (run && run->is_ready) {
        stop_idling(run);
        run->visits++;
        visit->run = run;
        visit->done(visit, ERR_OK);
        return;
    }
    bool is_new = !run;
    enum err err = run ? ERR_OK : run_new(runs, visit, &run);
    if (err) {
        visit->done(visit, err);
        return;
    }
    list_append(&run->waiting, &visit->node);
    if (is_new)
        begin_looking(run);
}

void runs_leave(struct runs *runs, struct run_visit *visit)
{
    struct run *run = visit->run;
    (void)runs;
    visit->run = NULL;
    if (!run)
        return;
    leave(run);
}

/* ── reading and writing one ────────────────────────────────────────────────────────────────── */

const struct runbook *run_book(const struct run *run)
{
    return &run->book;
}

struct stream *run_stream(const struct run *run)
{
    return run->stream;
}

struct slice run_name(const struct run *run)
{
    return slice_sub(buf_slice(&run->key), 1, run->key.size);
}

/* One that takes the place of another needs none. */
static bool is_full(const struct run *run, const struct run_record *record)
{
    const struct runbook *book = &run->book;
    if (record->type == RUN_STEP)
        return book->steps_by_name.count >= RUN_STEPS_MAX;
    return record->type == RUN_CHECKPOINT &&
           book->checkpoints_by_name.count >= RUN_CHECKPOINTS_MAX &&
           !runbook_checkpoint(book, record->name);
}

static void number(const struct run *run, struct run_record *record)
{
    uint8_t random[ID_RANDOM_BYTES];
    struct loop *loop = hub_loop(run->runs->hub);
    loop_random(loop, random, sizeof random);
    record->id = id_make(loop_wall_ns(loop) / 1000000, random);
    record->version = run->book.version + 1;
}

/* Applied as a later start will read it, so that the book is the same either way; and read before it is
 * written, since what is written stays. */
static enum err write_event(struct run *run, const struct run_record *record)
{
    CLEANUP(json_cleanup) struct json *tree = NULL;
    struct run_record again;
    TRY(run_record_write(record, &run->event));
    TRY(run_record_read(buf_slice(&run->event), &tree, &again));
    TRY(append_event(run->stream, buf_slice(&run->event), SLICE_NONE));
    enum err err = runbook_apply(&run->book, &again, run->seq);
    if (err)
        unmap(run); /* what is in the stream counts: the next visit reads it */
    return err;
}

/* ── its journal, anew ──────────────────────────────────────────────────────────────────────── */

static bool is_rewrite_due(const struct run *run)
{
    const struct runbook *book = &run->book;
    return !run->rewrite && run->is_mapped && !stream_is_held(run->stream) &&
           book->recorded_bytes > 2 * book->live_bytes + run->runs->rewrite_bytes_min &&
           book->recorded_bytes >= run->next_rewrite_from;
}

static void rewrite_holds(void *context)
{
    struct run *run = context;
    run->is_ready = false;
}

static void rewrite_replaced(void *context, struct stream *to)
{
    struct run *run = context;
    stream_unref(run->stream);
    run->stream = stream_ref(to);
    run->next_rewrite_from = 0;
}

/* They find the run, or that it was deleted meanwhile. */
static void let_in(struct run *run)
{
    struct list waiting;
    struct list *node;
    list_init(&waiting);
    list_move(&waiting, &run->waiting);
    run->is_ready = true;
    while ((node = list_pop(&waiting)))
        runs_visit(run->runs, CONTAINER_OF(node, struct run_visit, node));
}

static void rewrite_done(void *context, enum err err)
{
    struct run *run = context;
    run->rewrite = rewrite_free(run->rewrite);
    list_unlink(&run->rewriting);
    if (err) /* as much may then have been copied for nothing as was written before it is again */
        run->next_rewrite_from =
            run->book.recorded_bytes + run->book.live_bytes + run->runs->rewrite_bytes_min;
    if (err && err != ERR_CLOSED && err != ERR_DENIED) /* deleted, held: as it should be */
        LOG(hub_log(run->runs->hub), LOG_WARNING, "run_not_rewritten",
            LOG_SLICE("run", run_name(run)), LOG_TEXT("error", err_text(err)));
    let_in(run);
    leave(run);
}

/* One that cannot begin is begun by a later record. */
static void begin_rewrite(struct run *run)
{
    const struct rewrite_owner owner = {rewrite_holds, rewrite_replaced, rewrite_done, run};
    if (rewrite_new(run->stream, run->project, &run->book, &owner, &run->rewrite) != ERR_OK)
        return;
    list_append(&run->runs->rewriting, &run->rewriting);
    run->visits++;
}

/* ── writing one ────────────────────────────────────────────────────────────────────────────── */

enum err run_write(struct run *run, const struct run_record *record)
{
    if (!append_is_open(run->stream))
        return ERR_CLOSED;
    if (is_full(run, record))
        return ERR_LIMIT;
    struct run_record numbered = *record;
    if (record->type == RUN_CHECKPOINT)
        number(run, &numbered);
    run->seq = tail_events(stream_tail(run->stream));
    enum err err = write_event(run, &numbered);
    forget_event(run);
    if (!err && is_rewrite_due(run))
        begin_rewrite(run);
    return err;
}

enum err run_take_step(struct run *run, struct slice step, struct slice key, struct slice *key_out)
{
    char derived[RUN_KEY_BYTES + 1];
    const struct run_step *known = runbook_step(&run->book, step);
    if (!known) {
        run_key(&stream_row(run->stream)->id, step, derived);
        const struct run_record record = {
            .type = RUN_STEP, .step = step, .key = key.size ? key : slice_text(derived)};
        TRY(run_write(run, &record));
        known = runbook_step(&run->book, step);
    }
    if (key.size && !slice_equal(key, known->key))
        return ERR_DENIED;
    *key_out = known->key;
    return ERR_OK;
}

void run_note_replay(struct run *run, struct slice step)
{
    const struct run_record record = {.type = RUN_REPLAY, .step = step};
    enum err err = run_write(run, &record);
    if (err)
        LOG(hub_log(run->runs->hub), LOG_WARNING, "replay_not_counted",
            LOG_SLICE("run", run_name(run)), LOG_SLICE("step", step));
}
