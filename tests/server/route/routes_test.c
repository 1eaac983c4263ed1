/* routes — targets are found in the catalogue, or the configuration is refused. */
#include "server/route/routes.h"
#include "tests/server/route/routing.h"

static void targets_are_found(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    const struct route *route;
    size_t count;
    routing->config.providers[0].type = "openai";
    routing->route.model = "a/gpt-5"; /* a name that leads somewhere without it */
    routing_add(routing, "a/gpt-5")->when.needs[0] = "tools";
    routing_add(routing, "gpt-5-mini");
    routing_add(routing, "b/some/thing");
    assert_int_equal(routing_build(routing), ERR_OK);
    assert_non_null(catalogue_routes(routing->catalogue, &count));
    assert_int_equal(count, 1);
    assert_int_equal(catalogue_route(routing->catalogue, SLICE("a/gpt"), &route), ERR_NOTFOUND);
    assert_int_equal(catalogue_route(routing->catalogue, SLICE("a/gpt-5"), &route), ERR_OK);
    assert_int_equal(route->target_count, 3);
    assert_string_equal(route->targets[0].name, "a/gpt-5");
    assert_non_null(route->targets[0].choice.known);
    assert_int_equal(route->targets[0].needs, 1u << CAPABILITY_tools);
    assert_string_equal(route->targets[1].name, "a/gpt-5-mini");
    assert_true(slice_equal(route->targets[1].choice.model, SLICE("gpt-5-mini")));
    assert_string_equal(route->targets[2].name, "b/some/thing");
    assert_null(route->targets[2].choice.known);
    routing_free(routing);
}

static void all_that_lead_nowhere_are_told(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing_add(routing, "a/x")->when.needs[0] = "flight";
    routing_add(routing, "anthropic/claude-sonnet-4-5")->where = "f:6";
    routing_add(routing, "never-heard-of")->where = "f:7";
    routing_add(routing, "smart")->where = "f:8"; /* no route leads to another */
    assert_int_equal(routing_build(routing), ERR_INVALID);
    assert_int_equal(buf_append_byte(&routing->why, 0), ERR_OK);
    static const char *const lines[] = {
        "f:5: target `a/x`: needs names capabilities",
        "f:6: target `anthropic/claude-sonnet-4-5`: anthropic is not configured here: set ANTH",
        "f:7: target `never-heard-of`: no model is called `never-heard-of` here",
        "f:8: target `smart`: no model is called `smart` here",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr((const char *)routing->why.data, lines[i]))
            fail_msg("wanted: %s\ngot: %s", lines[i], (const char *)routing->why.data);
    routing_free(routing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_found),
        cmocka_unit_test(all_that_lead_nowhere_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
