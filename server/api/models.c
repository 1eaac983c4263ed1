/* models — see the header. */
#include "server/api/models.h"

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/api/refusal.h"
#include "server/route/routes.h"

enum { ID_BYTES_MAX = 1024, WHY_BYTES_MAX = 4096 };

static const char *price_unit(enum price_kind kind)
{
    static const char *const units[] = {
#define PRICE(name, units, unit) unit,
#include "server/route/price.def"
#undef PRICE
    };
    return units[kind];
}

/* ── one model ──────────────────────────────────────────────────────────────────────────────── */

static void write_text(struct json_writer *writer, const char *name, const char *text)
{
    json_key(writer, name);
    if (text)
        json_string(writer, slice_text(text));
    else
        json_null(writer);
}

static void write_texts(struct json_writer *writer, const char *name, const char *const *texts)
{
    json_key(writer, name);
    json_open(writer, '[');
    for (; *texts; texts++)
        json_string(writer, slice_text(*texts));
    json_close(writer, ']');
}

static void write_count(struct json_writer *writer, const char *name, int64_t count)
{
    json_key(writer, name);
    if (count > 0)
        json_integer(writer, count);
    else
        json_null(writer);
}

static void write_capabilities(struct json_writer *writer, uint32_t capabilities)
{
    json_key(writer, "capabilities");
    json_open(writer, '[');
    for (size_t i = 0; i < CAPABILITY_COUNT; i++)
        if (capabilities & 1u << i)
            json_string(writer, slice_text(capability_name((enum capability)i)));
    json_close(writer, ']');
}

static void write_price(struct json_writer *writer, enum price_kind kind, int64_t price)
{
    json_key(writer, price_name(kind));
    if (price == PRICE_UNKNOWN) {
        json_null(writer);
        return;
    }
    json_open(writer, '{');
    json_key(writer, "nano_usd");
    json_integer(writer, price);
    json_key(writer, "per");
    json_integer(writer, price_units(kind));
    write_text(writer, "unit", price_unit(kind));
    json_close(writer, '}');
}

/* Kinds that a model is not sold by are left out; the two that all have are null if unknown. */
static void write_prices(struct json_writer *writer, const int64_t prices[PRICE_COUNT])
{
    for (size_t i = 0; i < PRICE_COUNT; i++)
        if (prices[i] != PRICE_UNKNOWN || i == PRICE_input || i == PRICE_output)
            write_price(writer, (enum price_kind)i, prices[i]);
}

static void write_pricing(struct json_writer *writer, const struct model *model)
{
    json_key(writer, "pricing");
    json_open(writer, '{');
    write_prices(writer, model->prices);
    if (model->long_above_tokens) {
        json_key(writer, "long");
        json_open(writer, '{');
        json_key(writer, "above_tokens");
        json_integer(writer, model->long_above_tokens);
        write_prices(writer, model->long_prices);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static void write_id(struct json_writer *writer, const struct model *model, const char *provider)
{
    CLEANUP(buf_deinit) struct buf id;
    buf_init(&id, CATALOGUE_FILE_BYTES_MAX);
    if (buf_printf(&id, "%s/%s", provider, model->name) && !writer->err)
        writer->err = ERR_NOMEM;
    json_string(writer, buf_slice(&id));
}

enum err models_write(
    const struct model *model, const char *provider, bool is_available, struct buf *out)
{
    struct json_writer writer;
    const char *name = provider ? provider : model->provider->name;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "id");
    write_id(&writer, model, name);
    write_text(&writer, "object", "model");
    json_key(&writer, "created");
    json_integer(&writer, 0); /* OpenAI's SDKs want a number; nobody says which */
    write_text(&writer, "owned_by", name);
    json_key(&writer, "available");
    json_boolean(&writer, is_available);
    write_texts(&writer, "aliases", model->aliases);
    write_text(&writer, "dialect", model->dialect ? model->dialect : model->provider->dialect);
    write_count(&writer, "context_length", model->context_tokens);
    write_count(&writer, "max_output_tokens", model->output_tokens);
    write_capabilities(&writer, model->capabilities);
    write_pricing(&writer, model);
    write_texts(&writer, "source", model->sources);
    write_text(&writer, "date", model->date);
    json_close(&writer, '}');
    return writer.err;
}

/* ── a route ────────────────────────────────────────────────────────────────────────────────── */

static const char routes_owner[] = "tokenlog";

/* Of several models; what they can and cost is theirs. */
static enum err write_route(const struct route *route, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_text(&writer, "id", route->name);
    write_text(&writer, "object", "model");
    json_key(&writer, "created");
    json_integer(&writer, 0);
    write_text(&writer, "owned_by", routes_owner);
    json_key(&writer, "available");
    json_boolean(&writer, true);
    json_key(&writer, "targets");
    json_open(&writer, '[');
    for (size_t i = 0; i < route->target_count; i++)
        json_string(&writer, slice_text(route->targets[i].name));
    json_close(&writer, ']');
    json_close(&writer, '}');
    return writer.err;
}

/* ── the list ───────────────────────────────────────────────────────────────────────────────── */

/* What is asked for. */
struct wish {
    bool wants_all;
    struct slice provider; /* empty: any */
};

/* False: answered. */
static bool read_wish(struct exchange *exchange, struct wish *out)
{
    struct slice query = exchange_target(exchange).query, all = SLICE_NONE;
    *out = (struct wish){0};
    enum err err = query_get(query, "all", &all);
    out->wants_all = slice_equal(all, SLICE("true")) || slice_equal(all, SLICE("1"));
    if (err != ERR_INVALID)
        err = query_get(query, "provider", &out->provider);
    if (err != ERR_INVALID)
        return true;
    exchange_error(exchange, 400, "invalid_query", NULL, "all and provider are given once each");
    return false;
}

static enum err append_routes(
    const struct catalogue *catalogue, const struct wish *wish, struct buf *out)
{
    size_t count;
    const struct route *routes = catalogue_routes(catalogue, &count);
    if (wish->provider.size && !slice_equal_nocase(wish->provider, slice_text(routes_owner)))
        return ERR_OK;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            TRY(buf_append_byte(out, ','));
        TRY(write_route(&routes[i], out));
    }
    return ERR_OK;
}

