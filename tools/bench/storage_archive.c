/* storage_archive — see storage_archive.h. */
#include "tools/bench/storage_archive.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "storage/storage.h"
#include "tools/bench/storage_text.h"
#include "tools/bench/watch.h"

enum {
    PROJECT = 1,
    STREAM_EVENTS = 2000,
    STREAM_BLOCKS_MAX = 64,
    READ_STREAMS = 400,
    COLD_STREAMS = 24,
    NOISE_BYTES = 15000, /* of events that do not compress: a store is full of them sooner */
    CAP_BYTES = 256 * 1024 * 1024,
    CAP_STREAMS = 2000, /* so that none of them ships blocks by itself */
    ROUNDS = 3,
    READ_BYTES = 4 * 1024 * 1024,
};

/* ---- A store ---- */

struct builder {
    struct text_pool *text;
    struct store *store;
    struct store_txn *txn;
    bool is_noise;
    uint64_t random;
    uint8_t noise[NOISE_BYTES];
};

static void make_noise(struct builder *builder)
{
    for (size_t at = 0; at + 8 <= sizeof builder->noise; at += 8) {
        builder->random = builder->random * 6364136223846793005u + 1442695040888963407u;
        memcpy(builder->noise + at, &builder->random, 8);
    }
}

static struct slice next_event(struct builder *builder, uint64_t stream, uint64_t seq)
{
    if (!builder->is_noise)
        return text_event(builder->text, stream, seq);
    make_noise(builder);
    return slice_of(builder->noise, sizeof builder->noise);
}

static enum err append_event(struct block **blocks, size_t *count, uint64_t seq, struct slice event)
{
    struct block *last = *count ? blocks[*count - 1] : NULL;
    if (last && block_append(last, event, (int64_t)seq * 20000000, 0) == ERR_OK)
        return ERR_OK;
    ASSERT(*count < STREAM_BLOCKS_MAX);
    uint64_t offset = last ? last->first_offset + last->size : 0;
    TRY(block_new(seq, 0, offset, BLOCK_BYTES_MAX, &blocks[*count]));
    return block_append(blocks[(*count)++], event, (int64_t)seq * 20000000, 0);
}

static enum err put_stream(struct builder *builder, uint64_t stream, uint64_t events)
{
    struct block *blocks[STREAM_BLOCKS_MAX];
    size_t count = 0;
    enum err err = ERR_OK;
    for (uint64_t seq = 0; seq < events && err == ERR_OK; seq++)
        err = append_event(blocks, &count, seq, next_event(builder, stream, seq));
    struct block_run run = {.blocks = blocks, .count = count};
    if (err == ERR_OK)
        err = store_put_blocks(builder->txn, PROJECT, stream, &run);
    while (count > 0)
        block_unref(blocks[--count]);
    return err;
}

/* In transactions as the archiver's, until there are `streams` or the store has `size_bytes`. */
static enum err build_streams(struct builder *builder, uint64_t streams, uint64_t size_bytes)
{
    uint64_t events = builder->is_noise ? 128 : STREAM_EVENTS, put = 0;
    for (uint64_t stream = 1; stream <= streams && put < size_bytes;) {
        TRY(store_begin(builder->store, &builder->txn));
        while (stream <= streams && store_txn_bytes(builder->txn) < ARCHIVE_TXN_BYTES_MAX / 2)
            TRY(put_stream(builder, stream++, events));
        put += store_txn_bytes(builder->txn);
        TRY(store_commit(builder->txn, 0));
    }
    return ERR_OK;
}

static enum err build_store(const struct storage_run *run, bool is_noise, uint64_t streams)
{
    static struct builder builder;
    builder = (struct builder){.is_noise = is_noise, .random = 1};
    TRY(text_pool_new(run->payload_bytes, &builder.text));
    TRY(store_open(run->path, false, run->zstd_level, &builder.store));
    enum err err = build_streams(&builder, streams, is_noise ? run->size_bytes : UINT64_MAX);
    store_close(builder.store);
    text_pool_free(builder.text);
    return err;
}

