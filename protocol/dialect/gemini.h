/* gemini — what the files of Gemini's dialect have in common. Reading a response for the accounts
 * and translating it: one GenerateContentResponse, which is a whole body as well as a chunk of a
 * stream. Writing a request: its generationConfig.
 *
 * Internal to protocol/dialect. Spans are borrowed from the text.
 *
 *   thread  any; no state
 *   source  googleapis/js-genai src/types.ts at 6e9b35c4 (2026-08-21)                            */
#ifndef TOKENLOG_PROTOCOL_DIALECT_GEMINI_H
#define TOKENLOG_PROTOCOL_DIALECT_GEMINI_H

#include "protocol/dialect/codec.h"

/* OpenRouter's name for the seals of Gemini, which its callers send back. */
#define NEUTRAL_FORMAT_GEMINI "google-gemini-v1"

/* One chunk; a member that is absent has an empty raw text. */
struct gemini_chunk {
    struct json_span candidates, usage, feedback, error, id, model;
    size_t count;                            /* of candidates */
    struct json_span index, content;         /* of the first candidate… */
    struct json_span finish, finish_message; /* …whose finishReason ends what is told so far */
    struct json_span block_reason;           /* of the prompt, which then has no candidate */
};

/* gemini_read_chunk — of a text that is one valid JSON object. */
void gemini_read_chunk(struct slice text, struct gemini_chunk *out);
/* gemini_word — of a string span the text, if it has no escape: reasons are such. */
struct slice gemini_word(struct json_span span);
/* gemini_usage — of usageMetadata. Candidates and thoughts are counted apart on the wire. */
struct neutral_usage gemini_usage(struct json_span usage);

/* gemini_write_config — the member generationConfig, into the open object.
 *   answers  ERR_INVALID refused: the report says what · the writer's */
struct sending;
enum err gemini_write_config(struct sending *sending) NODISCARD;

/* gemini_write_error — an error of ours, as Google's APIs have them: struct dialect's write_error. */
enum err gemini_write_error(struct buf *out, int status, const char *code, struct slice message,
    const char *param) NODISCARD;

#endif
