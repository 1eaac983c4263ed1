/* storage_journal — see storage_journal.h. A run has its rig: a disk, a journal on it, and, where
 * it goes through the ring, a loop; and a thread that makes slots, the archiver's share of the work. */
#include "tools/bench/storage_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "server/io/disk.h"
#include "server/io/loop.h"
#include "storage/journal.h"
#include "tools/bench/storage_text.h"
#include "tools/bench/watch.h"

enum {
    APPEND_EVENTS_MAX = 512,  /* of one pwritev: IOV_MAX is 1024 */
    APPEND_HEADER_BYTES = 24, /* what a simple log would need per event */
    PREPARE_PAUSE_NS = 2000000,
    /* Filled before each run. */
    BENCH_SEGMENT_BYTES = 16 * BATCH_BYTES,
    LONE_BYTES = 4096,
    LONE_PAUSE_NS = 3000000,
};

struct rig {
    struct storage_run *run;
    struct text_pool *text;
    struct disk *disk;
    struct journal *journal;
    struct loop *loop;
    struct timer pace, wake;
    int64_t wake_ns; /* plain: asked for by the journal; 0: not */
    pthread_t preparer;
    atomic_bool is_over;
    enum err failure;
};

/* feed — append what is due, or what there is room for. */
static bool append_one(struct rig *rig)
{
    struct storage_run *run = rig->run;
    struct journal_status status;
    uint64_t lsn, stream = run->appended % run->streams, seq = run->appended / run->streams;
    struct record record = {.type = RECORD_EVENT,
        .flags = RECORD_LAST,
        .number = stream + 1,
        .seq = seq,
        .time_ns = watch_now_ns(),
        .payload = text_event(rig->text, stream, seq)};
    journal_status(rig->journal, &status);
    if (status.backlog_bytes >= JOURNAL_BACKLOG_PAUSE_BYTES)
        return false;
    if (journal_append(rig->journal, &record, &lsn) != ERR_OK)
        return false;
    journal_hurry(rig->journal);
    run->appended++;
    return true;
}

static void feed(struct rig *rig)
{
    struct storage_run *run = rig->run;
    if (watch_now_ns() >= run->end_ns)
        return;
    for (uint64_t until = run_due_count(run); run->appended < until && append_one(rig);)
        ;
}

/* The journal's owner. */

static void on_committed(void *context, uint64_t durable_lsn)
{
    struct rig *rig = context;
    run_durable(rig->run, durable_lsn);
    journal_absorbed(rig->journal, durable_lsn);
}

static void on_stuck(void *context, enum err err)
{
    struct rig *rig = context;
    rig->failure = err;
    if (rig->loop)
        loop_stop(rig->loop);
}

static void on_wake_at(void *context, int64_t monotonic_ns)
{
    struct rig *rig = context;
    rig->wake_ns = monotonic_ns;
    if (rig->loop)
        timer_set(rig->loop, &rig->wake, monotonic_ns);
}

static int64_t on_now(void *context)
{
    (void)context;
    return watch_now_ns();
}

static void on_observe(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes)
{
    struct rig *rig = context;
    (void)records;
    rig->run->commits++;
    rig->run->bytes += bytes;
    histogram_add(&rig->run->commit, latency_ns, 1);
}

static enum err on_replay(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record, (void)lsn; /* the folder is new: there is nothing */
    return ERR_OK;
}

static void *prepare_slots(void *context)
{
    struct rig *rig = context;
    struct timespec pause = {.tv_nsec = PREPARE_PAUSE_NS};
    while (!atomic_load(&rig->is_over))
        if (!journal_prepare(rig->journal))
            (void)nanosleep(&pause, NULL);
    return NULL;
}

