/* catalogue — where names lead, by what is configured and what is in the environment. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/route/catalogue.h"
#include "server/route/outbound.h"

enum { VARIABLES_MAX = 6 };

/* One configuration; the catalogue is the one that ships. */
struct world {
    struct config config;
    char *variables[VARIABLES_MAX + 1];
    struct catalogue *catalogue;
    struct buf why;
};

static enum err build(struct world *world)
{
    const struct catalogue_source source = {
        .config = &world->config, .is_config_borrowed = true, .environment = world->variables};
    buf_init(&world->why, CONFIG_WHY_BYTES_MAX);
    enum err err = catalogue_build(&source, &world->catalogue, &world->why);
    assert_int_equal(buf_append_byte(&world->why, 0), ERR_OK);
    return err;
}

static void finish(struct world *world)
{
    world->catalogue = catalogue_unref(world->catalogue);
    buf_deinit(&world->why);
}

#define PROVIDER(...) ((struct provider_config){.where = "file:1", __VA_ARGS__})
#define W(text)       ((char *)(text))

/* `name` leads to `provider`, and is sent as `model` ("": as it came). */
static void leads(struct world *world, const char *name, const char *provider, const char *model)
{
    CLEANUP(buf_deinit) struct buf why;
    struct route_choice choice;
    buf_init(&why, 4096);
    enum err err = catalogue_pick(world->catalogue, slice_text(name), &choice, &why);
    if (err)
        fail_msg("%s: %s: %.*s", name, err_name(err), SLICE_PRINT(buf_slice(&why)));
    if (strcmp(choice.provider->name, provider) != 0 ||
        !slice_equal(choice.model, slice_text(model)))
        fail_msg("%s: %s as %.*s", name, choice.provider->name, SLICE_PRINT(choice.model));
}

static void leads_nowhere(struct world *world, const char *name, enum err wanted, const char *said)
{
    CLEANUP(buf_deinit) struct buf why;
    struct route_choice choice;
    buf_init(&why, 4096);
    assert_int_equal(catalogue_pick(world->catalogue, slice_text(name), &choice, &why), wanted);
    assert_int_equal(buf_append_byte(&why, 0), ERR_OK);
    if (!strstr((const char *)why.data, said))
        fail_msg("%s: %s", name, (const char *)why.data);
}

static void configured_providers_come_first(void **state)
{
    (void)state;
    struct world world = {.config.providers = {PROVIDER(.name = "local", .base_url = "http://l"),
                              PROVIDER(.name = "groq", .keys = {"k"}),
                              PROVIDER(.name = "mine", .type = "mistral", .keys = {"k"})},
        .config.provider_count = 3,
        .variables = {W("OPENAI_API_KEY=x")}};
    assert_int_equal(build(&world), ERR_OK);
    leads(&world, "local/some/thing", "local", "some/thing");
    leads(&world, "LOCAL/x", "local", "x");
    leads(&world, "groq/llama-3.1-8b-instant", "groq", "llama-3.1-8b-instant");
    leads(&world, "groq/not-yet-known", "groq", "not-yet-known");
    leads(&world, "llama-3.1-8b-instant", "groq", "");
    leads(&world, "mine/codestral-latest", "mine", "codestral-latest");
    leads(&world, "mistral/codestral-latest", "mine", "codestral-latest");
    leads(&world, "codestral-latest", "mine", "");
    leads(&world, "never-heard-of", "local", "");
    leads(&world, "", "local", "");
    /* Named, the environment's provider is there; a bare name does not lead out of what is
     * configured. */
    leads(&world, "openai/gpt-5-mini", "openai", "gpt-5-mini");
    leads(&world, "gpt-5-mini", "local", "");
    leads(&world, "anthropic/claude-haiku-4-5", "local", "");
    finish(&world);
}

