/* seam — a short life of the whole storage, and everything that can go wrong in it in turn: a power cut
 * at each disk write with parts of that write kept, and the n-th write, flush, creation and allocation
 * failing, for n = 1, 2, … until a run is clean. One thread: the archiver works between turns.
 *
 * What was visible before must be readable, byte by byte, after.                               */
#include "tests/storage/world.h"

enum { STREAMS = 3, EVENTS = 4, LIFE_TURNS = 21 };

/* ---- allocations that fail; what the simulated disk needs is not counted ---------------------- */

static struct {
    uint64_t count, fail_at; /* 0: none */
    bool is_counting;
} allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

static bool is_failing(void)
{
    return allocations.is_counting && ++allocations.count == allocations.fail_at;
}

void *__wrap_malloc(size_t size)
{
    return is_failing() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return is_failing() ? NULL : __real_realloc(pointer, size);
}

static const struct disk_ops *sim_ops;
#define EXEMPT(call)                                                                               \
    ({                                                                                             \
        bool was_counting_ = allocations.is_counting;                                              \
        allocations.is_counting = false;                                                           \
        __auto_type result_ = (call);                                                              \
        allocations.is_counting = was_counting_;                                                   \
        result_;                                                                                   \
    })

static enum err exempt_open(
    struct disk *disk, const char *path, uint64_t size, struct disk_file **out)
{
    return EXEMPT(sim_ops->open(disk, path, size, out));
}

static enum err exempt_write_now(struct disk_file *file, uint64_t offset, struct slice bytes)
{
    return EXEMPT(sim_ops->write_now(file, offset, bytes));
}

static void exempt_write_durable(struct disk *disk, struct disk_write *write)
{
    (void)EXEMPT((sim_ops->write_durable(disk, write), 0));
}

static enum err exempt_sync_directory(struct disk *disk, const char *path)
{
    return EXEMPT(sim_ops->sync_directory(disk, path));
}

static enum err exempt_remove(struct disk *disk, const char *path)
{
    return EXEMPT(sim_ops->remove(disk, path));
}

static enum err exempt_rename(struct disk *disk, const char *from, const char *to)
{
    return EXEMPT(sim_ops->rename(disk, from, to));
}

/* ---- the life -------------------------------------------------------------------------------- */

struct life {
    struct world *world;
    struct tail *tails[STREAMS]; /* NULL: gone, or never there */
    uint64_t numbers[STREAMS], visible[STREAMS];
    struct id ids[STREAMS];
    bool was_created[STREAMS], has_ended[STREAMS];
    uint64_t writes_max; /* completed at the most */
    struct disk_ops ops;
};

static void life_gone(struct world *world, struct tail *tail)
{
    struct life *life = world->test;
    for (int i = 0; i < STREAMS; i++)
        if (life->tails[i] == tail) {
            life->visible[i] = tail_watermark(tail);
            life->has_ended[i] = true;
            life->tails[i] = NULL;
        }
}

static void life_look(struct life *life)
{
    for (int i = 0; i < STREAMS; i++) {
        const struct tail *tail = life->tails[i];
        if (!tail)
            continue;
        assert_true(tail_watermark(tail) >= life->visible[i]);
        life->visible[i] = tail_watermark(tail);
        life->has_ended[i] |= tail_has_ended(tail);
    }
}

static void life_turn(struct life *life)
{
    struct world *world = life->world;
    struct task *task;
    world->now_ns += 1000000;
    while ((task = world_pop(world)))
        task->run(task);
    uint64_t done = sim_disk_operations(world->disk, SIM_WRITE);
    if (done < life->writes_max)
        (void)sim_disk_complete(world->disk, 1);
    storage_tick(world->storage);
    (void)storage_step(world->storage);
    life_look(life);
}

static void life_create(struct life *life, uint32_t tag)
{
    uint32_t project;
    struct world *world = life->world;
    if (storage_project(world->storage, SLICE("alpha"), &project) != ERR_OK)
        return;
    struct row row = world_row(world, project, tag);
    if (storage_create(world->storage, &row, SLICE("{\"model\":\"m\"}"), &life->tails[tag]))
        return;
    life->was_created[tag] = true;
    life->numbers[tag] = row.number;
    life->ids[tag] = row.id;
}

/* Everything but ERR_OK leaves things as they were: it is then left, or tried again a turn later. */
static void life_act(struct life *life, int turn)
{
    uint32_t tag = (uint32_t)turn % STREAMS;
    struct tail *tail = life->tails[tag];
    if (turn < STREAMS)
        life_create(life, tag);
    else if (tail && stream_state_is_live(tail_row(tail)->state)) {
        if (tail_events(tail) < EVENTS)
            (void)world_append(life->world, tail, tag);
        else if (tag > 0)
            (void)world_end(life->world, tail, tag, STREAM_COMPLETED);
    }
}

static void life_live(struct life *life)
{
    for (int turn = 0; turn < LIFE_TURNS; turn++) {
        life_act(life, turn);
        life_turn(life);
    }
}

static enum err life_open(struct life *life)
{
    struct world *world = life->world;
    int holder;
    world->recovered_count = world->recovered_ended = 0;
    return storage_open(&world->config, world_recovered, &world->report, &holder, &world->storage);
}

static struct life life_new(uint64_t seed)
{
    struct life life = {.world = world_new(seed), .writes_max = UINT64_MAX};
    life.world->config.has_no_threads = true;
    life.world->config.archive_after_ns = 4000000;
    sim_ops = life.world->disk->ops;
    return life;
}

