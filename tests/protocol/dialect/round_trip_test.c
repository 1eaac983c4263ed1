/* round_trip — what is said in one dialect, told in another and told back, is the same text byte for
 * byte: random conversations, and random responses, streamed and whole, for each pair of dialects.
 *
 * The generator keeps to what both dialects can say. (What they cannot is in golden/translate.) */
#include "tests/protocol/dialect/callers.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/http/sse.h"

enum { CASES = 100, OUT_BYTES_MAX = 1 << 22 };

/* ---- chance ---- */

struct chance {
    uint64_t state;
    struct arena *arena;
};

/* Text that needs every kind of escape, never empty. */
static struct slice some_text(struct chance *chance)
{
    static const char *const pieces[] = {"a", "word ", "\"", "\\", "\n", "é", "日本", "😀", "\t",
        "data: [DONE]\n\n", "{\"x\":", "\x01", "</s>", "'", "\x7f"};
    struct buf text;
    struct slice copy;
    buf_init(&text, 4096);
    for (uint64_t i = 1 + next(&chance->state) % 6; i > 0; i--)
        assert_int_equal(buf_append_text(&text, PICK(&chance->state, pieces)), ERR_OK);
    if (one_in(&chance->state, 8))
        assert_int_equal(buf_append_byte(&text, 0), ERR_OK);
    assert_int_equal(arena_copy(chance->arena, buf_slice(&text), &copy), ERR_OK);
    buf_deinit(&text);
    return copy;
}

static struct slice some_id(struct chance *chance, const char *prefix)
{
    char text[64];
    struct slice copy;
    int size = snprintf(text, sizeof text, "%s%llx", prefix,
        (unsigned long long)(next(&chance->state) & 0xffffffffff));
    assert_int_equal(arena_copy(chance->arena, slice_of(text, (size_t)size), &copy), ERR_OK);
    return copy;
}

static struct slice some_arguments(struct chance *chance)
{
    return slice_text(PICK(&chance->state, arguments));
}

static void *take(struct chance *chance, size_t size)
{
    void *taken;
    assert_int_equal(arena_take(chance->arena, size, &taken), ERR_OK);
    return taken;
}

/* ---- conversations ---- */

static struct neutral_part *some_part(
    struct chance *chance, enum neutral_part_kind kind, struct neutral_part *next_part)
{
    struct neutral_part *part = take(chance, sizeof *part);
    *part = (struct neutral_part){.next = next_part, .kind = kind};
    if (kind == NEUTRAL_TEXT)
        part->text = some_text(chance);
    if (kind == NEUTRAL_IMAGE && one_in(&chance->state, 2)) {
        part->url = SLICE("https://example.com/a.png");
    } else if (kind == NEUTRAL_IMAGE) {
        part->media_type = SLICE("image/png");
        part->data = SLICE("iVBORw0KGgo=");
    }
    if (kind == NEUTRAL_TOOL_CALL) {
        part->id = some_id(chance, "call_");
        part->name = some_id(chance, "tool_");
        part->text = some_arguments(chance);
    }
    return part;
}

static struct neutral_message *add_message(struct chance *chance, struct neutral_request *request,
    enum neutral_role role, struct neutral_part *parts)
{
    struct neutral_message *message = take(chance, sizeof *message);
    *message = (struct neutral_message){.role = role, .parts = parts};
    *request->messages_end = message;
    request->messages_end = (void **)message;
    return message;
}

/* A result for each call of the assistant's message, in order; then the user's own words. */
static struct neutral_part *some_results(
    struct chance *chance, const struct neutral_part *calls, struct neutral_part *rest)
{
    struct neutral_part *first = rest, **end = &first;
    for (; calls; calls = calls->next) {
        if (calls->kind != NEUTRAL_TOOL_CALL)
            continue;
        struct neutral_part *result = some_part(chance, NEUTRAL_TOOL_RESULT, rest);
        result->id = calls->id;
        result->content = some_part(chance, NEUTRAL_TEXT, NULL);
        *end = result;
        end = &result->next;
    }
    return first;
}

