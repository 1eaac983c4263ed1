/* cli — arguments, help texts (golden files in tests/server/cli/help), exit codes: each command is
 * run as the program runs it, with its output captured. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/cli/cli.h"

enum { WORDS_MAX = 12, GOLDEN_BYTES_MAX = 16 * 1024 };

/* One run of a command line. */
struct run {
    char *out, *err; /* what was printed; freed by finish */
    size_t out_size, err_size;
    int code;
};

static char *no_environment[] = {NULL};

static struct run run(const char *line, char **environment)
{
    struct run run = {0};
    char *words[WORDS_MAX];
    int count = 0;
    CLEANUP(cleanup_free) char *copy = strdup(line);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    struct cli cli = {.out = open_memstream(&run.out, &run.out_size),
        .err = open_memstream(&run.err, &run.err_size),
        .environment = environment};
    assert_true(cli.out && cli.err);
    run.code = cli_run(&cli, count, words);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return run;
}

static void finish(struct run *run)
{
    free(run->out);
    free(run->err);
}

/* The command line is refused with that code, and says that sentence on its error output alone. */
static void refused(const char *line, int code, const char *sentence)
{
    struct run got = run(line, no_environment);
    if (!strstr(got.err, sentence) || got.code != code)
        fail_msg("%s: wanted %d, %s\ngot %d, %s", line, code, sentence, got.code, got.err);
    assert_int_equal(got.out_size, 0);
    finish(&got);
}

static void arguments_that_will_not_do_are_usage_errors(void **state)
{
    (void)state;
    refused("sing", CLI_USAGE, "no command `sing`");
    refused("ls --lime 3", CLI_USAGE, "unknown flag --lime; see `tokenlog ls --help`");
    refused("ls -l", CLI_USAGE, "unknown flag -l");
    refused("ls --", CLI_USAGE, "unknown flag --");
    refused("ls --limit", CLI_USAGE, "--limit needs a value: N");
    refused("ls --limit many", CLI_USAGE, "`many` is no whole number from 0 to 500");
    refused("ls --limit 501", CLI_USAGE, "no whole number from 0 to 500");
    refused("ls --kind run", CLI_USAGE, "`run` is neither generation nor appended");
    refused("ls --limit=", CLI_USAGE, "no whole number");
    refused("ls --json=yes", CLI_USAGE, "--json takes no value");
    refused("ls --state running", CLI_USAGE, "there is no state `running`");
    refused("ls extra", CLI_USAGE, "`extra` is too much; usage: tokenlog ls [flags]");
    refused("show", CLI_USAGE, "something is missing; usage: tokenlog show ID");
    refused("show x", CLI_USAGE, "`x` is no stream ID");
    refused("show a b", CLI_USAGE, "`b` is too much");
    refused("tail", CLI_USAGE, "something is missing");
    refused("tail x --raw --text", CLI_USAGE, "is no stream ID");
    refused("tail 019b0000-0000-7000-8000-000000000000 --raw --text", CLI_USAGE, "exclude");
    refused("tail 019b0000-0000-7000-8000-000000000000 --from -1", CLI_USAGE, "no whole number");
    refused("replay", CLI_USAGE, "something is missing");
    refused("replay 019b0000-0000-7000-8000-000000000000 --speed x", CLI_USAGE, "no factor");
    refused("replay 019b0000-0000-7000-8000-000000000000 --text --sse", CLI_USAGE, "exclude");
    refused("export", CLI_USAGE, "--out FILE is missing");
    refused("export --out /tmp/x --format csv", CLI_USAGE, "neither jsonl nor msgpack");
    refused("export --out /tmp/x --metadata team", CLI_USAGE, "NAME=VALUE");
    refused("export --out /tmp/x --from yesterday", CLI_USAGE, "--from takes a time");
    refused("import", CLI_USAGE, "something is missing");
    refused("import x --server http://x", CLI_USAGE, "unknown flag --server");
    refused("stop", CLI_USAGE, "something is missing");
    refused("rm", CLI_USAGE, "something is missing");
    refused("verify --server http://x", CLI_USAGE, "unknown flag --server");
    refused("backup", CLI_USAGE, "something is missing");
    refused("backup x --key k", CLI_USAGE, "unknown flag --key");
    refused("restore", CLI_USAGE, "something is missing");
    refused("compact x", CLI_USAGE, "`x` is too much");
    refused("key", CLI_USAGE, "something is missing");
    refused("key new", CLI_USAGE, "something is missing");
    refused("key old x --data /tmp", CLI_USAGE, "`key old` is unknown");
    refused("ls --server gopher://x", CLI_USAGE, "is no URL");
}

