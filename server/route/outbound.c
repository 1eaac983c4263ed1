/* outbound — see the header. Header lines are gathered in one text, with NULs between them; their
 * places are known once it stops moving. */
#include "server/route/outbound.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/http/url.h"
#include "server/route/sigv4.h"

enum { URL_BYTES_MAX = HTTP_TARGET_BYTES_MAX * 2, HEADERS_BYTES_MAX = 64 * 1024 };

enum err outbound_api_target(const struct provider *provider, struct slice target, struct buf *out)
{
    if (!provider->api_prefix)
        return ERR_NOTFOUND;
    if (slice_has_prefix(target, SLICE("/v1/")))
        target = slice_sub(target, 3, target.size);
    TRY(buf_append_text(out, provider->api_prefix));
    return buf_append(out, target);
}

/* Google takes its key either way. */
static struct slice key_parameter(const struct provider_auth *auth)
{
    if (auth->kind == AUTH_QUERY)
        return auth->name;
    bool is_google =
        auth->kind == AUTH_HEADER && slice_equal_nocase(auth->name, SLICE("x-goog-api-key"));
    return is_google ? SLICE("key") : SLICE_NONE;
}

/* However it is escaped. */
static bool has_name(struct slice parameter, struct slice name)
{
    CLEANUP(buf_deinit) struct buf decoded;
    ptrdiff_t equals = slice_find_byte(parameter, '=');
    struct slice raw = slice_sub(parameter, 0, equals < 0 ? parameter.size : (size_t)equals);
    buf_init(&decoded, HTTP_TARGET_BYTES_MAX);
    return percent_decode(raw, true, &decoded) == ERR_OK && slice_equal(buf_slice(&decoded), name);
}

enum err outbound_native_target(
    const struct provider *provider, struct slice target, struct buf *out)
{
    struct slice name = key_parameter(&provider->auth);
    ptrdiff_t mark = slice_find_byte(target, '?');
    if (mark < 0 || name.size == 0)
        return buf_append(out, target);
    TRY(buf_append(out, slice_sub(target, 0, (size_t)mark)));
    struct slice rest = slice_sub(target, (size_t)mark + 1, target.size);
    char before = '?';
    while (rest.size) {
        ptrdiff_t end = slice_find_byte(rest, '&');
        struct slice parameter = slice_sub(rest, 0, end < 0 ? rest.size : (size_t)end);
        rest = end < 0 ? SLICE_NONE : slice_sub(rest, (size_t)end + 1, rest.size);
        if (has_name(parameter, name))
            continue;
        TRY(buf_append_byte(out, (uint8_t)before));
        TRY(buf_append(out, parameter));
        before = '&';
    }
    return ERR_OK;
}

static enum err end_line(struct outbound *out)
{
    return buf_append_byte(&out->text, '\0');
}

/* ── who calls ──────────────────────────────────────────────────────────────────────────────── */

static enum err add_key_header(
    struct outbound *out, const struct provider_auth *auth, struct slice key)
{
    TRY(buf_append(&out->text, auth->name));
    TRY(buf_append_text(&out->text, ": "));
    TRY(buf_append(&out->text, auth->before));
    TRY(buf_append(&out->text, key));
    TRY(buf_append(&out->text, auth->after));
    return end_line(out);
}

static enum err add_key_parameter(
    struct outbound *out, const struct provider_auth *auth, struct slice key)
{
    bool has_query = slice_find_byte(buf_slice(&out->url), '?') >= 0;
    TRY(buf_append_byte(&out->url, has_query ? '&' : '?'));
    TRY(buf_append(&out->url, auth->name));
    TRY(buf_append_byte(&out->url, '='));
    return percent_encode(key, &out->url);
}

/* ID:SECRET[:TOKEN] */
static void split_key(struct slice key, struct sigv4_request *out)
{
    ptrdiff_t colon = slice_find_byte(key, ':');
    ASSERT(colon >= 0); /* provider.c looked */
    out->id = slice_sub(key, 0, (size_t)colon);
    key = slice_sub(key, (size_t)colon + 1, key.size);
    colon = slice_find_byte(key, ':');
    out->secret = slice_sub(key, 0, colon < 0 ? key.size : (size_t)colon);
    out->token = colon < 0 ? SLICE_NONE : slice_sub(key, (size_t)colon + 1, key.size);
}

/* Host, as libcurl sends it: without the scheme's own port. */
static void split_url(struct slice url, struct sigv4_request *out)
{
    bool is_https = slice_has_prefix(url, SLICE("https://"));
    struct slice rest = slice_sub(url, is_https ? 8 : 7, url.size);
    ptrdiff_t slash = slice_find_byte(rest, '/');
    ASSERT(slash >= 0);
    out->host = slice_sub(rest, 0, (size_t)slash);
    struct slice port = is_https ? SLICE(":443") : SLICE(":80");
    if (out->host.size > port.size &&
        slice_equal(slice_sub(out->host, out->host.size - port.size, port.size), port))
        out->host.size -= port.size;
    rest = slice_sub(rest, (size_t)slash, rest.size);
    ptrdiff_t mark = slice_find_byte(rest, '?');
    out->path = slice_sub(rest, 0, mark < 0 ? rest.size : (size_t)mark);
    out->query = mark < 0 ? SLICE_NONE : slice_sub(rest, (size_t)mark + 1, rest.size);
}

