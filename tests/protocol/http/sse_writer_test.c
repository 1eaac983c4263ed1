/* sse_writer — what is written is read back by the rules of SSE, however the bytes were cut. */
#include "protocol/http/sse_writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "protocol/base/base64.h"
#include "protocol/base/own.h"
#include "protocol/http/sse.h"

static void write_cut(struct slice bytes, size_t piece, bool is_base64, struct buf *out)
{
    struct sse_writer writer;
    assert_int_equal(sse_writer_begin(&writer, is_base64, out), ERR_OK);
    for (size_t at = 0; at < bytes.size; at += piece)
        assert_int_equal(sse_writer_write(&writer, slice_sub(bytes, at, piece), out), ERR_OK);
    assert_int_equal(sse_writer_end(&writer, out), ERR_OK);
    assert_true(out->size <= bytes.size * SSE_WRITER_EXPANSION + SSE_WRITER_FRAME_BYTES);
}

/* One event, named data, and its data. */
static void read_back(struct slice text, struct buf *data, struct slice *out)
{
    struct sse_splitter splitter = {0};
    struct sse_fields fields;
    size_t end;
    assert_int_equal(sse_split(&splitter, text, &end), ERR_OK);
    assert_int_equal(end, text.size);
    assert_int_equal(sse_fields(text, data, &fields), ERR_OK);
    assert_true(slice_equal(fields.event, SLICE("data")));
    *out = sse_data(&fields, data);
}

static void test_text(void **state)
{
    static const struct {
        const char *bytes, *data;
    } cases[] = {{"plain", "plain"}, {"", ""}, {"a\nb", "a\nb"}, {"a\r\nb\rc", "a\nb\nc"},
        {" space\n  two", " space\n  two"},
        {"x\n\nevent: control\ndata: {}\n\n", "x\n\nevent: control\ndata: {}\n\n"},
        {"\r\r\n\n", "\n\n\n"}, {"end\n", "end\n"}, {"a\r b", "a\n b"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 8; piece++) {
            CLEANUP(buf_deinit) struct buf text;
            CLEANUP(buf_deinit) struct buf data;
            struct slice got;
            buf_init(&text, 1024);
            buf_init(&data, 1024);
            write_cut(slice_text(cases[i].bytes), piece, false, &text);
            read_back(buf_slice(&text), &data, &got);
            assert_true(slice_equal(got, slice_text(cases[i].data)));
        }
}

static void test_base64(void **state)
{
    uint8_t bytes[100];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 83);
    for (size_t size = 0; size <= sizeof bytes; size += 9)
        for (size_t piece = 1; piece < 8; piece++) {
            CLEANUP(buf_deinit) struct buf text;
            CLEANUP(buf_deinit) struct buf data;
            CLEANUP(buf_deinit) struct buf back;
            struct slice got;
            buf_init(&text, 1024);
            buf_init(&data, 1024);
            buf_init(&back, 1024);
            write_cut(slice_of(bytes, size), piece, true, &text);
            read_back(buf_slice(&text), &data, &got);
            assert_int_equal(base64_decode(got, &back), ERR_OK);
            assert_true(slice_equal(buf_slice(&back), slice_of(bytes, size)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_base64)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
