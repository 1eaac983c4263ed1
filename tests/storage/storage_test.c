/* storage — the whole engine: lock, archive under a reader, crashes at random, deletes, pressure.
 *
 * What a crash may take back is what no reader saw: each test of one notes the watermarks before it
 * and reads every event below them after.                                                          */
#include "tests/storage/world.h"

#include "protocol/base/own.h"

static uint8_t bytes[WORLD_EVENT_BYTES_MAX];

static void test_lock(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world);
    struct storage *second = NULL;
    int holder = -1;
    assert_int_equal(storage_open(&world->config, NULL, NULL, &holder, &second), ERR_BUSY);
    assert_int_equal(holder, getpid());
    assert_null(second);
    world_close(world);
    world_open(world);
    world_free(world);
}

static void test_projects_are_remembered(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    uint32_t alpha, beta, again;
    world_open(world);
    assert_int_equal(storage_project(world->storage, SLICE("beta"), &beta), ERR_OK);
    (void)world_create(world, 1, SLICE_NONE);
    world_turns(world, 5);
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &alpha), ERR_OK);
    assert_int_not_equal(alpha, beta);
    assert_int_equal(storage_project(world->storage, SLICE_NONE, &again), ERR_LIMIT);
    world_crash(world, true); /* only the journal knows of alpha */
    world_open(world);
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &again), ERR_OK);
    assert_int_equal(again, alpha);
    world_close(world);
    world_open(world); /* now the store does */
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &again), ERR_OK);
    assert_int_equal(again, alpha);
    assert_int_equal(storage_project(world->storage, SLICE("gamma"), &again), ERR_OK);
    assert_int_not_equal(again, alpha);
    world_free(world);
}

/* Readers at every offset follow a stream while it is written, archived and dropped under them. */
enum { FOLLOWED_EVENTS = 600, FOLLOWERS = 30 };

static void test_reading_goes_on_while_archiving(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    world->config.archive_after_ns = 2000000;
    world_open(world);
    struct tail *tail = world_create(world, 9, SLICE_NONE);
    struct id id = tail_row(tail)->id;
    uint32_t project = tail_row(tail)->project;
    struct world_reader readers[FOLLOWERS];
    for (uint32_t i = 0; i < FOLLOWERS; i++)
        readers[i] = world_reader(tail, 9, i * FOLLOWED_EVENTS / FOLLOWERS);
    bool is_gone = false;
    for (int i = 0; i < FOLLOWED_EVENTS; i++) {
        enum err err = i == FOLLOWED_EVENTS - 1 ? world_end(world, tail, 9, STREAM_COMPLETED)
                                                : world_append(world, tail, 9);
        assert_int_equal(err, ERR_OK);
        world_turn(world);
        if (i % 4 == 0)
            (void)usleep(300); /* the archiver's chance */
        struct world_reader *reader = &readers[i % FOLLOWERS];
        err = world_read(world, reader, tail);
        assert_true(err == ERR_OK || err == ERR_AGAIN || reader->at.seq > (uint64_t)i);
    }
    WORLD_UNTIL(world, world->gone == 1);
    is_gone = true;
    uint64_t stored = 0;
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        while (readers[i].at.seq < FOLLOWED_EVENTS)
            assert_int_equal(world_read(world, &readers[i], is_gone ? NULL : tail), ERR_OK);
        assert_int_equal(world_read(world, &readers[i], NULL), ERR_NOTFOUND);
        stored += readers[i].stored_blocks;
        buf_deinit(&readers[i].event);
    }
    assert_true(stored > 0);
    struct row row;
    struct buf encoded;
    assert_int_equal(world_stored_row(world, project, &id, &encoded, &row), ERR_OK);
    assert_int_equal(row.state, STREAM_COMPLETED);
    assert_int_equal(row.events, FOLLOWED_EVENTS);
    buf_deinit(&encoded);
    world_free(world);
}

