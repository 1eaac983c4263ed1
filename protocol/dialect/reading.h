/* reading — what the dialects have in common; internal to protocol/dialect. */
#ifndef TOKENLOG_PROTOCOL_DIALECT_READING_H
#define TOKENLOG_PROTOCOL_DIALECT_READING_H

#include "protocol/data/json.h"
#include "protocol/dialect/dialect.h"
#include "protocol/http/sse.h"

extern const struct dialect dialect_openai_chat;
extern const struct dialect dialect_openai_responses;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini;
extern const struct dialect dialect_gemini_interactions;
extern const struct dialect dialect_cohere;
extern const struct dialect dialect_ollama;
extern const struct dialect dialect_bedrock;
extern const struct dialect dialect_replicate;
extern const struct dialect dialect_cog;
extern const struct dialect dialect_opaque;

/* reading_id — the first one; one that does not fit is none. */
void reading_id(struct dialect_reading *reading, const struct json *id);
/* reading_finish_reason — copies what fits, cut between characters; empty: nothing changes. */
void reading_finish_reason(struct dialect_reading *reading, struct slice text);
/* reading_fail — notes a provider's error: an object with a message, or a string. NULL and null are
 * none: then nothing changes. */
void reading_fail(struct dialect_reading *reading, const struct json *error);
/* reading_fail_text — the same, of a text.
 * reading_finish_span, reading_fail_span — of a value found by its span; absent ones change nothing. */
void reading_fail_text(struct dialect_reading *reading, struct slice text);
void reading_finish_span(struct dialect_reading *reading, struct json_span reason);
void reading_fail_span(struct dialect_reading *reading, struct json_span error);
/* reading_error_event — of an event that tells of nothing else: data.error, or the data themselves. */
void reading_error_event(struct dialect_reading *reading, const struct json *event);
/* reading_raise — of a cumulative count that is said more than once: the larger is the later. */
void reading_raise(int64_t *count, int64_t value);
/* reading_total — input + output where the provider gave both and no total. */
void reading_total(struct usage *usage);
/* reading_openai_usage — either of OpenAI's two shapes: prompt_tokens, completion_tokens (Chat) or
 * input_tokens, output_tokens (Responses, images), with their …_details. Other types change
 * nothing. */
void reading_openai_usage(struct dialect_reading *reading, const struct json *usage);

/* reading_body_members — the trees of the named top-level members of a body, NULL for absent ones;
 * false if the body is no JSON object. Each tree is owned by the caller, who frees it also then. */
bool reading_body_members(
    struct slice body, const char *const *names, size_t count, struct json **out);
void reading_body_free(struct json **members, size_t count);

/* reading_named_event — one block of a dialect that names its events, by their `event:` field or else
 * the "type" of their data. Where the name `matters`, and the data parse, `read` is told of it. */
typedef bool reading_matters(struct slice name);
typedef void reading_read_named(
    struct dialect_reading *reading, struct slice name, const struct json *event);
enum dialect_verdict reading_named_event(struct dialect_reading *reading, struct slice block,
    reading_matters *matters, reading_read_named *read);

/* reading_ends — is_terminator_residue of a dialect whose terminator is an event like any other: the
 * residue is read, and its data were whole, or they had not parsed. */
bool reading_ends(enum dialect_verdict (*read_event)(struct dialect_reading *, struct slice),
    struct slice residue);

/* reading_openai_error — OpenAI's error object. */
enum err reading_openai_error(struct buf *out, int status, const char *code, struct slice message,
    const char *param) NODISCARD;

#endif
