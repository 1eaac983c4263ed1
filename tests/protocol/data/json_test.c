/* json — valid and invalid texts (after the cases of JSONTestSuite,
 * https://github.com/nst/JSONTestSuite), spans, trees, writing. */
#include "protocol/data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

/* SLICE() for an initializer of static storage; literals may hold NULs. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static const struct slice valid[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT(" [] "),
    TEXT("{}"),
    TEXT("0"),
    TEXT("-0"),
    TEXT("-0.0e-0"),
    TEXT("1E+2"),
    TEXT("123.456e78"),
    TEXT("1e999"),
    TEXT("[1,2]"),
    TEXT("[[[]],{}]"),
    TEXT("{\"a\":{\"b\":[{}]}}"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("\"\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\uD834\\uDD1E\""),
    TEXT("\"\\uDBFF\\uDFFF\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xE2\x82\xAC\xF4\x8F\xBF\xBF\""),
    TEXT("\t\r\n [ 1 , 2 ]\n"),
    TEXT("\"a b c d e f g h i j k\""),
    TEXT("\"\xEF\xBF\xBF\""),
    TEXT("100000000000000000000000000000000000000"),
    TEXT("\"eight by\\\"tes\""),
};

static const struct slice invalid[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("True"),
    TEXT("tru"),
    TEXT("+1"),
    TEXT("-"),
    TEXT("01"),
    TEXT("-01"),
    TEXT("1."),
    TEXT(".5"),
    TEXT("1.e1"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("0x1"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("-Infinity"),
    TEXT("1 2"),
    TEXT("["),
    TEXT("]"),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[,]"),
    TEXT("[1,,2]"),
    TEXT("[1 2]"),
    TEXT("[1}"),
    TEXT("{"),
    TEXT("{]"),
    TEXT("{\"a\""),
    TEXT("{\"a\":"),
    TEXT("{\"a\":1"),
    TEXT("{\"a\":1,"),
    TEXT("{\"a\":1,}"),
    TEXT("{,\"a\":1}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\"::1}"),
    TEXT("{a:1}"),
    TEXT("{1:1}"),
    TEXT("{'a':1}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\":1}}"),
    TEXT("{\"a\":1]"),
    TEXT("\""),
    TEXT("\"a"),
    TEXT("\"\\"),
    TEXT("\"\\\""),
    TEXT("\"\\x\""),
    TEXT("\"\\u12\""),
    TEXT("\"\\u12G4\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\n\""),
    TEXT("\"\t\""),
    TEXT("\"\0\""),
    TEXT("\"\x1f\""),
    TEXT("\"eight by\ntes\""),
    TEXT("\"\\uD800\""),
    TEXT("\"\\uDC00\""),
    TEXT("\"\\uD800\\u0041\""),
    TEXT("\"\\uD800\\uD800\""),
    TEXT("\"\\uD800\\"),
    TEXT("\"\\uD800\\u\""),
    TEXT("\"\\uD83Dx\""),
    TEXT("\"\\\0\""),
    TEXT("\"\xFF\""),
    TEXT("\"\xC0\x80\""),
    TEXT("\"\xED\xA0\x80\""),
    TEXT("\"\xF4\x90\x80\x80\""),
    TEXT("\"\xE2\x82\""),
    TEXT("\xEF\xBB\xBF{}"),
    TEXT("{}\0"),
    TEXT("{}x"),
    TEXT("\"a\"\"b\""),
    TEXT("[1]//c"),
    TEXT("/**/1"),
    TEXT("\f1"),
    TEXT("\xC2\xA0"
         "1"),
    TEXT("[\"a\":1]"),
    TEXT("{\"a\":}"),
    TEXT("-x"),
    TEXT("[-]"),
    TEXT("1e1.5"),
};

enum { VALID = sizeof valid / sizeof valid[0], INVALID = sizeof invalid / sizeof invalid[0] };

/* In a block of its own size, so that a byte read past the end is seen. */
static struct slice tight(struct slice text)
{
    uint8_t *copy = malloc(text.size ? text.size : 1);
    assert_non_null(copy);
    if (text.size)
        memcpy(copy, text.data, text.size);
    return slice_of(copy, text.size);
}

static enum err parse(struct slice text)
{
    struct slice copy = tight(text);
    struct json *root = NULL;
    enum err err = json_parse(copy, &root);
    assert_true((err == ERR_OK) == (root != NULL));
    root = json_free(root);
    free((void *)(uintptr_t)copy.data);
    return err;
}

