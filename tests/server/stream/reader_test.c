/* reader — the same bytes from every offset, wherever they lie: in memory, in the store, or on their
 * way from one to the other. */
#include "tests/server/stream/server_rig.h"

enum { EVENTS = 400, EVENT_BYTES_MAX_HERE = 40000 };

static size_t event_size(uint64_t seq)
{
    return seq % 97 == 5 ? EVENT_BYTES_MAX_HERE : 10 + (size_t)(seq * 37 % 300);
}

static struct slice event_of(uint64_t seq, uint8_t *out)
{
    size_t size = event_size(seq);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(seq * 131 + i * 7);
    return slice_of(out, size);
}

static void append(struct stream *stream, uint64_t count)
{
    static uint8_t bytes[EVENT_BYTES_MAX_HERE];
    for (uint64_t i = 0; i < count; i++) {
        struct tail *tail = stream_tail(stream);
        assert_int_equal(tail_append(tail, event_of(tail_events(tail), bytes), 1), ERR_OK);
    }
}

static void expect_events(const struct rig_reader *reader, uint64_t from, uint64_t to)
{
    static uint8_t bytes[EVENT_BYTES_MAX_HERE];
    size_t at = 0;
    assert_int_equal(reader->events, to - from);
    for (uint64_t seq = from; seq < to; seq++) {
        struct slice event = event_of(seq, bytes);
        assert_true(at + event.size <= reader->bytes.size);
        assert_memory_equal(reader->bytes.data + at, event.data, event.size);
        at += event.size;
    }
    assert_int_equal(at, reader->bytes.size);
}

/* Readers at several offsets: some from before the first event, some join as it goes on. */
static void test_every_offset_while_it_moves(void **state)
{
    (void)state;
    enum { READERS = EVENTS / 10 };
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    struct rig_reader readers[READERS];
    for (int i = 0; i < READERS; i++) {
        append(stream, 10);
        RIG_UNTIL(rig, stream_watermark(stream) == (uint64_t)(i + 1) * 10);
        rig_reader_open(rig, stream, (uint64_t)i * 7 % (uint64_t)(i * 10 + 1), true, &readers[i]);
    }
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    for (int i = 0; i < READERS; i++) {
        RIG_UNTIL(rig, readers[i].err != ERR_AGAIN);
        assert_int_equal(readers[i].err, ERR_CLOSED);
        expect_events(&readers[i], (uint64_t)i * 7 % (uint64_t)(i * 10 + 1), EVENTS);
        rig_reader_close(&readers[i]);
    }
    rig_settle(rig, stream);
    for (uint64_t from = 0; from <= EVENTS; from += 13) {
        struct rig_reader reader;
        rig_reader_open(rig, stream, from, true, &reader);
        RIG_UNTIL(rig, reader.err != ERR_AGAIN);
        assert_int_equal(reader.err, ERR_CLOSED);
        expect_events(&reader, from, EVENTS);
        rig_reader_close(&reader);
    }
    stream_unref(stream);
    rig_free(rig);
}

/* A reader that begins in memory and is slow finds the rest in the store, frame by frame. */
static void test_from_memory_to_store(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    append(stream, EVENTS);
    RIG_UNTIL(rig, stream_watermark(stream) == EVENTS);
    struct rig_reader slow = {.rig = rig};
    buf_init(&slow.bytes, 1 << 30);
    struct reader_view view;
    assert_int_equal(reader_new(stream_ref(stream), 0, true, (void (*)(void *))rig_reader_pull,
                         &slow, &slow.reader),
        ERR_OK);
    assert_int_equal(reader_peek(slow.reader, &view), ERR_OK);
    assert_int_equal(buf_append(&slow.bytes, block_frame(view.block, view.index)), ERR_OK);
    slow.events = 1;
    reader_take(slow.reader, view.index + 1);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    rig_settle(rig, stream);
    rig_reader_pull(&slow);
    RIG_UNTIL(rig, slow.err != ERR_AGAIN);
    assert_int_equal(slow.err, ERR_CLOSED);
    expect_events(&slow, 0, EVENTS);
    assert_int_equal(reader_seq(slow.reader), EVENTS);
    rig_reader_close(&slow);
    stream_unref(stream);
    rig_free(rig);
}

