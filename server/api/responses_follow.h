/* responses_follow — GET /v1/responses/{id}?stream=true&starting_after=N: the events beyond sequence_number
 * N, byte for byte as they are recorded, and those still to come. It ends as the first answer did: cleanly
 * only with the response's own last event.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_RESPONSES_FOLLOW_H
#define TOKENLOG_SERVER_API_RESPONSES_FOLLOW_H

#include "server/api/replay.h"

#define RESPONSES_FROM_START UINT64_MAX /* no starting_after */

/* responses_read_query — `stream` and `starting_after` of the exchange's target.
 *   answers  ERR_INVALID: 400 was answered */
enum err responses_read_query(
    struct exchange *exchange, bool *is_streamed, uint64_t *after) NODISCARD;
/* responses_follow — answers the exchange. Takes over the stream's reference. */
void responses_follow(struct exchange *exchange, struct stream *stream, uint64_t after);

#endif
