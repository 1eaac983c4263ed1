/* catalogue_file — a tree of JSON, checked and copied into tables.
 *
 *   {"format": 1, "sources": {…}, "providers": [{…}, …], "models": [{…}, …]}
 *
 * Every member is checked for its type and range; an unknown member is refused, since it is most
 * often a slip of a known one. Names and aliases of models are unique together, and so are those of
 * providers: catalogue.c looks them up without asking again. */
#include "server/route/catalogue_file.h"

#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/dialect/translate.h"
#include "server/config/provider_auth.h"

enum { FORMAT = 1, DATE_BYTES = 10, WHERE_BYTES = 128 };

struct reading {
    struct catalogue_file *file;
    const struct json *sources;
    const char *name;
    struct buf *why;
    char where[WHERE_BYTES]; /* the entry that is being read */
};

const char *price_name(enum price_kind kind)
{
    static const char *const names[] = {
#define PRICE(name, units, unit) #name,
#include "server/route/price.def"
#undef PRICE
    };
    ASSERT(kind < PRICE_COUNT);
    return names[kind];
}

int64_t price_units(enum price_kind kind)
{
    static const int64_t all[] = {
#define PRICE(name, units, unit) units,
#include "server/route/price.def"
#undef PRICE
    };
    ASSERT(kind < PRICE_COUNT);
    return all[kind];
}

const char *capability_name(enum capability capability)
{
    static const char *const names[] = {
#define CAPABILITY(name) #name,
#include "server/route/capability.def"
#undef CAPABILITY
    };
    ASSERT(capability < CAPABILITY_COUNT);
    return names[capability];
}

/* ── members ────────────────────────────────────────────────────────────────────────────────── */

static enum err refuse(struct reading *reading, const char *member, const char *problem)
{
    TRY(buf_printf(reading->why, "%s: %s%s%s: %s\n", reading->name, reading->where,
        reading->where[0] ? ": " : "", member, problem));
    return ERR_INVALID;
}

/* Characters that may stand in names, URLs and header lines. */
static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

static enum err read_text(struct reading *reading, const struct json *object, const char *member,
    bool is_required, const char **out)
{
    const struct json *value = json_get(object, member);
    *out = NULL;
    if (json_type(value) == JSON_NULL && !is_required)
        return ERR_OK;
    struct slice text = json_text(value);
    if (json_type(value) != JSON_STRING || !is_clean(text) || (is_required && text.size == 0))
        return refuse(reading, member, is_required ? "is to be a text" : "is to be a text or null");
    return pool_text(&reading->file->pool, text, out);
}

/* An array of texts; absent: none. */
static enum err read_texts(
    struct reading *reading, const struct json *object, const char *member, const char *const **out)
{
    const struct json *array = json_get(object, member);
    size_t count = json_type(array) == JSON_ARRAY ? json_size(array) : 0;
    if ((json_type(array) != JSON_ARRAY && array) || count > CATALOGUE_NAMES_MAX)
        return refuse(reading, member, "is to be a list of at most 32 texts");
    void *texts;
    TRY(pool_take(&reading->file->pool, (count + 1) * sizeof(const char *), &texts));
    const char **list = texts;
    const struct json *item = json_at(array, 0);
    for (size_t i = 0; i < count; i++, item = json_next(item)) {
        struct slice text = json_text(item);
        if (json_type(item) != JSON_STRING || text.size == 0 || !is_clean(text))
            return refuse(reading, member, "is to be a list of texts");
        TRY(pool_text(&reading->file->pool, text, &list[i]));
    }
    *out = list;
    return ERR_OK;
}

/* A whole number from 1 to `max`; absent or null: `unknown`. */
static enum err read_number(struct reading *reading, const struct json *object, const char *member,
    int64_t max, int64_t unknown, int64_t *out)
{
    const struct json *value = json_get(object, member);
    *out = unknown;
    if (json_type(value) == JSON_NULL)
        return ERR_OK;
    int64_t number = json_int(value, 0);
    if (json_type(value) != JSON_NUMBER || number < 1 || number > max)
        return refuse(reading, member, "is to be a whole number above 0, or null if it is unknown");
    *out = number;
    return ERR_OK;
}

