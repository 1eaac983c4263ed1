#include "protocol/base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* One test asks for memory that cannot be had: the sanitizers are to answer NULL, as malloc does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void comparing(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_NONE, SLICE("")));
    assert_true(slice_equal(slice_text("ab"), SLICE("ab")));
    assert_false(slice_equal(SLICE("ab"), SLICE("aB")));
    assert_true(slice_equal_nocase(SLICE("aB-z@"), SLICE("Ab-Z@")));
    assert_false(slice_equal_nocase(SLICE("@"), SLICE("`"))); /* 0x20 apart, but no letters */
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    assert_true(slice_has_prefix(SLICE("abc"), SLICE("ab")));
    assert_true(slice_has_prefix(SLICE_NONE, SLICE("")));
    assert_false(slice_has_prefix(SLICE("a"), SLICE("ab")));
    assert_null(slice_text(NULL).data);
}

static void finding(void **state)
{
    (void)state;
    assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
    assert_int_equal(slice_find(SLICE("ab"), SLICE("abc")), -1);
    assert_int_equal(slice_find(SLICE_NONE, SLICE("")), 0);
    assert_int_equal(slice_find(SLICE_NONE, SLICE("a")), -1);
    assert_int_equal(slice_find_byte(SLICE("ab\0c"), 0), 2);
    assert_int_equal(slice_find_byte(SLICE_NONE, 0), -1);
}

static void parts(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_sub(SLICE("abcd"), 1, 2), SLICE("bc")));
    assert_true(slice_equal(slice_sub(SLICE("abcd"), 2, SIZE_MAX), SLICE("cd")));
    assert_int_equal(slice_sub(SLICE("abcd"), 4, 1).size, 0);
    assert_int_equal(slice_sub(SLICE("abcd"), SIZE_MAX, SIZE_MAX).size, 0);
    assert_true(slice_equal(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_int_equal(slice_trim(SLICE(" \t ")).size, 0);
    assert_int_equal(slice_trim(SLICE_NONE).size, 0);
}

static void numbers(void **state)
{
    (void)state;
    static const struct slice bad[] = {SLICE(""), SLICE("-1"), SLICE("+1"), SLICE(" 1"),
        SLICE("1 "), SLICE("0x1"), SLICE("18446744073709551616"), SLICE("99999999999999999999"),
        SLICE("1\0")};
    uint64_t value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(slice_u64(bad[i], &value), ERR_INVALID);
    assert_int_equal(value, 7);
    assert_int_equal(slice_u64(SLICE("0007"), &value), ERR_OK);
    assert_int_equal(value, 7);
    assert_int_equal(slice_u64(SLICE("18446744073709551615"), &value), ERR_OK);
    assert_true(value == UINT64_MAX);
}

static void utf8(void **state)
{
    (void)state;
    static const struct slice good[] = {SLICE(""), SLICE("plain ASCII, more than eight bytes"),
        SLICE("\0"), SLICE("\x7f"), SLICE("\xC2\x80"), SLICE("\xDF\xBF"), SLICE("\xE0\xA0\x80"),
        SLICE("\xED\x9F\xBF"), SLICE("\xEE\x80\x80"), SLICE("\xF0\x90\x80\x80"),
        SLICE("\xF4\x8F\xBF\xBF"), SLICE("1234567\xC3\xA9 12345678")};
    static const struct slice bad[] = {SLICE("\x80"), SLICE("\xC0\x80"), SLICE("\xC1\xBF"),
        SLICE("\xC3"), SLICE("\xC3("), SLICE("\xE0\x9F\xBF"), SLICE("\xE2\x82"),
        SLICE("\xED\xA0\x80"), SLICE("\xF0\x8F\xBF\xBF"), SLICE("\xF4\x90\x80\x80"),
        SLICE("\xF5\x80\x80\x80"), SLICE("\xFF"), SLICE("12345678\x80"), SLICE("\xF0\x9F\x98")};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(slice_is_utf8(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(slice_is_utf8(bad[i]));
    assert_true(slice_is_utf8(SLICE_NONE));
}

static void buf_keeps_its_bound(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 5);
    assert_int_equal(buf_append(&buf, SLICE("abc")), ERR_OK);
    assert_int_equal(buf_append(&buf, SLICE("def")), ERR_LIMIT);
    assert_true(slice_equal(buf_slice(&buf), SLICE("abc")));
    assert_int_equal(buf_append_text(&buf, "de"), ERR_OK);
    assert_int_equal(buf_append_byte(&buf, 'f'), ERR_LIMIT);
    assert_int_equal(buf_append(&buf, SLICE_NONE), ERR_OK);
    assert_int_equal(buf.capacity, 5);
    uint8_t *at;
    assert_int_equal(buf_reserve(&buf, SIZE_MAX, &at), ERR_LIMIT);
    buf_deinit(&buf);
    assert_int_equal(buf_append_byte(&buf, 'f'), ERR_LIMIT);
}

static void buf_grows_and_is_consumed(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&buf, "%03d", i), ERR_OK);
    assert_int_equal(buf.size, 3000);
    buf_consume(&buf, 2997);
    assert_true(slice_equal(buf_slice(&buf), SLICE("999")));
    buf_consume(&buf, 3);
    assert_int_equal(buf.size, 0);
    buf_consume(&buf, 0);
    size_t capacity = buf.capacity;
    buf_clear(&buf);
    assert_int_equal(buf.capacity, capacity);
    buf_deinit(&buf);
    buf_deinit(&buf);
}

