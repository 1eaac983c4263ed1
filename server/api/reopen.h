/* reopen — generations that were under way when the server died, and whose provider keeps the answer: what
 * the row says of the call is enough to ask that provider for the rest (server/stream/producer_kept.c).
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_REOPEN_H
#define TOKENLOG_SERVER_API_REOPEN_H

#include "server/api/api.h"

/* reopen_all — once, before the first request. One whose provider or key is not there any more, or cannot be
 * used at once, ends as interrupted. */
void reopen_all(struct api *api);

#endif
