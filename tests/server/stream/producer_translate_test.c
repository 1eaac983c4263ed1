/* producer_translate — storage has no room before each of the provider's frames in turn: what is made of
 * them is recorded whole, once, in order. */
#include "tests/server/stream/server_rig.h"

#define FRAME(name, data) "event: " name "\ndata: {\"type\":\"" name "\"," data "}\n\n"

enum {
    FRAMES = 6,
    LARGE_FRAME = 2,
    KEPT_FRAME = 4, /* what is made from here on is kept, and nothing comes after it */
    OUT_BYTES_MAX = 16 << 20,
};

static const struct codec *codec(const char *name)
{
    const struct codec *found;
    assert_int_equal(translate_codec(slice_text(name), &found), ERR_OK);
    return found;
}

/* A delta that is too large for the journal's fast way in; so are the events that repeat it. */
static char *large_delta(void)
{
    static const char head[] =
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"";
    static const char tail[] = "\"}}\n\n";
    size_t size = RIG_LARGE_BYTES;
    char *frame = malloc(size + sizeof head + sizeof tail);
    assert_non_null(frame);
    memcpy(frame, head, sizeof head - 1);
    memset(frame + sizeof head - 1, 'x', size);
    memcpy(frame + sizeof head - 1 + size, tail, sizeof tail);
    return frame;
}

static void fill_frames(const char *frames[FRAMES], const char *large)
{
    frames[0] = FRAME("message_start",
        "\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
        "\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}");
    frames[1] = FRAME(
        "content_block_start", "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}");
    frames[LARGE_FRAME] = large;
    frames[3] = FRAME("content_block_stop", "\"index\":0");
    frames[4] = FRAME("message_delta",
        "\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}");
    frames[5] = FRAME("message_stop", "\"x\":0");
}

/* What the caller is to get. */
static struct translation *expectation(const struct row *row)
{
    struct translation *translation;
    char id[ID_TEXT_BYTES];
    id_format(&row->id, id);
    const struct sequence_context context = {.stream_id = slice_text(id),
        .created_s = row->accepted_ns / 1000000000,
        .model = SLICE("asked"),
        .includes_usage = true};
    assert_int_equal(
        translation_new(codec("anthropic"), codec("openai_responses"), &context, &translation),
        ERR_OK);
    return translation;
}

static void run_blocked_before(int blocked, const char *const frames[FRAMES])
{
    struct rig *rig = rig_new();
    struct rig_reader reader;
    struct buf expected;
    struct stream *filler = NULL;
    bool is_refused = false;
    const struct producer_translate translate = {.provider = codec("anthropic"),
        .caller = codec("openai_responses"),
        .model = SLICE("asked"),
        .includes_usage = true,
        .left_out = SLICE("a.hint")};
    buf_init(&expected, OUT_BYTES_MAX);
    struct stream *stream = rig_generate_translated(rig, "/v1/responses", &translate);
    rig_reader_open(rig, stream, 0, true, &reader);
    struct translation *wanted = expectation(stream_row(stream));
    struct upstream *upstream = fake_last(rig->upstreams);
    fake_sse(upstream);
    rig_turns(rig, 5);
    for (int i = 0; i < FRAMES; i++) {
        if (i == blocked) {
            RIG_UNTIL(rig, reader.bytes.size == expected.size); /* the queue is empty */
            rig->is_disk_held = true;
            filler = rig_fill_queue(rig);
        }
        if (!fake_text(upstream, frames[i])) { /* it comes again by itself */
            is_refused = true;
            rig_turns(rig, 50);
            rig->is_disk_held = false;
            RIG_UNTIL(rig, !fake_is_paused(upstream));
        }
        assert_int_equal(translation_event(wanted, slice_text(frames[i]), &expected), ERR_OK);
    }
    assert_int_equal(is_refused, blocked < KEPT_FRAME);
    rig_turns(rig, 50);
    rig->is_disk_held = false;
    fake_end(upstream, UPSTREAM_COMPLETE);
    RIG_UNTIL(rig, reader.err != ERR_AGAIN);
    const struct row *row = stream_row(stream);
    assert_int_equal(row->state, STREAM_COMPLETED);
    assert_int_equal(row->usage.output, 7);
    assert_true(slice_find(row->head, SLICE("Tokenlog-Left-Out: a.hint\r\n")) >= 0);
    assert_true(slice_equal(buf_slice(&reader.bytes), buf_slice(&expected)));
    if (filler) {
        rig_end_tail(rig, filler, STREAM_STOPPED);
        stream_unref(filler);
    }
    rig_reader_close(&reader);
    stream_unref(stream);
    buf_deinit(&expected);
    translation_free(wanted);
    rig_free(rig);
}

static void test_blocked(void **state)
{
    (void)state;
    char *large = large_delta();
    const char *frames[FRAMES];
    fill_frames(frames, large);
    for (int blocked = 0; blocked <= FRAMES; blocked++)
        run_blocked_before(blocked, frames);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
