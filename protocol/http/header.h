/* header — header fields as borrowed slices, and the one table that says which cross the gateway.
 *
 *   thread  any; pure · source  RFC 9110 §5, §7.6 */
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

/* headers_get — the value of the first field of that name (any case). SLICE_NONE (data is NULL) if
 * there is none; an empty value has data. headers_count — how many fields of that name there
 * are. */
struct slice headers_get(const struct headers *headers, const char *name);
size_t headers_count(const struct headers *headers, const char *name);
/* headers_has_token — whether a list field (Connection, Transfer-Encoding…) has the token, in any
 * case and in any of the fields of that name. */
bool headers_has_token(const struct headers *headers, const char *name, const char *token);

/* header_crosses_… — whether a field of the message `all` goes on to the other side. The table in
 * header.c says which fields do not, and why; whatever it does not name crosses (an SDK's
 * OpenAI-Beta, anthropic-version, x-request-id…).
 *
 *   to_provider  fields of a caller's request, on their way to a provider
 *   to_caller    fields of a provider's response, on their way to a caller */
bool header_crosses_to_provider(struct slice name, const struct headers *all);
bool header_crosses_to_caller(struct slice name, const struct headers *all);

/* header_is_clean — the name is a token and the value has no control characters but tab
 * (RFC 9110 §5.5): safe to write. */
bool header_is_clean(struct header header);
/* byte_is_token — a tchar (RFC 9110 §5.6.2). */
bool byte_is_token(uint8_t byte);

#endif