static void test_body(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    world_open(world);
    struct slice body = world_noise(5, 1000000, bytes);
    struct tail *tail = world_create(world, 1, body);
    uint64_t number = tail_row(tail)->number;
    uint32_t project = tail_row(tail)->project;
    static uint8_t event[WORLD_EVENT_BYTES_MAX];
    struct row row = *tail_row(tail);
    row.state = STREAM_STOPPED; /* ended before its body is journalled */
    assert_int_equal(tail_end(tail, world_event(1, 0, event), 1, &row), ERR_OK);
    for (int i = 0; i < 3; i++)
        world_turn(world);
    assert_true(tail_has_ended(tail));
    WORLD_UNTIL(world, world->gone == 1);
    size_t at = 0;
    while (at < body.size) {
        struct storage_query query = {
            .kind = STORAGE_BODY, .project = project, .number = number, .seq = at};
        assert_int_equal(world_query(world, &query), ERR_OK);
        assert_true(query.bytes.size > 0 && query.bytes.size <= body.size - at);
        assert_memory_equal(query.bytes.data, body.data + at, query.bytes.size);
        at += query.bytes.size;
        buf_deinit(&query.bytes);
    }
    struct storage_query query = {
        .kind = STORAGE_BODY, .project = project, .number = number, .seq = at};
    assert_int_equal(world_query(world, &query), ERR_CLOSED);
    buf_deinit(&query.bytes);
    world_free(world);
}

static void test_a_live_stream_is_recovered(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    world->config.archive_after_ns = 2000000;
    world_open(world);
    struct tail *tail = world_create(world, 3, SLICE("{\"model\":\"m\"}"));
    struct id id = tail_row(tail)->id;
    for (int i = 0; i < 50; i++)
        assert_int_equal(world_append(world, tail, 3), ERR_OK);
    WORLD_UNTIL(world, tail_watermark(tail) == 50);
    struct storage_status status;
    WORLD_UNTIL(world, (storage_status(world->storage, &status), status.tail_bytes == 0));
    assert_int_equal(world_append(world, tail, 3), ERR_OK);
    WORLD_UNTIL(world, tail_watermark(tail) == 51);
    assert_int_equal(world_append(world, tail, 3), ERR_OK); /* lost: no commit */
    world_crash(world, true);

    world_open(world);
    assert_int_equal(world->report.live_streams, 1);
    assert_int_equal(world->recovered_count, 1);
    tail = world->recovered[0];
    assert_true(id_equal(&tail_row(tail)->id, &id));
    assert_int_equal(tail_watermark(tail), 51);
    assert_true(tail_is_row_durable(tail));
    assert_int_equal(tail_durable_row(tail)->events, 51);
    assert_int_equal(world_append(world, tail, 3), ERR_OK); /* it may go on */
    assert_int_equal(world_end(world, tail, 3, STREAM_INTERRUPTED), ERR_OK);
    struct world_reader reader = world_reader(tail, 3, 0);
    WORLD_UNTIL(world, world->gone == 1);
    while (reader.at.seq < 53)
        assert_int_equal(world_read(world, &reader, NULL), ERR_OK);
    assert_int_equal(world_read(world, &reader, NULL), ERR_NOTFOUND);
    buf_deinit(&reader.event);
    world_close(world);
    world_open(world);
    assert_int_equal(world->recovered_count, 0);
    world_free(world);
}

/* What had ended and was not archived yet is handed over too: else nobody would find it for a while. */
static void test_an_ended_stream_is_recovered(void **state)
{
    (void)state;
    struct world *world = world_new(8);
    world_open(world);
    struct tail *tail = world_create(world, 3, SLICE_NONE);
    world_turns(world, 3);
    world->is_disk_held = true;
    assert_int_equal(world_append(world, tail, 3), ERR_OK);
    assert_int_equal(world_end(world, tail, 3, STREAM_COMPLETED), ERR_OK);
    world_turn(world);
    sim_disk_power_cut_keeping(world->disk, UINT64_MAX); /* it was written, and nobody was told */
    world->storage = storage_abandon(world->storage);
    world_drop_tasks(world);
    world_open(world);
    assert_int_equal(world->recovered_count, 0);
    assert_int_equal(world->recovered_ended, 1);
    world_free(world);
}