/* The object has no members but these. */
static enum err check_members(
    struct reading *reading, const struct json *object, const char *const *known)
{
    if (json_type(object) != JSON_OBJECT)
        return refuse(reading, "entry", "is to be an object");
    size_t count = 0;
    for (const char *const *name = known; *name; name++)
        count += json_get(object, *name) != NULL;
    return count == json_size(object) ? ERR_OK
                                      : refuse(reading, "entry", "has a member that is not known");
}

static void set_where(struct reading *reading, const char *what, struct slice name)
{
    size_t room = WHERE_BYTES - strlen(what) - 2;
    struct slice shown = slice_sub(name, 0, room);
    char *at = stpcpy(reading->where, what);
    *at++ = ' ';
    if (shown.size)
        memcpy(at, shown.data, shown.size);
    at[shown.size] = '\0';
}

/* ── providers ──────────────────────────────────────────────────────────────────────────────── */

static const char *const provider_members[] = {"name", "title", "base_url", "dialect", "auth",
    "dialects", "takes", "key_env", "aliases", "api_prefix", "dialect_prefix", "headers", "options",
    "doc", NULL};

/* An option is its default, or a list of the variables that may hold it. */
static enum err read_options(
    struct reading *reading, const struct json *options, struct provider_spec *spec)
{
    size_t known = 0;
    if (options && json_type(options) != JSON_OBJECT)
        return refuse(reading, "options", "is to be an object");
    for (size_t i = 0; i < PROVIDER_OPTION_COUNT; i++) {
        const char *name = provider_option_name((enum provider_option)i);
        const struct json *value = json_get(options, name);
        known += value != NULL;
        if (json_type(value) == JSON_STRING)
            TRY(read_text(reading, options, name, true, &spec->option_defaults[i]));
        if (value && json_type(value) != JSON_STRING)
            TRY(read_texts(reading, options, name, &spec->option_variables[i]));
    }
    return known == json_size(options) ? ERR_OK
                                       : refuse(reading, "options", "has one that is not known");
}

static enum err read_prefixes(
    struct reading *reading, const struct json *object, struct provider_spec *spec)
{
    TRY(read_text(reading, object, "api_prefix", false, &spec->api_prefix));
    if (!json_get(object, "api_prefix"))
        spec->api_prefix = "/v1";
    return read_text(reading, object, "dialect_prefix", false, &spec->dialect_prefix);
}

/* Left out: its own dialect, if callers speak it; else what nearly all of them offer as well. */
static enum err read_dialects(
    struct reading *reading, const struct json *object, struct provider_spec *spec)
{
    void *room;
    TRY(read_texts(reading, object, "dialects", &spec->dialects));
    for (const char *const *dialect = spec->dialects; *dialect; dialect++)
        if (!translate_is_spoken(slice_text(*dialect)))
            return refuse(reading, "dialects", "has one that callers do not speak");
    if (spec->dialects[0] || !spec->api_prefix)
        return ERR_OK;
    TRY(pool_take(&reading->file->pool, 2 * sizeof(const char *), &room));
    const char **own = room;
    own[0] = translate_is_spoken(slice_text(spec->dialect)) ? spec->dialect : "openai_chat";
    spec->dialects = own;
    return ERR_OK;
}

static enum err read_takes(
    struct reading *reading, const struct json *object, struct provider_spec *spec)
{
    const char *const *takes;
    TRY(read_texts(reading, object, "takes", &takes));
    for (; *takes; takes++) {
        if (strcmp(*takes, "max_tokens") == 0)
            spec->takes_max_tokens = true;
        else if (strcmp(*takes, "reasoning_content") == 0)
            spec->takes_reasoning = true;
        else if (strcmp(*takes, "background") == 0)
            spec->keeps_background = true;
        else
            return refuse(reading, "takes", "has a word that is not known");
    }
    return ERR_OK;
}

