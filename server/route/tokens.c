/* tokens — a grant for each account, by its email and token URL: so a reload keeps them.
 *
 *   EMPTY ──get──▶ FETCHING ──token──▶ FRESH ──renew_ns──▶ FRESH and FETCHING
 *     ▲               └──failure──▶ FAILED: answered with its reason for RETRY_S, then as EMPTY
 *     └───────────────── the token has ended ───────────────┘ */
#include "server/route/tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/url.h"

enum {
    LIFE_S = 3600,                /* asked for, and the most that Google gives */
    REFRESH_S = 300,              /* before its end a token is fetched anew, or at half its life */
    RETRY_S = 2,                  /* a failure is not asked about again so soon */
    ANSWER_BYTES_MAX = 64 * 1024, /* a token has about 1,024 */
    TEXT_BYTES_MAX = 16 * 1024,
    WHY_BYTES = 256,
    CONNECT_MS = 10000,
    ANSWER_MS = 30000,
    GRANTS_MAX = 256, /* of accounts ever seen: a reload may name others */
};
static const int64_t second_ns = 1000000000;

struct grant {
    struct list node;
    struct tokens *tokens;
    char *email, *token_url;
    struct buf token;
    int64_t renew_ns, ends_ns, retry_ns; /* monotonic; 0: never */
    char why[WHY_BYTES];                 /* of the last failure; empty after a success */
    struct list waiting;                 /* of token_wait.node */
    struct upstream *upstream;           /* NULL: nothing is being fetched */
    struct buf body, answer;
    int status;
};

struct tokens {
    struct loop *loop;
    struct upstreams *upstreams;
    struct list grants;
    size_t grant_count;
};

enum err tokens_new(struct loop *loop, struct upstreams *upstreams, struct tokens **out)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);
    if (!tokens)
        return fault(ERR_NOMEM, "tokens");
    tokens->loop = loop;
    tokens->upstreams = upstreams;
    list_init(&tokens->grants);
    *out = tokens;
    return ERR_OK;
}

static void grant_free(struct grant *grant)
{
    list_unlink(&grant->node);
    buf_deinit(&grant->token);
    buf_deinit(&grant->body);
    buf_deinit(&grant->answer);
    free(grant->email);
    free(grant->token_url);
    free(grant);
}

struct tokens *tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return NULL;
    LIST_FOREACH_SAFE (node, &tokens->grants)
        grant_free(CONTAINER_OF(node, struct grant, node));
    free(tokens);
    return NULL;
}

/* ── the assertion ──────────────────────────────────────────────────────────────────────────── */

/* RFC 4648 §5, without padding. */
static enum err append_base64url(struct slice bytes, struct buf *out)
{
    size_t start = out->size;
    TRY(base64_encode(bytes, out));
    for (size_t i = start; i < out->size; i++) {
        uint8_t c = out->data[i];
        out->data[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    while (out->size > start && out->data[out->size - 1] == '=')
        out->size--;
    return ERR_OK;
}

static enum err append_header(const struct service_account *account, struct buf *jwt)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, TEXT_BYTES_MAX);
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "alg");
    json_string(&writer, SLICE("RS256"));
    json_key(&writer, "typ");
    json_string(&writer, SLICE("JWT"));
    json_key(&writer, "kid");
    json_string(&writer, slice_text(account->key_id));
    json_close(&writer, '}');
    TRY(writer.err);
    return append_base64url(buf_slice(&json), jwt);
}

static enum err append_claims(
    const struct service_account *account, int64_t wall_s, struct buf *jwt)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, TEXT_BYTES_MAX);
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "iss");
    json_string(&writer, slice_text(account->email));
    json_key(&writer, "scope");
    json_string(&writer, SLICE("https://www.googleapis.com/auth/cloud-platform"));
    json_key(&writer, "aud");
    json_string(&writer, slice_text(account->token_url));
    json_key(&writer, "iat");
    json_integer(&writer, wall_s);
    json_key(&writer, "exp");
    json_integer(&writer, wall_s + LIFE_S);
    json_close(&writer, '}');
    TRY(writer.err);
    return append_base64url(buf_slice(&json), jwt);
}

