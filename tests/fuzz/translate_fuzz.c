/* translate — the first byte picks a caller's and a provider's dialect, and what the rest is: a
 * request, a streamed response or a whole one. (From ONE_WAY on it picks a dialect that providers
 * only speak; then the caller's follows from the size. MORE says that a second byte picks among more of
 * them.) A request that is taken is written as one that the
 * provider's dialect takes too, and that comes back the same from there on. What a response is
 * translated to is well-formed for its reader, and ends as the caller's dialect ends. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/dialect/translate.h"
#include "protocol/http/sse.h"

#include "tests/fuzz/fuzz.h"

enum {
    DIALECTS = 3, /* those that callers speak; choice % 9 picks a pair */
    PAIRS = DIALECTS * DIALECTS,
    KINDS = 3,
    ONE_WAY = PAIRS * KINDS * 9, /* 243 */
    PROVIDERS = 4,               /* of those that callers do not speak */
    MORE = 255,
    MORE_PROVIDERS = 2,
    OUT_BYTES_MAX = 16 << 20,
};

static const char *const names[DIALECTS + PROVIDERS + MORE_PROVIDERS] = {"openai_chat",
    "openai_responses", "anthropic", "gemini", "cohere", "ollama", "bedrock", "replicate", "cog"};

static const struct codec *pick(size_t index)
{
    const struct codec *codec = NULL;
    ASSERT(translate_codec(slice_text(names[index]), &codec) == ERR_OK);
    return codec;
}

/* ---- requests ---- */

/* True: *out is the translated body, which the caller frees. */
static bool translate(
    const struct codec *from, const struct codec *to, struct slice body, struct buf *out)
{
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    struct translated_request sent;
    const struct translate_target target = {.model = SLICE("m"), .takes_effort = true};
    neutral_report_init(&report);
    translated_request_init(&sent, OUT_BYTES_MAX);
    enum err err = translate_request(from, to, body, &target, &sent, &report);
    ASSERT(err == ERR_OK || err == ERR_INVALID || err == ERR_LIMIT);
    ASSERT(err != ERR_INVALID || report.why[0]);
    buf_deinit(&sent.path);
    if (err != ERR_OK)
        buf_deinit(&sent.body);
    else
        *out = sent.body;
    return err == ERR_OK;
}

static void check_request(size_t caller, size_t provider, struct slice body)
{
    CLEANUP(buf_deinit) struct buf there = {0}, back = {0}, again = {0}, same = {0};
    const char *why;
    size_t at;
    if (!translate(pick(caller), pick(provider), body, &there))
        return;
    ASSERT(json_object_check(buf_slice(&there), &why, &at) == ERR_OK);
    if (provider >= DIALECTS)
        return; /* there is no way back */
    if (!translate(pick(provider), pick(caller), buf_slice(&there), &back))
        return; /* what has to be there may be missing: a message that said nothing */
    if (translate(pick(caller), pick(provider), buf_slice(&back), &again) &&
        translate(pick(provider), pick(caller), buf_slice(&again), &same))
        ASSERT(slice_equal(buf_slice(&back), buf_slice(&same)));
}

/* ---- responses ---- */

static const struct sequence_context context = {
    .stream_id = {(const uint8_t *)"id", 2},
    .created_s = 1,
    .model = {(const uint8_t *)"model", 5},
};

/* Each frame is a whole event of JSON, or [DONE]; nothing follows an end. */
static void check_frames(const struct dialect *dialect, struct slice text)
{
    struct sse_splitter splitter = {0};
    struct dialect_reading reading;
    size_t end, at;
    const char *why;
    dialect_reading_init(&reading);
    while (sse_split(&splitter, text, &end) == ERR_OK) {
        CLEANUP(buf_deinit) struct buf joined;
        struct sse_fields fields;
        struct slice frame = slice_sub(text, 0, end);
        buf_init(&joined, frame.size);
        ASSERT(!reading.is_terminated && !reading.is_failed);
        ASSERT(sse_fields(frame, &joined, &fields) == ERR_OK && fields.has_data);
        ASSERT(slice_equal(fields.data_line, SLICE("[DONE]")) ||
               json_object_check(fields.data_line, &why, &at) == ERR_OK);
        (void)dialect->read_event(&reading, frame);
        text = slice_sub(text, end, text.size);
    }
    ASSERT(text.size == 0);
}

