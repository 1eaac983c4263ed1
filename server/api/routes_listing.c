/* routes_listing — see the header. */
#include "server/api/routes_listing.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/route/plan.h"
#include "server/route/routes.h"

enum { MS_NS = 1000000 };

static struct health_view view_of(
    const struct health *health, const struct route_target *target, int64_t now_ns)
{
    return health_see(health, target->choice.provider->name, target->choice.model, now_ns);
}

/* ── JSON ───────────────────────────────────────────────────────────────────────────────────── */

static void write_text(struct json_writer *writer, const char *name, const char *text)
{
    json_key(writer, name);
    json_string(writer, slice_text(text));
}

static void write_number(struct json_writer *writer, const char *name, int64_t number)
{
    json_key(writer, name);
    json_integer(writer, number);
}

static void write_time(struct json_writer *writer, const char *name, int64_t ms)
{
    json_key(writer, name);
    if (ms < 0)
        json_null(writer);
    else
        json_integer(writer, ms);
}

static void write_key(struct json_writer *writer, const struct health *health,
    const struct provider *provider, size_t key, int64_t now_ns)
{
    int64_t until_ns = health_key_until_ns(health, provider, key);
    bool is_refused = until_ns == INT64_MAX, is_limited = !is_refused && until_ns > now_ns;
    json_open(writer, '{');
    write_text(writer, "key", plan_key_name(provider, key));
    write_text(writer, "state", is_refused ? "refused" : is_limited ? "limited" : "ready");
    if (is_limited)
        write_number(writer, "for_ms", (until_ns - now_ns + MS_NS - 1) / MS_NS);
    json_close(writer, '}');
}

static void write_health(struct json_writer *writer, const struct health_view *view)
{
    write_text(writer, "state", breaker_name(view->breaker));
    write_time(writer, "open_for_ms", view->breaker == BREAKER_OPEN ? view->open_for_ms : -1);
    write_number(writer, "busy", view->busy);
    write_number(writer, "requests", (int64_t)view->requests);
    write_number(writer, "failures", (int64_t)view->failures);
    write_time(
        writer, "first_event_ms", view->first_event_us < 0 ? -1 : view->first_event_us / 1000);
    write_time(writer, "p50_ms", view->p50_ms);
    write_time(writer, "p95_ms", view->p95_ms);
}

static void write_target(struct json_writer *writer, const struct health *health,
    const struct route_target *target, int64_t now_ns)
{
    const struct provider *provider = target->choice.provider;
    struct health_view view = view_of(health, target, now_ns);
    json_open(writer, '{');
    write_text(writer, "model", target->name);
    write_number(writer, "weight", target->weight);
    write_number(writer, "priority", target->priority);
    write_health(writer, &view);
    json_key(writer, "keys");
    json_open(writer, '[');
    for (size_t i = 0; i < provider->key_count; i++)
        write_key(writer, health, provider, i, now_ns);
    json_close(writer, ']');
    json_close(writer, '}');
}

static void write_route(struct json_writer *writer, const struct health *health,
    const struct route *route, int64_t now_ns)
{
    const struct route_config *config = route->config;
    json_open(writer, '{');
    write_text(writer, "model", route->name);
    write_text(writer, "strategy", route_strategy_name((enum route_strategy)config->strategy));
    write_number(writer, "retries", config->policy.retries);
    write_text(writer, "on_death", plan_death_name((enum plan_death)config->policy.on_death));
    json_key(writer, "targets");
    json_open(writer, '[');
    for (size_t i = 0; i < route->target_count; i++)
        write_target(writer, health, &route->targets[i], now_ns);
    json_close(writer, ']');
    json_close(writer, '}');
}

static enum err write_list(struct api *api, struct buf *out)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(api->catalogues);
    struct json_writer writer;
    size_t count;
    const struct route *routes = catalogue_routes(catalogue, &count);
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_text(&writer, "object", "list");
    json_key(&writer, "data");
    json_open(&writer, '[');
    for (size_t i = 0; i < count; i++)
        write_route(&writer, api->health, &routes[i], loop_now_ns(api->loop));
    json_close(&writer, ']');
    json_close(&writer, '}');
    return writer.err ? writer.err : buf_append_byte(out, '\n');
}

void routes_list(struct api *api, struct exchange *exchange, struct slice id)
{
    CLEANUP(buf_deinit) struct buf text;
    (void)id;
    buf_init(&text, REPLY_BYTES_MAX);
    if (write_list(api, &text))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        exchange_reply(exchange, 200, "application/json", buf_slice(&text));
}

/* ── metrics ────────────────────────────────────────────────────────────────────────────────── */

/* Each target once, whatever routes have it. */
struct measured {
    const struct route_target *targets[TARGETS_MEASURED_MAX];
    size_t count;
};

