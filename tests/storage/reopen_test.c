/* reopen — open streams that clients write: leaving memory, coming back, crashing in between.
 *
 * A writer's state says how many events there were when it was given, and a byte of its own; a log of
 * all that was given tells what must be found again after a crash: for some count of events that is no
 * less than what was visible, the state that was given with them.                               */
#include "storage/reopen.h"

#include "protocol/base/own.h"
#include "tests/storage/world.h"

enum {
    WRITERS = 8,
    WRITER_EVENTS_MAX = 2000,
    STATE_BYTES_MAX = 300,
    STEPS = 1200,
    TAG_BASE = 100,
};

/* One stream: what was given, and where it is now. */
struct writer {
    struct id id;
    uint64_t number;
    uint32_t project, tag;
    struct tail *tail;                      /* NULL: it is not in memory */
    uint32_t states[WRITER_EVENTS_MAX + 1]; /* the seed of the state after so many events */
    uint64_t visible;
};

static struct slice state_of(uint32_t seed, uint8_t *out)
{
    struct sim_random random = sim_random_new(seed);
    size_t size = 1 + (size_t)sim_random_below(&random, STATE_BYTES_MAX);
    return world_noise(seed, size, out);
}

static struct tail *create(struct world *world, uint32_t tag)
{
    uint32_t project;
    struct tail *tail;
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &project), ERR_OK);
    struct row row = world_row(world, project, tag);
    row.is_appended = true;
    row.state = STREAM_STREAMING;
    assert_int_equal(storage_create(world->storage, &row, SLICE_NONE, &tail), ERR_OK);
    return tail;
}

static enum err step(struct world *world, struct tail *tail, uint32_t tag, uint32_t seed)
{
    static uint8_t bytes[WORLD_EVENT_BYTES_MAX], state[STATE_BYTES_MAX];
    struct row row = *tail_row(tail);
    row.writer_state = state_of(seed, state);
    return tail_step(tail, world_event(tag, tail_events(tail), bytes), world_wall(world), &row);
}

static void assert_state(const struct row *row, uint32_t seed)
{
    uint8_t state[STATE_BYTES_MAX];
    struct slice expected = seed ? state_of(seed, state) : SLICE_NONE;
    assert_true(slice_equal(row->writer_state, expected));
}

/* The stream's row as the store has it, and the query that found it. */
static void ask(struct world *world, const struct id *id, uint32_t project,
    struct storage_query *query, struct row *row)
{
    *query = (struct storage_query){.kind = STORAGE_ROW, .project = project, .id = *id};
    assert_int_equal(world_query(world, query), ERR_OK);
    assert_int_equal(row_decode(buf_slice(&query->bytes), row), ERR_OK);
}

static struct tail *reopen(struct world *world, const struct id *id, uint32_t project)
{
    struct storage_query query;
    struct row row;
    struct tail *tail;
    enum err err;
    do {
        ask(world, id, project, &query, &row);
        err = storage_reopen(world->storage, &query, &row, &tail);
        buf_deinit(&query.bytes);
    } while (err == ERR_AGAIN);
    assert_int_equal(err, ERR_OK);
    return tail;
}

static void read_all(struct world *world, struct tail *tail, uint32_t tag)
{
    struct world_reader reader = world_reader(tail, tag, 0);
    while (reader.at.seq < tail_watermark(tail))
        assert_int_equal(world_read(world, &reader, tail), ERR_OK);
    buf_deinit(&reader.event);
}

static void test_departures(void **context)
{
    (void)context;
    static struct departures departures;
    uint64_t before = departures.count;
    assert_false(departures_conceal(&departures, before, 7));
    departures_note(&departures, 7);
    assert_true(departures_conceal(&departures, before, 7));
    assert_false(departures_conceal(&departures, before, 8));
    assert_false(departures_conceal(&departures, departures.count, 7));
    before = departures.count;
    for (uint64_t i = 0; i < DEPARTURES_KEPT; i++)
        departures_note(&departures, 100 + i);
    assert_false(departures_conceal(&departures, before, 7));
    assert_true(departures_conceal(&departures, before, 100));
    assert_true(departures_conceal(&departures, before, 99 + DEPARTURES_KEPT));
    departures_note(&departures, 9);
    assert_true(departures_conceal(&departures, before, 7)); /* it is not known any more */
}

/* One that is wanted stays; one that is not goes when all of it is stored, and holds nothing of the
 * journal; it comes back with all it had, and goes on. */
