/* chat — the messages of a chat, written: what Chat Completions and Cohere's /v2/chat say alike.
 *
 *     {"role": "system" | "user", "content": "…" | [{"type": "text", "text"},
 *                                      {"type": "image_url", "image_url": {"url", "detail"}}]},
 *     {"role": "assistant", …, "tool_calls": [{"id", "type": "function",
 *                                              "function": {"name", "arguments"}}]},
 *     {"role": "tool", "tool_call_id", "content"}
 *
 * Each tool result is a message of its own. An assistant's message holds its text before its tool
 * calls; one that had text after a call cannot be told in order, and is refused.
 *
 * Internal to protocol/dialect.
 *
 *   answers  ERR_INVALID refused: the report says what · the writer's
 *   thread   any; no state                                                                      */
#ifndef TOKENLOG_PROTOCOL_DIALECT_CHAT_H
#define TOKENLOG_PROTOCOL_DIALECT_CHAT_H

#include "protocol/dialect/sending.h"

/* Where the two differ. */
struct chat_manner {
    /* The assistant's message, by chat_check_order, chat_write_block, chat_write_calls. */
    enum err (*write_assistant)(struct sending *sending, const struct neutral_message *message);
    const char *developer_role;  /* of a developer's message */
    const char *usual_detail;    /* of an image, which goes without saying; "" none does */
    bool has_refusals_as_text;   /* the model's refusals are told as text, or have no place here */
    bool has_results_in_parts;   /* a result's content is an array, even of one text or none */
    const char *misplaced;       /* why a part is refused that has no place where it stands, */
    const char *image_in_result; /* and an image in a result, */
    const char *text_after_call; /* and text that follows a call */
};

/* chat_write_messages — the member "messages". */
enum err chat_write_messages(struct sending *sending, const struct chat_manner *manner) NODISCARD;

/* chat_is_text — whether a part is told as text. chat_count — how many of the parts are of a kind. */
bool chat_is_text(const struct chat_manner *manner, const struct neutral_part *part);
size_t chat_count(const struct neutral_part *parts, enum neutral_part_kind kind);
/* chat_check_order — refuses what an assistant's message cannot hold: images, text after a call. */
enum err chat_check_order(struct sending *sending, const struct chat_manner *manner,
    const struct neutral_part *parts) NODISCARD;
/* chat_write_block — {"type": type, type: the part's text}: "text", or Cohere's "thinking". */
void chat_write_block(struct sending *sending, const char *type, const struct neutral_part *part);
/* chat_write_calls — the member "tool_calls", if there are any. */
void chat_write_calls(struct sending *sending, const struct neutral_part *parts);

/* chat_write_tool — {"type": "function", "function": {…}}; `schema` and `strict` are JSON text, and
 * not written if empty. */
void chat_write_tool(struct sending *sending, const struct neutral_tool *tool, struct slice schema,
    struct slice strict);

#endif
