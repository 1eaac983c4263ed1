/* config_route — routes as they are told, and the sentences that a wrong one is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/config/config.h"

enum { TEXT_BYTES_MAX = 256 * 1024 };

/* One load of a file; `path` is filled in. */
static enum err load(const char *text, char path[64], struct config **out, struct buf *why)
{
    struct config_request request;
    (void)snprintf(path, 64, "/tmp/tokenlog-routes-XXXXXX");
    CLEANUP(cleanup_close) int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    char *words[] = {(char *)"--config", path, NULL};
    enum err err = config_load(2, words, NULL, out, &request, why);
    (void)unlink(path);
    return err;
}

static struct config *loaded(const char *text)
{
    CLEANUP(buf_deinit) struct buf why;
    struct config *config;
    char path[64];
    buf_init(&why, TEXT_BYTES_MAX);
    if (load(text, path, &config, &why))
        fail_msg("%.*s", SLICE_PRINT(buf_slice(&why)));
    return config;
}

/* Refused, and `why` has a line that begins with the file and `line`, and says `sentence`. */
static void refused(const char *text, unsigned line, const char *sentence)
{
    CLEANUP(buf_deinit) struct buf why;
    struct config *config;
    char path[64], place[96];
    buf_init(&why, TEXT_BYTES_MAX);
    assert_int_equal(load(text, path, &config, &why), ERR_INVALID);
    assert_int_equal(buf_append_byte(&why, 0), ERR_OK);
    (void)snprintf(place, sizeof place, "%s:%u: ", path, line);
    const char *found = strstr((const char *)why.data, place);
    const char *said = found ? strstr(found, sentence) : NULL;
    const char *end = found ? strchr(found, '\n') : NULL;
    if (!said || !end || said > end)
        fail_msg("wanted line %u: %s\ngot: %s", line, sentence, (const char *)why.data);
}

static const char whole[] =
    "routes:\n"
    "  - model: smart\n"
    "    strategy: weighted\n"
    "    targets:\n"
    "      - model: openai/gpt-5\n"
    "        weight: 3\n"
    "        priority: 1\n"
    "        when: {project: [red, blue], metadata: {team: search}, headers: {x-tier: gold},\n"
    "               needs: [vision], prompt_bytes_max: 200000}\n"
    "      - anthropic/claude-sonnet-4-5\n"
    "    retries: 4\n"
    "    backoff: linear\n"
    "    backoff_ms: 100\n"
    "    backoff_max_ms: 5000\n"
    "    connect_timeout_ms: 1\n"
    "    first_byte_timeout_ms: 2\n"
    "    idle_timeout_ms: 3\n"
    "    on_death: continue\n"
    "    continue: {by: message, message: \"go \\\"on\\\"\"}\n"
    "    hold: tools\n"
    "    hedge: {after: p95}\n"
    "  - model: plain\n"
    "    targets: [openai/gpt-5]\n"
    "    hedge: {after_ms: 800}\n";

static void is_whole(const struct config *config)
{
    assert_int_equal(config->route_count, 2);
    const struct route_config *route = &config->routes[0];
    assert_string_equal(route->model, "smart");
    assert_int_equal(route->strategy, ROUTE_WEIGHTED);
    assert_int_equal(route->target_count, 2);
    const struct route_target_config *target = &route->targets[0];
    assert_string_equal(target->model, "openai/gpt-5");
    assert_int_equal(target->weight, 3);
    assert_int_equal(target->priority, 1);
    assert_string_equal(target->when.projects[1], "blue");
    assert_null(target->when.projects[2]);
    assert_string_equal(target->when.metadata[0].name, "team");
    assert_string_equal(target->when.metadata[0].value, "search");
    assert_string_equal(target->when.headers[0].name, "x-tier");
    assert_string_equal(target->when.needs[0], "vision");
    assert_int_equal(target->when.prompt_bytes_max, 200000);
    assert_string_equal(route->targets[1].model, "anthropic/claude-sonnet-4-5");
    assert_int_equal(route->targets[1].weight, 1);
    const struct plan_policy *policy = &route->policy;
    assert_int_equal(policy->retries, 4);
    assert_int_equal(policy->backoff, BACKOFF_LINEAR);
    assert_int_equal(policy->backoff_ms, 100);
    assert_int_equal(policy->backoff_max_ms, 5000);
    assert_int_equal(policy->connect_timeout_ms, 1);
    assert_int_equal(policy->first_byte_timeout_ms, 2);
    assert_int_equal(policy->idle_timeout_ms, 3);
    assert_int_equal(policy->on_death, PLAN_CONTINUE);
    assert_int_equal(policy->continue_by, CONTINUE_MESSAGE);
    assert_string_equal(policy->continue_message, "go \"on\"");
    assert_true(policy->holds_tools);
    assert_int_equal(policy->hedge_after_permil, 950);
    assert_int_equal(policy->hedge_after_ms, 0);
    policy = &config->routes[1].policy;
    assert_int_equal(policy->retries, 2);
    assert_int_equal(policy->backoff, BACKOFF_EXPONENTIAL);
    assert_int_equal(policy->hedge_after_ms, 800);
    assert_int_equal(policy->on_death, PLAN_FAIL);
    assert_int_equal(config->routes[1].strategy, ROUTE_ORDER);
}

static void a_route_is_read_and_printed_to_be_read_again(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf printed;
    buf_init(&printed, TEXT_BYTES_MAX);
    struct config *config = loaded(whole);
    is_whole(config);
    assert_int_equal(config_print(config, &printed), ERR_OK);
    assert_int_equal(buf_append_byte(&printed, 0), ERR_OK);
    config_free(config);
    config = loaded((const char *)printed.data);
    is_whole(config);
    config_free(config);
}