/* What a target is put behind: http(s)://HOST[:PORT][/PATH]; options in braces are filled in later. */
static bool is_base_url(struct slice url)
{
    size_t scheme = slice_has_prefix(url, SLICE("https://")) ? 8 : 7;
    if (scheme == 7 && !slice_has_prefix(url, SLICE("http://")))
        return false;
    if (url.size == scheme || url.data[scheme] == '/' || url.data[url.size - 1] == '/')
        return false;
    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] <= ' ' || url.data[i] > '~' ||
            slice_find_byte(SLICE("?#@"), url.data[i]) >= 0)
            return false;
    return true;
}

static enum err read_provider(
    struct reading *reading, const struct json *object, struct provider_spec *spec)
{
    struct provider_auth auth;
    set_where(reading, "provider", json_text(json_get(object, "name")));
    TRY(check_members(reading, object, provider_members));
    TRY(read_text(reading, object, "name", true, &spec->name));
    TRY(read_text(reading, object, "title", true, &spec->title));
    TRY(read_text(reading, object, "base_url", true, &spec->base_url));
    TRY(read_text(reading, object, "dialect", true, &spec->dialect));
    TRY(read_text(reading, object, "auth", true, &spec->auth));
    TRY(read_text(reading, object, "doc", false, &spec->doc));
    TRY(read_prefixes(reading, object, spec));
    TRY(read_dialects(reading, object, spec));
    TRY(read_takes(reading, object, spec));
    TRY(read_texts(reading, object, "aliases", &spec->aliases));
    TRY(read_texts(reading, object, "key_env", &spec->key_variables));
    TRY(read_texts(reading, object, "headers", &spec->headers));
    TRY(read_options(reading, json_get(object, "options"), spec));
    if (!config_name_is_valid(slice_text(spec->name)))
        return refuse(reading, "name", "is 1 to 64 letters, digits, - _ and .");
    if (!is_base_url(slice_text(spec->base_url)))
        return refuse(reading, "base_url", "is http(s)://HOST[:PORT][/PATH]");
    if (provider_auth_parse(slice_text(spec->auth), &auth) != ERR_OK)
        return refuse(reading, "auth", PROVIDER_AUTH_WORDS);
    for (const char *const *header = spec->headers; *header; header++)
        if (!strchr(*header, ':'))
            return refuse(reading, "headers", "a header is `Name: value`");
    return ERR_OK;
}

static enum err read_providers(struct reading *reading, const struct json *array)
{
    void *table;
    struct catalogue_file *file = reading->file;
    size_t count = json_size(array);
    if (json_type(array) != JSON_ARRAY || count == 0 || count > CATALOGUE_PROVIDERS_MAX)
        return refuse(reading, "providers", "is to be a list of 1 to 512 providers");
    TRY(pool_take(&file->pool, count * sizeof *file->providers, &table));
    file->providers = table;
    const struct json *object = json_at(array, 0);
    for (size_t i = 0; i < count; i++, object = json_next(object)) {
        TRY(read_provider(reading, object, &file->providers[i]));
        file->provider_count = i + 1;
    }
    return ERR_OK;
}

/* ── models ─────────────────────────────────────────────────────────────────────────────────── */

static const char *const model_members[] = {"id", "aliases", "context", "output", "dialect",
    "capabilities", "prices", "source", "date", NULL};

static enum err find_provider(struct reading *reading, struct model *model)
{
    struct slice id = slice_text(model->id);
    ptrdiff_t slash = slice_find_byte(id, '/');
    struct slice name = slice_sub(id, 0, slash < 0 ? 0 : (size_t)slash);
    for (size_t i = 0; i < reading->file->provider_count; i++) {
        if (!slice_equal(name, slice_text(reading->file->providers[i].name)))
            continue;
        model->provider = &reading->file->providers[i];
        model->name = model->id + slash + 1;
        if (model->name[0])
            return ERR_OK;
    }
    return refuse(reading, "id", "is to be provider/name, with a provider of this file");
}

