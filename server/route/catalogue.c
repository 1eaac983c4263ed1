/* catalogue — see the header.
 *
 * A snapshot owns a configuration, a catalogue file and a pool; providers and models point into them.
 * Names of models lead through one map; providers are few, and looked through in their order. */
#include "server/route/catalogue.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "protocol/base/own.h"
#include "server/route/nearest.h"
#include "server/route/routes.h"

struct model_name {
    struct map_node node;
    const char *text;
    const struct model *model;
};

struct catalogue {
    atomic_size_t references;
    struct config *config;
    bool is_config_borrowed;
    bool refuses_unknown;
    struct catalogue_file file;
    struct pool pool;
    struct provider *providers;
    size_t provider_count, configured_count;
    struct map names;
    struct route *routes;
    size_t route_count;
};

/* ── building ───────────────────────────────────────────────────────────────────────────────── */

static enum err read_whole(const char *path, struct buf *text, struct buf *why)
{
    enum { PIECE_BYTES = 64 * 1024 };
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : 1;
    while (size > 0) {
        uint8_t *room;
        enum err err = buf_reserve(text, PIECE_BYTES, &room);
        if (err == ERR_LIMIT) {
            TRY(buf_printf(why, "%s: is too large for a catalogue (16 MiB)\n", path));
            return ERR_INVALID;
        }
        TRY(err);
        size = read(fd, room, PIECE_BYTES);
        if (size > 0)
            buf_commit(text, (size_t)size);
    }
    if (size == 0)
        return ERR_OK;
    TRY(buf_printf(why, "%s: %s\n", path, strerror(errno)));
    return ERR_INVALID;
}

static enum err read_file(struct catalogue *catalogue, struct buf *why)
{
    CLEANUP(buf_deinit) struct buf text;
    const char *path = catalogue->config->catalogue;
    buf_init(&text, CATALOGUE_FILE_BYTES_MAX);
    if (!path || !path[0])
        return catalogue_file_read(
            catalogue_built_in(), "built-in catalogue", &catalogue->file, why);
    TRY(read_whole(path, &text, why));
    return catalogue_file_read(buf_slice(&text), path, &catalogue->file, why);
}

static bool has_text(const char *const *texts, struct slice wanted)
{
    for (; *texts; texts++)
        if (slice_equal_nocase(wanted, slice_text(*texts)))
            return true;
    return false;
}

static bool spec_is_called(const struct provider_spec *spec, struct slice name)
{
    return spec &&
           (slice_equal_nocase(name, slice_text(spec->name)) || has_text(spec->aliases, name));
}

static const struct provider_spec *find_spec(const struct catalogue *catalogue, struct slice name)
{
    for (size_t i = 0; i < catalogue->file.provider_count; i++)
        if (spec_is_called(&catalogue->file.providers[i], name))
            return &catalogue->file.providers[i];
    return NULL;
}

static enum err add_configured(struct catalogue *catalogue, const struct provider_config *config,
    char **environment, struct buf *why)
{
    const char *type = config->type ? config->type : config->name;
    const struct provider_spec *spec = find_spec(catalogue, slice_text(type));
    if (config->type && !spec) {
        TRY(buf_printf(why, "%s: provider `%s`: the catalogue has no provider `%s`\n",
            config->where, config->name, config->type));
        return ERR_INVALID;
    }
    TRY(provider_configure(config, spec, environment, &catalogue->pool,
        &catalogue->providers[catalogue->provider_count], why));
    catalogue->provider_count++;
    return ERR_OK;
}

static bool is_configured(const struct catalogue *catalogue, const struct provider_spec *spec)
{
    for (size_t i = 0; i < catalogue->configured_count; i++)
        if (catalogue->providers[i].spec == spec ||
            spec_is_called(spec, slice_text(catalogue->providers[i].name)))
            return true;
    return false;
}

/* A key in the environment that cannot be used is not the configuration's fault: `why` is dropped. */
static enum err add_discovered(
    struct catalogue *catalogue, const struct provider_spec *spec, char **environment)
{
    CLEANUP(buf_deinit) struct buf why;
    buf_init(&why, CONFIG_WHY_BYTES_MAX);
    if (is_configured(catalogue, spec))
        return ERR_OK;
    enum err err = provider_discover(spec, environment, &catalogue->pool,
        &catalogue->providers[catalogue->provider_count], &why);
    catalogue->provider_count += err == ERR_OK;
    return err == ERR_NOTFOUND || err == ERR_INVALID ? ERR_OK : err;
}

