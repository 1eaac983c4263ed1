/* world — a whole storage on a simulated disk, with a real store in a temporary directory, a clock
 * that only the test moves, and a loop made of world_turn. Included by the tests of the composition.
 *
 * Events are made from (stream, seq), so that any reader can tell whether a byte is right.         */
#ifndef TOKENLOG_TESTS_STORAGE_WORLD_H
#define TOKENLOG_TESTS_STORAGE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/storage.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/random.h"

enum {
    WORLD_RECOVERED_MAX = 4096,
    WORLD_WAIT_TURNS = 60000, /* the archiver is a real thread: 200 µs each, and then it hangs */
    WORLD_TURN_NS = 100 * 1000,
    WORLD_EVENT_BYTES_MAX = 2 * 1024 * 1024,
};

struct world {
    struct disk *disk;
    char path[64];
    _Atomic int64_t now_ns;
    struct storage_host host;
    struct storage_config config;
    struct storage *storage;
    struct storage_report report;
    pthread_mutex_t lock;
    struct task *first, **last;
    bool is_disk_held; /* writes are not completed by world_turn */
    bool is_deaf;      /* what was posted waits: the answers of the archiver are late */
    struct tail *recovered[WORLD_RECOVERED_MAX];
    size_t recovered_count, recovered_ended;
    uint64_t changed, gone, paused, resumed, stuck;
    _Atomic uint64_t errors; /* logged, by any thread */
    struct tail *last_changed;
    int64_t wake_ns;
    void (*on_changed)(struct world *world, struct tail *tail);
    void (*on_gone)(struct world *world, struct tail *tail);
    void *test;
};

static int64_t world_now(void *context)
{
    return ((struct world *)context)->now_ns;
}

static int64_t world_wall(void *context)
{
    return 1700000000ll * 1000000000 + world_now(context);
}

static void world_post(void *context, struct task *task)
{
    struct world *world = context;
    assert_int_equal(pthread_mutex_lock(&world->lock), 0);
    task->next = NULL;
    *world->last = task;
    world->last = &task->next;
    assert_int_equal(pthread_mutex_unlock(&world->lock), 0);
}

static void world_wake_at(void *context, int64_t at_ns)
{
    ((struct world *)context)->wake_ns = at_ns;
}

static void world_log(void *context, int level, const char *message)
{
    struct world *world = context;
    if (level == 0) {
        fprintf(stderr, "log: %s\n", message);
        world->errors++;
    }
}

static void world_changed(void *context, struct tail *tail)
{
    struct world *world = context;
    world->changed++;
    world->last_changed = tail;
    if (world->on_changed)
        world->on_changed(world, tail);
}

static void world_gone(void *context, struct tail *tail)
{
    struct world *world = context;
    world->gone++;
    if (world->on_gone)
        world->on_gone(world, tail);
}

static void world_pause(void *context, bool is_paused)
{
    struct world *world = context;
    ++*(is_paused ? &world->paused : &world->resumed);
}

static void world_stuck(void *context, enum err err)
{
    (void)err;
    ((struct world *)context)->stuck++;
}

static void world_recovered(void *context, struct tail *tail)
{
    struct world *world = context;
    if (!stream_state_is_live(tail_row(tail)->state)) {
        world->recovered_ended++;
        return;
    }
    assert_true(world->recovered_count < WORLD_RECOVERED_MAX);
    world->recovered[world->recovered_count++] = tail;
}

static inline struct task *world_pop(struct world *world)
{
    assert_int_equal(pthread_mutex_lock(&world->lock), 0);
    struct task *task = world->first;
    if (task)
        world->first = task->next;
    if (!world->first)
        world->last = &world->first;
    assert_int_equal(pthread_mutex_unlock(&world->lock), 0);
    return task;
}

/* One turn of the loop: what was posted, what the disk has done, the tick. */
static inline void world_turn(struct world *world)
{
    struct task *task;
    world->now_ns += WORLD_TURN_NS;
    while (!world->is_deaf && (task = world_pop(world)))
        task->run(task);
    if (!world->is_disk_held)
        (void)sim_disk_complete(world->disk, 1000);
    storage_tick(world->storage);
}

static inline void world_turns(struct world *world, int count)
{
    for (int i = 0; i < count; i++)
        world_turn(world);
}

#define WORLD_UNTIL(world, claim)                                                                  \
    do {                                                                                           \
        int turns_ = 0;                                                                            \
        for (; !(claim) && turns_ < WORLD_WAIT_TURNS; turns_++) {                                  \
            world_turn(world);                                                                     \
            if (turns_ > 20)                                                                       \
                (void)usleep(200);                                                                 \
        }                                                                                          \
        assert_true(claim);                                                                        \
    } while (0)

