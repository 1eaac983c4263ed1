/* blank_lines — an offset that counts blank lines, as clients do that look for "\n\n" in the bytes of an
 * SSE stream, however they came; found again in the same bytes.
 *
 *     data: a\n\n : note\n\n data: b\n\n        3 seen: behind the third
 *
 * Where each event ends in one "\n\n" and has none inside, it is the number of events, which is their
 * seq. It is not where a provider ends lines by CRLF (none is seen), or sends blank lines beyond the one
 * that ends an event ("\n\n\n\n" is two, "\n\n\n" one).
 *
 *   thread  any; pure
 *   source  cloudflare/ai 917c0243 packages/gateway-core/src/resumable-stream.ts, countEvents */
#ifndef TOKENLOG_PROTOCOL_HTTP_BLANK_LINES_H
#define TOKENLOG_PROTOCOL_HTTP_BLANK_LINES_H

#include "protocol/base/slice.h"

/* Embed it; begin with {.left = what was seen}. */
struct blank_lines {
    uint64_t left; /* to come; 0: the place is found */
    bool after_newline;
};

/* blank_lines_skip — of the bytes that come next, how many are before the place: all of them, as long
 * as `left` is not 0. */
size_t blank_lines_skip(struct blank_lines *seen, struct slice bytes);

#endif