static void nothing_is_no_route(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "routes: []\n", "keep_days: 3\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *config = loaded(texts[i]);
        assert_int_equal(config->route_count, 0);
        config_free(config);
    }
}

#define ROUTE "routes:\n  - model: smart\n    targets: [a/b]\n"

static void a_wrong_route_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("routes: smart\n", 1, "a list of at most 1024 routes");
    refused("routes:\n  - smart\n", 2, "a route needs a model");
    refused("routes:\n  - targets: [a/b]\n", 2, "a route needs a model");
    refused("routes:\n  - model: smart\n", 2, "route `smart`: needs targets");
    refused("routes:\n  - model: smart\n    targets: []\n", 3, "a list of 1 to 16 models");
    refused("routes:\n  - model: smart\n    targets:\n      - weight: 1\n", 4,
        "a target needs a model");
    refused("routes:\n  - model: smart\n    targets: [[a]]\n", 3, "a target is a map");
    refused(
        ROUTE "    retry: 3\n", 4, "unknown key `retry`; a route takes model, strategy, targets");
    refused(ROUTE "    retries: 6\n", 4, "`retries` takes a number from 0 to 5");
    refused(ROUTE "    retries: many\n", 4, "`retries` takes a number from 0 to 5");
    refused(ROUTE "    retries: 1\n    retries: 2\n", 5, "there twice");
    refused(ROUTE "    strategy: best\n", 4,
        "`strategy` is order, weighted, fastest, cheapest, least_loaded or sticky");
    refused(ROUTE "    backoff: none\n", 4, "`backoff` is constant, linear or exponential");
    refused(ROUTE "    on_death: resume\n", 4, "`on_death` is fail, restart or continue");
    refused(ROUTE "    on_death: continue\n    retries: 0\n", 2, "raise `retries`");
    refused(ROUTE "    continue: {by: magic}\n", 4, "`by` is auto, prefill or message");
    refused(ROUTE "    continue: yes\n", 4, "continue is a map");
    refused(ROUTE "    hold: all\n", 4, "`hold` is nothing or tools");
    refused(ROUTE "    hedge: {}\n", 4, "one of after_ms and after");
    refused(ROUTE "    hedge: {after: 95}\n", 4, "p1 to p99.9");
    refused(ROUTE "    hedge: {after: p100}\n", 4, "p1 to p99.9");
    refused(ROUTE "    hedge: {after: p}\n", 4, "p1 to p99.9");
    refused(ROUTE "    hedge: {after: p9.99}\n", 4, "p1 to p99.9");
    refused(ROUTE "    hedge: {after_ms: 5}\n    retries: 0\n", 2, "a hedge is one of the retries");
    refused(ROUTE "  - model: smart\n    targets: [c/d]\n", 4, "there twice");
    refused("routes:\n  - model: smart\n    targets:\n      - model: a/b\n        weight: 0\n", 5,
        "`weight` takes a number from 1");
    refused("routes:\n  - model: smart\n    targets:\n      - model: a/b\n        when:\n"
            "          region: eu\n",
        6,
        "unknown key `region`; when takes project, metadata, headers, needs or prompt_bytes_max");
    refused("routes:\n  - model: smart\n    targets:\n      - model: a/b\n"
            "        when: {metadata: [a]}\n",
        5, "a map of 1 to 16 names");
    refused("routes:\n  - model: smart\n    targets:\n      - model: a/b\n"
            "        when: {project: []}\n",
        5, "1 to 16 entries");
}

static void a_name_is_bounded(void **state)
{
    (void)state;
    char text[ROUTE_MODEL_BYTES_MAX + 128], name[ROUTE_MODEL_BYTES_MAX + 2] = {0};
    memset(name, 'x', ROUTE_MODEL_BYTES_MAX);
    (void)snprintf(text, sizeof text, "routes:\n  - model: smart\n    targets: [%s]\n", name);
    config_free(loaded(text));
    name[ROUTE_MODEL_BYTES_MAX] = 'x';
    (void)snprintf(text, sizeof text, "routes:\n  - model: smart\n    targets: [%s]\n", name);
    refused(text, 3, "at most 512 bytes");
    (void)snprintf(text, sizeof text, "routes:\n  - model: %s\n    targets: [a/b]\n", name);
    refused(text, 2, "at most 512 bytes");
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
    (void)state;
    static const char text[] = ROUTE "    retries: 9\n    backoff: none\n  - model: other\n"
                                     "    targets: [x/y]\n    hold: all\n";
    refused(text, 4, "`retries`");
    refused(text, 5, "`backoff`");
    refused(text, 8, "route `other`: `hold`");
}

static void cut_anywhere_it_is_read_or_refused(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf why;
    char text[sizeof whole], path[64];
    buf_init(&why, TEXT_BYTES_MAX);
    for (size_t size = 0; size < sizeof whole; size++) {
        struct config *config = NULL;
        memcpy(text, whole, size);
        text[size] = '\0';
        enum err err = load(text, path, &config, &why);
        assert_true(err == ERR_OK || (err == ERR_INVALID && why.size > 0));
        config_free(config);
        buf_clear(&why);
    }
}

/* An alias could make a small file a large tree. */
static void aliases_are_refused(void **state)
{
    (void)state;
    refused(
        "routes:\n  - &r {model: smart, targets: [a/b]}\n  - *r\n", 2, "YAML alias unsupported");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_is_read_and_printed_to_be_read_again),
        cmocka_unit_test(nothing_is_no_route),
        cmocka_unit_test(a_wrong_route_is_refused_with_its_line),
        cmocka_unit_test(a_name_is_bounded),
        cmocka_unit_test(all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(cut_anywhere_it_is_read_or_refused),
        cmocka_unit_test(aliases_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