static enum err make_jwt(const struct service_account *account, int64_t wall_s, struct buf *jwt)
{
    CLEANUP(buf_deinit) struct buf signature;
    buf_init(&signature, TEXT_BYTES_MAX);
    TRY(append_header(account, jwt));
    TRY(buf_append_byte(jwt, '.'));
    TRY(append_claims(account, wall_s, jwt));
    TRY(rsa_sha256_sign(slice_text(account->private_key), buf_slice(jwt), &signature));
    TRY(buf_append_byte(jwt, '.'));
    return append_base64url(buf_slice(&signature), jwt);
}

/* ── fetching ───────────────────────────────────────────────────────────────────────────────── */

/* `done` may begin a new wait, or forget others: they are taken off one by one. */
static void tell(struct grant *grant)
{
    struct list now;
    list_init(&now);
    while (!list_is_empty(&grant->waiting))
        list_append(&now, list_pop(&grant->waiting));
    while (!list_is_empty(&now)) {
        struct token_wait *wait = CONTAINER_OF(list_pop(&now), struct token_wait, node);
        wait->done(wait);
    }
}

static void fail(struct grant *grant, const char *problem, const char *detail)
{
    (void)snprintf(grant->why, sizeof grant->why, "%s%s%s", problem, detail[0] ? ": " : "", detail);
    grant->retry_ns = loop_now_ns(grant->tokens->loop) + RETRY_S * second_ns;
}

static void on_head(void *context, int status, struct slice head)
{
    struct grant *grant = context;
    (void)head;
    grant->status = status;
}

static enum err on_data(void *context, struct slice bytes)
{
    struct grant *grant = context;
    return buf_append(&grant->answer, bytes) == ERR_OK ? ERR_OK : ERR_CANCELED;
}

/* A token that no header can hold is none. */
static bool is_sendable(struct slice token)
{
    for (size_t i = 0; i < token.size; i++)
        if (token.data[i] <= ' ' || token.data[i] > '~')
            return false;
    return token.size > 0;
}

static void take_answer(struct grant *grant)
{
    CLEANUP(json_cleanup) struct json *root = NULL;
    if (json_parse(buf_slice(&grant->answer), &root))
        root = NULL;
    struct slice token = json_text(json_get(root, "access_token"));
    int64_t life_s = json_int(json_get(root, "expires_in"), 0);
    struct slice error = json_text(json_get(root, "error_description"));
    char text[WHY_BYTES];
    if (error.size == 0)
        error = json_text(json_get(root, "error"));
    (void)snprintf(text, sizeof text, "status %d %.*s", grant->status,
        SLICE_PRINT(slice_sub(error, 0, WHY_BYTES)));
    if (grant->status != 200 || !is_sendable(token) || life_s <= 0) {
        fail(grant, "the token endpoint refused the service account", text);
        return;
    }
    buf_clear(&grant->token);
    if (buf_append(&grant->token, token)) {
        fail(grant, "the token is too long", "");
        return;
    }
    life_s = life_s > LIFE_S ? LIFE_S : life_s;
    grant->ends_ns = loop_now_ns(grant->tokens->loop) + life_s * second_ns;
    grant->renew_ns =
        grant->ends_ns - (life_s < 2 * REFRESH_S ? life_s * second_ns / 2 : REFRESH_S * second_ns);
    grant->why[0] = '\0';
    grant->retry_ns = 0;
}

static void on_ended(void *context, enum upstream_end how, const char *message)
{
    struct grant *grant = context;
    grant->upstream = NULL;
    if (how == UPSTREAM_COMPLETE)
        take_answer(grant);
    else
        fail(
            grant, "the token endpoint did not answer", message ? message : upstream_end_name(how));
    tell(grant);
}

static const struct upstream_owner owner = {on_head, on_data, on_ended, NULL};

