/* openai — what OpenAI's two dialects say alike in requests: Chat Completions and Responses. The one
 * nests what the other says flat ({"function": {"name"}} and {"name"}), which stays in their tables.
 *
 * Internal to protocol/dialect.
 *
 *   answers  reading: as walk.h · writing: kept in the writer
 *   thread   any; no state                                                                      */
#ifndef TOKENLOG_PROTOCOL_DIALECT_OPENAI_H
#define TOKENLOG_PROTOCOL_DIALECT_OPENAI_H

#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"

/* ---- reading; what is read into is the request, but for images ---- */

/* openai_read_image_address — a URL, which may hold the data, into the struct neutral_part. */
walk_read openai_read_image_address;

/* An object that a dialect has by a table of its own, and the path in it of what must not be absent. */
struct openai_object {
    const struct walk_member *members;
    size_t count;
    const char *needed;
};
/* openai_read_choice — "tool_choice": a word, or an object that names a function. */
enum err openai_read_choice(struct walk *walk, struct json_span value,
    const struct openai_object *named, struct neutral_request *request) NODISCARD;
/* openai_read_format — of the answer; openai_read_format_type is for its "type". */
enum err openai_read_format(struct walk *walk, struct json_span value,
    const struct openai_object *format, struct neutral_request *request) NODISCARD;
walk_read openai_read_format_type;

/* ---- writing ---- */

/* openai_write_choice — "tool_choice", if said, and "parallel_tool_calls"; `nest`, which may be NULL,
 * is the member that a function's name stands in. */
void openai_write_choice(struct sending *sending, const char *nest);
/* openai_write_schema — the members of a format that is a JSON schema, into the open object. */
void openai_write_schema(struct sending *sending);

#endif