static enum err check(struct slice text)
{
    struct slice copy = tight(text);
    const char *why = NULL;
    size_t at = SIZE_MAX;
    enum err err = json_object_check(copy, &why, &at);
    assert_true(err == ERR_OK ? !why && at == SIZE_MAX : why && at <= text.size);
    free((void *)(uintptr_t)copy.data);
    return err;
}

/* The text as a member, where it can be one. */
static enum err check_as_member(struct slice text)
{
    CLEANUP(buf_deinit) struct buf object;
    buf_init(&object, 65536);
    assert_int_equal(buf_append(&object, SLICE("{\"m\":")), ERR_OK);
    assert_int_equal(buf_append(&object, text), ERR_OK);
    assert_int_equal(buf_append(&object, SLICE("}")), ERR_OK);
    return check(buf_slice(&object));
}

static void test_valid_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALID; i++) {
        if (parse(valid[i]) != ERR_OK || check_as_member(valid[i]) != ERR_OK)
            fail_msg("refused: %.*s", SLICE_PRINT(valid[i]));
    }
}

static void test_invalid_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < INVALID; i++) {
        if (parse(invalid[i]) != ERR_INVALID || check_as_member(invalid[i]) != ERR_INVALID)
            fail_msg("taken: %.*s", SLICE_PRINT(invalid[i]));
        assert_int_equal(check(invalid[i]), ERR_INVALID);
    }
}

static void test_every_cut_is_invalid(void **state)
{
    const struct slice text =
        SLICE("{\"a\":[1.5e+3,{\"b\":\"\\u00e9\\uD834\\uDD1Eé\"},true,null]}");
    (void)state;
    assert_int_equal(check(text), ERR_OK);
    for (size_t size = 0; size < text.size; size++) {
        assert_int_equal(check(slice_sub(text, 0, size)), ERR_INVALID);
        assert_int_equal(parse(slice_sub(text, 0, size)), ERR_INVALID);
    }
}

static struct slice nested(uint8_t *text, size_t depth)
{
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return slice_of(text, 2 * depth);
}

static void test_depth(void **state)
{
    static uint8_t text[2 * 100000];
    (void)state;
    assert_int_equal(parse(nested(text, JSON_DEPTH_MAX)), ERR_OK);
    assert_int_equal(parse(nested(text, JSON_DEPTH_MAX + 1)), ERR_INVALID);
    assert_int_equal(parse(nested(text, 100000)), ERR_INVALID);
    assert_int_equal(check_as_member(nested(text, JSON_DEPTH_MAX - 1)), ERR_OK);
    assert_int_equal(check_as_member(nested(text, JSON_DEPTH_MAX)), ERR_INVALID);
}

static void assert_refused(struct slice text, const char *why_expected, size_t at_expected)
{
    const char *why;
    size_t at;
    assert_int_equal(json_object_check(text, &why, &at), ERR_INVALID);
    assert_string_equal(why, why_expected);
    assert_int_equal(at, at_expected);
}

static void test_object_check_says_where(void **state)
{
    (void)state;
    assert_refused(SLICE("[]"), "the JSON text is not an object", 0);
    assert_refused(SLICE("{\"a\":1,\"b\":2,\"a\":3}"), "a top-level member appears twice", 13);
    assert_refused(
        SLICE("{\"model\":1,\"m\\u006fdel\":2}"), "a top-level member appears twice", 11);
    assert_refused(SLICE("{\"a\":1} x"), "bytes follow the JSON text", 8);
    assert_refused(SLICE("{\"a\":\"\xff\"}"), "the text is not UTF-8", 6);
    assert_refused(SLICE("{\"a\":01}"), "a comma or a closing bracket is missing", 6);
    assert_refused(SLICE("{\"a\":"), "the JSON text is cut short", 5);
}

static void test_member_count(void **state)
{
    CLEANUP(buf_deinit) struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_append_byte(&text, '{'), ERR_OK);
    for (int i = 0; i < JSON_MEMBERS_MAX; i++)
        assert_int_equal(buf_printf(&text, "%s\"m%d\":0", i ? "," : "", i), ERR_OK);
    size_t size = text.size;
    assert_int_equal(buf_append_byte(&text, '}'), ERR_OK);
    assert_int_equal(check(buf_slice(&text)), ERR_OK);
    text.size = size;
    assert_int_equal(buf_append_text(&text, ",\"more\":0}"), ERR_OK);
    assert_int_equal(check(buf_slice(&text)), ERR_INVALID);
}

