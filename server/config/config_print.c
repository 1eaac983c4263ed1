/* config_print — the table for people: what is in force, and what there is.
 *
 * What --print-config writes is YAML that can be read back, but for the keys of projects, which are
 * not printed. */
#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/config/loading.h"

enum {
    COMMENT_COLUMN = 44, /* where `# origin` begins */
    HELP_COLUMN = 34,    /* where a flag's explanation begins */
    LINE_COLUMNS = 96,   /* of the help text */
};

static enum err pad(struct buf *out, size_t line_start, size_t column)
{
    while (out->size - line_start < column - 1)
        TRY(buf_append_byte(out, ' '));
    return buf_append_byte(out, ' ');
}

static enum err print_origin(
    const struct config_memory *memory, const struct origin *origin, struct buf *out)
{
    static const char *const names[] = {
        [ORIGIN_DEFAULT] = "default",
        [ORIGIN_FILE] = "file",
        [ORIGIN_ENVIRONMENT] = "environment",
        [ORIGIN_FLAG] = "flag",
    };
    if (origin->kind != ORIGIN_FILE)
        return buf_printf(out, "# %s\n", names[origin->kind]);
    if (origin->line == 0)
        return buf_printf(out, "# %s\n", config_file_path(memory->file));
    return buf_printf(out, "# %s:%zu\n", config_file_path(memory->file), origin->line);
}

/* A proxy's URL may hold a password: everything up to the @ after :// is left out. */
static enum err print_value(const struct param *param, const struct config *config, struct buf *out)
{
    const char *proxy = config->upstream_proxy;
    const char *at = param == param_at(PARAM_INDEX_upstream_proxy) ? strrchr(proxy, '@') : NULL;
    if (!at)
        return param_format(param, config, out);
    const char *scheme_end = strstr(proxy, "://");
    size_t scheme_size = scheme_end && scheme_end < at ? (size_t)(scheme_end + 3 - proxy) : 0;
    TRY(buf_printf(out, "\"%.*s***", (int)scheme_size, proxy));
    struct config masked = {.upstream_proxy = at};
    CLEANUP(buf_deinit) struct buf quoted;
    buf_init(&quoted, CONFIG_WHY_BYTES_MAX);
    TRY(param_format(param, &masked, &quoted));
    return buf_append(out, slice_sub(buf_slice(&quoted), 1, quoted.size));
}

static enum err print_params(const struct config *config, struct buf *out)
{
    const struct config_memory *memory = config_memory(config);
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        const struct param *param = param_at((enum param_index)i);
        if (param_is_for_tests(param) && memory->params[i].kind == ORIGIN_DEFAULT)
            continue;
        size_t start = out->size;
        TRY(buf_printf(out, "%s: ", param->name));
        TRY(print_value(param, config, out));
        TRY(pad(out, start, COMMENT_COLUMN));
        TRY(print_origin(memory, &memory->params[i], out));
    }
    return ERR_OK;
}

static enum err print_text(const char *name, const char *text, struct buf *out)
{
    if (!text)
        return ERR_OK;
    TRY(buf_printf(out, "    %s: ", name));
    TRY(yaml_quote(text, out));
    return buf_append_byte(out, '\n');
}

/* By its name: what gateways want beside a provider's key is as secret as that. */
static bool is_secret(const char *header)
{
    static const char *const words[] = {"auth", "key", "token", "secret", "cookie"};
    const char *end = header + strcspn(header, ":");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *word = strcasestr(header, words[i]);
        if (word && word < end)
            return true;
    }
    return false;
}

static enum err print_headers(const char *const *headers, struct buf *out)
{
    size_t shown = 0, count = 0;
    for (; headers[count]; count++)
        shown += !is_secret(headers[count]);
    if (count > shown)
        TRY(buf_printf(out, "    # %zu headers with keys; not shown\n", count - shown));
    if (shown > 0)
        TRY(buf_append_text(out, "    headers:\n"));
    for (; *headers; headers++) {
        if (is_secret(*headers))
            continue;
        TRY(buf_append_text(out, "      - "));
        TRY(yaml_quote(*headers, out));
        TRY(buf_append_byte(out, '\n'));
    }
    return ERR_OK;
}

