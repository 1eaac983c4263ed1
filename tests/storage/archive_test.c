/* archive — bundles, their order and their LSNs; fullness; retention by virtual clocks; faults. */
#include "storage/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/table.h"
#include "tests/storage/store_rig.h"

enum { BUNDLES_MAX = 256, SECOND = 1000000000 };

/* Times of rig rows are small; the wall clock is theirs. */
static const int64_t HOUR_NS = INT64_C(3600) * SECOND;

static struct store_rig rig;

/* The program around: clocks that only the test moves, tasks that run when it says so. */
static struct world {
    struct storage_host host;
    _Atomic int64_t now_ns, wall_ns;
    pthread_mutex_t mutex;
    struct task *tasks, **last;
    char log[4096];
    struct archiver *archiver;
    struct archive_bundle bundles[BUNDLES_MAX];
    size_t bundle_count;
    size_t done[BUNDLES_MAX]; /* in the order of their ends */
    enum err errs[BUNDLES_MAX];
    size_t done_count;
} world;

static int64_t world_now(void *context)
{
    return ((struct world *)context)->now_ns;
}

static int64_t world_wall(void *context)
{
    return ((struct world *)context)->wall_ns;
}

static void world_post(void *context, struct task *task)
{
    struct world *w = context;
    (void)pthread_mutex_lock(&w->mutex);
    task->next = NULL;
    *w->last = task;
    w->last = &task->next;
    (void)pthread_mutex_unlock(&w->mutex);
}

static void world_log(void *context, int level, const char *message)
{
    struct world *w = context;
    size_t used = strlen(w->log);
    (void)snprintf(w->log + used, sizeof w->log - used, "%d %s\n", level, message);
}

static void run_tasks(void)
{
    (void)pthread_mutex_lock(&world.mutex);
    struct task *task = world.tasks;
    world.tasks = NULL;
    world.last = &world.tasks;
    (void)pthread_mutex_unlock(&world.mutex);
    while (task) {
        struct task *next = task->next;
        task->run(task);
        task = next;
    }
}

static void start(bool has_no_thread, const char *path)
{
    struct archive_config config = {.store = rig.store,
        .host = &world.host,
        .path = path,
        .retention_step_ns = 10 * (int64_t)SECOND,
        .tombstone_ttl_s = 7200,
        .has_no_thread = has_no_thread};
    assert_int_equal(archiver_start(&config, &world.archiver), ERR_OK);
}

static void stop(void)
{
    world.archiver = archiver_stop(world.archiver);
    run_tasks();
}

static int set_up(uint64_t map_bytes)
{
    world = (struct world){.host = {.context = &world,
                               .now_ns = world_now,
                               .wall_ns = world_wall,
                               .post = world_post,
                               .log = world_log},
        .now_ns = 5 * (int64_t)SECOND,
        .wall_ns = 1000 * HOUR_NS};
    world.last = &world.tasks;
    (void)pthread_mutex_init(&world.mutex, NULL);
    store_rig_open(&rig, map_bytes);
    return 0;
}

static int open_world(void **state)
{
    (void)state;
    return set_up(0);
}

static int open_small_world(void **state)
{
    (void)state;
    return set_up(8 << 20);
}

static int close_world(void **state)
{
    (void)state;
    stop();
    store_rig_close(&rig);
    return pthread_mutex_destroy(&world.mutex);
}

static void step_all(void)
{
    while (archive_step(world.archiver))
        ;
    run_tasks();
}

static void pass(int64_t ns)
{
    world.now_ns += ns;
    world.wall_ns += ns;
    step_all();
}

static struct archive_status status(void)
{
    struct archive_status out;
    archive_status(world.archiver, &out);
    return out;
}

static void on_done(struct archive_bundle *bundle, enum err err)
{
    assert_true(list_is_empty(&bundle->items));
    world.errs[world.done_count] = err;
    world.done[world.done_count++] = (size_t)(bundle - world.bundles);
}

