/* translate — the golden cases of golden/translate, a file each; streams fed in every way; what is
 * refused.
 *
 *     source: where the shape of the provider's or caller's text is known from
 *     kind: request | stream | body | failure
 *     caller: openai_chat
 *     provider: anthropic
 *     usage: yes                  the caller asked for usage in the stream
 *     status: 529                 of a failure, or what a body gives
 *     left_out: tools[0].cache_control
 *     refused: messages[0].name   a request: no second part then
 *     target: effort, reasoning, max_tokens, model=NAME
 *     ends: framing               a cut may be an end: HTTP's is one
 *     ends: error                 of a stream: with one, in the eyes of the caller
 *     == from
 *     … the caller's request, or the provider's response
 *     == to
 *     … the provider's request, or the caller's response
 *
 * A stream of binary messages is written as lines: messages.h.
 *
 * A blank line before `==`, and the end of the file, belong to the part before. To write the second
 * parts anew, for reading: TOKENLOG_GOLDEN_WRITE=1. */
#include "protocol/dialect/translate.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/dialect/dialect.h"
#include "protocol/http/frames.h"
#include "tests/protocol/dialect/messages.h"

enum { CASE_BYTES_MAX = 1 << 20, OUT_BYTES_MAX = 1 << 22 };

static const char folder[] = "golden/translate";

struct golden {
    char path[512];
    struct buf text;
    struct slice head, from, to;
};

static void golden_open(struct golden *golden, const char *name)
{
    uint8_t *at;
    (void)snprintf(golden->path, sizeof golden->path, "%s/%s", folder, name);
    buf_init(&golden->text, CASE_BYTES_MAX);
    FILE *file = fopen(golden->path, "rb");
    assert_non_null(file);
    assert_int_equal(buf_reserve(&golden->text, CASE_BYTES_MAX, &at), ERR_OK);
    buf_commit(&golden->text, fread(at, 1, CASE_BYTES_MAX, file));
    assert_int_equal(fclose(file), 0);
    struct slice text = buf_slice(&golden->text);
    ptrdiff_t from = slice_find(text, SLICE("== from\n"));
    ptrdiff_t to = slice_find(text, SLICE("== to\n"));
    assert_true(from > 0);
    size_t end = to < 0 ? text.size : (size_t)to;
    size_t begin = (size_t)from + strlen("== from\n");
    golden->head = slice_sub(text, 0, (size_t)from);
    golden->from = slice_sub(text, begin, end - begin);
    golden->to = to < 0 ? SLICE_NONE : slice_sub(text, end + strlen("== to\n"), text.size);
}

static void golden_close(struct golden *golden)
{
    buf_deinit(&golden->text);
}

/* The value of a line of the head; empty if there is none. */
static struct slice said(const struct golden *golden, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s: ", name);
    struct slice rest = golden->head;
    while (rest.size) {
        ptrdiff_t end = slice_find_byte(rest, '\n');
        struct slice line = slice_sub(rest, 0, end < 0 ? rest.size : (size_t)end);
        if (slice_has_prefix(line, slice_text(key)))
            return slice_sub(line, strlen(key), line.size);
        rest = slice_sub(rest, line.size + 1, rest.size);
    }
    return SLICE_NONE;
}

static const struct codec *codec(struct slice name)
{
    const struct codec *found = NULL;
    if (translate_codec(name, &found) != ERR_OK)
        fail_msg("no codec %.*s", SLICE_PRINT(name));
    return found;
}

static void rewrite(const struct golden *golden, struct slice to)
{
    FILE *file = fopen(golden->path, "wb");
    assert_non_null(file);
    (void)fwrite(golden->head.data, 1, golden->head.size, file);
    (void)fwrite("== from\n", 1, strlen("== from\n"), file);
    (void)fwrite(golden->from.data, 1, golden->from.size, file);
    if (to.size) {
        (void)fwrite("== to\n", 1, strlen("== to\n"), file);
        (void)fwrite(to.data, 1, to.size, file);
    }
    assert_int_equal(fclose(file), 0);
}

static void assert_text(const struct golden *golden, struct slice got)
{
    if (getenv("TOKENLOG_GOLDEN_WRITE"))
        rewrite(golden, got);
    else if (!slice_equal(got, golden->to))
        fail_msg("%s: got\n%.*s", golden->path, SLICE_PRINT(got));
}

/* ---- requests ---- */

static struct translate_target target_of(const struct golden *golden)
{
    struct slice words = said(golden, "target");
    ptrdiff_t model = slice_find(words, SLICE("model="));
    return (struct translate_target){
        .model = model < 0 || words.size == 0
                     ? SLICE("their-model")
                     : slice_sub(words, (size_t)model + strlen("model="), words.size),
        .takes_effort = slice_find(words, SLICE("effort")) >= 0 && words.size,
        .takes_reasoning = slice_find(words, SLICE("reasoning")) >= 0 && words.size,
        .takes_max_tokens = slice_find(words, SLICE("max_tokens")) >= 0 && words.size,
    };
}