static void a_key_in_the_environment_is_enough(void **state)
{
    (void)state;
    struct world world = {.variables = {W("GEMINI_API_KEY=x"), W("ANTHROPIC_API_KEY="),
                              W("AWS_ACCESS_KEY_ID=id"), W("AZURE_API_KEY=x")}};
    assert_int_equal(build(&world), ERR_OK);
    leads(&world, "gemini-2.5-pro", "google-ai-studio", "");
    leads(&world, "google/gemini-2.5-pro", "google-ai-studio", "gemini-2.5-pro");
    leads_nowhere(&world, "claude-haiku-4-5", ERR_NOTFOUND, "set ANTHROPIC_API_KEY");
    leads_nowhere(&world, "anthropic/claude-x", ERR_NOTFOUND, "set ANTHROPIC_API_KEY");
    leads_nowhere(&world, "bedrock/x", ERR_NOTFOUND, "set AWS_ACCESS_KEY_ID"); /* no secret */
    leads_nowhere(&world, "azure/gpt-5", ERR_NOTFOUND, "azure-openai is not configured");
    leads_nowhere(&world, "vllm/x", ERR_NOTFOUND, "with its base_url");
    leads_nowhere(&world, "gemini-2.5-por", ERR_NOTFOUND, "did you mean gemini-2.5-pro");
    leads_nowhere(&world, "no such thing at all", ERR_NOTFOUND, "GET /v1/models");
    finish(&world);
    struct world empty = {0};
    assert_int_equal(build(&empty), ERR_OK);
    leads_nowhere(&empty, "gpt-5", ERR_CLOSED, "");
    finish(&empty);
    struct world broken = {.variables = {W("GROQ_API_KEY=key\n")}};
    assert_int_equal(build(&broken), ERR_OK);
    leads_nowhere(&broken, "groq/x", ERR_CLOSED, "");
    finish(&broken);
    broken.config.provider_count = 1;
    broken.config.providers[0] = PROVIDER(.name = "groq");
    assert_int_equal(build(&broken), ERR_INVALID);
    assert_non_null(strstr((const char *)broken.why.data, "`groq`: a key has characters that"));
    finish(&broken);
}

static void unknown_models_may_be_refused(void **state)
{
    (void)state;
    struct world world = {.config.providers = {PROVIDER(.name = "groq", .keys = {"k"}),
                              PROVIDER(.name = "vllm", .base_url = "http://v")},
        .config.provider_count = 2,
        .config.unknown_models = "refuse"};
    assert_int_equal(build(&world), ERR_OK);
    leads(&world, "groq/llama-3.1-8b-instant", "groq", "llama-3.1-8b-instant");
    leads(&world, "vllm/anything", "vllm", "anything");
    leads_nowhere(&world, "groq/llama-3.1-8b-instent", ERR_NOTFOUND,
        "did you mean groq/llama-3.1-8b-instant?");
    leads_nowhere(&world, "lama-3.1-8b-instant", ERR_NOTFOUND, "did you mean llama-3.1-8b-instant");
    finish(&world);
}

static void wrong_providers_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct provider_config provider;
        const char *said;
    } cases[] = {
        {PROVIDER(.name = "new"), "file:1: provider `new`: is none that the catalogue knows"},
        {PROVIDER(.name = "a", .type = "nope"), "the catalogue has no provider `nope`"},
        {PROVIDER(.name = "azure", .keys = {"k"}), "needs the option resource"},
        {PROVIDER(.name = "azure", .options[OPTION_resource] = "a/b"), "no name has"},
        {PROVIDER(.name = "bedrock", .options[OPTION_region] = "r"), "needs an AWS key"},
        {PROVIDER(.name = "bedrock", .options[OPTION_region] = "r", .keys = {"k"}), "ID:SECRET"},
        {PROVIDER(.name = "vertex", .options = {[OPTION_region] = "r", [OPTION_project] = "p"}),
            "service account's file"},
        {PROVIDER(.name = "vertex", .key_file = "/no/such/file",
             .options = {[OPTION_region] = "r", [OPTION_project] = "p"}),
            "/no/such/file"},
        {PROVIDER(.name = "x", .base_url = "http://x", .native = "v1"), "/v1 is taken"},
        {PROVIDER(.name = "x", .base_url = "http://x", .api_prefix = "/a/{bad}"), "no option"},
        {PROVIDER(.name = "x", .base_url = "http://x", .api_prefix = "/a/{bad"), "not closed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world = {.config.provider_count = 1};
        world.config.providers[0] = cases[i].provider;
        assert_int_equal(build(&world), ERR_INVALID);
        if (!strstr((const char *)world.why.data, cases[i].said))
            fail_msg("%s: %s", cases[i].said, (const char *)world.why.data);
        finish(&world);
    }
    struct world missing = {.config.catalogue = "/no/such/catalogue"};
    assert_int_equal(build(&missing), ERR_INVALID);
    assert_non_null(strstr((const char *)missing.why.data, "/no/such/catalogue: No such file"));
    finish(&missing);
}