static void assert_span(struct slice text, const char *name, enum json_type type, struct slice raw)
{
    struct json_span span;
    assert_int_equal(json_scan(text, name, &span), ERR_OK);
    assert_int_equal(span.type, type);
    assert_true(slice_equal(span.raw, raw));
    assert_true(span.raw.data >= text.data && span.raw.data < text.data + text.size);
}

static void test_spans(void **state)
{
    const struct slice text =
        SLICE(" { \"a\" : [1, {\"b\":2}] ,\"b\":\"x\\\"y\",\"\\u0063\":1.50 , \"d\":{\"a\":9},"
              "\"n\":null,\"t\":true,\"f\":false,\"\":0}\n");
    struct json_span span;
    (void)state;
    assert_int_equal(check(text), ERR_OK);
    assert_span(text, "a", JSON_ARRAY, SLICE("[1, {\"b\":2}]"));
    assert_span(text, "b", JSON_STRING, SLICE("\"x\\\"y\""));
    assert_span(text, "c", JSON_NUMBER, SLICE("1.50"));
    assert_span(text, "d", JSON_OBJECT, SLICE("{\"a\":9}"));
    assert_span(text, "n", JSON_NULL, SLICE("null"));
    assert_span(text, "t", JSON_BOOL, SLICE("true"));
    assert_span(text, "", JSON_NUMBER, SLICE("0"));
    assert_int_equal(json_scan(text, "aa", &span), ERR_NOTFOUND);
    assert_int_equal(json_scan(SLICE("{}"), "a", &span), ERR_NOTFOUND);
    assert_int_equal(json_scan(text, "t", &span), ERR_OK);
    assert_true(json_span_is_true(span));
    assert_int_equal(json_scan(text, "f", &span), ERR_OK);
    assert_false(json_span_is_true(span));
}

static void test_reading_checks_and_finds(void **state)
{
    (void)state;
    static const char *const names[] = {"model", "stream", "store"};
    struct json_span spans[3];
    const struct json_wanted wanted = {names, 3, spans};
    const char *why = NULL;
    size_t at = 0;
    assert_int_equal(json_object_read(SLICE("{\"a\":{\"stream\":1},\"m\\u006fdel\":\"x\","
                                            "\"stream\": true }"),
                         &wanted, &why, &at),
        ERR_OK);
    assert_true(slice_equal(spans[0].raw, SLICE("\"x\"")));
    assert_true(json_span_is_true(spans[1]));
    assert_int_equal(spans[2].raw.size, 0);
    assert_int_equal(
        json_object_read(SLICE("{\"model\":1,\"model\":2}"), &wanted, &why, &at), ERR_INVALID);
    assert_int_equal(at, 11);
    assert_int_equal(json_object_read(SLICE("{\"model\":1,"), &wanted, &why, &at), ERR_INVALID);
}

static void test_span_text(void **state)
{
    struct json_span span;
    struct buf out;
    (void)state;
    buf_init(&out, 64);
    assert_int_equal(
        json_scan(SLICE("{\"s\":\"a\\n\\u00e9\\u20ac\\uD834\\uDD1E\\/é\\u0000z\"}"), "s", &span),
        ERR_OK);
    assert_int_equal(json_span_text(span, &out), ERR_OK);
    assert_true(
        slice_equal(buf_slice(&out), SLICE("a\n\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E/\xC3\xA9\0z")));
    span.type = JSON_NUMBER;
    assert_int_equal(json_span_text(span, &out), ERR_INVALID);
    buf_deinit(&out);
    buf_init(&out, 3);
    span.type = JSON_STRING;
    assert_int_equal(json_span_text(span, &out), ERR_LIMIT);
    buf_deinit(&out);
}