/* What becomes visible after a snapshot was asked for is no part of it, even in the same block. */
static void test_snapshot(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    append(stream, 3);
    RIG_UNTIL(rig, stream_watermark(stream) == 3);
    struct rig_reader reader = {.rig = rig};
    buf_init(&reader.bytes, 1 << 20);
    assert_int_equal(reader_new(stream_ref(stream), 1, false, (void (*)(void *))rig_reader_pull,
                         &reader, &reader.reader),
        ERR_OK);
    append(stream, 2);
    RIG_UNTIL(rig, stream_watermark(stream) == 5);
    rig_reader_pull(&reader);
    assert_int_equal(reader.err, ERR_CLOSED);
    expect_events(&reader, 1, 3);
    rig_reader_close(&reader);
    rig_reader_open(rig, stream, 5, false, &reader);
    assert_int_equal(reader.err, ERR_CLOSED);
    expect_events(&reader, 5, 5);
    rig_reader_close(&reader);
    rig_end_tail(rig, stream, STREAM_STOPPED);
    stream_unref(stream);
    rig_free(rig);
}

static void test_offsets_nobody_was_given(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    struct reader *reader;
    append(stream, 2);
    RIG_UNTIL(rig, stream_watermark(stream) == 2);
    for (uint64_t from = 3; from; from *= 3) {
        assert_int_equal(reader_new(stream, from, true, NULL, NULL, &reader), ERR_LIMIT);
        if (from > UINT64_MAX / 3)
            break;
    }
    assert_int_equal(reader_new(stream, UINT64_MAX, true, NULL, NULL, &reader), ERR_LIMIT);
    rig_end_tail(rig, stream, STREAM_STOPPED);
    stream_unref(stream);
    rig_free(rig);
}

/* Closed while the store is being read, and just after: nothing is called back, nothing leaks. */
static void test_closed_while_reading(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    append(stream, EVENTS);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    rig_settle(rig, stream);
    for (int turns = 0; turns < 4; turns++) {
        struct rig_reader reader;
        rig_reader_open(rig, stream, 0, true, &reader);
        assert_int_equal(reader.err, ERR_AGAIN);
        rig_turns(rig, turns);
        rig_reader_close(&reader);
        uint64_t wakes = reader.wakes;
        rig_turns(rig, 5);
        assert_int_equal(reader.wakes, wakes);
    }
    stream_unref(stream);
    rig_free(rig);
}

/* A reader at the watermark is shown nothing before it is durable, and then is woken. */
static void test_woken_by_what_is_durable(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    struct rig_reader reader;
    rig_turns(rig, 5);
    rig_reader_open(rig, stream, 0, true, &reader);
    rig->is_disk_held = true;
    append(stream, 3);
    rig_turns(rig, 20);
    assert_int_equal(reader.events, 0);
    rig->is_disk_held = false;
    RIG_UNTIL(rig, reader.events == 3);
    rig_end_tail(rig, stream, STREAM_COMPLETED);
    RIG_UNTIL(rig, reader.err == ERR_CLOSED);
    rig_reader_close(&reader);
    stream_unref(stream);
    rig_free(rig);
}

/* When nothing can be made durable any more, nobody waits for it. */
static void test_stuck(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct stream *stream = rig_create(rig, "", 0);
    struct rig_reader reader;
    append(stream, 2);
    RIG_UNTIL(rig, stream_watermark(stream) == 2);
    rig_reader_open(rig, stream, 0, true, &reader);
    assert_int_equal(reader.err, ERR_AGAIN);
    hub_stuck(rig->hub);
    assert_int_equal(reader.err, ERR_FULL);
    expect_events(&reader, 0, 2);
    rig_reader_close(&reader);
    rig_end_tail(rig, stream, STREAM_FAILED);
    stream_unref(stream);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_offset_while_it_moves),
        cmocka_unit_test(test_from_memory_to_store),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_offsets_nobody_was_given),
        cmocka_unit_test(test_closed_while_reading),
        cmocka_unit_test(test_woken_by_what_is_durable),
        cmocka_unit_test(test_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