/* ---- Bundles ---- */

static struct archive_bundle *new_bundle(uint64_t absorbed_lsn)
{
    assert_true(world.bundle_count < BUNDLES_MAX);
    struct archive_bundle *bundle = &world.bundles[world.bundle_count++];
    *bundle = (struct archive_bundle){.absorbed_lsn = absorbed_lsn, .done = on_done};
    list_init(&bundle->items);
    return bundle;
}

static struct archive_item *add_item(
    struct archive_bundle *bundle, enum archive_kind kind, uint64_t number)
{
    struct archive_item *item = archive_item_new(kind, RIG_PROJECT, number);
    assert_non_null(item);
    list_append(&bundle->items, &item->node);
    return item;
}

static void add_blocks(
    struct archive_bundle *bundle, uint64_t number, struct block *const *blocks, size_t count)
{
    struct archive_item *item = add_item(bundle, ARCHIVE_BLOCKS, number);
    item->blocks = calloc(count + 1, sizeof *item->blocks);
    assert_non_null(item->blocks);
    memcpy(item->blocks, blocks, count * sizeof *item->blocks);
    item->block_count = count;
}

static void add_events(struct archive_bundle *bundle, uint64_t number, uint64_t from, uint64_t to)
{
    struct store_rig_run run;
    store_rig_run(&run, number, from, to, BLOCK_BYTES_MAX);
    add_blocks(bundle, number, run.blocks, run.count);
    bundle->bytes += 1000;
}

/* Each in an item of its own, and so in a stored value of its own. */
static void add_single_events(struct archive_bundle *bundle, uint64_t number, uint64_t to)
{
    struct store_rig_run run;
    for (uint64_t seq = 0; seq < to; seq += 100) {
        store_rig_run(&run, number, seq, seq + 100, 1);
        for (size_t i = 0; i < run.count; i++)
            add_blocks(bundle, number, &run.blocks[i], 1);
    }
}

static void add_row(struct archive_bundle *bundle, const struct row *row)
{
    struct archive_item *item = add_item(bundle, ARCHIVE_ROW, row->number);
    buf_init(&item->bytes, ROW_BYTES_MAX);
    assert_int_equal(row_encode(row, &item->bytes), ERR_OK);
}

static void add_deletion(struct archive_bundle *bundle, uint64_t number)
{
    struct archive_item *item = add_item(bundle, ARCHIVE_DELETE, number);
    item->id = store_rig_id(number);
    buf_init(&item->bytes, 100);
    assert_int_equal(buf_append_text(&item->bytes, "deleted"), ERR_OK);
}

static void add_body(struct archive_bundle *bundle, uint64_t number, uint64_t pieces)
{
    struct sim_random random = sim_random_new(number);
    for (uint64_t i = 0; i < pieces; i++) {
        uint8_t *at;
        struct archive_item *item = add_item(bundle, ARCHIVE_BODY, number);
        item->position = i * FRAGMENT_BYTES_MAX;
        buf_init(&item->bytes, FRAGMENT_BYTES_MAX);
        assert_int_equal(buf_reserve(&item->bytes, FRAGMENT_BYTES_MAX, &at), ERR_OK);
        for (size_t j = 0; j < FRAGMENT_BYTES_MAX; j += 8) {
            uint64_t noise = sim_random_next(&random) * 0x9e3779b97f4a7c15u;
            memcpy(at + j, &noise, sizeof noise);
        }
        buf_commit(&item->bytes, FRAGMENT_BYTES_MAX);
        bundle->bytes += FRAGMENT_BYTES_MAX;
    }
}

/* A whole stream. */
static void submit_stream(uint64_t number, uint64_t events, uint64_t lsn)
{
    struct archive_bundle *bundle = new_bundle(lsn);
    struct row row = store_rig_row(number, STREAM_COMPLETED, events);
    add_events(bundle, number, 0, events);
    add_row(bundle, &row);
    archive_submit(world.archiver, bundle);
}

