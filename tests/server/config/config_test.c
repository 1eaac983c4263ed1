/* config — layers, the two lists, and the sentences that a wrong value is answered with. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/config/config.h"

enum { WORDS_MAX = 16, TEXT_BYTES_MAX = 256 * 1024 };

/* One load: a file's text (NULL: none), flags, variables; and what came of it. */
struct attempt {
    const char *file;
    char *flags[WORDS_MAX];
    char *variables[WORDS_MAX];
    char path[64];
    struct config *config;
    struct config_request request;
    struct buf why;
};

static void write_file(struct attempt *attempt)
{
    (void)snprintf(attempt->path, sizeof attempt->path, "/tmp/tokenlog-config-XXXXXX");
    CLEANUP(cleanup_close) int fd = mkstemp(attempt->path);
    assert_true(fd >= 0);
    size_t size = strlen(attempt->file);
    assert_int_equal(write(fd, attempt->file, size), size);
}

static enum err load(struct attempt *attempt)
{
    char *words[WORDS_MAX + 2];
    int count = 0;
    if (attempt->file) {
        write_file(attempt);
        words[count++] = (char *)"--config";
        words[count++] = attempt->path;
    }
    for (size_t i = 0; attempt->flags[i]; i++)
        words[count++] = attempt->flags[i];
    buf_init(&attempt->why, CONFIG_WHY_BYTES_MAX);
    enum err err = config_load(
        count, words, attempt->variables, &attempt->config, &attempt->request, &attempt->why);
    assert_int_equal(buf_append_byte(&attempt->why, '\0'), ERR_OK);
    if (attempt->file)
        (void)unlink(attempt->path);
    return err;
}

static void finish(struct attempt *attempt)
{
    attempt->config = config_free(attempt->config);
    buf_deinit(&attempt->why);
}

/* The load is refused, and `why` says `sentence`, at `line` of the file where that is not 0. */
static void refused(struct attempt *attempt, unsigned line, const char *sentence)
{
    assert_int_equal(load(attempt), ERR_INVALID);
    assert_null(attempt->config);
    const char *why = (const char *)attempt->why.data;
    if (!strstr(why, sentence))
        fail_msg("wanted: %s\ngot: %s", sentence, why);
    char place[96];
    (void)snprintf(place, sizeof place, "%s:%u: ", attempt->path, line);
    if (line && !strstr(why, place))
        fail_msg("wanted: %s\ngot: %s", place, why);
    finish(attempt);
}

static void refused_file(const char *text, unsigned line, const char *sentence)
{
    struct attempt attempt = {.file = text};
    refused(&attempt, line, sentence);
}

static void refused_flag(const char *flag, const char *sentence)
{
    struct attempt attempt = {.flags = {(char *)flag}};
    refused(&attempt, 0, sentence);
}

#define FLAGS(...)     .flags = {__VA_ARGS__}
#define VARIABLES(...) .variables = {__VA_ARGS__}
#define W(text)        ((char *)(text))

static void nothing_given_gives_defaults(void **state)
{
    (void)state;
    struct attempt attempt = {0};
    assert_int_equal(load(&attempt), ERR_OK);
    const struct config *config = attempt.config;
    assert_string_equal(config->listen, "127.0.0.1:8080");
    assert_int_equal(config->keep_days, 30);
    assert_true(config->ask_usage);
    assert_false(config->insecure_listen);
    assert_string_equal(config->durability, "disk");
    assert_int_equal(config->provider_count, 0);
    assert_int_equal(config->project_count, 0);
    assert_int_equal(config->disconnect.policy, DISCONNECT_CONTINUE);
    finish(&attempt);
}

static void later_layers_win(void **state)
{
    (void)state;
    const char *file = "keep_days: 1\nstreams_max: 11\nzstd_level: 3\n";
    struct attempt attempt = {.file = file,
        VARIABLES(W("TOKENLOG_STREAMS_MAX=22"), W("TOKENLOG_ZSTD_LEVEL=4"), W("TOKENLOG_LISTEN=")),
        FLAGS(W("--zstd-level"), W("5"))};
    assert_int_equal(load(&attempt), ERR_OK);
    assert_int_equal(attempt.config->keep_days, 1);
    assert_int_equal(attempt.config->streams_max, 22);
    assert_int_equal(attempt.config->zstd_level, 5);
    assert_string_equal(attempt.config->listen, "127.0.0.1:8080");
    finish(&attempt);
}

