/* pack — types against readers, skipping what is nested, and claims larger than the input. */
#include "protocol/data/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_values_round_trip(void **state)
{
    uint8_t bytes[128];
    struct pack_writer writer;
    uint32_t count;
    uint64_t number;
    int64_t signed_number;
    bool flag;
    struct slice text;
    (void)state;
    pack_writer_init(&writer, bytes, sizeof bytes);
    pack_array(&writer, 5);
    pack_map(&writer, 70000);
    pack_unsigned(&writer, UINT64_MAX);
    pack_signed(&writer, INT64_MIN);
    pack_bool(&writer, true);
    pack_text(&writer, SLICE("é"));
    pack_bytes(&writer, SLICE_NONE);
    assert_false(writer.is_full);
    struct slice rest = slice_of(bytes, writer.size);
    assert_int_equal(pack_read_array(&rest, &count), ERR_OK);
    assert_int_equal(count, 5);
    assert_int_equal(pack_read_map(&rest, &count), ERR_OK);
    assert_int_equal(count, 70000);
    assert_int_equal(pack_read_unsigned(&rest, UINT64_MAX, &number), ERR_OK);
    assert_true(number == UINT64_MAX);
    assert_int_equal(pack_read_signed(&rest, &signed_number), ERR_OK);
    assert_true(signed_number == INT64_MIN);
    assert_int_equal(pack_read_bool(&rest, &flag), ERR_OK);
    assert_true(flag);
    assert_int_equal(pack_read_bytes(&rest, &text), ERR_OK);
    assert_true(slice_equal(text, SLICE("é")));
    assert_int_equal(pack_read_bytes(&rest, &text), ERR_OK);
    assert_int_equal(text.size, 0);
    assert_int_equal(rest.size, 0);
}

static void assert_skips(struct slice bytes, enum err expected)
{
    struct slice rest = bytes;
    assert_int_equal(pack_skip(&rest), expected);
    assert_int_equal(rest.size, expected == ERR_OK ? 0 : bytes.size);
}

static void test_skip(void **state)
{
    (void)state;
    assert_skips(SLICE("\x07"), ERR_OK);
    assert_skips(SLICE("\x90"), ERR_OK);
    assert_skips(SLICE("\x92\x81\x01\x91\xc0\xa2hi"), ERR_OK);
    assert_skips(SLICE("\xd4\x01\x02"), ERR_OK); /* an extension */
    assert_skips(SLICE("\x92\x01"), ERR_CORRUPT);
    assert_skips(SLICE(""), ERR_CORRUPT);
    assert_skips(SLICE("\xc1"), ERR_CORRUPT);
    assert_skips(SLICE("\xdf\xff\xff\xff\xff\x01\x02"), ERR_CORRUPT);
}

static void test_deep_nesting_does_not_recurse(void **state)
{
    static uint8_t bytes[1 << 20];
    (void)state;
    memset(bytes, 0x91, sizeof bytes);
    assert_skips(slice_of(bytes, sizeof bytes), ERR_CORRUPT);
    bytes[sizeof bytes - 1] = 0xc0;
    assert_skips(slice_of(bytes, sizeof bytes), ERR_OK);
}

static void test_wrong_types_are_corrupt(void **state)
{
    struct slice text = SLICE("\xa1x"), rest = text;
    uint32_t count;
    uint64_t number;
    int64_t signed_number;
    bool flag;
    (void)state;
    assert_int_equal(pack_read_array(&rest, &count), ERR_CORRUPT);
    assert_int_equal(pack_read_map(&rest, &count), ERR_CORRUPT);
    assert_int_equal(pack_read_unsigned(&rest, 9, &number), ERR_CORRUPT);
    assert_int_equal(pack_read_signed(&rest, &signed_number), ERR_CORRUPT);
    assert_int_equal(pack_read_bool(&rest, &flag), ERR_CORRUPT);
    assert_int_equal(rest.size, text.size);
    rest = SLICE("\x0a");
    assert_int_equal(pack_read_unsigned(&rest, 9, &number), ERR_CORRUPT);
    assert_int_equal(rest.size, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_round_trip),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_deep_nesting_does_not_recurse),
        cmocka_unit_test(test_wrong_types_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
