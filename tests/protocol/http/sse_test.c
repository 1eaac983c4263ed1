/* Each input is split whole, byte by byte, cut at each offset and at each pair of offsets (short
 * inputs): always the same events, which with the residue are the input. Fragments are fed from
 * allocations of their exact size, so that a read past one is caught. */
#include "protocol/http/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EVENTS_MAX = 64, PAIRS_OF_CUTS_BYTES_MAX = 48 };

struct split {
    size_t ends[EVENTS_MAX]; /* offsets into the input */
    size_t count;
};

static void feed(struct sse_splitter *splitter, struct slice part, size_t at, struct split *split)
{
    uint8_t *copy = malloc(part.size ? part.size : 1);
    assert_non_null(copy);
    if (part.size)
        memcpy(copy, part.data, part.size);
    size_t from = 0, end;
    while (sse_split(splitter, slice_of(copy + from, part.size - from), &end) == ERR_OK) {
        assert_true(split->count < EVENTS_MAX);
        from += end;
        split->ends[split->count++] = at + from;
    }
    free(copy);
}

static struct split split_at(struct slice input, const size_t *cuts, size_t cut_count)
{
    struct sse_splitter splitter = {0};
    struct split split = {.count = 0};
    size_t from = 0;
    for (size_t i = 0; i <= cut_count; i++) {
        size_t to = i < cut_count ? cuts[i] : input.size;
        feed(&splitter, slice_of(input.data + from, to - from), from, &split);
        from = to;
    }
    if (sse_split_end(&splitter))
        split.ends[split.count++] = input.size;
    return split;
}

static void assert_split(const struct split *split, const struct split *expected)
{
    assert_int_equal(split->count, expected->count);
    for (size_t i = 0; i < split->count; i++)
        assert_int_equal(split->ends[i], expected->ends[i]);
}

static void check_cuts(struct slice input, const struct split *expected)
{
    struct split split;
    size_t *each = calloc(input.size + 1, sizeof *each);
    assert_non_null(each);
    for (size_t i = 0; i < input.size; i++)
        each[i] = i;
    split = split_at(input, each, input.size);
    assert_split(&split, expected);
    free(each);
    for (size_t a = 0; a <= input.size; a++) {
        split = split_at(input, &a, 1);
        assert_split(&split, expected);
        for (size_t b = a; b <= input.size && input.size <= PAIRS_OF_CUTS_BYTES_MAX; b++) {
            split = split_at(input, (size_t[]){a, b}, 2);
            assert_split(&split, expected);
        }
    }
}

/* What is left of the input is the residue. */
static void check(struct slice input, const struct slice *events, size_t count)
{
    struct split expected = {.count = 0};
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(slice_has_prefix(slice_sub(input, at, input.size), events[i]));
        at += events[i].size;
        expected.ends[expected.count++] = at;
    }
    struct split whole = split_at(input, NULL, 0);
    assert_split(&whole, &expected);
    check_cuts(input, &expected);
}

#define CHECK(input, ...)                                                                          \
    do {                                                                                           \
        const struct slice events_[] = {__VA_ARGS__};                                              \
        check(SLICE(input), events_, sizeof events_ / sizeof *events_);                            \
    } while (0)
#define CHECK_NONE(input) check(SLICE(input), NULL, 0)

static void ends_of_lines(void **state)
{
    (void)state;
    CHECK("data: a\n\ndata: b\n\n", SLICE("data: a\n\n"), SLICE("data: b\n\n"));
    CHECK("data: a\r\n\r\ndata: b\r\n\r\n", SLICE("data: a\r\n\r\n"), SLICE("data: b\r\n\r\n"));
    CHECK("data: a\r\rdata: b\r\r", SLICE("data: a\r\r"), SLICE("data: b\r\r"));
    CHECK("data: a\n\r\ndata: b\r\n\n", SLICE("data: a\n\r\n"), SLICE("data: b\r\n\n"));
    CHECK("data: a\r\n\rdata: b\n\r", SLICE("data: a\r\n\r"), SLICE("data: b\n\r"));
    CHECK("data: a\r\r\ndata: b\n\n", SLICE("data: a\r\r\n"), SLICE("data: b\n\n"));
    CHECK("x\ny\n\n", SLICE("x\ny\n\n"));
    CHECK("x\ry\r\r", SLICE("x\ry\r\r"));
    CHECK("x\r\ny\r\n\r\n", SLICE("x\r\ny\r\n\r\n"));
}