/* ---- Reading ---- */

static enum err read_stream(
    struct store *store, struct block_codec *codec, uint64_t stream, uint64_t *bytes)
{
    for (uint64_t seq = 0; seq < STREAM_EVENTS;) {
        struct block *block;
        TRY(store_get_block(store, codec, PROJECT, stream, seq, 0, &block));
        *bytes += block->size;
        seq = block->first_seq + block->frame_count;
        block_unref(block);
    }
    return ERR_OK;
}

static enum err read_warm(struct store *store, struct block_codec *codec, double *gigabytes_per_s)
{
    uint64_t bytes = 0;
    int64_t cpu_us = 0;
    for (int round = 0; round <= ROUNDS; round++) { /* the first one warms */
        bytes = 0;
        cpu_us = watch_thread_cpu_us();
        for (uint64_t stream = 1; stream <= READ_STREAMS; stream++)
            TRY(read_stream(store, codec, stream, &bytes));
        cpu_us = watch_thread_cpu_us() - cpu_us;
    }
    *gigabytes_per_s = (double)bytes / (double)(cpu_us ? cpu_us : 1) / 1000;
    return ERR_OK;
}

static int compare_counts(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

/* Of each stream the caches were dropped before. What others read meanwhile counts, too: the median
 * of many tells. */
static enum err read_cold(
    const struct storage_run *run, struct block_codec *codec, uint64_t *reads, uint64_t *bytes)
{
    uint64_t read_counts[COLD_STREAMS], byte_counts[COLD_STREAMS];
    for (uint64_t i = 0; i < COLD_STREAMS; i++) {
        struct store *store;
        struct run_counts before, after;
        uint64_t got = 0;
        TRY(store_open(run->path, true, run->zstd_level, &store));
        run_drop_caches(run->path);
        run_count(run->path, &before);
        enum err err = read_stream(store, codec, 1 + i * (READ_STREAMS / COLD_STREAMS), &got);
        run_count(run->path, &after);
        store_close(store);
        TRY(err);
        read_counts[i] = after.device_reads - before.device_reads;
        byte_counts[i] = after.own_read_bytes - before.own_read_bytes;
    }
    qsort(read_counts, COLD_STREAMS, sizeof *read_counts, compare_counts);
    qsort(byte_counts, COLD_STREAMS, sizeof *byte_counts, compare_counts);
    *reads = read_counts[COLD_STREAMS / 2];
    *bytes = byte_counts[COLD_STREAMS / 2];
    return ERR_OK;
}

enum err archive_run_read(struct storage_run *run)
{
    struct store *store;
    struct block_codec *codec;
    double gigabytes_per_s = 0;
    uint64_t reads = 0, bytes = 0;
    TRY(build_store(run, false, READ_STREAMS));
    TRY(block_codec_new(run->zstd_level, &codec));
    enum err err = store_open(run->path, true, run->zstd_level, &store);
    if (err == ERR_OK) {
        err = read_warm(store, codec, &gigabytes_per_s);
        store_close(store);
    }
    if (err == ERR_OK)
        err = read_cold(run, codec, &reads, &bytes);
    block_codec_free(codec);
    TRY(err);
    printf("{\"backend\": \"read\", \"streams\": %d, \"stream_events\": %d,\n"
           " \"warm_gb_per_s\": %.3f, \"cold_device_reads\": %llu, \"cold_bytes\": %llu}\n",
        READ_STREAMS, STREAM_EVENTS, gigabytes_per_s, (unsigned long long)reads,
        (unsigned long long)bytes);
    return ERR_OK;
}

/* ---- A journal at its cap ---- */

struct program {
    struct storage_host host;
    struct disk *disk;
    struct storage_config config;
    struct storage_report report;
    struct storage *storage;
};

static int64_t host_now(void *context)
{
    (void)context;
    return watch_now_ns();
}

static void host_post(void *context, struct task *task)
{
    (void)context, (void)task; /* no thread posts */
}

static void host_wake_at(void *context, int64_t monotonic_ns)
{
    (void)context, (void)monotonic_ns; /* it is ticked all the time */
}

static void host_log(void *context, int level, const char *message)
{
    (void)context;
    if (level < 2)
        fprintf(stderr, "storage_bench: %s\n", message);
}

/* Without threads the archiver does nothing that it is not told to: the journal stays as it is. */
static enum err program_open(struct program *program, const struct storage_run *run)
{
    program->host =
        (struct storage_host){program, host_now, host_now, host_post, host_wake_at, host_log};
    program->config = (struct storage_config){.path = run->path,
        .disk = program->disk,
        .host = &program->host,
        .segment_bytes = SEGMENT_BYTES_DEFAULT,
        .segment_count = SEGMENT_COUNT_DEFAULT,
        .archive_after_ns = INT64_C(3600) * 1000000000,
        .retention_step_ns = INT64_C(1000000000),
        .tombstone_ttl_s = 86400,
        .zstd_level = run->zstd_level,
        .has_no_threads = true};
    return storage_open(&program->config, NULL, &program->report, NULL, &program->storage);
}

static enum err create_tails(struct program *program, struct tail *tails[CAP_STREAMS])
{
    uint32_t project;
    TRY(storage_project(program->storage, slice_text("default"), &project));
    for (uint64_t i = 0; i < CAP_STREAMS; i++) {
        struct row row = {.state = STREAM_STREAMING,
            .project = project,
            .project_name = slice_text("default"),
            .accepted_ns = (int64_t)i + 1,
            .content_length = -1,
            .usage = USAGE_UNKNOWN};
        memcpy(row.id.bytes, &i, sizeof i);
        TRY(storage_create(program->storage, &row, SLICE_NONE, &tails[i]));
    }
    return ERR_OK;
}

static enum err fill_journal(struct program *program, const struct storage_run *run)
{
    static struct tail *tails[CAP_STREAMS];
    struct text_pool *text;
    struct storage_status status = {0};
    TRY(create_tails(program, tails));
    TRY(text_pool_new(run->payload_bytes, &text));
    enum err err = ERR_OK;
    for (uint64_t n = 0; err == ERR_OK && status.journal.commit_bytes < CAP_BYTES; n++) {
        uint64_t stream = n % CAP_STREAMS, seq = n / CAP_STREAMS;
        err = tail_append(tails[stream], text_event(text, stream, seq), (int64_t)n + 1);
        if (err == ERR_OK && n % CAP_STREAMS != CAP_STREAMS - 1)
            continue;
        err = ERR_OK;
        storage_tick(program->storage);
        disk_plain_run(program->disk);
        storage_status(program->storage, &status);
    }
    while (err == ERR_OK && status.journal.backlog_bytes > 0) {
        storage_tick(program->storage);
        disk_plain_run(program->disk);
        storage_status(program->storage, &status);
    }
    text_pool_free(text);
    return err;
}

static enum err make_journal(struct program *program, const struct storage_run *run)
{
    TRY(run_fill_slots(run, SEGMENT_BYTES_DEFAULT, SEGMENT_COUNT_DEFAULT));
    enum err err = program_open(program, run);
    if (err == ERR_OK)
        err = fill_journal(program, run);
    program->storage = storage_abandon(program->storage);
    return err;
}

/* ---- Opening it ---- */

static enum err read_slot(const char *path, uint64_t *bytes)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    CLEANUP(cleanup_free) void *buffer = aligned_alloc(DISK_ALIGN, READ_BYTES);
    ssize_t got;
    if (fd < 0 || !buffer)
        return fault(ERR_IO, "%s: %m", path);
    while ((got = read(fd, buffer, READ_BYTES)) > 0)
        *bytes += (uint64_t)got;
    return got == 0 ? ERR_OK : fault(ERR_IO, "%s: %m", path);
}

