/* tokens — access tokens for Google service accounts: fetched when first needed, kept, and fetched
 * anew before they end, while the old one still serves.
 *
 *   JWT, signed with the account's key (RS256) ─▶ POST token_uri ─▶ {access_token, expires_in}
 *
 *   thread  loop: one for each
 *   source  https://developers.google.com/identity/protocols/oauth2/service-account */
#ifndef TOKENLOG_SERVER_ROUTE_TOKENS_H
#define TOKENLOG_SERVER_ROUTE_TOKENS_H

#include "protocol/base/list.h"
#include "server/io/loop.h"
#include "server/io/upstream.h"
#include "server/route/provider.h"

struct tokens;

/* One who waits for a token; embedded in its owner. */
struct token_wait {
    struct list node;
    void (*done)(struct token_wait *wait); /* once: ask tokens_get again, whatever came of it */
};

enum err tokens_new(struct loop *loop, struct upstreams *upstreams, struct tokens **out) NODISCARD;
/* tokens_free — after upstreams_free; waiting ones are not told. */
struct tokens *tokens_free(struct tokens *tokens);

/* tokens_get — the provider's token, borrowed until the loop's turn ends. Providers of other kinds
 * need none: ERR_OK, and empty. An old one that ends soon has been asked for anew.
 *   answers  ERR_AGAIN there is none yet, or none any more: tokens_wait
 *            ERR_CLOSED it could not be had a moment ago: *why says why, borrowed as above
 *   faults   ERR_NOMEM */
enum err tokens_get(struct tokens *tokens, const struct provider *provider, struct slice *out,
    const char **why) NODISCARD;
/* tokens_wait — only after ERR_AGAIN, in the same turn. tokens_forget — no `done` any more. */
void tokens_wait(struct tokens *tokens, const struct provider *provider, struct token_wait *wait);
void tokens_forget(struct token_wait *wait);

#endif
