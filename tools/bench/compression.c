/* compression — what archived events cost: bytes in the store and CPU of the archiver, for events as
 * OpenAI's chat completions have them, whose text is real: read from files, a few bytes at a time.
 *
 *     files ─▶ words ─▶ chunks of about 300 bytes ─▶ blocks ─▶ store_put_blocks, store_merge ─▶ LMDB
 *
 * A stream is archived as a live one is: so many events a transaction, and a merge at its end. Sizes
 * are those of LMDB's pages in use, of all streams together; CPU is this thread's, the making of
 * chunks and blocks not counted.
 *
 *     tokenlog_compression_bench [--data DIR] [--obfuscation] FILE…                               */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "storage/store.h"

enum {
    TEXT_BYTES_MAX = 8 * 1024 * 1024,
    EVENT_BYTES_MAX = 1024,
    BLOCKS_MAX = 64,
    STREAMS = 200,
    STREAM_EVENTS = 600,
    BATCH_STREAMS = 20,   /* of one transaction */
    TOKEN_BYTES_MEAN = 4, /* of English text, as tokenizers cut it */
    OBFUSCATION_BYTES_MAX = 16,
    PROJECT = 1,
};
static const int64_t START_NS = 1763869331000000000;

struct text {
    char *bytes;
    size_t size, at;
};

struct bench {
    const char *data;
    bool has_obfuscation;
    struct text text;
    uint64_t random;
};

struct outcome {
    uint64_t events, event_bytes, used_bytes;
    int64_t cpu_ns, merge_ns;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "compression: %s: %s\n", what, fault_origin());
    exit(1);
}

static void must(enum err err, const char *what)
{
    if (err != ERR_OK)
        fail(what);
}

static int64_t cpu_now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014): the same runs each time. */
static uint64_t draw(struct bench *bench, uint64_t below)
{
    uint64_t z = bench->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* ---- Events ---- */

/* Printable ASCII of the files, one after another; spaces are not repeated. */
static void read_text(struct text *text, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    for (int byte; text->size < TEXT_BYTES_MAX && (byte = fgetc(file)) != EOF;) {
        bool is_space = byte == ' ' || byte == '\n' || byte == '\t';
        bool was_space = text->size && text->bytes[text->size - 1] == ' ';
        if (is_space && !was_space)
            text->bytes[text->size++] = ' ';
        else if (byte > ' ' && byte < 127 && byte != '"' && byte != '\\')
            text->bytes[text->size++] = (char)byte;
    }
    (void)fclose(file);
}

/* A token: a word with its space before it, or a piece of a long one. */
static struct slice next_token(struct bench *bench)
{
    struct text *text = &bench->text;
    size_t size_max = 2 + (size_t)draw(bench, (TOKEN_BYTES_MEAN - 1) * 2 + 1), size = 1;
    if (text->at + size_max >= text->size)
        text->at = 0;
    while (size < size_max && text->bytes[text->at + size] != ' ')
        size++;
    struct slice token = slice_of(text->bytes + text->at, size);
    text->at += size;
    return token;
}

static size_t make_event(struct bench *bench, uint64_t stream, char out[EVENT_BYTES_MAX])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char obfuscation[64] = "";
    struct slice token = next_token(bench);
    if (bench->has_obfuscation) {
        size_t count = OBFUSCATION_BYTES_MAX - token.size;
        int size = snprintf(obfuscation, sizeof obfuscation, ",\"obfuscation\":\"");
        for (size_t i = 0; i < count; i++)
            obfuscation[size++] = letters[draw(bench, sizeof letters - 1)];
        obfuscation[size++] = '"';
        obfuscation[size] = '\0';
    }
    int size = snprintf(out, EVENT_BYTES_MAX,
        "data: {\"id\":\"chatcmpl-Cf%08llx%08llxQkZrT\",\"object\":\"chat.completion.chunk\","
        "\"created\":%llu,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_560af6e559\",\"choices\":[{\"index\":0,\"delta\":"
        "{\"content\":\"%.*s\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null%s}\n\n",
        (unsigned long long)(stream * 2654435761u & 0xffffffff),
        (unsigned long long)(stream * 40503u & 0xffffffff),
        (unsigned long long)(1763869331 + stream), SLICE_PRINT(token), obfuscation);
    return (size_t)size;
}

/* ---- Archiving ---- */

struct run {
    struct block *blocks[BLOCKS_MAX];
    size_t count;
};

static void run_append(
    struct run *run, uint64_t seq, uint64_t offset, struct slice event, int64_t time_ns)
{
    if (run->count && block_append(run->blocks[run->count - 1], event, time_ns, 0) == ERR_OK)
        return;
    must(block_new(seq, 0, offset, BLOCK_BYTES_MAX, &run->blocks[run->count]), "a block");
    must(block_append(run->blocks[run->count++], event, time_ns, 0), "an event");
}

/* What one transaction archives: a step of several streams. */
struct batch {
    struct run runs[BATCH_STREAMS];
    uint64_t offsets[BATCH_STREAMS];
};