static enum err read_prices(
    struct reading *reading, const struct json *object, int64_t out[PRICE_COUNT], size_t *known)
{
    static const int64_t price_max = 1000000000000000; /* a million dollars */
    if (json_type(object) != JSON_OBJECT)
        return refuse(reading, "prices", "is to be an object");
    for (size_t i = 0; i < PRICE_COUNT; i++) {
        const char *name = price_name((enum price_kind)i);
        *known += json_get(object, name) != NULL;
        TRY(read_number(reading, object, name, price_max, PRICE_UNKNOWN, &out[i]));
    }
    return ERR_OK;
}

/* Prices for long prompts are those of any prompt, where they are not told apart. */
static enum err read_long_prices(
    struct reading *reading, const struct json *object, struct model *model)
{
    size_t known = 1;
    memcpy(model->long_prices, model->prices, sizeof model->prices);
    if (!object)
        return ERR_OK;
    TRY(read_prices(reading, object, model->long_prices, &known));
    TRY(read_number(reading, object, "above", CATALOGUE_TOKENS_MAX, 0, &model->long_above_tokens));
    if (known != json_size(object) || model->long_above_tokens == 0)
        return refuse(reading, "prices", "long is to have `above` and prices");
    for (size_t i = 0; i < PRICE_COUNT; i++)
        if (model->long_prices[i] == PRICE_UNKNOWN)
            model->long_prices[i] = model->prices[i];
    return ERR_OK;
}

static enum err read_all_prices(
    struct reading *reading, const struct json *object, struct model *model)
{
    size_t known = 0;
    const struct json *longer = json_get(object, "long");
    TRY(read_prices(reading, object, model->prices, &known));
    if (known + (longer != NULL) != json_size(object))
        return refuse(reading, "prices", "has a kind that is not known");
    return read_long_prices(reading, longer, model);
}

static enum err read_capabilities(
    struct reading *reading, const struct json *array, struct model *model)
{
    if (json_type(array) != JSON_ARRAY)
        return refuse(reading, "capabilities", "is to be a list");
    for (const struct json *item = json_at(array, 0); item; item = json_next(item)) {
        uint32_t before = model->capabilities;
        for (size_t i = 0; i < CAPABILITY_COUNT; i++)
            if (slice_equal(json_text(item), slice_text(capability_name((enum capability)i))))
                model->capabilities |= 1u << i;
        if (model->capabilities == before)
            return refuse(reading, "capabilities", "has one that is not known, or one twice");
    }
    return ERR_OK;
}

static bool is_date(const char *date)
{
    for (size_t i = 0; i < DATE_BYTES; i++)
        if (i == 4 || i == 7 ? date[i] != '-' : date[i] < '0' || date[i] > '9')
            return false;
    return date[DATE_BYTES] == '\0';
}

static enum err read_source(struct reading *reading, const struct json *object, struct model *model)
{
    TRY(read_texts(reading, object, "source", &model->sources));
    TRY(read_text(reading, object, "date", true, &model->date));
    for (const char *const *source = model->sources; *source; source++)
        if (!json_get(reading->sources, *source))
            return refuse(reading, "source", "is not among the file's sources");
    if (!model->sources[0] || !is_date(model->date))
        return refuse(reading, "source", "figures have a source, and a date like 2026-08-06");
    return ERR_OK;
}

static enum err read_model(struct reading *reading, const struct json *object, struct model *model)
{
    set_where(reading, "model", json_text(json_get(object, "id")));
    TRY(check_members(reading, object, model_members));
    TRY(read_text(reading, object, "id", true, &model->id));
    TRY(find_provider(reading, model));
    TRY(read_text(reading, object, "dialect", false, &model->dialect));
    TRY(read_texts(reading, object, "aliases", &model->aliases));
    TRY(read_number(reading, object, "context", CATALOGUE_TOKENS_MAX, 0, &model->context_tokens));
    TRY(read_number(reading, object, "output", CATALOGUE_TOKENS_MAX, 0, &model->output_tokens));
    TRY(read_capabilities(reading, json_get(object, "capabilities"), model));
    TRY(read_all_prices(reading, json_get(object, "prices"), model));
    return read_source(reading, object, model);
}

