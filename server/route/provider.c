/* provider — see the header.
 *
 *                  told in the configuration  ▶  else the catalogue's spec  ▶  else
 *   base_url       base_url                      base_url                      an error
 *   api_prefix     api_prefix                    base_url told: /v1, else its  /v1
 *   dialects       dialects, or dialect          dialects                      any: nothing is known
 *   dialect_prefix                               dialect_prefix                the dialect's, if another
 *   auth           auth                          auth                          bearer (x-api-key for
 *                                                                              an "anthropic")
 *   keys           key, keys, api_key_env        key_env, in the environment   none: nothing is sent
 *   options        options                       the environment, a default    an error, if needed */
#include "server/route/provider.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/dialect/translate.h"

enum {
    ACCOUNT_FILE_BYTES_MAX = 64 * 1024, /* a Google account's has about 2,400 */
    PREFIX_BYTES_MAX = 4096,
};

/* What one provider is made from. */
struct making {
    const struct provider_config *config; /* NULL: found in the environment */
    const struct provider_spec *spec;     /* may be NULL */
    char **environment;
    struct pool *pool;
    struct buf *why;
    struct provider *out;
};

static enum err refuse(struct making *making, const char *problem, const char *detail)
{
    TRY(buf_printf(making->why, "%s: provider `%s`: %s%s\n",
        making->config ? making->config->where : "environment", making->out->name, problem,
        detail ? detail : ""));
    return ERR_INVALID;
}

/* ── options ────────────────────────────────────────────────────────────────────────────────── */

static const char *first_variable(char **environment, const char *const *variables)
{
    for (; variables && *variables; variables++) {
        const char *value = config_environment(environment, *variables);
        if (value)
            return value;
    }
    return NULL;
}

static void take_options(struct making *making)
{
    for (size_t i = 0; i < PROVIDER_OPTION_COUNT; i++) {
        const char *value = making->config ? making->config->options[i] : NULL;
        if (!value && making->spec)
            value = first_variable(making->environment, making->spec->option_variables[i]);
        if (!value && making->spec)
            value = making->spec->option_defaults[i];
        making->out->options[i] = value;
    }
}

static enum err append_option(struct making *making, struct slice name, struct buf *text)
{
    for (size_t i = 0; i < PROVIDER_OPTION_COUNT; i++) {
        const char *option = provider_option_name((enum provider_option)i);
        if (!slice_equal(name, slice_text(option)))
            continue;
        const char *value = making->out->options[i];
        if (!value)
            return making->config ? refuse(making, "needs the option ", option) : ERR_NOTFOUND;
        if (strpbrk(value, "/?#@:% ") || !value[0])
            return refuse(making, "has characters that no name has: the option ", option);
        return buf_append_text(text, value);
    }
    return refuse(making, "has braces around what is no option", NULL);
}

/* `text` with its {options} filled in. */
static enum err fill(struct making *making, const char *text, const char **out)
{
    CLEANUP(buf_deinit) struct buf filled;
    buf_init(&filled, PREFIX_BYTES_MAX);
    if (!text) {
        *out = NULL;
        return ERR_OK;
    }
    while (*text) {
        size_t plain = strcspn(text, "{");
        TRY(buf_append(&filled, slice_of(text, plain)));
        text += plain;
        const char *end = strchr(text, '}');
        if (!*text)
            break;
        if (!end)
            return refuse(making, "has a brace that is not closed", NULL);
        TRY(append_option(making, slice_of(text + 1, (size_t)(end - text) - 1), &filled));
        text = end + 1;
    }
    return pool_text(making->pool, buf_slice(&filled), out);
}

/* ── keys ───────────────────────────────────────────────────────────────────────────────────── */

static void add_key(struct provider *provider, const char *key)
{
    if (provider->key_count < PROVIDER_KEY_COUNT_MAX)
        provider->keys[provider->key_count++] = key;
}

