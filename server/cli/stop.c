/* stop — the two commands that change a stream: stop a generation, delete a recording. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"

/* What one of them is. */
struct change {
    struct cli_usage usage;
    const char *method, *ending;
    const char *done; /* said when the server has agreed */
};

static int run(struct cli *cli, const struct change *change, int argc, char **argv)
{
    const char *positionals[CLI_POSITIONALS_MAX];
    struct source *source;
    struct id id;
    int code = cli_parse(cli, &change->usage, argc, argv, positionals);
    if (code == CLI_GO_ON)
        code = cli_read_id(cli, positionals[0], &id);
    if (code != CLI_GO_ON)
        return code;
    if ((code = source_open_server(cli, &source)) != CLI_OK)
        return code;
    CLEANUP(buf_deinit) struct buf json;
    buf_init(&json, CLI_BODY_BYTES_MAX);
    code = source_change(source, change->method, &id, change->ending, &json);
    source_close(source);
    if (code != CLI_OK)
        return code;
    if (cli->is_json && json.size)
        return cli_print_json(cli, &json);
    if (!cli->is_json)
        (void)fprintf(cli->out, "%s\n", change->done);
    return CLI_OK;
}

int command_stop(struct cli *cli, int argc, char **argv)
{
    static const struct change change = {
        .usage = {.synopsis = "stop ID [flags]",
            .description = "End a generation that is under way, before its first token too. What "
                           "was recorded stays,\nand its readers see it end as stopped. Needs a "
                           "running server.\n",
            .positional_count = 1},
        .method = "POST",
        .ending = "/stop",
        .done = "stopped",
    };
    return run(cli, &change, argc, argv);
}

int command_rm(struct cli *cli, int argc, char **argv)
{
    static const struct change change = {
        .usage = {.synopsis = "rm ID [flags]",
            .description =
                "Delete a recording that has ended: its events are gone for good, its ID "
                "is answered 410\nfor a while. Needs a running server.\n",
            .positional_count = 1},
        .method = "DELETE",
        .ending = "",
        .done = "deleted",
    };
    return run(cli, &change, argc, argv);
}
