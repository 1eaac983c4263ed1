/* proxy — Durable Streams' proxy protocol (v0.1, 2026-02) at /v1/proxy: a request that is sent to a
 * provider, and whose answer is read as a stream of the protocol, by a URL that stands for a key.
 *
 *   POST /v1/proxy   Upstream-URL: https://api.openai.com/v1/responses   Upstream-Method: POST
 *        ▶ /openai/v1/responses, a call on a provider's own path (native.h), recorded as any other
 *        ◀ 201, Location: …/v1/proxy/{id}?expires=…&signature=…, once the answer has begun
 *   GET, HEAD /v1/proxy/{id}     as /v1/stream/-/streams/{id}
 *   PATCH … ?action=abort        ends the generation; what there is of it stays     204
 *   DELETE /v1/proxy/{id}        likewise, and deletes it                           204
 *
 * server/durable/README.md says where it deviates.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_PROXY_H
#define TOKENLOG_SERVER_API_PROXY_H

#include "server/api/api.h"

api_handler proxy_post, proxy_get, proxy_patch, proxy_delete;

/* proxy_admit — at the gate: what the request's URL stands for. *project is its name, decoded, appended.
 *   answers  ERR_NOTFOUND nothing: a key is needed · ERR_DENIED it was refused */
enum err proxy_admit(struct api *api, struct exchange *exchange, struct buf *project) NODISCARD;

#endif