/* What is sent to the n-th provider for a call of OpenAI's kind, or, where it has none, for one of its own. */
static void sends(struct world *world, size_t index, const char *url, const char *const *lines)
{
    CLEANUP(outbound_deinit) struct outbound outbound;
    CLEANUP(buf_deinit) struct buf target;
    static struct headers callers = {
        .items = {{SLICE("Anthropic-Version"), SLICE("1999-01-01")}}, .count = 1};
    size_t count;
    const struct provider *provider = &catalogue_providers(world->catalogue, &count)[index];
    assert_true(index < count);
    buf_init(&target, 4096);
    enum err err = outbound_api_target(provider, SLICE("/v1/chat/completions?a=b"), &target);
    if (err == ERR_NOTFOUND)
        err = outbound_native_target(provider, SLICE("/model/m/converse"), &target);
    assert_int_equal(err, ERR_OK);
    const struct outbound_request request = {.provider = provider,
        .method = "POST",
        .target = buf_slice(&target),
        .body = SLICE("{}"),
        .headers = &callers,
        .wall_s = 1440938160};
    assert_int_equal(outbound_prepare(&request, &outbound), ERR_OK);
    assert_string_equal((const char *)outbound.url.data, url);
    size_t sent = 0;
    for (; lines[sent]; sent++) {
        assert_non_null(outbound.headers[sent]);
        assert_int_equal(strncmp(outbound.headers[sent], lines[sent], strlen(lines[sent])), 0);
    }
    assert_null(outbound.headers[sent]);
}

#define LINES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__ __VA_OPT__(, ) NULL                                                            \
    }

static void each_kind_of_credential_is_sent(void **state)
{
    (void)state;
    struct world world = {
        .config.providers = {PROVIDER(.name = "openai", .keys = {"sk"}, .base_url = "http://o:1"),
            PROVIDER(.name = "groq", .keys = {"g"}),
            PROVIDER(.name = "azure", .keys = {"a"}, .options[OPTION_resource] = "res"),
            PROVIDER(.name = "my-anthropic", .base_url = "http://a", .keys = {"x"}),
            PROVIDER(.name = "q", .base_url = "http://q", .auth = "?key={key}", .keys = {"a+b"}),
            PROVIDER(.name = "t", .base_url = "http://t", .auth = "Authorization: Token {key}!",
                .keys = {"k"}, .headers = {"X-Team: red"}),
            PROVIDER(.name = "none", .base_url = "http://n", .auth = "none", .keys = {"k"}),
            PROVIDER(.name = "unset", .base_url = "http://u"),
            PROVIDER(.name = "anthropic", .keys = {"k"}),
            PROVIDER(.name = "perplexity", .keys = {"k"}),
            PROVIDER(.name = "bedrock", .keys = {"ID:SECRET:TOKEN"},
                .options[OPTION_region] = "eu-west-1")},
        .config.provider_count = 11};
    assert_int_equal(build(&world), ERR_OK);
    sends(&world, 0, "http://o:1/v1/chat/completions?a=b", LINES("Authorization: Bearer sk"));
    sends(&world, 1, "https://api.groq.com/openai/v1/chat/completions?a=b",
        LINES("Authorization: Bearer g"));
    sends(&world, 2, "https://res.openai.azure.com/openai/v1/chat/completions?a=b",
        LINES("api-key: a"));
    sends(&world, 3, "http://a/v1/chat/completions?a=b", LINES("x-api-key: x"));
    sends(&world, 4, "http://q/v1/chat/completions?a=b&key=a%2Bb", LINES());
    sends(&world, 5, "http://t/v1/chat/completions?a=b",
        LINES("Authorization: Token k!", "X-Team: red"));
    sends(&world, 6, "http://n/v1/chat/completions?a=b", LINES());
    sends(&world, 7, "http://u/v1/chat/completions?a=b", LINES());
    /* The caller's own version counts. */
    sends(&world, 8, "https://api.anthropic.com/v1/chat/completions?a=b", LINES("x-api-key: k"));
    sends(&world, 9, "https://api.perplexity.ai/chat/completions?a=b",
        LINES("Authorization: Bearer k"));
    sends(&world, 10, "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
        LINES("Authorization: AWS4-HMAC-SHA256 Credential=ID/20150830/eu-west-1/bedrock/",
            "X-Amz-Date: 20150830T123600Z", "X-Amz-Content-Sha256: 44136fa3",
            "X-Amz-Security-Token: TOKEN"));
    finish(&world);
}

