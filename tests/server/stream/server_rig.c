#include "tests/server/stream/server_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { BYTES_MAX = 64 * 1024 * 1024, TICK_NS = 200 * 1000 };

/* ---- what storage is given ------------------------------------------------------------------- */

static int64_t clock_of(clockid_t clock)
{
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t host_now(void *context)
{
    (void)context;
    return clock_of(CLOCK_MONOTONIC);
}

static int64_t host_wall(void *context)
{
    (void)context;
    return clock_of(CLOCK_REALTIME);
}

static void host_post(void *context, struct task *task)
{
    struct rig *rig = context;
    assert_int_equal(pthread_mutex_lock(&rig->lock), 0);
    task->next = NULL;
    *rig->last_task = task;
    rig->last_task = &task->next;
    assert_int_equal(pthread_mutex_unlock(&rig->lock), 0);
}

static struct task *take_tasks(struct rig *rig)
{
    assert_int_equal(pthread_mutex_lock(&rig->lock), 0);
    struct task *first = rig->first_task;
    rig->first_task = NULL;
    rig->last_task = &rig->first_task;
    assert_int_equal(pthread_mutex_unlock(&rig->lock), 0);
    return first;
}

static void run_tasks(struct rig *rig)
{
    struct task *next;
    for (struct task *task = take_tasks(rig); task; task = next) {
        next = task->next;
        task->run(task);
    }
}

static void host_wake_at(void *context, int64_t at_ns)
{
    struct rig *rig = context;
    timer_set(rig->loop, &rig->storage_timer, at_ns);
}

static void host_log(void *context, int level, const char *message)
{
    (void)context;
    if (level == 0)
        (void)fprintf(stderr, "storage: %s\n", message);
}

static void on_changed(void *context, struct tail *tail)
{
    hub_changed(((struct rig *)context)->hub, tail);
}

static void on_gone(void *context, struct tail *tail)
{
    struct rig *rig = context;
    rig->gone_count++;
    hub_gone(rig->hub, tail);
}

static void on_pause(void *context, bool is_paused)
{
    hub_paused(((struct rig *)context)->hub, is_paused);
}

static void on_recovered(void *context, struct tail *tail)
{
    hub_recovered(((struct rig *)context)->hub, tail);
}

static void on_stuck(void *context, enum err err)
{
    (void)err;
    hub_stuck(((struct rig *)context)->hub);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void tick(struct timer *timer)
{
    (void)timer;
}

static void turn_end(void *context)
{
    struct rig *rig = context;
    run_tasks(rig);
    fake_run(rig->upstreams);
    if (rig->disk && !rig->is_disk_held)
        (void)sim_disk_complete(rig->disk, 1000);
    if (rig->storage) {
        storage_tick(rig->storage);
        hub_tick(rig->hub);
    }
    loop_stop(rig->loop);
}

void rig_turn(struct rig *rig)
{
    timer_set(rig->loop, &rig->tick, host_now(NULL) + TICK_NS);
    loop_run(rig->loop);
}

void rig_turns(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++)
        rig_turn(rig);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void open_storage(struct rig *rig)
{
    struct hub_config config = {rig->loop, rig->metrics, rig->log, rig->streams_max, BYTES_MAX};
    assert_int_equal(hub_new(&config, &rig->hub), ERR_OK);
    rig->host = (struct storage_host){.context = rig,
        .now_ns = host_now,
        .wall_ns = host_wall,
        .post = host_post,
        .wake_at = host_wake_at,
        .log = host_log};
    struct storage_config storage = {.path = rig->path,
        .disk = rig->disk,
        .host = &rig->host,
        .segment_bytes = SEGMENT_BYTES_MIN * 2,
        .segment_count = 32,
        .queue_bytes_max = RIG_QUEUE_BYTES_MAX,
        .archive_after_ns = 1000000,
        .retention_step_ns = 1000000000,
        .tombstone_ttl_s = 3600,
        .zstd_level = 1,
        .is_memory = rig->is_memory,
        .changed = on_changed,
        .gone = on_gone,
        .pause = on_pause,
        .stuck = on_stuck,
        .context = rig};
    int holder;
    assert_int_equal(storage_open(&storage, on_recovered, NULL, &holder, &rig->storage), ERR_OK);
    hub_set_storage(rig->hub, rig->storage);
    assert_int_equal(
        storage_project(rig->storage, slice_text(rig->project.name), &rig->project.number), ERR_OK);
}

struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    assert_int_equal(loop_new(&rig->loop), ERR_OK);
    assert_int_equal(metrics_new(&rig->metrics), ERR_OK);
    rig->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(log_new(rig->log_fd, LOG_DEBUG, &rig->log), ERR_OK);
    assert_int_equal(upstreams_new(rig->loop, NULL, &rig->upstreams), ERR_OK);
    assert_int_equal(pthread_mutex_init(&rig->lock, NULL), 0);
    rig->last_task = &rig->first_task;
    rig->disk = sim_disk_new(1);
    (void)snprintf(rig->path, sizeof rig->path, "/tmp/tokenlog-test-XXXXXX");
    assert_non_null(mkdtemp(rig->path));
    rig->streams_max = 10000;
    rig->project = (struct project){.name = "default"};
    rig->provider = (struct provider_config){
        .name = "fake", .where = "test", .base_url = "http://provider", .keys = {"secret"}};
    rig->producer = (struct producer_config){
        .upstreams = rig->upstreams, .metrics = rig->metrics, .log = rig->log};
    rig->tick.fire = rig->storage_timer.fire = tick;
    loop_on_turn_end(rig->loop, turn_end, rig);
    open_storage(rig);
    rig_turns(rig, 3);
    return rig;
}

void rig_drain(struct rig *rig)
{
    rig->is_disk_held = false;
    hub_interrupt_all(rig->hub, "shutdown");
    fake_cancel_all(rig->upstreams); /* also those that were left to end by themselves */
    RIG_UNTIL(rig, hub_live_count(rig->hub) == 0 && fake_open(rig->upstreams) == 0);
    storage_drain(rig->storage);
    RIG_UNTIL(rig, storage_is_drained(rig->storage));
    rig_turns(rig, 3); /* what the drain has let go of frees itself */
}

static void close_storage(struct rig *rig)
{
    rig->storage = storage_close(rig->storage);
    hub_set_storage(rig->hub, NULL);
    rig_turns(rig, 3); /* tasks that the readers posted */
    rig->hub = hub_free(rig->hub);
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[400];
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(rmdir(path), 0);
}

static void free_parts(struct rig *rig)
{
    timer_cancel(rig->loop, &rig->tick);
    timer_cancel(rig->loop, &rig->storage_timer);
    loop_free(rig->loop);
    upstreams_free(rig->upstreams);
    sim_disk_free(rig->disk);
    log_free(rig->log);
    metrics_free(rig->metrics);
    (void)close(rig->log_fd);
    assert_int_equal(pthread_mutex_destroy(&rig->lock), 0);
    remove_directory(rig->path);
    free(rig);
}

struct rig *rig_free(struct rig *rig)
{
    rig_drain(rig);
    close_storage(rig);
    free_parts(rig);
    return NULL;
}

static void kill_storage(struct rig *rig)
{
    struct storage *dead = rig->storage;
    sim_disk_kill(rig->disk);
    rig->storage = NULL; /* it does nothing more */
    hub_interrupt_all(
        rig->hub, "killed"); /* what the dead process held is freed, for the leak check */
    fake_cancel_all(rig->upstreams);
    RIG_UNTIL(rig, fake_open(rig->upstreams) == 0);
    (void)storage_abandon(dead);
    (void)take_tasks(rig); /* they never run */
    hub_set_storage(rig->hub, NULL);
    rig_turns(rig, 3);
    rig->hub = hub_free(rig->hub);
}

struct rig *rig_abandon(struct rig *rig)
{
    kill_storage(rig);
    free_parts(rig);
    return NULL;
}

void rig_reopen(struct rig *rig, bool is_kill)
{
    if (is_kill) {
        kill_storage(rig);
    } else {
        rig_drain(rig);
        close_storage(rig);
    }
    open_storage(rig);
}

/* ---- streams --------------------------------------------------------------------------------- */

struct row rig_row(struct rig *rig, const char *key)
{
    uint8_t random[ID_RANDOM_BYTES];
    loop_random(rig->loop, random, sizeof random);
    return (struct row){.id = id_make(host_wall(NULL) / 1000000, random),
        .project = rig->project.number,
        .project_name = slice_text(rig->project.name),
        .attempt = 1,
        .state = STREAM_ACCEPTED,
        .is_streamed = true,
        .key = slice_text(key),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .dialect = SLICE("openai_chat"),
        .model = SLICE("m"),
        .accepted_ns = loop_wall_ns(rig->loop),
        .content_length = -1,
        .usage = USAGE_UNKNOWN};
}

struct stream *rig_create(struct rig *rig, const char *key, size_t body_bytes)
{
    struct row row = rig_row(rig, key);
    struct stream *stream;
    char *body = calloc(1, body_bytes + 1);
    assert_non_null(body);
    assert_int_equal(
        hub_create(rig->hub, &rig->project, &row, slice_of(body, body_bytes), &stream), ERR_OK);
    free(body);
    return stream;
}

static struct stream *generate(
    struct rig *rig, const char *key, const char *path, const struct producer_translate *translate)
{
    static struct headers headers; /* none */
    const struct dialect *dialect;
    struct stream *stream = rig_create(rig, key, 2);
    assert_int_equal(dialect_for_path(slice_text(path), &dialect), ERR_OK);
    struct producer_request request = {.dialect = dialect,
        .translate = translate,
        .url = "http://provider/v1/chat/completions",
        .credentials = RIG_CREDENTIALS,
        .headers = &headers,
        .body = SLICE("{}"),
        .hides_usage = true,
        .is_keyed = key[0] != 0};
    assert_int_equal(producer_start(&rig->producer, stream, &request), ERR_OK);
    return stream;
}

struct stream *rig_generate(struct rig *rig, const char *key)
{
    return generate(rig, key, "/v1/chat/completions", NULL);
}

struct stream *rig_generate_translated(
    struct rig *rig, const char *path, const struct producer_translate *translate)
{
    return generate(rig, "", path, translate);
}

void rig_end_tail(struct rig *rig, struct stream *stream, enum stream_state state)
{
    struct row row = *stream_row(stream);
    row.state = state;
    row.ended_ns = host_wall(NULL);
    assert_int_equal(tail_end(stream_tail(stream), SLICE_NONE, row.ended_ns, &row), ERR_OK);
    (void)rig;
}

struct stream *rig_fill_queue(struct rig *rig)
{
    assert_true(rig->is_disk_held);
    struct stream *stream = rig_create(rig, "", RIG_QUEUE_BYTES_MAX + BATCH_BYTES);
    rig_turns(rig, 3);
    assert_false(hub_is_paused(rig->hub));
    return stream;
}

struct found {
    struct hub_lookup lookup;
    struct stream *stream;
    enum err err;
    bool is_done;
};

static void found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct found *result = CONTAINER_OF(lookup, struct found, lookup);
    assert_false(result->is_done);
    result->err = err;
    result->stream = stream;
    result->is_done = true;
}

