/* multipart — forms as SDKs send them, and cut at each byte. */
#include "protocol/http/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* httpx 0.28 writes it so: fields, then files. */
static const char form[] =
    "--b1\r\n"
    "Content-Disposition: form-data; name=\"model\"\r\n\r\n"
    "groq/whisper\r\n"
    "--b1\r\n"
    "Content-Disposition: form-data; name=\"empty\"\r\n\r\n"
    "\r\n"
    "--b1\r\n"
    "Content-Disposition: form-data; name=\"file\"; filename=\"a;b\\\".mp3\"\r\n"
    "Content-Type: audio/mpeg\r\n\r\n"
    "--b\r\n--b2-- is no end\r\r\n\n\r\n"
    "--b1 \t\r\n"
    "X-Other: 1\r\n"
    "content-disposition: FORM-DATA; Name=last\r\n\r\n"
    "two\r\nlines\r\n"
    "--b1--\r\nepilogue";
static const char type[] = "Multipart/Form-Data; charset=utf-8; boundary=b1";

static enum err field(const char *content_type, struct slice body, const char *name, char *out)
{
    struct slice value = SLICE_NONE;
    enum err err = multipart_field(slice_text(content_type), body, name, &value);
    if (!err)
        (void)snprintf(out, 64, "%.*s", SLICE_PRINT(value));
    return err;
}

static void test_fields(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"model", "groq/whisper"}, {"empty", ""}, {"last", "two\r\nlines"}};
    static const char dirty[] = "--b1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
                                "x\r\n--b1x--\r\n--b1--";
    char value[64];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(field(type, SLICE(form), pairs[i][0], value), ERR_OK);
        assert_string_equal(value, pairs[i][1]);
    }
    assert_int_equal(field(type, SLICE(dirty), "a", value), ERR_OK);
    assert_string_equal(value, "x");
    assert_int_equal(field(type, SLICE(dirty), "b", value), ERR_INVALID);
    assert_int_equal(
        field(type, SLICE(form), "file", value), ERR_NOTFOUND); /* a file is no field */
}

static const char plain[] =
    "preamble\r\n--\"q\r\n"
    "Content-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\r\n"
    "bytes\r\n--\"q\t\r\n"
    "content-disposition: FORM-DATA; Name=model\r\n\r\n"
    "two\r\nlines\r\n--\"q--\r\n";

static void test_quotes_and_files(void **state)
{
    (void)state;
    char value[64];
    assert_int_equal(
        field("multipart/form-data; boundary=\"q\"", SLICE("--q\r\n\r\nx\r\n--q--"), "a", value),
        ERR_NOTFOUND);
    assert_int_equal(
        field("multipart/form-data; a=\";\\\"\"; boundary=q", SLICE("--q--"), "a", value),
        ERR_NOTFOUND);
    assert_int_equal(field("multipart/form-data; boundary=\"q", SLICE(plain), "file", value),
        ERR_NOTFOUND); /* a file is no field */
    assert_int_equal(
        field("multipart/form-data; boundary=\"q", SLICE(plain), "model", value), ERR_OK);
    assert_string_equal(value, "two\r\nlines");
}

/* Of a beginning: the field, as soon as its end is here; never another one. */
static void test_cut_at_each_byte(void **state)
{
    (void)state;
    char value[64];
    struct slice whole = SLICE(form);
    size_t first = (size_t)slice_find(whole, SLICE("groq/whisper\r\n--b1")) + 18;
    for (size_t size = 0; size < whole.size; size++) {
        enum err err = field(type, slice_sub(whole, 0, size), "model", value);
        assert_int_equal(err, size < first ? ERR_AGAIN : ERR_OK);
        if (!err)
            assert_string_equal(value, "groq/whisper");
    }
    struct slice other = SLICE(plain);
    size_t end = other.size - 2;
    for (size_t size = 0; size <= other.size; size++)
        assert_int_equal(
            field("multipart/form-data; boundary=\"q", slice_sub(other, 0, size), "absent", value),
            size < end ? ERR_AGAIN : ERR_NOTFOUND);
}

static void test_no_form(void **state)
{
    (void)state;
    char value[64], long_type[200];
    static const char *const types[] = {"", "application/json", "multipart/mixed; boundary=b",
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; bound=x"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        assert_int_equal(field(types[i], SLICE(form), "model", value), ERR_INVALID);
        assert_false(multipart_is_form(slice_text(types[i])));
    }
    assert_true(multipart_is_form(SLICE(type)));
    (void)snprintf(long_type, sizeof long_type, "multipart/form-data; boundary=%071d", 1);
    assert_false(multipart_is_form(slice_text(long_type)));
    assert_true(multipart_is_form(slice_text("multipart/form-data; boundary=0")));
    assert_int_equal(field(type, SLICE("--b1 x\r\n"), "a", value), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_quotes_and_files),
        cmocka_unit_test(test_cut_at_each_byte),
        cmocka_unit_test(test_no_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