static enum err open_journal(struct rig *rig)
{
    struct journal_recovery found;
    struct storage_run *run = rig->run;
    struct journal_config config = {.disk = rig->disk,
        .path = run->path,
        .segment_bytes = BENCH_SEGMENT_BYTES,
        .segment_count = SEGMENT_COUNT_MIN,
        .commit_spacing_ns = run->spacing_ns,
        .committed = on_committed,
        .stuck = on_stuck,
        .wake_at = on_wake_at,
        .now_ns = on_now,
        .context = rig};
    TRY(text_pool_new(run->payload_bytes, &rig->text));
    TRY(run_fill_slots(run, config.segment_bytes, config.segment_count));
    TRY(journal_open(&config, 0, on_replay, &found, &rig->journal));
    journal_observe(rig->journal, on_observe, rig);
    if (pthread_create(&rig->preparer, NULL, prepare_slots, rig) != 0)
        return fault(ERR_NOMEM, "no thread");
    return ERR_OK;
}

static void close_journal(struct rig *rig)
{
    atomic_store(&rig->is_over, true);
    (void)pthread_join(rig->preparer, NULL);
    rig->journal = journal_close(rig->journal);
    rig->text = text_pool_free(rig->text);
}

/* Through the ring. */

static void on_turn_end(void *context)
{
    struct rig *rig = context;
    if (rig->run->rate == 0)
        feed(rig);
    journal_tick(rig->journal);
    if (watch_now_ns() >= rig->run->end_ns && journal_is_idle(rig->journal))
        loop_stop(rig->loop);
}

static void on_pace(struct timer *timer)
{
    struct rig *rig = CONTAINER_OF(timer, struct rig, pace);
    feed(rig);
    timer_set(rig->loop, timer, watch_now_ns() + RUN_PACE_NS);
}

static void on_wake(struct timer *timer)
{
    (void)timer; /* the turn's end ticks the journal */
}

static void loop_through(struct rig *rig)
{
    run_begin(rig->run);
    timer_set(rig->loop, &rig->pace, rig->run->start_ns);
    loop_on_turn_end(rig->loop, on_turn_end, rig);
    loop_run(rig->loop);
    run_finish(rig->run);
    timer_cancel(rig->loop, &rig->pace);
    timer_cancel(rig->loop, &rig->wake);
}

static enum err open_ring(struct rig *rig)
{
    rig->pace.fire = on_pace;
    rig->wake.fire = on_wake;
    TRY(loop_new(&rig->loop));
    TRY(disk_ring_new(rig->loop, &rig->disk));
    return open_journal(rig);
}

static void close_ring(struct rig *rig)
{
    close_journal(rig);
    rig->disk = disk_ring_free(rig->disk);
    rig->loop = loop_free(rig->loop);
}

enum err journal_run_ring(struct storage_run *run)
{
    struct rig rig = {.run = run};
    TRY(open_ring(&rig));
    loop_through(&rig);
    close_ring(&rig);
    return rig.failure;
}

/* Through blocking calls. */

static void nap_until(int64_t until_ns)
{
    int64_t left_ns = until_ns - watch_now_ns();
    struct timespec pause = {.tv_nsec = left_ns < RUN_PACE_NS ? left_ns : RUN_PACE_NS};
    if (left_ns > 0)
        (void)nanosleep(&pause, NULL);
}

static void block_through(struct rig *rig)
{
    struct storage_run *run = rig->run;
    run_begin(run);
    while (rig->failure == ERR_OK &&
           (watch_now_ns() < run->end_ns || !journal_is_idle(rig->journal))) {
        uint64_t commits = run->commits;
        feed(rig);
        rig->wake_ns = 0;
        journal_tick(rig->journal);
        disk_plain_run(rig->disk);
        if (commits == run->commits)
            nap_until(rig->wake_ns ? rig->wake_ns : watch_now_ns() + RUN_PACE_NS);
    }
    run_finish(run);
}

enum err journal_run_plain(struct storage_run *run)
{
    struct rig rig = {.run = run, .disk = disk_plain_new()};
    if (!rig.disk)
        return fault(ERR_NOMEM, "no disk");
    TRY(open_journal(&rig));
    block_through(&rig);
    close_journal(&rig);
    rig.disk = disk_plain_free(rig.disk);
    return rig.failure;
}

/* A file, and no journal. */

