/* replicate_response — retold (retelling.h): predictions as Replicate tells them, whose text stands in
 * lines of its own, and as a Cog container does; and as a whole. */
#include "tests/protocol/dialect/retelling.h"

/* ---- pieces ---- */

static void put(struct telling *telling, const char *text)
{
    assert_int_equal(buf_append_text(&telling->chunks, text), ERR_OK);
}

/* A line of the text, a line of the event. */
static void tell_plainly(struct telling *telling, struct slice text)
{
    put(telling, "event: output\nid: 1:0\n");
    for (;;) {
        ptrdiff_t end = slice_find_byte(text, '\n');
        struct slice line = slice_sub(text, 0, end < 0 ? text.size : (size_t)end);
        put(telling, "data: ");
        assert_int_equal(buf_append(&telling->chunks, line), ERR_OK);
        put(telling, "\n");
        if (end < 0)
            break;
        text = slice_sub(text, line.size + 1, text.size);
    }
    put(telling, "\n");
}

static void tell_chunk(struct telling *telling, struct slice text)
{
    codec_open_event(&telling->writer, &telling->chunks, "output");
    codec_member(&telling->writer, "chunk", text);
    codec_close_event(&telling->writer);
    assert_int_equal(telling->writer.err, ERR_OK);
}

/* `tell` may be NULL: then they are a list of the object's. */
static void tell_pieces(struct telling *telling, uint64_t *chance,
    void (*tell)(struct telling *telling, struct slice text))
{
    for (uint64_t i = next(chance) % PARTS_MAX; i > 0; i--) {
        struct slice text = slice_text(PICK(chance, texts));
        if (tell)
            tell(telling, text);
        else
            json_string(&telling->writer, text);
        sequence_text(&telling->sequence, NEUTRAL_TEXT, text);
    }
}

static void tell_metrics(struct json_writer *writer)
{
    json_key(writer, "metrics");
    json_open(writer, '{');
    codec_count_member(writer, "input_token_count", 7);
    codec_count_member(writer, "output_token_count", 12);
    json_close(writer, '}');
}

/* ---- a response ---- */

static void end(struct telling *telling, bool is_counted)
{
    struct neutral_usage usage = {.counts = {7, 12, -1, -1, 19}, .cache_write = -1};
    if (is_counted)
        sequence_usage(&telling->sequence, &usage);
    sequence_finish(&telling->sequence, NEUTRAL_STOP, SLICE_NONE);
    sequence_done(&telling->sequence);
    assert_int_equal(telling->sequence.err, ERR_OK);
}

static void tell_whole(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    json_writer_init(writer, &telling->chunks);
    json_open(writer, '{');
    codec_member(writer, "id", SLICE("p1"));
    codec_member(writer, "status", SLICE("succeeded"));
    json_key(writer, "output");
    json_open(writer, '[');
    tell_pieces(telling, chance, NULL);
    json_close(writer, ']');
    tell_metrics(writer);
    json_close(writer, '}');
    assert_int_equal(writer->err, ERR_OK);
    end(telling, true);
}

static void some_prediction(struct telling *telling, uint64_t *chance)
{
    sequence_start(&telling->sequence, SLICE_NONE, SLICE_NONE, 0);
    if (!telling->is_streamed) {
        tell_whole(telling, chance);
        return;
    }
    tell_pieces(telling, chance, tell_plainly);
    if (one_in(chance, 2))
        put(telling, "event: logs\ndata: 42%\n\n");
    put(telling, "event: done\nid: 1:9\ndata: {}\n\n");
    end(telling, false);
}

static void some_containers(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    sequence_start(&telling->sequence, SLICE_NONE, SLICE_NONE, 0);
    if (!telling->is_streamed) {
        tell_whole(telling, chance);
        return;
    }
    put(telling, "event: start\ndata: {\"id\":\"p1\",\"status\":\"processing\"}\n\n");
    tell_pieces(telling, chance, tell_chunk);
    codec_open_event(writer, &telling->chunks, "completed");
    codec_member(writer, "status", SLICE("succeeded"));
    tell_metrics(writer);
    codec_close_event(writer);
    assert_int_equal(writer->err, ERR_OK);
    end(telling, true);
}

static const struct provider providers[] = {
    {"replicate", some_prediction}, {"cog", some_containers}};

static void check_both(bool is_streamed)
{
    for (size_t i = 0; i < COUNT_OF(providers); i++)
        check_all(&providers[i], is_streamed);
}

static void test_streams(void **state)
{
    (void)state;
    check_both(true);
}

static void test_bodies(void **state)
{
    (void)state;
    check_both(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
