/* catalogue_file — the file that ships, looked over entry by entry; and what is refused of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/route/catalogue_file.h"

static enum err read_text(const char *json, struct catalogue_file *out, struct buf *why)
{
    buf_init(why, CONFIG_WHY_BYTES_MAX);
    enum err err = catalogue_file_read(slice_text(json), "FILE", out, why);
    assert_int_equal(buf_append_byte(why, 0), ERR_OK);
    return err;
}

static void refused(const char *json, const char *sentence)
{
    struct catalogue_file file;
    struct buf why;
    assert_int_equal(read_text(json, &file, &why), ERR_INVALID);
    if (!strstr((const char *)why.data, sentence))
        fail_msg("%s\nwanted %s\ngot %s", json, sentence, (const char *)why.data);
    assert_non_null(strstr((const char *)why.data, "FILE: "));
    buf_deinit(&why);
    catalogue_file_deinit(&file);
}

/* ── what ships ─────────────────────────────────────────────────────────────────────────────── */

static struct catalogue_file shipped;

static int read_shipped(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, CONFIG_WHY_BYTES_MAX);
    enum err err = catalogue_file_read(catalogue_built_in(), "built-in", &shipped, &why);
    if (err)
        fail_msg("%.*s", SLICE_PRINT(buf_slice(&why)));
    buf_deinit(&why);
    return 0;
}

static int free_shipped(void **state)
{
    (void)state;
    catalogue_file_deinit(&shipped);
    return 0;
}

static const struct model *find(const char *id)
{
    for (size_t i = 0; i < shipped.model_count; i++)
        if (strcmp(shipped.models[i].id, id) == 0)
            return &shipped.models[i];
    fail_msg("no %s", id);
    return NULL;
}

static void there_are_models_enough_of_providers_enough(void **state)
{
    (void)state;
    size_t with_models = 0;
    for (size_t i = 0; i < shipped.provider_count; i++) {
        bool has_models = false;
        for (size_t j = 0; j < shipped.model_count; j++)
            has_models |= shipped.models[j].provider == &shipped.providers[i];
        with_models += has_models;
    }
    assert_true(shipped.model_count >= 100);
    assert_true(with_models >= 20);
    static const char *const wanted[] = {"openai", "anthropic", "google-ai-studio",
        "google-vertex-ai", "azure-openai", "aws-bedrock", "mistral", "cohere", "groq", "deepseek",
        "xai", "perplexity", "together", "fireworks", "cerebras", "openrouter", "huggingface",
        "replicate", "alibaba", "minimax", "moonshot", "workers-ai", "elevenlabs", "deepgram",
        "assemblyai", "fal", "vllm", "llama-cpp", "ollama", "tgi", "cog"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bool is_there = false;
        for (size_t j = 0; j < shipped.provider_count; j++)
            is_there |= strcmp(shipped.providers[j].name, wanted[i]) == 0;
        if (!is_there)
            fail_msg("no provider %s", wanted[i]);
    }
}

static void figures_are_sane_and_have_their_source(void **state)
{
    (void)state;
    for (size_t i = 0; i < shipped.model_count; i++) {
        const struct model *model = &shipped.models[i];
        bool is_sane =
            model->sources[0] && strlen(model->date) == 10 && model->capabilities &&
            model->context_tokens >= 0 && model->context_tokens <= 20000000 &&
            model->output_tokens >= 0 &&
            (model->context_tokens == 0 || model->output_tokens <= model->context_tokens);
        for (size_t kind = 0; kind < PRICE_COUNT; kind++)
            is_sane &= model->prices[kind] == PRICE_UNKNOWN || model->prices[kind] > 0;
        /* A million tokens for more than 1,000 dollars is a slip of the decimal point. */
        for (size_t kind = PRICE_input; kind <= PRICE_reasoning; kind++)
            is_sane &= model->prices[kind] <= 1000 * 1000000000ll;
        is_sane &= model->prices[PRICE_cached_input] <= model->prices[PRICE_input] ||
                   model->prices[PRICE_input] == PRICE_UNKNOWN;
        if (!is_sane)
            fail_msg("%s", model->id);
    }
}

static void some_figures_are_as_published(void **state)
{
    (void)state;
    const struct model *mini = find("openai/gpt-5-mini");
    assert_int_equal(mini->prices[PRICE_input], 250000000);
    assert_int_equal(mini->prices[PRICE_cached_input], 25000000);
    assert_int_equal(mini->prices[PRICE_output], 2000000000);
    assert_int_equal(mini->prices[PRICE_image], PRICE_UNKNOWN);
    assert_int_equal(mini->context_tokens, 400000);
    assert_string_equal(mini->aliases[0], "gpt-5-mini");
    assert_true(mini->capabilities & 1u << CAPABILITY_tools);
    assert_int_equal(find("deepgram/nova-3")->prices[PRICE_audio_hour], 258000000);
    const struct model *pro = find("google-ai-studio/gemini-2.5-pro");
    assert_int_equal(pro->long_above_tokens, 200000);
    assert_int_equal(pro->long_prices[PRICE_input], 2500000000);
    assert_int_equal(pro->prices[PRICE_input], 1250000000);
}

/* ── what others may hold ───────────────────────────────────────────────────────────────────── */