static void native_paths_lead_to_their_provider(void **state)
{
    (void)state;
    struct world world = {.config.providers = {PROVIDER(.name = "openai", .keys = {"k"}),
                              PROVIDER(.name = "gpu", .type = "vllm", .native = "hidden")},
        .config.provider_count = 2};
    const struct provider *found;
    assert_int_equal(build(&world), ERR_OK);
    assert_int_equal(catalogue_native(world.catalogue, SLICE("openai"), &found), ERR_OK);
    assert_string_equal(found->name, "openai");
    assert_int_equal(catalogue_native(world.catalogue, SLICE("hidden"), &found), ERR_OK);
    assert_string_equal(found->name, "gpu");
    assert_int_equal(catalogue_native(world.catalogue, SLICE("gpu"), &found), ERR_NOTFOUND);
    assert_int_equal(catalogue_native(world.catalogue, SLICE("vllm"), &found), ERR_NOTFOUND);
    assert_int_equal(catalogue_native(world.catalogue, SLICE("groq"), &found), ERR_NOTFOUND);
    finish(&world);
}

static void an_old_snapshot_stays_with_those_who_hold_it(void **state)
{
    (void)state;
    struct world first = {.config.providers = {PROVIDER(.name = "groq", .keys = {"one"})},
        .config.provider_count = 1};
    struct world second = {.config.providers = {PROVIDER(.name = "groq", .keys = {"two"})},
        .config.provider_count = 1};
    struct catalogues *catalogues;
    size_t count;
    assert_int_equal(build(&first), ERR_OK);
    assert_int_equal(build(&second), ERR_OK);
    assert_int_equal(catalogues_new(MOVE(first.catalogue), &catalogues), ERR_OK);
    struct catalogue *held = catalogues_get(catalogues);
    catalogues_set(catalogues, MOVE(second.catalogue));
    struct catalogue *next = catalogues_get(catalogues);
    assert_string_equal(catalogue_providers(held, &count)->keys[0], "one");
    assert_string_equal(catalogue_providers(next, &count)->keys[0], "two");
    catalogue_unref(held);
    catalogue_unref(next);
    catalogues_free(catalogues);
    finish(&first);
    finish(&second);
}

/* Under ThreadSanitizer this shows what a reload may do to those who serve. */
static void *look_again_and_again(void *context)
{
    enum { LOOKS = 2000 };
    size_t count, seen = 0;
    for (size_t i = 0; i < LOOKS; i++) {
        struct catalogue *catalogue = catalogues_get(context);
        seen += catalogue_providers(catalogue, &count)->keys[0][0] == 'k' && count == 1;
        catalogue_unref(catalogue);
    }
    return (void *)(uintptr_t)(seen == LOOKS);
}

static void threads_look_while_another_sets(void **state)
{
    (void)state;
    enum { THREADS = 3, ROUNDS = 4 };
    struct world worlds[ROUNDS + 1];
    struct catalogues *catalogues;
    pthread_t threads[THREADS];
    for (size_t i = 0; i <= ROUNDS; i++) {
        worlds[i] = (struct world){.config.providers = {PROVIDER(.name = "groq", .keys = {"k"})},
            .config.provider_count = 1};
        assert_int_equal(build(&worlds[i]), ERR_OK);
    }
    assert_int_equal(catalogues_new(MOVE(worlds[0].catalogue), &catalogues), ERR_OK);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_again_and_again, catalogues), 0);
    for (size_t i = 1; i <= ROUNDS; i++)
        catalogues_set(catalogues, MOVE(worlds[i].catalogue));
    for (size_t i = 0; i < THREADS; i++) {
        void *all_seen;
        assert_int_equal(pthread_join(threads[i], &all_seen), 0);
        assert_non_null(all_seen);
    }
    catalogues_free(catalogues);
    for (size_t i = 0; i <= ROUNDS; i++)
        finish(&worlds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configured_providers_come_first),
        cmocka_unit_test(a_key_in_the_environment_is_enough),
        cmocka_unit_test(unknown_models_may_be_refused),
        cmocka_unit_test(wrong_providers_are_refused_by_name),
        cmocka_unit_test(each_kind_of_credential_is_sent),
        cmocka_unit_test(native_paths_lead_to_their_provider),
        cmocka_unit_test(threads_look_while_another_sets),
        cmocka_unit_test(an_old_snapshot_stays_with_those_who_hold_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
