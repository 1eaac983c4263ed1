/* walk — a file of two streams: read whole, cut at each byte, and with each byte flipped. */
#include "server/cli/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/own.h"

enum { STREAMS = 2, EVENTS = 3 };

static char path[] = "/tmp/tokenlog-walk-XXXXXX";
static struct buf whole;
static uint64_t ends[STREAMS];

static void add(
    enum transcript_format format, struct buf *stream, const struct transcript_record *record)
{
    assert_int_equal(transcript_write(format, record, stream), ERR_OK);
}

static void add_stream(enum transcript_format format, uint8_t number)
{
    const uint8_t random[ID_RANDOM_BYTES] = {number};
    CLEANUP(buf_deinit) struct buf stream;
    CLEANUP(buf_deinit) struct buf encoded;
    struct row row = {.id = id_make(1700000000000 - number, random),
        .state = STREAM_COMPLETED,
        .project_name = SLICE("default"),
        .events = EVENTS,
        .usage = USAGE_UNKNOWN};
    struct transcript_record end = {.kind = TRANSCRIPT_END,
        .id = row.id,
        .state = SLICE("completed"),
        .event_count = EVENTS,
        .byte_count = EVENTS * 8,
        .has_sha256 = true};
    buf_init(&stream, 65536);
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(row_encode(&row, &encoded), ERR_OK);
    add(format, &stream,
        &(struct transcript_record){.kind = TRANSCRIPT_STREAM, .bytes = buf_slice(&encoded)});
    for (uint64_t seq = 0; seq < EVENTS; seq++) {
        struct transcript_record event = {
            .kind = TRANSCRIPT_EVENT, .seq = seq, .is_more = true, .bytes = SLICE("data")};
        add(format, &stream, &event);
        event.is_more = false;
        add(format, &stream, &event);
    }
    add(format, &stream,
        &(struct transcript_record){.kind = TRANSCRIPT_REQUEST, .bytes = SLICE("{}")});
    sha256(buf_slice(&stream), end.sha256);
    add(format, &stream, &end);
    assert_int_equal(buf_append(&whole, buf_slice(&stream)), ERR_OK);
}

static void build(enum transcript_format format)
{
    buf_init(&whole, 1 << 20);
    for (uint8_t i = 0; i < STREAMS; i++) {
        add_stream(format, i);
        ends[i] = whole.size;
    }
}

static void put(struct slice bytes)
{
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    assert_int_equal(fclose(file), 0);
}

static size_t visited;

static enum err visit(void *context, const struct transcript_record *record)
{
    (void)context;
    visited += record->kind == TRANSCRIPT_EVENT;
    return ERR_OK;
}

/* How many whole streams there are, and what comes after them. */
static size_t walk_all(enum transcript_format format, enum err *last)
{
    struct walk walk;
    struct manifest_entry entry;
    size_t count = 0;
    assert_int_equal(walk_open(path, format, &walk), ERR_OK);
    while ((*last = walk_stream(&walk, visit, NULL, &entry)) == ERR_OK) {
        assert_true(entry.offset == (count ? ends[count - 1] : 0));
        assert_true(entry.offset + entry.size == ends[count]);
        assert_true(entry.events == EVENTS && entry.bytes == EVENTS * 8 && entry.records == 9);
        count++;
    }
    walk_close(&walk);
    return count;
}

static void check(enum transcript_format format)
{
    enum err last;
    build(format);
    put(buf_slice(&whole));
    visited = 0;
    assert_int_equal(walk_all(format, &last), STREAMS);
    assert_int_equal(last, ERR_CLOSED);
    assert_int_equal(visited, STREAMS * EVENTS * 2);
    for (size_t cut = 0; cut < whole.size; cut += 7) {
        put(slice_sub(buf_slice(&whole), 0, cut));
        assert_int_equal(walk_all(format, &last), cut >= ends[0]);
        assert_int_equal(last, cut == 0 || cut == ends[0] ? ERR_CLOSED : ERR_CORRUPT);
    }
    for (size_t at = 0; at < whole.size; at += 5) {
        whole.data[at] ^= 1;
        put(buf_slice(&whole));
        assert_int_equal(walk_all(format, &last), at >= ends[0]);
        assert_int_equal(last, ERR_CORRUPT);
        whole.data[at] ^= 1;
    }
    buf_deinit(&whole);
}

static void test_jsonl(void **state)
{
    (void)state;
    check(TRANSCRIPT_JSONL);
}

static void test_msgpack(void **state)
{
    (void)state;
    check(TRANSCRIPT_MSGPACK);
}

static int set_up(void **state)
{
    CLEANUP(cleanup_close) int fd = mkstemp(path);
    (void)state;
    return fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_msgpack),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
