/* tail — a stream's events on standard output, one of four ways:
 *
 *     (none)    each event's data, a line each: what an SSE client would be given
 *     --text    the text that the events add, and nothing else
 *     --raw     the provider's bytes as they were
 *     --json    {"seq":7,"event":"…","data":"…"}, a line each
 *
 * A stream that is no SSE is a body: its bytes are printed as they are, but with --json its pieces
 * come as events `tokenlog.bytes` in base64. */
#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/row.h"
#include "protocol/http/sse.h"
#include "server/cli/delta.h"
#include "server/cli/source.h"

enum {
    LINE_BYTES_MAX = 512 * 1024 * 1024, /* of an event as it is printed; the events are bounded */
    EXIT_BY_SIGINT = 130,               /* what shells expect of a program that Ctrl-C ended */
};

enum manner { MANNER_DATA, MANNER_TEXT, MANNER_RAW, MANNER_JSON };

struct printing {
    const struct cli *cli;
    enum manner manner;
    bool is_opaque;     /* what comes are pieces of a body, to be printed as they are */
    bool has_open_line; /* text was printed, and its last line has no end yet */
    enum err err;       /* why no more was printed */
    struct buf data, line;
};

static enum err make_json(
    struct printing *printing, uint64_t seq, const struct sse_fields *fields, struct slice data)
{
    struct json_writer writer;
    json_writer_init(&writer, &printing->line);
    json_open(&writer, '{');
    json_key(&writer, "seq");
    json_unsigned(&writer, seq);
    if (fields->event.size) {
        json_key(&writer, "event");
        json_string(&writer, fields->event);
    }
    json_key(&writer, "data");
    json_string(&writer, data);
    json_close(&writer, '}');
    TRY(writer.err);
    return buf_append_byte(&printing->line, '\n');
}

/* What is printed of one event, into printing->line. */
static enum err make_line(struct printing *printing, uint64_t seq, struct slice block)
{
    struct sse_fields fields = {0};
    if (printing->manner == MANNER_RAW || printing->is_opaque)
        return buf_append(&printing->line, block);
    TRY(sse_fields(seq == 0 ? sse_without_bom(block) : block, &printing->data, &fields));
    struct slice data = sse_data(&fields, &printing->data);
    if (printing->manner == MANNER_TEXT)
        return delta_text(data, &printing->line);
    if (printing->manner == MANNER_JSON)
        return make_json(printing, seq, &fields, data);
    if (!fields.has_data)
        return ERR_OK;
    TRY(buf_append(&printing->line, data));
    return buf_append_byte(&printing->line, '\n');
}

/* Events go out one by one: somebody watches, or the next program in the pipe does. */
static bool print_event(void *context, uint64_t seq, struct slice block)
{
    struct printing *printing = context;
    buf_clear(&printing->line);
    printing->err = make_line(printing, seq, block);
    if (printing->err != ERR_OK)
        return false;
    struct slice line = buf_slice(&printing->line);
    if (line.size)
        printing->has_open_line = line.data[line.size - 1] != '\n';
    return cli_write(printing->cli, line) && cli_flush(printing->cli);
}

/* Whether the stream is a body rather than events: its row knows. */
static int look_at_row(struct source *source, const struct id *id, bool *is_opaque)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json *row = NULL;
    buf_init(&json, CLI_BODY_BYTES_MAX);
    int code = source_row(source, id, &json);
    if (code != CLI_OK)
        return code;
    if (json_parse(buf_slice(&json), &row) == ERR_OK) {
        struct slice type = json_text(json_get(row, "content_type"));
        *is_opaque = type.size && !slice_has_prefix(type, SLICE("text/event-stream"));
        json_free(row);
    }
    return CLI_OK;
}

/* How it ended, for people on `err`, for scripts as the exit code. */
static int conclude(const struct printing *printing, const struct source_follow *follow,
    const struct source_end *end)
{
    const struct cli *cli = printing->cli;
    if (printing->manner == MANNER_TEXT && printing->has_open_line && cli_flush(cli))
        (void)cli_write(cli, SLICE("\n"));
    if (printing->err != ERR_OK)
        return cli_fault(cli, printing->err);
    if (end->is_interrupted) {
        (void)fprintf(cli->err, "tokenlog tail: go on with --from %" PRIu64 "\n", end->next);
        return EXIT_BY_SIGINT;
    }
    if (!end->state[0] || !follow->is_live || strcmp(end->state, "completed") == 0)
        return CLI_OK;
    return cli_fail(cli, CLI_FAILED, "the stream is %s%s%s after %" PRIu64 " events", end->state,
        end->reason[0] ? ": " : "", end->reason, end->next);
}

static int follow(struct cli *cli, struct source_follow *request, enum manner manner)
{
    struct source *source;
    struct source_end end;
    struct printing printing = {.cli = cli, .manner = manner};
    int code = source_open(cli, &request->id, &source);
    if (code != CLI_OK)
        return code;
    code = look_at_row(source, &request->id, &printing.is_opaque);
    if (code != CLI_OK) {
        source_close(source);
        return code;
    }
    buf_init(&printing.data, LINE_BYTES_MAX);
    buf_init(&printing.line, LINE_BYTES_MAX);
    printing.is_opaque &= manner != MANNER_JSON;
    request->is_opaque = printing.is_opaque;
    request->event = print_event;
    request->context = &printing;
    code = source_follow(source, request, &end);
    if (code == CLI_OK)
        code = conclude(&printing, request, &end);
    buf_deinit(&printing.data);
    buf_deinit(&printing.line);
    source_close(source);
    return code;
}

int command_tail(struct cli *cli, int argc, char **argv)
{
    uint64_t from = 0;
    bool is_raw = false, is_text = false, is_snapshot = false;
    const struct cli_option options[] = {
        {.name = "from",
            .value_name = "N",
            .help = "skip the first N events [0]",
            .number = &from,
            .number_max = INT64_MAX},
        {.name = "raw", .help = "the provider's bytes as they were", .is_on = &is_raw},
        {.name = "text", .help = "only the text that the events add", .is_on = &is_text},
        {.name = "no-follow", .help = "what is there now, then stop", .is_on = &is_snapshot},
    };
    const struct cli_usage usage = {
        .synopsis = "tail ID [flags]",
        .description =
            "Print a stream's events from the start, and follow it to its end: each event's data, "
            "a\nline each; with --json a line {\"seq\",\"event\",\"data\"} each. A connection that "
            "breaks is taken\nup again where it broke. Exits with 0 if the stream completed, with "
            "1 "
            "if it ended otherwise.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 1,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    struct source_follow request = {0};
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code == CLI_GO_ON)
        code = cli_read_id(cli, positionals[0], &request.id);
    if (code != CLI_GO_ON)
        return code;
    if (is_raw + is_text + cli->is_json > 1)
        return cli_fail(cli, CLI_USAGE, "--raw, --text and --json exclude one another");
    request.from = from;
    request.is_raw = is_raw;
    request.is_live = !is_snapshot;
    enum manner manner = is_raw    ? MANNER_RAW
                         : is_text ? MANNER_TEXT
                                   : (cli->is_json ? MANNER_JSON : MANNER_DATA);
    return follow(cli, &request, manner);
}