static void flags_have_two_spellings_and_the_last_wins(void **state)
{
    (void)state;
    struct attempt attempt = {FLAGS(W("--keep-days=3"), W("--keep_days"), W("4"), W("--listen"),
        W("127.0.0.1:0"), W("--insecure-listen"), W("--no-ask-usage"))};
    assert_int_equal(load(&attempt), ERR_OK);
    assert_int_equal(attempt.config->keep_days, 4);
    assert_string_equal(attempt.config->listen, "127.0.0.1:0");
    assert_true(attempt.config->insecure_listen);
    assert_false(attempt.config->ask_usage);
    finish(&attempt);
    struct attempt off = {FLAGS(W("--insecure-listen"), W("--insecure-listen=false"))};
    assert_int_equal(load(&off), ERR_OK);
    assert_false(off.config->insecure_listen);
    finish(&off);
}

static void the_environment_can_name_the_file(void **state)
{
    (void)state;
    struct attempt writer = {.file = "keep_days: 9\n"};
    write_file(&writer);
    char variable[96];
    (void)snprintf(variable, sizeof variable, "TOKENLOG_CONFIG=%s", writer.path);
    struct attempt attempt = {VARIABLES(variable)};
    assert_int_equal(load(&attempt), ERR_OK);
    assert_int_equal(attempt.config->keep_days, 9);
    finish(&attempt);
    (void)unlink(writer.path);
}

static void wrong_flags_say_what_to_do(void **state)
{
    (void)state;
    refused_flag("--keep-days=40000", "--keep-days: \"40000\" will not do; give a whole number, 0");
    refused_flag("--keep-days", "--keep-days: needs a value after it");
    refused_flag("--keepdays=1", "did you mean --keep-days?");
    refused_flag("--verbosity", "--verbosity: unknown flag (`tokenlog serve --help`");
    refused_flag("serve", "serve: is not a flag");
    refused_flag("--", "--: is not a flag");
    refused_flag("-x", "-x: is not a flag");
    refused_flag("--durability=tape", "one of disk|memory");
    refused_flag("--insecure-listen=perhaps", "true or false");
    refused_flag("--no-keep-days", "unknown flag");
    refused_flag("--config=/no/such/file.yaml", "/no/such/file.yaml: No such file");
    refused_flag("--provider=openai", "--provider: give NAME=URL");
    refused_flag("--provider=a b=http://x", "a name is 1 to 64");
    refused_flag("--provider=openai=ftp://x", "the URL must be http");
    refused_flag("--provider=openai=http://", "the URL must be http");
    refused_flag("--provider=openai=http://u:p@h", "the URL must be http");
    refused_flag("--on-disconnect=soon", "--on-disconnect: give continue, stop, or seconds");
    refused_flag("--segment-bytes=4194305", "--segment-bytes: must be a multiple of 4096");
    refused_flag("--tls-cert=c.pem", "--tls-cert: tls_cert and tls_key go together");
    refused_flag("--tls-key=k.pem", "--tls-key: tls_cert and tls_key go together");
    refused_flag("--bodies-bytes-max=1048576", "must be at least body_bytes_max");
}

static void wrong_variables_are_named(void **state)
{
    (void)state;
    struct attempt attempt = {VARIABLES(W("TOKENLOG_KEEP_DAYS=x"))};
    refused(&attempt, 0, "TOKENLOG_KEEP_DAYS: \"x\" will not do");
}