static void submit_deletion(uint64_t number, uint64_t lsn)
{
    struct archive_bundle *bundle = new_bundle(lsn);
    add_deletion(bundle, number);
    archive_submit(world.archiver, bundle);
}

static enum stream_state state_of(uint64_t number)
{
    struct buf bytes;
    struct row row = {.state = STREAM_ACCEPTED};
    enum err err = store_rig_get_row(&rig, number, &bytes, &row);
    assert_true(err == ERR_OK || err == ERR_NOTFOUND);
    enum stream_state state = row.state;
    buf_deinit(&bytes);
    return state;
}

static void assert_verified(void)
{
    char text[RIG_TEXT_BYTES];
    if (store_rig_verify(&rig, text))
        fail_msg("%s", text);
}

/* ---- Order ---- */

static void test_bundles_end_in_order(void **state)
{
    (void)state;
    start(true, NULL);
    for (uint64_t i = 1; i <= 20; i++)
        submit_stream(i, i * 10, i * 100);
    assert_int_equal(status().backlog_bytes, 20000);
    assert_true(archive_step(world.archiver));
    assert_int_equal(world.done_count, 0); /* not from inside the step */
    step_all();
    assert_int_equal(world.done_count, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(world.done[i], i);
        assert_int_equal(world.errs[i], ERR_OK);
        store_rig_check(&rig, i + 1, (i + 1) * 10);
    }
    assert_int_equal(store_absorbed_lsn(rig.store), 2000);
    assert_int_equal(status().transactions, 1);
    assert_int_equal(status().events, 2100);
    assert_int_equal(status().backlog_bytes, 0);
    assert_verified();
}

static void test_thread(void **state)
{
    (void)state;
    start(false, NULL);
    for (uint64_t i = 1; i <= 40; i++)
        submit_stream(i, 30, i);
    stop(); /* finishes what was submitted */
    assert_int_equal(world.done_count, 40);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(world.done[i], i);
        assert_int_equal(world.errs[i], ERR_OK);
        store_rig_check(&rig, i + 1, 30);
    }
    assert_int_equal(store_absorbed_lsn(rig.store), 40);
}

static void test_a_large_bundle_takes_several_transactions(void **state)
{
    (void)state;
    start(true, NULL);
    struct archive_bundle *bundle = new_bundle(70);
    add_events(bundle, 2, 0, 10);
    add_body(bundle, 2, 600); /* 37 MiB */
    submit_stream(4, 10, 50);
    archive_submit(world.archiver, bundle);
    assert_true(archive_step(world.archiver));
    run_tasks();
    assert_int_equal(world.done_count, 1);
    assert_int_equal(store_absorbed_lsn(rig.store), 50); /* of the completed one only */
    step_all();
    assert_int_equal(world.done_count, 2);
    assert_int_equal(store_absorbed_lsn(rig.store), 70);
    assert_int_equal(status().transactions, 2);
    struct buf last;
    buf_init(&last, FRAGMENT_BYTES_MAX);
    assert_int_equal(store_get_body(rig.store, rig.codec, RIG_PROJECT, 2,
                         600 * (uint64_t)FRAGMENT_BYTES_MAX - 1, &last),
        ERR_OK);
    assert_int_equal(last.size, 1);
    buf_deinit(&last);
}

/* Everything comes again, cut another way, as after a crash. */
static void test_repeats(void **state)
{
    (void)state;
    start(true, NULL);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim_random random = sim_random_new(seed);
        for (uint64_t number = 1; number <= 4; number++) {
            struct archive_bundle *bundle = new_bundle(seed * 10);
            uint64_t cut = sim_random_below(&random, 300);
            struct row row = store_rig_row(number, STREAM_COMPLETED, 300);
            add_events(bundle, number, 0, cut);
            add_events(bundle, number, cut, 300);
            add_row(bundle, &row);
            add_item(bundle, ARCHIVE_MERGE, number);
            archive_submit(world.archiver, bundle);
        }
        step_all();
    }
    for (uint64_t number = 1; number <= 4; number++)
        store_rig_check(&rig, number, 300);
    assert_verified();
}

