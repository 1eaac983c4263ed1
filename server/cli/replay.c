/* replay — a recording once more, as it came: each event when its time has come, by the clock of
 * the recording at the speed that is asked for.
 *
 *     event i is printed at   start + (time[i] - time[0]) / speed      (speed 0: at once)
 *
 * A recording that is live is followed; its events come no sooner than they happen. */
#include <inttypes.h>
#include <string.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/sse.h"
#include "server/cli/delta.h"
#include "server/cli/fetch.h"
#include "server/cli/pace.h"

enum {
    EXIT_BY_SIGINT = 130,
    EVENT_BYTES_MAX = 256 * 1024 * 1024, /* of one event that has to be whole: --text, --sse */
};

enum shape { SHAPE_BYTES, SHAPE_TEXT, SHAPE_SSE, SHAPE_LINES };

struct replaying {
    const struct cli *cli;
    struct fetch fetch;
    enum shape shape;
    struct pace pace;
    bool is_sse; /* the recording is */
    bool has_open_line;
    bool is_stopped; /* by a signal, or nobody listens */
    enum stream_state state;
    char end[256];
    struct buf event, data, line;
};

/* ——— printing ——— */

/* As GET …/events shows it. */
static enum err make_sse(struct replaying *replaying, uint64_t seq)
{
    struct buf *line = &replaying->line;
    struct slice event = buf_slice(&replaying->event);
    TRY(buf_printf(line, "id: %" PRIu64 "\n", seq + 1));
    if (!replaying->is_sse) {
        TRY(buf_append_text(line, "event: tokenlog.bytes\ndata: "));
        TRY(base64_encode(event, line));
        return buf_append_text(line, "\n\n");
    }
    event = seq == 0 ? sse_without_bom(event) : event;
    TRY(buf_append(line, event));
    bool ends_line = event.size && strchr("\r\n", event.data[event.size - 1]);
    return ends_line ? ERR_OK : buf_append_text(line, "\n\n");
}

static enum err make_text(struct replaying *replaying, uint64_t seq)
{
    struct sse_fields fields = {0};
    struct slice event = buf_slice(&replaying->event);
    if (!replaying->is_sse)
        return buf_append(&replaying->line, event);
    TRY(sse_fields(seq == 0 ? sse_without_bom(event) : event, &replaying->data, &fields));
    return delta_text(sse_data(&fields, &replaying->data), &replaying->line);
}

static enum err print(struct replaying *replaying, struct slice bytes)
{
    const struct cli *cli = replaying->cli;
    if (bytes.size)
        replaying->has_open_line = bytes.data[bytes.size - 1] != '\n';
    if (cli_write(cli, bytes) && cli_flush(cli))
        return ERR_OK;
    replaying->is_stopped = true;
    return ERR_CANCELED;
}

static enum err wait_for(struct replaying *replaying, int64_t time_ns)
{
    int64_t wait_ms = pace_wait_ms(&replaying->pace, time_ns, pace_now_ns());
    if (wait_ms == 0)
        return ERR_OK;
    if (pace_sleep(wait_ms))
        return ERR_OK;
    replaying->is_stopped = true;
    return ERR_CANCELED;
}

/* As GET …/events?format=jsonl shows it. */
static enum err print_line(struct replaying *replaying, const struct transcript_record *record)
{
    buf_clear(&replaying->line);
    TRY(transcript_write(TRANSCRIPT_JSONL, record, &replaying->line));
    return print(replaying, buf_slice(&replaying->line));
}

/* Bytes go out part by part; what is made of a whole event waits for its last part. */
static enum err take_event(struct replaying *replaying, const struct transcript_record *record)
{
    TRY(wait_for(replaying, record->time_ns));
    if (replaying->shape == SHAPE_BYTES)
        return print(replaying, record->bytes);
    if (replaying->shape == SHAPE_LINES)
        return print_line(replaying, record);
    TRY(buf_append(&replaying->event, record->bytes));
    if (record->is_more)
        return ERR_OK;
    buf_clear(&replaying->line);
    TRY(replaying->shape == SHAPE_SSE ? make_sse(replaying, record->seq)
                                      : make_text(replaying, record->seq));
    buf_clear(&replaying->event);
    return print(replaying, buf_slice(&replaying->line));
}

