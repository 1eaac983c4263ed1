/* record — round trips, every cut, and arrays that are not ours. */
#include "protocol/data/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct record typical = {
    .type = RECORD_EVENT,
    .flags = RECORD_LAST,
    .number = (uint64_t)7 << 32 | 99,
    .seq = 12345,
    .time_ns = 1763869331123456789,
    .payload = {(const uint8_t *)"data: {}\n\n", 10},
};

static void assert_records_equal(const struct record *a, const struct record *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->flags, b->flags);
    assert_true(a->number == b->number && a->seq == b->seq && a->time_ns == b->time_ns);
    assert_true(slice_equal(a->payload, b->payload));
}

static size_t encode(const struct record *record, uint8_t *out, size_t capacity)
{
    size_t size = 0;
    assert_int_equal(record_encode(record, out, capacity, &size), ERR_OK);
    assert_true(size <= record->payload.size + RECORD_OVERHEAD_BYTES_MAX);
    return size;
}

static void test_round_trip_of_extremes(void **state)
{
    static const uint64_t numbers[] = {0, 127, 128, UINT32_MAX, UINT64_MAX};
    static const int64_t times[] = {0, -1, INT64_MIN, INT64_MAX, 1763869331123456789};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint8_t bytes[64];
        struct record out, in = {.type = RECORD_MAY_SKIP | 0x7f,
                               .flags = 0xff,
                               .number = numbers[i],
                               .seq = numbers[i],
                               .time_ns = times[i]};
        struct slice rest = slice_of(bytes, encode(&in, bytes, sizeof bytes));
        assert_int_equal(record_decode(&rest, &out), ERR_OK);
        assert_int_equal(rest.size, 0);
        assert_records_equal(&in, &out);
        assert_true(record_type_may_be_skipped(out.type));
    }
}

static void test_payload_sizes(void **state)
{
    static uint8_t payload[65536 + 1], bytes[sizeof payload + RECORD_OVERHEAD_BYTES_MAX];
    static const size_t sizes[] = {0, 1, 255, 256, 65535, 65536, 65537};
    (void)state;
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct record out, in = typical;
        in.payload = slice_of(payload, sizes[i]);
        struct slice rest = slice_of(bytes, encode(&in, bytes, sizeof bytes));
        assert_int_equal(record_decode(&rest, &out), ERR_OK);
        assert_records_equal(&in, &out);
    }
}

static void test_several_in_a_row(void **state)
{
    uint8_t bytes[256];
    size_t size = 0;
    (void)state;
    for (uint64_t seq = 0; seq < 4; seq++) {
        struct record in = typical;
        in.seq = seq;
        size += encode(&in, bytes + size, sizeof bytes - size);
    }
    struct slice rest = slice_of(bytes, size);
    for (uint64_t seq = 0; seq < 4; seq++) {
        struct record out;
        assert_int_equal(record_decode(&rest, &out), ERR_OK);
        assert_true(out.seq == seq);
    }
    assert_int_equal(rest.size, 0);
}

static void test_every_capacity_too_small(void **state)
{
    uint8_t bytes[64];
    (void)state;
    size_t whole = encode(&typical, bytes, sizeof bytes);
    for (size_t capacity = 0; capacity < whole; capacity++) {
        size_t size = 4711;
        memset(bytes, 0xA5, sizeof bytes);
        assert_int_equal(record_encode(&typical, bytes, capacity, &size), ERR_LIMIT);
        assert_int_equal(size, 4711);
        for (size_t i = capacity; i < sizeof bytes; i++)
            assert_int_equal(bytes[i], 0xA5);
    }
}

static void test_every_cut_is_corrupt(void **state)
{
    uint8_t bytes[64];
    (void)state;
    size_t whole = encode(&typical, bytes, sizeof bytes);
    for (size_t size = 0; size < whole; size++) {
        struct record out = {.seq = 4711};
        struct slice rest = slice_of(bytes, size);
        assert_int_equal(record_decode(&rest, &out), ERR_CORRUPT);
        assert_int_equal(rest.size, size);
        assert_true(out.seq == 4711);
    }
}

static void assert_decodes(struct slice bytes, enum err expected)
{
    struct record out;
    struct slice rest = bytes;
    assert_int_equal(record_decode(&rest, &out), expected);
    assert_int_equal(rest.size, expected == ERR_OK ? 0 : bytes.size);
}

/* [3, 1, 5, 6, 7, bin "a", …] by hand, so that the format itself is pinned. */
static void test_foreign_arrays(void **state)
{
    (void)state;
    assert_decodes(SLICE("\x96\x03\x01\x05\x06\x07\xc4\x01"
                         "a"),
        ERR_OK);
    assert_decodes(SLICE("\xdc\x00\x06\x03\x01\x05\x06\x07\xc4\x01"
                         "a"),
        ERR_OK);
    assert_decodes(SLICE("\x99\x03\x01\x05\x06\x07\xc4\x01"
                         "a\xc0\xa1x\xcb\x00\x00\x00\x00\x00\x00\x00\x00"),
        ERR_OK);
    assert_decodes(SLICE("\x97\x03\x01\x05\x06\x07\xc4\x01"
                         "a\x90"),
        ERR_CORRUPT);
    assert_decodes(SLICE("\x97\x03\x01\x05\x06\x07\xc4\x01"
                         "a\x80"),
        ERR_CORRUPT);
    assert_decodes(SLICE("\x95\x03\x01\x05\x06\x07"), ERR_CORRUPT);
    assert_decodes(SLICE("\xdd\xff\xff\xff\xff\x03\x01\x05\x06\x07\xc4\x00"), ERR_CORRUPT);
    assert_decodes(SLICE("\x96\xcd\x01\x00\x01\x05\x06\x07\xc4\x00"), ERR_CORRUPT);
    assert_decodes(SLICE("\x96\x03\x01\xff\x06\x07\xc4\x00"), ERR_CORRUPT);
    assert_decodes(SLICE("\x96\x03\x01\x05\x06\x07\xc6\xff\xff\xff\xff"), ERR_CORRUPT);
    assert_decodes(SLICE("\x96\x03\x01\x05\x06\x07\x07"), ERR_CORRUPT);
    assert_decodes(
        SLICE("\x96\x03\x01\x05\x06\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc4\x00"), ERR_CORRUPT);
    assert_decodes(SLICE("\xc1"), ERR_CORRUPT);
    assert_decodes(SLICE("\x86\x03\x01\x05\x06\x07\xc4\x00"), ERR_CORRUPT);
}

static void test_flipped_bits_never_crash(void **state)
{
    uint8_t bytes[64];
    (void)state;
    size_t whole = encode(&typical, bytes, sizeof bytes);
    for (size_t bit = 0; bit < whole * 8; bit++) {
        struct record out;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct slice rest = slice_of(bytes, whole);
        enum err err = record_decode(&rest, &out);
        assert_true(err == ERR_OK || err == ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_extremes),
        cmocka_unit_test(test_payload_sizes),
        cmocka_unit_test(test_several_in_a_row),
        cmocka_unit_test(test_every_capacity_too_small),
        cmocka_unit_test(test_every_cut_is_corrupt),
        cmocka_unit_test(test_foreign_arrays),
        cmocka_unit_test(test_flipped_bits_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