static void put_batch(struct store *store, uint64_t first, const struct batch *batch)
{
    struct store_txn *txn;
    must(store_begin(store, &txn), "begin");
    for (uint64_t i = 0; i < BATCH_STREAMS; i++) {
        struct block_run run = {.blocks = batch->runs[i].blocks, .count = batch->runs[i].count};
        must(store_put_blocks(txn, PROJECT, first + i, &run), "put");
    }
    must(store_commit(txn, 0), "commit");
}

static void merge_batch(struct store *store, uint64_t first)
{
    struct store_txn *txn;
    must(store_begin(store, &txn), "begin");
    for (uint64_t i = 0; i < BATCH_STREAMS; i++) {
        struct block_position from = {0};
        while (store_merge(txn, PROJECT, first + i, &from) == ERR_AGAIN) {
        }
    }
    must(store_commit(txn, 0), "commit");
}

static void make_run(struct bench *bench, struct batch *batch, uint64_t first, size_t index,
    uint64_t seq, uint64_t end)
{
    char event[EVENT_BYTES_MAX];
    struct run *run = &batch->runs[index];
    for (run->count = 0; seq < end; seq++) {
        size_t size = make_event(bench, first + index, event);
        int64_t time_ns = START_NS + (int64_t)(seq * 20000000 + draw(bench, 5000000));
        run_append(run, seq, batch->offsets[index], slice_of(event, size), time_ns);
        batch->offsets[index] += size;
    }
}

static void archive_streams(struct bench *bench, struct store *store, uint64_t first,
    uint64_t step_events, struct outcome *outcome)
{
    struct batch batch = {.offsets = {0}};
    for (uint64_t seq = 0; seq < STREAM_EVENTS; seq += step_events) {
        for (size_t i = 0; i < BATCH_STREAMS; i++)
            make_run(bench, &batch, first, i, seq, seq + step_events);
        int64_t before = cpu_now_ns();
        put_batch(store, first, &batch);
        outcome->cpu_ns += cpu_now_ns() - before;
        for (size_t i = 0; i < BATCH_STREAMS; i++)
            for (size_t k = 0; k < batch.runs[i].count; k++)
                block_unref(batch.runs[i].blocks[k]);
    }
    for (size_t i = 0; i < BATCH_STREAMS; i++)
        outcome->event_bytes += batch.offsets[i];
    outcome->events += (uint64_t)BATCH_STREAMS * STREAM_EVENTS;
    int64_t before = cpu_now_ns();
    if (step_events < STREAM_EVENTS)
        merge_batch(store, first);
    outcome->merge_ns += cpu_now_ns() - before;
}

/* ---- Runs ---- */

static void remove_store(const char *folder)
{
    static const char *const names[] = {"store.lmdb", "store.lmdb-lock"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static struct outcome measure(struct bench *bench, int level, uint64_t step_events)
{
    char folder[400];
    struct outcome outcome = {0};
    struct store *store;
    struct store_size before, after;
    (void)snprintf(folder, sizeof folder, "%s/tokenlog-compression-XXXXXX", bench->data);
    if (!mkdtemp(folder))
        fail("a folder");
    must(store_open(folder, false, level, &store), "the store");
    store_size(store, &before);
    bench->text.at = 0;
    bench->random = 7;
    for (uint64_t first = 1; first <= STREAMS; first += BATCH_STREAMS)
        archive_streams(bench, store, first, step_events, &outcome);
    store_size(store, &after);
    outcome.used_bytes = after.used_bytes - before.used_bytes;
    store_close(store);
    remove_store(folder);
    return outcome;
}

static void print_row(int level, uint64_t step_events, const struct outcome *outcome)
{
    double events = (double)outcome->events;
    (void)printf("%5d  %11llu  %13.1f  %13.2f  %15.2f  %17.2f\n", level,
        (unsigned long long)step_events, (double)outcome->event_bytes / events,
        (double)outcome->used_bytes / events, (double)outcome->cpu_ns / events / 1000,
        (double)outcome->merge_ns / events / 1000);
}

static void run_all(struct bench *bench)
{
    static const int levels[] = {1, 3, 6};
    static const uint64_t steps[] = {STREAM_EVENTS, 150, 50};
    (void)printf(
        "%d streams of %d events; text of %zu bytes\n", STREAMS, STREAM_EVENTS, bench->text.size);
    (void)printf("level  events/step  payload B/ev  on disk B/ev  archive us/event  + merge "
                 "us/event\n");
    for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++)
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct outcome outcome = measure(bench, levels[l], steps[s]);
            print_row(levels[l], steps[s], &outcome);
        }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'}, {"obfuscation", no_argument, NULL, 'o'}, {0}};
    struct bench bench = {.data = "/tmp"};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == '?')
            return 2;
        if (option == 'd')
            bench.data = optarg;
        bench.has_obfuscation |= option == 'o';
    }
    bench.text.bytes = malloc(TEXT_BYTES_MAX);
    if (!bench.text.bytes)
        fail("memory");
    for (int i = optind; i < argc; i++)
        read_text(&bench.text, argv[i]);
    if (bench.text.size < STREAM_EVENTS * TOKEN_BYTES_MEAN) {
        (void)fputs("compression: name files of English text\n", stderr);
        return 2;
    }
    run_all(&bench);
    free(bench.text.bytes);
    return 0;
}
