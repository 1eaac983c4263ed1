#include "protocol/base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t ones[ID_RANDOM_BYTES] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void text_and_back(void **state)
{
    (void)state;
    struct id id = id_make(0x017F22E279B0, ones), back; /* RFC 9562 §A.6's time */
    char text[ID_TEXT_BYTES];
    id_format(&id, text);
    assert_string_equal(text, "017f22e2-79b0-7fff-bfff-ffffffffffff");
    assert_int_equal(id_parse(slice_text(text), &back), ERR_OK);
    assert_true(id_equal(&id, &back));
    assert_int_equal(id_parse(SLICE("017F22E2-79B0-7FFF-BFFF-FFFFFFFFFFFF"), &back), ERR_OK);
    assert_true(id_equal(&id, &back));
    assert_int_equal(id_unix_ms(&id), 0x017F22E279B0);
    assert_int_equal(id_slice(&id).size, ID_BYTES);
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    static const uint8_t zeros[ID_RANDOM_BYTES] = {0};
    struct id early = id_make(1000, ones), late = id_make(1001, zeros);
    assert_true(memcmp(early.bytes, late.bytes, ID_BYTES) < 0);
    assert_false(id_equal(&early, &late));
}

static void refused_texts(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        SLICE(""),
        SLICE("017f22e2-79b0-7fff-bfff-fffffffffff"),
        SLICE("017f22e2-79b0-7fff-bfff-ffffffffffff0"),
        SLICE("017f22e279b0-7fff-bfff-ffffffffffff00"),
        SLICE("017f22e2_79b0-7fff-bfff-ffffffffffff"),
        SLICE("017f22e2-79b0-7fff-bfff_ffffffffffff"),
        SLICE("017f22e2-79b0-7fff-bfff-fffffffffffg"),
        SLICE("017f22e2-79b0-4fff-bfff-ffffffffffff"), /* version 4 */
        SLICE("017f22e2-79b0-7fff-3fff-ffffffffffff"), /* another variant */
        SLICE("{17f22e2-79b0-7fff-bfff-fffffffffff}"),
        SLICE("017f22e2-79b0-7fff-bfff-fffffffffff\0"),
    };
    struct id id = {{1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(id_parse(bad[i], &id), ERR_INVALID);
    assert_int_equal(id.bytes[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(ids_sort_by_time),
        cmocka_unit_test(refused_texts),
    };
    return cmocka_run_group_tests_name("protocol/base/id", tests, NULL, NULL);
}
