/* history — see the header. A step is: something that callers, providers, the disk or fate do; then a
 * turn of the loop; then a look at every stream in memory.                                     */
#include "tests/sim/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/caller.h"
#include "tests/sim/cuts.h"
#include "tests/sim/generation.h"
#include "tests/sim/process.h"

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
    (void)snprintf(path, sizeof path, "./journal-%02u",
        (unsigned)below(history, history->config.segment_count));
    if (!sim_disk_bytes(history->disk, path, &size))
        return;
    uint64_t range = size < 65536 || one_in(history, 3) ? size : 65536;
    history->model.is_rotten = true;
    sim_disk_flip_bit(history->disk, path, below(history, range * 8));
}

static void crash(struct history *history)
{
    process_die(history, one_in(history, 2));
    if (history->may_rot && one_in(history, 2))
        flip(history);
    process_start(history);
}

/* Drawn from a source of its own. */
static bool store_one_in(struct history *history, uint64_t count)
{
    return sim_random_below(&history->store.random, count) == 0;
}

/* Not in histories of a plain store: they came before these. */
static void store_act(struct history *history)
{
    struct sim_random *random = &history->store.random;
    if (history->model.count > 0 && store_one_in(history, 12))
        caller_hold(history, (uint32_t)sim_random_below(random, history->model.count));
}

/* An operation that fails, or an end in the middle of one, some operations from now. */
static void store_fault(struct history *history)
{
    struct sim_random *random = &history->store.random;
    if (store_one_in(history, 60))
        file_sim_fail((enum file_operation)sim_random_below(random, FILE_OPERATION_COUNT),
            1 + sim_random_below(random, 4), 1 + sim_random_below(random, 2),
            store_one_in(history, 2) ? EIO : ENOSPC);
    if (history->store.cut_in == 0 && store_one_in(history, 25))
        history->store.cut_in = 1 + sim_random_below(random, 30);
}

