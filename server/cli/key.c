/* key — `key new PROJECT`: a key is made, its hash is kept, and the key itself is shown this
 * once. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/offline.h"
#include "server/cli/source.h"
#include "server/policy/auth.h"

/* A server that runs on the directory reads its keys anew on SIGHUP. True: it was told. */
static bool tell_server(const char *data)
{
    int pid = offline_holder(data);
    return pid > 0 && kill(pid, SIGHUP) == 0;
}

static int print_key(
    const struct cli *cli, const char *project, const char *key, const char *path, bool is_told)
{
    if (!cli->is_json) {
        (void)fprintf(cli->out, "%s\n", key);
        (void)fprintf(cli->err,
            "A key of project %s. It is shown this once: %s keeps only its hash.\n%s\n", project,
            path,
            is_told ? "The running server takes it from now on."
                    : "A server takes it from its next start, or on SIGHUP.");
        return CLI_OK;
    }
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, CLI_TEXT_BYTES_MAX);
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "project");
    json_string(&writer, slice_text(project));
    json_key(&writer, "key");
    json_string(&writer, slice_text(key));
    json_key(&writer, "server_told");
    json_boolean(&writer, is_told);
    json_close(&writer, '}');
    return writer.err == ERR_OK ? cli_print_json(cli, &json) : cli_fault(cli, writer.err);
}

static int make_key(const struct cli *cli, const char *project, const char *path)
{
    uint8_t random[KEY_RANDOM_BYTES];
    char key[KEY_TEXT_BYTES];
    CLEANUP(buf_deinit) struct buf why;
    buf_init(&why, CLI_TEXT_BYTES_MAX);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return cli_fail(cli, CLI_FAILED, "getrandom: %s", strerror(errno));
    key_make(random, key);
    enum err err = keys_append(path, project, key, &why);
    if (err != ERR_OK) {
        struct slice sentence = slice_sub(buf_slice(&why), 0, why.size ? why.size - 1 : 0);
        return cli_fail(
            cli, err == ERR_INVALID ? CLI_USAGE : CLI_FAILED, "%.*s", SLICE_PRINT(sentence));
    }
    return print_key(cli, project, key, path, tell_server(source_data(cli)));
}

int command_key(struct cli *cli, int argc, char **argv)
{
    const char *keys_file = cli_environment(cli, "TOKENLOG_KEYS_FILE");
    const struct cli_option options[] = {
        {.name = "keys-file",
            .value_name = "FILE",
            .help = "where keys are kept; else $TOKENLOG_KEYS_FILE, else DIR/keys",
            .text = &keys_file},
    };
    const struct cli_usage usage = {
        .synopsis = "key new PROJECT [flags]",
        .description =
            "Make an API key of a project, and print it: it is kept as a hash, so this is "
            "the only time.\nA server that runs on the data directory is told to take "
            "it. To take a key back, remove its\nline from the keys file and send the "
            "server SIGHUP.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 2,
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    char path[PATH_MAX];
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    if (strcmp(positionals[0], "new") != 0)
        return cli_fail(
            cli, CLI_USAGE, "`key %s` is unknown; usage: tokenlog key new PROJECT", positionals[0]);
    int size = keys_file ? snprintf(path, sizeof path, "%s", keys_file)
                         : snprintf(path, sizeof path, "%s/keys", source_data(cli));
    if (size < 0 || size >= (int)sizeof path)
        return cli_fail(cli, CLI_USAGE, "the path of the keys file is too long");
    if (!keys_file && mkdir(source_data(cli), 0700) != 0 && errno != EEXIST)
        return cli_fail(cli, CLI_FAILED, "mkdir %s: %s", source_data(cli), strerror(errno));
    return make_key(cli, positionals[1], path);
}
