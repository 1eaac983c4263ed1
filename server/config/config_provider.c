/* config_provider — the list of providers: each text checked as far as it says something by itself.
 * What is left out is filled in by server/route, which knows the catalogue. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/config/loading.h"
#include "server/config/provider_auth.h"

static const char bad_url[] =
    "the URL must be http://HOST[:PORT][/PATH] or https://…, without user, ? or #";

const char *provider_option_name(enum provider_option option)
{
    static const char *const names[] = {
#define OPTION(name) #name,
        PROVIDER_OPTIONS(OPTION)
#undef OPTION
    };
    ASSERT(option < PROVIDER_OPTION_COUNT);
    return names[option];
}

/* ——— texts ——— */

static bool url_character_is_plain(uint8_t c)
{
    return c > 0x20 && c < 0x7f && !memchr("?#@\"\\<>", c, 7);
}

static bool url_is_plain(struct slice url)
{
    for (size_t i = 0; i < url.size; i++)
        if (!url_character_is_plain(url.data[i]))
            return false;
    return true;
}

/* The URL as providers keep it: http(s)://host[:port][/path], no slash and no /v1 at its end. */
static enum err read_base_url(struct slice url, struct slice *out)
{
    size_t scheme = slice_has_prefix(url, SLICE("https://")) ? 8 : 7;
    if (scheme == 7 && !slice_has_prefix(url, SLICE("http://")))
        return ERR_INVALID;
    if (url.size == scheme || url.data[scheme] == '/' || url.data[scheme] == ':')
        return ERR_INVALID;
    if (!url_is_plain(url))
        return ERR_INVALID;
    while (url.data[url.size - 1] == '/')
        url.size--;
    if (url.size > scheme + 3 && slice_equal(slice_sub(url, url.size - 3, 3), SLICE("/v1")))
        url.size -= 3;
    while (url.data[url.size - 1] == '/')
        url.size--;
    *out = url;
    return ERR_OK;
}

/* "" or /path without a slash at its end. */
static bool prefix_is_valid(const char *text)
{
    struct slice prefix = slice_text(text);
    return prefix.size == 0 ||
           (prefix.data[0] == '/' && prefix.data[prefix.size - 1] != '/' && url_is_plain(prefix));
}

static bool header_is_valid(const char *text)
{
    struct provider_auth auth;
    CLEANUP(buf_deinit) struct buf line;
    buf_init(&line, CONFIG_FILE_BYTES_MAX); /* the same form, with a key that is not there */
    return !strchr(text, '{') && buf_append_text(&line, text) == ERR_OK &&
           buf_append_text(&line, "{key}") == ERR_OK &&
           provider_auth_parse(buf_slice(&line), &auth) == ERR_OK && auth.kind == AUTH_HEADER;
}