/* What came of an event before a crash is not taken for a part of the event that gets its number. */
static void test_a_cut_event_is_dropped(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world_open(world);
    struct tail *tail = world_create(world, 3, SLICE_NONE);
    world_turns(world, 3);
    world->is_disk_held = true;
    struct slice large = world_noise(1, 1200000, bytes);
    assert_int_equal(tail_append(tail, large, 1), ERR_OK);
    world_turn(world);
    assert_int_equal(sim_disk_complete(world->disk, 1), 1); /* some parts are durable */
    assert_int_equal(tail_watermark(tail), 0);
    world_crash(world, true);

    world_open(world);
    tail = world->recovered[0];
    assert_int_equal(tail_events(tail), 0);
    world->is_disk_held = false;
    assert_int_equal(world_append(world, tail, 3), ERR_OK);
    WORLD_UNTIL(world, tail_watermark(tail) == 1);
    world_crash(world, true); /* both lie in the journal now */

    world_open(world);
    tail = world->recovered[0];
    assert_int_equal(tail_events(tail), 1);
    struct world_reader reader = world_reader(tail, 3, 0);
    assert_int_equal(world_read(world, &reader, tail), ERR_OK);
    assert_int_equal(world_read(world, &reader, tail), ERR_AGAIN);
    buf_deinit(&reader.event);
    assert_int_equal(world_end(world, tail, 3, STREAM_INTERRUPTED), ERR_OK);
    assert_int_equal(world->errors, 0);
    world_free(world);
}

/* A live stream that says nothing, while others fill the ring many times over. */
static void test_an_idle_live_stream_outlives_the_ring(void **state)
{
    (void)state;
    struct world *world = world_new(7);
    world->config.segment_count = SEGMENT_COUNT_MIN;
    world->config.archive_after_ns = 5000000;
    world_open(world);
    struct tail *idle = world_create(world, 1, SLICE_NONE);
    struct id id = tail_row(idle)->id;
    for (int i = 0; i < 3; i++)
        assert_int_equal(world_append(world, idle, 1), ERR_OK);
    struct tail *busy = world_create(world, 2, SLICE_NONE);
    struct slice event = world_noise(1, 15000, bytes);
    uint64_t events = 3u * 3u * SEGMENT_BYTES_MIN / 15000u;
    for (uint64_t i = 0; i < events;) {
        bool is_full = tail_append(busy, event, 1) == ERR_FULL;
        i += !is_full;
        if (is_full || i % 8 == 0) {
            world_turn(world);
            (void)usleep(50);
        }
    }
    WORLD_UNTIL(world, tail_watermark(busy) == events);
    world_crash(world, true);
    world_open(world);
    assert_int_equal(world->recovered_count, 2);
    struct tail *tail = world->recovered[0];
    if (!id_equal(&tail_row(tail)->id, &id))
        tail = world->recovered[1];
    assert_true(id_equal(&tail_row(tail)->id, &id));
    assert_int_equal(tail_watermark(tail), 3);
    struct world_reader reader = world_reader(tail, 1, 0);
    while (reader.at.seq < 3)
        assert_int_equal(world_read(world, &reader, tail), ERR_OK);
    assert_int_equal(world_read(world, &reader, tail), ERR_AGAIN);
    buf_deinit(&reader.event);
    assert_int_equal(world->errors, 0);
    world_free(world);
}

/* One that gives more than the ring takes, for as long as it lives: something of it always waits, and its
 * first row must not keep the ring from reuse. */
static void outrun_the_ring(size_t event_bytes, bool ends)
{
    struct world *world = world_new(9);
    world->config.segment_count = SEGMENT_COUNT_MIN;
    world->config.archive_after_ns = 5000000;
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    world_turns(world, 3);
    struct slice event = world_noise(1, event_bytes, bytes);
    uint64_t events = 5u * SEGMENT_COUNT_MIN * SEGMENT_BYTES_MIN / event_bytes;
    for (uint64_t i = 0, waited = 0; i < events; waited++) {
        for (; i < events && tail_append(tail, event, (int64_t)i + 1) == ERR_OK; i++)
            waited = 0;
        assert_true(waited < 200000);
        world_turn(world);
        (void)usleep(50);
    }
    if (ends) { /* its end waits behind what waits */
        struct row row = *tail_row(tail);
        row.state = STREAM_COMPLETED;
        assert_int_equal(tail_end(tail, SLICE_NONE, (int64_t)events + 1, &row), ERR_OK);
        WORLD_UNTIL(world, tail_has_ended(tail));
    } else {
        WORLD_UNTIL(world, tail_watermark(tail) == events);
        world_crash(world, true);
        world_open(world);
        assert_int_equal(world->recovered_count, 1);
        assert_int_equal(tail_watermark(world->recovered[0]), events);
        assert_int_equal(tail_row(world->recovered[0])->bytes, event_bytes * events);
    }
    assert_int_equal(world->errors, 0);
    world_free(world);
}