/* As many slots as the scan will read. */
static enum err read_slots(const struct storage_run *run, uint64_t journal_bytes, double *mb_per_s)
{
    char path[RUN_PATH_BYTES + 32];
    uint64_t bytes = 0;
    int64_t began_ns = watch_now_ns();
    for (unsigned i = 0; i < SEGMENT_COUNT_DEFAULT && bytes < journal_bytes; i++) {
        (void)snprintf(path, sizeof path, "%s/journal-%02u", run->path, i);
        TRY(read_slot(path, &bytes));
    }
    *mb_per_s = (double)bytes * 1000 / (double)(watch_now_ns() - began_ns);
    return ERR_OK;
}

static enum err skip_record(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record, (void)lsn;
    return ERR_OK;
}

static enum err scan_journal(
    struct program *program, const struct storage_run *run, double *mb_per_s)
{
    struct store *store;
    struct journal *journal = NULL;
    struct journal_recovery found = {0};
    struct journal_config config = {.disk = program->disk,
        .path = run->path,
        .segment_bytes = SEGMENT_BYTES_DEFAULT,
        .segment_count = SEGMENT_COUNT_DEFAULT,
        .is_read_only = true,
        .now_ns = host_now};
    TRY(store_open(run->path, true, run->zstd_level, &store));
    store_uuid(store, config.store_uuid);
    store_close(store);
    int64_t began_ns = watch_now_ns();
    TRY(journal_open(&config, 0, skip_record, &found, &journal));
    int64_t took_ns = watch_now_ns() - began_ns;
    journal_close(journal);
    *mb_per_s = (double)(found.segments * SEGMENT_BYTES_DEFAULT) * 1000 / (double)took_ns;
    return ERR_OK;
}

