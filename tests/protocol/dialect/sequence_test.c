/* sequence — whatever a reader says, in whatever order, the events stand in the order of neutral.h;
 * usage only rises; the bounds hold. */
#include "protocol/dialect/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/dialect/fold.h"

static const struct sequence_context context = {
    .stream_id = {(const uint8_t *)"stream", 6},
    .created_s = 7,
    .model = {(const uint8_t *)"asked", 5},
};

static void assert_kinds(const struct sequence *sequence, const char *expected)
{
    static const char letters[] = {[NEUTRAL_START] = 's',
        [NEUTRAL_BEGIN] = 'b',
        [NEUTRAL_DELTA] = 'd',
        [NEUTRAL_SEAL] = 'g',
        [NEUTRAL_END] = 'e',
        [NEUTRAL_USAGE] = 'u',
        [NEUTRAL_FINISH] = 'f',
        [NEUTRAL_DONE] = 'z',
        [NEUTRAL_ERROR] = 'x'};
    char kinds[64] = "";
    assert_int_equal(sequence->err, ERR_OK);
    assert_true(sequence->count < sizeof kinds);
    for (size_t i = 0; i < sequence->count; i++)
        kinds[i] = letters[sequence->events[i].kind];
    assert_string_equal(kinds, expected);
}

static void test_what_is_left_out_is_added(void **state)
{
    struct sequence sequence;
    (void)state;
    sequence_init(&sequence, &context);
    sequence_text(&sequence, NEUTRAL_TEXT, SLICE("a"));
    sequence_text(&sequence, NEUTRAL_TEXT, SLICE_NONE);
    sequence_tool_call(&sequence, SLICE_NONE, SLICE("f"));
    sequence_text(&sequence, NEUTRAL_REASONING, SLICE("r"));
    sequence_seal(&sequence, SLICE_NONE, SLICE_NONE, SLICE("sig"));
    sequence_done(&sequence);
    assert_kinds(&sequence, "sbdebdebdgefz");
    assert_true(slice_equal(sequence.events[0].model, SLICE("asked")));
    assert_int_equal(sequence.events[0].created_s, 7);
    assert_true(slice_equal(sequence.events[4].id, SLICE("call_stream_0")));
    assert_true(slice_equal(sequence.events[5].text, SLICE("{}")));
    assert_int_equal(sequence.events[11].finish, NEUTRAL_TOOL_CALLS);
    sequence_deinit(&sequence);
}

static void test_nothing_follows_the_end(void **state)
{
    struct sequence sequence;
    (void)state;
    sequence_init(&sequence, &context);
    sequence_finish(&sequence, NEUTRAL_LENGTH, SLICE_NONE);
    sequence_finish(&sequence, NEUTRAL_STOP, SLICE_NONE);
    sequence_text(&sequence, NEUTRAL_TEXT, SLICE("late"));
    sequence_usage(&sequence, &(struct neutral_usage){{1, 2, -1, -1, -1}, -1});
    sequence_done(&sequence);
    sequence_error(&sequence, 500, SLICE_NONE, SLICE("late"));
    sequence_usage(&sequence, &(struct neutral_usage){{9, 9, -1, -1, -1}, -1});
    sequence_redacted(&sequence, SLICE("x"), SLICE_NONE, SLICE("late"));
    assert_kinds(&sequence, "sfuz");
    sequence_deinit(&sequence);
    sequence_init(&sequence, &context);
    sequence_cannot(&sequence, "a thing", SLICE("named"));
    sequence_done(&sequence);
    assert_kinds(&sequence, "x");
    assert_int_equal(sequence.events[0].error.status, 502);
    assert_true(slice_find(sequence.events[0].error.message, SLICE("a thing named")) > 0);
    sequence_deinit(&sequence);
}

