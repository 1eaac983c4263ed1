/* continuation — random responses and golden ones, cut between any two events, and gone on with by
 * another: what is joined is one well-formed response that says both. And what is asked for it. */
#include "protocol/dialect/continuation.h"

#include <stdio.h>
#include <string.h>

#include "tests/protocol/dialect/grammar.h"

enum { CASES = 25, PARTS_MAX = 5, BYTES_MAX = 1 << 20, EVENTS_MAX = 256 };

/* ---- a text of frames ---- */

struct frames {
    struct slice frames[EVENTS_MAX];
    size_t count;
};

static struct frames split(struct slice text)
{
    struct frames frames = {.count = 0};
    struct sse_splitter splitter = {0};
    size_t end;
    while (sse_split(&splitter, text, &end) == ERR_OK) {
        assert_true(frames.count < EVENTS_MAX);
        frames.frames[frames.count++] = slice_sub(text, 0, end);
        text = slice_sub(text, end, text.size - end);
    }
    return frames;
}

static struct slice head_of(struct slice text, const struct frames *frames, size_t cut)
{
    return cut == frames->count
               ? text
               : slice_sub(text, 0, (size_t)(frames->frames[cut].data - text.data));
}

/* ---- what a response says ---- */

struct said {
    struct fold fold;
    struct sequence sequence;
    uint8_t reader[256];
    size_t starts, ends;
};

static void said_init(struct said *said)
{
    *said = (struct said){.starts = 0};
    fold_init(&said->fold, FOLD_EVERYTHING);
    sequence_init(&said->sequence, &context);
}

static void said_deinit(struct said *said)
{
    fold_deinit(&said->fold);
    sequence_deinit(&said->sequence);
}

static void take(struct said *said)
{
    assert_int_equal(said->sequence.err, ERR_OK);
    for (size_t i = 0; i < said->sequence.count; i++) {
        const struct neutral_event *event = &said->sequence.events[i];
        assert_int_equal(fold_event(&said->fold, event), ERR_OK);
        said->starts += event->kind == NEUTRAL_START;
        said->ends += event->kind == NEUTRAL_DONE;
    }
    sequence_clear(&said->sequence);
}

static void hear(const struct codec *codec, struct slice text, struct said *said)
{
    struct frames frames = split(text);
    assert_true(codec->response->reader_bytes <= sizeof said->reader);
    for (size_t i = 0; i < frames.count; i++) {
        codec->response->read_event(said->reader, frames.frames[i], &said->sequence);
        take(said);
    }
    if (codec->response->read_end) {
        codec->response->read_end(said->reader, &said->sequence);
        take(said);
    }
}

static void join_text(const struct fold *fold, struct buf *out)
{
    for (size_t i = 0; i < fold->count; i++)
        if (fold->parts[i].kind == NEUTRAL_TEXT)
            assert_int_equal(buf_append(out, buf_slice(&fold->parts[i].text)), ERR_OK);
}

static void join_calls(const struct fold *fold, struct buf *out)
{
    for (size_t i = 0; i < fold->count; i++)
        if (fold->parts[i].kind == NEUTRAL_TOOL_CALL)
            assert_int_equal(
                buf_printf(out, "%.*s(%.*s) ", SLICE_PRINT(buf_slice(&fold->parts[i].name)),
                    SLICE_PRINT(buf_slice(&fold->parts[i].text))),
                ERR_OK);
}

/* The first's trailing space, where text ends it, is not said again by a text that the second begins with. */
static size_t repeated_size(const struct fold *first, const struct fold *second)
{
    const struct fold_part *last = fold_last(first), *next_part = &second->parts[0];
    size_t space = 0, same = 0;
    if (!last || last->kind != NEUTRAL_TEXT || second->count == 0 ||
        next_part->kind != NEUTRAL_TEXT)
        return 0;
    while (
        space < last->text.size && strchr(" \t\r\n", last->text.data[last->text.size - space - 1]))
        space++;
    while (same < space && same < next_part->text.size &&
           next_part->text.data[same] == last->text.data[last->text.size - space + same])
        same++;
    return same;
}

static int64_t both(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a + b;
}

/* Messages has no word for a count that nobody said. */
static void expect_count(int64_t got, int64_t expected)
{
    assert_true(got == expected || (got == 0 && expected < 0));
}