static void test_a_stream_faster_than_the_ring(void **state)
{
    (void)state;
    outrun_the_ring(16000, false);
    outrun_the_ring(16000, true);
}

/* Of events in two parts: shares of the journal end amid one, tick after tick. */
static void test_long_events_faster_than_the_ring(void **state)
{
    (void)state;
    outrun_the_ring(FRAME_BYTES_MAX + 13, false);
}

/* The archiver answers late: new streams are refused first, then transfers pause, then events are. */
static void test_pause_and_admission(void **state)
{
    (void)state;
    struct world *world = world_new(8);
    world->config.segment_count = 8;
    world_open(world);
    assert_int_equal(storage_admits(world->storage), ERR_OK);
    world->is_deaf = true;
    struct slice event = world_noise(1, 16000, bytes);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    enum err admits = ERR_OK, err = ERR_OK;
    for (int i = 0; i < 5000 && err == ERR_OK; i++) {
        err = tail_append(tail, event, 1);
        world_turn(world);
        (void)usleep(20); /* slots are prepared by the archiver's thread */
        enum err before = admits;
        admits = storage_admits(world->storage);
        assert_true(before == ERR_OK || admits == ERR_AGAIN);
        assert_true(world->paused == 0 || admits == ERR_AGAIN);
        assert_true(err == ERR_OK || world->paused == 1);
    }
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(world->paused, 1);
    struct row row = *tail_row(tail);
    row.state = STREAM_FAILED;
    assert_int_equal(tail_end(tail, SLICE("the end"), 1, &row), ERR_OK); /* as ever */
    world_turns(world, 3);
    assert_true(tail_has_ended(tail));
    world->is_deaf = false;
    WORLD_UNTIL(world, world->resumed == 1);
    WORLD_UNTIL(world, storage_admits(world->storage) == ERR_OK);
    assert_int_equal(world->stuck, 0);
    world_free(world);
}

static void test_stuck(void **state)
{
    (void)state;
    struct world *world = world_new(9);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    assert_int_equal(world_append(world, tail, 1), ERR_OK);
    WORLD_UNTIL(world, tail_watermark(tail) == 1);
    sim_disk_fail(world->disk, SIM_WRITE, 1, 1000000, ERR_IO);
    assert_int_equal(world_append(world, tail, 1), ERR_OK);
    WORLD_UNTIL(world, world->stuck == 1);
    assert_int_equal(tail_watermark(tail), 1);
    assert_int_equal(storage_admits(world->storage), ERR_FULL);
    assert_int_equal(world_append(world, tail, 1), ERR_FULL);
    struct world_reader reader = world_reader(tail, 1, 0);
    assert_int_equal(world_read(world, &reader, tail), ERR_OK); /* reading goes on */
    buf_deinit(&reader.event);
    world->storage = storage_close(world->storage);
    world_drop_tasks(world);
    sim_disk_fail(world->disk, SIM_WRITE, 0, 0, ERR_OK);
    world_open(world);
    assert_int_equal(world->recovered_count, 1);
    world_free(world);
}

