/* config_route_print — routes as --print-config shows them: YAML that can be read back. What a route does
 * not say is left out, but for what it comes to for every route. */
#include <inttypes.h>

#include "server/config/loading.h"

static enum err print_texts(const char *name, const char *const *texts, struct buf *out)
{
    if (!texts[0])
        return ERR_OK;
    TRY(buf_printf(out, "          %s: [", name));
    for (size_t i = 0; texts[i]; i++) {
        TRY(buf_append_text(out, i ? ", " : ""));
        TRY(yaml_quote(texts[i], out));
    }
    return buf_append_text(out, "]\n");
}

static enum err print_matches(const char *name, const struct route_match *matches, struct buf *out)
{
    if (!matches[0].name)
        return ERR_OK;
    TRY(buf_printf(out, "          %s: {", name));
    for (size_t i = 0; matches[i].name; i++) {
        TRY(buf_append_text(out, i ? ", " : ""));
        TRY(yaml_quote(matches[i].name, out));
        TRY(buf_append_text(out, ": "));
        TRY(yaml_quote(matches[i].value, out));
    }
    return buf_append_text(out, "}\n");
}

static enum err print_when(const struct route_when *when, struct buf *out)
{
    if (!when->projects[0] && !when->needs[0] && !when->metadata[0].name &&
        !when->headers[0].name && !when->prompt_bytes_max)
        return ERR_OK;
    TRY(buf_append_text(out, "        when:\n"));
    TRY(print_texts("project", when->projects, out));
    TRY(print_matches("metadata", when->metadata, out));
    TRY(print_matches("headers", when->headers, out));
    TRY(print_texts("needs", when->needs, out));
    if (when->prompt_bytes_max)
        TRY(buf_printf(out, "          prompt_bytes_max: %" PRId64 "\n", when->prompt_bytes_max));
    return ERR_OK;
}

static enum err print_target(const struct route_target_config *target, struct buf *out)
{
    TRY(buf_append_text(out, "      - model: "));
    TRY(yaml_quote(target->model, out));
    TRY(buf_printf(out, "\n        weight: %" PRId64 "\n        priority: %" PRId64 "\n",
        target->weight, target->priority));
    return print_when(&target->when, out);
}

static enum err print_hedge(const struct plan_policy *policy, struct buf *out)
{
    if (policy->hedge_after_ms)
        return buf_printf(out, "    hedge: {after_ms: %" PRId64 "}\n", policy->hedge_after_ms);
    if (policy->hedge_after_permil)
        return buf_printf(out, "    hedge: {after: p%" PRId64 ".%" PRId64 "}\n",
            policy->hedge_after_permil / 10, policy->hedge_after_permil % 10);
    return ERR_OK;
}

static enum err print_continue(const struct plan_policy *policy, struct buf *out)
{
    TRY(buf_printf(
        out, "    continue: {by: %s", plan_continue_name((enum plan_continue)policy->continue_by)));
    if (policy->continue_message) {
        TRY(buf_append_text(out, ", message: "));
        TRY(yaml_quote(policy->continue_message, out));
    }
    return buf_append_text(out, "}\n");
}

static enum err print_policy(const struct plan_policy *policy, struct buf *out)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"retries", policy->retries},
        {"backoff_ms", policy->backoff_ms},
        {"backoff_max_ms", policy->backoff_max_ms},
        {"connect_timeout_ms", policy->connect_timeout_ms},
        {"first_byte_timeout_ms", policy->first_byte_timeout_ms},
        {"idle_timeout_ms", policy->idle_timeout_ms},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TRY(buf_printf(out, "    %s: %" PRId64 "\n", numbers[i].name, numbers[i].value));
    TRY(buf_printf(
        out, "    backoff: %s\n", plan_backoff_name((enum plan_backoff)policy->backoff)));
    TRY(buf_printf(out, "    on_death: %s\n", plan_death_name((enum plan_death)policy->on_death)));
    TRY(print_continue(policy, out));
    TRY(buf_printf(out, "    hold: %s\n", policy->holds_tools ? "tools" : "nothing"));
    return print_hedge(policy, out);
}

static enum err print_route(const struct route_config *route, struct buf *out)
{
    TRY(buf_append_text(out, "  - model: "));
    TRY(yaml_quote(route->model, out));
    TRY(buf_printf(out, " # %s\n    strategy: %s\n    targets:\n", route->where,
        route_strategy_name((enum route_strategy)route->strategy)));
    for (size_t i = 0; i < route->target_count; i++)
        TRY(print_target(&route->targets[i], out));
    return print_policy(&route->policy, out);
}

enum err config_print_routes(const struct config *config, struct buf *out)
{
    TRY(buf_append_text(out, config->route_count ? "routes:\n" : "routes: []\n"));
    for (size_t i = 0; i < config->route_count; i++)
        TRY(print_route(&config->routes[i], out));
    return ERR_OK;
}
