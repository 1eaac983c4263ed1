/* routing — a catalogue with a few providers and the routes that a test gives it, and time that stands
 * still until it is moved. */
#ifndef TOKENLOG_TESTS_SERVER_ROUTE_ROUTING_H
#define TOKENLOG_TESTS_SERVER_ROUTE_ROUTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/route/plan.h"

enum { MS = 1000000 };

struct routing {
    struct config config;
    struct route_config route;
    struct route_target_config targets[PLAN_TARGETS_MAX];
    struct catalogue *catalogue;
    struct health *health;
    struct buf why;
    int64_t now;
    uint64_t random;
};

/* Providers a (three keys), b (one), c (none). The route `smart` has the targets that are added. */
static inline struct routing *routing_new(enum route_strategy strategy)
{
    struct routing *routing = calloc(1, sizeof *routing);
    assert_non_null(routing);
    *routing = (struct routing){.now = 1000000ll * MS, .random = 1};
    routing->config.providers[0] = (struct provider_config){
        .where = "f:1", .name = "a", .base_url = "http://a", .keys = {"k1", "k2", "k3"}};
    routing->config.providers[1] = (struct provider_config){
        .where = "f:2", .name = "b", .base_url = "http://b", .keys = {"k"}};
    routing->config.providers[2] =
        (struct provider_config){.where = "f:3", .name = "c", .base_url = "http://c"};
    routing->config.provider_count = 3;
    routing->config.catalogue = "";
    routing->route = (struct route_config){.where = "f:4",
        .model = "smart",
        .strategy = (int)strategy,
        .policy = route_policy_default,
        .targets = routing->targets};
    routing->config.routes = &routing->route;
    buf_init(&routing->why, CONFIG_WHY_BYTES_MAX);
    assert_int_equal(health_new(&routing->health), ERR_OK);
    return routing;
}

static inline struct route_target_config *routing_add(struct routing *routing, const char *model)
{
    assert_true(routing->route.target_count < PLAN_TARGETS_MAX);
    struct route_target_config *target = &routing->targets[routing->route.target_count++];
    *target = (struct route_target_config){.where = "f:5", .model = model, .weight = 1};
    routing->config.route_count = 1;
    return target;
}

static inline enum err routing_build(struct routing *routing)
{
    static char *environment[] = {NULL};
    const struct catalogue_source source = {
        .config = &routing->config, .is_config_borrowed = true, .environment = environment};
    routing->catalogue = catalogue_unref(routing->catalogue);
    return catalogue_build(&source, &routing->catalogue, &routing->why);
}

static inline void routing_free(struct routing *routing)
{
    catalogue_unref(routing->catalogue);
    health_free(routing->health);
    buf_deinit(&routing->why);
    free(routing);
}

static inline void routing_says(struct routing *routing, const char *sentence)
{
    assert_int_equal(buf_append_byte(&routing->why, 0), ERR_OK);
    if (!strstr((const char *)routing->why.data, sentence))
        fail_msg("wanted: %s\ngot: %s", sentence, (const char *)routing->why.data);
    buf_clear(&routing->why);
}

static inline enum err routing_ask(struct routing *routing, struct plan_ask ask, struct plan **out)
{
    if (!routing->catalogue && routing_build(routing))
        fail_msg("%.*s", SLICE_PRINT(buf_slice(&routing->why)));
    if (!ask.model.data)
        ask.model = SLICE("smart");
    ask.now_ns = routing->now;
    ask.random = routing->random++;
    return plan_make(routing->catalogue, routing->health, &ask, out, &routing->why);
}

#define PLAN(routing, ...)                                                                         \
    ({                                                                                             \
        struct plan *made_ = NULL;                                                                 \
        assert_int_equal(routing_ask(routing, (struct plan_ask){__VA_ARGS__}, &made_), ERR_OK);    \
        made_;                                                                                     \
    })

#endif