static void test_a_thousand_tails(void **state)
{
    (void)state;
    enum { TAILS = 1000, EVENTS = 5 };
    struct world *world = world_new(10);
    static struct tail *tails[TAILS];
    world_open(world);
    for (uint32_t i = 0; i < TAILS; i++)
        tails[i] = world_create(world, i, SLICE("{}"));
    for (int round = 0; round < EVENTS; round++) {
        for (uint32_t i = 0; i < TAILS; i++)
            while (world_append(world, tails[i], i) == ERR_FULL)
                world_turn(world);
        world_turn(world);
    }
    struct storage_status status;
    storage_status(world->storage, &status);
    assert_int_equal(status.tails, TAILS);
    uint64_t numbers[TAILS];
    for (uint32_t i = 0; i < TAILS; i++) {
        numbers[i] = tail_row(tails[i])->number;
        while (world_end(world, tails[i], i, STREAM_COMPLETED) == ERR_FULL)
            world_turn(world);
    }
    WORLD_UNTIL(world, world->gone == TAILS);
    storage_status(world->storage, &status);
    assert_int_equal(status.tails, 0);
    assert_int_equal(status.tail_bytes, 0);
    for (uint32_t i = 0; i < TAILS; i += 97) {
        struct world_reader reader = {.project = 1, .number = numbers[i], .tag = i};
        buf_init(&reader.event, WORLD_EVENT_BYTES_MAX);
        while (reader.at.seq <= EVENTS)
            assert_int_equal(world_read(world, &reader, NULL), ERR_OK);
        buf_deinit(&reader.event);
    }
    world_free(world);
}

/* Deletes. */

static enum stream_state stored_state(struct world *world, uint32_t project, const struct id *id)
{
    struct buf encoded;
    struct row row;
    enum err err = world_stored_row(world, project, id, &encoded, &row);
    enum stream_state stored = err == ERR_OK ? row.state : STREAM_ACCEPTED;
    buf_deinit(&encoded);
    return stored;
}

static void assert_deleted(
    struct world *world, uint32_t project, uint64_t number, const struct id *id)
{
    WORLD_UNTIL(world, stored_state(world, project, id) == STREAM_DELETED);
    struct storage_query query = {.kind = STORAGE_BLOCK, .project = project, .number = number};
    assert_int_equal(world_query(world, &query), ERR_NOTFOUND);
}

static void test_delete(void **state)
{
    (void)state;
    struct world *world = world_new(11);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct row row = *tail_row(tail);
    struct slice reason = SLICE("deleted");
    assert_int_equal(
        storage_delete(world->storage, row.project, &row.id, row.number, reason), ERR_BUSY);
    assert_int_equal(world_end(world, tail, 1, STREAM_COMPLETED), ERR_OK);
    assert_int_equal(/* while its tail is still here */
        storage_delete(world->storage, row.project, &row.id, row.number, reason), ERR_OK);
    WORLD_UNTIL(world, world->gone == 1);
    assert_deleted(world, row.project, row.number, &row.id);

    tail = world_create(world, 2, SLICE_NONE);
    row = *tail_row(tail);
    assert_int_equal(world_end(world, tail, 2, STREAM_COMPLETED), ERR_OK);
    WORLD_UNTIL(world, world->gone == 2); /* long after */
    assert_int_equal(stored_state(world, row.project, &row.id), STREAM_COMPLETED);
    assert_int_equal(
        storage_delete(world->storage, row.project, &row.id, row.number, reason), ERR_OK);
    assert_deleted(world, row.project, row.number, &row.id);
    world_free(world);
}

/* A crash after each number of turns: before the delete is durable, before it is stored, after. */
static void test_delete_and_crash(void **state)
{
    (void)state;
    int before = 0, after = 0;
    for (int turns = 0; turns < 12; turns++) {
        struct world *world = world_new(100 + (uint64_t)turns);
        world->config.archive_after_ns = 1000000;
        world_open(world);
        struct tail *tail = world_create(world, 1, SLICE("body"));
        struct row row = *tail_row(tail);
        (void)world_create(world, 2, SLICE_NONE); /* keeps the journal from being absorbed */
        assert_int_equal(world_end(world, tail, 1, STREAM_COMPLETED), ERR_OK);
        world_turns(world, 3);
        if (turns % 2)
            WORLD_UNTIL(world, world->gone == 1);
        assert_int_equal(
            storage_delete(world->storage, row.project, &row.id, row.number, SLICE("deleted")),
            ERR_OK);
        for (int i = 0; i < turns / 2 * 20; i++) {
            world_turn(world);
            (void)usleep(100);
        }
        world_crash(world, true);
        world_open(world);
        uint64_t gone = world->gone;
        WORLD_UNTIL(world, world->gone > gone || turns > 1);
        world_turns(world, 200);
        (void)usleep(20000);
        if (turns / 2 == 0) {
            assert_int_equal(stored_state(world, row.project, &row.id), STREAM_COMPLETED);
            before++;
        } else {
            assert_deleted(world, row.project, row.number, &row.id);
            after++;
        }
        assert_int_equal(world->errors, 0);
        world_free(world);
    }
    assert_true(before > 0 && after > 0);
}