static void expect_said(
    const struct said *first, const struct said *second, const struct said *joined)
{
    CLEANUP(buf_deinit) struct buf expected, got;
    buf_init(&expected, BYTES_MAX);
    buf_init(&got, BYTES_MAX);
    join_text(&first->fold, &expected);
    size_t size = expected.size, drop = repeated_size(&first->fold, &second->fold);
    join_text(&second->fold, &expected);
    if (drop)
        memmove(expected.data + size, expected.data + size + drop, expected.size - size - drop);
    expected.size -= drop;
    join_text(&joined->fold, &got);
    if (!slice_equal(buf_slice(&got), buf_slice(&expected)))
        fail_msg("\n%.*s\n%.*s", SLICE_PRINT(buf_slice(&got)), SLICE_PRINT(buf_slice(&expected)));
    buf_clear(&expected);
    buf_clear(&got);
    join_calls(&first->fold, &expected);
    join_calls(&second->fold, &expected);
    join_calls(&joined->fold, &got);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&expected)));
    assert_int_equal(joined->starts, 1);
    assert_int_equal(joined->ends, 1);
    assert_false(joined->fold.is_failed);
    const struct usage *counts[] = {&first->fold.usage.counts, &second->fold.usage.counts};
    expect_count(joined->fold.usage.counts.output, both(counts[0]->output, counts[1]->output));
    expect_count(joined->fold.usage.counts.input, both(counts[0]->input, counts[1]->input));
}

/* ---- going on ---- */

static struct continuation *taken(
    const struct codec *caller, const struct frames *frames, size_t cut)
{
    struct continuation *continuation;
    assert_int_equal(continuation_new(caller, &context, &continuation), ERR_OK);
    for (size_t i = 0; i < cut; i++)
        assert_int_equal(continuation_take(continuation, frames->frames[i]), ERR_OK);
    return continuation;
}

static void go_on(struct continuation *continuation, const struct codec *provider,
    struct slice second, struct buf *out)
{
    struct frames frames = split(second);
    struct translation *translation;
    assert_int_equal(continuation_begin(continuation, provider, &translation), ERR_OK);
    for (size_t i = 0; i < frames.count; i++)
        assert_int_equal(translation_event(translation, frames.frames[i], out), ERR_OK);
    assert_int_equal(translation_end(translation, out), ERR_OK);
    (void)translation_free(translation);
}