static enum err add_signature(
    const struct outbound_request *request, struct slice key, struct outbound *out)
{
    CLEANUP(buf_deinit) struct buf authorization;
    const struct provider *provider = request->provider;
    struct sigv4 signature;
    struct sigv4_request sign = {.region = slice_text(provider->options[OPTION_region]),
        .service = slice_text(provider->options[OPTION_service]),
        .method = slice_text(request->method),
        .body = request->body,
        .wall_s = request->wall_s};
    buf_init(&authorization, HEADERS_BYTES_MAX);
    split_key(key, &sign);
    split_url(buf_slice(&out->url), &sign);
    TRY(sigv4_sign(&sign, &signature, &authorization));
    TRY(buf_printf(&out->text, "Authorization: %.*s", SLICE_PRINT(buf_slice(&authorization))));
    TRY(end_line(out));
    TRY(buf_printf(&out->text, "X-Amz-Date: %s", signature.date));
    TRY(end_line(out));
    TRY(buf_printf(&out->text, "X-Amz-Content-Sha256: %s", signature.body_hash));
    TRY(end_line(out));
    if (sign.token.size == 0)
        return ERR_OK;
    TRY(buf_printf(&out->text, "X-Amz-Security-Token: %.*s", SLICE_PRINT(sign.token)));
    return end_line(out);
}

static enum err add_credentials(const struct outbound_request *request, struct outbound *out)
{
    const struct provider *provider = request->provider;
    const struct provider_auth bearer = {
        .kind = AUTH_HEADER, .name = SLICE("Authorization"), .before = SLICE("Bearer ")};
    struct slice key = request->callers_key;
    if (provider->auth.kind == AUTH_NONE || (provider->key_count == 0 && key.size == 0))
        return ERR_OK;
    if (key.size == 0 && request->key >= provider->key_count)
        return ERR_INVALID;
    if (key.size == 0)
        key = slice_text(provider->keys[request->key]);
    switch (provider->auth.kind) {
    case AUTH_NONE: break;
    case AUTH_HEADER: return add_key_header(out, &provider->auth, key);
    case AUTH_QUERY: return add_key_parameter(out, &provider->auth, key);
    case AUTH_AWS_SIGV4: return add_signature(request, key, out);
    case AUTH_GOOGLE:
        return request->token.size ? add_key_header(out, &bearer, request->token) : ERR_INVALID;
    }
    return ERR_OK;
}

/* ── headers that are sent anyway ───────────────────────────────────────────────────────────── */

static struct slice name_of(const char *line)
{
    struct slice text = slice_text(line);
    ptrdiff_t colon = slice_find_byte(text, ':');
    return slice_trim(slice_sub(text, 0, colon < 0 ? text.size : (size_t)colon));
}

static bool is_there(struct slice name, const struct headers *callers, const char *const *lines)
{
    for (size_t i = 0; callers && i < callers->count; i++)
        if (slice_equal_nocase(name, callers->items[i].name) &&
            header_crosses_to_provider(name, callers))
            return true;
    for (; lines && *lines; lines++)
        if (slice_equal_nocase(name, name_of(*lines)))
            return true;
    return false;
}

static enum err add_headers(const char *const *lines, const struct headers *callers,
    const char *const *unless, struct outbound *out)
{
    for (; *lines; lines++) {
        if (is_there(name_of(*lines), callers, unless))
            continue;
        TRY(buf_append_text(&out->text, *lines));
        TRY(end_line(out));
    }
    return ERR_OK;
}

/* ── the whole ──────────────────────────────────────────────────────────────────────────────── */

static enum err place_headers(struct outbound *out)
{
    size_t count = 0;
    const char *end = (const char *)out->text.data + out->text.size;
    for (const char *line = (const char *)out->text.data; line < end; line += strlen(line) + 1) {
        if (count == OUTBOUND_HEADERS_MAX)
            return ERR_LIMIT;
        out->headers[count++] = line;
    }
    out->headers[count] = NULL;
    return ERR_OK;
}

enum err outbound_prepare(const struct outbound_request *request, struct outbound *out)
{
    const struct provider *provider = request->provider;
    *out = (struct outbound){0};
    buf_init(&out->url, URL_BYTES_MAX);
    buf_init(&out->text, HEADERS_BYTES_MAX);
    TRY(buf_append_text(&out->url, provider->base_url));
    if (!slice_has_prefix(request->target, SLICE("/")))
        TRY(buf_append_byte(&out->url, '/'));
    TRY(buf_append(&out->url, request->target));
    TRY(add_credentials(request, out));
    TRY(buf_append_byte(&out->url, '\0'));
    TRY(add_headers(provider->headers, request->headers, NULL, out));
    TRY(add_headers(provider->default_headers, request->headers, provider->headers, out));
    return place_headers(out);
}

void outbound_deinit(struct outbound *outbound)
{
    buf_deinit(&outbound->url);
    buf_deinit(&outbound->text);
}