static enum err read_models(struct reading *reading, const struct json *array)
{
    void *table;
    struct catalogue_file *file = reading->file;
    size_t count = json_size(array);
    reading->where[0] = '\0';
    if (json_type(array) != JSON_ARRAY || count > CATALOGUE_MODELS_MAX)
        return refuse(reading, "models", "is to be a list of at most 65536 models");
    TRY(pool_take(&file->pool, count * sizeof *file->models, &table));
    file->models = table;
    const struct json *object = json_at(array, 0);
    for (size_t i = 0; i < count; i++, object = json_next(object)) {
        TRY(read_model(reading, object, &file->models[i]));
        file->model_count = i + 1;
    }
    return ERR_OK;
}

/* ── names ──────────────────────────────────────────────────────────────────────────────────── */

struct name {
    struct map_node node;
    const char *text;
};

static enum err add_name(
    struct reading *reading, struct map *names, const char *what, const char *text)
{
    uint64_t hash = map_hash(slice_text(text));
    struct name *name;
    void *room;
    for (struct map_node *node = map_first(names, hash); node; node = map_next(node))
        if (strcmp(CONTAINER_OF(node, struct name, node)->text, text) == 0) {
            set_where(reading, what, slice_text(text));
            return refuse(reading, "name", "is given twice");
        }
    TRY(pool_take(&reading->file->pool, sizeof *name, &room));
    name = room;
    name->text = text;
    return map_insert(names, &name->node, hash);
}

static enum err check_provider_names(struct reading *reading, struct map *names)
{
    const struct catalogue_file *file = reading->file;
    for (size_t i = 0; i < file->provider_count; i++) {
        TRY(add_name(reading, names, "provider", file->providers[i].name));
        for (const char *const *alias = file->providers[i].aliases; *alias; alias++)
            TRY(add_name(reading, names, "provider", *alias));
    }
    return ERR_OK;
}

static enum err check_model_names(struct reading *reading, struct map *names)
{
    const struct catalogue_file *file = reading->file;
    for (size_t i = 0; i < file->model_count; i++) {
        TRY(add_name(reading, names, "model", file->models[i].id));
        for (const char *const *alias = file->models[i].aliases; *alias; alias++)
            TRY(add_name(reading, names, "model", *alias));
    }
    return ERR_OK;
}

static enum err check_names(struct reading *reading)
{
    struct map providers, models;
    map_init(&providers);
    map_init(&models);
    enum err err = check_provider_names(reading, &providers);
    if (!err)
        err = check_model_names(reading, &models);
    map_deinit(&providers);
    map_deinit(&models);
    return err;
}

/* ── the file ───────────────────────────────────────────────────────────────────────────────── */

static const char *const file_members[] = {"format", "sources", "providers", "models", NULL};

static enum err read_file(struct reading *reading, const struct json *root)
{
    TRY(check_members(reading, root, file_members));
    if (json_int(json_get(root, "format"), 0) != FORMAT)
        return refuse(reading, "format", "is to be 1");
    reading->sources = json_get(root, "sources");
    TRY(read_providers(reading, json_get(root, "providers")));
    TRY(read_models(reading, json_get(root, "models")));
    return check_names(reading);
}

enum err catalogue_file_read(
    struct slice text, const char *name, struct catalogue_file *out, struct buf *why)
{
    CLEANUP(json_cleanup) struct json *root = NULL;
    struct reading reading = {.file = out, .name = name, .why = why};
    *out = (struct catalogue_file){0};
    enum err err = json_parse(text, &root);
    if (err == ERR_INVALID)
        return refuse(&reading, "file", "is not JSON");
    return err ? err : read_file(&reading, root);
}

void catalogue_file_deinit(struct catalogue_file *file)
{
    pool_deinit(&file->pool);
    *file = (struct catalogue_file){0};
}