/* The random life of a few streams, cut short again and again. */

enum {
    STREAMS_MAX = 400,
    LIVES = 6,
    STEPS = 300,
#ifdef __SANITIZE_THREAD__
    LIVES_SEEDS = 1, /* of 10 s each; tokenlog_sim has the thousands */
#else
    LIVES_SEEDS = 3,
#endif
};

struct stream {
    struct tail *tail; /* NULL: gone */
    struct id id;
    uint64_t number, visible;
    uint32_t project;
    bool has_row;   /* its row was durable */
    bool has_ended; /* visibly */
};

struct lives {
    struct world *world;
    struct sim_random random;
    struct stream streams[STREAMS_MAX];
    uint32_t count;
};

static void note_visible(struct lives *lives)
{
    for (uint32_t i = 0; i < lives->count; i++) {
        struct stream *stream = &lives->streams[i];
        if (!stream->tail)
            continue;
        assert_true(tail_watermark(stream->tail) >= stream->visible);
        stream->visible = tail_watermark(stream->tail);
        stream->has_row |= tail_durable_row(stream->tail) != NULL;
        stream->has_ended |= tail_has_ended(stream->tail);
    }
}

static void on_gone(struct world *world, struct tail *tail)
{
    struct lives *lives = world->test;
    for (uint32_t i = 0; i < lives->count; i++)
        if (lives->streams[i].tail == tail) {
            lives->streams[i].visible = tail_watermark(tail);
            lives->streams[i].has_ended = true;
            lives->streams[i].tail = NULL;
        }
}

static void begin_stream(struct lives *lives)
{
    struct sim_random *random = &lives->random;
    if (lives->count == STREAMS_MAX || storage_admits(lives->world->storage) != ERR_OK)
        return;
    size_t body = sim_random_below(random, 10) == 0 ? sim_random_below(random, 300000) : 20;
    struct stream *stream = &lives->streams[lives->count];
    *stream = (struct stream){0};
    stream->tail = world_create(lives->world, lives->count, slice_of(bytes, body));
    stream->id = tail_row(stream->tail)->id;
    stream->number = tail_row(stream->tail)->number;
    stream->project = tail_row(stream->tail)->project;
    lives->count++;
}

static void write_stream(struct lives *lives, uint32_t tag)
{
    struct sim_random *random = &lives->random;
    struct tail *tail = lives->streams[tag].tail;
    if (!tail || !stream_state_is_live(tail_row(tail)->state))
        return;
    uint64_t what = sim_random_below(random, 100);
    enum err err = ERR_OK;
    if (what < 3) {
        err = world_end(lives->world, tail, tag, STREAM_COMPLETED);
    } else if (what < 8) {
        struct row row = *tail_row(tail);
        row.state = STREAM_STREAMING;
        err = tail_update(tail, &row);
    } else if (what < 10) {
        err = tail_aside(tail, SLICE("hidden"), world_wall(lives->world));
    } else {
        uint64_t events = 1 + sim_random_below(random, 20);
        for (uint64_t i = 0; i < events && err == ERR_OK; i++)
            err = world_append(lives->world, tail, tag);
    }
    assert_true(err == ERR_OK || err == ERR_FULL);
}

static void live(struct lives *lives)
{
    struct sim_random *random = &lives->random;
    uint64_t steps = 1 + sim_random_below(random, STEPS);
    for (uint64_t i = 0; i < steps; i++) {
        if (sim_random_below(random, 10) == 0 || lives->count == 0)
            begin_stream(lives);
        for (int k = 0; k < 3 && lives->count > 0; k++) {
            uint64_t recent = lives->count < 20 ? lives->count : 20;
            write_stream(lives, lives->count - 1 - (uint32_t)sim_random_below(random, recent));
        }
        lives->world->is_disk_held = sim_random_below(random, 3) == 0;
        world_turn(lives->world);
        note_visible(lives);
        if (i % 16 == 0)
            (void)usleep(100);
    }
}

