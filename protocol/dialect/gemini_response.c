/* gemini_response — the chunks of generateContent, read; a whole body is one chunk.
 *
 *     {"candidates": [{"index": 0, "content": {"role": "model", "parts": [
 *         {"text": "…"},                                                             TEXT
 *         {"text": "…", "thought": true},                                            REASONING
 *         {"functionCall": {"id", "name", "args": {…}}, "thoughtSignature": "…"}]},  SEAL, TOOL_CALL
 *       "finishReason": "STOP", "finishMessage": "…"}],                              FINISH
 *      "usageMetadata": {…}, "responseId", "modelVersion"}                           USAGE; START
 *     {"promptFeedback": {"blockReason": "SAFETY"}}                                  FINISH
 *     {"error": {"code": 503, "message", "status": "UNAVAILABLE"}}                   ERROR
 *
 * A signature stands on the part that the model had thought for. It becomes a seal of reasoning,
 * which comes before a call and carries its ID, so that gemini_write finds the call again; one of a
 * text has no ID. A call is always whole: pieces of arguments come only where they were asked for.
 *
 * A finishReason may be followed by more, so it is held until the end of the transfer.
 *
 *   source  googleapis/js-genai src/types.ts and test/system/recordings at 6e9b35c4 (2026-08-21);
 *           vercel/ai packages/google/src/__fixtures__ at ed857f50 (2026-08-22)
 *           https://ai.google.dev/gemini-api/docs/thought-signatures */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/gemini.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response gemini_response;

enum { STATUS_BROKEN_OFF = 502, STATUS_UNSAID = 500 };

struct gemini_reader {
    bool has_finish;
    enum neutral_finish finish; /* if has_finish */
};

/* ---- parts ---- */

static void seal(struct sequence *out, struct slice id, struct slice signature)
{
    const struct slice format = SLICE(NEUTRAL_FORMAT_GEMINI);
    if (signature.size == 0)
        return;
    if (out->is_open && out->open == NEUTRAL_REASONING)
        sequence_seal(out, format, id, signature);
    else
        sequence_redacted(out, format, id, signature);
    sequence_close(out);
}

static void read_call(struct json_span call, struct slice signature, struct sequence *out)
{
    static const char *const names[] = {"id", "name", "args", "partialArgs", "willContinue"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(call, names, COUNT_OF(names), spans);
    struct slice id = codec_text(spans[0], out), name = codec_text(spans[1], out);
    if (codec_has_items(spans[3]) || json_span_is_true(spans[4]) || name.size == 0) {
        sequence_cannot(out, "a call of a function in pieces:", name);
        return;
    }
    if (id.size == 0)
        id = sequence_call_id(out);
    seal(out, id, signature);
    sequence_tool_call(out, id, name);
    if (spans[2].type == JSON_OBJECT)
        sequence_arguments(out, spans[2].raw);
}

static void read_text(
    struct slice text, bool is_thought, struct slice signature, struct sequence *out)
{
    sequence_text(out, is_thought ? NEUTRAL_REASONING : NEUTRAL_TEXT, text);
    seal(out, SLICE_NONE, signature);
}

/* Content that the neutral model has no words for. */
static const char *const untold[] = {"inlineData", "fileData", "executableCode",
    "codeExecutionResult", "functionResponse", "toolCall", "toolResponse", "audioTranscription"};

static bool has_untold(struct json_span part, struct sequence *out)
{
    struct json_span spans[COUNT_OF(untold)];
    codec_scan(part, untold, COUNT_OF(untold), spans);
    for (size_t i = 0; i < COUNT_OF(untold); i++)
        if (codec_has_items(spans[i])) {
            sequence_cannot(out, "a part with", slice_text(untold[i]));
            return true;
        }
    return false;
}

static void read_part(struct json_span part, size_t position, void *into)
{
    static const char *const names[] = {"text", "thought", "thoughtSignature", "functionCall"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(part, names, COUNT_OF(names), spans);
    struct slice signature = codec_text(spans[2], out);
    bool is_call = spans[3].type == JSON_OBJECT && spans[3].raw.size;
    if (has_untold(part, out))
        return;
    if (is_call)
        read_call(spans[3], signature, out);
    else if (spans[0].raw.size || signature.size)
        read_text(codec_text(spans[0], out), json_span_is_true(spans[1]), signature, out);
    else if (codec_has_items(part))
        sequence_cannot(out, "a part of an unknown kind:", part.raw);
}

static void read_content(const struct gemini_chunk *chunk, struct sequence *out)
{
    static const char *const names[] = {"parts"};
    struct json_span parts;
    if (chunk->count > 1 || codec_count(chunk->index) > 0) {
        sequence_cannot(out, "a second", SLICE("candidate"));
        return;
    }
    codec_scan(chunk->content, names, 1, &parts);
    codec_each(parts, read_part, out);
}

/* ---- ends ---- */

static const struct {
    const char *word;
    enum neutral_finish finish;
} finishes[] = {
    {"STOP", NEUTRAL_STOP}, /* also by a stop sequence, which is not said */
    {"MAX_TOKENS", NEUTRAL_LENGTH},
    {"SAFETY", NEUTRAL_CONTENT_FILTER},
    {"RECITATION", NEUTRAL_CONTENT_FILTER},
    {"BLOCKLIST", NEUTRAL_CONTENT_FILTER},
    {"PROHIBITED_CONTENT", NEUTRAL_CONTENT_FILTER},
    {"SPII", NEUTRAL_CONTENT_FILTER},
    {"LANGUAGE", NEUTRAL_CONTENT_FILTER},
    {"MODEL_ARMOR", NEUTRAL_CONTENT_FILTER},
    {"IMAGE_SAFETY", NEUTRAL_CONTENT_FILTER},
    {"IMAGE_PROHIBITED_CONTENT", NEUTRAL_CONTENT_FILTER},
    {"IMAGE_RECITATION", NEUTRAL_CONTENT_FILTER},
};

/* Of a reason that is no end (MALFORMED_FUNCTION_CALL, OTHER, one that is new) the model's answer
 * is not whole. */
static void read_finish(
    struct gemini_reader *reader, const struct gemini_chunk *chunk, struct sequence *out)
{
    struct slice word = codec_text(chunk->finish, out);
    struct slice message = codec_text(chunk->finish_message, out);
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word))) {
            reader->has_finish = true;
            reader->finish = finishes[i].finish;
            return;
        }
    if (message.size)
        sequence_error(out, STATUS_BROKEN_OFF, word, message);
    else
        sequence_cannot(out, "an end for the reason", word);
}

