/* cloudflare_path — what each path is taken for, run IDs there and back, and where providers' calls are. */
#include "server/api/cloudflare_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ACCOUNT "0123456789abcdef0123456789abcdef"

static void assert_slice(struct slice got, const char *expected)
{
    if (!slice_equal(got, slice_text(expected)))
        fail_msg("got `%.*s`, expected `%s`", SLICE_PRINT(got), expected);
}

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        enum cloudflare_kind kind;
        const char *account, *gateway, *provider, *run, *rest;
    } cases[] = {
        {"/ai-gateway/run", CLOUDFLARE_RUN, "", "", "", "", ""},
        {"/run", CLOUDFLARE_RUN, "", "", "", "", ""},
        {"/ai-gateway/universal/run/gw", CLOUDFLARE_UNIVERSAL, "", "gw", "", "", ""},
        {"/ai-gateway/gateways/gw/run/ab/resume", CLOUDFLARE_RESUME, "", "gw", "", "ab", ""},
        {"/client/v4/accounts/a/ai-gateway/gateways/gw/run/ab/resume", CLOUDFLARE_RESUME, "a", "gw",
            "", "ab", ""},
        {"/ai/run", CLOUDFLARE_RUN, "", "", "", "", ""},
        {"/ai/run/@cf/meta/llama", CLOUDFLARE_RUN, "", "", "", "", "@cf/meta/llama"},
        {"/client/v4/accounts/a/ai/run", CLOUDFLARE_RUN, "a", "", "", "", ""},
        {"/client/v4/accounts/a/ai/v1/chat/completions", CLOUDFLARE_COMPAT, "a", "", "", "",
            "chat/completions"},
        {"/ai/v1/messages", CLOUDFLARE_COMPAT, "", "", "", "", "messages"},
        {"/v1/a/gw", CLOUDFLARE_UNIVERSAL, "a", "gw", "", "", ""},
        {"/v1/a/gw/", CLOUDFLARE_UNIVERSAL, "a", "gw", "", "", ""},
        {"/v1/a/gw/run", CLOUDFLARE_RUN, "a", "gw", "", "", ""},
        {"/v1/a/gw/compat/chat/completions", CLOUDFLARE_COMPAT, "a", "gw", "", "",
            "chat/completions"},
        {"/v1/a/gw/openai/chat/completions", CLOUDFLARE_PROVIDER, "a", "gw", "openai", "",
            "chat/completions"},
        {"/v1/a/gw/openai/", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/v1/a/gw/openai", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/v1/a", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/v1//gw", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/ai-gateway/universal/run/", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/ai-gateway/gateways/gw/run//resume", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/ai-gateway/gateways/gw/run/ab/resume/", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/ai/v1/", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/client/v4/accounts/a", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/client/v4/accounts/a/v1/b/gw", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"/", CLOUDFLARE_NONE, "", "", "", "", ""},
        {"*", CLOUDFLARE_NONE, "", "", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cloudflare_path got = cloudflare_path_read(slice_text(cases[i].path));
        if (got.kind != cases[i].kind)
            fail_msg("%s is %d", cases[i].path, got.kind);
        assert_slice(got.account, cases[i].account);
        assert_slice(got.gateway, cases[i].gateway);
        assert_slice(got.provider, cases[i].provider);
        assert_slice(got.run, cases[i].run);
        assert_slice(got.rest, cases[i].rest);
    }
}

static void test_certain(void **state)
{
    static const struct {
        const char *path;
        bool is_certain;
    } cases[] = {{"/ai-gateway/run", true}, {"/v1/" ACCOUNT "/gw", true}, {"/v1/files/x", false},
        {"/v1/" ACCOUNT "0/gw", false}, {"/v1/files", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cloudflare_path path = cloudflare_path_read(slice_text(cases[i].path));
        assert_int_equal(cloudflare_path_is_certain(&path), cases[i].is_certain);
    }
}

static void test_runs(void **state)
{
    struct id id = id_make(1234567890123, (const uint8_t[ID_RANDOM_BYTES]){1, 2, 3}), got;
    char text[CLOUDFLARE_RUN_BYTES], broken[CLOUDFLARE_RUN_BYTES];
    (void)state;
    cloudflare_run_format(&id, text);
    assert_int_equal(strlen(text), 64);
    assert_int_equal(cloudflare_run_parse(slice_text(text), &got), ERR_OK);
    assert_true(id_equal(&got, &id));
    for (size_t i = 0; i < 64; i++) {
        memcpy(broken, text, sizeof broken);
        broken[i] = broken[i] == '0' ? '1' : '0';
        assert_int_equal(cloudflare_run_parse(slice_text(broken), &got), ERR_INVALID);
        assert_int_equal(
            cloudflare_run_parse(slice_sub(slice_text(text), 0, i), &got), ERR_INVALID);
    }
    assert_int_equal(
        cloudflare_run_parse(
            SLICE("0000000000000000000000000000000000000000000000000000000000000000"), &got),
        ERR_INVALID);
}

static void test_native_paths(void **state)
{
    static const struct {
        const char *provider, *account, *rest, *expected;
    } cases[] = {
        {"openai", "a", "chat/completions", "/v1/chat/completions"},
        {"openai", "a", "v1/chat/completions", "/v1/chat/completions"},
        {"openai", "", "/responses", "/v1/responses"},
        {"anthropic", "a", "v1/messages", "/v1/messages"},
        {"groq", "a", "chat/completions", "/openai/v1/chat/completions"},
        {"openrouter", "a", "v1/chat/completions", "/api/v1/chat/completions"},
        {"azure-openai", "a", "resource/gpt/chat/completions?api-version=1",
            "/openai/deployments/gpt/chat/completions?api-version=1"},
        {"aws-bedrock", "a", "bedrock-runtime/us-east-1/model/m/converse", "/model/m/converse"},
        {"aws-bedrock", "a", "bedrock-runtime", "/"},
        {"workers-ai", "a", "@cf/meta/llama", "/client/v4/accounts/a/ai/run/@cf/meta/llama"},
        {"workers-ai", "a", "v1/chat/completions", "/client/v4/accounts/a/ai/v1/chat/completions"},
        {"", "a", "any/thing?x=1", "/any/thing?x=1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        buf_init(&out, 256);
        assert_int_equal(cloudflare_native_path(slice_text(cases[i].provider),
                             slice_text(cases[i].account), slice_text(cases[i].rest), &out),
            ERR_OK);
        assert_slice(buf_slice(&out), cases[i].expected);
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_certain),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_native_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
