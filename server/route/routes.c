/* routes — see the header. All targets that lead nowhere are told at once. */
#include "server/route/routes.h"

#include <string.h>

#include "protocol/base/own.h"

static enum err note(
    const struct route_target_config *target, struct buf *why, const char *sentence)
{
    TRY(buf_printf(why, "%s: target `%s`: %s\n", target->where, target->model, sentence));
    return ERR_INVALID;
}

static enum err find_capabilities(
    const struct route_target_config *config, uint32_t *out, struct buf *why)
{
    *out = 0;
    for (const char *const *name = config->when.needs; *name; name++) {
        size_t i = 0;
        while (i < CAPABILITY_COUNT && strcmp(*name, capability_name((enum capability)i)) != 0)
            i++;
        if (i == CAPABILITY_COUNT)
            return note(config, why,
                "needs names capabilities as GET /v1/models has them: tools, vision, audio, "
                "reasoning…");
        *out |= 1u << i;
    }
    return ERR_OK;
}

/* Names that say nothing lead to the first provider; of a target nobody can mean that. */
static enum err find_choice(const struct catalogue *catalogue,
    const struct route_target_config *config, struct route_choice *out, struct buf *why)
{
    CLEANUP(buf_deinit) struct buf sentence;
    struct slice name = slice_text(config->model);
    buf_init(&sentence, CONFIG_WHY_BYTES_MAX);
    enum err err = catalogue_pick(catalogue, name, out, &sentence);
    if (err == ERR_CLOSED)
        return note(config, why, "no provider is configured; list one under providers");
    bool is_anything = err == ERR_OK && !out->known && out->model.size == 0;
    if (is_anything)
        TRY(catalogue_explain(catalogue, name, &sentence));
    if (is_anything || err == ERR_NOTFOUND) {
        TRY(buf_append_byte(&sentence, 0));
        return note(config, why, (const char *)sentence.data);
    }
    if (err == ERR_OK && out->model.size == 0)
        out->model = name;
    return err;
}

static enum err build_target(const struct catalogue *catalogue,
    const struct route_target_config *config, struct pool *pool, struct route_target *out,
    struct buf *why)
{
    CLEANUP(buf_deinit) struct buf name;
    buf_init(&name, CONFIG_FILE_BYTES_MAX);
    TRY(find_choice(catalogue, config, &out->choice, why));
    TRY(find_capabilities(config, &out->needs, why));
    TRY(route_choice_name(&out->choice, out->choice.model, &name));
    TRY(pool_text(pool, buf_slice(&name), &out->name));
    out->when = &config->when;
    out->weight = config->weight;
    out->priority = config->priority;
    return ERR_OK;
}

static enum err build_route(const struct catalogue *catalogue, const struct route_config *config,
    struct pool *pool, struct route *out, struct buf *why)
{
    void *room;
    enum err first = ERR_OK;
    TRY(pool_take(pool, config->target_count * sizeof *out->targets, &room));
    *out = (struct route){config->model, config, room, config->target_count};
    for (size_t i = 0; i < config->target_count; i++) {
        enum err err = build_target(catalogue, &config->targets[i], pool, &out->targets[i], why);
        if (err != ERR_INVALID)
            TRY(err);
        first = first ? first : err;
    }
    return first;
}

enum err routes_build(const struct catalogue *catalogue, const struct config *config,
    struct pool *pool, struct route **out, struct buf *why)
{
    void *room = NULL;
    enum err first = ERR_OK;
    TRY(pool_take(pool, (config->route_count + 1) * sizeof **out, &room));
    *out = room;
    for (size_t i = 0; i < config->route_count; i++) {
        enum err err = build_route(catalogue, &config->routes[i], pool, &(*out)[i], why);
        if (err != ERR_INVALID)
            TRY(err);
        first = first ? first : err;
    }
    return first;
}

enum err route_choice_name(const struct route_choice *choice, struct slice model, struct buf *out)
{
    TRY(buf_append_text(out, choice->provider->name));
    if (choice->model.size)
        model = choice->model;
    if (model.size == 0)
        return ERR_OK;
    TRY(buf_append_byte(out, '/'));
    return buf_append(out, model);
}

bool route_choice_takes_prefill(const struct route_choice *choice, struct slice model)
{
    /* All up to 4.5; from 4.6 on an assistant's message at the end is a 400. */
    static const char *const families[] = {"claude-3-", "claude-2", "claude-instant",
        "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2025", "claude-opus-4-5",
        "claude-sonnet-4-0", "claude-sonnet-4-2025", "claude-sonnet-4-5", "claude-haiku-4-5"};
    const char *dialect = choice->known && choice->known->dialect ? choice->known->dialect
                                                                  : choice->provider->dialect;
    if (choice->model.size)
        model = choice->model;
    if (!dialect || strcmp(dialect, "anthropic") != 0)
        return false;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (slice_has_prefix(model, slice_text(families[i])))
            return true;
    return false;
}