static void test_merge_and_aside(void **state)
{
    (void)state;
    start(true, NULL);
    for (uint64_t seq = 0; seq < 700; seq += 10) {
        struct archive_bundle *bundle = new_bundle(seq);
        add_events(bundle, 2, seq, seq + 10);
        archive_submit(world.archiver, bundle);
        step_all();
    }
    uint64_t before = store_rig_block_count(&rig, 2), place;
    struct archive_bundle *bundle = new_bundle(1000);
    struct row row = store_rig_row(2, STREAM_COMPLETED, 700);
    struct archive_item *aside = add_item(bundle, ARCHIVE_ASIDE, 2);
    struct buf out;
    aside->position = 33;
    buf_init(&aside->bytes, 100);
    assert_int_equal(buf_append_text(&aside->bytes, "usage"), ERR_OK);
    add_row(bundle, &row);
    add_item(bundle, ARCHIVE_MERGE, 2);
    archive_submit(world.archiver, bundle);
    step_all();
    assert_true(store_rig_block_count(&rig, 2) < before / 2);
    store_rig_check(&rig, 2, 700);
    buf_init(&out, 100);
    assert_int_equal(
        store_get_aside(rig.store, rig.codec, RIG_PROJECT, 2, 0, &place, &out), ERR_OK);
    assert_int_equal(place, 33);
    buf_deinit(&out);
    assert_verified();
}

/* ---- Deletion ---- */

static void test_delete_takes_steps(void **state)
{
    (void)state;
    start(true, NULL);
    struct archive_bundle *bundle = new_bundle(5);
    add_single_events(bundle, 2, 3000);
    struct row row = store_rig_row(2, STREAM_COMPLETED, 3000);
    add_row(bundle, &row);
    archive_submit(world.archiver, bundle);
    step_all();
    submit_deletion(2, 6);
    submit_deletion(44, 7); /* nobody knows it */
    assert_true(archive_step(world.archiver));
    assert_int_equal(state_of(2), STREAM_DELETED);
    assert_int_equal(store_absorbed_lsn(rig.store), 5); /* not done yet */
    step_all();
    assert_int_equal(store_absorbed_lsn(rig.store), 7);
    assert_int_equal(store_rig_block_count(&rig, 2), 0);
    assert_int_equal(status().deleted, 2);
    assert_verified();
}

/* ---- Fullness ---- */

static uint64_t submit_until_full(uint64_t number)
{
    while (!status().is_full) {
        submit_stream(number, 200, number);
        number += 2;
        step_all();
        assert_true(number < 400);
    }
    return number;
}

static bool has_ballast(void)
{
    char path[96];
    struct stat file;
    (void)snprintf(path, sizeof path, "%s/ballast", rig.path);
    return stat(path, &file) == 0;
}

static void test_full_waits_for_deletions(void **state)
{
    (void)state;
    start(true, rig.path);
    bool had_ballast = has_ballast(); /* only where there is room */
    uint64_t next = submit_until_full(1);
    size_t done = world.done_count;
    assert_int_equal(done, world.bundle_count - 1);
    assert_false(has_ballast());
    store_rig_check(&rig, 1, 200); /* reading goes on */
    pass(SECOND / 2);
    pass(2 * (int64_t)SECOND);
    assert_int_equal(world.done_count, done);
    assert_int_equal(store_absorbed_lsn(rig.store), next - 4);
    for (uint64_t number = 1; number <= 11; number += 2)
        submit_deletion(number, next + number);
    step_all(); /* at once: deletions are served first, and make the room */
    assert_int_equal(world.done_count, world.bundle_count);
    assert_false(status().is_full);
    assert_int_equal(store_absorbed_lsn(rig.store), next + 11);
    assert_int_equal(state_of(3), STREAM_DELETED);
    store_rig_check(&rig, next - 2, 200);
    for (size_t i = 0; i < world.done_count; i++)
        assert_int_equal(world.done[i], i);
    pass(BALLAST_RETRY_NS);
    assert_int_equal(has_ballast(), had_ballast);
    assert_non_null(strstr(world.log, "full"));
    assert_verified();
}

