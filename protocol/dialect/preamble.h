/* preamble — events that come before a provider has said anything, after which an error may still come.
 *
 *     Anthropic          message_start, ping
 *     OpenAI Responses   response.created, response.queued, response.in_progress
 *     Cohere             message-start
 *     any                comments and other blocks without data
 *
 *   thread  any; pure
 *   source  https://docs.anthropic.com/en/docs/build-with-claude/streaming (2026-08): "error" may come
 *           after message_start; likewise the others' references */
#ifndef TOKENLOG_PROTOCOL_DIALECT_PREAMBLE_H
#define TOKENLOG_PROTOCOL_DIALECT_PREAMBLE_H

#include "protocol/base/slice.h"

/* dialect_is_preamble — of one SSE block, of any dialect. What cannot be read is none. */
bool dialect_is_preamble(struct slice block);

#endif
