/* outbound — a request to a provider, made ready: its URL, and the headers that say who calls.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_ROUTE_OUTBOUND_H
#define TOKENLOG_SERVER_ROUTE_OUTBOUND_H

#include "protocol/http/header.h"
#include "server/route/provider.h"

/* outbound_api_target — where an OpenAI-style call is at this provider: its api_prefix instead of the
 * caller's /v1, appended.
 *   answers  ERR_NOTFOUND it has no such calls · buf_append's */
enum err outbound_api_target(
    const struct provider *provider, struct slice target, struct buf *out) NODISCARD;

/* outbound_native_target — a native call's target as it is, but for a parameter that would tell the
 * provider who calls: that one is ours to send. Appended.
 *   answers  buf_append's */
enum err outbound_native_target(
    const struct provider *provider, struct slice target, struct buf *out) NODISCARD;

struct outbound_request {
    const struct provider *provider;
    size_t key;               /* which of its keys; ignored if it has none */
    struct slice callers_key; /* instead of that; empty: none */
    const char *method;
    struct slice target; /* path and query behind base_url */
    struct slice body;
    const struct headers *headers; /* the caller's: what it brings is not sent twice */
    struct slice token;            /* for AUTH_GOOGLE: tokens_get's */
    int64_t wall_s;
};

enum { OUTBOUND_HEADERS_MAX = 2 * PROVIDER_HEADER_COUNT_MAX + CATALOGUE_NAMES_MAX + 4 };
struct outbound {
    struct buf url;                                /* ends in a NUL */
    struct buf text;                               /* of the headers */
    const char *headers[OUTBOUND_HEADERS_MAX + 1]; /* "Name: value", NULL-terminated */
};

/* outbound_prepare — owns what is in *out, until outbound_deinit, also after a failure.
 *   answers  ERR_LIMIT it is too long · ERR_INVALID no such key, or no token · faults ERR_NOMEM */
enum err outbound_prepare(const struct outbound_request *request, struct outbound *out) NODISCARD;
void outbound_deinit(struct outbound *outbound);

#endif
