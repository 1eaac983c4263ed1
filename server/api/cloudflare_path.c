/* cloudflare_path — see the header. Patterns are matched segment by segment; a name in braces takes one,
 * {rest} all that are left, at least one. */
#include "server/api/cloudflare_path.h"

#include <string.h>

#include "protocol/base/digest.h"
#include "protocol/http/url.h"

static const struct pattern {
    const char *text;
    enum cloudflare_kind kind;
} patterns[] = {
    {"/run", CLOUDFLARE_RUN},
    {"/ai-gateway/run", CLOUDFLARE_RUN},
    {"/ai-gateway/universal/run/{gateway}", CLOUDFLARE_UNIVERSAL},
    {"/ai-gateway/gateways/{gateway}/run/{run}/resume", CLOUDFLARE_RESUME},
    {"/ai/run", CLOUDFLARE_RUN},
    {"/ai/run/{rest}", CLOUDFLARE_RUN},
    {"/ai/v1/{rest}", CLOUDFLARE_COMPAT},
    {"/v1/{account}/{gateway}", CLOUDFLARE_UNIVERSAL},
    {"/v1/{account}/{gateway}/", CLOUDFLARE_UNIVERSAL},
    {"/v1/{account}/{gateway}/run", CLOUDFLARE_RUN},
    {"/v1/{account}/{gateway}/compat/{rest}", CLOUDFLARE_COMPAT},
    {"/v1/{account}/{gateway}/{provider}/{rest}", CLOUDFLARE_PROVIDER},
};

enum { ACCOUNT_DIGITS = 32 };

/* ── paths ──────────────────────────────────────────────────────────────────────────────────── */

static struct slice *named(struct cloudflare_path *out, struct slice name)
{
    return slice_equal(name, SLICE("{account}"))    ? &out->account
           : slice_equal(name, SLICE("{gateway}"))  ? &out->gateway
           : slice_equal(name, SLICE("{provider}")) ? &out->provider
           : slice_equal(name, SLICE("{run}"))      ? &out->run
                                                    : NULL;
}

static bool matches(struct slice pattern, struct slice path, struct cloudflare_path *out)
{
    struct slice want, got;
    while (path_next(&pattern, &want)) {
        if (!path_next(&path, &got))
            return false;
        if (slice_equal(want, SLICE("{rest}"))) {
            out->rest = slice_of(got.data, (size_t)(path.data + path.size - got.data));
            return out->rest.size > 0;
        }
        struct slice *taken = named(out, want);
        if (taken ? got.size == 0 : !slice_equal(want, got))
            return false;
        if (taken)
            *taken = got;
    }
    return path.size == 0;
}

struct cloudflare_path cloudflare_path_read(struct slice path)
{
    static const struct slice accounts = SLICE("/client/v4/accounts/");
    struct slice account = SLICE_NONE;
    if (slice_has_prefix(path, accounts)) {
        account = path_segment(path, 3);
        size_t size = accounts.size + account.size;
        path = slice_sub(path, size, path.size);
    }
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct cloudflare_path out = {.kind = patterns[i].kind, .account = account};
        bool is_of_gateway = slice_has_prefix(slice_text(patterns[i].text), SLICE("/v1/"));
        if (!(is_of_gateway && account.size) && matches(slice_text(patterns[i].text), path, &out))
            return out;
    }
    return (struct cloudflare_path){.kind = CLOUDFLARE_NONE};
}

bool cloudflare_path_is_certain(const struct cloudflare_path *path)
{
    uint8_t bytes[ACCOUNT_DIGITS / 2];
    bool is_hex = hex_decode(path->account, bytes, sizeof bytes) == ERR_OK;
    return path->kind != CLOUDFLARE_NONE && (path->account.size == 0 || is_hex);
}

/* ── runs ───────────────────────────────────────────────────────────────────────────────────── */

void cloudflare_run_format(const struct id *id, char out[CLOUDFLARE_RUN_BYTES])
{
    static const char label[] = "cf-aig-run-id";
    uint8_t digest[SHA256_BYTES], text[sizeof label - 1 + ID_BYTES];
    memcpy(text, label, sizeof label - 1);
    memcpy(text + sizeof label - 1, id->bytes, ID_BYTES);
    sha256(slice_of(text, sizeof text), digest);
    hex_encode(id_slice(id), out);
    hex_encode(slice_of(digest, ID_BYTES), out + (size_t)2 * ID_BYTES);
}

enum err cloudflare_run_parse(struct slice text, struct id *out)
{
    struct id id;
    char expected[CLOUDFLARE_RUN_BYTES];
    TRY(hex_decode(slice_sub(text, 0, (size_t)2 * ID_BYTES), id.bytes, ID_BYTES));
    cloudflare_run_format(&id, expected);
    if (!slice_equal(text, slice_text(expected)))
        return ERR_INVALID;
    *out = id;
    return ERR_OK;
}

/* ── a provider's own paths ─────────────────────────────────────────────────────────────────── */

/* What Cloudflare leaves out of a provider's paths: `before` takes the place of `skipped` segments.
 * source  https://developers.cloudflare.com/ai-gateway/usage/providers/ (2026-10) */
static const struct difference {
    const char *provider;
    size_t skipped;
    const char *before;
} differences[] = {
    {"openai", 0, "v1/"}, {"cerebras", 0, "v1/"}, {"groq", 0, "openai/v1/"},
    {"fireworks", 0, "inference/v1/"}, {"openrouter", 0, "api/"},
    {"azure-openai", 1, "openai/deployments/"}, /* {resource}/{deployment}/… */
    {"aws-bedrock", 2, ""},                     /* bedrock-runtime/{region}/… */
};

static struct slice skip_segments(struct slice rest, size_t count)
{
    for (; count > 0; count--) {
        ptrdiff_t slash = slice_find_byte(rest, '/');
        rest = slash < 0 ? SLICE_NONE : slice_sub(rest, (size_t)slash + 1, rest.size);
    }
    return rest;
}

static enum err workers_ai_path(struct slice account, struct slice rest, struct buf *out)
{
    bool is_compatible = slice_has_prefix(rest, SLICE("v1/"));
    bool names_run = slice_has_prefix(rest, SLICE("run/"));
    return buf_printf(out, "/client/v4/accounts/%.*s/ai/%s%.*s", SLICE_PRINT(account),
        is_compatible || names_run ? "" : "run/", SLICE_PRINT(rest));
}

enum err cloudflare_native_path(
    struct slice provider, struct slice account, struct slice rest, struct buf *out)
{
    while (slice_has_prefix(rest, SLICE("/")))
        rest = slice_sub(rest, 1, rest.size);
    if (slice_equal(provider, SLICE("workers-ai")) && account.size)
        return workers_ai_path(account, rest, out);
    TRY(buf_append_byte(out, '/'));
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct difference *of = &differences[i];
        if (!slice_equal(provider, slice_text(of->provider)))
            continue;
        rest = skip_segments(rest, of->skipped);
        if (!slice_has_prefix(rest, slice_text(of->before)))
            TRY(buf_append_text(out, of->before));
    }
    return buf_append(out, rest);
}