static inline void world_open(struct world *world)
{
    int holder = -1;
    world->recovered_count = world->recovered_ended = 0;
    assert_int_equal(
        storage_open(&world->config, world_recovered, &world->report, &holder, &world->storage),
        ERR_OK);
}

/* A file system in memory, if there is one with room: the store's flushes then cost nothing. */
static inline const char *world_base(void)
{
    struct statvfs room;
    bool has_room = statvfs("/dev/shm", &room) == 0 && access("/dev/shm", W_OK) == 0 &&
                    room.f_bavail * room.f_frsize >= 1u << 30;
    return has_room ? "/dev/shm" : "/tmp";
}

static inline struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->disk = sim_disk_new(seed);
    world->now_ns = 1000000000;
    world->last = &world->first;
    assert_int_equal(pthread_mutex_init(&world->lock, NULL), 0);
    (void)snprintf(world->path, sizeof world->path, "%s/tokenlog-test-XXXXXX", world_base());
    assert_non_null(mkdtemp(world->path));
    world->host = (struct storage_host){.context = world,
        .now_ns = world_now,
        .wall_ns = world_wall,
        .post = world_post,
        .wake_at = world_wake_at,
        .log = world_log};
    world->config = (struct storage_config){.path = world->path,
        .disk = world->disk,
        .host = &world->host,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .segment_count = 6,
        .commit_spacing_ns = 0,
        .archive_after_ns = 5000000000,
        .retention_step_ns = 1000000000,
        .tombstone_ttl_s = 3600,
        .zstd_level = 1,
        .changed = world_changed,
        .gone = world_gone,
        .pause = world_pause,
        .stuck = world_stuck,
        .context = world};
    return world;
}

/* The process dies: what was not durable is lost, what was posted never runs (it may be freed by now). */
static inline void world_drop_tasks(struct world *world)
{
    assert_int_equal(pthread_mutex_lock(&world->lock), 0);
    world->first = NULL;
    world->last = &world->first;
    assert_int_equal(pthread_mutex_unlock(&world->lock), 0);
}

static inline void world_crash(struct world *world, bool is_power_cut)
{
    if (is_power_cut)
        sim_disk_power_cut(world->disk);
    else
        sim_disk_kill(world->disk);
    world->storage = storage_abandon(world->storage);
    world_drop_tasks(world);
}

static inline void world_drain(struct world *world)
{
    storage_drain(world->storage);
    WORLD_UNTIL(world, storage_is_drained(world->storage));
}

static inline void world_close(struct world *world)
{
    world_drain(world);
    world->storage = storage_close(world->storage);
    world_drop_tasks(world);
}

static inline void world_free(struct world *world)
{
    if (world->storage)
        world_close(world);
    DIR *directory = opendir(world->path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", world->path, entry->d_name);
        (void)unlink(path);
    }
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(rmdir(world->path), 0);
    world->disk = sim_disk_free(world->disk);
    assert_int_equal(pthread_mutex_destroy(&world->lock), 0);
    free(world);
}

/* Streams. */

static inline struct row world_row(struct world *world, uint32_t project, uint32_t tag)
{
    uint8_t random[ID_RANDOM_BYTES] = {0};
    memcpy(random + 4, &tag, sizeof tag);
    return (struct row){.id = id_make(world_wall(world) / 1000000, random),
        .project = project,
        .attempt = 1,
        .state = STREAM_ACCEPTED,
        .is_streamed = true,
        .is_sse = true,
        .project_name = SLICE("alpha"),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .dialect = SLICE("openai_chat"),
        .model = SLICE("m"),
        .accepted_ns = world_wall(world),
        .content_length = -1,
        .usage = USAGE_UNKNOWN};
}

static inline struct tail *world_create(struct world *world, uint32_t tag, struct slice body)
{
    uint32_t project;
    struct tail *tail;
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &project), ERR_OK);
    struct row row = world_row(world, project, tag);
    assert_int_equal(storage_create(world->storage, &row, body, &tail), ERR_OK);
    return tail;
}

/* The content of event `seq` of stream `tag`: mostly small, sometimes of several parts. */
static inline struct slice world_event(uint32_t tag, uint64_t seq, uint8_t *out)
{
    struct sim_random random = sim_random_new(((uint64_t)tag << 32) + seq);
    uint64_t kind = sim_random_below(&random, 200);
    uint64_t size_max = kind == 0 ? 100000 : kind < 5 ? 20000 : 300;
    size_t size = 1 + (size_t)sim_random_below(&random, size_max);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(i % 7 == 0 ? sim_random_next(&random) : 'a' + i % 26);
    return slice_of(out, size);
}