static void test_usage_only_rises(void **state)
{
    struct sequence sequence;
    const struct neutral_usage first = {{10, 1, 4, -1, -1}, 2};
    const struct neutral_usage second = {{-1, 5, -1, 3, -1}, -1};
    (void)state;
    sequence_init(&sequence, &context);
    sequence_usage(&sequence, &first);
    sequence_usage(&sequence, &second);
    sequence_usage(&sequence, &first);
    assert_kinds(&sequence, "suu");
    const struct usage expected = {10, 5, 4, 3, 15};
    assert_memory_equal(&sequence.usage.counts, &expected, sizeof expected);
    assert_int_equal(sequence.usage.cache_write, 2);
    sequence_deinit(&sequence);
}

/* Also what was still open when it came: no piece of it follows, nor its end. */
static void test_nothing_follows_an_error(void **state)
{
    struct sequence sequence;
    (void)state;
    sequence_init(&sequence, &context);
    sequence_tool_call(&sequence, SLICE_NONE, SLICE("f"));
    sequence_cannot(&sequence, "a thing", SLICE("named"));
    size_t count = sequence.count;
    sequence_arguments(&sequence, SLICE("{}"));
    sequence_close(&sequence);
    sequence_text(&sequence, NEUTRAL_TEXT, SLICE("a"));
    sequence_seal(&sequence, SLICE("x"), SLICE_NONE, SLICE("y"));
    sequence_finish(&sequence, NEUTRAL_STOP, SLICE_NONE);
    sequence_done(&sequence);
    assert_int_equal(sequence.count, count);
    assert_int_equal(sequence.events[count - 1].kind, NEUTRAL_ERROR);
    assert_int_equal(sequence.err, ERR_OK);
    sequence_deinit(&sequence);
}

static void test_a_frame_that_says_too_much(void **state)
{
    struct sequence sequence;
    (void)state;
    sequence_init(&sequence, &context);
    for (size_t i = 0; i < NEUTRAL_FRAME_BYTES_MAX / 32 && sequence.err == ERR_OK; i++)
        sequence_tool_call(&sequence, SLICE_NONE, SLICE("f"));
    assert_int_equal(sequence.err, ERR_LIMIT);
    sequence_done(&sequence); /* the error stays */
    assert_int_equal(sequence.err, ERR_LIMIT);
    sequence_deinit(&sequence);
}

static void test_the_fold_is_bounded(void **state)
{
    const struct neutral_event begin = {.kind = NEUTRAL_BEGIN, .part = NEUTRAL_TEXT};
    struct neutral_event delta = {.kind = NEUTRAL_DELTA, .part = NEUTRAL_TEXT};
    static const uint8_t megabyte[1 << 20];
    struct fold fold;
    enum err err = ERR_OK;
    size_t count = 0;
    (void)state;
    delta.text = slice_of(megabyte, sizeof megabyte);
    fold_init(&fold, FOLD_EVERYTHING);
    assert_int_equal(fold_event(&fold, &begin), ERR_OK);
    for (; err == ERR_OK; count++)
        err = fold_event(&fold, &delta);
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, FOLD_BYTES_MAX / sizeof megabyte + 1);
    fold_deinit(&fold);
    fold_init(&fold, FOLD_EVERYTHING);
    for (count = 0, err = ERR_OK; err == ERR_OK; count++)
        err = fold_event(&fold, &begin);
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, FOLD_PARTS_MAX + 1);
    fold_deinit(&fold);
    fold_init(&fold, FOLD_REASONING); /* keeps one part of many, and none of another kind */
    for (count = 0; count < 10; count++) {
        assert_int_equal(fold_event(&fold, &begin), ERR_OK);
        assert_int_equal(fold_event(&fold, &delta), ERR_OK);
        assert_null(fold_last(&fold));
    }
    fold_deinit(&fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_out_is_added),
        cmocka_unit_test(test_nothing_follows_the_end),
        cmocka_unit_test(test_usage_only_rises),
        cmocka_unit_test(test_nothing_follows_an_error),
        cmocka_unit_test(test_a_frame_that_says_too_much),
        cmocka_unit_test(test_the_fold_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