struct stream *rig_find(struct rig *rig, const struct id *id, enum err *err)
{
    struct found result = {.lookup.done = found};
    hub_open(rig->hub, &rig->project, id, &result.lookup);
    RIG_UNTIL(rig, result.is_done);
    *err = result.err;
    return result.stream;
}

void rig_settle(struct rig *rig, const struct stream *stream)
{
    RIG_UNTIL(rig, stream_tail(stream) == NULL);
}

/* ---- readers --------------------------------------------------------------------------------- */

static void reader_woken(void *context)
{
    struct rig_reader *reader = context;
    reader->wakes++;
    rig_reader_pull(reader);
}

void rig_reader_open(
    struct rig *rig, struct stream *stream, uint64_t from, bool follow, struct rig_reader *out)
{
    *out = (struct rig_reader){.rig = rig};
    buf_init(&out->bytes, BYTES_MAX);
    assert_int_equal(
        reader_new(stream_ref(stream), from, follow, reader_woken, out, &out->reader), ERR_OK);
    rig_reader_pull(out);
}

void rig_reader_pull(struct rig_reader *reader)
{
    struct reader_view view;
    while ((reader->err = reader_peek(reader->reader, &view)) == ERR_OK) {
        for (uint32_t i = view.index; i < view.end; i++) {
            assert_int_equal(buf_append(&reader->bytes, block_frame(view.block, i)), ERR_OK);
            reader->events += !(view.block->frames[i].flags & FRAME_MORE);
        }
        reader_take(reader->reader, view.end);
    }
}

void rig_reader_close(struct rig_reader *reader)
{
    reader->reader = reader_close(reader->reader);
    buf_deinit(&reader->bytes);
}