/* {"code": 503, "message", "status": "UNAVAILABLE"} */
static void read_error(struct json_span error, struct sequence *out)
{
    static const char *const names[] = {"code", "message", "status"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(error, names, COUNT_OF(names), spans);
    int64_t code = codec_count(spans[0]);
    int status = code >= 400 && code <= 599 ? (int)code : STATUS_UNSAID;
    sequence_error(out, status, codec_text(spans[2], out), codec_text(spans[1], out));
}

static void read_chunk(struct gemini_reader *reader, struct slice text, struct sequence *out)
{
    struct gemini_chunk chunk;
    gemini_read_chunk(text, &chunk);
    if (chunk.error.type == JSON_OBJECT && chunk.error.raw.size) {
        read_error(chunk.error, out);
        return;
    }
    if (chunk.candidates.raw.size || chunk.feedback.raw.size)
        sequence_start(out, codec_text(chunk.id, out), codec_text(chunk.model, out), 0);
    read_content(&chunk, out);
    if (codec_has_items(chunk.usage)) {
        struct neutral_usage usage = gemini_usage(chunk.usage);
        sequence_usage(out, &usage);
    }
    if (codec_text(chunk.finish, out).size) {
        read_finish(reader, &chunk, out);
    } else if (codec_text(chunk.block_reason, out).size) {
        reader->has_finish = true;
        reader->finish = NEUTRAL_CONTENT_FILTER;
    }
}

static void gemini_read_event(void *state, struct slice frame, struct sequence *out)
{
    struct slice event, data;
    if (codec_frame(frame, &event, &data, out))
        read_chunk(state, data, out);
}

static void gemini_read_end(void *state, struct sequence *out)
{
    const struct gemini_reader *reader = state;
    if (!reader->has_finish)
        return;
    sequence_finish(out, reader->finish, SLICE_NONE);
    sequence_done(out);
}

static void gemini_read_body(struct slice body, struct sequence *out)
{
    struct gemini_reader reader = {0};
    read_chunk(&reader, body, out);
    gemini_read_end(&reader, out);
}

const struct codec_response gemini_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = sizeof(struct gemini_reader),
    .read_event = gemini_read_event,
    .read_end = gemini_read_end,
    .read_body = gemini_read_body,
};