static enum err take_end(struct replaying *replaying, const struct transcript_record *record)
{
    (void)snprintf(replaying->end, sizeof replaying->end, "%.*s%s%.*s after %" PRIu64 " events",
        SLICE_PRINT(record->state), record->reason.size ? ": " : "", SLICE_PRINT(record->reason),
        record->event_count);
    if (stream_state_parse(record->state, &replaying->state) != ERR_OK)
        return fault(ERR_CORRUPT, "an unknown state");
    if (replaying->shape == SHAPE_LINES)
        return print_line(replaying, record);
    if (replaying->shape == SHAPE_TEXT && replaying->has_open_line)
        return print(replaying, SLICE("\n"));
    if (replaying->shape != SHAPE_SSE)
        return ERR_OK;
    struct json_writer json;
    buf_clear(&replaying->line);
    TRY(buf_append_text(&replaying->line, "event: tokenlog.end\ndata: "));
    json_writer_init(&json, &replaying->line);
    json_open(&json, '{');
    json_key(&json, "state");
    json_string(&json, record->state);
    json_key(&json, "events");
    json_unsigned(&json, record->event_count);
    json_key(&json, "reason");
    if (record->reason.size)
        json_string(&json, record->reason);
    else
        json_null(&json);
    json_close(&json, '}');
    TRY(json.err);
    TRY(buf_append_text(&replaying->line, "\n\n"));
    return print(replaying, buf_slice(&replaying->line));
}

static enum err take(void *context, const struct transcript_record *record)
{
    struct replaying *replaying = context;
    struct row row;
    switch (record->kind) {
    case TRANSCRIPT_STREAM:
        TRY(row_decode(record->bytes, &row));
        replaying->is_sse = row.is_sse;
        return replaying->shape == SHAPE_LINES ? print_line(replaying, record) : ERR_OK;
    case TRANSCRIPT_EVENT: return take_event(replaying, record);
    case TRANSCRIPT_REQUEST: return ERR_OK;
    case TRANSCRIPT_END: return take_end(replaying, record);
    }
    return ERR_OK;
}

/* ——— the command ——— */

static int run(struct replaying *replaying, const struct id *id)
{
    const struct fetch_call call = {
        .id = *id, .is_live = true, .visit = take, .context = replaying};
    int code = fetch_run(&replaying->fetch, &call);
    if (code == CLI_GO_ON)
        return EXIT_BY_SIGINT;
    if (code != CLI_OK || replaying->state == STREAM_COMPLETED)
        return code;
    return cli_fail(replaying->cli, CLI_FAILED, "the stream is %s", replaying->end);
}

static int open_and_run(struct cli *cli, const struct id *id, enum shape shape, struct pace pace)
{
    struct replaying replaying = {.cli = cli, .shape = shape, .pace = pace};
    int code = fetch_open(cli, &replaying.fetch);
    if (code != CLI_OK)
        return code;
    buf_init(&replaying.event, EVENT_BYTES_MAX);
    buf_init(&replaying.data, EVENT_BYTES_MAX);
    buf_init(&replaying.line, (size_t)2 * EVENT_BYTES_MAX);
    code = run(&replaying, id);
    buf_deinit(&replaying.event);
    buf_deinit(&replaying.data);
    buf_deinit(&replaying.line);
    fetch_close(&replaying.fetch);
    return code;
}

int command_replay(struct cli *cli, int argc, char **argv)
{
    const char *speed = NULL;
    bool is_now = false, is_text = false, is_sse = false;
    const struct cli_option options[] = {
        {.name = "speed",
            .value_name = "N",
            .help = "so many times as fast as it was; 0: at once [1]",
            .text = &speed},
        {.name = "now", .help = "at once", .is_on = &is_now},
        {.name = "text", .help = "only the text that the events add", .is_on = &is_text},
        {.name = "sse",
            .help = "as GET /v1/streams/ID/events shows it: with ids and an end",
            .is_on = &is_sse},
    };
    const struct cli_usage usage = {
        .synopsis = "replay ID [flags]",
        .description = "Print a recording as it came: the provider's bytes, at the pace at which "
                       "they were received.\nWith --json a line for each event, with its time.\n"
                       "Exits with 0 if the stream completed, with 1 if it ended otherwise.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 1,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    struct id id;
    struct pace pace;
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code == CLI_GO_ON)
        code = cli_read_id(cli, positionals[0], &id);
    if (code != CLI_GO_ON)
        return code;
    if (is_text + is_sse + cli->is_json > 1)
        return cli_fail(cli, CLI_USAGE, "--text, --sse and --json exclude one another");
    if (is_now && speed)
        return cli_fail(cli, CLI_USAGE, "--now and --speed exclude one another");
    if (pace_init(&pace, slice_text(is_now ? "0" : speed ? speed : "1")) != ERR_OK)
        return cli_fail(cli, CLI_USAGE, "--speed: `%s` is no factor like 1, 0.5 or 10", speed);
    enum shape shape = is_text        ? SHAPE_TEXT
                       : is_sse       ? SHAPE_SSE
                       : cli->is_json ? SHAPE_LINES
                                      : SHAPE_BYTES;
    return open_and_run(cli, &id, shape, pace);
}
