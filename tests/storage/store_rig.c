#include "tests/storage/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

enum { EVENT_BYTES_MAX = 4 * 1024 * 1024, TIME_NS = 1700000000 };

void store_rig_open(struct store_rig *rig, uint64_t map_bytes)
{
    (void)snprintf(rig->path, sizeof rig->path, "/tmp/tokenlog-store-XXXXXX");
    assert_non_null(mkdtemp(rig->path));
    rig->map_bytes = map_bytes ? map_bytes : STORE_MAP_BYTES;
    rig->store = NULL;
    assert_int_equal(block_codec_new(3, &rig->codec), ERR_OK);
    store_rig_reopen(rig);
}

void store_rig_reopen(struct store_rig *rig)
{
    rig->store = store_close(rig->store);
    assert_int_equal(store_open_sized(rig->path, false, 3, rig->map_bytes, &rig->store), ERR_OK);
}

void store_rig_close(struct store_rig *rig)
{
    static const char *const files[] = {"store.lmdb", "store.lmdb-lock", "ballast", "audit-key"};
    char path[96];
    rig->store = store_close(rig->store);
    rig->codec = block_codec_free(rig->codec);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig->path, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(rig->path), 0);
}

struct id store_rig_id(uint64_t number)
{
    uint8_t random[ID_RANDOM_BYTES] = {(uint8_t)number};
    return id_make(1700000000000 + (int64_t)number, random);
}

void store_rig_event(uint64_t number, uint64_t seq, struct buf *out)
{
    struct sim_random random = sim_random_new(number * 1000003 + seq);
    size_t size = seq % 97 == 96 ? 40000 : sim_random_below(&random, 400);
    uint8_t *at;
    buf_clear(out);
    if (size == 0)
        return;
    assert_int_equal(buf_reserve(out, size, &at), ERR_OK);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number % 2 ? sim_random_next(&random) : 'a' + (i + seq) % 7);
    buf_commit(out, size);
}

uint64_t store_rig_bytes(uint64_t number, uint64_t to)
{
    struct buf event;
    uint64_t bytes = 0;
    buf_init(&event, EVENT_BYTES_MAX);
    for (uint64_t seq = 0; seq < to; seq++) {
        store_rig_event(number, seq, &event);
        bytes += event.size;
    }
    buf_deinit(&event);
    return bytes;
}

/* One frame at the run's end, in a new block if need be. */
static void run_append(struct store_rig_run *run, struct block_position at, uint64_t offset,
    struct slice bytes, uint32_t flags, uint32_t capacity)
{
    int64_t time_ns = TIME_NS + (int64_t)at.seq * 20000000;
    if (run->count && block_append(run->blocks[run->count - 1], bytes, time_ns, flags) == ERR_OK)
        return;
    assert_true(run->count < RIG_RUN_BLOCKS_MAX);
    if (capacity < bytes.size)
        capacity = (uint32_t)bytes.size;
    assert_int_equal(
        block_new(at.seq, at.part, offset, capacity, &run->blocks[run->count]), ERR_OK);
    assert_int_equal(block_append(run->blocks[run->count++], bytes, time_ns, flags), ERR_OK);
}

void store_rig_run(
    struct store_rig_run *run, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity)
{
    struct buf event;
    uint64_t offset = store_rig_bytes(number, from);
    run->count = 0;
    buf_init(&event, EVENT_BYTES_MAX);
    for (struct block_position at = {from, 0}; at.seq < to; at.seq++) {
        store_rig_event(number, at.seq, &event);
        struct slice rest = buf_slice(&event);
        for (at.part = 0; rest.size > FRAME_BYTES_MAX; at.part++) {
            struct slice part = slice_sub(rest, 0, FRAME_BYTES_MAX);
            run_append(run, at, offset, part, FRAME_MORE, capacity);
            rest = slice_sub(rest, FRAME_BYTES_MAX, rest.size);
            offset += FRAME_BYTES_MAX;
        }
        run_append(run, at, offset, rest, 0, capacity);
        offset += rest.size;
    }
    buf_deinit(&event);
}

void store_rig_run_free(struct store_rig_run *run)
{
    for (size_t i = 0; i < run->count; i++)
        block_unref(run->blocks[i]);
    run->count = 0;
}

enum err store_rig_put(
    struct store_txn *txn, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity)
{
    struct store_rig_run made;
    store_rig_run(&made, number, from, to, capacity);
    struct block_run run = {.blocks = made.blocks, .count = made.count};
    enum err err = store_put_blocks(txn, RIG_PROJECT, number, &run);
    store_rig_run_free(&made);
    return err;
}

