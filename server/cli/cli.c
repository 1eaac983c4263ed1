/* cli — arguments in, an exit code out. */
#include "server/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

enum { HELP_COLUMN = 20 };

static const struct cli_command commands[] = {
    {"ls", "", "list recorded streams, newest first", command_ls},
    {"show", "ID", "what is known of one stream", command_show},
    {"tail", "ID", "print a stream's events, and follow it to its end", command_tail},
    {"replay", "ID", "print a recording once more, at the pace at which it came", command_replay},
    {"stop", "ID", "end a generation that is under way", command_stop},
    {"rm", "ID", "delete a recording", command_rm},
    {"verify", "", "check everything in the data directory", command_verify},
    {"audit", "head", "signed heads and proofs of what was recorded", command_audit},
    {"backup", "DIR", "copy the data directory, while its server runs or without one",
        command_backup},
    {"restore", "BACKUP", "make a data directory from a backup", command_restore},
    {"compact", "", "give the store's free pages back to the disk", command_compact},
    {"export", "", "write recordings into a file, or check such a file", command_export},
    {"import", "FILE", "take an export's recordings into a data directory", command_import},
    {"reload", "", "have a running server read its providers, catalogue and keys anew",
        command_reload},
    {"key", "new PROJECT", "make an API key", command_key},
};

void cli_print_commands(FILE *out)
{
    (void)fputs("usage: tokenlog COMMAND [flags]\n\n"
                "  serve                run the server\n",
        out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(
            out, "  %-7s %-12s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
    (void)fputs("  version              print the version\n"
                "  help [COMMAND]       print this, or a command's help\n\n"
                "Exit codes: 0 ok, 1 failed or findings, 2 usage, 3 no such stream, 4 no server\n"
                "answers or another process holds the data directory.\n",
        out);
}

/* Whether the output is a pipe that nobody reads any more: `tokenlog ls | head`. The errno of the
 * write that failed is long gone when a command ends. */
static bool is_unheard(const struct cli *cli)
{
    struct pollfd output = {.fd = fileno(cli->out), .events = POLLOUT};
    return output.fd >= 0 && poll(&output, 1, 0) == 1 && (output.revents & POLLERR);
}

static int finish(const struct cli *cli, int code)
{
    bool is_flushed = fflush(cli->out) == 0;
    const char *cause = is_flushed ? "an earlier write failed" : strerror(errno);
    if ((is_flushed && !ferror(cli->out)) || is_unheard(cli))
        return code;
    return cli_fail(cli, CLI_FAILED, "writing the output: %s", cause);
}

int cli_run(struct cli *cli, int argc, char **argv)
{
    ASSERT(argc >= 1);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, argv[0]) != 0)
            continue;
        cli->command = commands[i].name;
        return finish(cli, commands[i].run(cli, argc - 1, argv + 1));
    }
    (void)fprintf(cli->err, "tokenlog: no command `%s`; `tokenlog help` lists them\n", argv[0]);
    return CLI_USAGE;
}

/* ——— messages ——— */

int cli_fail(const struct cli *cli, int code, const char *format, ...)
{
    va_list arguments;
    (void)fprintf(cli->err, "tokenlog %s: ", cli->command);
    va_start(arguments, format);
    (void)vfprintf(cli->err, format, arguments);
    va_end(arguments);
    (void)fputc('\n', cli->err);
    return code;
}

int cli_fault(const struct cli *cli, enum err err)
{
    return err_is_fault(err) ? cli_fail(cli, CLI_FAILED, "%s (%s)", err_text(err), fault_origin())
                             : cli_fail(cli, CLI_FAILED, "%s", err_text(err));
}

bool cli_write(const struct cli *cli, struct slice bytes)
{
    return bytes.size == 0 || fwrite(bytes.data, 1, bytes.size, cli->out) == bytes.size;
}

bool cli_flush(const struct cli *cli)
{
    return fflush(cli->out) == 0;
}

int cli_print_json(const struct cli *cli, const struct buf *json)
{
    size_t size = json->size;
    while (size && json->data[size - 1] == '\n')
        size--;
    (void)cli_write(cli, slice_sub(buf_slice(json), 0, size));
    (void)cli_write(cli, SLICE("\n"));
    return CLI_OK;
}

const char *cli_environment(const struct cli *cli, const char *name)
{
    size_t size = strlen(name);
    for (char **entry = cli->environment; entry && *entry; entry++)
        if (strncmp(*entry, name, size) == 0 && (*entry)[size] == '=')
            return (*entry)[size + 1] ? *entry + size + 1 : NULL;
    return NULL;
}

int cli_read_id(const struct cli *cli, const char *text, struct id *out)
{
    if (id_parse(slice_text(text), out) == ERR_OK)
        return CLI_GO_ON;
    return cli_fail(cli, CLI_USAGE, "`%s` is no stream ID; `tokenlog ls` shows them", text);
}

