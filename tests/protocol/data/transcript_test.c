/* transcript — each kind of record in both forms: round trips, every cut, every flipped byte. */
#include "protocol/data/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

enum { KINDS = 7 };

static struct buf encoded;

static void fill(struct transcript_record records[KINDS])
{
    struct row row = {.number = 7,
        .project = 2,
        .state = STREAM_COMPLETED,
        .project_name = SLICE("harbour"),
        .model = SLICE("m\"odel"),
        .metadata = SLICE("{\"a\":1}"),
        .events = 3,
        .content_length = -1,
        .usage = USAGE_UNKNOWN};
    const uint8_t random[ID_RANDOM_BYTES] = {1, 2, 3};
    row.id = id_make(1700000000000, random);
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(row_encode(&row, &encoded), ERR_OK);
    records[0] =
        (struct transcript_record){.kind = TRANSCRIPT_STREAM, .bytes = buf_slice(&encoded)};
    records[1] = (struct transcript_record){.kind = TRANSCRIPT_EVENT,
        .seq = UINT64_MAX,
        .time_ns = 1700000000123456789,
        .bytes = SLICE("data: {\"x\":\"\xc3\xa9\"}\n\n\0\x01")};
    records[2] = (struct transcript_record){.kind = TRANSCRIPT_EVENT,
        .seq = 1,
        .is_more = true,
        .time_ns = -5,
        .bytes = SLICE("\xff\xfe no text")};
    records[3] = (struct transcript_record){.kind = TRANSCRIPT_EVENT, .time_ns = 1};
    records[4] = (struct transcript_record){
        .kind = TRANSCRIPT_REQUEST, .seq = 65536, .bytes = SLICE("{\"model\":1}")};
    records[5] = (struct transcript_record){.kind = TRANSCRIPT_END,
        .id = row.id,
        .state = SLICE("failed"),
        .reason = SLICE("upstream_reset"),
        .event_count = 3,
        .byte_count = 1234567890123,
        .has_sha256 = true,
        .sha256 = {0xab, 1}};
    records[6] = (struct transcript_record){
        .kind = TRANSCRIPT_END, .id = row.id, .state = SLICE("completed")};
}

static void assert_same(const struct transcript_record *a, const struct transcript_record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(slice_equal(a->bytes, b->bytes));
    assert_true(slice_equal(a->state, b->state));
    assert_true(slice_equal(a->reason, b->reason));
    assert_true(id_equal(&a->id, &b->id));
    assert_true(a->seq == b->seq && a->time_ns == b->time_ns && a->is_more == b->is_more);
    assert_true(a->event_count == b->event_count && a->byte_count == b->byte_count);
    assert_true(a->has_sha256 == b->has_sha256);
    assert_memory_equal(a->sha256, b->sha256, SHA256_BYTES);
}

static void check_all(enum transcript_format format)
{
    struct transcript_record records[KINDS], back;
    CLEANUP(buf_deinit) struct buf text;
    CLEANUP(buf_deinit) struct buf scratch;
    buf_init(&text, TRANSCRIPT_RECORD_BYTES_MAX);
    buf_init(&scratch, TRANSCRIPT_RECORD_BYTES_MAX);
    fill(records);
    for (size_t i = 0; i < KINDS; i++)
        assert_int_equal(transcript_write(format, &records[i], &text), ERR_OK);
    struct slice input = buf_slice(&text);
    for (size_t i = 0; i < KINDS; i++) {
        struct slice before = input, rest;
        assert_int_equal(transcript_read(format, &input, &scratch, &back), ERR_OK);
        assert_same(&back, &records[i]);
        size_t size = before.size - input.size;
        for (size_t cut = 0; cut < size; cut++) {
            rest = slice_sub(before, 0, cut);
            assert_int_equal(transcript_read(format, &rest, &scratch, &back), ERR_CORRUPT);
            assert_int_equal(rest.size, cut);
        }
    }
    assert_int_equal(input.size, 0);
    for (size_t i = 0; i < text.size; i++) { /* whatever it says, it is read within its bounds */
        text.data[i] ^= 0x41;
        input = buf_slice(&text);
        while (input.size && transcript_read(format, &input, &scratch, &back) == ERR_OK)
            continue;
        text.data[i] ^= 0x41;
    }
    buf_deinit(&encoded);
}

static void test_jsonl(void **state)
{
    (void)state;
    check_all(TRANSCRIPT_JSONL);
}

static void test_msgpack(void **state)
{
    (void)state;
    check_all(TRANSCRIPT_MSGPACK);
}

static void test_shape_of_a_line(void **state)
{
    struct transcript_record record = {
        .kind = TRANSCRIPT_EVENT, .seq = 4, .time_ns = 1500000000, .bytes = SLICE("data: a\n\n")};
    CLEANUP(buf_deinit) struct buf text;
    (void)state;
    buf_init(&text, 4096);
    assert_int_equal(transcript_write(TRANSCRIPT_JSONL, &record, &text), ERR_OK);
    assert_true(slice_equal(buf_slice(&text),
        SLICE("{\"seq\":4,\"time\":\"1970-01-01T00:00:01.500000000Z\",\"data\":\"data: a\\n\\n\"}"
              "\n")));
}

/* The longest piece of what escapes worst fits a record. */
static void test_bounds(void **state)
{
    static uint8_t piece[TRANSCRIPT_PIECE_BYTES_MAX + 1];
    struct transcript_record record = {.kind = TRANSCRIPT_EVENT};
    CLEANUP(buf_deinit) struct buf text;
    (void)state;
    buf_init(&text, TRANSCRIPT_RECORD_BYTES_MAX);
    record.bytes = slice_of(piece, TRANSCRIPT_PIECE_BYTES_MAX);
    assert_int_equal(transcript_write(TRANSCRIPT_JSONL, &record, &text), ERR_OK);
    buf_clear(&text);
    record.bytes = slice_of(piece, sizeof piece);
    assert_int_equal(transcript_write(TRANSCRIPT_MSGPACK, &record, &text), ERR_LIMIT);
}

static void test_formats(void **state)
{
    enum transcript_format format;
    (void)state;
    assert_int_equal(transcript_format_parse(SLICE("msgpack"), &format), ERR_OK);
    assert_string_equal(transcript_format_name(format), "msgpack");
    assert_int_equal(transcript_format_parse(SLICE("jsonl"), &format), ERR_OK);
    assert_string_equal(transcript_format_name(format), "jsonl");
    assert_int_equal(transcript_format_parse(SLICE("csv"), &format), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_msgpack),
        cmocka_unit_test(test_shape_of_a_line),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