static void check_request(const struct golden *golden)
{
    CLEANUP(translated_request_deinit) struct translated_request sent;
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    CLEANUP(buf_deinit) struct buf got;
    struct translate_target target = target_of(golden);
    struct slice refused = said(golden, "refused");
    buf_init(&got, OUT_BYTES_MAX);
    translated_request_init(&sent, OUT_BYTES_MAX);
    neutral_report_init(&report);
    enum err err = translate_request(codec(said(golden, "caller")), codec(said(golden, "provider")),
        golden->from, &target, &sent, &report);
    if (refused.size) {
        assert_int_equal(err, ERR_INVALID);
        if (!slice_equal(slice_text(report.path), refused))
            fail_msg("%s: refused %s: %s", golden->path, report.path, report.why);
        assert_true(report.why[0]);
        return;
    }
    if (err != ERR_OK)
        fail_msg("%s: %s: %s: %s", golden->path, err_name(err), report.path, report.why);
    struct slice left_out = said(golden, "left_out");
    if (!slice_equal(buf_slice(&report.left_out), left_out))
        fail_msg("%s: left out %.*s", golden->path, SLICE_PRINT(buf_slice(&report.left_out)));
    assert_int_equal(buf_printf(&got, "POST %.*s\n%s\n%.*s\n", SLICE_PRINT(buf_slice(&sent.path)),
                         sent.headers, SLICE_PRINT(buf_slice(&sent.body))),
        ERR_OK);
    assert_text(golden, buf_slice(&got));
}

/* ---- responses ---- */

static struct sequence_context context_of(const struct golden *golden)
{
    return (struct sequence_context){
        .stream_id = SLICE("0198c0de-0000-7000-8000-000000000001"),
        .created_s = 1767225600,
        .model = SLICE("our-model"),
        .includes_usage = slice_equal(said(golden, "usage"), SLICE("yes")),
    };
}

static struct translation *begin(const struct golden *golden)
{
    struct translation *translation;
    struct sequence_context context = context_of(golden);
    assert_int_equal(translation_new(codec(said(golden, "provider")), codec(said(golden, "caller")),
                         &context, &translation),
        ERR_OK);
    return translation;
}

/* How much of `held` is one frame; 0 if there is none yet. */
static size_t first_frame(enum framing framing, struct slice text)
{
    struct frame_splitter splitter = {.framing = framing};
    size_t end = 0;
    return frame_split(&splitter, text, &end) == ERR_OK ? end : 0;
}

/* Feeds `text` in pieces of at most `step` bytes. */
static void feed(const struct golden *golden, struct slice text, size_t step, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf held;
    struct translation *translation = begin(golden);
    enum framing framing = translate_framing_of(codec(said(golden, "provider")));
    size_t frame;
    buf_init(&held, CASE_BYTES_MAX);
    while (text.size) {
        assert_int_equal(buf_append(&held, slice_sub(text, 0, step)), ERR_OK);
        text = slice_sub(text, step, text.size);
        while ((frame = first_frame(framing, buf_slice(&held))) > 0) {
            assert_int_equal(
                translation_event(translation, slice_of(held.data, frame), out), ERR_OK);
            buf_consume(&held, frame);
        }
    }
    assert_int_equal(translation_end(translation, out), ERR_OK);
    (void)translation_free(translation);
}

/* A caller is told of an error where the case says so, and nowhere else. */
static void check_end(const struct golden *golden, struct slice told)
{
    const struct dialect *dialect = translate_dialect(codec(said(golden, "caller")));
    struct frame_splitter splitter = {.framing = dialect->framing};
    struct dialect_reading reading;
    size_t end;
    dialect_reading_init(&reading);
    while (frame_split(&splitter, told, &end) == ERR_OK) {
        (void)dialect->read_event(&reading, slice_sub(told, 0, end));
        told = slice_sub(told, end, told.size);
    }
    if (reading.is_failed != slice_equal(said(golden, "ends"), SLICE("error")))
        fail_msg("%s: the caller hears %s", golden->path, reading.is_failed ? "an error" : "none");
}

/* Whole, in pieces of every small size, and cut in two at each offset: each gives the same. Of a
 * stream that is cut off, what is written is the beginning of the whole. */
