/* process — see process.h. */
#include "tests/sim/process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/audit.h"
#include "tests/sim/caller.h"
#include "tests/sim/cuts.h"
#include "tests/sim/generation.h"

uint64_t below(struct history *history, uint64_t bound)
{
    return sim_random_below(&history->random, bound);
}

bool one_in(struct history *history, uint64_t count)
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
    if (history->options.is_verbose)
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

void process_config(struct history *history)
{
    history->host =
        (struct storage_host){history, host_now, host_wall, host_post, host_wake_at, host_log};
    history->config = (struct storage_config){.path = ".",
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

/* ---- the store's file ------------------------------------------------------------------------ */

/* What is to become of the disks when the process ends now. */
static struct cut next_cut(struct history *history, bool is_power_cut)
{
    struct sim_random *random = &history->store.random;
    struct cut cut;
    if (history->store.cuts && cuts_take(history->store.cuts, &cut))
        return cut;
    if (history->options.is_store_plain)
        return (struct cut){
            .is_power_cut = is_power_cut, .is_journal_torn = true, .store.writes = UINT64_MAX};
    return (struct cut){.is_power_cut = is_power_cut,
        .is_journal_torn = true,
        .store.writes = sim_random_next(random),
        .store.is_torn = sim_random_below(random, 2) == 0,
        .store.is_grown = sim_random_below(random, 2) == 0};
}

static void end_journal(struct history *history, const struct cut *cut)
{
    if (!cut->is_power_cut)
        sim_disk_kill(history->disk);
    else if (cut->is_journal_torn)
        sim_disk_power_cut(history->disk);
    else
        sim_disk_power_cut_keeping(history->disk, cut->journal);
}

/* Nobody has it open any more. */
static void end_store(struct history *history, const struct cut *cut)
{
    if (history->store.cuts && cuts_is_child(history->store.cuts))
        cuts_leave(history->store.cuts);
    if (cut->is_power_cut)
        file_sim_power_cut(&cut->store);
    file_sim_restart();
    history->store.is_cut = false;
}

/* The loop, while the archiver waits for the disk. */
static void turn_beside(struct history *history)
{
    history->store.is_turning = true;
    struct sim_random random = history->random;
    history->random = history->store.random;
    generation_provide(history);
    sim_loop_advance(history->loop, (int64_t)below(history, 3000000));
    run_tasks(history);
    fake_run(history->upstreams);
    if (!history->is_disk_held)
        (void)sim_disk_complete(history->disk, 1 + below(history, 4));
    storage_tick(history->storage);
    hub_tick(history->hub);
    history->store.random = history->random;
    history->random = random;
    history->store.is_turning = false;
}

void process_before_operation(void *context, enum file_operation operation)
{
    struct history *history = context;
    struct store_fate *store = &history->store;
    if (store->is_turning || history->options.is_store_plain)
        return;
    model_note(&history->model, operation);
    if (store->cuts && cuts_operation(store->cuts))
        store->is_cut = true;
    if (++store->operations == history->options.fail_nth)
        file_sim_fail(operation, 1, 1, history->options.fail_error);
    if (store->cut_in > 0 && --store->cut_in == 0)
        store->is_cut = true;
    if (store->is_cut)
        file_sim_stop();
    else if (store->is_stepping && sim_random_below(&store->random, 4) == 0)
        turn_beside(history);
}

static void step(struct history *history)
{
    history->store.is_stepping = true;
    (void)storage_step(history->storage);
    history->store.is_stepping = false;
}

/* ---- the process ----------------------------------------------------------------------------- */

static enum err open_storage(struct history *history)
{
    int holder = 0;
    struct hub_config hub = {
        history->loop, history->metrics, history->log, 10000, MEMORY_BYTES_MAX};
    history->is_dead = history->is_stuck = history->is_disk_held = history->store.is_stopped =
        false;
    ASSERT(hub_new(&hub, &history->hub) == ERR_OK);
    enum err err = storage_open(&history->config, on_recovered, NULL, &holder, &history->storage);
    if (err != ERR_OK)
        history->hub = hub_free(history->hub);
    return err;
}

/* The end came while it started: recovery is what must recover then. */
static void start_failed(struct history *history)
{
    struct cut cut = next_cut(history, one_in(history, 2));
    drop_tasks(history);
    end_journal(history, &cut);
    end_store(history, &cut);
}

void process_start(struct history *history)
{
    enum err err = open_storage(history);
    for (int tries = 0; err != ERR_OK && tries < STARTS_MAX; tries++) {
        if (!history->store.is_cut && file_sim_failed() == 0)
            break;
        start_failed(history);
        err = open_storage(history);
    }
    if (err != ERR_OK) {
        model_problem(&history->model, 0, "storage_open: %s", fault_origin());
        abort();
    }
    hub_set_storage(history->hub, history->storage);
    ASSERT(storage_project(history->storage, slice_text(history->project.name),
               &history->project.number) == ERR_OK);
}

void process_die(struct history *history, bool is_power_cut)
{
    struct cut cut = next_cut(history, is_power_cut);
    history->is_dead = true;
    history->crashes++;
    history->model.was_interrupted = true;
    model_note(&history->model, cut.is_power_cut);
    end_journal(history, &cut);
    run_tasks(history);
    callers_leave(history);
    run_tasks(history);
    hub_stuck(history->hub);
    fake_cancel_all(history->upstreams);
    fake_run(history->upstreams);
    sim_loop_advance(history->loop, 0);
    file_sim_stop();
    history->storage = storage_abandon(history->storage);
    drop_tasks(history);
    memset(history->holds, 0, sizeof history->holds); /* nobody will be told */
    hub_set_storage(history->hub, NULL);
    history->hub = hub_free(history->hub);
    end_store(history, &cut);
}

void process_look(void *context, struct stream *stream)
{
    struct history *history = context;
    const struct row *row = stream_visible_row(stream);
    uint32_t tag = model_tag(&stream_row(stream)->id);
    if (stream_is_deleted(stream))
        model_gone(&history->model, tag, true, loop_wall_ns(history->loop));
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
    history->store.is_stopped |= status.archive.is_stopped;
}

void process_turn(struct history *history, int64_t by_ns)
{
    sim_loop_advance(history->loop, by_ns);
    run_tasks(history);
    fake_run(history->upstreams);
    if (!history->is_disk_held)
        (void)sim_disk_complete(history->disk, 1 + below(history, 4));
    storage_tick(history->storage);
    hub_tick(history->hub);
    for (uint64_t steps = below(history, 4); steps > 0 && !history->store.is_cut; steps--)
        step(history);
    if (history->store.is_cut) {
        process_die(history, one_in(history, 2));
        process_start(history);
    }
    hub_walk(history->hub, &history->project, process_look, history);
    check_memory(history);
}

static void verify_found(void *context, const struct id *id, const char *what)
{
    struct model *model = context;
    model_problem(model, id ? model_tag(id) : 0, "verify: %s", what);
}

/* The store by itself, when nothing is left in the journal. */
static void verify(struct history *history)
{
    struct store *store;
    struct block_codec *codec;
    struct audit_summary summary;
    struct audit_check check = {
        .is_settled = true, .report = verify_found, .context = &history->model};
    ASSERT(block_codec_new(1, &codec) == ERR_OK);
    ASSERT(store_open(".", true, 1, &store) == ERR_OK);
    ASSERT(store_verify(store, verify_found, NULL, &history->model) == ERR_OK);
    ASSERT(audit_verify(store, codec, &check, &summary) == ERR_OK);
    store_close(store);
    block_codec_free(codec);
}

void process_end(struct history *history)
{
    callers_leave(history);
    for (int i = 0; i < 4; i++)
        process_turn(history, 1000000000);
    history->store.is_turning = true; /* nothing happens to the store's file from here on */
    history->storage = storage_close(history->storage);
    run_tasks(history);
    hub_set_storage(history->hub, NULL);
    history->hub = hub_free(history->hub);
    if (!history->model.is_rotten)
        verify(history);
}
