/* refusal — how new work is refused: the same words for every kind of call that asks a provider.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_REFUSAL_H
#define TOKENLOG_SERVER_API_REFUSAL_H

#include "server/http/exchange.h"
#include "server/route/provider.h"

/* refuse_stream — nothing can be recorded: ERR_LIMIT too many generations · ERR_AGAIN more than the
 * disk takes · else (507) no room, and waiting makes none. refuse_draining — the server is going. */
void refuse_stream(struct exchange *exchange, enum err err);
void refuse_draining(struct exchange *exchange);
/* refuse_route — catalogue_pick's answer, and its sentence. */
void refuse_route(struct exchange *exchange, enum err err, const struct buf *why);
/* refuse_outbound — outbound_prepare's answer, or a fault. */
void refuse_outbound(struct exchange *exchange, enum err err);
/* refuse_token — tokens_get's ERR_CLOSED. */
void refuse_token(struct exchange *exchange, const struct provider *provider, const char *why);

#endif
