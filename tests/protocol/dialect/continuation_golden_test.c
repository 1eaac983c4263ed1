/* continuation — the cases of golden/continue, a file each: what is asked of the next provider, and what
 * the caller is told after what it was told.
 *
 *     source: where the shapes are known from
 *     caller: anthropic
 *     provider: openai_chat       of the second response
 *     prefill: yes                the target takes it
 *     by: message                 as configured: auto, prefill, message
 *     message: Go on.             likewise
 *     holds: yes                  calls were shown once they were whole
 *     usage: yes                  the caller asked for it in the stream
 *     way: ends | cannot          not by asking; cannot: why is the result
 *     refused: messages[0].name   what the report names
 *     == request                  the caller's
 *     == first                    what the caller was told
 *     == second                   the next provider's response
 *     == results                  what is asked, and what is appended; to write them anew, for
 *                                 reading: TOKENLOG_GOLDEN_WRITE=1 */
#include "protocol/dialect/continuation.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/protocol/dialect/grammar.h"

enum { BYTES_MAX = 1 << 20 };

static const char folder[] = "golden/continue";

/* ---- a case ---- */

struct golden {
    char path[512];
    struct buf text;
    struct slice input, head, request, first, second, results;
};

/* From the end of `begin` up to `end`, or to the end of all if it is not there. */
static struct slice between(struct slice text, const char *begin, const char *end)
{
    ptrdiff_t from = slice_find(text, slice_text(begin));
    if (from < 0)
        return SLICE_NONE;
    size_t at = (size_t)from + strlen(begin);
    struct slice rest = slice_sub(text, at, text.size - at);
    ptrdiff_t to = slice_find(rest, slice_text(end));
    return to < 0 ? rest : slice_sub(rest, 0, (size_t)to);
}

static void golden_open(struct golden *golden, const char *name)
{
    uint8_t *at;
    (void)snprintf(golden->path, sizeof golden->path, "%s/%s", folder, name);
    FILE *file = fopen(golden->path, "rb");
    assert_non_null(file);
    buf_init(&golden->text, BYTES_MAX);
    assert_int_equal(buf_reserve(&golden->text, BYTES_MAX, &at), ERR_OK);
    buf_commit(&golden->text, fread(at, 1, BYTES_MAX, file));
    assert_int_equal(fclose(file), 0);
    struct slice text = buf_slice(&golden->text);
    golden->head = between(text, "", "== request\n");
    golden->request = between(text, "== request\n", "== first\n");
    golden->first = between(text, "== first\n", "== second\n");
    golden->second = between(text, "== second\n", "== results\n");
    golden->results = between(text, "== results\n", "\n== none");
    golden->input = between(text, "", "== results\n");
}

/* The value of a line of the head; empty if there is none. */
static struct slice line_of(const struct golden *golden, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s: ", name);
    return between(golden->head, key, "\n");
}

static bool says(const struct golden *golden, const char *name, const char *value)
{
    return slice_equal(line_of(golden, name), slice_text(value));
}

static const struct codec *codec_of(const struct golden *golden, const char *name)
{
    const struct codec *codec = NULL;
    if (translate_codec(line_of(golden, name), &codec) != ERR_OK)
        fail_msg("%s: no %s", golden->path, name);
    return codec;
}