/* ——— arguments ——— */

enum { COMMON_OPTION_COUNT = 5, COMMON_LOCAL_COUNT = 2 };

/* The flags of every command; the ones of local commands come first. */
static void common_options(struct cli *cli, struct cli_option out[COMMON_OPTION_COUNT])
{
    const struct cli_option options[COMMON_OPTION_COUNT] = {
        {.name = "data",
            .value_name = "DIR",
            .help = "the data directory; else $TOKENLOG_DATA, else tokenlog-data",
            .text = &cli->data},
        {.name = "json", .help = "print JSON", .is_on = &cli->is_json},
        {.name = "server",
            .value_name = "URL",
            .help = "ask this server; else $TOKENLOG_SERVER, else the local one if it\n"
                    "                      answers, else the data directory is read",
            .text = &cli->server},
        {.name = "key",
            .value_name = "KEY",
            .help = "API key; else $TOKENLOG_KEY",
            .text = &cli->key},
        {.name = "ca",
            .value_name = "FILE",
            .help = "trust these certificates (PEM) rather than the system's",
            .text = &cli->ca},
    };
    memcpy(out, options, sizeof options);
}

static void print_option(FILE *out, const struct cli_option *option)
{
    char left[HELP_COLUMN + 1];
    (void)snprintf(
        left, sizeof left, "--%s %s", option->name, option->value_name ? option->value_name : "");
    (void)fprintf(out, "  %-*s%s\n", HELP_COLUMN, left, option->help);
}

static void print_help(const struct cli *cli, const struct cli_usage *usage,
    const struct cli_option *common, size_t common_count)
{
    (void)fprintf(cli->out, "usage: tokenlog %s\n\n%s\n", usage->synopsis, usage->description);
    for (size_t i = 0; i < usage->option_count; i++)
        print_option(cli->out, &usage->options[i]);
    for (size_t i = 0; i < common_count; i++)
        print_option(cli->out, &common[i]);
    (void)fprintf(cli->out, "  %-*s%s\n", HELP_COLUMN, "--help", "print this");
}

static const struct cli_option *find_option(
    const struct cli_option *options, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(slice_text(options[i].name), name))
            return &options[i];
    return NULL;
}

/* Gives an option its value. */
static int take_value(const struct cli *cli, const struct cli_option *option, const char *value)
{
    uint64_t number;
    if (option->text) {
        *option->text = value;
        return CLI_GO_ON;
    }
    if (slice_u64(slice_text(value), &number) != ERR_OK || number > option->number_max)
        return cli_fail(cli, CLI_USAGE, "--%s: `%s` is no whole number from 0 to %" PRIu64,
            option->name, value, option->number_max);
    *option->number = number;
    return CLI_GO_ON;
}

/* One word of the command line that begins with --, and its value, perhaps the next word. */
static int take_option(
    const struct cli *cli, const struct cli_option *option, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    if (!option)
        return cli_fail(
            cli, CLI_USAGE, "unknown flag %s; see `tokenlog %s --help`", word, cli->command);
    if (option->is_on && equals)
        return cli_fail(cli, CLI_USAGE, "--%s takes no value", option->name);
    if (option->is_on) {
        *option->is_on = true;
        return CLI_GO_ON;
    }
    if (equals)
        return take_value(cli, option, equals + 1);
    if (*at + 1 >= argc)
        return cli_fail(cli, CLI_USAGE, "--%s needs a value: %s", option->name, option->value_name);
    return take_value(cli, option, argv[++*at]);
}

int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv,
    const char *positionals[CLI_POSITIONALS_MAX])
{
    struct cli_option common[COMMON_OPTION_COUNT];
    size_t common_count = usage->is_local ? COMMON_LOCAL_COUNT : COMMON_OPTION_COUNT;
    size_t count = 0;
    common_options(cli, common);
    for (int at = 0; at < argc; at++) {
        const char *word = argv[at];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(cli, usage, common, common_count);
            return CLI_OK;
        }
        if (word[0] != '-') {
            if (count == usage->positional_count)
                return cli_fail(
                    cli, CLI_USAGE, "`%s` is too much; usage: tokenlog %s", word, usage->synopsis);
            positionals[count++] = word;
            continue;
        }
        struct slice name = slice_of(word, strcspn(word, "="));
        name = slice_has_prefix(name, SLICE("--")) ? slice_sub(name, 2, name.size) : SLICE_NONE;
        const struct cli_option *option = find_option(usage->options, usage->option_count, name);
        option = option ? option : find_option(common, common_count, name);
        int code = take_option(cli, option, argc, argv, &at);
        if (code != CLI_GO_ON)
            return code;
    }
    if (count < usage->positional_count)
        return cli_fail(
            cli, CLI_USAGE, "something is missing; usage: tokenlog %s", usage->synopsis);
    return CLI_GO_ON;
}