static void what_cannot_be_reached_is_told(void **state)
{
    (void)state;
    refused("ls --data /no/such/folder", CLI_UNREACHABLE, "is no data directory");
    refused("verify --data /no/such/folder", CLI_UNREACHABLE, "is no data directory");
    refused("backup /tmp/x --data /no/such/folder", CLI_UNREACHABLE, "is no data directory");
    refused("reload --data /no/such/folder", CLI_UNREACHABLE, "no server runs on");
    refused("compact --data /no/such/folder", CLI_UNREACHABLE, "is no data directory");
    refused("import /no/such/export --data /no/such/folder", CLI_FAILED, "has no manifest");
    refused("export --verify /no/such/export", CLI_FAILED, "has no manifest");
    refused("restore /no/such/backup --data /no/such/folder", CLI_FAILED, "is no backup");
    refused("ls --server http://127.0.0.1:1", CLI_UNREACHABLE, "http://127.0.0.1:1: ");
    refused("rm 019b0000-0000-7000-8000-000000000000 --server http://127.0.0.1:1/", CLI_UNREACHABLE,
        "http://127.0.0.1:1: ");
    char *environment[] = {(char *)"TOKENLOG_SERVER=http://127.0.0.1:1", NULL};
    struct run got = run("ls", environment);
    assert_int_equal(got.code, CLI_UNREACHABLE);
    finish(&got);
}

/* The file as text; the buffer is static. */
static const char *golden(const char *name)
{
    static char text[GOLDEN_BYTES_MAX];
    char path[128];
    (void)snprintf(path, sizeof path, "server/cli/help/%s.txt", name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("no file tests/%s", path);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

static void each_help_is_its_golden_text(void **state)
{
    (void)state;
    static const char *const names[] = {"ls", "show", "tail", "replay", "export", "import", "stop",
        "rm", "verify", "backup", "restore", "compact", "reload", "key"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "%s --help", names[i]);
        struct run got = run(line, no_environment);
        assert_int_equal(got.code, CLI_OK);
        assert_int_equal(got.err_size, 0);
        assert_string_equal(got.out, golden(names[i]));
        for (const char *at = got.out; *at; at += strcspn(at, "\n") + 1)
            assert_true(strcspn(at, "\n") <= 100);
        finish(&got);
    }
}

static void the_table_of_commands_is_its_golden_text(void **state)
{
    (void)state;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cli_print_commands(out);
    (void)fclose(out);
    assert_string_equal(text, golden("help"));
    free(text);
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    (void)state;
    char *words[] = {(char *)"ls", (char *)"--help"};
    char *text;
    size_t size;
    struct cli cli = {.out = fopen("/dev/full", "w"),
        .err = open_memstream(&text, &size),
        .environment = no_environment};
    assert_int_equal(cli_run(&cli, 2, words), CLI_FAILED);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    assert_non_null(strstr(text, "No space left"));
    free(text);
}

static void a_pipe_that_is_gone_is_none(void **state)
{
    (void)state;
    int ends[2];
    char *words[] = {(char *)"ls", (char *)"--help"};
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[0]);
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    struct cli cli = {.out = fdopen(ends[1], "w"), .err = stderr, .environment = no_environment};
    assert_int_equal(cli_run(&cli, 2, words), CLI_OK);
    (void)fclose(cli.out);
}

static void a_key_is_printed_once_and_kept_as_a_hash(void **state)
{
    (void)state;
    char folder[] = "/tmp/tokenlog-key-XXXXXX", path[64], line[128], text[1024];
    struct stat file;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(line, sizeof line, "key new search --data %s/data", folder);
    struct run got = run(line, no_environment);
    assert_int_equal(got.code, CLI_OK);
    assert_int_equal(got.out_size, 45);
    assert_memory_equal(got.out, "tlk_", 4);
    assert_non_null(strstr(got.err, "next start"));
    (void)snprintf(path, sizeof path, "%s/data", folder);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0700);
    (void)snprintf(path, sizeof path, "%s/data/keys", folder);
    FILE *keys = fopen(path, "r");
    size_t size = fread(text, 1, sizeof text - 1, keys);
    text[size] = '\0';
    (void)fclose(keys);
    got.out[got.out_size - 1] = '\0';
    assert_null(strstr(text, got.out));
    assert_non_null(strstr(text, " search # "));
    finish(&got);
    (void)snprintf(line, sizeof line, "key new a/b --data %s/data", folder);
    refused(line, CLI_USAGE, "a project's name is");
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/data", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_that_will_not_do_are_usage_errors),
        cmocka_unit_test(what_cannot_be_reached_is_told),
        cmocka_unit_test(each_help_is_its_golden_text),
        cmocka_unit_test(the_table_of_commands_is_its_golden_text),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(a_pipe_that_is_gone_is_none),
        cmocka_unit_test(a_key_is_printed_once_and_kept_as_a_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