static void some_turns(struct chance *chance, struct neutral_request *request)
{
    const struct neutral_part *calls = NULL;
    if (one_in(&chance->state, 2))
        add_message(chance, request, NEUTRAL_SYSTEM, some_part(chance, NEUTRAL_TEXT, NULL));
    for (uint64_t turns = 1 + next(&chance->state) % 4; turns > 0; turns--) {
        struct neutral_part *words = some_part(chance, NEUTRAL_TEXT, NULL);
        if (one_in(&chance->state, 3))
            words = some_part(chance, NEUTRAL_IMAGE, words);
        if (calls && one_in(&chance->state, 2))
            words = NULL;
        add_message(chance, request, NEUTRAL_USER, some_results(chance, calls, words));
        struct neutral_part *answer = NULL;
        for (uint64_t i = next(&chance->state) % 3; i > 0; i--)
            answer = some_part(chance, NEUTRAL_TOOL_CALL, answer);
        calls = answer;
        if (!answer || one_in(&chance->state, 2))
            answer = some_part(chance, NEUTRAL_TEXT, answer);
        add_message(chance, request, NEUTRAL_ASSISTANT, answer);
    }
    add_message(chance, request, NEUTRAL_USER,
        some_results(chance, calls, some_part(chance, NEUTRAL_TEXT, NULL)));
}

static void some_tools(struct chance *chance, struct neutral_request *request)
{
    for (uint64_t i = next(&chance->state) % 3; i > 0; i--) {
        struct neutral_tool *tool = take(chance, sizeof *tool);
        *tool = (struct neutral_tool){.name = some_id(chance, "tool_"),
            .description = one_in(&chance->state, 2) ? some_text(chance) : SLICE_NONE,
            .schema = SLICE("{\"type\":\"object\", \"maximum\": 1e1}"),
            .strict = one_in(&chance->state, 2) ? SLICE("true") : SLICE("false")};
        *request->tools_end = tool;
        request->tools_end = (void **)tool;
    }
    if (!request->tools)
        return;
    request->choice.kind = (enum neutral_choice)(next(&chance->state) % (NEUTRAL_CHOICE_NAMED + 1));
    if (request->choice.kind == NEUTRAL_CHOICE_NAMED)
        request->choice.name = request->tools->name;
}

static void some_options(struct chance *chance, struct neutral_request *request)
{
    request->is_streamed = one_in(&chance->state, 2);
    request->options[NEUTRAL_OUTPUT_TOKENS].raw = SLICE("4000");
    if (one_in(&chance->state, 2))
        request->options[NEUTRAL_TEMPERATURE].raw = SLICE("0.70");
    if (one_in(&chance->state, 2))
        request->options[NEUTRAL_TOP_P].raw = SLICE("1e-1");
    if (one_in(&chance->state, 2))
        request->options[NEUTRAL_USER_ID].raw = SLICE("\"u\\u00e9\"");
    if (one_in(&chance->state, 3))
        request->reasoning.effort = one_in(&chance->state, 2) ? SLICE("low") : SLICE("high");
    if (one_in(&chance->state, 3)) {
        request->format.kind = NEUTRAL_FORMAT_SCHEMA;
        request->format.name = SLICE("response");
        request->format.strict = SLICE("true");
        request->format.schema = SLICE("{\"type\": \"object\"}");
    }
}

static const struct translate_target target = {
    .model = {(const uint8_t *)"m", 1}, .takes_effort = true};

static struct buf write_in(const struct codec *codec, const struct neutral_request *request)
{
    struct translated_request sent;
    struct neutral_report report;
    neutral_report_init(&report);
    translated_request_init(&sent, OUT_BYTES_MAX);
    if (codec->write_request(request, &target, &sent, &report) != ERR_OK)
        fail_msg("%s: %s", report.path, report.why);
    assert_int_equal(report.left_out.size, 0);
    neutral_report_deinit(&report);
    buf_deinit(&sent.path);
    return sent.body;
}