static enum err open_once(struct program *program, const struct storage_run *run, double *ms)
{
    run_drop_caches(run->path);
    int64_t began_ns = watch_now_ns();
    enum err err = program_open(program, run);
    *ms = (double)(watch_now_ns() - began_ns) / 1e6;
    program->storage = storage_abandon(program->storage);
    return err;
}

static enum err measure_opening(struct program *program, const struct storage_run *run)
{
    const struct journal_recovery *found = &program->report.journal;
    printf("{\"backend\": \"%s\", \"store_bytes\": %llu, \"rounds\": [", run->name,
        (unsigned long long)run->size_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        double read_mb = 0, scan_mb = 0, ready_ms = 0;
        TRY(read_slots(run, CAP_BYTES, &read_mb));
        TRY(scan_journal(program, run, &scan_mb));
        TRY(open_once(program, run, &ready_ms));
        printf("%s\n {\"read_mb_per_s\": %.0f, \"scan_mb_per_s\": %.0f, \"ready_ms\": %.0f,"
               " \"journal_bytes\": %llu, \"records\": %llu, \"streams\": %llu}",
            round ? "," : "", read_mb, scan_mb, ready_ms, (unsigned long long)found->bytes,
            (unsigned long long)found->records, (unsigned long long)program->report.live_streams);
    }
    printf("]}\n");
    return ERR_OK;
}

static enum err run_opening(struct storage_run *run)
{
    struct program program = {.disk = disk_plain_new()};
    if (!program.disk)
        return fault(ERR_NOMEM, "a disk");
    if (run->size_bytes)
        TRY(build_store(run, true, UINT64_MAX));
    enum err err = make_journal(&program, run);
    if (err == ERR_OK)
        err = measure_opening(&program, run);
    program.disk = disk_plain_free(program.disk);
    return err;
}

enum err archive_run_restart(struct storage_run *run)
{
    return run_opening(run);
}

enum err archive_run_recover(struct storage_run *run)
{
    run->size_bytes = 0;
    return run_opening(run);
}
