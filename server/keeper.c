/* keeper — see keeper.h. */
#include "server/keeper.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/io/disk.h"

struct keeper {
    struct keeper_config config;
    struct storage *storage;
    struct storage_host host;
    struct disk *disk;
    struct timer timer;
};

/* ---- what storage needs of us ---------------------------------------------------------------- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t host_now(void *context)
{
    (void)context;
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t host_wall(void *context)
{
    (void)context;
    return clock_ns(CLOCK_REALTIME);
}

static void host_post(void *context, struct task *task)
{
    struct keeper *keeper = context;
    loop_post(keeper->config.loop, task);
}

static void host_wake_at(void *context, int64_t monotonic_ns)
{
    struct keeper *keeper = context;
    if (keeper->timer.index == 0 || monotonic_ns < keeper->timer.deadline_ns)
        timer_set(keeper->config.loop, &keeper->timer, monotonic_ns);
}

static void host_log(void *context, int level, const char *message)
{
    struct keeper *keeper = context;
    enum log_level levels[] = {LOG_ERROR, LOG_WARNING, LOG_INFO};
    LOG(keeper->config.log, levels[level < 0 || level > 2 ? 2 : level], "storage",
        LOG_TEXT("message", message));
}

/* The turn's end ticks the storage: being awake is enough. */
static void timer_fired(struct timer *timer)
{
    (void)timer;
}

static void storage_stuck(void *context, enum err err)
{
    struct keeper *keeper = context;
    *keeper->config.is_stuck = true;
    hub_stuck(keeper->config.hub);
    LOG(keeper->config.log, LOG_ERROR, "read_only", LOG_TEXT("error", err_text(err)),
        LOG_TEXT("message", "nothing can be made durable any more; recordings can be read; mend "
                            "the disk and restart"));
}

static void storage_committed(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes)
{
    struct keeper *keeper = context;
    metrics_add(keeper->config.metrics, METRIC_journal_commits_total, 1);
    metrics_add(keeper->config.metrics, METRIC_journal_bytes_total, bytes);
    metrics_observe(keeper->config.metrics, METRIC_commit_seconds, latency_ns);
    metrics_observe(keeper->config.metrics, METRIC_commit_records, (int64_t)records);
    if (keeper->config.hub && strcmp(keeper->config.config->durability, "memory") != 0)
        hub_committed(keeper->config.hub, latency_ns);
}

static void stream_changes_soon(void *context, const struct tail *tail, int distance)
{
    (void)context;
    hub_changes_soon(tail, distance);
}

static void stream_changed(void *context, struct tail *tail)
{
    hub_changed(((struct keeper *)context)->config.hub, tail);
}

static void stream_gone(void *context, struct tail *tail)
{
    hub_gone(((struct keeper *)context)->config.hub, tail);
}

static void stream_paused(void *context, bool is_paused)
{
    hub_paused(((struct keeper *)context)->config.hub, is_paused);
}

static void stream_recovered(void *context, struct tail *tail)
{
    hub_recovered(((struct keeper *)context)->config.hub, tail);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void log_report(const struct keeper *keeper, const struct storage_report *report)
{
    LOG(keeper->config.log, report->journal.corrupt_batches ? LOG_ERROR : LOG_INFO, "recovered",
        LOG_NUMBER("ms", report->duration_ns / 1000000),
        LOG_NUMBER("records", report->journal.records),
        LOG_NUMBER("streams_interrupted", report->live_streams),
        LOG_NUMBER("torn_batches", report->journal.torn_batches),
        LOG_NUMBER("corrupt_batches", report->journal.corrupt_batches));
}

static enum err open_storage(struct keeper *keeper, int *holder_pid)
{
    const struct config *config = keeper->config.config;
    TRY(disk_ring_new(keeper->config.loop, &keeper->disk));
    disk_ring_delay(keeper->disk, config->test_commit_delay_ms * 1000000);
    keeper->host =
        (struct storage_host){keeper, host_now, host_wall, host_post, host_wake_at, host_log};
    struct storage_config storage = {
        .path = config->data,
        .disk = keeper->disk,
        .host = &keeper->host,
        .segment_bytes = (uint64_t)config->segment_bytes,
        .segment_count = (uint32_t)config->segment_count,
        .commit_spacing_ns = config->commit_spacing_us * 1000,
        .archive_after_ns = config->archive_after_ms * 1000000,
        .retention_step_ns = config->retention_step_ms * 1000000,
        .tombstone_ttl_s = config->tombstone_days * 86400,
        .keep_bytes_max = (uint64_t)config->keep_bytes_max,
        .scrub_bytes_per_s = (uint64_t)config->scrub_bytes_per_s,
        .cache_bytes_max = (uint64_t)config->cache_bytes_max,
        .zstd_level = (int)config->zstd_level,
        .is_memory = strcmp(config->durability, "memory") == 0,
        .changed = stream_changed,
        .changes_soon = stream_changes_soon,
        .gone = stream_gone,
        .pause = stream_paused,
        .stuck = storage_stuck,
        .committed = storage_committed,
        .context = keeper,
    };
    struct storage_report report;
    TRY(storage_open(&storage, stream_recovered, &report, holder_pid, &keeper->storage));
    hub_set_storage(keeper->config.hub, keeper->storage);
    log_report(keeper, &report);
    return ERR_OK;
}

enum err keeper_open(const struct keeper_config *config, int *holder_pid, struct keeper **out)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return fault(ERR_NOMEM, "keeper");
    keeper->config = *config;
    keeper->timer.fire = timer_fired;
    *out = keeper; /* also half built: what has begun on the loop is ended with it */
    return open_storage(keeper, holder_pid);
}

struct storage *keeper_storage(const struct keeper *keeper)
{
    return keeper->storage;
}

void keeper_tick(struct keeper *keeper)
{
    storage_tick(keeper->storage);
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    storage_close(keeper->storage);
    keeper->storage = NULL;
    hub_set_storage(keeper->config.hub, NULL);
}

struct keeper *keeper_free(struct keeper *keeper)
{
    if (keeper)
        disk_ring_free(keeper->disk);
    free(keeper);
    return NULL;
}