static void wrong_files_are_answered_with_the_line(void **state)
{
    (void)state;
    refused_file("listen: a:1\n\n# why\nkeep_days: 99999\n", 4,
        "keep_days: \"99999\" will not do; give a whole number, 0 to 36500 days");
    refused_file("listen: a:1\nkeep_days: many\n", 2, "keep_days: \"many\" will not do");
    refused_file("listen: a:1\nkeep_days:\n", 2, "keep_days: \"\" will not do");
    refused_file("ask_usage: maybe\n", 1, "true or false");
    refused_file("listen: a:1\n\nlisen: b:1\n", 3, "unknown key `lisen`; did you mean `listen`?");
    refused_file("listen: a:1\nlisten: b:1\n", 2, "`listen` is set twice");
    refused_file("data: x\nlisten:\n  - a\n", 3, "`listen` takes host:port");
    refused_file("listen: {a: b}\n", 1, "`listen` takes host:port");
    refused_file("- a\n", 0, "Expecting MAPPING");
    refused_file("listen: a\n listen: b\n", 0, "not YAML");
    refused_file("listen: \"a\n", 0, "not YAML");
    refused_file("listen: &x a\ndata: *x\n", 2, "alias");
    refused_file("\"keep_days\": 99999\n", 1, "keep_days");
    refused_file("on_disconnect: soon\n", 1, "on_disconnect: give continue");
    refused_file("data: x\ntls_key: k\n", 2, "go together");
}

static void several_problems_are_told_at_once(void **state)
{
    (void)state;
    struct attempt attempt = {.file = "keep_days: x\nzstd_level: 77\n",
        VARIABLES(W("TOKENLOG_LOG_LEVEL=loud")),
        FLAGS(W("--streams-max=0"))};
    assert_int_equal(load(&attempt), ERR_INVALID);
    const char *why = (const char *)attempt.why.data;
    assert_non_null(strstr(why, ":1: keep_days"));
    assert_non_null(strstr(why, ":2: zstd_level"));
    assert_non_null(strstr(why, "TOKENLOG_LOG_LEVEL: "));
    assert_non_null(strstr(why, "--streams-max: "));
    finish(&attempt);
}

static void empty_files_are_fine(void **state)
{
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "---\n"};
    for (size_t i = 0; i < 2; i++) {
        struct attempt attempt = {.file = files[i]};
        assert_int_equal(load(&attempt), ERR_OK);
        finish(&attempt);
    }
}

static const char *const providers_file = "providers:\n"
                                          "  - name: openai\n"
                                          "    base_url: https://api.openai.com/v1/\n"
                                          "  - name: my-anthropic.eu\n"
                                          "    base_url: http://[::1]:9/base\n"
                                          "    ca_file: /ca.pem\n"
                                          "  - name: local\n"
                                          "    base_url: https://eu.anthropic.com\n"
                                          "    auth: none\n"
                                          "    api_key_env: SPECIAL\n";

static void providers_come_from_file_and_flags(void **state)
{
    (void)state;
    struct attempt attempt = {.file = providers_file,
        FLAGS(W("--provider"), W("openai=http://127.0.0.1:1/v1"), W("--provider=new=http://v1")),
        VARIABLES(W("OPENAI_API_KEY=sk-1"), W("MY_ANTHROPIC_EU_API_KEY=sk-2"), W("NEW_API_KEY="),
            W("SPECIAL=sk-3"))};
    assert_int_equal(load(&attempt), ERR_OK);
    const struct provider_config *providers = attempt.config->providers;
    assert_int_equal(attempt.config->provider_count, 4);
    assert_string_equal(providers[0].name, "openai");
    assert_string_equal(providers[0].base_url, "http://127.0.0.1:1");
    assert_string_equal(providers[0].keys[0], "sk-1");
    assert_null(providers[0].auth);
    assert_null(providers[0].ca_file);
    assert_string_equal(providers[1].base_url, "http://[::1]:9/base");
    assert_string_equal(providers[1].api_key_env, "MY_ANTHROPIC_EU_API_KEY");
    assert_string_equal(providers[1].keys[0], "sk-2");
    assert_false(providers[1].has_key_source);
    assert_string_equal(providers[1].ca_file, "/ca.pem");
    assert_string_equal(providers[2].auth, "none");
    assert_string_equal(providers[2].keys[0], "sk-3");
    assert_true(providers[2].has_key_source);
    assert_string_equal(providers[3].base_url, "http://v1");
    assert_string_equal(providers[3].where, "--provider");
    assert_null(providers[3].keys[0]);
    finish(&attempt);
}

