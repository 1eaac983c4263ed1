/* storage_whole — see storage_whole.h. The loop's turns do what the server's do: feed, tick, wait. */
#include "tools/bench/storage_whole.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"
#include "server/io/disk.h"
#include "server/io/loop.h"
#include "storage/storage.h"
#include "tools/bench/storage_text.h"
#include "tools/bench/watch.h"

enum {
    ARCHIVE_AFTER_MS = 10000, /* as the server's default */
    DRAIN_S_MAX = 60,
};

struct member {
    struct tail *tail;
    uint64_t visible;
};

struct whole {
    struct storage_run *run;
    struct text_pool *text;
    struct loop *loop;
    struct disk *disk;
    struct storage_host host;
    struct storage *storage;
    struct timer pace, wake;
    struct member *members;
    bool is_paused, is_ending;
    int64_t fed_ns; /* when the last event had been given; all that follows is draining */
    enum err failure;
};

/* The program around the storage. */

static int64_t host_now(void *context)
{
    (void)context;
    return watch_now_ns();
}

static int64_t host_wall(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void host_post(void *context, struct task *task)
{
    struct whole *whole = context;
    loop_post(whole->loop, task);
}

static void host_wake_at(void *context, int64_t monotonic_ns)
{
    struct whole *whole = context;
    timer_set(whole->loop, &whole->wake, monotonic_ns);
}

static void host_log(void *context, int level, const char *message)
{
    (void)context;
    if (level < 2)
        fprintf(stderr, "storage_bench: %s\n", message);
}

/* What it tells. */

static void on_changed(void *context, struct tail *tail)
{
    struct whole *whole = context;
    struct storage_run *run = whole->run;
    struct member *member = tail_owner(tail);
    if (!member)
        return;
    uint64_t watermark = tail_watermark(tail), stream = (uint64_t)(member - whole->members);
    int64_t now_ns = watch_now_ns();
    run->durable += watermark - member->visible;
    for (; run->rate > 0 && member->visible < watermark; member->visible++)
        histogram_add(
            &run->latency, now_ns - run_due_ns(run, member->visible * run->streams + stream), 1);
    member->visible = watermark;
}

static void on_gone(void *context, struct tail *tail)
{
    (void)context;
    struct member *member = tail_owner(tail);
    if (member)
        member->tail = NULL;
}

static void on_pause(void *context, bool is_paused)
{
    struct whole *whole = context;
    whole->is_paused = is_paused;
}

static void on_stuck(void *context, enum err err)
{
    struct whole *whole = context;
    whole->failure = err;
    loop_stop(whole->loop);
}

static void on_committed(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes)
{
    struct whole *whole = context;
    (void)records;
    whole->run->commits++;
    whole->run->bytes += bytes;
    if (!whole->is_ending)
        histogram_add(&whole->run->commit, latency_ns, 1);
}

/* The streams. */

static struct row make_row(uint64_t stream)
{
    struct row row = {.state = STREAM_STREAMING,
        .project = 1,
        .attempt = 1,
        .is_streamed = true,
        .is_sse = true,
        .project_name = slice_text("default"),
        .fingerprint = slice_text("0123456789abcdef0123456789abcdef"),
        .method = slice_text("POST"),
        .path = slice_text("/v1/chat/completions"),
        .dialect = slice_text("openai"),
        .model = slice_text("gpt-4o-mini"),
        .provider = slice_text("openai"),
        .accepted_ns = host_wall(NULL),
        .ttl_s = 86400,
        .status = 200,
        .content_type = slice_text("text/event-stream"),
        .content_length = -1,
        .usage = USAGE_UNKNOWN};
    uint64_t random = stream * 0x9e3779b97f4a7c15u;
    memcpy(row.id.bytes, &row.accepted_ns, 8);
    memcpy(row.id.bytes + 8, &random, 8);
    return row;
}

static enum err create_streams(struct whole *whole)
{
    uint32_t project;
    TRY(storage_project(whole->storage, slice_text("default"), &project));
    for (uint64_t i = 0; i < whole->run->streams; i++) {
        struct row row = make_row(i);
        struct member *member = &whole->members[i];
        row.project = project;
        TRY(storage_create(whole->storage, &row, slice_text("{\"stream\":true}"), &member->tail));
        tail_set_owner(member->tail, member);
    }
    return ERR_OK;
}

static enum err append_one(struct whole *whole)
{
    struct storage_run *run = whole->run;
    uint64_t stream = run->appended % run->streams, seq = run->appended / run->streams;
    TRY(tail_append(whole->members[stream].tail, text_event(whole->text, stream, seq),
        loop_wall_ns(whole->loop)));
    run->appended++;
    return ERR_OK;
}

static void feed(struct whole *whole)
{
    struct storage_run *run = whole->run;
    uint64_t until = run_due_count(run);
    while (!whole->is_paused && run->appended < until)
        if (append_one(whole) != ERR_OK)
            return;
        else if (run->rate == 0 && run->appended % 64 == 0)
            return; /* unpaced: a turn's worth */
}

static void end_streams(struct whole *whole)
{
    whole->is_ending = true;
    whole->fed_ns = watch_now_ns();
    for (uint64_t i = 0; i < whole->run->streams; i++) {
        struct tail *tail = whole->members[i].tail;
        struct row row = *tail_row(tail);
        row.state = STREAM_COMPLETED;
        row.ended_ns = host_wall(NULL);
        enum err err = tail_end(tail, slice_text("data: [DONE]\n\n"), row.ended_ns, &row);
        if (err != ERR_OK)
            whole->failure = err;
    }
    storage_drain(whole->storage);
}

static void on_turn_end(void *context)
{
    struct whole *whole = context;
    struct storage_run *run = whole->run;
    int64_t now_ns = watch_now_ns();
    if (now_ns < run->end_ns)
        feed(whole);
    else if (!whole->is_ending && !whole->is_paused)
        end_streams(whole);
    storage_tick(whole->storage);
    bool is_over = whole->is_ending && storage_is_drained(whole->storage);
    if (is_over || now_ns > run->end_ns + DRAIN_S_MAX * INT64_C(1000000000))
        loop_stop(whole->loop);
}

static void on_pace(struct timer *timer)
{
    struct whole *whole = CONTAINER_OF(timer, struct whole, pace);
    timer_set(whole->loop, timer, watch_now_ns() + (whole->run->rate > 0 ? RUN_PACE_NS : 0));
}

static void on_wake(struct timer *timer)
{
    (void)timer; /* the turn's end ticks the storage */
}

/* The run. */

static enum err open_whole(struct whole *whole)
{
    struct storage_run *run = whole->run;
    whole->host =
        (struct storage_host){whole, host_now, host_wall, host_post, host_wake_at, host_log};
    whole->pace.fire = on_pace;
    whole->wake.fire = on_wake;
    TRY(text_pool_new(run->payload_bytes, &whole->text));
    TRY(loop_new(&whole->loop));
    TRY(disk_ring_new(whole->loop, &whole->disk));
    struct storage_config config = {.path = run->path,
        .disk = whole->disk,
        .host = &whole->host,
        .segment_bytes = SEGMENT_BYTES_DEFAULT,
        .segment_count = SEGMENT_COUNT_DEFAULT,
        .commit_spacing_ns = run->spacing_ns,
        .archive_after_ns = ARCHIVE_AFTER_MS * INT64_C(1000000),
        .retention_step_ns = INT64_C(1000000000),
        .tombstone_ttl_s = 86400,
        .zstd_level = run->zstd_level,
        .changed = on_changed,
        .gone = on_gone,
        .pause = on_pause,
        .stuck = on_stuck,
        .committed = on_committed,
        .context = whole};
    TRY(run_fill_slots(run, config.segment_bytes, config.segment_count));
    return storage_open(&config, NULL, NULL, NULL, &whole->storage);
}

static void close_whole(struct whole *whole)
{
    whole->storage = storage_close(whole->storage);
    timer_cancel(whole->loop, &whole->pace);
    timer_cancel(whole->loop, &whole->wake);
    whole->disk = disk_ring_free(whole->disk);
    whole->loop = loop_free(whole->loop);
    whole->text = text_pool_free(whole->text);
}

enum err whole_run(struct storage_run *run)
{
    struct whole whole = {.run = run};
    whole.members = calloc(run->streams, sizeof *whole.members);
    if (!whole.members)
        return fault(ERR_NOMEM, "streams");
    TRY(open_whole(&whole));
    TRY(create_streams(&whole));
    run_begin(run);
    timer_set(whole.loop, &whole.pace, run->start_ns);
    loop_on_turn_end(whole.loop, on_turn_end, &whole);
    loop_run(whole.loop);
    run_finish(run);
    bool is_drained = storage_is_drained(whole.storage);
    close_whole(&whole);
    free(whole.members);
    return whole.failure != ERR_OK ? whole.failure
           : is_drained            ? ERR_OK
                                   : fault(ERR_IO, "not all was archived in time");
}
