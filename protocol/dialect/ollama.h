/* ollama — what the files of Ollama's dialect have in common: a line of /api/chat or /api/generate,
 * which is a whole body as well where the answer is not streamed.
 *
 * Internal to protocol/dialect. Spans are borrowed from the text.
 *
 *   thread  any; no state
 *   source  ollama/ollama docs/api.md and api/types.go at fb307609 (2026-08-21)                  */
#ifndef TOKENLOG_PROTOCOL_DIALECT_OLLAMA_H
#define TOKENLOG_PROTOCOL_DIALECT_OLLAMA_H

#include "protocol/dialect/codec.h"

/* A member that is absent has an empty raw text. */
struct ollama_line {
    struct json_span model, message, error;
    struct json_span done, done_reason; /* done is true in the last line alone */
    struct json_span input, output;     /* tokens; of the last line */
};

/* ollama_read_line — false: it is no JSON object. */
bool ollama_read_line(struct slice text, struct ollama_line *out);

#endif