static void a_provider_may_be_told_in_full(void **state)
{
    (void)state;
    struct attempt attempt = {.file = "providers:\n"
                                      "  - name: groq\n"
                                      "    key: gsk\n"
                                      "  - name: gpu\n"
                                      "    type: vllm\n"
                                      "    base_url: http://gpu:8000\n"
                                      "    api_prefix: \"\"\n"
                                      "    dialect: openai_chat\n"
                                      "    dialects: [openai_chat, anthropic]\n"
                                      "    native: gpu-7\n"
                                      "    auth: \"Authorization: Token {key}\"\n"
                                      "    keys: [$ONE, two, $NONE]\n"
                                      "    headers: [\"x-team: red\", \"X-Auth: s3cret\"]\n"
                                      "    options: {region: eu-west-1, account: a7}\n"
                                      "    key_file: /account.json\n"
                                      "    resume: background\n",
        VARIABLES(W("ONE=sk-one"), W("GPU_API_KEY=not this one"))};
    assert_int_equal(load(&attempt), ERR_OK);
    const struct provider_config *providers = attempt.config->providers;
    assert_null(providers[0].base_url);
    assert_null(providers[0].type);
    assert_null(providers[0].api_prefix);
    assert_string_equal(providers[0].keys[0], "gsk");
    assert_null(providers[0].options[OPTION_region]);
    assert_null(providers[0].headers[0]);
    assert_string_equal(providers[1].type, "vllm");
    assert_string_equal(providers[1].api_prefix, "");
    assert_string_equal(providers[1].native, "gpu-7");
    assert_string_equal(providers[1].auth, "Authorization: Token {key}");
    assert_string_equal(providers[1].keys[0], "sk-one");
    assert_string_equal(providers[1].keys[1], "two");
    assert_null(providers[1].keys[2]);
    assert_string_equal(providers[1].headers[0], "x-team: red");
    assert_string_equal(providers[1].options[OPTION_region], "eu-west-1");
    assert_string_equal(providers[1].options[OPTION_account], "a7");
    assert_null(providers[1].options[OPTION_project]);
    assert_string_equal(providers[1].key_file, "/account.json");
    assert_null(providers[0].resume);
    assert_string_equal(providers[1].resume, "background");
    assert_non_null(strstr(providers[1].where, ":4"));

    /* Printed, it reads back; but for its keys, which are not shown. */
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(config_print(attempt.config, &text), ERR_OK);
    assert_int_equal(buf_append_byte(&text, '\0'), ERR_OK);
    assert_null(strstr((const char *)text.data, "sk-one"));
    assert_null(strstr((const char *)text.data, "gsk"));
    assert_null(strstr((const char *)text.data, "s3cret"));
    struct attempt again = {.file = (const char *)text.data};
    assert_int_equal(load(&again), ERR_OK);
    const struct provider_config *read = &again.config->providers[1];
    assert_string_equal(read->type, "vllm");
    assert_string_equal(read->api_prefix, "");
    assert_string_equal(read->dialect, "openai_chat");
    assert_string_equal(read->dialects[0], "openai_chat");
    assert_string_equal(read->dialects[1], "anthropic");
    assert_null(read->dialects[2]);
    assert_string_equal(read->native, "gpu-7");
    assert_string_equal(read->auth, "Authorization: Token {key}");
    assert_string_equal(read->headers[0], "x-team: red");
    assert_null(read->headers[1]);
    assert_string_equal(read->options[OPTION_region], "eu-west-1");
    assert_string_equal(read->options[OPTION_account], "a7");
    assert_string_equal(read->key_file, "/account.json");
    assert_string_equal(read->resume, "background");
    assert_null(again.config->providers[0].base_url);
    finish(&again);
    finish(&attempt);
}