static enum err print_dialects(const char *const *dialects, struct buf *out)
{
    if (!dialects[0])
        return ERR_OK;
    TRY(buf_append_text(out, "    dialects:\n"));
    for (; *dialects; dialects++)
        TRY(buf_printf(out, "      - %s\n", *dialects));
    return ERR_OK;
}

static enum err print_options(const char *const *options, struct buf *out)
{
    const char *before = "    options: {";
    for (size_t i = 0; i < PROVIDER_OPTION_COUNT; i++) {
        if (!options[i])
            continue;
        TRY(buf_printf(out, "%s%s: ", before, provider_option_name((enum provider_option)i)));
        TRY(yaml_quote(options[i], out));
        before = ", ";
    }
    return before[0] == ',' ? buf_append_text(out, "}\n") : ERR_OK;
}

/* Keys are not printed, and so read back from their variable or not at all. */
static enum err print_key(const struct provider_config *provider, struct buf *out)
{
    size_t start = out->size;
    TRY(buf_printf(out, "    api_key_env: %s", provider->api_key_env));
    TRY(pad(out, start, COMMENT_COLUMN));
    return buf_printf(
        out, "# %s\n", provider->keys[0] ? "set; not shown" : "not set: no key is sent");
}

static enum err print_provider(const struct config *config, size_t index, struct buf *out)
{
    const struct config_memory *memory = config_memory(config);
    const struct provider_config *provider = &config->providers[index];
    size_t start = out->size;
    TRY(buf_printf(out, "  - name: %s", provider->name));
    TRY(pad(out, start, COMMENT_COLUMN));
    TRY(print_origin(memory, &memory->providers[index], out));
    TRY(print_text("type", provider->type, out));
    TRY(print_text("base_url", provider->base_url, out));
    TRY(print_text("api_prefix", provider->api_prefix, out));
    TRY(print_text("dialect", provider->dialect, out));
    TRY(print_dialects(provider->dialects, out));
    TRY(print_text("native", provider->native, out));
    TRY(print_key(provider, out));
    TRY(print_text("key_file", provider->key_file, out));
    TRY(print_text("auth", provider->auth, out));
    TRY(print_headers(provider->headers, out));
    TRY(print_options(provider->options, out));
    TRY(print_text("resume", provider->resume, out));
    if (provider->takes_callers_keys)
        TRY(buf_append_text(out, "    callers_keys: true\n"));
    return print_text("ca_file", provider->ca_file, out);
}

static enum err print_disconnect(const struct disconnect *disconnect, struct buf *out)
{
    switch (disconnect->policy) {
    case DISCONNECT_CONTINUE: return buf_append_text(out, "continue");
    case DISCONNECT_STOP: return buf_append_text(out, "stop");
    case DISCONNECT_AFTER: return buf_printf(out, "%" PRId64, disconnect->after_s);
    }
    return ERR_OK;
}

static enum err print_project(const struct project_config *project, struct buf *out)
{
    enum { DAY_S = 24 * 3600 };
    TRY(buf_printf(out, "  - name: %s\n", project->name));
    TRY(buf_printf(out, "    keys: [] # %zu; not shown\n", project->key_count));
    TRY(buf_append_text(out, "    on_disconnect: "));
    TRY(print_disconnect(&project->on_disconnect, out));
    return buf_printf(out, "\n    keep_days: %" PRId64 "\n    attach_duplicates: %" PRId64 "\n",
        project->keep_s / DAY_S, project->attach_duplicates_s);
}

enum err config_print(const struct config *config, struct buf *out)
{
    TRY(print_params(config, out));
    TRY(buf_append_text(out, config->provider_count ? "providers:\n" : "providers: []\n"));
    for (size_t i = 0; i < config->provider_count; i++)
        TRY(print_provider(config, i, out));
    TRY(buf_append_text(out, config->project_count ? "projects:\n" : "projects: []\n"));
    for (size_t i = 0; i < config->project_count; i++)
        TRY(print_project(&config->projects[i], out));
    return config_print_routes(config, out);
}

