/* escape — strings into JSON. */
#ifndef TOKENLOG_TOOLS_MOCK_ESCAPE_H
#define TOKENLOG_TOOLS_MOCK_ESCAPE_H

#include "protocol/base/slice.h"

/* escape_json — `text` as the inside of a JSON string (RFC 8259 §7), without the quotes. Where
 * `text` is not UTF-8, each byte above 0x7F becomes '?'. Answers and faults are buf_append's. */
enum err escape_json(struct slice text, struct buf *out) NODISCARD;
/* escape_json_quoted — the same between quotes. */
enum err escape_json_quoted(struct slice text, struct buf *out) NODISCARD;

#endif