static void wrong_providers_are_answered_with_the_line(void **state)
{
    (void)state;
#define ONE "providers:\n  - name: a\n    base_url: http://x\n"
    refused_file("providers:\n  - name: a\n    base_url: x\n", 2, "provider `a`: the URL");
    refused_file(ONE "  - name: a\n    base_url: http://y\n", 4, "provider `a`: is there twice");
    refused_file(ONE "    auth: basic\n", 2, "auth is bearer");
    refused_file(ONE "    auth: \"a b: {key}\"\n", 2, "auth is bearer");
    refused_file(ONE "    auth: \"?a&b={key}\"\n", 2, "auth is bearer");
    refused_file(ONE "    api_prefix: v1\n", 2, "api_prefix is a path");
    refused_file(ONE "    api_prefix: /v1/\n", 2, "api_prefix is a path");
    refused_file(ONE "    native: a/b\n", 2, "native is one segment");
    refused_file(ONE "    type: a/b\n", 2, "type is the name");
    refused_file(ONE "    resume: always\n", 2, "resume is `background`");
    refused_file(ONE "    headers: [\"no colon\"]\n", 2, "a header is");
    refused_file(ONE "    key: a\n    keys: [b]\n", 2, "give key or keys");
    refused_file(ONE "    key: \"a\\nb\"\n", 2, "no header can hold");
    refused_file(
        ONE "    options: {regin: x}\n", 4, "unknown key `regin`; under `options` there may be ");
    refused_file(ONE "    keey: secret\n", 4,
        "unknown key `keey`; under `providers` there may be name, type, base_url");
    refused_file("projects:\n  - name: red\n    keep: 3\n", 3,
        "unknown key `keep`; under `projects` there may be name, keys, on_disconnect");
    refused_file("providers: none\n", 1, "SEQUENCE");
#undef ONE
}