static enum err check_natives(const struct catalogue *catalogue, struct buf *why)
{
    static const char *const taken[] = {"v1", "healthz", "readyz", "metrics", NULL};
    for (size_t i = 0; i < catalogue->configured_count; i++) {
        const struct provider *provider = &catalogue->providers[i];
        bool is_taken = has_text(taken, slice_text(provider->native));
        for (size_t j = 0; j < i; j++)
            is_taken |= strcasecmp(catalogue->providers[j].native, provider->native) == 0;
        if (!is_taken)
            continue;
        TRY(buf_printf(why, "%s: provider `%s`: /%s is taken: give it another name as native\n",
            catalogue->config->providers[i].where, provider->name, provider->native));
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* All problems with the configured ones are told at once. */
static enum err add_providers(struct catalogue *catalogue, char **environment, struct buf *why)
{
    void *room;
    enum err first = ERR_OK;
    const struct config *config = catalogue->config;
    size_t count = config->provider_count + catalogue->file.provider_count;
    TRY(pool_take(&catalogue->pool, count * sizeof *catalogue->providers, &room));
    catalogue->providers = room;
    for (size_t i = 0; i < config->provider_count; i++) {
        enum err err = add_configured(catalogue, &config->providers[i], environment, why);
        if (err != ERR_INVALID)
            TRY(err);
        first = first ? first : err;
    }
    TRY(first);
    catalogue->configured_count = catalogue->provider_count;
    for (size_t i = 0; i < catalogue->file.provider_count; i++)
        TRY(add_discovered(catalogue, &catalogue->file.providers[i], environment));
    return check_natives(catalogue, why);
}

static enum err add_name(struct catalogue *catalogue, const char *text, const struct model *model)
{
    void *room;
    TRY(pool_take(&catalogue->pool, sizeof(struct model_name), &room));
    struct model_name *name = room;
    name->text = text;
    name->model = model;
    return map_insert(&catalogue->names, &name->node, map_hash(slice_text(text)));
}

static enum err add_names(struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->file.model_count; i++) {
        const struct model *model = &catalogue->file.models[i];
        TRY(add_name(catalogue, model->id, model));
        for (const char *const *alias = model->aliases; *alias; alias++)
            TRY(add_name(catalogue, *alias, model));
    }
    return ERR_OK;
}

static enum err build(struct catalogue *catalogue, char **environment, struct buf *why)
{
    const char *unknown = catalogue->config->unknown_models;
    catalogue->refuses_unknown = unknown && strcmp(unknown, "refuse") == 0;
    TRY(read_file(catalogue, why));
    TRY(add_providers(catalogue, environment, why));
    TRY(add_names(catalogue));
    catalogue->route_count = catalogue->config->route_count;
    return routes_build(catalogue, catalogue->config, &catalogue->pool, &catalogue->routes, why);
}

enum err catalogue_build(
    const struct catalogue_source *source, struct catalogue **out, struct buf *why)
{
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (!catalogue) {
        if (!source->is_config_borrowed)
            config_free(source->config);
        return fault(ERR_NOMEM, "catalogue");
    }
    atomic_init(&catalogue->references, 1);
    catalogue->config = source->config;
    catalogue->is_config_borrowed = source->is_config_borrowed;
    map_init(&catalogue->names);
    enum err err = build(catalogue, source->environment, why);
    if (err)
        catalogue_unref(catalogue);
    else
        *out = catalogue;
    return err;
}

struct catalogue *catalogue_ref(struct catalogue *catalogue)
{
    size_t before = atomic_fetch_add_explicit(&catalogue->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return catalogue;
}

struct catalogue *catalogue_unref(struct catalogue *catalogue)
{
    if (!catalogue ||
        atomic_fetch_sub_explicit(&catalogue->references, 1, memory_order_acq_rel) > 1)
        return NULL;
    map_deinit(&catalogue->names);
    catalogue_file_deinit(&catalogue->file);
    pool_deinit(&catalogue->pool);
    if (!catalogue->is_config_borrowed)
        config_free(catalogue->config);
    free(catalogue);
    return NULL;
}

void catalogue_cleanup(struct catalogue **catalogue)
{
    catalogue_unref(*catalogue);
}

/* ── looking up ─────────────────────────────────────────────────────────────────────────────── */

const struct provider *catalogue_providers(const struct catalogue *catalogue, size_t *count)
{
    *count = catalogue->provider_count;
    return catalogue->providers;
}

const struct model *catalogue_models(const struct catalogue *catalogue, size_t *count)
{
    *count = catalogue->file.model_count;
    return catalogue->file.models;
}

enum err catalogue_model(
    const struct catalogue *catalogue, struct slice name, const struct model **out)
{
    uint64_t hash = map_hash(name);
    for (struct map_node *node = map_first(&catalogue->names, hash); node; node = map_next(node)) {
        const struct model_name *known = CONTAINER_OF(node, struct model_name, node);
        if (!slice_equal(name, slice_text(known->text)))
            continue;
        *out = known->model;
        return ERR_OK;
    }
    return ERR_NOTFOUND;
}

const struct route *catalogue_routes(const struct catalogue *catalogue, size_t *count)
{
    *count = catalogue->route_count;
    return catalogue->routes;
}

enum err catalogue_route(
    const struct catalogue *catalogue, struct slice name, const struct route **out)
{
    for (size_t i = 0; i < catalogue->route_count; i++)
        if (slice_equal(name, slice_text(catalogue->routes[i].name))) {
            *out = &catalogue->routes[i];
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

const struct model *catalogue_model_of(
    const struct catalogue *catalogue, const struct provider *provider, struct slice name)
{
    CLEANUP(buf_deinit) struct buf id;
    const struct model *model = NULL;
    buf_init(&id, CATALOGUE_FILE_BYTES_MAX);
    if (provider->spec && buf_append_text(&id, provider->spec->name) == ERR_OK &&
        buf_append_byte(&id, '/') == ERR_OK && buf_append(&id, name) == ERR_OK &&
        catalogue_model(catalogue, buf_slice(&id), &model) == ERR_OK)
        return model;
    return catalogue_model(catalogue, name, &model) == ERR_OK && model->provider == provider->spec
               ? model
               : NULL;
}

/* By its own name before those of what it is like; the configured ones come first anyway. */
static const struct provider *find_provider(const struct catalogue *catalogue, struct slice name)
{
    for (size_t i = 0; i < catalogue->provider_count; i++)
        if (slice_equal_nocase(name, slice_text(catalogue->providers[i].name)))
            return &catalogue->providers[i];
    for (size_t i = 0; i < catalogue->provider_count; i++)
        if (spec_is_called(catalogue->providers[i].spec, name))
            return &catalogue->providers[i];
    return NULL;
}

enum err catalogue_native(
    const struct catalogue *catalogue, struct slice native, const struct provider **out)
{
    for (size_t i = 0; i < catalogue->provider_count; i++)
        if (slice_equal(native, slice_text(catalogue->providers[i].native))) {
            *out = &catalogue->providers[i];
            return ERR_OK;
        }
    const struct provider *provider = find_provider(catalogue, native);
    /* One that was told another path has only that. */
    if (!provider || strcmp(provider->native, provider->name) != 0)
        return ERR_NOTFOUND;
    *out = provider;
    return ERR_OK;
}

/* ── choosing ───────────────────────────────────────────────────────────────────────────────── */

static struct slice before_slash(struct slice name)
{
    ptrdiff_t slash = slice_find_byte(name, '/');
    return slice_sub(name, 0, slash < 0 ? 0 : (size_t)slash);
}

static const struct provider *provider_of(
    const struct catalogue *catalogue, const struct provider_spec *spec)
{
    size_t count =
        catalogue->configured_count ? catalogue->configured_count : catalogue->provider_count;
    for (size_t i = 0; i < count; i++)
        if (catalogue->providers[i].spec == spec)
            return &catalogue->providers[i];
    return NULL;
}

static bool choose(const struct catalogue *catalogue, struct slice name, struct route_choice *out)
{
    struct slice prefix = before_slash(name);
    *out = (struct route_choice){0};
    if (prefix.size)
        out->provider = find_provider(catalogue, prefix);
    if (out->provider) {
        out->model = slice_sub(name, prefix.size + 1, name.size);
        out->known = catalogue_model_of(catalogue, out->provider, out->model);
        if (out->known)
            out->model = slice_text(out->known->name);
        return true;
    }
    if (catalogue_model(catalogue, name, &out->known) == ERR_OK)
        out->provider = provider_of(catalogue, out->known->provider);
    if (out->provider) {
        out->model = slice_text(out->known->name);
        return true;
    }
    if (catalogue->configured_count == 0)
        return false;
    out->provider = &catalogue->providers[0];
    out->known = catalogue_model_of(catalogue, out->provider, name);
    return true;
}

enum err catalogue_why_not(const struct catalogue *catalogue, struct slice name, struct buf *why)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < catalogue->file.model_count; i++) {
        const struct model *model = &catalogue->file.models[i];
        nearest_offer(&nearest, model->id);
        for (const char *const *alias = model->aliases; *alias; alias++)
            nearest_offer(&nearest, *alias);
    }
    TRY(buf_printf(why, "no model is called `%.*s` here", SLICE_PRINT(slice_sub(name, 0, 200))));
    TRY(buf_append_text(why, nearest.count ? "; " : "; GET /v1/models lists those that are"));
    return nearest_print(&nearest, why);
}

/* It is known, and there is no way to its provider. */
static enum err explain_provider(const struct provider_spec *spec, struct buf *why)
{
    TRY(buf_printf(why, "%s is not configured here: ", spec->name));
    if (spec->key_variables[0])
        return buf_printf(why, "set %s, or list it under providers", spec->key_variables[0]);
    return buf_append_text(why, "list it under providers, with its base_url");
}

enum err catalogue_explain(const struct catalogue *catalogue, struct slice name, struct buf *why)
{
    const struct model *known;
    const struct provider_spec *spec = find_spec(catalogue, before_slash(name));
    if (catalogue_model(catalogue, name, &known) == ERR_OK)
        spec = known->provider;
    if (!spec || find_provider(catalogue, slice_text(spec->name)))
        return catalogue_why_not(catalogue, name, why);
    return explain_provider(spec, why);
}

/* A provider whose models the catalogue lists has no others, where unknown names are refused. */
static bool is_refused(const struct catalogue *catalogue, const struct route_choice *choice)
{
    if (!catalogue->refuses_unknown || choice->known)
        return false;
    if (choice->model.size == 0 || !choice->provider->spec)
        return choice->model.size == 0;
    for (size_t i = 0; i < catalogue->file.model_count; i++)
        if (catalogue->file.models[i].provider == choice->provider->spec)
            return true;
    return false;
}

enum err catalogue_pick(
    const struct catalogue *catalogue, struct slice name, struct route_choice *out, struct buf *why)
{
    struct route_choice choice;
    if (catalogue->provider_count == 0)
        return ERR_CLOSED;
    bool is_found = choose(catalogue, name, &choice);
    if (!is_found || is_refused(catalogue, &choice)) {
        TRY(catalogue_explain(catalogue, name, why));
        return ERR_NOTFOUND;
    }
    if (slice_equal(choice.model, name))
        choice.model = SLICE_NONE; /* the body stays as it is */
    *out = choice;
    return ERR_OK;
}

/* ── the one in force ───────────────────────────────────────────────────────────────────────── */

struct catalogues {
    pthread_mutex_t lock; /* held for a count, never for work */
    struct catalogue *current;
};

enum err catalogues_new(struct catalogue *first, struct catalogues **out)
{
    struct catalogues *catalogues = calloc(1, sizeof *catalogues);
    if (!catalogues || pthread_mutex_init(&catalogues->lock, NULL)) {
        free(catalogues);
        catalogue_unref(first);
        return fault(ERR_NOMEM, "catalogue");
    }
    catalogues->current = first;
    *out = catalogues;
    return ERR_OK;
}

struct catalogues *catalogues_free(struct catalogues *catalogues)
{
    if (!catalogues)
        return NULL;
    catalogue_unref(catalogues->current);
    (void)pthread_mutex_destroy(&catalogues->lock);
    free(catalogues);
    return NULL;
}

struct catalogue *catalogues_get(struct catalogues *catalogues)
{
    (void)pthread_mutex_lock(&catalogues->lock);
    struct catalogue *current = catalogue_ref(catalogues->current);
    (void)pthread_mutex_unlock(&catalogues->lock);
    return current;
}

void catalogues_set(struct catalogues *catalogues, struct catalogue *next)
{
    (void)pthread_mutex_lock(&catalogues->lock);
    struct catalogue *last = catalogues->current;
    catalogues->current = next;
    (void)pthread_mutex_unlock(&catalogues->lock);
    catalogue_unref(last);
}