static void check_stream(const struct golden *golden)
{
    CLEANUP(buf_deinit) struct buf whole, got, messages;
    enum framing framing = translate_framing_of(codec(said(golden, "provider")));
    struct slice from = golden->from;
    buf_init(&whole, OUT_BYTES_MAX);
    buf_init(&got, OUT_BYTES_MAX);
    buf_init(&messages, OUT_BYTES_MAX);
    if (framing == FRAMING_EVENT_STREAM) {
        messages_of_lines(from, &messages);
        from = buf_slice(&messages);
    }
    size_t size = from.size;
    feed(golden, from, size, &whole);
    assert_text(golden, buf_slice(&whole));
    check_end(golden, buf_slice(&whole));
    for (size_t step = 1; step < 4; step++) {
        buf_clear(&got);
        feed(golden, from, step, &got);
        assert_true(slice_equal(buf_slice(&got), buf_slice(&whole)));
    }
    bool has_terminator = !slice_equal(said(golden, "ends"), SLICE("framing"));
    for (size_t cut = 0; has_terminator && cut < size; cut += 1 + size / 200) {
        buf_clear(&got);
        feed(golden, slice_sub(from, 0, cut), size, &got);
        assert_true(slice_has_prefix(buf_slice(&whole), buf_slice(&got)));
    }
}

static void check_body(const struct golden *golden, bool is_failure)
{
    CLEANUP(buf_deinit) struct buf got;
    struct translation *translation = begin(golden);
    struct slice said_status = said(golden, "status");
    uint64_t expected = 200;
    int status = 0;
    buf_init(&got, OUT_BYTES_MAX);
    if (said_status.size)
        assert_int_equal(slice_u64(said_status, &expected), ERR_OK);
    if (is_failure) {
        assert_int_equal(
            translation_failure(translation, (int)expected, golden->from, &got), ERR_OK);
    } else {
        assert_int_equal(translation_body(translation, golden->from, &got, &status), ERR_OK);
        assert_int_equal(status, expected);
    }
    assert_int_equal(buf_append(&got, SLICE("\n")), ERR_OK);
    assert_text(golden, buf_slice(&got));
    (void)translation_free(translation);
}

/* ---- all of them ---- */

enum { CALLERS = 3, PROVIDERS = 9, SORTS = 5 };

static const char *const provider_names[PROVIDERS] = {"openai_chat", "openai_responses",
    "anthropic", "gemini", "cohere", "ollama", "bedrock", "replicate", "cog"};
static const char *const sort_names[SORTS] = {
    "request", "stream", "body", "failure", "stream that ends with an error"};

/* Which cases there are: each pair of a caller's dialect and a provider's needs one of each sort. */
struct coverage {
    unsigned counts[CALLERS][PROVIDERS][SORTS];
};

static size_t index_of(const char *const names[], size_t count, struct slice name)
{
    size_t i = 0;
    while (i < count && !slice_equal(name, slice_text(names[i])))
        i++;
    assert_true(i < count);
    return i;
}

static void note(struct coverage *coverage, const struct golden *golden)
{
    if (said(golden, "refused").size)
        return;
    size_t sort = slice_equal(said(golden, "ends"), SLICE("error"))
                      ? SORTS - 1
                      : index_of(sort_names, SORTS, said(golden, "kind"));
    coverage->counts[index_of(provider_names, CALLERS, said(golden, "caller"))]
                    [index_of(provider_names, PROVIDERS, said(golden, "provider"))][sort]++;
}

static void check_coverage(const struct coverage *coverage)
{
    for (size_t caller = 0; caller < CALLERS; caller++)
        for (size_t provider = 0; provider < PROVIDERS; provider++)
            for (size_t sort = 0; caller != provider && sort < SORTS; sort++)
                if (coverage->counts[caller][provider][sort] == 0)
                    fail_msg("%s has no case of a %s, %s", provider_names[provider],
                        sort_names[sort], provider_names[caller]);
}

static void check(const char *name, struct coverage *coverage)
{
    struct golden golden;
    golden_open(&golden, name);
    struct slice kind = said(&golden, "kind");
    print_message("%s\n", name);
    assert_true(said(&golden, "source").size > 0);
    note(coverage, &golden);
    if (slice_equal(kind, SLICE("request")))
        check_request(&golden);
    else if (slice_equal(kind, SLICE("stream")))
        check_stream(&golden);
    else if (slice_equal(kind, SLICE("body")))
        check_body(&golden, false);
    else if (slice_equal(kind, SLICE("failure")))
        check_body(&golden, true);
    else
        fail_msg("%s: of no kind", name);
    golden_close(&golden);
}

static void test_goldens(void **state)
{
    struct dirent **entries;
    struct coverage coverage = {0};
    (void)state;
    int count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count > 2);
    for (int i = 0; i < count; i++) {
        size_t size = strlen(entries[i]->d_name);
        if (size > 4 && strcmp(entries[i]->d_name + size - 4, ".txt") == 0)
            check(entries[i]->d_name, &coverage);
        free(entries[i]);
    }
    free(entries);
    check_coverage(&coverage);
}

/* ---- bounds, and what there is ---- */