/* The byte after what is printed is written too: a text that would only fit without it does not. */
static void printing_needs_room_for_its_end(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    assert_int_equal(buf_printf(&buf, "%s", ""), ERR_OK);
    assert_int_equal(buf_printf(&buf, "%s", "12345678"), ERR_LIMIT);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf_printf(&buf, "%s", "1234"), ERR_OK);
    assert_int_equal(buf_printf(&buf, "%s", "5678"), ERR_LIMIT);
    assert_int_equal(buf_printf(&buf, "%s", "567"), ERR_OK);
    assert_true(slice_equal(buf_slice(&buf), SLICE("1234567")));
    buf_clear(&buf);
    buf.size_max = 4; /* less than it has: the bound counts */
    assert_int_equal(buf_printf(&buf, "%s", "1234"), ERR_LIMIT);
    assert_int_equal(buf_printf(&buf, "%s", "123"), ERR_OK);
    assert_int_equal(buf_printf(&buf, "%s", "4"), ERR_LIMIT);
    buf_deinit(&buf);
}

/* A size that no doubling reaches is refused by the allocator, not looped over. */
static void impossible_sizes_are_faults(void **state)
{
    (void)state;
    struct buf buf;
    uint8_t *at;
    buf_init(&buf, SIZE_MAX);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 8, &at), ERR_NOMEM);
    assert_int_equal(buf_append_byte(&buf, 'a'), ERR_OK);
    buf_deinit(&buf);
}

static void reserved_room_counts_when_committed(void **state)
{
    (void)state;
    struct buf buf;
    uint8_t *at;
    buf_init(&buf, 100);
    assert_int_equal(buf_reserve(&buf, 80, &at), ERR_OK);
    memcpy(at, "abc", 3);
    buf_commit(&buf, 3);
    assert_true(slice_equal(buf_slice(&buf), SLICE("abc")));
    buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing),
        cmocka_unit_test(finding),
        cmocka_unit_test(parts),
        cmocka_unit_test(numbers),
        cmocka_unit_test(utf8),
        cmocka_unit_test(buf_keeps_its_bound),
        cmocka_unit_test(buf_grows_and_is_consumed),
        cmocka_unit_test(printing_needs_room_for_its_end),
        cmocka_unit_test(impossible_sizes_are_faults),
        cmocka_unit_test(reserved_room_counts_when_committed),
    };
    return cmocka_run_group_tests_name("protocol/base/slice", tests, NULL, NULL);
}