static void check_stream(struct lives *lives, uint32_t tag)
{
    struct stream *stream = &lives->streams[tag];
    struct world_reader reader = {.project = stream->project, .tag = tag, .number = stream->number};
    buf_init(&reader.event, WORLD_EVENT_BYTES_MAX);
    while (reader.at.seq < stream->visible)
        assert_int_equal(world_read(lives->world, &reader, stream->tail), ERR_OK);
    buf_deinit(&reader.event);
    if (stream->tail || !stream->has_row)
        return;
    struct buf encoded;
    struct row row;
    assert_int_equal(
        world_stored_row(lives->world, stream->project, &stream->id, &encoded, &row), ERR_OK);
    assert_true(!stream_state_is_live(row.state));
    assert_true(row.events >= stream->visible);
    buf_deinit(&encoded);
}

/* After a crash: who is live is told, all that was visible is there; then all but some are ended. */
static void come_back(struct lives *lives)
{
    struct world *world = lives->world;
    for (uint32_t i = 0; i < lives->count; i++)
        lives->streams[i].tail = NULL;
    world->is_disk_held = false;
    world_open(world);
    for (size_t i = 0; i < world->recovered_count; i++) {
        struct tail *tail = world->recovered[i];
        uint32_t tag = 0;
        while (tag < lives->count && lives->streams[tag].number != tail_row(tail)->number)
            tag++;
        assert_true(tag < lives->count);
        struct stream *stream = &lives->streams[tag];
        assert_false(stream->has_ended); /* what was seen to end has ended */
        assert_true(tail_watermark(tail) >= stream->visible);
        stream->tail = tail;
        if (sim_random_below(&lives->random, 3) == 0)
            continue;
        assert_int_equal(world_end(world, tail, tag, STREAM_INTERRUPTED), ERR_OK);
    }
    WORLD_UNTIL(world, world->changed > 0 || world->recovered_count == 0);
}

static void end_and_check(struct lives *lives)
{
    for (uint32_t i = 0; i < lives->count; i++) {
        struct tail *tail = lives->streams[i].tail;
        while (tail && stream_state_is_live(tail_row(tail)->state) &&
               world_end(lives->world, tail, i, STREAM_INTERRUPTED) == ERR_FULL)
            world_turn(lives->world);
    }
    world_drain(lives->world);
    for (uint32_t i = 0; i < lives->count; i++)
        check_stream(lives, i);
}

static void run_lives(uint64_t seed)
{
    CLEANUP(cleanup_free) struct lives *lives = calloc(1, sizeof *lives);
    assert_non_null(lives);
    lives->random = sim_random_new(seed);
    lives->world = world_new(seed);
    lives->world->test = lives;
    lives->world->on_gone = on_gone;
    lives->world->config.archive_after_ns =
        (int64_t)(1 + sim_random_below(&lives->random, 20)) * 1000000;
    world_open(lives->world);
    for (int i = 0; i < LIVES; i++) {
        live(lives);
        world_crash(lives->world, sim_random_below(&lives->random, 2) == 0);
        come_back(lives);
        for (uint32_t tag = 0; tag < lives->count; tag++)
            if (sim_random_below(&lives->random, 4) == 0 && lives->streams[tag].tail)
                check_stream(lives, tag);
    }
    end_and_check(lives);
    assert_int_equal(lives->world->errors, 0);
    world_free(lives->world);
}

static void test_random_lives(void **state)
{
    (void)state;
    const char *only = getenv("TOKENLOG_TEST_SEED"); /* one seed again, or another */
    if (only) {
        run_lives(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= LIVES_SEEDS; seed++)
        run_lives(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_projects_are_remembered),
        cmocka_unit_test(test_reading_goes_on_while_archiving),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_a_live_stream_is_recovered),
        cmocka_unit_test(test_an_ended_stream_is_recovered),
        cmocka_unit_test(test_a_cut_event_is_dropped),
        cmocka_unit_test(test_an_idle_live_stream_outlives_the_ring),
        cmocka_unit_test(test_a_stream_faster_than_the_ring),
        cmocka_unit_test(test_long_events_faster_than_the_ring),
        cmocka_unit_test(test_pause_and_admission),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_a_thousand_tails),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_delete_and_crash),
        cmocka_unit_test(test_random_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