static void test_full_and_retention_makes_room(void **state)
{
    (void)state;
    start(true, NULL);
    world.wall_ns = SECOND; /* before anything expires */
    for (uint64_t number = 1; number <= 11; number += 2) {
        struct archive_bundle *bundle = new_bundle(number);
        struct row row = store_rig_row(number, STREAM_COMPLETED, 200);
        row.ttl_s = 100;
        add_events(bundle, number, 0, 200);
        add_row(bundle, &row);
        archive_submit(world.archiver, bundle);
    }
    step_all();
    (void)submit_until_full(13);
    size_t done = world.done_count;
    assert_int_equal(status().expired, 0);
    for (int i = 0; i < 20; i++)
        pass(20 * (int64_t)SECOND);
    assert_int_equal(status().expired, 6);
    assert_int_equal(world.done_count, done + 1);
    assert_false(status().is_full);
    assert_verified();
}

static void test_stop_when_full(void **state)
{
    (void)state;
    start(true, NULL);
    (void)submit_until_full(1);
    size_t done = world.done_count;
    submit_stream(777, 10, 999);
    stop();
    assert_int_equal(world.done_count, done + 2);
    assert_int_equal(world.errs[done], ERR_CANCELED);
    assert_int_equal(world.errs[done + 1], ERR_CANCELED);
}

static void test_a_fault_stops_it(void **state)
{
    (void)state;
    start(true, NULL);
    submit_stream(2, 10, 5);
    struct archive_bundle *bundle = new_bundle(6);
    add_events(bundle, 4, 7, 20); /* 0…6 are missing */
    step_all();
    archive_submit(world.archiver, bundle);
    submit_stream(6, 10, 7);
    step_all();
    assert_true(status().is_stopped);
    assert_int_equal(world.done_count, 3);
    assert_int_equal(world.errs[0], ERR_OK);
    assert_int_equal(world.errs[1], ERR_CORRUPT);
    assert_int_equal(world.errs[2], ERR_CORRUPT);
    submit_stream(8, 10, 8);
    step_all();
    assert_int_equal(world.errs[3], ERR_CORRUPT);
    assert_int_equal(store_absorbed_lsn(rig.store), 5);
    assert_non_null(strstr(world.log, "0 archiver: stopped"));
    assert_int_equal(status().backlog_bytes, 0);
}

/* ---- Amendments and damage ---- */

static void submit_amendment(uint64_t number, enum store_amendment_kind kind)
{
    struct archive_bundle *bundle = new_bundle(0);
    struct archive_item *item = add_item(bundle, ARCHIVE_AMEND, number);
    item->id = store_rig_id(number);
    item->amendment.kind = kind;
    archive_submit(world.archiver, bundle);
}

static void test_a_hold_keeps_what_is_deleted_after_it(void **state)
{
    (void)state;
    start(true, NULL);
    submit_stream(2, 20, 5);
    submit_amendment(2, AMEND_HOLD);
    submit_amendment(4, AMEND_HOLD); /* nobody knows it */
    submit_deletion(2, 6);
    step_all();
    assert_int_equal(world.errs[1], ERR_OK);
    assert_int_equal(world.errs[2], ERR_NOTFOUND);
    assert_int_equal(world.errs[3], ERR_OK); /* the journal is not to hold on to it */
    assert_int_equal(state_of(2), STREAM_COMPLETED);
    store_rig_check(&rig, 2, 20);
    assert_non_null(strstr(world.log, "the hold counts"));
    submit_amendment(2, AMEND_RELEASE);
    submit_deletion(2, 7);
    step_all();
    assert_int_equal(state_of(2), STREAM_DELETED);
    assert_verified();
}