/* AWS keeps its key in three variables: ID:SECRET[:SESSION TOKEN]. */
static enum err take_aws_key(struct making *making)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, PREFIX_BYTES_MAX);
    const char *id = config_environment(making->environment, "AWS_ACCESS_KEY_ID");
    const char *secret = config_environment(making->environment, "AWS_SECRET_ACCESS_KEY");
    const char *token = config_environment(making->environment, "AWS_SESSION_TOKEN");
    const char *key;
    if (!id || !secret)
        return ERR_OK;
    TRY(buf_printf(&text, "%s:%s%s%s", id, secret, token ? ":" : "", token ? token : ""));
    TRY(pool_text(making->pool, buf_slice(&text), &key));
    add_key(making->out, key);
    return ERR_OK;
}

static enum err read_file(struct making *making, const char *path, struct buf *text)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (;;) {
        uint8_t *room;
        enum { PIECE_BYTES = 4096 };
        if (fd >= 0)
            TRY(buf_reserve(text, PIECE_BYTES, &room));
        ssize_t size = fd < 0 ? -1 : read(fd, room, PIECE_BYTES);
        if (size < 0) {
            TRY(buf_printf(making->why, "%s: %s\n", path, strerror(errno)));
            return ERR_INVALID;
        }
        if (size == 0)
            return ERR_OK;
        buf_commit(text, (size_t)size);
    }
}

static enum err take_account_texts(struct making *making, const struct json *root)
{
    struct service_account *account = &making->out->account;
    const struct {
        const char *name;
        const char **out;
    } members[] = {{"client_email", &account->email}, {"private_key_id", &account->key_id},
        {"private_key", &account->private_key}, {"token_uri", &account->token_url}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct slice text = json_text(json_get(root, members[i].name));
        if (text.size == 0)
            return refuse(making, "the service account's file has no ", members[i].name);
        TRY(pool_text(making->pool, text, members[i].out));
    }
    return ERR_OK;
}

static enum err read_account(struct making *making, const char *path)
{
    CLEANUP(buf_deinit) struct buf text;
    CLEANUP(json_cleanup) struct json *root = NULL;
    buf_init(&text, ACCOUNT_FILE_BYTES_MAX);
    enum err err = read_file(making, path, &text);
    if (err == ERR_LIMIT || err == ERR_INVALID)
        return refuse(making, "no service account can be read from ", path);
    TRY(err);
    err = json_parse(buf_slice(&text), &root);
    if (err == ERR_INVALID)
        return refuse(making, "no service account is in ", path);
    TRY(err);
    TRY(take_account_texts(making, root));
    add_key(making->out, making->out->account.email);
    return ERR_OK;
}

static const char *account_path(const struct making *making)
{
    if (making->config && making->config->key_file)
        return making->config->key_file;
    return config_environment(making->environment, "GOOGLE_APPLICATION_CREDENTIALS");
}

static enum err take_keys(struct making *making)
{
    const struct provider_config *config = making->config;
    bool is_told = config && config->has_key_source;
    if (making->out->auth.kind == AUTH_NONE)
        return ERR_OK;
    if (making->out->auth.kind == AUTH_GOOGLE) {
        const char *path = account_path(making);
        return path ? read_account(making, path) : ERR_OK;
    }
    for (const char *const *key = config ? config->keys : NULL; key && *key; key++)
        add_key(making->out, *key);
    if (making->out->key_count || is_told)
        return ERR_OK;
    if (making->out->auth.kind == AUTH_AWS_SIGV4)
        return take_aws_key(making);
    const char *key =
        making->spec ? first_variable(making->environment, making->spec->key_variables) : NULL;
    if (key)
        add_key(making->out, key);
    return ERR_OK;
}

/* Those of the environment were not looked at before: often they end in a newline. */
static bool is_sendable(const char *key)
{
    for (; *key; key++)
        if (*key < ' ' || *key > '~')
            return false;
    return true;
}

