/* responses — OpenAI's Responses kept for callers who come back: GET, DELETE /v1/responses/{id} and
 * POST /v1/responses/{id}/cancel, for every response that was asked for by POST /v1/responses, whoever
 * answered, for as long as its recording is kept; and what answers "background": true.
 *
 *     {id}  as the response itself says it. A provider's own (its recording is byte-exact) is found by
 *           row.upstream_id; one of ours, resp_<stream's ID without dashes>, says its stream
 *
 *     row                             status
 *     accepted                        queued
 *     streaming                       as the newest event says: queued, in_progress
 *     completed                       completed or incomplete, as recorded
 *     stopped                         cancelled
 *     failed, interrupted             failed; error.code is the row's reason, if no event says one
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_RESPONSES_H
#define TOKENLOG_SERVER_API_RESPONSES_H

#include "server/api/replay.h"

/* responses_begin — answers a request that asked for a response in the background and for no stream: with
 * the object as it is once its ID is known and durable. One that is translated has its ID from us, at
 * once; a provider's comes with its first event, which it sends before the model has begun. What ends
 * without an object is answered as any call's end.
 *   owns  the stream's reference passes to it
 *   attached  as replay_request's */
void responses_begin(struct exchange *exchange, struct stream *stream, const char *attached);

#endif