static enum err append(const struct model *model, const char *provider, bool is_available,
    const struct wish *wish, struct buf *out)
{
    const char *name = provider ? provider : model->provider->name;
    if (wish->provider.size && !slice_equal_nocase(wish->provider, slice_text(name)))
        return ERR_OK;
    if (out->data[out->size - 1] != '[')
        TRY(buf_append_byte(out, ','));
    return models_write(model, provider, is_available, out);
}

static bool is_reachable(const struct catalogue *catalogue, const struct provider_spec *spec)
{
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    for (size_t i = 0; i < count; i++)
        if (providers[i].spec == spec)
            return true;
    return false;
}

static enum err write_list(
    const struct catalogue *catalogue, const struct wish *wish, struct buf *out)
{
    size_t provider_count, model_count;
    const struct provider *providers = catalogue_providers(catalogue, &provider_count);
    const struct model *models = catalogue_models(catalogue, &model_count);
    TRY(buf_append_text(out, "{\"object\":\"list\",\"data\":["));
    TRY(append_routes(catalogue, wish, out));
    for (size_t i = 0; i < provider_count; i++)
        for (size_t j = 0; j < model_count; j++)
            if (models[j].provider == providers[i].spec)
                TRY(append(&models[j], providers[i].name, true, wish, out));
    for (size_t j = 0; wish->wants_all && j < model_count; j++)
        if (!is_reachable(catalogue, models[j].provider))
            TRY(append(&models[j], NULL, false, wish, out));
    return buf_append_text(out, "]}\n");
}

static void answer(struct exchange *exchange, enum err err, const struct buf *text)
{
    if (err)
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        exchange_reply(exchange, 200, "application/json", buf_slice(text));
}

void models_list(struct api *api, struct exchange *exchange, struct slice id)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    CLEANUP(buf_deinit) struct buf text;
    struct wish wish;
    (void)id;
    buf_init(&text, REPLY_BYTES_MAX);
    if (read_wish(exchange, &wish))
        answer(exchange, write_list(catalogue, &wish, &text), &text);
}

/* ── by name ────────────────────────────────────────────────────────────────────────────────── */

/* Here, by the name that it is asked for with: its provider's own one, an alias, an ID. */
static enum err find(const struct catalogue *catalogue, struct slice name,
    const struct model **model, const char **provider, struct buf *why)
{
    struct route_choice choice;
    *provider = NULL;
    if (catalogue_pick(catalogue, name, &choice, why) == ERR_OK && choice.known) {
        *model = choice.known;
        *provider = choice.provider->name;
        return ERR_OK;
    }
    buf_clear(why);
    return catalogue_model(catalogue, name, model);
}

void model_show(struct api *api, struct exchange *exchange, struct slice id)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    CLEANUP(buf_deinit) struct buf name, text, why;
    const struct model *model;
    const struct route *route;
    const char *provider;
    buf_init(&name, ID_BYTES_MAX);
    buf_init(&text, REPLY_BYTES_MAX);
    buf_init(&why, WHY_BYTES_MAX);
    if (percent_decode(id, false, &name)) {
        exchange_error(exchange, 400, "invalid_model", NULL, "that is no model's name");
        return;
    }
    if (catalogue_route(catalogue, buf_slice(&name), &route) == ERR_OK) {
        enum err err = write_route(route, &text);
        answer(exchange, err ? err : buf_append_byte(&text, '\n'), &text);
        return;
    }
    if (find(catalogue, buf_slice(&name), &model, &provider, &why) == ERR_OK) {
        enum err err = models_write(model, provider, provider != NULL, &text);
        answer(exchange, err ? err : buf_append_byte(&text, '\n'), &text);
        return;
    }
    enum err err = catalogue_why_not(catalogue, buf_slice(&name), &why);
    refuse_route(exchange, err ? err : ERR_NOTFOUND, &why);
}
