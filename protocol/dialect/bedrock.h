/* bedrock — what the files of Bedrock's Converse have in common: one message of its binary stream, and
 * usage.
 *
 * Internal to protocol/dialect. Spans are borrowed from the text.
 *
 *   thread  any; no state
 *   source  https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
 *           (2026-08); vercel/ai packages/amazon-bedrock/src/__fixtures__ at 3ef7867d            */
#ifndef TOKENLOG_PROTOCOL_DIALECT_BEDROCK_H
#define TOKENLOG_PROTOCOL_DIALECT_BEDROCK_H

#include "protocol/dialect/codec.h"
#include "protocol/http/event_stream.h"

/* Of the many models behind Bedrock; what it seals comes back to it alone. */
#define NEUTRAL_FORMAT_BEDROCK "amazon-bedrock-v1"

/* bedrock_usage — of TokenUsage. Tokens read from or written to a cache are counted apart on the
 * wire. */
struct neutral_usage bedrock_usage(struct json_span usage);
/* bedrock_status — what an exception in the stream would be as an answer. */
int bedrock_status(struct slice exception);

#endif