static inline struct slice world_noise(uint64_t seed, size_t size, uint8_t *out)
{
    struct sim_random random = sim_random_new(seed);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)sim_random_next(&random);
    return slice_of(out, size);
}

static inline enum err world_append(struct world *world, struct tail *tail, uint32_t tag)
{
    static uint8_t bytes[WORLD_EVENT_BYTES_MAX];
    return tail_append(tail, world_event(tag, tail_events(tail), bytes), world_wall(world));
}

static inline enum err world_end(
    struct world *world, struct tail *tail, uint32_t tag, enum stream_state state)
{
    static uint8_t bytes[WORLD_EVENT_BYTES_MAX];
    struct row row = *tail_row(tail);
    row.state = state;
    row.ended_ns = world_wall(world);
    return tail_end(tail, world_event(tag, tail_events(tail), bytes), world_wall(world), &row);
}

/* Queries, awaited. */

static void world_query_done(struct storage_query *query, enum err err)
{
    assert_int_equal(err, query->err);
    *(bool *)query->owner = true;
}

static inline enum err world_query(struct world *world, struct storage_query *query)
{
    bool is_done = false;
    query->done = world_query_done;
    query->owner = &is_done;
    assert_int_equal(storage_query(world->storage, query), ERR_OK);
    WORLD_UNTIL(world, is_done);
    return query->err;
}

/* A reader: where it is, and what it has of the event it is in. */
struct world_reader {
    uint32_t project, tag;
    uint64_t number;
    struct block_position at;
    struct buf event;
    uint64_t offset; /* bytes read in all */
    uint64_t stored_blocks;
};

static inline struct world_reader world_reader(struct tail *tail, uint32_t tag, uint64_t seq)
{
    struct world_reader reader = {.project = tail_row(tail)->project,
        .tag = tag,
        .number = tail_row(tail)->number,
        .at = {seq, 0}};
    buf_init(&reader.event, WORLD_EVENT_BYTES_MAX);
    return reader;
}

static inline void world_take(
    struct world_reader *reader, const struct block *block, uint32_t index, uint32_t end)
{
    static uint8_t expected[WORLD_EVENT_BYTES_MAX];
    assert_true(index < end);
    for (; index < end; index++) {
        struct block_position at = reader->at;
        assert_int_equal(buf_append(&reader->event, block_frame(block, index)), ERR_OK);
        reader->at = block_next(block, index);
        if (reader->at.part != 0) {
            assert_int_equal(reader->at.seq, at.seq);
            assert_int_equal(reader->at.part, at.part + 1);
            continue;
        }
        assert_int_equal(reader->at.seq, at.seq + 1);
        struct slice event = world_event(reader->tag, at.seq, expected);
        assert_int_equal(reader->event.size, event.size);
        assert_memory_equal(reader->event.data, event.data, event.size);
        buf_clear(&reader->event);
    }
}

/* One step from the store: the block that holds the reader's place. */
static inline enum err world_read_stored(struct world *world, struct world_reader *reader)
{
    struct storage_query query = {.kind = STORAGE_BLOCK,
        .project = reader->project,
        .number = reader->number,
        .seq = reader->at.seq,
        .part = reader->at.part};
    enum err err = world_query(world, &query);
    if (err == ERR_OK) {
        const struct block *block = query.block;
        uint32_t index = (uint32_t)(reader->at.seq - block->first_seq);
        reader->stored_blocks++;
        world_take(reader, block, index, block->frame_count);
        block_unref(query.block);
    }
    return err;
}

/* One step of the loop that every reader runs: the tail, and the store if it misses. */
static inline enum err world_read(
    struct world *world, struct world_reader *reader, struct tail *tail)
{
    struct block *block;
    uint32_t index, end;
    enum err err = tail ? tail_read(tail, reader->at.seq, reader->at.part, &block, &index, &end)
                        : ERR_NOTFOUND;
    if (err == ERR_NOTFOUND)
        return world_read_stored(world, reader);
    if (err == ERR_OK) {
        world_take(reader, block, index, end);
        block_unref(block);
    }
    return err;
}

/* The row as the store has it. */
static inline enum err world_stored_row(
    struct world *world, uint32_t project, const struct id *id, struct buf *bytes, struct row *row)
{
    struct storage_query query = {.kind = STORAGE_ROW, .project = project, .id = *id};
    enum err err = world_query(world, &query);
    *bytes = query.bytes;
    if (err == ERR_OK)
        assert_int_equal(row_decode(buf_slice(bytes), row), ERR_OK);
    return err;
}

#endif