static enum err start(struct grant *grant, const struct provider *provider)
{
    static const char *const headers[] = {
        "Content-Type: application/x-www-form-urlencoded", "Accept: application/json", NULL};
    CLEANUP(buf_deinit) struct buf jwt;
    buf_init(&jwt, TEXT_BYTES_MAX);
    TRY(make_jwt(&provider->account, loop_wall_ns(grant->tokens->loop) / second_ns, &jwt));
    buf_clear(&grant->body);
    buf_clear(&grant->answer);
    grant->status = 0;
    TRY(buf_append(&grant->body,
        SLICE("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")));
    TRY(buf_append(&grant->body, buf_slice(&jwt)));
    struct upstream_request request = {.url = grant->token_url,
        .method = "POST",
        .headers = headers,
        .body = buf_slice(&grant->body),
        .connect_timeout_ms = CONNECT_MS,
        .first_byte_timeout_ms = ANSWER_MS,
        .idle_timeout_ms = ANSWER_MS,
        .ca_file = NULL};
    return upstream_start(grant->tokens->upstreams, &request, &owner, grant, &grant->upstream);
}

static void fetch(struct grant *grant, const struct provider *provider)
{
    if (grant->upstream || loop_now_ns(grant->tokens->loop) < grant->retry_ns)
        return;
    enum err err = start(grant, provider);
    if (err == ERR_INVALID)
        fail(grant, "the service account's private_key is no RSA key", "");
    else if (err)
        fail(grant, "no token could be asked for", err_text(err));
}

/* ── asking ─────────────────────────────────────────────────────────────────────────────────── */

static struct grant *find(struct tokens *tokens, const struct service_account *account)
{
    LIST_FOREACH (node, &tokens->grants) {
        struct grant *grant = CONTAINER_OF(node, struct grant, node);
        if (strcmp(grant->email, account->email) == 0 &&
            strcmp(grant->token_url, account->token_url) == 0)
            return grant;
    }
    return NULL;
}

static enum err open_grant(
    struct tokens *tokens, const struct service_account *account, struct grant **out)
{
    *out = find(tokens, account);
    if (*out)
        return ERR_OK;
    struct grant *grant = tokens->grant_count < GRANTS_MAX ? calloc(1, sizeof *grant) : NULL;
    if (!grant)
        return fault(ERR_NOMEM, "tokens");
    grant->tokens = tokens;
    list_init(&grant->waiting);
    list_append(&tokens->grants, &grant->node);
    tokens->grant_count++;
    buf_init(&grant->token, ANSWER_BYTES_MAX);
    buf_init(&grant->body, ANSWER_BYTES_MAX);
    buf_init(&grant->answer, ANSWER_BYTES_MAX);
    grant->email = strdup(account->email);
    grant->token_url = strdup(account->token_url);
    if (!grant->email || !grant->token_url) {
        tokens->grant_count--;
        grant_free(grant);
        return fault(ERR_NOMEM, "tokens");
    }
    *out = grant;
    return ERR_OK;
}

enum err tokens_get(
    struct tokens *tokens, const struct provider *provider, struct slice *out, const char **why)
{
    struct grant *grant;
    *out = SLICE_NONE;
    if (provider->auth.kind != AUTH_GOOGLE)
        return ERR_OK;
    TRY(open_grant(tokens, &provider->account, &grant));
    int64_t now_ns = loop_now_ns(tokens->loop);
    if (grant->ends_ns == 0 || now_ns >= grant->renew_ns)
        fetch(grant, provider);
    if (now_ns < grant->ends_ns) {
        *out = buf_slice(&grant->token);
        return ERR_OK;
    }
    *why = grant->why;
    return grant->upstream ? ERR_AGAIN : ERR_CLOSED;
}

void tokens_wait(struct tokens *tokens, const struct provider *provider, struct token_wait *wait)
{
    struct grant *grant = find(tokens, &provider->account);
    ASSERT(grant && grant->upstream);
    list_append(&grant->waiting, &wait->node);
}

void tokens_forget(struct token_wait *wait)
{
    list_unlink(&wait->node);
}