static bool is_there(const struct measured *measured, const struct route_target *target)
{
    for (size_t i = 0; i < measured->count; i++)
        if (strcmp(measured->targets[i]->name, target->name) == 0)
            return true;
    return false;
}

static void gather(const struct catalogue *catalogue, struct measured *measured)
{
    size_t count;
    const struct route *routes = catalogue_routes(catalogue, &count);
    measured->count = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < routes[i].target_count; j++)
            if (measured->count < TARGETS_MEASURED_MAX &&
                !is_there(measured, &routes[i].targets[j]))
                measured->targets[measured->count++] = &routes[i].targets[j];
}

enum target_metric {
#define TARGET_METRIC(name, type, help) TARGET_##name,
#define TARGET_METRICS                                                                             \
    TARGET_METRIC(target_breaker, "gauge", "0 closed, 1 half open, 2 open")                        \
    TARGET_METRIC(target_busy, "gauge", "attempts under way")                                      \
    TARGET_METRIC(target_attempts_total, "counter", "attempts that have ended, by how")            \
    TARGET_METRIC(target_first_event_seconds, "gauge", "recent time to first event, weighted")     \
    TARGET_METRIC(target_keys_resting, "gauge", "of its provider's keys, after a 429, 401 or 403")
    TARGET_METRICS
#undef TARGET_METRIC
        TARGET_METRIC_COUNT
};
static const struct {
    const char *name, *type, *help;
} target_metrics[] = {
#define TARGET_METRIC(name, type, help) {"tokenlog_" #name, type, help},
    TARGET_METRICS
#undef TARGET_METRIC
};

struct seen {
    struct health_view view;
    uint64_t keys_resting;
};

static uint64_t keys_resting(
    const struct health *health, const struct route_target *target, int64_t now_ns)
{
    const struct provider *provider = target->choice.provider;
    uint64_t count = 0;
    for (size_t i = 0; i < provider->key_count; i++)
        count += health_key_until_ns(health, provider, i) > now_ns;
    return count;
}

static enum err print_label(const char *target, struct buf *out)
{
    TRY(buf_append_text(out, "{target=\""));
    for (; *target; target++) {
        if (*target == '"' || *target == '\\')
            TRY(buf_append_byte(out, '\\'));
        TRY(buf_append_byte(out, *target == '\n' ? ' ' : (uint8_t)*target));
    }
    return buf_append_byte(out, '"');
}

static enum err print_count(
    const char *name, const char *target, const char *label, uint64_t value, struct buf *out)
{
    TRY(buf_append_text(out, name));
    TRY(print_label(target, out));
    return buf_printf(out, "%s} %" PRIu64 "\n", label, value);
}

static enum err print_metric(
    enum target_metric metric, const char *target, const struct seen *seen, struct buf *out)
{
    const struct health_view *view = &seen->view;
    static const uint64_t breakers[] = {
        [BREAKER_CLOSED] = 0, [BREAKER_HALF_OPEN] = 1, [BREAKER_OPEN] = 2};
    const char *name = target_metrics[metric].name;
    uint64_t other = view->requests - view->busy - view->wells - view->failures;
    switch (metric) {
    case TARGET_target_breaker: return print_count(name, target, "", breakers[view->breaker], out);
    case TARGET_target_busy: return print_count(name, target, "", view->busy, out);
    case TARGET_target_attempts_total:
        TRY(print_count(name, target, ",outcome=\"well\"", view->wells, out));
        TRY(print_count(name, target, ",outcome=\"failed\"", view->failures, out));
        return print_count(name, target, ",outcome=\"other\"", other, out);
    case TARGET_target_first_event_seconds:
        if (view->first_event_us < 0)
            return ERR_OK;
        TRY(buf_append_text(out, name));
        TRY(print_label(target, out));
        return buf_printf(out, "} %" PRId64 ".%06" PRId64 "\n", view->first_event_us / 1000000,
            view->first_event_us % 1000000);
    case TARGET_target_keys_resting: return print_count(name, target, "", seen->keys_resting, out);
    case TARGET_METRIC_COUNT: break;
    }
    return ERR_OK;
}

enum err routes_measure(
    struct catalogues *catalogues, const struct health *health, int64_t now_ns, struct buf *out)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(catalogues);
    struct measured measured;
    gather(catalogue, &measured);
    for (size_t i = 0; measured.count && i < TARGET_METRIC_COUNT; i++) {
        TRY(buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", target_metrics[i].name,
            target_metrics[i].help, target_metrics[i].name, target_metrics[i].type));
        for (size_t j = 0; j < measured.count; j++) {
            const struct route_target *target = measured.targets[j];
            const struct seen seen = {
                view_of(health, target, now_ns), keys_resting(health, target, now_ns)};
            TRY(print_metric((enum target_metric)i, target->name, &seen, out));
        }
    }
    return ERR_OK;
}