struct row store_rig_row(uint64_t number, enum stream_state state, uint64_t events)
{
    bool is_live = stream_state_is_live(state);
    return (struct row){.id = store_rig_id(number),
        .number = number,
        .project = RIG_PROJECT,
        .attempt = 1,
        .state = state,
        .project_name = SLICE("default"),
        .method = SLICE("POST"),
        .path = SLICE("/v1/chat/completions"),
        .model = SLICE("mock/gpt"),
        .metadata = SLICE("{\"run\":\"secret\"}"),
        .accepted_ns = TIME_NS,
        .ended_ns = is_live ? 0 : TIME_NS + (int64_t)number,
        .content_length = -1,
        .events = events,
        .bytes = store_rig_bytes(number, events),
        .usage = USAGE_UNKNOWN};
}

enum err store_rig_put_row(struct store_txn *txn, const struct row *row)
{
    struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(row_encode(row, &encoded), ERR_OK);
    enum err err = store_put_row(txn, buf_slice(&encoded));
    buf_deinit(&encoded);
    return err;
}

enum err store_rig_get_row(
    struct store_rig *rig, uint64_t number, struct buf *bytes, struct row *out)
{
    struct id id = store_rig_id(number);
    buf_init(bytes, ROW_BYTES_MAX);
    enum err err = store_get_row(rig->store, RIG_PROJECT, &id, bytes);
    return err == ERR_OK ? row_decode(buf_slice(bytes), out) : err;
}

struct store_txn *store_rig_begin(struct store_rig *rig)
{
    struct store_txn *txn;
    assert_int_equal(store_begin(rig->store, &txn), ERR_OK);
    return txn;
}

void store_rig_commit(struct store_txn *txn, uint64_t absorbed_lsn)
{
    assert_int_equal(store_commit(txn, absorbed_lsn), ERR_OK);
}

void store_rig_write(struct store_rig *rig, uint64_t number, uint64_t events)
{
    struct store_txn *txn = store_rig_begin(rig);
    struct row row = store_rig_row(number, STREAM_COMPLETED, events);
    assert_int_equal(store_rig_put(txn, number, 0, events, BLOCK_BYTES_MAX), ERR_OK);
    assert_int_equal(store_rig_put_row(txn, &row), ERR_OK);
    store_rig_commit(txn, 0);
}

/* The frames of one block, appended to `event`; whole events are compared. */
static void check_block(const struct block *block, uint64_t number, struct block_position *at,
    struct buf *event, struct buf *expected)
{
    uint32_t index;
    assert_int_equal(block_find(block, at->seq, &index), ERR_OK);
    for (; index < block->frame_count; index++) {
        assert_int_equal(buf_append(event, block_frame(block, index)), ERR_OK);
        *at = block_next(block, index);
        if (at->part > 0)
            continue;
        store_rig_event(number, block_seq(block, index), expected);
        assert_true(slice_equal(buf_slice(event), buf_slice(expected)));
        buf_clear(event);
    }
}

void store_rig_check(struct store_rig *rig, uint64_t number, uint64_t events)
{
    struct buf event, expected;
    struct block_position at = {0, 0};
    struct block *block;
    buf_init(&event, EVENT_BYTES_MAX);
    buf_init(&expected, EVENT_BYTES_MAX);
    while (at.seq < events) {
        assert_int_equal(
            store_get_block(rig->store, rig->codec, RIG_PROJECT, number, at.seq, at.part, &block),
            ERR_OK);
        check_block(block, number, &at, &event, &expected);
        block_unref(block);
    }
    assert_int_equal(at.seq, events);
    assert_int_equal(
        store_get_block(rig->store, rig->codec, RIG_PROJECT, number, events, 0, &block),
        ERR_NOTFOUND);
    buf_deinit(&event);
    buf_deinit(&expected);
}

uint64_t store_rig_block_count(struct store_rig *rig, uint64_t number)
{
    struct block_position at = {0, 0};
    struct block *block;
    uint64_t count = 0;
    while (store_get_block(rig->store, rig->codec, RIG_PROJECT, number, at.seq, at.part, &block) ==
           ERR_OK) {
        at = block_next(block, block->frame_count - 1);
        block_unref(block);
        count++;
    }
    return count;
}

struct findings {
    size_t count;
    char *text;
};

static void note_finding(void *context, const struct id *id, const char *what)
{
    struct findings *findings = context;
    (void)id;
    findings->count++;
    (void)snprintf(findings->text, RIG_TEXT_BYTES, "%s", what);
}

size_t store_rig_verify(struct store_rig *rig, char text[RIG_TEXT_BYTES])
{
    struct findings findings = {.text = text};
    text[0] = 0;
    assert_int_equal(store_verify(rig->store, note_finding, NULL, &findings), ERR_OK);
    return findings.count;
}