static void act(struct history *history)
{
    struct model *model = &history->model;
    uint64_t what = below(history, 1000);
    uint32_t tag = model->count ? (uint32_t)below(history, model->count) : 0;
    if (what < 60 || model->count == 0)
        generation_begin(history, -1, NULL);
    else if (what < 110)
        caller_claim(history);
    else if (what < 190)
        caller_go(history, ATTACH, tag, NULL);
    else if (what < 205)
        caller_go(history, STOP, tag, NULL);
    else if (what < 235)
        caller_go(history, DELETE, tag, NULL);
    else if (what < 245)
        disk_fault(history);
    else if (what < 265 || ((history->is_stuck || history->store.is_stopped) && what < 400))
        crash(history);
    else if (what < 300)
        history->is_disk_held = !history->is_disk_held;
    else
        generation_provide(history);
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

/* What cannot make anything durable any more, or cannot store it, wants a restart. */
static void restart_if_stopped(struct history *history)
{
    if (!history->is_stuck && !history->store.is_stopped)
        return;
    process_die(history, false);
    process_start(history);
}

/* Everything goes to the store; a process that fails meanwhile is followed by another. */
static void drain(struct history *history)
{
    for (int turns = 0; turns < SETTLE_TURNS_MAX; turns++) {
        restart_if_stopped(history);
        storage_drain(history->storage);
        process_turn(history, 10000000);
        if (storage_is_drained(history->storage) && !history->store.is_stopped)
            return;
    }
    model_problem(&history->model, 0, "it does not come to rest");
}

static void settle(struct history *history)
{
    for (int op = 0; op < SIM_OPERATION_COUNT; op++)
        sim_disk_fail(history->disk, (enum sim_operation)op, 0, 0, ERR_OK);
    history->store.cut_in = 0;
    for (int op = 0; op < FILE_OPERATION_COUNT; op++)
        file_sim_fail((enum file_operation)op, 0, 0, 0);
    restart_if_stopped(history);
    history->is_disk_held = false;
    history->model.was_interrupted = true;
    hub_interrupt_all(history->hub, "shutdown");
    fake_cancel_all(history->upstreams);
    int turns = 0;
    while ((hub_live_count(history->hub) > 0 || fake_open(history->upstreams) > 0) &&
           turns++ < SETTLE_TURNS_MAX)
        process_turn(history, 10000000);
    drain(history);
}

static void check_all(struct history *history)
{
    for (uint32_t tag = 0; tag < history->model.count; tag++) {
        bool is_done = false;
        callers_leave(history);
        restart_if_stopped(history);
        caller_go(history, CHECK, tag, &is_done);
        for (int turns = 0; turns < SETTLE_TURNS_MAX; turns++) {
            process_turn(history, 1000000);
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
    history->options.fail_nth = 0;
    drain(history);
    struct storage_status status;
    storage_status(history->storage, &status);
    if (status.tails != 0 || status.tail_bytes != 0 || status.queued_bytes != 0)
        model_problem(&history->model, 0, "memory is left: %" PRIu64 " tails", status.tails);
}

/* Every path is relative to it: a process that goes on in a copy of it finds the same names. */
static void make_directory(struct history *history)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(history->directory, sizeof history->directory, "%s/tokenlog-sim-XXXXXX", base);
    ASSERT(mkdtemp(history->directory) && chdir(history->directory) == 0);
    cuts_ballast();
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
    history->producer = (struct producer_config){
        .upstreams = history->upstreams, .metrics = history->metrics, .log = history->log};
    process_config(history);
}

static void tear_down(struct history *history)
{
    upstreams_free(history->upstreams);
    sim_loop_free(history->loop);
    sim_disk_free(history->disk);
    log_free(history->log);
    metrics_free(history->metrics);
    (void)close(history->log_fd);
    file_sim_end();
    remove_directory(history->directory);
    ASSERT(chdir("/") == 0);
}

static void end_cuts(struct cuts *cuts, struct history_result *result)
{
    result->ends = cuts_result(cuts).ends;
    result->problems += cuts_result(cuts).failed;
    cuts_free(cuts);
}

static void set_up_store(struct history *history, uint64_t seed)
{
    const struct history_options *options = &history->options;
    struct store_fate *store = &history->store;
    store->random = sim_random_new(~seed);
    if (options->cut_every)
        store->cuts = cuts_new(seed, options->cut_every, 1 + seed % options->cut_every);
    file_sim_begin("store.lmdb", seed, process_before_operation, history);
    store->is_by_chance = !options->is_store_plain && !options->cut_every && !options->fail_nth;
    history->model.may_evict = !options->is_store_plain && store_one_in(history, 4);
    if (history->model.may_evict)
        history->config.keep_bytes_max = 60000 + sim_random_below(&store->random, 200000);
    file_sim_ignore_flushes(options->has_lying_store);
}

static void live(struct history *history, uint64_t steps)
{
    for (history->model.step = 1; history->model.step <= steps && !history->model.problems;
         history->model.step++) {
        if (history->store.cuts && cuts_is_child(history->store.cuts))
            break;
        act(history);
        if (!history->options.is_store_plain)
            store_act(history);
        if (history->store.is_by_chance)
            store_fault(history);
        pull_some(history);
        caller_ask_for_tombstones(history);
        process_turn(history, some_time(history));
    }
}

struct history_result history_run(uint64_t seed, const struct history_options *options)
{
    struct history *history = calloc(1, sizeof *history);
    ASSERT(history);
    history->options = *options;
    set_up(history, seed);
    set_up_store(history, seed);
    sim_disk_ignore_sync(history->disk, options->has_lying_disk);
    process_start(history);
    history->may_rot = one_in(history, 8);
    uint64_t steps = 20 + below(history, 200);
    live(history, steps);
    settle(history);
    check_all(history);
    process_end(history);
    struct history_result result = {.problems = history->model.problems,
        .trace = history->model.trace,
        .steps = steps,
        .streams = history->model.count,
        .crashes = history->crashes};
    for (int op = 0; op < FILE_OPERATION_COUNT; op++)
        result.operations += file_sim_operations((enum file_operation)op);
    if (history->store.cuts && cuts_is_child(history->store.cuts))
        cuts_exit(history->store.cuts, result.problems);
    tear_down(history);
    if (history->store.cuts)
        end_cuts(history->store.cuts, &result);
    free(history);
    return result;
}