static void what_needs_a_restart_is_named(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf text;
    struct attempt first = {.file = "keep_days: 5\n"};
    struct attempt second = {
        .file = "keep_days: 6\nlisten: 127.0.0.1:9\ncatalogue: /x\nunknown_models: refuse\n"};
    buf_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(load(&first), ERR_OK);
    assert_int_equal(load(&second), ERR_OK);
    assert_int_equal(config_changes(first.config, first.config, &text), ERR_OK);
    assert_int_equal(text.size, 0);
    assert_int_equal(config_changes(first.config, second.config, &text), ERR_OK);
    assert_true(slice_equal(buf_slice(&text), SLICE("listen, keep_days")));
    finish(&first);
    finish(&second);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void projects_inherit_and_override(void **state)
{
    (void)state;
    struct attempt attempt = {.file = "projects:\n"
                                      "  - name: search\n"
                                      "    keys: [\"" HASH "\"]\n"
                                      "    on_disconnect: 90s\n"
                                      "    keep_days: 0\n"
                                      "  - name: plain\n",
        FLAGS(W("--keep-days=2"), W("--on-disconnect=stop"))};
    assert_int_equal(load(&attempt), ERR_OK);
    const struct project_config *projects = attempt.config->projects;
    assert_int_equal(attempt.config->project_count, 2);
    assert_int_equal(projects[0].key_count, 1);
    assert_int_equal(projects[0].key_hashes[0][1], 0x23);
    assert_int_equal(projects[0].on_disconnect.policy, DISCONNECT_AFTER);
    assert_int_equal(projects[0].on_disconnect.after_s, 90);
    assert_int_equal(projects[0].keep_s, 0);
    assert_int_equal(projects[1].key_count, 0);
    assert_int_equal(projects[1].on_disconnect.policy, DISCONNECT_STOP);
    assert_int_equal(projects[1].keep_s, 2 * 24 * 3600);
    finish(&attempt);
}

static void wrong_projects_are_answered_with_the_line(void **state)
{
    (void)state;
    refused_file("projects:\n  - name: a/b\n", 2, "a name is 1 to 64");
    refused_file("projects:\n  - name: a\n  - name: a\n", 3, "is there twice");
    refused_file("projects:\n  - name: a\n    keys: [tlk_plain]\n", 2, "as its SHA-256");
    refused_file("projects:\n  - name: a\n    keep_days: -1\n", 2, "keep_days is 0 to 36500");
    refused_file("projects:\n  - name: a\n    on_disconnect: x\n", 2, "on_disconnect is continue");
}

static void disconnect_words_and_seconds(void **state)
{
    (void)state;
    struct disconnect disconnect;
    assert_int_equal(disconnect_parse(SLICE("continue"), &disconnect), ERR_OK);
    assert_int_equal(disconnect_parse(SLICE("0"), &disconnect), ERR_OK);
    assert_int_equal(disconnect.policy, DISCONNECT_AFTER);
    assert_int_equal(disconnect_parse(SLICE("2592000"), &disconnect), ERR_OK);
    assert_int_equal(disconnect_parse(SLICE("2592001"), &disconnect), ERR_INVALID);
    assert_int_equal(disconnect_parse(SLICE("s"), &disconnect), ERR_INVALID);
    assert_int_equal(disconnect_parse(SLICE_NONE, &disconnect), ERR_INVALID);
    assert_int_equal(disconnect_parse(SLICE("-1"), &disconnect), ERR_INVALID);
}

/* What is printed names each origin, keeps secrets, and reads back as the same configuration. */
static void print_tells_origins_and_reads_back(void **state)
{
    (void)state;
    struct attempt first = {.file = providers_file,
        VARIABLES(W("TOKENLOG_KEEP_DAYS=5"), W("OPENAI_API_KEY=sk-secret"),
            W("TOKENLOG_UPSTREAM_PROXY=http://user:secret@proxy:1")),
        FLAGS(W("--zstd-level=7"), W("--print-config"), W("--data=a \"b\" \\ c"))};
    assert_int_equal(load(&first), ERR_OK);
    assert_true(first.request.wants_print);
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(config_print(first.config, &text), ERR_OK);
    assert_int_equal(buf_append_byte(&text, '\0'), ERR_OK);
    const char *printed = (const char *)text.data;
    assert_null(strstr(printed, "secret"));
    assert_null(strstr(printed, "test_"));
    assert_non_null(strstr(printed, "upstream_proxy: \"http://***@proxy:1\""));
    char place[96];
    (void)snprintf(place, sizeof place, "# %s:4\n", first.path);
    assert_non_null(strstr(printed, place));
    const char *keep = strstr(printed, "keep_days: 5 ");
    assert_non_null(keep);
    assert_memory_equal(strchr(keep, '#'), "# environment\n", 14);
    assert_memory_equal(strchr(strstr(printed, "zstd_level: 7"), '#'), "# flag\n", 7);
    assert_memory_equal(strchr(strstr(printed, "listen: "), '#'), "# default\n", 10);

    struct attempt second = {.file = printed};
    assert_int_equal(load(&second), ERR_OK);
    assert_int_equal(second.config->keep_days, 5);
    assert_string_equal(second.config->data, "a \"b\" \\ c");
    assert_int_equal(second.config->provider_count, 3);
    assert_string_equal(second.config->providers[1].ca_file, "/ca.pem");
    finish(&second);
    finish(&first);
}

static void help_lists_every_parameter_within_the_columns(void **state)
{
    (void)state;
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(config_help(&text), ERR_OK);
    assert_int_equal(buf_append_byte(&text, '\0'), ERR_OK);
    const char *help = (const char *)text.data;
    assert_non_null(strstr(help, "  --listen host:port"));
    assert_non_null(strstr(help, "  --[no-]insecure-listen"));
    assert_non_null(strstr(help, "[30; 0 to 36500]"));
    assert_null(strstr(help, "test-commit"));
    for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    struct attempt attempt = {FLAGS(W("--nonsense"), W("--help"))};
    assert_int_equal(load(&attempt), ERR_OK);
    assert_true(attempt.request.wants_help);
    assert_null(attempt.config);
    finish(&attempt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_gives_defaults),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(flags_have_two_spellings_and_the_last_wins),
        cmocka_unit_test(the_environment_can_name_the_file),
        cmocka_unit_test(wrong_flags_say_what_to_do),
        cmocka_unit_test(wrong_variables_are_named),
        cmocka_unit_test(wrong_files_are_answered_with_the_line),
        cmocka_unit_test(several_problems_are_told_at_once),
        cmocka_unit_test(empty_files_are_fine),
        cmocka_unit_test(providers_come_from_file_and_flags),
        cmocka_unit_test(a_provider_may_be_told_in_full),
        cmocka_unit_test(wrong_providers_are_answered_with_the_line),
        cmocka_unit_test(what_needs_a_restart_is_named),
        cmocka_unit_test(projects_inherit_and_override),
        cmocka_unit_test(wrong_projects_are_answered_with_the_line),
        cmocka_unit_test(disconnect_words_and_seconds),
        cmocka_unit_test(print_tells_origins_and_reads_back),
        cmocka_unit_test(help_lists_every_parameter_within_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