static void test_leaves_and_returns(void **context)
{
    (void)context;
    struct world *world = world_new(1);
    world->config.archive_after_ns = 1000000;
    world_open(world);
    struct tail *tail = create(world, 1);
    struct id id = tail_row(tail)->id;
    uint32_t project = tail_row(tail)->project;
    for (uint32_t round = 0; round < 5; round++) {
        assert_int_equal(step(world, tail, 1, 10 + round), ERR_OK);
        assert_int_equal(world_append(world, tail, 1), ERR_OK);
        WORLD_UNTIL(world, tail_watermark(tail) == 2 * round + 2);
        read_all(world, tail, 1);
        tail_set_wanted(tail, false);
        WORLD_UNTIL(world, world->gone == 2 * round + 1);
        tail = reopen(world, &id, project);
        assert_int_equal(tail_events(tail), 2 * round + 2);
        assert_state(tail_row(tail), 10 + round);
        tail_set_wanted(tail, false); /* nothing was written: it goes at once */
        world_turns(world, 2);
        assert_int_equal(world->gone, 2 * round + 2);
        tail = reopen(world, &id, project);
    }
    struct row row = *tail_row(tail);
    row.state = STREAM_COMPLETED;
    assert_int_equal(tail_end(tail, SLICE_NONE, 0, &row), ERR_OK);
    WORLD_UNTIL(world, world->gone == 11);
    world_free(world);
}

/* It is taken back as long as nobody was told that it is gone. */
static void test_wanted_again(void **context)
{
    (void)context;
    struct world *world = world_new(2);
    world->config.archive_after_ns = 1000000;
    world_open(world);
    struct tail *tail = create(world, 1);
    struct id id = tail_row(tail)->id;
    uint32_t project = tail_row(tail)->project;
    tail_set_wanted(tail, false);
    tail_set_wanted(tail, true);
    world_turns(world, 200);
    assert_int_equal(world->gone, 0);
    tail_set_wanted(tail, false);
    WORLD_UNTIL(world, world->gone == 1);
    tail = reopen(world, &id, project);
    tail_set_wanted(tail, false); /* it is on the list of those who leave */
    tail_set_wanted(tail, true);
    assert_int_equal(world_append(world, tail, 1), ERR_OK);
    world_turns(world, 10);
    assert_int_equal(world->gone, 1);
    assert_int_equal(tail_watermark(tail), 1);
    world_free(world);
}

/* What was read of the store before the stream was written to and let go of must not be gone on with. */
static void test_a_row_that_is_out_of_date(void **context)
{
    (void)context;
    struct world *world = world_new(3);
    world->config.archive_after_ns = 1000000;
    world_open(world);
    struct tail *tail = create(world, 1), *second = create(world, 2), *other;
    struct id id = tail_row(tail)->id, second_id = tail_row(second)->id;
    uint32_t project = tail_row(tail)->project;
    tail_set_wanted(tail, false);
    tail_set_wanted(second, false);
    WORLD_UNTIL(world, world->gone == 2);
    struct storage_query old, other_old;
    struct row old_row, other_row;
    ask(world, &id, project, &old, &old_row);
    ask(world, &second_id, project, &other_old, &other_row);
    tail = reopen(world, &id, project);
    assert_int_equal(world_append(world, tail, 1), ERR_OK);
    tail_set_wanted(tail, false);
    WORLD_UNTIL(world, world->gone == 3);
    assert_int_equal(storage_reopen(world->storage, &old, &old_row, &tail), ERR_AGAIN);
    assert_int_equal(storage_reopen(world->storage, &other_old, &other_row, &other), ERR_OK);
    tail = reopen(world, &id, project);
    assert_int_equal(tail_events(tail), 1);
    buf_deinit(&old.bytes);
    buf_deinit(&other_old.bytes);
    world_free(world);
}

/* ---- at random ---- */

struct writers {
    struct world *world;
    struct sim_random random;
    struct writer writers[WRITERS];
    uint32_t states; /* given so far */
};

static struct writer *writer_of(struct writers *all, const struct tail *tail)
{
    for (size_t i = 0; i < WRITERS; i++)
        if (all->writers[i].number == tail_row(tail)->number)
            return &all->writers[i];
    return NULL;
}

static void on_gone(struct world *world, struct tail *tail)
{
    struct writer *writer = writer_of(world->test, tail);
    assert_ptr_equal(writer->tail, tail);
    assert_int_equal(tail_watermark(tail), tail_events(tail));
    writer->tail = NULL;
}