static void test_tree(void **state)
{
    struct json *root;
    (void)state;
    assert_int_equal(
        json_parse(SLICE("{\"a\":[1,-2.9,1e300,9007199254740993],\"s\":\"\\u00e9\",\"t\":true,"
                         "\"o\":{\"x\":null},\"A\":7}"),
            &root),
        ERR_OK);
    const struct json *a = json_get(root, "a");
    assert_int_equal(json_type(root), JSON_OBJECT);
    assert_int_equal(json_size(a), 4);
    assert_int_equal(json_int(json_at(a, 0), -9), 1);
    assert_int_equal(json_int(json_at(a, 1), -9), -2);
    assert_int_equal(json_int(json_at(a, 2), -9), -9);
    assert_int_equal(json_int(json_at(a, 4), -9), -9);
    assert_null(json_at(a, SIZE_MAX));
    assert_int_equal(json_int(json_get(root, "A"), -9), 7);
    assert_true(slice_equal(json_text(json_get(root, "s")), SLICE("\xC3\xA9")));
    assert_true(json_bool(json_get(root, "t"), false));
    assert_int_equal(json_type(json_get(json_get(root, "o"), "x")), JSON_NULL);
    root = json_free(root);
    assert_null(root);
}

static void test_getters_take_anything(void **state)
{
    struct json *root;
    (void)state;
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(NULL, 0));
    assert_int_equal(json_size(NULL), 0);
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_null(json_text(NULL).data);
    assert_int_equal(json_int(NULL, 3), 3);
    assert_true(json_bool(NULL, true));
    assert_null(json_free(NULL));
    assert_int_equal(json_parse(SLICE("[\"x\"]"), &root), ERR_OK);
    assert_null(json_get(root, "a"));
    assert_int_equal(json_int(json_at(root, 0), 3), 3);
    assert_int_equal(json_size(json_at(root, 0)), 0);
    root = json_free(root);
}

static void test_writer(void **state)
{
    struct json_writer writer;
    struct buf out;
    (void)state;
    buf_init(&out, 1024);
    json_writer_init(&writer, &out);
    json_open(&writer, '{');
    json_key(&writer, "a");
    json_open(&writer, '[');
    json_integer(&writer, INT64_MIN);
    json_unsigned(&writer, UINT64_MAX);
    json_open(&writer, '{');
    json_close(&writer, '}');
    json_open(&writer, '[');
    json_close(&writer, ']');
    json_null(&writer);
    json_close(&writer, ']');
    json_key(&writer, "b");
    json_boolean(&writer, false);
    json_key(&writer, "r");
    json_raw(&writer, SLICE("{\"x\":1.0}"));
    json_key(&writer, "s");
    json_string(&writer, SLICE("\"\\\b\f\n\r\t\x01\x7f/é\xff\xE2\x82!\xC0\x80"));
    json_close(&writer, '}');
    assert_int_equal(writer.err, ERR_OK);
    assert_true(slice_equal(buf_slice(&out),
        SLICE("{\"a\":[-9223372036854775808,18446744073709551615,{},[],null],\"b\":false,"
              "\"r\":{\"x\":1.0},\"s\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f/é"
              "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!\xEF\xBF\xBD\xEF\xBF\xBD\"}")));
    assert_int_equal(check(buf_slice(&out)), ERR_OK);
    buf_deinit(&out);
}

static void test_every_byte_is_written_validly(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        CLEANUP(buf_deinit) struct buf out;
        uint8_t text[3] = {'a', (uint8_t)byte, 'b'};
        buf_init(&out, 64);
        assert_int_equal(json_write_text(&out, slice_of(text, 3)), ERR_OK);
        assert_int_equal(parse(buf_slice(&out)), ERR_OK);
        if (byte < 0x80) {
            CLEANUP(buf_deinit) struct buf back;
            buf_init(&back, 64);
            assert_int_equal(
                json_span_text((struct json_span){JSON_STRING, buf_slice(&out)}, &back), ERR_OK);
            assert_true(slice_equal(buf_slice(&back), slice_of(text, 3)));
        }
    }
}

static void test_writer_keeps_its_first_failure(void **state)
{
    struct json_writer writer;
    struct buf out;
    (void)state;
    buf_init(&out, 4);
    json_writer_init(&writer, &out);
    json_open(&writer, '[');
    json_string(&writer, SLICE("longer than four"));
    json_close(&writer, ']');
    assert_int_equal(writer.err, ERR_LIMIT);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_texts),
        cmocka_unit_test(test_invalid_texts),
        cmocka_unit_test(test_every_cut_is_invalid),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_object_check_says_where),
        cmocka_unit_test(test_member_count),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_reading_checks_and_finds),
        cmocka_unit_test(test_span_text),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_getters_take_anything),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_every_byte_is_written_validly),
        cmocka_unit_test(test_writer_keeps_its_first_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
