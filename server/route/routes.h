/* routes — the configuration's routes, their targets found in the catalogue: a part of its snapshot.
 *
 * A target leads where its name would lead a caller if there were no routes; so no route leads to
 * another one.
 *
 *   thread  the builder's; read-only afterwards */
#ifndef TOKENLOG_SERVER_ROUTE_ROUTES_H
#define TOKENLOG_SERVER_ROUTE_ROUTES_H

#include "server/route/catalogue.h"

struct route_target {
    struct route_choice choice; /* `model` is never empty */
    const char *name;           /* "provider/model" */
    const struct route_when *when;
    uint32_t needs; /* when->needs: 1u << CAPABILITY_… */
    int64_t weight, priority;
};
struct route {
    const char *name;
    const struct route_config *config;
    struct route_target *targets;
    size_t target_count;
};

/* routes_build — of `config`, in `pool`: both outlive *out. The catalogue is built but for its routes.
 *   answers  ERR_INVALID `why` has a line for each target that leads nowhere
 *   faults   ERR_NOMEM */
enum err routes_build(const struct catalogue *catalogue, const struct config *config,
    struct pool *pool, struct route **out, struct buf *why) NODISCARD;

/* route_choice_name — "provider/model" of a choice for a call that names `model`; appended.
 *   answers buf_append's
 * route_choice_takes_prefill — whether an assistant's message at the end of a request is gone on with:
 * Anthropic's models up to Claude 4.5, in their own dialect.
 *   source  docs.anthropic.com, "Prefill Claude's response", 2026-08 */
enum err route_choice_name(
    const struct route_choice *choice, struct slice model, struct buf *out) NODISCARD;
bool route_choice_takes_prefill(const struct route_choice *choice, struct slice model);

#endif