static void check(struct writers *all, struct writer *writer)
{
    const struct row *row = tail_row(writer->tail);
    uint64_t events = tail_events(writer->tail);
    assert_true(events >= writer->visible && events <= WRITER_EVENTS_MAX);
    assert_int_equal(row->state, STREAM_STREAMING);
    assert_state(row, writer->states[events]);
    read_all(all->world, writer->tail, writer->tag);
}

static void write_once(struct writers *all, struct writer *writer)
{
    uint64_t events = tail_events(writer->tail);
    bool is_plain = sim_random_below(&all->random, 3) == 0;
    if (events == WRITER_EVENTS_MAX)
        return;
    uint32_t seed = is_plain ? writer->states[events] : ++all->states;
    enum err err = is_plain ? world_append(all->world, writer->tail, writer->tag)
                            : step(all->world, writer->tail, writer->tag, seed);
    assert_true(err == ERR_OK || err == ERR_FULL);
    if (err == ERR_OK)
        writer->states[events + 1] = seed;
}

static void crash(struct writers *all, bool is_power_cut)
{
    struct world *world = all->world;
    for (size_t i = 0; i < WRITERS; i++)
        if (all->writers[i].tail)
            all->writers[i].visible = tail_watermark(all->writers[i].tail);
    world_crash(world, is_power_cut);
    for (size_t i = 0; i < WRITERS; i++)
        all->writers[i].tail = NULL;
    world_open(world);
    assert_int_equal(world->report.live_streams, 0); /* generations */
    for (size_t i = 0; i < world->recovered_count; i++) {
        struct writer *writer = writer_of(all, world->recovered[i]);
        assert_non_null(writer);
        writer->tail = world->recovered[i];
    }
    for (size_t i = 0; i < WRITERS; i++) {
        struct writer *writer = &all->writers[i];
        if (!writer->tail)
            writer->tail = reopen(world, &writer->id, writer->project);
        check(all, writer);
    }
}

/* Time passes, in which what nobody wants may be stored and leave. */
static void rest(struct writers *all)
{
    for (size_t i = 0; i < WRITERS; i++)
        if (all->writers[i].tail && sim_random_below(&all->random, 2))
            tail_set_wanted(all->writers[i].tail, false);
    for (uint64_t left = 1 + sim_random_below(&all->random, 12); left > 0; left--) {
        all->world->now_ns += SHIP_INTERVAL_NS / 4;
        world_turn(all->world);
        (void)usleep(500); /* the archiver's chance */
    }
}

static void act(struct writers *all)
{
    struct writer *writer = &all->writers[sim_random_below(&all->random, WRITERS)];
    uint64_t kind = sim_random_below(&all->random, 400);
    if (!writer->tail) {
        writer->tail = reopen(all->world, &writer->id, writer->project);
        assert_state(tail_row(writer->tail), writer->states[tail_events(writer->tail)]);
    }
    if (kind < 300) {
        tail_set_wanted(writer->tail, true);
        write_once(all, writer);
    } else {
        tail_set_wanted(writer->tail, kind < 310);
    }
    if (kind % 40 == 0)
        rest(all);
    if (kind == 399 || kind == 398)
        crash(all, kind == 399);
    else if (kind % 2)
        world_turn(all->world);
}

static void run(uint64_t seed)
{
    struct writers *all = calloc(1, sizeof *all);
    assert_non_null(all);
    struct world *world = all->world = world_new(seed);
    world->config.archive_after_ns = 300000;
    world->test = all;
    world->on_gone = on_gone;
    all->random = sim_random_new(seed);
    world_open(world);
    for (uint32_t i = 0; i < WRITERS; i++) {
        struct tail *tail = create(world, TAG_BASE + i);
        const struct row *row = tail_row(tail);
        all->writers[i] = (struct writer){.id = row->id,
            .number = row->number,
            .project = row->project,
            .tag = TAG_BASE + i,
            .tail = tail};
    }
    WORLD_UNTIL(world, tail_is_row_durable(all->writers[WRITERS - 1].tail));
    for (int i = 0; i < STEPS; i++)
        act(all);
    crash(all, true);
    world->on_gone = NULL;
    world_free(world);
    free(all);
}

static void test_crashes_at_random(void **context)
{
    (void)context;
    for (uint64_t seed = 1; seed <= 2; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_departures),
        cmocka_unit_test(test_leaves_and_returns),
        cmocka_unit_test(test_wanted_again),
        cmocka_unit_test(test_a_row_that_is_out_of_date),
        cmocka_unit_test(test_crashes_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