static struct buf translate(
    const struct codec *from, const struct codec *to, const struct buf *body)
{
    struct translated_request sent;
    struct neutral_report report;
    neutral_report_init(&report);
    translated_request_init(&sent, OUT_BYTES_MAX);
    if (translate_request(from, to, buf_slice(body), &target, &sent, &report) != ERR_OK)
        fail_msg("%s: %s in %.*s", report.path, report.why, SLICE_PRINT(buf_slice(body)));
    assert_int_equal(report.left_out.size, 0);
    neutral_report_deinit(&report);
    buf_deinit(&sent.path);
    return sent.body;
}

static void assert_same(const char *a, const char *b, const struct buf *first,
    const struct buf *there, const struct buf *back)
{
    if (!slice_equal(buf_slice(first), buf_slice(back)))
        fail_msg("%s by %s\n%.*s\n%.*s\n%.*s", a, b, SLICE_PRINT(buf_slice(first)),
            SLICE_PRINT(buf_slice(there)), SLICE_PRINT(buf_slice(back)));
}

static void check_request(const char *a, const char *b, uint64_t seed)
{
    struct neutral_request request;
    neutral_request_init(&request);
    struct chance chance = {seed * 0x9e3779b97f4a7c15u | 1, &request.arena};
    some_turns(&chance, &request);
    some_tools(&chance, &request);
    some_options(&chance, &request);
    CLEANUP(buf_deinit) struct buf first = write_in(named(a), &request);
    CLEANUP(buf_deinit) struct buf there = translate(named(a), named(b), &first);
    CLEANUP(buf_deinit) struct buf back = translate(named(b), named(a), &there);
    assert_same(a, b, &first, &there, &back);
    neutral_request_deinit(&request);
}

/* ---- responses ---- */

/* A text in pieces, cut between characters. */
static void say_in_pieces(struct chance *chance, struct sequence *sequence,
    enum neutral_part_kind kind, struct slice text)
{
    while (text.size) {
        size_t size = 1 + next(&chance->state) % text.size;
        while (size < text.size && (text.data[size] & 0xC0) == 0x80)
            size++;
        if (kind == NEUTRAL_TOOL_CALL)
            sequence_arguments(sequence, slice_sub(text, 0, size));
        else
            sequence_text(sequence, kind, slice_sub(text, 0, size));
        text = slice_sub(text, size, text.size);
    }
}

/* (Responses tie a seal of their own to an item's ID, which is ours once it was told elsewhere.) */
static void some_response(struct chance *chance, struct sequence *sequence, bool has_refusal)
{
    static const char *const formats[] = {NEUTRAL_FORMAT_ANTHROPIC, "google-gemini-v1", "unknown"};
    sequence_start(sequence, SLICE("id"), SLICE("their-model"), 0);
    if (one_in(&chance->state, 2)) {
        say_in_pieces(chance, sequence, NEUTRAL_REASONING, some_text(chance));
        if (one_in(&chance->state, 2))
            sequence_seal(sequence, slice_text(formats[next(&chance->state) % 3]), SLICE_NONE,
                SLICE("EsEC+/=="));
    }
    if (one_in(&chance->state, 4))
        sequence_redacted(
            sequence, slice_text(formats[next(&chance->state) % 3]), SLICE_NONE, SLICE("EmwK"));
    if (one_in(&chance->state, 2))
        say_in_pieces(chance, sequence, NEUTRAL_TEXT, some_text(chance));
    if (has_refusal && one_in(&chance->state, 4))
        say_in_pieces(chance, sequence, NEUTRAL_REFUSAL, some_text(chance));
    for (uint64_t i = next(&chance->state) % 3; i > 0; i--) {
        sequence_tool_call(sequence, some_id(chance, "call_"), some_id(chance, "tool_"));
        say_in_pieces(chance, sequence, NEUTRAL_TOOL_CALL, some_arguments(chance));
    }
    static const enum neutral_finish finishes[] = {
        NEUTRAL_STOP, NEUTRAL_LENGTH, NEUTRAL_CONTENT_FILTER};
    sequence_finish(sequence, finishes[next(&chance->state) % 3], SLICE_NONE);
    int64_t cached = (int64_t)(next(&chance->state) % 100),
            written = (int64_t)(next(&chance->state) % 100);
    struct neutral_usage usage = {
        .counts = {.input = cached + written + (int64_t)(next(&chance->state) % 1000),
            .output = 100 + (int64_t)(next(&chance->state) % 1000),
            .cached = cached,
            .reasoning = (int64_t)(next(&chance->state) % 100),
            .total = -1},
        .cache_write = written,
    };
    sequence_usage(sequence, &usage);
    sequence_done(sequence);
    assert_int_equal(sequence->err, ERR_OK);
}