struct log_file {
    struct storage_run *run;
    struct text_pool *text;
    int fd;
    uint64_t offset, size; /* it begins anew at `size`; 0: it grows */
};

static enum err append_batch(struct log_file *log, uint64_t count)
{
    static const uint8_t header[APPEND_HEADER_BYTES];
    struct storage_run *run = log->run;
    struct iovec pieces[2 * APPEND_EVENTS_MAX];
    size_t bytes = count * (APPEND_HEADER_BYTES + run->payload_bytes);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t event = run->appended + i;
        struct slice text = text_event(log->text, event % run->streams, event / run->streams);
        pieces[2 * i] = (struct iovec){(void *)header, sizeof header};
        pieces[2 * i + 1] = (struct iovec){(void *)text.data, text.size};
    }
    if (log->size && log->offset + bytes > log->size)
        log->offset = 0;
    ssize_t written = pwritev(log->fd, pieces, (int)(2 * count), (off_t)log->offset);
    if (written != (ssize_t)bytes)
        return fault(ERR_IO, "pwritev: %s", written < 0 ? strerror(errno) : "short");
    log->offset += bytes;
    run->appended += count;
    run->bytes += bytes;
    return ERR_OK;
}

/* Unpaced, as much at a time as a journal's full batch holds. */
static enum err append_due(struct log_file *log)
{
    struct storage_run *run = log->run;
    int64_t began_ns = watch_now_ns();
    uint64_t due = run->rate > 0 ? run_due_count(run) - run->appended
                                 : BATCH_BYTES / (run->payload_bytes + APPEND_HEADER_BYTES);
    if (due == 0)
        return ERR_OK;
    for (uint64_t left = due; left > 0;) {
        uint64_t count = left < APPEND_EVENTS_MAX ? left : APPEND_EVENTS_MAX;
        TRY(append_batch(log, count));
        left -= count;
    }
    if (fdatasync(log->fd) != 0)
        return fault(ERR_IO, "fdatasync: %s", strerror(errno));
    run->commits++;
    histogram_add(&run->commit, watch_now_ns() - began_ns, 1);
    run_durable(run, run->appended);
    return ERR_OK;
}

static enum err append_through(struct log_file *log)
{
    struct storage_run *run = log->run;
    enum err err = ERR_OK;
    run_begin(run);
    while (err == ERR_OK && watch_now_ns() < run->end_ns) {
        int64_t next_ns = watch_now_ns() + run->spacing_ns;
        err = append_due(log);
        if (run->rate > 0)
            nap_until(next_ns);
    }
    run_finish(run);
    return err;
}

/* So that its blocks are written, as those of the journal's slots are. */
static enum err fill_file(struct log_file *log)
{
    CLEANUP(cleanup_free) uint8_t *zeros = calloc(1, BATCH_BYTES);
    if (!zeros)
        return fault(ERR_NOMEM, "a buffer");
    for (uint64_t at = 0; at < log->size; at += BATCH_BYTES)
        if (pwrite(log->fd, zeros, BATCH_BYTES, (off_t)at) != BATCH_BYTES)
            return fault(ERR_IO, "pwrite: %s", strerror(errno));
    return fdatasync(log->fd) == 0 ? ERR_OK : fault(ERR_IO, "fdatasync: %s", strerror(errno));
}

static enum err run_file(struct storage_run *run, uint64_t size)
{
    char name[RUN_PATH_BYTES + 32];
    struct log_file log = {.run = run, .size = size};
    (void)snprintf(name, sizeof name, "%s/log", run->path);
    CLEANUP(cleanup_close) int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault(ERR_IO, "%s: %s", name, strerror(errno));
    log.fd = fd;
    TRY(text_pool_new(run->payload_bytes, &log.text));
    enum err err = fill_file(&log);
    if (err == ERR_OK)
        err = append_through(&log);
    text_pool_free(log.text);
    return err;
}

enum err journal_run_append(struct storage_run *run)
{
    return run_file(run, 0);
}

enum err journal_run_over(struct storage_run *run)
{
    return run_file(run, (uint64_t)BENCH_SEGMENT_BYTES * SEGMENT_COUNT_MIN);
}