static enum err check_keys(struct making *making)
{
    const struct provider *provider = making->out;
    enum provider_auth_kind kind = provider->auth.kind;
    if (kind == AUTH_GOOGLE && provider->key_count == 0)
        return refuse(making,
            "needs a service account's file: key_file or "
            "$GOOGLE_APPLICATION_CREDENTIALS",
            NULL);
    if (provider->takes_callers_keys && kind != AUTH_HEADER && kind != AUTH_QUERY)
        return refuse(making, "has callers_keys, but its auth is not by a plain key", NULL);
    if (kind == AUTH_AWS_SIGV4 && provider->key_count == 0)
        return refuse(making,
            "needs an AWS key: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or "
            "key: ID:SECRET",
            NULL);
    if (kind == AUTH_AWS_SIGV4 &&
        (!provider->options[OPTION_region] || !provider->options[OPTION_service]))
        return refuse(making, "needs the options region and service", NULL);
    for (const char *const *key = provider->keys; kind == AUTH_AWS_SIGV4 && *key; key++)
        if (!strchr(*key, ':'))
            return refuse(making, "an AWS key is ID:SECRET or ID:SECRET:TOKEN", NULL);
    for (const char *const *key = provider->keys; *key; key++)
        if (!is_sendable(*key))
            return refuse(making, "a key has characters that no header can hold", NULL);
    return ERR_OK;
}

/* ── keys of callers ────────────────────────────────────────────────────────────────────────── */

enum err provider_key_parts(struct slice value, struct slice *name, struct slice *key)
{
    ptrdiff_t equals = slice_find_byte(value, '=');
    if (equals <= 0 || (size_t)equals + 1 == value.size)
        return ERR_INVALID;
    struct slice rest = slice_sub(value, (size_t)equals + 1, value.size);
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] <= ' ' || rest.data[i] > '~')
            return ERR_INVALID;
    *name = slice_sub(value, 0, (size_t)equals);
    *key = rest;
    return ERR_OK;
}

struct slice provider_callers_key(const struct provider *provider, const struct headers *headers)
{
    struct slice name, key;
    for (size_t i = 0; provider->takes_callers_keys && headers && i < headers->count; i++)
        if (slice_equal_nocase(headers->items[i].name, SLICE(PROVIDER_KEY_FIELD)) &&
            provider_key_parts(headers->items[i].value, &name, &key) == ERR_OK &&
            slice_equal(name, slice_text(provider->name)))
            return key;
    return SLICE_NONE;
}

/* ── the whole ──────────────────────────────────────────────────────────────────────────────── */

static bool speaks_of_anthropic(const char *name, const char *base_url)
{
    const char *host = strstr(base_url, "://");
    host = host ? host + 3 : base_url;
    return strcasestr(name, "anthropic") ||
           memmem(host, strcspn(host, "/"), "anthropic", strlen("anthropic"));
}

static enum err take_urls(struct making *making)
{
    const struct provider_config *config = making->config;
    const struct provider_spec *spec = making->spec;
    bool is_url_told = config && config->base_url;
    const char *url = is_url_told ? config->base_url : spec ? spec->base_url : NULL;
    const char *prefix = is_url_told || !spec ? "/v1" : spec->api_prefix;
    if (!url)
        return refuse(making, "is none that the catalogue knows: give it a base_url", NULL);
    if (config && config->api_prefix)
        prefix = config->api_prefix;
    TRY(fill(making, url, &making->out->base_url));
    return fill(making, prefix, &making->out->api_prefix);
}

static enum err take_dialect_prefix(struct making *making)
{
    struct provider *out = making->out;
    const struct codec *codec;
    const char *prefix = NULL;
    if (making->spec && strcmp(out->dialect, making->spec->dialect) == 0)
        prefix = making->spec->dialect_prefix;
    else if (translate_codec(slice_text(out->dialect), &codec) == ERR_OK)
        prefix = translate_prefix(codec);
    return fill(making, prefix, &out->dialect_prefix);
}