static void carriage_return_at_the_end(void **state)
{
    (void)state;
    CHECK_NONE("data: a\r");
    CHECK_NONE("data: a\r\n");
    CHECK("data: a\r\n\r", SLICE("data: a\r\n\r"));
    CHECK("data: a\r\r", SLICE("data: a\r\r"));
    CHECK("data: a\n\r", SLICE("data: a\n\r"));
}

static void runs_of_blank_lines(void **state)
{
    (void)state;
    CHECK("a\n\n\n\nb\n\n", SLICE("a\n\n"), SLICE("\n\nb\n\n"));
    CHECK("\n\n\na\n\n", SLICE("\n\n\na\n\n"));
    CHECK("\r\r\na\r\n\r\n\r\nb\n\n", SLICE("\r\r\na\r\n\r\n"), SLICE("\r\nb\n\n"));
    CHECK("a\r\r\rb\r\r", SLICE("a\r\r"), SLICE("\rb\r\r"));
    CHECK("a\n\n\n", SLICE("a\n\n"));
    CHECK_NONE("\n\r\n\r\r\n\n");
    CHECK_NONE("");
}

static void blocks_without_data(void **state)
{
    (void)state;
    CHECK(": ping\n\n", SLICE(": ping\n\n"));
    CHECK(":\n\n:\r\r", SLICE(":\n\n"), SLICE(":\r\r"));
    CHECK("event: done\n\n", SLICE("event: done\n\n"));
    CHECK_NONE("data: cut off");
    CHECK("data: a\n\ndata: cut", SLICE("data: a\n\n"));
    CHECK("\0\n\n", SLICE("\0\n\n"));
}

static void byte_order_marks(void **state)
{
    (void)state;
    CHECK("\xEF\xBB\xBF"
          "data: a\n\n",
        SLICE("\xEF\xBB\xBF"
              "data: a\n\n"));
    CHECK_NONE("\xEF\xBB\xBF\n\n");
    CHECK_NONE("\xEF\xBB\xBF\r\n\r");
    CHECK_NONE("\xEF\xBB\xBF");
    CHECK("\xEF\xBB\n\n", SLICE("\xEF\xBB\n\n"));
    CHECK("\xEF\r\r", SLICE("\xEF\r\r"));
    CHECK("\xEF\xBB\xBF\xEF\xBB\xBF\n\n", SLICE("\xEF\xBB\xBF\xEF\xBB\xBF\n\n"));
    CHECK("a\n\n\xEF\xBB\xBF\n\n", SLICE("a\n\n"), SLICE("\xEF\xBB\xBF\n\n"));
}

static void long_lines(void **state)
{
    (void)state;
    char input[200];
    for (size_t size = 1; size < sizeof input - 4; size += 7) { /* around the 16 bytes of a step */
        memset(input, 'x', sizeof input);
        memcpy(input + size, "\r\n\r\n", 4);
        struct slice event = slice_of(input, size + 4);
        check(event, &event, 1);
        memcpy(input + size, "\n\n", 2);
        event.size = size + 2;
        check(event, &event, 1);
    }
}

static void usable_again_after_the_end(void **state)
{
    (void)state;
    struct sse_splitter splitter = {0};
    size_t end;
    assert_int_equal(sse_split(&splitter, SLICE("data: a\r\r"), &end), ERR_AGAIN);
    assert_true(sse_split_end(&splitter));
    assert_false(sse_split_end(&splitter));
    assert_int_equal(sse_split(&splitter, SLICE("\xEF\xBB\xBF\n"), &end), ERR_AGAIN);
    assert_int_equal(sse_split(&splitter, SLICE("\n"), &end), ERR_AGAIN);
}

/* A held CR is decided by the next byte: the event ends before it. */
static void end_may_be_zero(void **state)
{
    (void)state;
    struct sse_splitter splitter = {0};
    size_t end = 99;
    assert_int_equal(sse_split(&splitter, SLICE("a\r\r"), &end), ERR_AGAIN);
    assert_int_equal(sse_split(&splitter, SLICE(""), &end), ERR_AGAIN);
    assert_int_equal(sse_split(&splitter, SLICE("b\n\n"), &end), ERR_OK);
    assert_int_equal(end, 0);
    assert_int_equal(sse_split(&splitter, SLICE("b\n\n"), &end), ERR_OK);
    assert_int_equal(end, 3);
}