/* One event at a time. */

struct bare_file {
    struct disk_file *file;
    uint8_t *bytes;
    uint64_t offset;
};

static enum err open_bare(struct rig *rig, struct bare_file *bare)
{
    char name[RUN_PATH_BYTES + 32];
    (void)snprintf(name, sizeof name, "%s/bare", rig->run->path);
    bare->bytes = aligned_alloc(DISK_ALIGN, LONE_BYTES);
    if (!bare->bytes)
        return fault(ERR_NOMEM, "a buffer");
    memset(bare->bytes, 'x', LONE_BYTES);
    TRY(disk_plain_ops.open(rig->disk, name, BENCH_SEGMENT_BYTES, &bare->file));
    return disk_plain_ops.prefill(bare->file, BENCH_SEGMENT_BYTES);
}

static enum err write_bare(struct bare_file *bare, struct histogram *out)
{
    int64_t began_ns = watch_now_ns();
    bare->offset = (bare->offset + LONE_BYTES) % BENCH_SEGMENT_BYTES;
    TRY(disk_plain_ops.write_now(bare->file, bare->offset, slice_of(bare->bytes, LONE_BYTES)));
    histogram_add(out, watch_now_ns() - began_ns, 1);
    return ERR_OK;
}

static void stop_when_idle(void *context)
{
    struct rig *rig = context;
    journal_tick(rig->journal);
    if (journal_is_idle(rig->journal))
        loop_stop(rig->loop);
}

/* Append one event and wait until it is durable: the commit's histogram has it. */
static void commit_one(struct rig *rig)
{
    if (!append_one(rig))
        return;
    if (rig->loop) {
        loop_on_turn_end(rig->loop, stop_when_idle, rig);
        timer_set(rig->loop, &rig->wake, watch_now_ns());
        loop_run(rig->loop);
        return;
    }
    while (!journal_is_idle(rig->journal) && rig->failure == ERR_OK) {
        journal_tick(rig->journal);
        disk_plain_run(rig->disk);
    }
}

static void print_lone(const char *name, const struct histogram *histogram, const char *end)
{
    printf(" \"%s\": ", name);
    histogram_print(histogram, stdout, false);
    printf("%s\n", end);
}

/* In turn, so that what else the device does strikes all three alike. */
static enum err take_turns(struct rig *ring, struct rig *plain, struct bare_file *bare)
{
    static struct histogram of_bare;
    struct timespec pause = {.tv_nsec = LONE_PAUSE_NS};
    int64_t end_ns = watch_now_ns() + ring->run->duration_ns;
    while (watch_now_ns() < end_ns) {
        commit_one(ring);
        (void)nanosleep(&pause, NULL);
        commit_one(plain);
        (void)nanosleep(&pause, NULL);
        TRY(write_bare(bare, &of_bare));
        (void)nanosleep(&pause, NULL);
    }
    printf("{\"backend\": \"lone\",\n");
    print_lone("ring_us", &ring->run->commit, ",");
    print_lone("plain_us", &plain->run->commit, ",");
    print_lone("bare_us", &of_bare, "}");
    return ring->failure == ERR_OK ? plain->failure : ring->failure;
}

enum err journal_run_lone(struct storage_run *run)
{
    static struct storage_run other;
    struct bare_file bare = {0};
    struct rig ring = {.run = run}, plain = {.run = &other, .disk = disk_plain_new()};
    if (!plain.disk)
        return fault(ERR_NOMEM, "no disk");
    run->rate = 0;
    other = *run;
    TRY(run_folder(&other));
    TRY(open_ring(&ring));
    TRY(open_journal(&plain));
    TRY(open_bare(&plain, &bare));
    enum err err = take_turns(&ring, &plain, &bare);
    disk_plain_ops.close(bare.file);
    free(bare.bytes);
    close_ring(&ring);
    close_journal(&plain);
    plain.disk = disk_plain_free(plain.disk);
    run_remove_folder(&other);
    return err;
}