static struct buf write_stream(const struct codec *codec, const struct sequence *sequence)
{
    struct fold fold;
    struct buf out;
    uint8_t state[512] = {0};
    assert_true(codec->response->writer_bytes <= sizeof state);
    fold_init(&fold, codec->response->fold);
    buf_init(&out, OUT_BYTES_MAX);
    for (size_t i = 0; i < sequence->count; i++) {
        assert_int_equal(fold_event(&fold, &sequence->events[i]), ERR_OK);
        assert_int_equal(
            codec->response->write_event(state, &sequence->events[i], &context, &fold, &out),
            ERR_OK);
    }
    fold_deinit(&fold);
    return out;
}

static struct buf write_whole(const struct codec *codec, const struct sequence *sequence)
{
    struct fold fold;
    struct buf out;
    fold_init(&fold, FOLD_EVERYTHING);
    buf_init(&out, OUT_BYTES_MAX);
    for (size_t i = 0; i < sequence->count; i++)
        assert_int_equal(fold_event(&fold, &sequence->events[i]), ERR_OK);
    assert_int_equal(codec->response->write_body(&context, &fold, &out), ERR_OK);
    fold_deinit(&fold);
    return out;
}

static struct buf tell(
    const struct codec *from, const struct codec *to, const struct buf *said, bool is_streamed)
{
    struct translation *translation;
    struct sse_splitter splitter = {0};
    struct slice rest = buf_slice(said);
    struct buf out;
    size_t end;
    int status = 200;
    buf_init(&out, OUT_BYTES_MAX);
    assert_int_equal(translation_new(from, to, &context, &translation), ERR_OK);
    while (is_streamed && sse_split(&splitter, rest, &end) == ERR_OK) {
        assert_int_equal(translation_event(translation, slice_sub(rest, 0, end), &out), ERR_OK);
        rest = slice_sub(rest, end, rest.size);
    }
    if (!is_streamed)
        assert_int_equal(translation_body(translation, rest, &out, &status), ERR_OK);
    assert_int_equal(status, 200);
    (void)translation_free(translation);
    return out;
}

static void check_response(const char *a, const char *b, uint64_t seed)
{
    struct sequence sequence;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    sequence_init(&sequence, &context);
    struct chance chance = {seed * 0xd6e8feb86659fd93u | 1, &arena};
    bool has_refusal = strcmp(a, "anthropic") != 0 && strcmp(b, "anthropic") != 0;
    some_response(&chance, &sequence, has_refusal);
    for (int is_streamed = 0; is_streamed < 2; is_streamed++) {
        CLEANUP(buf_deinit)
        struct buf first =
            is_streamed ? write_stream(named(a), &sequence) : write_whole(named(a), &sequence);
        CLEANUP(buf_deinit) struct buf there = tell(named(a), named(b), &first, is_streamed);
        CLEANUP(buf_deinit) struct buf back = tell(named(b), named(a), &there, is_streamed);
        assert_same(a, b, &first, &there, &back);
    }
    sequence_deinit(&sequence);
    arena_deinit(&arena);
}

/* ---- all pairs ---- */

static void for_each_pair(void (*check)(const char *a, const char *b, uint64_t seed))
{
    for (size_t a = 0; a < COUNT_OF(callers); a++)
        for (size_t b = 0; b < COUNT_OF(callers); b++)
            for (uint64_t seed = 1; seed <= CASES; seed++)
                check(callers[a], callers[b], seed);
}

static void test_requests(void **state)
{
    (void)state;
    for_each_pair(check_request);
}

static void test_responses(void **state)
{
    (void)state;
    for_each_pair(check_response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