/* ---- fields: web-platform-tests, eventsource/format-*.any.js. Each case is a stream and the
 * events that an EventSource would dispatch: "type|data" a line, the id after a second bar. ---- */

struct dispatch {
    struct buf *text;
    char last_id[64];
};

static void dispatch(struct dispatch *to, struct slice block)
{
    struct sse_fields fields;
    struct buf data;
    buf_init(&data, 4096);
    assert_int_equal(sse_fields(block, &data, &fields), ERR_OK);
    struct slice value = sse_data(&fields, &data);
    if (fields.id.data)
        snprintf(to->last_id, sizeof to->last_id, "%.*s", SLICE_PRINT(fields.id));
    struct slice type = fields.event.size ? fields.event : SLICE("message");
    if (fields.has_data && value.size) { /* WHATWG: nothing is dispatched without data */
        assert_int_equal(buf_printf(to->text, "[%.*s|", SLICE_PRINT(type)), ERR_OK);
        assert_int_equal(buf_append(to->text, value), ERR_OK);
        assert_int_equal(buf_printf(to->text, "|%s]", to->last_id), ERR_OK);
    }
    buf_deinit(&data);
}

static void check_stream(struct slice input, struct slice expected)
{
    struct buf text;
    struct dispatch to = {.text = &text};
    buf_init(&text, 4096);
    struct split split = split_at(input, NULL, 0);
    check_cuts(input, &split);
    size_t from = 0;
    for (size_t i = 0; i < split.count; i++) {
        struct slice block = slice_sub(input, from, split.ends[i] - from);
        dispatch(&to, i == 0 ? sse_without_bom(block) : block);
        from = split.ends[i];
    }
    assert_true(slice_equal(buf_slice(&text), expected));
    buf_deinit(&text);
}

#define STREAM(input, expected) check_stream(SLICE(input), SLICE(expected))
#define BOM                     "\xEF\xBB\xBF"
#define LONG_COMMENT            "0123456789012345678901234567890123456789012345678901234567890123456789"

