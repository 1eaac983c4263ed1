/* hold — golden responses of each caller's dialect: every byte is shown, in order; a call only once it is
 * whole; anything else at once. */
#include "protocol/dialect/hold.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/dialect/continuation.h"
#include "protocol/http/sse.h"
#include "tests/protocol/dialect/callers.h"

enum { BYTES_MAX = 16 << 20, LARGE_EVENTS = 300, LARGE_EVENT_BYTES = 16 << 10 };

static struct slice next_frame(struct slice *text)
{
    struct sse_splitter splitter = {0};
    struct slice frame = SLICE_NONE;
    size_t end;
    if (sse_split(&splitter, *text, &end) == ERR_OK) {
        frame = slice_sub(*text, 0, end);
        *text = slice_sub(*text, end, text->size - end);
    }
    return frame;
}

static void load(const char *path, struct buf *out)
{
    uint8_t *at;
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s", path);
    buf_init(out, BYTES_MAX);
    assert_int_equal(buf_reserve(out, BYTES_MAX, &at), ERR_OK);
    buf_commit(out, fread(at, 1, BYTES_MAX, file));
    assert_int_equal(fclose(file), 0);
}

/* The response that a case of translation came from or led to. */
static struct slice part_of(struct slice text, const char *from, const char *to)
{
    ptrdiff_t begin = from ? slice_find(text, slice_text(from)) : -1;
    ptrdiff_t end = to ? slice_find(text, slice_text(to)) : -1;
    size_t at = begin < 0 ? 0 : (size_t)begin + strlen(from);
    return slice_sub(text, at, (end < 0 ? text.size : (size_t)end) - at);
}

/* What was shown can be gone on with, or could not for other reasons than a call. */
static void expect_whole_calls(const char *caller, struct slice shown)
{
    struct continuation *continuation;
    const char *why = "";
    assert_int_equal(continuation_new(named(caller), &context, &continuation), ERR_OK);
    for (struct slice frame; (frame = next_frame(&shown)).size > 0;)
        assert_int_equal(continuation_take(continuation, frame), ERR_OK);
    assert_int_equal(shown.size, 0);
    if (continuation_can(continuation, true, &why) == CONTINUATION_CANNOT)
        assert_null(strstr(why, "tool call"));
    (void)continuation_free(continuation);
}

/* Returns how many events were held for a while. */
static size_t check(const char *caller, struct slice text)
{
    CLEANUP(buf_deinit) struct buf shown;
    struct hold *hold;
    struct slice rest = text;
    size_t held = 0;
    buf_init(&shown, BYTES_MAX);
    assert_int_equal(hold_new(named(caller), &hold), ERR_OK);
    for (struct slice frame; (frame = next_frame(&rest)).size > 0;) {
        assert_int_equal(hold_event(hold, frame, &shown), ERR_OK);
        struct slice hidden = hold_held(hold);
        held += hidden.size > 0;
        assert_int_equal(shown.size + hidden.size, text.size - rest.size);
        assert_true(slice_has_prefix(text, buf_slice(&shown)));
        expect_whole_calls(caller, buf_slice(&shown));
    }
    assert_int_equal(hold_release(hold, &shown), ERR_OK);
    assert_int_equal(hold_held(hold).size, 0);
    assert_true(slice_equal(buf_slice(&shown), slice_sub(text, 0, text.size - rest.size)));
    (void)hold_free(hold);
    return held;
}

static const struct {
    const char *dialect, *path, *from, *to;
    bool has_calls;
} goldens[] = {
    {"openai_chat", "golden/openai_chat/text_usage.sse", NULL, NULL, false},
    {"openai_chat", "golden/openai_chat/tool_calls.sse", NULL, NULL, true},
    {"openai_chat", "golden/openai_chat/error_midway.sse", NULL, NULL, false},
    {"openai_chat", "golden/openai_chat/cut_short.sse", NULL, NULL, false},
    {"openai_chat", "golden/translate/gemini_to_chat_thought_stream.txt", "== to\n", NULL, true},
    {"openai_chat", "golden/translate/chat_to_anthropic_stream.txt", "== from\n", "== to\n", true},
    {"anthropic", "golden/anthropic/text.sse", NULL, NULL, false},
    {"anthropic", "golden/anthropic/tool_use.sse", NULL, NULL, true},
    {"anthropic", "golden/translate/chat_to_anthropic_stream.txt", "== to\n", NULL, true},
    {"openai_responses", "golden/openai_responses/completed.sse", NULL, NULL, false},
    {"openai_responses", "golden/translate/responses_to_chat_reasoning_stream.txt", "== from\n",
        "== to\n", true},
    {"openai_responses", "golden/translate/responses_to_chat_hosted_tool_stream.txt", "== from\n",
        "== to\n", false},
};