static void life_end(struct life *life, uint64_t sectors)
{
    struct world *world = life->world;
    sim_disk_power_cut_keeping(world->disk, sectors);
    for (struct task *task; (task = world_pop(world));)
        task->run(task);
    life_look(life);
    world->storage = storage_abandon(world->storage);
    world_drop_tasks(world);
    for (int i = 0; i < STREAMS; i++)
        life->tails[i] = NULL;
    life->writes_max = UINT64_MAX;
}

static void life_check_stream(struct life *life, uint32_t tag)
{
    struct world *world = life->world;
    struct tail *tail = NULL;
    for (size_t i = 0; i < world->recovered_count; i++)
        if (tail_row(world->recovered[i])->number == life->numbers[tag])
            tail = world->recovered[i];
    assert_false(tail && life->has_ended[tag]);
    if (tail)
        assert_true(tail_watermark(tail) >= life->visible[tag]);
    if (tail)
        assert_int_equal(world_end(world, tail, tag, STREAM_INTERRUPTED), ERR_OK);
}

/* Reopen, let what was live end, archive everything, and read it all from the store. */
static void life_check(struct life *life)
{
    struct world *world = life->world;
    assert_int_equal(life_open(life), ERR_OK);
    for (uint32_t tag = 0; tag < STREAMS; tag++)
        life_check_stream(life, tag);
    storage_drain(world->storage);
    for (int turns = 0; turns < 500 && !storage_is_drained(world->storage); turns++)
        life_turn(life);
    assert_true(storage_is_drained(world->storage));
    for (uint32_t tag = 0; tag < STREAMS; tag++) {
        struct world_reader reader = {.project = 1, .tag = tag, .number = life->numbers[tag]};
        buf_init(&reader.event, WORLD_EVENT_BYTES_MAX);
        while (reader.at.seq < life->visible[tag])
            assert_int_equal(world_read_stored(world, &reader), ERR_OK);
        buf_deinit(&reader.event);
    }
    assert_int_equal(world->errors, 0);
    world->storage = storage_close(world->storage);
    world_drop_tasks(world);
}

/* ---- the cases ------------------------------------------------------------------------------- */

static void test_a_power_cut_at_every_write(void **state)
{
    (void)state;
    static const uint64_t subsets[] = {0, UINT64_MAX, 1, 0x80, 0x5555555555555555u};
    bool is_clean = false;
    for (uint64_t writes = 0; !is_clean; writes++) {
        for (size_t i = 0; i < sizeof subsets / sizeof *subsets; i++) {
            struct life life = life_new(1);
            life.world->test = &life;
            life.world->on_gone = life_gone;
            life.writes_max = writes;
            assert_int_equal(life_open(&life), ERR_OK);
            life_live(&life);
            is_clean = sim_disk_operations(life.world->disk, SIM_WRITE) < writes;
            life_end(&life, subsets[i]);
            life_check(&life);
            world_free(life.world);
        }
    }
}

static void fail_each(enum sim_operation operation, uint64_t count, enum err err)
{
    bool is_clean = false;
    for (uint64_t nth = 1; !is_clean; nth++) {
        struct life life = life_new(2);
        life.world->test = &life;
        life.world->on_gone = life_gone;
        sim_disk_fail(life.world->disk, operation, nth, count, err);
        if (life_open(&life) == ERR_OK) {
            life_live(&life);
            is_clean = sim_disk_operations(life.world->disk, operation) < nth;
            life_end(&life, 0);
        }
        sim_disk_fail(life.world->disk, operation, 0, 0, ERR_OK);
        life.world->errors = 0;
        life_check(&life);
        world_free(life.world);
    }
}

static void test_each_operation_fails(void **state)
{
    (void)state;
    fail_each(SIM_WRITE, 1, ERR_IO);
    fail_each(SIM_WRITE, 2, ERR_IO);
    fail_each(SIM_WRITE, 1, ERR_FULL);
    fail_each(SIM_OPEN, 1, ERR_FULL);
    fail_each(SIM_PREFILL, 1, ERR_FULL);
    fail_each(SIM_SYNC_DIRECTORY, 1, ERR_IO);
    fail_each(SIM_READ, 1, ERR_IO);
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    bool is_clean = false;
    for (uint64_t nth = 1; !is_clean; nth++) {
        struct life life = life_new(3);
        life.world->test = &life;
        life.world->on_gone = life_gone;
        life.ops = *sim_ops;
        life.ops.open = exempt_open;
        life.ops.write_now = exempt_write_now;
        life.ops.write_durable = exempt_write_durable;
        life.ops.sync_directory = exempt_sync_directory;
        life.ops.remove = exempt_remove;
        life.ops.rename = exempt_rename;
        life.world->disk->ops = &life.ops;
        allocations.count = 0;
        allocations.fail_at = nth;
        allocations.is_counting = true;
        enum err err = life_open(&life);
        if (err == ERR_OK)
            life_live(&life);
        allocations.is_counting = false;
        is_clean = allocations.count < nth;
        assert_true(!is_clean || nth > 100); /* it was counted at all */
        assert_true(err == ERR_OK || err == ERR_NOMEM || err == ERR_IO);
        if (err == ERR_OK)
            life_end(&life, 0);
        life.world->errors = 0;
        life_check(&life);
        world_free(life.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_power_cut_at_every_write),
        cmocka_unit_test(test_each_operation_fails),
        cmocka_unit_test(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
