/* stop — the two commands that change a stream: stop a generation, delete a recording. */
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"

/* What one of them is. */
struct change {
    struct cli_usage usage;
    const char *method, *ending;
    const char *state; /* what the stream then is */
};

/* What the stream is now. A server that has deleted it answers nothing more. */
static int conclude(const struct cli *cli, const struct change *change, const struct buf *json)
{
    struct json *row = NULL;
    struct slice state = slice_text(change->state);
    if (json->size && json_parse(buf_slice(json), &row) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "the answer is no JSON; is this a tokenlog server?");
    if (row)
        state = json_text(json_get(row, "state"));
    if (cli->is_json && row)
        (void)cli_print_json(cli, json);
    else if (!cli->is_json)
        (void)fprintf(cli->out, "%.*s\n", SLICE_PRINT(state));
    int code =
        slice_equal(state, slice_text(change->state))
            ? CLI_OK
            : cli_fail(cli, CLI_FAILED, "it had ended before: it is %.*s", SLICE_PRINT(state));
    json_free(row);
    return code;
}

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
    return conclude(cli, change, &json);
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
        .state = "stopped",
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
        .state = "deleted",
    };
    return run(cli, &change, argc, argv);
}
