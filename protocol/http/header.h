/* header — header fields as borrowed slices, and the one table that says which of them cross the gateway. */
#ifndef TOKENLOG_PROTOCOL_HTTP_HEADER_H
#define TOKENLOG_PROTOCOL_HTTP_HEADER_H

#include "protocol/base/slice.h"
#include "protocol/http/bounds.h"

struct header {
    struct slice name;
    struct slice value; /* without surrounding white space */
};

struct headers {
    struct header items[HTTP_HEADER_COUNT_MAX];
    size_t count;
};

/* headers_get — the value of the first field of that name (case-insensitive); SLICE_NONE if there is none.
 * headers_count — how many fields of that name there are. */
struct slice headers_get(const struct headers *headers, const char *name);
size_t headers_count(const struct headers *headers, const char *name);
/* headers_has_token — whether a comma-separated list field (Connection, Transfer-Encoding…) has the token, any case. */
bool headers_has_token(const struct headers *headers, const char *name, const char *token);

/* Which fields cross. Hop-by-hop fields (RFC 9110 §7.6.1: Connection and what it names, Keep-Alive, Proxy-*, TE, Trailer,
 * Transfer-Encoding, Upgrade), Host, Content-Length, Expect, Accept-Encoding (we ask for identity), Cookie, the caller's
 * credentials (Authorization, x-api-key, api-key, x-goog-api-key), forwarding fields (Forwarded, X-Forwarded-*, Via, X-Real-IP),
 * Origin, Referer, Sec-*, Idempotency-Key, Last-Event-ID and Tokenlog-* never go to a provider; all else does (an SDK's
 * OpenAI-Beta, anthropic-version…). Towards the caller: hop-by-hop fields, Content-Length, Content-Encoding of
 * identity, Set-Cookie, Alt-Svc, Strict-Transport-Security, Server, Date, CORS (Access-Control-*) and Tokenlog-* do not go on; all else does. */
bool header_crosses_to_provider(struct slice name, const struct headers *all);
bool header_crosses_to_caller(struct slice name, const struct headers *all);

/* header_is_clean — the name is a token and the value has no control characters but tab (RFC 9110 §5.5): safe to write. */
bool header_is_clean(struct header header);

#endif