static void expect_results(const struct golden *golden, struct slice got)
{
    if (!getenv("TOKENLOG_GOLDEN_WRITE")) {
        if (!slice_equal(got, golden->results))
            fail_msg("%s: got\n%.*s", golden->path, SLICE_PRINT(got));
        return;
    }
    FILE *file = fopen(golden->path, "wb");
    assert_non_null(file);
    (void)fwrite(golden->input.data, 1, golden->input.size, file);
    (void)fwrite("== results\n", 1, strlen("== results\n"), file);
    (void)fwrite(got.data, 1, got.size, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- what becomes of it ---- */

typedef void each_frame(struct slice frame, void *into);

static void split(struct slice text, each_frame *each, void *into)
{
    struct sse_splitter splitter = {0};
    size_t end;
    while (sse_split(&splitter, text, &end) == ERR_OK) {
        each(slice_sub(text, 0, end), into);
        text = slice_sub(text, end, text.size - end);
    }
}

static void take(struct slice frame, void *into)
{
    assert_int_equal(continuation_take(into, frame), ERR_OK);
}

static struct continuation *begin(const struct golden *golden)
{
    struct continuation *continuation;
    struct sequence_context ours = context;
    ours.includes_usage = says(golden, "usage", "yes");
    assert_int_equal(continuation_new(codec_of(golden, "caller"), &ours, &continuation), ERR_OK);
    split(golden->first, take, continuation);
    return continuation;
}

/* False: it is refused, as the case says. */
static bool ask(
    const struct golden *golden, const struct continuation *continuation, struct buf *results)
{
    CLEANUP(translated_request_deinit) struct translated_request sent;
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    const struct translate_target target = {.model = SLICE("their-model")};
    struct slice refused = line_of(golden, "refused");
    translated_request_init(&sent, BYTES_MAX);
    neutral_report_init(&report);
    enum err err = continuation_request(continuation, codec_of(golden, "provider"),
        &(struct continuation_ask){.body = golden->request,
            .target = &target,
            .takes_prefill = says(golden, "prefill", "yes"),
            .by = says(golden, "by", "message")   ? CONTINUATION_MESSAGE_ONLY
                  : says(golden, "by", "prefill") ? CONTINUATION_PREFILL
                                                  : CONTINUATION_AUTO,
            .message = line_of(golden, "message")},
        &sent, &report);
    if (err != (refused.size ? ERR_INVALID : ERR_OK))
        fail_msg("%s: %s: %s: %s", golden->path, err_name(err), report.path, report.why);
    if (refused.size && !slice_equal(slice_text(report.path), refused))
        fail_msg("%s: refused %s", golden->path, report.path);
    if (refused.size)
        assert_int_equal(buf_printf(results, "%s\n", report.why), ERR_OK);
    else
        assert_int_equal(
            buf_printf(results, "POST %.*s\n%.*s\n\n", SLICE_PRINT(buf_slice(&sent.path)),
                SLICE_PRINT(buf_slice(&sent.body))),
            ERR_OK);
    return refused.size == 0;
}

struct following {
    struct translation *translation;
    struct buf *out;
};

static void follow(struct slice frame, void *into)
{
    struct following *following = into;
    assert_int_equal(translation_event(following->translation, frame, following->out), ERR_OK);
}

static void go_on(
    const struct golden *golden, struct continuation *continuation, struct buf *appended)
{
    struct following following = {.out = appended};
    assert_int_equal(
        continuation_begin(continuation, codec_of(golden, "provider"), &following.translation),
        ERR_OK);
    split(golden->second, follow, &following);
    assert_int_equal(translation_end(following.translation, appended), ERR_OK);
    (void)translation_free(following.translation);
}

static void check(const char *name)
{
    CLEANUP(buf_deinit) struct buf results, appended, whole;
    struct golden golden;
    const char *why = "";
    golden_open(&golden, name);
    print_message("%s\n", name);
    assert_true(line_of(&golden, "source").size > 0);
    buf_init(&results, BYTES_MAX);
    buf_init(&appended, BYTES_MAX);
    buf_init(&whole, BYTES_MAX);
    struct continuation *continuation = begin(&golden);
    enum continuation_way way = continuation_can(continuation, says(&golden, "holds", "yes"), &why);
    assert_int_equal(way, says(&golden, "way", "cannot") ? CONTINUATION_CANNOT
                          : says(&golden, "way", "ends") ? CONTINUATION_ENDS
                                                         : CONTINUATION_ASKS);
    if (way == CONTINUATION_CANNOT)
        assert_int_equal(buf_printf(&results, "%s\n", why), ERR_OK);
    else if (way == CONTINUATION_ENDS)
        assert_int_equal(continuation_end(continuation, &appended), ERR_OK);
    else if (ask(&golden, continuation, &results))
        go_on(&golden, continuation, &appended);
    assert_int_equal(buf_append(&whole, golden.first), ERR_OK);
    assert_int_equal(buf_append(&whole, buf_slice(&appended)), ERR_OK);
    if (appended.size)
        check_grammar(codec_of(&golden, "caller")->name, buf_slice(&whole));
    assert_int_equal(buf_append(&results, buf_slice(&appended)), ERR_OK);
    expect_results(&golden, buf_slice(&results));
    (void)continuation_free(continuation);
    buf_deinit(&golden.text);
}

static void test_goldens(void **state)
{
    struct dirent **entries;
    (void)state;
    int count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count > 2);
    for (int i = 0; i < count; i++) {
        size_t size = strlen(entries[i]->d_name);
        if (size > 4 && strcmp(entries[i]->d_name + size - 4, ".txt") == 0)
            check(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