#define P                                                                                          \
    "{\"name\":\"p\",\"title\":\"P\",\"base_url\":\"http://p\",\"dialect\":\"opaque\","            \
    "\"auth\":\"bearer\"}"
#define PMORE                                                                                      \
    "{\"name\":\"p\",\"title\":\"P\",\"base_url\":\"http://p\",\"dialect\":\"opaque\",\"auth\":"
#define PURL                                                                                       \
    "{\"name\":\"p\",\"title\":\"P\",\"base_url\":\"%s\",\"dialect\":\"opaque\","                  \
    "\"auth\":\"aws-sigv4\"}"
#define M(id, more)                                                                                \
    "{\"id\":\"" id "\",\"capabilities\":[\"chat\"],\"prices\":{},\"source\":[\"s\"],"             \
    "\"date\":\"2026-01-02\",\"aliases\":[]" more "}"
#define FILE_OF(providers, models)                                                                 \
    "{\"format\":1,\"sources\":{\"s\":{}},\"providers\":[" providers "],\"models\":[" models "]}"

static void a_small_file_is_read(void **state)
{
    (void)state;
    struct catalogue_file file;
    struct buf why;
    assert_int_equal(
        read_text(FILE_OF(P, M("p/a/b", ",\"context\":7,\"output\":null")), &file, &why), ERR_OK);
    assert_int_equal(file.model_count, 1);
    assert_string_equal(file.models[0].name, "a/b");
    assert_int_equal(file.models[0].context_tokens, 7);
    assert_int_equal(file.models[0].output_tokens, 0);
    assert_int_equal(file.models[0].prices[PRICE_input], PRICE_UNKNOWN);
    assert_string_equal(file.providers[0].api_prefix, "/v1");
    buf_deinit(&why);
    catalogue_file_deinit(&file);
}

static void wrong_files_are_refused_by_the_entry(void **state)
{
    (void)state;
    refused("[", "is not JSON");
    refused("{\"format\":2,\"sources\":{},\"providers\":[],\"models\":[]}", "format");
    refused(FILE_OF("", ""), "1 to 512 providers");
    refused(FILE_OF(P "," P, ""), "provider p: name: is given twice");
    refused(FILE_OF(PMORE "\"basic\"}", ""), "provider p: auth: auth is");
    static const char *const urls[] = {"p", "p.example/v1", "ftp://p", "http://", "https:///v1",
        "http://p/", "http://me@p", "http://p?a", "http://p#a", "http://p p"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char text[1024];
        assert_true(snprintf(text, sizeof text, FILE_OF(PURL, ""), urls[i]) < (int)sizeof text);
        refused(text, "provider p: base_url: is http(s)://HOST[:PORT][/PATH]");
    }
    refused(FILE_OF(PMORE "\"none\",\"x\":1}", ""), "provider p: entry: has a member");
    refused(FILE_OF(PMORE "\"none\",\"options\":{\"regin\":[]}}", ""), "options: has one that");
    refused(FILE_OF(P, M("q/a", "")), "model q/a: id: is to be provider/name");
    refused(FILE_OF(P, M("p/", "")), "id: is to be");
    refused(FILE_OF(P, M("p/a", ",\"contxt\":1")), "model p/a: entry: has a member");
    refused(FILE_OF(P, M("p/a", ",\"context\":0")), "context: is to be a whole number above 0");
    refused(FILE_OF(P, M("p/a", ",\"context\":\"7\"")), "context: is to be");
    refused(FILE_OF(P, M("p/a", "") "," M("p/a", "")), "model p/a: name: is given twice");
    refused(
        FILE_OF(P, "{\"id\":\"p/a\",\"capabilities\":[\"chet\"],\"prices\":{},\"source\":[\"s\"],"
                   "\"date\":\"2026-01-02\",\"aliases\":[]}"),
        "capabilities: has one that is not known");
    refused(FILE_OF(P,
                "{\"id\":\"p/a\",\"capabilities\":[],\"prices\":{\"input\":0},\"source\":[\"s\"],"
                "\"date\":\"2026-01-02\"}"),
        "input: is to be a whole number above 0");
    refused(FILE_OF(P,
                "{\"id\":\"p/a\",\"capabilities\":[],\"prices\":{\"inptu\":1},\"source\":[\"s\"],"
                "\"date\":\"2026-01-02\"}"),
        "prices: has a kind");
    refused(FILE_OF(P, "{\"id\":\"p/a\",\"capabilities\":[],\"prices\":{},\"source\":[\"t\"],"
                       "\"date\":\"2026-01-02\"}"),
        "source: is not among");
    refused(FILE_OF(P, "{\"id\":\"p/a\",\"capabilities\":[],\"prices\":{},\"source\":[\"s\"],"
                       "\"date\":\"2026-1-2\"}"),
        "source: figures have");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            there_are_models_enough_of_providers_enough, read_shipped, free_shipped),
        cmocka_unit_test_setup_teardown(
            figures_are_sane_and_have_their_source, read_shipped, free_shipped),
        cmocka_unit_test_setup_teardown(some_figures_are_as_published, read_shipped, free_shipped),
        cmocka_unit_test(a_small_file_is_read),
        cmocka_unit_test(wrong_files_are_refused_by_the_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
