/* tool — what an answer says besides its text if it calls a tool (`tool=1`): look_up, with the arguments
 * {"generation":<generation>,"place":"H\u00fctte \"2\""}, whole or in TOOL_PIECES pieces.
 *
 * The functions print the data of one event, or a member of a whole answer.  answers buf_append's */
#ifndef TOKENLOG_TOOLS_MOCK_TOOL_H
#define TOKENLOG_TOOLS_MOCK_TOOL_H

#include "tools/mock/shape.h"

enum {
    TOOL_PIECES = 3,
    TOOL_RESPONSES_EVENTS = TOOL_PIECES + 3, /* of the Responses' stream */
};

/* Chat Completions; *_open is in shape_openai.c: a chunk's beginning. */
enum err shape_chat_open(
    const struct answer *answer, const char *object, struct buf *out) NODISCARD;
enum err tool_chat_begin(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_chat_piece(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_chat_member(const struct answer *answer, struct buf *out) NODISCARD; /* of message */

/* Responses: the item, its number 1. sequence_number begins behind the text's events. */
enum err tool_responses_added(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_responses_piece(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_responses_arguments(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_responses_done(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_responses_item(const struct answer *answer, bool is_done, struct buf *out) NODISCARD;

/* Messages: the block, its index 1. */
enum err tool_messages_begin(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_messages_piece(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_messages_stop(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_messages_block(const struct answer *answer, struct buf *out) NODISCARD;

/* Gemini: a part. Cohere: the call, its index 0; a member of a whole message. */
enum err tool_gemini_part(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_cohere_begin(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_cohere_piece(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_cohere_end(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_cohere_member(const struct answer *answer, struct buf *out) NODISCARD;

/* Ollama: a member of a message. Bedrock: the block, its index 1; one more of a whole message. */
enum err tool_ollama_member(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_bedrock_begin(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_bedrock_piece(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_bedrock_stop(const struct answer *answer, struct buf *out) NODISCARD;
enum err tool_bedrock_block(const struct answer *answer, struct buf *out) NODISCARD;

#endif