/* A bit of the last stored block of a stream that is still written. */
static void rot(uint64_t number, uint64_t seq)
{
    struct tables *tables = store_tables(rig.store);
    struct schema_key key = schema_block(RIG_PROJECT, number, seq, 0);
    struct view *view;
    struct slice value;
    struct buf copy;
    assert_int_equal(view_begin(tables, true, &view), ERR_OK);
    assert_int_equal(view_get(view, TABLE_BLOCKS, key, &value), ERR_OK);
    buf_init(&copy, value.size);
    assert_int_equal(buf_append(&copy, value), ERR_OK);
    copy.data[copy.size / 2] ^= 1;
    assert_int_equal(view_put(view, TABLE_BLOCKS, key, buf_slice(&copy)), ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
    buf_deinit(&copy);
}

static void test_a_damaged_stream_stops_nobody_else(void **state)
{
    (void)state;
    start(true, NULL);
    struct archive_bundle *bundle = new_bundle(3);
    struct row row = store_rig_row(2, STREAM_STREAMING, 10);
    add_events(bundle, 2, 0, 10);
    add_row(bundle, &row);
    archive_submit(world.archiver, bundle);
    step_all();
    rot(2, 0);
    bundle = new_bundle(8);
    row = store_rig_row(2, STREAM_COMPLETED, 20);
    add_events(bundle, 2, 10, 20);
    add_row(bundle, &row);
    add_item(bundle, ARCHIVE_MERGE, 2);
    archive_submit(world.archiver, bundle);
    submit_stream(4, 30, 9);
    step_all();
    assert_false(status().is_stopped);
    assert_int_equal(status().damaged, 1);
    assert_int_equal(store_absorbed_lsn(rig.store), 9);
    store_rig_check(&rig, 4, 30);
    struct buf bytes;
    assert_int_equal(store_rig_get_row(&rig, 2, &bytes, &row), ERR_OK);
    assert_int_equal(row.state, STREAM_COMPLETED);
    assert_true(slice_equal(row.damage, SLICE("blocks from 0.0 on")));
    buf_deinit(&bytes);
    assert_non_null(strstr(world.log, "is damaged: blocks from 0.0 on"));
    submit_deletion(2, 10); /* what cannot be read can be deleted */
    step_all();
    assert_int_equal(state_of(2), STREAM_DELETED);
    assert_verified();
}

static void test_it_scrubs_when_idle(void **state)
{
    (void)state;
    struct archive_config config = {.store = rig.store,
        .host = &world.host,
        .retention_step_ns = 10 * (int64_t)SECOND,
        .tombstone_ttl_s = 7200,
        .scrub_bytes_per_s = 1000000,
        .has_no_thread = true};
    assert_int_equal(archiver_start(&config, &world.archiver), ERR_OK);
    submit_stream(2, 20, 5);
    submit_stream(4, 20, 6);
    step_all();
    pass(SECOND);
    assert_int_equal(status().scrubs, 1);
    assert_int_equal(status().damaged, 0);
    rot(4, 0);
    pass(HOUR_NS);
    pass(SECOND);
    assert_int_equal(status().damaged, 1);
    assert_non_null(strstr(world.log, "is damaged"));
    store_rig_check(&rig, 2, 20);
}

/* ---- Retention ---- */

/* Streams 1 … count end at `wall_ns` and live for `ttl_s`. */
static void submit_expiring(uint64_t count, int64_t ttl_s)
{
    struct archive_bundle *bundle = new_bundle(1);
    for (uint64_t number = 1; number <= count; number++) {
        struct row row = store_rig_row(number, STREAM_COMPLETED, 2);
        row.ended_ns = world.wall_ns;
        row.ttl_s = ttl_s;
        add_events(bundle, number, 0, 2);
        add_row(bundle, &row);
    }
    archive_submit(world.archiver, bundle);
    step_all();
}

static uint64_t rows(void)
{
    struct store_size size;
    store_size(rig.store, &size);
    return size.rows;
}

static void test_retention(void **state)
{
    (void)state;
    start(true, NULL);
    submit_expiring(3 * RETENTION_STEP_STREAMS, 3600);
    pass(HOUR_NS - SECOND);
    assert_int_equal(status().expired, 0);
    world.now_ns += 20 * (int64_t)SECOND;
    world.wall_ns += 20 * (int64_t)SECOND;
    assert_true(archive_step(world.archiver)); /* one bounded step */
    assert_int_equal(status().expired, RETENTION_STEP_STREAMS);
    step_all();
    assert_int_equal(status().expired, 3 * RETENTION_STEP_STREAMS);
    assert_int_equal(state_of(1), STREAM_DELETED);
    assert_int_equal(store_rig_block_count(&rig, 1), 0);
    assert_int_equal(rows(), 3 * RETENTION_STEP_STREAMS);
    assert_verified();
    pass(HOUR_NS); /* the tombstones stay for two hours */
    assert_int_equal(rows(), 3 * RETENTION_STEP_STREAMS);
    pass(HOUR_NS + 20 * (int64_t)SECOND);
    assert_int_equal(rows(), 0);
    assert_verified();
}

static void test_clock_step_pauses(void **state)
{
    (void)state;
    start(true, NULL);
    submit_expiring(3, 3600);
    world.wall_ns += 500 * HOUR_NS;
    step_all();
    assert_true(status().is_retention_paused);
    assert_non_null(strstr(world.log, "1 archiver: the clock"));
    pass(HOUR_NS / 2);
    assert_int_equal(status().expired, 0);
    world.wall_ns -= 500 * HOUR_NS; /* set right */
    pass(SECOND);
    assert_false(status().is_retention_paused);
    assert_int_equal(status().expired, 0);
    pass(HOUR_NS);
    assert_int_equal(status().expired, 3);
}

static void test_a_clock_that_stays_ahead_is_believed(void **state)
{
    (void)state;
    start(true, NULL);
    submit_expiring(3, 3600);
    world.wall_ns += 500 * HOUR_NS;
    for (int hour = 0; hour < 24; hour++) {
        pass(HOUR_NS - 1);
        assert_true(status().is_retention_paused);
        assert_int_equal(status().expired, 0);
    }
    pass(HOUR_NS);
    pass(HOUR_NS);
    assert_false(status().is_retention_paused);
    assert_int_equal(status().expired, 3);
}

static void test_small_steps_and_steps_back_are_followed(void **state)
{
    (void)state;
    start(true, NULL);
    submit_expiring(3, 3600);
    world.wall_ns += CLOCK_STEP_NS;
    pass(0);
    assert_false(status().is_retention_paused);
    world.wall_ns -= 10 * HOUR_NS;
    pass(0);
    assert_false(status().is_retention_paused);
    world.wall_ns += 10 * HOUR_NS;
    pass(0);
    assert_true(status().is_retention_paused);
}

/* ---- Churn ---- */

/* An hour's worth, which lives for `ttl_s` (0: for ever). */
static void churn_hour(uint64_t *number, uint64_t streams, int64_t ttl_s)
{
    struct archive_bundle *bundle = &world.bundles[0];
    *bundle = (struct archive_bundle){.done = on_done};
    list_init(&bundle->items);
    world.done_count = 0;
    for (uint64_t i = 0; i < streams; i++, ++*number) {
        struct row row = store_rig_row(*number, STREAM_COMPLETED, 40);
        row.ended_ns = world.wall_ns;
        row.ttl_s = ttl_s;
        add_events(bundle, *number, 0, 40);
        add_row(bundle, &row);
    }
    archive_submit(world.archiver, bundle);
    step_all();
    pass(HOUR_NS);
}

static struct store_size size_now(void)
{
    struct store_size size;
    store_size(rig.store, &size);
    return size;
}

/* What is kept is two hours' worth of recordings and tombstones: pages are used again. */
static void test_a_day_of_churn_stays_flat(void **state)
{
    (void)state;
    enum { HOURS = 24, STREAMS = 12 };
    uint64_t number = 1, file_early = 0;
    start(true, NULL);
    for (int hour = 1; hour <= HOURS; hour++) {
        churn_hour(&number, STREAMS, 7200);
        if (hour == HOURS / 2)
            file_early = size_now().file_bytes;
    }
    assert_in_range(rows(), 1, 5 * STREAMS);
    assert_in_range(size_now().file_bytes, 1, file_early + file_early / 10);
    assert_in_range(status().expired, (HOURS - 4) * STREAMS, HOURS * STREAMS);
    assert_verified();
}

static void test_the_oldest_go_when_there_is_too_much(void **state)
{
    (void)state;
    enum { LIMIT = 256 << 10, HOURS = 24, STREAMS = 4 };
    uint64_t number = 1;
    struct archive_config config = {.store = rig.store,
        .host = &world.host,
        .retention_step_ns = 10 * (int64_t)SECOND,
        .tombstone_ttl_s = 7200,
        .keep_bytes_max = LIMIT,
        .has_no_thread = true};
    assert_int_equal(archiver_start(&config, &world.archiver), ERR_OK);
    churn_hour(&number, STREAMS, 0);
    struct archive_bundle *bundle = &world.bundles[1];
    *bundle = (struct archive_bundle){.done = on_done};
    list_init(&bundle->items);
    struct archive_item *item = add_item(bundle, ARCHIVE_AMEND, 1);
    item->id = store_rig_id(1);
    item->amendment.kind = AMEND_HOLD;
    archive_submit(world.archiver, bundle);
    for (int hour = 1; hour <= HOURS; hour++) {
        churn_hour(&number, STREAMS, 0);
        assert_in_range(size_now().used_bytes, 1, LIMIT);
    }
    assert_true(size_now().used_bytes > LIMIT / 2);
    assert_int_equal(state_of(1), STREAM_COMPLETED); /* held */
    store_rig_check(&rig, 1, 40);
    assert_int_not_equal(state_of(2), STREAM_COMPLETED);
    store_rig_check(&rig, number - 1, 40);
    uint64_t kept = 0;
    for (uint64_t each = 2; each < number; each++) { /* oldest first: none before a kept one */
        bool is_kept = state_of(each) == STREAM_COMPLETED;
        assert_true(is_kept || kept == 0);
        kept += is_kept;
    }
    assert_int_equal(status().evicted, number - 2 - kept);
    assert_int_equal(status().expired, 0);
    assert_verified();
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, open_world, close_world)
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, open_small_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bundles_end_in_order),
        TEST(test_thread),
        TEST(test_a_large_bundle_takes_several_transactions),
        TEST(test_repeats),
        TEST(test_merge_and_aside),
        TEST(test_delete_takes_steps),
        SMALL_TEST(test_full_waits_for_deletions),
        SMALL_TEST(test_full_and_retention_makes_room),
        SMALL_TEST(test_stop_when_full),
        TEST(test_a_fault_stops_it),
        TEST(test_retention),
        TEST(test_clock_step_pauses),
        TEST(test_a_clock_that_stays_ahead_is_believed),
        TEST(test_small_steps_and_steps_back_are_followed),
        TEST(test_a_hold_keeps_what_is_deleted_after_it),
        TEST(test_a_damaged_stream_stops_nobody_else),
        TEST(test_it_scrubs_when_idle),
        TEST(test_a_day_of_churn_stays_flat),
        TEST(test_the_oldest_go_when_there_is_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
