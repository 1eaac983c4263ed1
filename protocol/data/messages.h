/* messages — the bodies of a stream of JSON messages, as one event holds them.
 *
 *   sent      {"n":1}      [{"n":1}, {"n":2}]      [[1,2]]
 *   stored    {"n":1}      {"n":1},{"n":2}         [1,2]
 *
 * One level of array is flattened; messages stand as they were written, with a comma between them. So
 * the events of any stretch, joined by commas, in brackets, are the array of its messages.
 *
 *   thread  any; pure
 *   source  durable-streams PROTOCOL.md 1.0 (draft), §9.1 */
#ifndef TOKENLOG_PROTOCOL_DATA_MESSAGES_H
#define TOKENLOG_PROTOCOL_DATA_MESSAGES_H

#include "protocol/base/slice.h"

/* messages_join — what an event holds of `body`, appended to `out`, and how many messages that is: 0 for
 * an empty array.
 *   answers  ERR_INVALID it is no JSON: a static sentence in *why · buf_append's · faults ERR_NOMEM */
enum err messages_join(
    struct slice body, struct buf *out, size_t *count, const char **why) NODISCARD;
/* messages_prefix — the size of the first `count` (> 0) messages of a stored event.
 *   answers  ERR_LIMIT it has fewer · faults ERR_CORRUPT it holds something else */
enum err messages_prefix(struct slice event, uint64_t count, size_t *size) NODISCARD;

#endif