/* Keys go into header lines. */
static bool key_is_valid(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

/* ——— one provider ——— */

static enum err note_provider(
    struct loading *loading, const struct origin *origin, struct slice name, const char *sentence)
{
    if (origin->kind == ORIGIN_FILE)
        TRY(loading_note_file(loading, origin->line));
    else
        TRY(loading_note(loading, "--provider"));
    return buf_printf(loading->why, "provider `%.*s`: %s\n", SLICE_PRINT(name), sentence);
}

static bool is_true(const char *text)
{
    return text && strcmp(text, "true") == 0;
}

/* What is wrong with it, or NULL. */
static const char *problem_of(const struct config_file_provider *given)
{
    struct slice url;
    struct provider_auth auth;
    if (!config_name_is_valid(slice_text(given->name)))
        return "a name is 1 to 64 letters, digits, - _ and .";
    if (given->type && !config_name_is_valid(slice_text(given->type)))
        return "type is the name of a provider of the catalogue";
    if (given->native && !config_name_is_valid(slice_text(given->native)))
        return "native is one segment of a path: 1 to 64 letters, digits, - _ and .";
    if (given->base_url && read_base_url(slice_text(given->base_url), &url) != ERR_OK)
        return bad_url;
    if (given->api_prefix && !prefix_is_valid(given->api_prefix))
        return "api_prefix is a path like /v1, without a slash at its end, or empty";
    if (given->auth && provider_auth_parse(slice_text(given->auth), &auth) != ERR_OK)
        return PROVIDER_AUTH_WORDS;
    for (unsigned i = 0; i < given->headers_count; i++)
        if (!header_is_valid(given->headers[i]))
            return "a header is `Name: value`, without braces";
    if (given->key && given->keys_count)
        return "give key or keys, not both";
    if (given->resume && strcmp(given->resume, "background") != 0)
        return "resume is `background`, or left out";
    if (given->callers_keys && !is_true(given->callers_keys) &&
        strcmp(given->callers_keys, "false") != 0)
        return "callers_keys is true or false";
    return NULL;
}

static enum err default_key_variable(struct config *config, const char *name, const char **out)
{
    char variable[NAME_BYTES_MAX + sizeof "_API_KEY"];
    size_t size = strlen(name);
    ASSERT(size <= NAME_BYTES_MAX);
    for (size_t i = 0; i < size; i++) {
        char c = name[i] == '-' || name[i] == '.' ? '_' : name[i];
        variable[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    memcpy(variable + size, "_API_KEY", sizeof "_API_KEY");
    return config_keep(config, slice_text(variable), out);
}

static void add_key(const struct loading *loading, struct provider_config *provider, size_t *count,
    const char *text)
{
    const char *key =
        text && text[0] == '$' ? config_environment(loading->environment, text + 1) : text;
    if (key && *count < PROVIDER_KEY_COUNT_MAX)
        provider->keys[(*count)++] = key;
}

static enum err take_keys(struct loading *loading, const struct config_file_provider *given,
    struct provider_config *provider)
{
    size_t count = 0;
    provider->api_key_env = given->api_key_env;
    provider->has_key_source =
        given->key || given->keys_count || given->api_key_env || given->key_file;
    if (!given->api_key_env)
        TRY(default_key_variable(loading->config, provider->name, &provider->api_key_env));
    add_key(loading, provider, &count, given->key);
    for (unsigned i = 0; i < given->keys_count; i++)
        add_key(loading, provider, &count, given->keys[i]);
    if (!given->key && !given->keys_count)
        add_key(loading, provider, &count,
            config_environment(loading->environment, provider->api_key_env));
    return ERR_OK;
}

static bool keys_are_valid(const struct provider_config *provider)
{
    for (const char *const *key = provider->keys; *key; key++)
        if (!key_is_valid(*key))
            return false;
    return true;
}

static enum err make_where(struct loading *loading, const struct origin *origin, const char **out)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES_MAX);
    if (origin->kind != ORIGIN_FILE) {
        *out = "--provider";
        return ERR_OK;
    }
    TRY(buf_printf(&text, "%s:%zu", config_file_path(loading->memory->file), origin->line));
    return config_keep(loading->config, buf_slice(&text), out);
}

static void take_options(const struct config_file_provider *given, struct provider_config *provider)
{
#define OPTION(name) provider->options[OPTION_##name] = given->options.name;
    PROVIDER_OPTIONS(OPTION)
#undef OPTION
    for (unsigned i = 0; i < given->headers_count; i++)
        provider->headers[i] = given->headers[i];
    for (unsigned i = 0; i < given->dialects_count; i++)
        provider->dialects[i] = given->dialects[i];
}

static enum err add_provider(
    struct loading *loading, const struct config_file_provider *given, const struct origin *origin)
{
    struct config *config = loading->config;
    struct slice url = SLICE_NONE, name = slice_text(given->name);
    const char *problem = problem_of(given);
    if (!problem && config->provider_count == PROVIDER_COUNT_MAX)
        problem = "too many providers; 64 are allowed";
    if (problem)
        return note_provider(loading, origin, name, problem);
    struct provider_config provider = {
        .name = given->name,
        .type = given->type,
        .api_prefix = given->api_prefix,
        .dialect = given->dialect,
        .native = given->native,
        .auth = given->auth,
        .ca_file = given->ca_file,
        .resume = given->resume,
        .takes_callers_keys = is_true(given->callers_keys),
        .key_file = given->key_file,
    };
    if (given->base_url) {
        TRY(read_base_url(slice_text(given->base_url), &url));
        TRY(config_keep(config, url, &provider.base_url));
    }
    take_options(given, &provider);
    TRY(take_keys(loading, given, &provider));
    TRY(make_where(loading, origin, &provider.where));
    if (!keys_are_valid(&provider))
        return note_provider(loading, origin, name, "a key has characters that no header can hold");
    loading->memory->providers[config->provider_count] = *origin;
    config->providers[config->provider_count++] = provider;
    return ERR_OK;
}

/* ——— the list ——— */

static struct provider_config *find_provider(struct config *config, struct slice name)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (slice_equal(slice_text(config->providers[i].name), name))
            return &config->providers[i];
    return NULL;
}

enum err loading_file_providers(struct loading *loading)
{
    size_t count;
    const struct config_file *file = loading->memory->file;
    const struct config_file_provider *given = config_file_providers(file, &count);
    size_t line = config_file_line(file, "providers", NULL, 0, true);
    for (size_t i = 0; i < count; i++) {
        size_t found = config_file_line(file, "name", given[i].name, line, false);
        struct origin origin = {ORIGIN_FILE, found};
        struct slice name = slice_text(given[i].name);
        line = found ? found : line;
        if (find_provider(loading->config, name))
            TRY(note_provider(loading, &origin, name, "is there twice; give one another name"));
        else
            TRY(add_provider(loading, &given[i], &origin));
    }
    return ERR_OK;
}

static enum err set_url(struct loading *loading, struct provider_config *known, const char *text)
{
    struct slice url;
    struct origin origin = {ORIGIN_FLAG, 0};
    if (read_base_url(slice_text(text), &url) != ERR_OK)
        return note_provider(loading, &origin, slice_text(known->name), bad_url);
    loading->memory->providers[known - loading->config->providers] = origin;
    return config_keep(loading->config, url, &known->base_url);
}

enum err loading_provider_flag(struct loading *loading, const char *value)
{
    const char *equals = strchr(value, '=');
    if (!equals) {
        TRY(loading_note(loading, "--provider"));
        return buf_append_text(
            loading->why, "give NAME=URL, as in --provider openai=https://api.openai.com\n");
    }
    struct slice name = slice_of(value, (size_t)(equals - value));
    struct provider_config *known = find_provider(loading->config, name);
    if (known)
        return set_url(loading, known, equals + 1);
    struct config_file_provider given = {.base_url = equals + 1};
    TRY(config_keep(loading->config, name, &given.name));
    return add_provider(loading, &given, &(struct origin){ORIGIN_FLAG, 0});
}
