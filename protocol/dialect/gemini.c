/* gemini — generateContent and streamGenerateContent?alt=sse.
 *
 *     data: {"candidates":[{"content":{…}}],"usageMetadata":{…}}                     running counts
 *     data: {"candidates":[{"content":{…},"finishReason":"STOP"}],"usageMetadata":…}   the last one
 *     data: {"promptFeedback":{"blockReason":"SAFETY"}}                 instead, for a refused prompt
 *     data: {"error":{"code":503,"message":"…","status":"UNAVAILABLE"}}         may come at any time
 *
 * There is no terminator: HTTP's framing is the end. But content that no finishReason follows is cut
 * short, however cleanly the transfer ended; and a finishReason is not always the last word (where
 * the provider runs tools itself it comes before each run), so it does not end the stream.
 *
 *   source  https://ai.google.dev/api/generate-content
 *           googleapis/js-genai test/system/recordings at 6e9b35c4 (2026-08-21), of them
 *           Chats_Tests_sendMessage_multiple_messages_with_server_side_MCP_tools_stream */
#include "protocol/dialect/gemini.h"

#include "protocol/base/own.h"
#include "protocol/dialect/reading.h"
#include "protocol/dialect/walk.h"

/* ---- a chunk ---- */

struct slice gemini_word(struct json_span span)
{
    if (span.type != JSON_STRING || span.raw.size < 2)
        return SLICE_NONE;
    struct slice word = slice_sub(span.raw, 1, span.raw.size - 2);
    return slice_find_byte(word, '\\') < 0 ? word : SLICE_NONE;
}

static void read_candidate(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"index", "content", "finishReason", "finishMessage"};
    struct gemini_chunk *chunk = into;
    struct json_span spans[COUNT_OF(names)];
    chunk->count = position + 1;
    if (position > 0)
        return;
    codec_scan(item, names, COUNT_OF(names), spans);
    chunk->index = spans[0];
    chunk->content = spans[1];
    chunk->finish = spans[2];
    chunk->finish_message = spans[3];
}

void gemini_read_chunk(struct slice text, struct gemini_chunk *out)
{
    static const char *const names[] = {
        "candidates", "usageMetadata", "promptFeedback", "error", "responseId", "modelVersion"};
    static const char *const feedback_names[] = {"blockReason"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan((struct json_span){JSON_OBJECT, text}, names, COUNT_OF(names), spans);
    *out = (struct gemini_chunk){.candidates = spans[0],
        .usage = spans[1],
        .feedback = spans[2],
        .error = spans[3],
        .id = spans[4],
        .model = spans[5]};
    codec_each(out->candidates, read_candidate, out);
    codec_scan(out->feedback, feedback_names, 1, &out->block_reason);
}

static int64_t sum(int64_t first, int64_t second)
{
    enum { COUNT_BITS = 62 }; /* a provider's count may be anything */
    if (first < 0 || second < 0)
        return first < 0 ? second : first;
    if (first >> COUNT_BITS || second >> COUNT_BITS)
        return -1;
    return first + second;
}

struct neutral_usage gemini_usage(struct json_span usage)
{
    static const char *const names[] = {"promptTokenCount", "toolUsePromptTokenCount",
        "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount", "totalTokenCount"};
    struct json_span spans[COUNT_OF(names)];
    struct neutral_usage counts = NEUTRAL_USAGE_UNKNOWN;
    codec_scan(usage, names, COUNT_OF(names), spans);
    counts.counts.input = sum(codec_count(spans[0]), codec_count(spans[1]));
    counts.counts.output = sum(codec_count(spans[2]), codec_count(spans[3]));
    counts.counts.reasoning = codec_count(spans[3]);
    counts.counts.cached = codec_count(spans[4]);
    counts.counts.total = codec_count(spans[5]);
    return counts;
}

/* ---- reading for the accounts ---- */

static void read_usage(struct dialect_reading *reading, struct json_span span)
{
    struct usage said = gemini_usage(span).counts, *known = &reading->usage;
    reading_raise(&known->input, said.input);
    reading_raise(&known->output, said.output);
    reading_raise(&known->cached, said.cached);
    reading_raise(&known->reasoning, said.reasoning);
    reading_raise(&known->total, said.total);
    reading_total(known);
}

static void read_chunk(struct dialect_reading *reading, struct slice text)
{
    struct gemini_chunk chunk;
    gemini_read_chunk(text, &chunk);
    struct slice finish = gemini_word(chunk.finish), blocked = gemini_word(chunk.block_reason);
    read_usage(reading, chunk.usage);
    reading_finish_reason(reading, finish.size ? finish : blocked);
    if (finish.size || blocked.size)
        reading->owes_finish = false;
    else if (chunk.content.type == JSON_OBJECT && chunk.content.raw.size)
        reading->owes_finish = true;
    reading_fail_span(reading, chunk.error);
}

static enum dialect_verdict gemini_read_event(struct dialect_reading *reading, struct slice block)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    buf_init(&joined, block.size);
    if (sse_fields(block, &joined, &fields) != ERR_OK || !fields.has_data)
        return DIALECT_EVENT;
    struct slice data = sse_data(&fields, &joined);
    if (codec_is_object(data))
        read_chunk(reading, data);
    return DIALECT_EVENT;
}

static void gemini_read_body(struct dialect_reading *reading, struct slice body)
{
    if (codec_is_object(body))
        read_chunk(reading, body);
}

/* The last chunk, without its blank line. */
static bool gemini_is_terminator_residue(struct slice residue)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    (void)gemini_read_event(&reading, residue);
    return reading.finish_reason[0] != '\0';
}

/* ---- errors of ours ---- */

/* google.rpc.Code, by its HTTP mapping. */
static const char *status_word(int status)
{
    switch (status) {
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 409: return "ABORTED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 499: return "CANCELLED";
    case 501: return "UNIMPLEMENTED";
    case 502:
    case 503: return "UNAVAILABLE";
    case 504: return "DEADLINE_EXCEEDED";
    default: return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
    }
}

/* google.rpc.ErrorInfo: the place for a stable word. */
static void write_detail(struct json_writer *writer, const char *code, const char *param)
{
    json_open(writer, '{');
    codec_member(writer, "@type", SLICE("type.googleapis.com/google.rpc.ErrorInfo"));
    codec_member(writer, "reason", slice_text(code));
    codec_member(writer, "domain", SLICE("tokenlog"));
    if (param) {
        json_key(writer, "metadata");
        json_open(writer, '{');
        codec_member(writer, "field", slice_text(param));
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

enum err gemini_write_error(
    struct buf *out, int status, const char *code, struct slice message, const char *param)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "error");
    json_open(&writer, '{');
    json_key(&writer, "code");
    json_integer(&writer, status);
    codec_member(&writer, "message", message);
    codec_member(&writer, "status", slice_text(status_word(status)));
    json_key(&writer, "details");
    json_open(&writer, '[');
    write_detail(&writer, code, param);
    json_close(&writer, ']');
    json_close(&writer, '}');
    json_close(&writer, '}');
    return writer.err;
}

const struct dialect dialect_gemini = {
    .name = "gemini",
    .has_terminator = false,
    .read_event = gemini_read_event,
    .read_body = gemini_read_body,
    .is_terminator_residue = gemini_is_terminator_residue,
    .write_error = gemini_write_error,
};
