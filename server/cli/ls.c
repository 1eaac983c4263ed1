/* ls — a page of the list as a table:
 *
 *     ID                                    STATE      MODEL          EVENTS  TOKENS   AGE  KEY
 *     019a…                                 completed  openai/gpt-5      132      97    3m  order-7
 *     019a…                                 completed  /v1/files           1       -    4m
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/row.h"
#include "server/cli/source.h"
#include "storage/bounds.h"

enum {
    LIMIT_DEFAULT = 50,
    ID_COLUMNS = 38,
    STATE_COLUMNS = 13,
    MODEL_COLUMNS = 28, /* longer ones are cut: the table stays a table */
    KEY_COLUMNS = 40,
    LIMIT_MAX = LIST_PAGE_MAX / 2, /* as GET /v1/streams has it */
    MS_PER_S = 1000,
};

static void print_age(FILE *out, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{24 * 3600, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    seconds = seconds > 0 ? seconds : 0;
    while (units[i].unit != 's' && seconds < units[i].seconds)
        i++;
    (void)fprintf(out, "%4" PRId64 "%c", seconds / units[i].seconds, units[i].unit);
}

/* Text in at most so many columns, and no fewer where it is padded. What would upset a terminal
 * shows as ?. A byte is a column, but for UTF-8's continuations. */
static void print_cell(FILE *out, struct slice text, int columns, bool is_padded)
{
    int used = 0;
    for (size_t i = 0; i < text.size; i++) {
        bool continues = (text.data[i] & 0xC0) == 0x80;
        if (!continues && used++ == columns)
            return;
        (void)fputc(text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : text.data[i], out);
    }
    for (; is_padded && used < columns; used++)
        (void)fputc(' ', out);
}

static void print_tokens(FILE *out, const struct json *usage)
{
    int64_t tokens = json_int(json_get(usage, "output_tokens"), -1);
    if (tokens < 0)
        (void)fprintf(out, "%8s", "-");
    else
        (void)fprintf(out, "%8" PRId64, tokens);
}

/* The model; where none was asked for, what a client calls its stream, or the path of the call. */
static struct slice subject(const struct json *row)
{
    static const char *const fields[] = {"model", "name", "path"};
    struct slice text = SLICE_NONE;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && !text.size; i++)
        text = json_text(json_get(row, fields[i]));
    return text;
}

/* The caller's key. That of a step is told by its run and its step: its own is a digest of them. */
static void print_key(FILE *out, const struct json *row)
{
    struct slice key = json_text(json_get(row, "idempotency_key"));
    struct slice run = json_text(json_get(row, "run"));
    (void)fputs(key.size ? "  " : "", out);
    if (!run.size || !slice_has_prefix(key, SLICE("run-"))) {
        print_cell(out, key, KEY_COLUMNS, false);
        return;
    }
    (void)fputs("run ", out);
    print_cell(out, run, KEY_COLUMNS, false);
    (void)fputs(", step ", out);
    print_cell(out, json_text(json_get(row, "step")), KEY_COLUMNS, false);
}

static void print_row(FILE *out, const struct json *row, int64_t now_s)
{
    struct id id;
    struct slice text = json_text(json_get(row, "id"));
    bool has_id = id_parse(text, &id) == ERR_OK;
    print_cell(out, text, ID_COLUMNS, true);
    print_cell(out, json_text(json_get(row, "state")), STATE_COLUMNS, true);
    print_cell(out, subject(row), MODEL_COLUMNS, true);
    (void)fprintf(out, "%8" PRId64, json_int(json_get(row, "events"), 0));
    print_tokens(out, json_get(row, "usage"));
    (void)fputc(' ', out);
    print_age(out, has_id ? now_s - id_unix_ms(&id) / MS_PER_S : 0);
    print_key(out, row);
    (void)fputc('\n', out);
}

static int print_table(const struct cli *cli, struct slice answer)
{
    struct json *root = NULL;
    if (json_parse(answer, &root) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "the answer is no JSON; is this a tokenlog server?");
    const struct json *rows = json_get(root, "data");
    size_t count = json_size(rows);
    (void)fprintf(cli->out, "%-*s%-*s%-*s%8s%8s %5s  %s\n", ID_COLUMNS, "ID", STATE_COLUMNS,
        "STATE", MODEL_COLUMNS, "MODEL", "EVENTS", "TOKENS", "AGE", "KEY");
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < count; i++)
        print_row(cli->out, json_at(rows, i), now.tv_sec);
    struct slice next = json_text(json_get(root, "next"));
    if (json_bool(json_get(root, "has_more"), false))
        (void)fprintf(cli->err, "more: tokenlog ls --before %.*s\n", SLICE_PRINT(next));
    json_free(root);
    return CLI_OK;
}

int command_ls(struct cli *cli, int argc, char **argv)
{
    struct source_list list = {.limit = LIMIT_DEFAULT};
    const struct cli_option options[] = {
        {.name = "limit",
            .value_name = "N",
            .help = "so many at most, up to 500 [50]",
            .number = &list.limit,
            .number_max = LIMIT_MAX},
        {.name = "before",
            .value_name = "ID",
            .help = "go on from here: older ones than this",
            .text = &list.before},
        {.name = "state",
            .value_name = "STATE",
            .help = "only accepted, streaming, completed, failed, stopped,\n"
                    "                      interrupted or deleted ones",
            .text = &list.state},
        {.name = "model",
            .value_name = "MODEL",
            .help = "only those of this model",
            .text = &list.model},
        {.name = "run",
            .value_name = "RUN",
            .help = "only the steps of this run",
            .text = &list.run},
        {.name = "kind",
            .value_name = "KIND",
            .help = "generation, or appended: streams that clients write, runs'\n"
                    "                      journals among them [generation]",
            .text = &list.kind},
    };
    const struct cli_usage usage = {
        .synopsis = "ls [flags]",
        .description = "List recorded streams, newest first: ID, state, model (or the stream's "
                       "name, or the\ncall's path), events, output tokens, age and the caller's "
                       "idempotency key or step. With\n--json the list as GET /v1/streams answers "
                       "it.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    struct source *source;
    enum stream_state state;
    int code = cli_parse(cli, &usage, argc, argv, NULL);
    if (code != CLI_GO_ON)
        return code;
    if (list.state && stream_state_parse(slice_text(list.state), &state) != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "--state: there is no state `%s`", list.state);
    if (list.kind && strcmp(list.kind, "generation") != 0 && strcmp(list.kind, "appended") != 0)
        return cli_fail(
            cli, CLI_USAGE, "--kind: `%s` is neither generation nor appended", list.kind);
    if ((code = source_open(cli, NULL, &source)) != CLI_OK)
        return code;
    CLEANUP(buf_deinit) struct buf json;
    buf_init(&json, CLI_BODY_BYTES_MAX);
    code = source_list(source, &list, &json);
    source_close(source);
    if (code != CLI_OK)
        return code;
    return cli->is_json ? cli_print_json(cli, &json) : print_table(cli, buf_slice(&json));
}