static void check_stream(size_t caller, size_t provider, struct slice body)
{
    CLEANUP(buf_deinit) struct buf out;
    const struct dialect *dialect = NULL;
    struct frame_splitter splitter = {.framing = translate_framing_of(pick(provider))};
    struct translation *translation;
    enum err err = ERR_OK;
    size_t end;
    buf_init(&out, OUT_BYTES_MAX);
    ASSERT(dialect_by_name(slice_text(names[caller]), &dialect) == ERR_OK);
    ASSERT(translation_new(pick(provider), pick(caller), &context, &translation) == ERR_OK);
    while (err == ERR_OK && frame_split(&splitter, body, &end) == ERR_OK) {
        uint8_t *copy = fuzz_copy(slice_sub(body, 0, end));
        err = translation_event(translation, slice_of(copy, end), &out);
        free(copy);
        body = slice_sub(body, end, body.size);
    }
    if (err == ERR_OK)
        err = translation_end(translation, &out);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    if (err == ERR_OK)
        check_frames(dialect, buf_slice(&out));
    (void)translation_free(translation);
}

static void check_whole(size_t caller, size_t provider, struct slice body)
{
    CLEANUP(buf_deinit) struct buf out, failure;
    struct translation *translation;
    int status = 0;
    const char *why;
    size_t at;
    buf_init(&out, OUT_BYTES_MAX);
    buf_init(&failure, OUT_BYTES_MAX);
    ASSERT(translation_new(pick(provider), pick(caller), &context, &translation) == ERR_OK);
    enum err err = translation_body(translation, body, &out, &status);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    ASSERT(err != ERR_OK || status == 200 || status >= 400);
    ASSERT(err != ERR_OK || json_object_check(buf_slice(&out), &why, &at) == ERR_OK);
    err = translation_failure(translation, 500, body, &failure);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
    ASSERT(err != ERR_OK || json_object_check(buf_slice(&failure), &why, &at) == ERR_OK);
    (void)translation_free(translation);
}

/* A body that is not the answer names a place; one that is can be told as an event. */
static void check_place(size_t provider, struct slice body)
{
    CLEANUP(buf_deinit) struct buf url, cancel, event;
    buf_init(&url, OUT_BYTES_MAX);
    buf_init(&cancel, OUT_BYTES_MAX);
    buf_init(&event, OUT_BYTES_MAX);
    if (!translate_follows(pick(provider)))
        return;
    enum err err = translate_follow(pick(provider), body, body.size % 2, &url, &cancel);
    ASSERT(err == ERR_OK || err == ERR_AGAIN || err == ERR_NOTFOUND || err == ERR_LIMIT);
    ASSERT((err != ERR_OK && err != ERR_AGAIN) || url.size + cancel.size <= body.size);
    err = translate_whole_event(pick(provider), body, &event);
    ASSERT(err == ERR_OK || err == ERR_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice body = {data + 1, size - 1};
    size_t caller = data[0] % DIALECTS, provider = data[0] / DIALECTS % DIALECTS;
    size_t kind = data[0] / PAIRS % KINDS;
    if (data[0] == MORE && body.size) {
        caller = body.data[0] % DIALECTS;
        provider = DIALECTS + PROVIDERS + body.data[0] / DIALECTS % MORE_PROVIDERS;
        kind = body.data[0] / DIALECTS / MORE_PROVIDERS % KINDS;
        body = slice_sub(body, 1, body.size);
    } else if (data[0] >= ONE_WAY) {
        caller = size % DIALECTS;
        provider = DIALECTS + (data[0] - ONE_WAY) % PROVIDERS;
        kind = (data[0] - ONE_WAY) / PROVIDERS % KINDS;
    }
    switch (kind) {
    case 0: check_request(caller, provider, body); break;
    case 1: check_stream(caller, provider, body); break;
    default:
        check_whole(caller, provider, body);
        check_place(provider, body);
        break;
    }
    return 0;
}
