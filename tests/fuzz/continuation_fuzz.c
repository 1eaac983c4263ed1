/* continuation, hold — the first byte picks a caller's and a provider's dialect; what the caller was told
 * and what the next provider says follow, a line "====" between them. Whatever was told: what can be
 * gone on with leads to a request and to events that the caller's reader can take after the others; and
 * what is held back for its calls is shown whole. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/dialect/continuation.h"
#include "protocol/dialect/hold.h"
#include "protocol/http/sse.h"

#include "tests/fuzz/fuzz.h"

enum { CALLERS = 3, PROVIDERS = 5, OUT_BYTES_MAX = 16 << 20 };

static const char *const names[PROVIDERS] = {
    "openai_chat", "openai_responses", "anthropic", "gemini", "cohere"};
static const char *const requests[CALLERS] = {
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    "{\"model\":\"m\",\"stream\":true,\"input\":\"hi\"}",
    "{\"model\":\"m\",\"stream\":true,\"max_tokens\":9,\"messages\":[{\"role\":\"user\","
    "\"content\":"
    "\"hi\"}]}"};

static const struct sequence_context context = {
    .stream_id = {(const uint8_t *)"id", 2},
    .created_s = 1,
    .model = {(const uint8_t *)"model", 5},
};

static const struct codec *pick(size_t index)
{
    const struct codec *codec = NULL;
    ASSERT(translate_codec(slice_text(names[index]), &codec) == ERR_OK);
    return codec;
}

/* Takes the first frame off; empty if there is none. */
static struct slice next_frame(struct slice *text)
{
    struct sse_splitter splitter = {0};
    struct slice frame = SLICE_NONE;
    size_t end;
    if (sse_split(&splitter, *text, &end) == ERR_OK) {
        frame = slice_sub(*text, 0, end);
        *text = slice_sub(*text, end, text->size - end);
    }
    return frame;
}

static void check_hold(const struct codec *caller, struct slice told)
{
    CLEANUP(buf_deinit) struct buf shown;
    struct hold *hold;
    struct slice rest = told;
    enum err err = ERR_OK;
    buf_init(&shown, OUT_BYTES_MAX);
    ASSERT(hold_new(caller, &hold) == ERR_OK);
    for (struct slice frame; err == ERR_OK && (frame = next_frame(&rest)).size > 0;)
        err = hold_event(hold, frame, &shown);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    if (err == ERR_OK) {
        ASSERT(hold_release(hold, &shown) == ERR_OK);
        ASSERT(slice_equal(buf_slice(&shown), slice_sub(told, 0, told.size - rest.size)));
    }
    (void)hold_free(hold);
}

/* Each is one JSON object, or [DONE]; at most one of them ends the response, and nothing follows. */
static void check_frames(const struct codec *caller, struct slice text)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    for (struct slice frame; (frame = next_frame(&text)).size > 0;) {
        CLEANUP(buf_deinit) struct buf joined;
        struct sse_fields fields;
        const char *why;
        size_t at;
        buf_init(&joined, frame.size);
        ASSERT(!reading.is_terminated && !reading.is_failed);
        ASSERT(sse_fields(frame, &joined, &fields) == ERR_OK && fields.has_data);
        ASSERT(slice_equal(fields.data_line, SLICE("[DONE]")) ||
               json_object_check(fields.data_line, &why, &at) == ERR_OK);
        (void)translate_dialect(caller)->read_event(&reading, frame);
    }
    ASSERT(text.size == 0);
}

static void check_request(
    const struct continuation *continuation, size_t caller, const struct codec *provider)
{
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    CLEANUP(translated_request_deinit) struct translated_request sent;
    const struct translate_target target = {.model = SLICE("m")};
    const char *why;
    size_t at;
    neutral_report_init(&report);
    translated_request_init(&sent, OUT_BYTES_MAX);
    enum err err = continuation_request(continuation, provider,
        &(struct continuation_ask){
            .body = slice_text(requests[caller]), .target = &target, .takes_prefill = true},
        &sent, &report);
    ASSERT(err == ERR_OK || err == ERR_INVALID || err == ERR_LIMIT);
    ASSERT(err != ERR_INVALID || report.why[0]);
    ASSERT(err != ERR_OK || json_object_check(buf_slice(&sent.body), &why, &at) == ERR_OK);
}

static void go_on(struct continuation *continuation, const struct codec *caller,
    const struct codec *provider, struct slice text)
{
    CLEANUP(buf_deinit) struct buf out;
    struct translation *translation = NULL;
    buf_init(&out, OUT_BYTES_MAX);
    enum err err = continuation_begin(continuation, provider, &translation);
    for (struct slice frame; err == ERR_OK && (frame = next_frame(&text)).size > 0;)
        err = translation_event(translation, frame, &out);
    if (err == ERR_OK)
        err = translation_end(translation, &out);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    if (err == ERR_OK)
        check_frames(caller, buf_slice(&out));
    (void)translation_free(translation);
}

static void check(size_t caller, size_t provider, struct slice told, struct slice text)
{
    CLEANUP(buf_deinit) struct buf end;
    struct continuation *continuation;
    const char *why = NULL;
    enum err err = ERR_OK;
    buf_init(&end, OUT_BYTES_MAX);
    ASSERT(continuation_new(pick(caller), &context, &continuation) == ERR_OK);
    for (struct slice frame; err == ERR_OK && (frame = next_frame(&told)).size > 0;)
        err = continuation_take(continuation, frame);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    enum continuation_way way =
        err == ERR_OK ? continuation_can(continuation, false, &why) : CONTINUATION_CANNOT;
    if (way == CONTINUATION_ASKS) {
        check_request(continuation, caller, pick(provider));
        go_on(continuation, pick(caller), pick(provider), text);
    } else if (way == CONTINUATION_ENDS) {
        ASSERT(continuation_end(continuation, &end) == ERR_OK);
        check_frames(pick(caller), buf_slice(&end));
    } else {
        ASSERT(err != ERR_OK || *why);
    }
    (void)continuation_free(continuation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *copy = fuzz_copy((struct slice){data + 1, size - 1});
    struct slice body = {copy, size - 1};
    size_t caller = data[0] % CALLERS, provider = data[0] / CALLERS % PROVIDERS;
    ptrdiff_t seam = slice_find(body, SLICE("====\n"));
    size_t told = seam < 0 ? body.size : (size_t)seam, next = seam < 0 ? told : told + 5;
    check_hold(pick(caller), slice_sub(body, 0, told));
    check(caller, provider, slice_sub(body, 0, told), slice_sub(body, next, body.size - next));
    free(copy);
    return 0;
}