static void test_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        CLEANUP(buf_deinit) struct buf text;
        load(goldens[i].path, &text);
        size_t held =
            check(goldens[i].dialect, part_of(buf_slice(&text), goldens[i].from, goldens[i].to));
        if (goldens[i].has_calls != (held > 0))
            fail_msg("%s: %zu held", goldens[i].path, held);
    }
}

/* A call that a death cuts off is never shown; that of a stream which nobody goes on with is. */
static void test_a_death_inside_a_call(void **state)
{
    static const char text[] =
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
    static const char call[] =
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
        "\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n";
    CLEANUP(buf_deinit) struct buf shown;
    struct hold *hold;
    (void)state;
    buf_init(&shown, BYTES_MAX);
    assert_int_equal(hold_new(named("openai_chat"), &hold), ERR_OK);
    assert_int_equal(hold_event(hold, slice_text(text), &shown), ERR_OK);
    assert_int_equal(hold_event(hold, slice_text(call), &shown), ERR_OK);
    assert_true(slice_equal(buf_slice(&shown), slice_text(text)));
    assert_true(slice_equal(hold_held(hold), slice_text(call)));
    assert_int_equal(hold_release(hold, &shown), ERR_OK);
    assert_int_equal(shown.size, sizeof text + sizeof call - 2);
    (void)hold_free(hold);
}

/* A call without arguments is over when the next one begins, and waits for that. */
static void test_two_calls_in_chat(void **state)
{
    static const char *const frames[] = {"data: "
                                         "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
                                         "\"id\":\"1\",\"function\":{\"name\":"
                                         "\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
        "data: "
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"2\",\"function\":{"
        "\"name\":"
        "\"g\",\"arguments\":\"\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"};
    CLEANUP(buf_deinit) struct buf shown;
    struct hold *hold;
    (void)state;
    buf_init(&shown, BYTES_MAX);
    assert_int_equal(hold_new(named("openai_chat"), &hold), ERR_OK);
    assert_int_equal(hold_event(hold, slice_text(frames[0]), &shown), ERR_OK);
    assert_int_equal(shown.size, 0);
    assert_int_equal(hold_event(hold, slice_text(frames[1]), &shown), ERR_OK);
    assert_true(slice_equal(buf_slice(&shown), slice_text(frames[0])));
    assert_int_equal(hold_event(hold, slice_text(frames[2]), &shown), ERR_OK);
    assert_int_equal(shown.size, strlen(frames[0]) + strlen(frames[1]) + strlen(frames[2]));
    (void)hold_free(hold);
}

static void test_a_call_past_the_bound(void **state)
{
    CLEANUP(buf_deinit) struct buf text, shown;
    struct hold *hold;
    static_assert(LARGE_EVENTS * LARGE_EVENT_BYTES > HOLD_CALL_BYTES_MAX, "it is past the bound");
    (void)state;
    buf_init(&text, BYTES_MAX);
    buf_init(&shown, BYTES_MAX);
    assert_int_equal(hold_new(named("anthropic"), &hold), ERR_OK);
    assert_int_equal(buf_append_text(&text,
                         "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
                         "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n"),
        ERR_OK);
    for (size_t i = 0; i < LARGE_EVENTS; i++) {
        assert_int_equal(
            buf_append_text(&text, "data: {\"type\":\"content_block_delta\",\"index\":0,"
                                   "\"delta\":{\"type\":\"input_json_delta\","
                                   "\"partial_json\":\""),
            ERR_OK);
        for (size_t j = 0; j < LARGE_EVENT_BYTES; j++)
            assert_int_equal(buf_append_byte(&text, 'a'), ERR_OK);
        assert_int_equal(buf_append_text(&text, "\"}}\n\n"), ERR_OK);
    }
    struct slice rest = buf_slice(&text);
    for (struct slice frame; (frame = next_frame(&rest)).size > 0;)
        assert_int_equal(hold_event(hold, frame, &shown), ERR_OK);
    assert_int_equal(hold_held(hold).size, 0);
    assert_true(slice_equal(buf_slice(&shown), buf_slice(&text)));
    (void)hold_free(hold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_a_death_inside_a_call),
        cmocka_unit_test(test_two_calls_in_chat),
        cmocka_unit_test(test_a_call_past_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