static void web_platform_tests(void **state)
{
    (void)state;
    /* format-bom, format-bom-2, format-leading-space, format-newlines, format-null-character */
    STREAM(BOM "data:1\n\n" BOM "data:2\n\ndata:3\n\n", "[message|1|][message|3|]");
    STREAM(BOM BOM "data:1\n\ndata:2\n\ndata:3\n\n", "[message|2|][message|3|]");
    STREAM("data:\ttest\rdata: \ndata:test\n\n", "[message|\ttest\n\ntest|]");
    STREAM("data:test\r\ndata\ndata:test\r\n\r\n", "[message|test\n\ntest|]");
    STREAM("data:\0\n\n\n\n", "[message|\0|]");
    /* format-comments */
    STREAM("data:1\r:\0\n:\r\ndata:2\n:" LONG_COMMENT LONG_COMMENT
           "\rdata:3\n:data:fail\r:" LONG_COMMENT "\ndata:4\n\n",
        "[message|1\n2\n3\n4|]");
    /* format-data-before-final-empty-line: no blank line, no event */
    STREAM("retry:1000\ndata:test1\n\nid:test\ndata:test2", "[message|test1|]");
    /* format-field-data, -event, -event-empty */
    STREAM("data:\n\ndata\ndata\n\ndata:test\n\n", "[message|\n|][message|test|]");
    STREAM("event:test\ndata:x\n\ndata:x\n\n", "[test|x|][message|x|]");
    STREAM("event: \ndata:data\n\n", "[message|data|]");
    /* format-field-id, -id-2, -id-3, -id-null */
    STREAM("id: 1\ndata: a\n\ndata: b\n\n", "[message|a|1][message|b|1]");
    STREAM("id: 1\ndata: a\n\nid\ndata: b\n\ndata:c\n\n", "[message|a|1][message|b|][message|c|]");
    STREAM("id: x\0y\ndata: a\n\n", "[message|a|]");
    STREAM("id: 1\ndata: a\n\nid: \0 2\ndata: b\n\n", "[message|a|1][message|b|1]");
    /* format-field-parsing */
    STREAM("data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:"
           "\r\n data:32\ndata:4\n\n",
        "[message|\0\n 2\n1\n3\n\n4|]");
    /* format-field-retry, -retry-bogus, -retry-empty, -field-unknown */
    STREAM("retry:3000\ndata:x\n\n", "[message|x|]");
    STREAM("retry:1000x\ndata:x\n\n", "[message|x|]");
    STREAM("retry\ndata:test\n\n", "[message|test|]");
    STREAM("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        "[message|test\n\ntest|]");
    /* format-utf-8: the bytes are passed on */
    STREAM("data:ok\xE2\x80\xA6\n\n", "[message|ok\xE2\x80\xA6|]");
}

static void field(struct slice block, struct slice expected)
{
    struct sse_fields fields;
    struct buf data;
    buf_init(&data, 64);
    assert_int_equal(sse_fields(block, &data, &fields), ERR_OK);
    assert_true(fields.has_data);
    assert_true(slice_equal(sse_data(&fields, &data), expected));
    buf_deinit(&data);
}

static void values_of_data(void **state)
{
    (void)state;
    field(SLICE("data:\0\n\n"), SLICE("\0"));
    field(SLICE("data"), SLICE(""));
    field(SLICE("data\ndata"), SLICE("\n"));
    field(SLICE("data:x"), SLICE("x"));
    field(SLICE("data:  x \r\n\r\n"), SLICE(" x "));
    field(SLICE("data: {\"a\":1}\r\r"), SLICE("{\"a\":1}"));
}

static void one_data_line_is_borrowed(void **state)
{
    (void)state;
    struct slice block = SLICE("event: a\nevent: delta\nid: 7\ndata: hello\n\n");
    struct sse_fields fields;
    struct buf data;
    buf_init(&data, 64);
    assert_int_equal(buf_append(&data, SLICE("old")), ERR_OK);
    assert_int_equal(sse_fields(block, &data, &fields), ERR_OK);
    assert_true(fields.has_data && !fields.is_joined);
    assert_int_equal(data.size, 0);
    assert_ptr_equal(sse_data(&fields, &data).data, block.data + block.size - 7);
    assert_true(slice_equal(fields.event, SLICE("delta")));
    assert_true(slice_equal(fields.id, SLICE("7")));
    buf_deinit(&data);
}

static void absent_and_empty_fields(void **state)
{
    (void)state;
    struct sse_fields fields;
    struct buf data;
    buf_init(&data, 64);
    assert_int_equal(sse_fields(SLICE(": comment\n\n"), &data, &fields), ERR_OK);
    assert_false(fields.has_data);
    assert_null(fields.event.data);
    assert_null(fields.id.data);
    assert_null(sse_data(&fields, &data).data);
    assert_int_equal(sse_fields(SLICE("event:\nid\n\n"), &data, &fields), ERR_OK);
    assert_non_null(fields.event.data);
    assert_non_null(fields.id.data);
    assert_int_equal(fields.event.size + fields.id.size, 0);
    assert_int_equal(sse_fields(SLICE_NONE, &data, &fields), ERR_OK);
    buf_deinit(&data);
}

static void joined_data_keeps_its_bound(void **state)
{
    (void)state;
    struct sse_fields fields = {.is_joined = true};
    struct buf data;
    buf_init(&data, 8);
    assert_int_equal(sse_fields(SLICE("data:1234\ndata:5678\n\n"), &data, &fields), ERR_LIMIT);
    assert_int_equal(sse_fields(SLICE("data:1234\ndata:567\n\n"), &data, &fields), ERR_OK);
    assert_true(slice_equal(sse_data(&fields, &data), SLICE("1234\n567")));
    buf_deinit(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_lines),
        cmocka_unit_test(carriage_return_at_the_end),
        cmocka_unit_test(runs_of_blank_lines),
        cmocka_unit_test(blocks_without_data),
        cmocka_unit_test(byte_order_marks),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(usable_again_after_the_end),
        cmocka_unit_test(end_may_be_zero),
        cmocka_unit_test(web_platform_tests),
        cmocka_unit_test(values_of_data),
        cmocka_unit_test(one_data_line_is_borrowed),
        cmocka_unit_test(absent_and_empty_fields),
        cmocka_unit_test(joined_data_keeps_its_bound),
    };
    return cmocka_run_group_tests_name("protocol/http/sse", tests, NULL, NULL);
}