static void test_codecs(void **state)
{
    static const char *const names[] = {"openai_chat", "openai_responses", "anthropic"};
    const struct codec *found;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        found = codec(slice_text(names[i]));
        assert_true(translate_takes_calls(found) && translate_asks(found));
        assert_int_equal(translate_framing_of(found), FRAMING_SSE);
        assert_string_equal(translate_content_type(found), "text/event-stream");
    }
    assert_true(translate_asks(codec(SLICE("gemini"))) && translate_asks(codec(SLICE("cohere"))));
    assert_false(translate_takes_calls(codec(SLICE("gemini"))));
    assert_false(translate_takes_calls(codec(SLICE("cohere"))));
    assert_int_equal(translate_codec(SLICE("opaque"), &found), ERR_NOTFOUND);
    assert_int_equal(translate_codec(SLICE_NONE, &found), ERR_NOTFOUND);
}

static const char small_body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

/* However little room there is, the answer is ERR_LIMIT, and nothing is written past it. */
static void test_a_request_that_does_not_fit(void **state)
{
    const struct translate_target target = {.model = SLICE("m")};
    enum err err = ERR_LIMIT;
    (void)state;
    for (size_t room = 1; err == ERR_LIMIT; room++) {
        CLEANUP(translated_request_deinit) struct translated_request sent;
        CLEANUP(neutral_report_deinit) struct neutral_report report;
        translated_request_init(&sent, room);
        neutral_report_init(&report);
        err = translate_request(codec(SLICE("openai_chat")), codec(SLICE("anthropic")),
            slice_text(small_body), &target, &sent, &report);
        assert_true(sent.body.size <= room && room < 1000);
    }
    assert_int_equal(err, ERR_OK);
}

static void test_a_request_of_too_many_parts(void **state)
{
    const struct translate_target target = {.model = SLICE("m")};
    enum { PARTS = 320000 /* some 240 bytes each */ };
    CLEANUP(translated_request_deinit) struct translated_request sent;
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    CLEANUP(buf_deinit) struct buf body;
    (void)state;
    buf_init(&body, 64 << 20);
    translated_request_init(&sent, OUT_BYTES_MAX);
    neutral_report_init(&report);
    assert_int_equal(
        buf_append_text(&body, "{\"messages\":[{\"role\":\"user\",\"content\":["), ERR_OK);
    for (size_t i = 0; i < PARTS; i++)
        assert_int_equal(
            buf_append_text(&body, i ? ",{\"type\":\"text\"}" : "{\"type\":\"text\"}"), ERR_OK);
    assert_int_equal(buf_append_text(&body, "]}]}"), ERR_OK);
    assert_int_equal(translate_request(codec(SLICE("openai_chat")), codec(SLICE("anthropic")),
                         buf_slice(&body), &target, &sent, &report),
        ERR_LIMIT);
}

static void test_frames_that_do_not_fit(void **state)
{
    static const char frame[] =
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
    const struct sequence_context context = {.stream_id = SLICE("id"), .model = SLICE("m")};
    enum err err = ERR_LIMIT;
    (void)state;
    for (size_t room = 1; err == ERR_LIMIT; room++) {
        CLEANUP(buf_deinit) struct buf out;
        struct translation *translation;
        buf_init(&out, room);
        assert_int_equal(translation_new(codec(SLICE("openai_chat")),
                             codec(SLICE("openai_responses")), &context, &translation),
            ERR_OK);
        err = translation_event(translation, slice_text(frame), &out);
        assert_true(out.size <= room && room < 4000);
        (void)translation_free(translation);
    }
    assert_int_equal(err, ERR_OK);
}

/* A provider that should have sent its terminator and did not has none written for it. */
static void test_an_end_without_a_terminator(void **state)
{
    static const char frame[] =
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
    const struct sequence_context context = {.stream_id = SLICE("id"), .model = SLICE("m")};
    CLEANUP(buf_deinit) struct buf out;
    struct translation *translation;
    (void)state;
    buf_init(&out, OUT_BYTES_MAX);
    assert_int_equal(translation_new(codec(SLICE("openai_chat")), codec(SLICE("anthropic")),
                         &context, &translation),
        ERR_OK);
    assert_int_equal(translation_event(translation, slice_text(frame), &out), ERR_OK);
    size_t size = out.size;
    assert_int_equal(translation_end(translation, &out), ERR_OK);
    assert_int_equal(out.size, size);
    assert_int_equal(translation_usage(translation)->counts.input, -1);
    (void)translation_free(translation);
    assert_null(translation_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_a_request_that_does_not_fit),
        cmocka_unit_test(test_a_request_of_too_many_parts),
        cmocka_unit_test(test_frames_that_do_not_fit),
        cmocka_unit_test(test_an_end_without_a_terminator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
