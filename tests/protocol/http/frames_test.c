/* frames — which framing a type names; lines, cut at each offset; each framing is its own splitter's
 * (sse_test, event_stream_test). */
#include "protocol/http/frames.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum err of_type(const char *type, enum framing *out)
{
    return framing_of_type(slice_text(type), out);
}

static void types(void **state)
{
    enum framing framing = FRAMING_EVENT_STREAM;
    (void)state;
    assert_int_equal(of_type("text/event-stream; charset=utf-8", &framing), ERR_OK);
    assert_int_equal(framing, FRAMING_SSE);
    assert_int_equal(of_type("Application/X-NDJSON ;charset=utf-8", &framing), ERR_OK);
    assert_int_equal(framing, FRAMING_LINES);
    assert_int_equal(of_type("application/vnd.amazon.eventstream", &framing), ERR_OK);
    assert_int_equal(framing, FRAMING_EVENT_STREAM);
    assert_int_equal(of_type("application/json", &framing), ERR_NOTFOUND);
    assert_int_equal(of_type("text/event-streams", &framing), ERR_NOTFOUND);
    assert_int_equal(of_type("", &framing), ERR_NOTFOUND);
}

/* The bytes of the frames that are found, and how many they are. */
static size_t split_cut(enum framing framing, struct slice input, size_t cut, size_t *count)
{
    struct frame_splitter splitter = {.framing = framing};
    size_t end, from = 0, done = 0;
    *count = 0;
    for (size_t part = 0; part < 2; part++) {
        size_t to = part ? input.size : cut;
        while (frame_split(&splitter, slice_sub(input, from, to - from), &end) == ERR_OK) {
            from += end;
            done = from;
            (*count)++;
        }
        from = to;
    }
    if (frame_split_end(&splitter)) {
        done = input.size;
        (*count)++;
    }
    return done;
}

static void check(enum framing framing, struct slice input, size_t count, size_t size)
{
    size_t found;
    for (size_t cut = 0; cut <= input.size; cut++) {
        assert_int_equal(split_cut(framing, input, cut, &found), size);
        assert_int_equal(found, count);
    }
}

static void lines(void **state)
{
    (void)state;
    check(FRAMING_LINES, SLICE("{\"a\":1}\n{\"b\":\"\\n\"}\r\n\n{\"c\""), 3, 21);
    check(FRAMING_LINES, SLICE("{\"a\":1}"), 0, 0);
    check(FRAMING_LINES, SLICE("\n"), 1, 1);
    check(FRAMING_LINES, SLICE(""), 0, 0);
}

static void the_others(void **state)
{
    static const uint8_t empty[] = {0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255};
    (void)state;
    check(FRAMING_SSE, SLICE("data: a\n\ndata: b\n\ndata"), 2, 18);
    check(FRAMING_SSE, SLICE("data: a\n\ndata: b\n\r"), 2, 18);
    check(FRAMING_EVENT_STREAM, slice_of(empty, sizeof empty), 1, sizeof empty);
    check(FRAMING_EVENT_STREAM, SLICE("data: a\n\ndata: b\n\n"), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(lines),
        cmocka_unit_test(the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