/* The first word of `text`; what is in brackets stays together. */
static struct slice first_word(struct slice text)
{
    uint8_t stop = text.size && text.data[0] == '[' ? ']' : ' ';
    ptrdiff_t end = slice_find_byte(text, stop);
    return slice_sub(text, 0, end < 0 ? text.size : (size_t)end + (stop == ']'));
}

/* Words of `text` from HELP_COLUMN on, in as many lines as they need. */
static enum err help_wrap(struct buf *out, size_t line_start, struct slice text)
{
    for (bool is_first = true; text.size; is_first = false) {
        struct slice word = first_word(text);
        text = slice_trim(slice_sub(text, word.size, text.size));
        if (is_first)
            TRY(pad(out, line_start, HELP_COLUMN));
        else if (out->size - line_start + word.size < LINE_COLUMNS)
            TRY(buf_append_byte(out, ' '));
        else {
            TRY(buf_append_byte(out, '\n'));
            line_start = out->size;
            TRY(pad(out, line_start, HELP_COLUMN));
        }
        TRY(buf_append(out, word));
    }
    return buf_append_byte(out, '\n');
}

static enum err help_sentence(const struct param *param, struct buf *out)
{
    TRY(buf_append_text(out, param->help));
    switch (param->type) {
    case PARAM_TEXT:
        return param->otherwise[0] ? buf_printf(out, " [%s]", param->otherwise) : ERR_OK;
    case PARAM_NUMBER:
        return buf_printf(
            out, " [%s; %" PRId64 " to %" PRId64 "]", param->otherwise, param->min, param->max);
    case PARAM_SWITCH: return buf_printf(out, " [%s]", param->otherwise[0] == 't' ? "on" : "off");
    case PARAM_CHOICE: return buf_printf(out, " [%s]", param->otherwise);
    }
    return ERR_OK;
}

static enum err help_param(const struct param *param, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf sentence;
    buf_init(&sentence, CONFIG_WHY_BYTES_MAX);
    TRY(help_sentence(param, &sentence));
    char flag[PARAM_NAME_BYTES];
    param_flag(param, flag);
    size_t start = out->size;
    if (param->type == PARAM_SWITCH)
        TRY(buf_printf(out, "  --[no-]%s", flag + 2));
    else
        TRY(buf_printf(out, "  %s %s", flag, param->unit));
    if (out->size - start >= HELP_COLUMN) {
        TRY(buf_append_byte(out, '\n'));
        start = out->size;
    }
    return help_wrap(out, start, buf_slice(&sentence));
}

enum err config_help(struct buf *out)
{
    const char *title;
    const struct param *param;
    TRY(buf_append_text(out,
        "Configuration\n"
        "  --config file                   YAML file; else $TOKENLOG_CONFIG, else none\n"
        "  --provider NAME=URL             where models are called, repeatable; the key comes "
        "from\n"
        "                                  $NAME_API_KEY, and the first is the default\n"
        "  --print-config                  print what is in force and where it came from\n"
        "  --help                          print this\n"));
    for (size_t i = 0; param_help_row(i, &title, &param); i++) {
        if (title)
            TRY(buf_printf(out, "\n%s\n", title));
        if (param)
            TRY(help_param(param, out));
    }
    return buf_append_text(out,
        "\nEach of them is also a key of the YAML file (keep_days: 7) and an environment variable\n"
        "(TOKENLOG_KEEP_DAYS=7). A flag wins over the environment, the environment over the file.\n"
        "In brackets: [default; least to most].\n");
}

static bool counts_at_once(enum param_index index)
{
    return index == PARAM_INDEX_catalogue || index == PARAM_INDEX_unknown_models;
}

enum err config_changes(const struct config *before, const struct config *after, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf first, second;
    buf_init(&first, CONFIG_FILE_BYTES_MAX);
    buf_init(&second, CONFIG_FILE_BYTES_MAX);
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        const struct param *param = param_at((enum param_index)i);
        buf_clear(&first);
        buf_clear(&second);
        TRY(param_format(param, before, &first));
        TRY(param_format(param, after, &second));
        if (!counts_at_once((enum param_index)i) &&
            !slice_equal(buf_slice(&first), buf_slice(&second)))
            TRY(buf_printf(out, "%s%s", out->size ? ", " : "", param->name));
    }
    return ERR_OK;
}
