/* request — GET /v1/streams/{id}/request: the body that was asked with, as it was recorded.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_REQUEST_H
#define TOKENLOG_SERVER_API_REQUEST_H

#include "server/http/exchange.h"
#include "server/stream/hub.h"

/* request_start — answers the exchange, piece by piece from the store. A body that is on its way
 * there is waited for: so soon after the call, or in the midst of it. Of one that was sent while it came there
 * is a digest only: 404.
 *   owns  the stream's reference */
void request_start(struct exchange *exchange, struct stream *stream);

#endif