/* Whether chats are translated into its own dialect, which callers do not speak. */
static bool is_translated_into(const struct provider *provider)
{
    const struct codec *codec;
    return provider->dialect_prefix &&
           translate_codec(slice_text(provider->dialect), &codec) == ERR_OK &&
           translate_asks(codec);
}

/* One that is told to speak a dialect speaks that one alone, or those that are told. */
static enum err take_dialects(struct making *making, bool is_anthropic)
{
    const struct provider_config *config = making->config;
    static const char *const none[] = {NULL};
    struct provider *out = making->out;
    void *room;
    out->dialects = making->spec ? making->spec->dialects : NULL;
    for (const char *const *told = config ? config->dialects : NULL; told && *told; told++)
        if (!translate_is_spoken(slice_text(*told)))
            return refuse(making, "callers do not speak, so it cannot be among dialects: ", *told);
    if (config && config->dialects[0])
        out->dialects = config->dialects;
    else if (is_anthropic || (config && config->dialect)) {
        if (!translate_is_spoken(slice_text(out->dialect))) {
            if (is_translated_into(out))
                out->dialects = none;
            return ERR_OK;
        }
        TRY(pool_take(making->pool, 2 * sizeof out->dialect, &room));
        const char **own = room;
        own[0] = out->dialect;
        out->dialects = own;
    }
    return ERR_OK;
}

bool provider_speaks(const struct provider *provider, const char *dialect)
{
    for (const char *const *spoken = provider->dialects; spoken && *spoken; spoken++)
        if (strcmp(*spoken, dialect) == 0)
            return true;
    return !provider->dialects;
}

static enum err take_auth(struct making *making)
{
    const struct provider_config *config = making->config;
    struct provider *out = making->out;
    bool is_anthropic = !making->spec && speaks_of_anthropic(out->name, out->base_url);
    const char *auth = making->spec ? making->spec->auth : is_anthropic ? "x-api-key" : "bearer";
    out->dialect = making->spec   ? making->spec->dialect
                   : is_anthropic ? "anthropic"
                                  : "openai_chat";
    if (config && config->dialect)
        out->dialect = config->dialect;
    TRY(take_dialect_prefix(making));
    TRY(take_dialects(making, is_anthropic));
    return provider_auth_parse(
        slice_text(config && config->auth ? config->auth : auth), &out->auth);
}

static enum err make(struct making *making)
{
    static const char *const none[] = {NULL};
    const struct provider_config *config = making->config;
    struct provider *out = making->out;
    out->spec = making->spec;
    out->headers = config ? config->headers : none;
    out->default_headers = making->spec ? making->spec->headers : none;
    out->native = config && config->native ? config->native : out->name;
    out->ca_file = config ? config->ca_file : NULL;
    out->resumes = config && config->resume;
    out->takes_callers_keys = config && config->takes_callers_keys;
    out->is_configured = config != NULL;
    take_options(making);
    TRY(take_urls(making));
    TRY(take_auth(making));
    return take_keys(making);
}

enum err provider_configure(const struct provider_config *config, const struct provider_spec *spec,
    char **environment, struct pool *pool, struct provider *out, struct buf *why)
{
    struct provider provider = {.name = config->name};
    struct making making = {config, spec, environment, pool, why, &provider};
    TRY(make(&making));
    TRY(check_keys(&making));
    *out = provider;
    return ERR_OK;
}

enum err provider_discover(const struct provider_spec *spec, char **environment, struct pool *pool,
    struct provider *out, struct buf *why)
{
    struct provider provider = {.name = spec->name};
    struct making making = {NULL, spec, environment, pool, why, &provider};
    if (!first_variable(environment, spec->key_variables))
        return ERR_NOTFOUND;
    TRY(make(&making));
    if (provider.key_count == 0)
        return ERR_NOTFOUND;
    TRY(check_keys(&making));
    *out = provider;
    return ERR_OK;
}