/* Whether the cut could be gone on from. */
static bool check_cut(const struct codec *caller, const struct codec *provider, struct slice first,
    const struct frames *frames, size_t cut, struct slice second)
{
    CLEANUP(buf_deinit) struct buf whole;
    struct said said[3];
    const char *why = NULL;
    struct continuation *continuation = taken(caller, frames, cut);
    enum continuation_way way = continuation_can(continuation, false, &why);
    buf_init(&whole, BYTES_MAX);
    assert_int_equal(buf_append(&whole, head_of(first, frames, cut)), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        said_init(&said[i]);
    if (way == CONTINUATION_CANNOT)
        assert_true(why && *why);
    else if (way == CONTINUATION_ENDS)
        assert_int_equal(continuation_end(continuation, &whole), ERR_OK);
    else
        go_on(continuation, provider, second, &whole);
    if (way != CONTINUATION_CANNOT) {
        check_grammar(caller->name, buf_slice(&whole));
        hear(caller, head_of(first, frames, cut), &said[0]);
        if (way == CONTINUATION_ASKS)
            hear(provider, second, &said[1]);
        hear(caller, buf_slice(&whole), &said[2]);
        expect_said(&said[0], &said[1], &said[2]);
    }
    for (size_t i = 0; i < 3; i++)
        said_deinit(&said[i]);
    (void)continuation_free(continuation);
    return way != CONTINUATION_CANNOT;
}

static size_t check_cuts(const struct codec *caller, const struct codec *provider,
    struct slice first, struct slice second)
{
    struct frames frames = split(first);
    size_t done = 0;
    for (size_t cut = 0; cut < frames.count; cut++)
        done += check_cut(caller, provider, first, &frames, cut, second);
    return done;
}

/* ---- chance ---- */

static const char *const texts[] = {"a", "word \"quoted\" \\ ", "\n\n", " ", "é日本😀", "{\"x\":"};

static void some_part(struct sequence *sequence, uint64_t *chance)
{
    char id[32];
    uint64_t kind = next(chance) % 5;
    if (kind == 0) {
        struct slice copy;
        (void)snprintf(id, sizeof id, "call_%llx", (unsigned long long)next(chance));
        assert_int_equal(arena_copy(&sequence->arena, slice_text(id), &copy), ERR_OK);
        sequence_tool_call(sequence, copy, SLICE("tool"));
        struct slice input = slice_text(PICK(chance, arguments));
        size_t half = input.size / 2;
        sequence_arguments(sequence, slice_sub(input, 0, half));
        sequence_arguments(sequence, slice_sub(input, half, input.size - half));
    } else if (kind == 1) {
        sequence_text(sequence, NEUTRAL_REASONING, slice_text(PICK(chance, texts)));
        if (one_in(chance, 2))
            sequence_seal(sequence, SLICE("f"), SLICE("id"), SLICE("seal"));
    } else {
        for (uint64_t i = 1 + next(chance) % 3; i > 0; i--)
            sequence_text(sequence, NEUTRAL_TEXT, slice_text(PICK(chance, texts)));
    }
    if (one_in(chance, 3))
        sequence_close(sequence);
}

static void some_response(const struct codec *codec, uint64_t seed, struct buf *out)
{
    uint64_t chance = seed * 0x9e3779b97f4a7c15u | 1;
    CLEANUP(fold_deinit) struct fold fold;
    CLEANUP(sequence_deinit) struct sequence sequence;
    uint8_t state[512] = {0};
    struct sequence_context other = context;
    other.stream_id = SLICE("other");
    sequence_init(&sequence, &other);
    fold_init(&fold, codec->response->fold);
    sequence_start(&sequence, SLICE("id"), SLICE("their-model"), 7);
    for (uint64_t i = next(&chance) % PARTS_MAX; i > 0; i--)
        some_part(&sequence, &chance);
    sequence_finish(&sequence, NEUTRAL_STOP, SLICE_NONE);
    sequence_usage(&sequence,
        &(struct neutral_usage){
            .counts = {100, (int64_t)(next(&chance) % 50), 40, 7, -1}, .cache_write = -1});
    sequence_done(&sequence);
    assert_int_equal(sequence.err, ERR_OK);
    for (size_t i = 0; i < sequence.count; i++) {
        assert_int_equal(fold_event(&fold, &sequence.events[i]), ERR_OK);
        assert_int_equal(
            codec->response->write_event(state, &sequence.events[i], &other, &fold, out), ERR_OK);
    }
}

static void test_any_cut_of_any_response(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        for (size_t j = 0; j < COUNT_OF(callers); j++) {
            size_t done = 0;
            for (uint64_t seed = 1; seed <= CASES; seed++) {
                CLEANUP(buf_deinit) struct buf first, second;
                buf_init(&first, BYTES_MAX);
                buf_init(&second, BYTES_MAX);
                some_response(named(callers[i]), seed, &first);
                some_response(named(callers[j]), seed + 1000, &second);
                done += check_cuts(
                    named(callers[i]), named(callers[j]), buf_slice(&first), buf_slice(&second));
            }
            assert_true(done > CASES);
        }
}

/* ---- golden responses ---- */

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

/* The part of a case of translation that came in. */
static struct slice response_in(const struct buf *text)
{
    struct slice whole = buf_slice(text);
    ptrdiff_t from = slice_find(whole, SLICE("== from\n")),
              to = slice_find(whole, SLICE("== to\n"));
    if (from < 0 || to < from)
        return whole;
    return slice_sub(whole, (size_t)from + 8, (size_t)(to - from) - 8);
}

static const struct {
    const char *dialect, *path;
} goldens[] = {
    {"openai_chat", "golden/openai_chat/text_usage.sse"},
    {"openai_chat", "golden/openai_chat/text_no_usage.sse"},
    {"openai_chat", "golden/openai_chat/tool_calls.sse"},
    {"openai_chat", "golden/openai_chat/fooling_text.sse"},
    {"anthropic", "golden/anthropic/text.sse"},
    {"anthropic", "golden/anthropic/tool_use.sse"},
    {"anthropic", "golden/anthropic/cumulative.sse"},
    {"openai_responses", "golden/openai_responses/completed.sse"},
    {"openai_responses", "golden/openai_responses/incomplete.sse"},
    {"anthropic", "golden/translate/anthropic_to_chat_thinking_stream.txt"},
    {"openai_chat", "golden/translate/chat_to_anthropic_stream.txt"},
    {"openai_responses", "golden/translate/responses_to_chat_reasoning_stream.txt"},
    {"gemini", "golden/translate/gemini_to_chat_text_stream.txt"},
    {"gemini", "golden/translate/gemini_to_chat_thought_stream.txt"},
    {"gemini", "golden/translate/gemini_to_chat_call_stream.txt"},
    {"cohere", "golden/translate/cohere_to_chat_tools_stream.txt"},
};

static void test_any_cut_of_the_goldens(void **state)
{
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        CLEANUP(buf_deinit) struct buf first;
        const struct codec *caller = named(goldens[i].dialect);
        load(goldens[i].path, &first);
        for (size_t j = 0; j < COUNT_OF(goldens) && translate_takes_calls(caller); j++) {
            CLEANUP(buf_deinit) struct buf second;
            load(goldens[j].path, &second);
            done += check_cuts(
                caller, named(goldens[j].dialect), response_in(&first), response_in(&second));
        }
    }
    print_message("%zu joined\n", done);
    assert_true(done > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut_of_any_response),
        cmocka_unit_test(test_any_cut_of_the_goldens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
