/* base64 — round trips of every length, and what is refused. */
#include "protocol/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"

static void test_round_trips(void **state)
{
    uint8_t bytes[256];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        CLEANUP(buf_deinit) struct buf text;
        CLEANUP(buf_deinit) struct buf back;
        buf_init(&text, 1024);
        buf_init(&back, 1024);
        assert_int_equal(base64_encode(slice_of(bytes, size), &text), ERR_OK);
        assert_int_equal(base64_decode(buf_slice(&text), &back), ERR_OK);
        assert_true(slice_equal(buf_slice(&back), slice_of(bytes, size)));
    }
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {"A", "AA", "AAA", "A===", "====", "AA=A", "AA==AAAA",
        "AB==", "AAB=", "AA-_", "AA\n=", "AAA "};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CLEANUP(buf_deinit) struct buf back;
        buf_init(&back, 64);
        assert_int_equal(base64_decode(slice_text(wrong[i]), &back), ERR_INVALID);
        assert_int_equal(back.size, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
