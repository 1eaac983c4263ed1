/* sending — a request being written in a provider's dialect, and what those who write one share.
 *
 *     sending_begin      {"model": …
 *     …                  messages, tools, options: by the dialect
 *     sending_end        } and the path
 *
 * Failures of the writer are kept in it, and answered by sending_end.
 *
 * Internal to protocol/dialect.
 *
 *   thread  any; the state is the struct, which borrows all it points to                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_SENDING_H
#define TOKENLOG_PROTOCOL_DIALECT_SENDING_H

#include "protocol/dialect/codec.h"

/* What is written, and what it is written from. */
struct sending {
    struct json_writer writer;
    const struct neutral_request *request;
    const struct translate_target *target;
    struct neutral_report *report;
};

/* sending_begin — opens the body in out->body, and says the target's model. */
struct sending sending_begin(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report);
/* sending_end — answers and faults: the writer's; buf_append's */
enum err sending_end(
    struct sending *sending, struct translated_request *out, const char *path) NODISCARD;

/* sending_tools — the member "tools", if there are any. */
typedef void sending_write_tool(struct sending *sending, const struct neutral_tool *tool);
void sending_tools(struct sending *sending, sending_write_tool *write_tool);
/* sending_stream — the member "stream", if the answer is to be. */
void sending_stream(struct sending *sending);

#endif
