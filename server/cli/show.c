/* show — one stream's row, a line a field that says something:
 *
 *     id             019a…
 *     state          failed (upstream_reset)
 *     detail         the provider closed the connection
 */
#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"

enum { NAME_COLUMNS = 18 };

/* What callers named may hold what a terminal obeys. */
static void put_clean(FILE *out, struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        (void)fputc(text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : text.data[i], out);
}

static void print_text(FILE *out, const char *name, struct slice text)
{
    if (!text.size)
        return;
    (void)fprintf(out, "%-*s", NAME_COLUMNS, name);
    put_clean(out, text);
    (void)fputc('\n', out);
}

static void print_field(FILE *out, const struct json *row, const char *field, const char *name)
{
    const struct json *value = json_get(row, field);
    if (json_type(value) == JSON_NUMBER)
        (void)fprintf(out, "%-*s%" PRId64 "\n", NAME_COLUMNS, name, json_int(value, 0));
    else
        print_text(out, name, json_text(value));
}

static void print_state(FILE *out, const struct json *row)
{
    struct slice state = json_text(json_get(row, "state"));
    struct slice reason = json_text(json_get(row, "reason"));
    (void)fprintf(out, "%-*s%.*s", NAME_COLUMNS, "state", SLICE_PRINT(state));
    (void)fprintf(out, reason.size ? " (%.*s)\n" : "\n", SLICE_PRINT(reason));
}

static void print_usage(FILE *out, const struct json *usage)
{
    static const char *const fields[][2] = {
        {"input_tokens", "in"},
        {"cached_tokens", "cached"},
        {"output_tokens", "out"},
        {"reasoning_tokens", "reasoning"},
        {"total_tokens", "total"},
    };
    const char *between = "";
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int64_t tokens = json_int(json_get(usage, fields[i][0]), -1);
        if (tokens < 0)
            continue;
        if (!between[0])
            (void)fprintf(out, "%-*s", NAME_COLUMNS, "tokens");
        (void)fprintf(out, "%s%" PRId64 " %s", between, tokens, fields[i][1]);
        between = ", ";
    }
    (void)fputs(between[0] ? "\n" : "", out);
}

/* 1 first openai/gpt-4o (key 2): 429 upstream_status
 * 2 continuation openai/gpt-5: 200, shown from 17 */
static void print_attempt(FILE *out, const struct json *attempt)
{
    struct slice key = json_text(json_get(attempt, "key"));
    struct slice why = json_text(json_get(attempt, "why"));
    int64_t status = json_int(json_get(attempt, "status"), 0);
    int64_t from = json_int(json_get(attempt, "from"), 0);
    (void)fprintf(out, "%-*s%" PRId64 " %.*s ", NAME_COLUMNS, "attempt",
        json_int(json_get(attempt, "number"), 0),
        SLICE_PRINT(json_text(json_get(attempt, "kind"))));
    put_clean(out, json_text(json_get(attempt, "target")));
    if (key.size)
        (void)fprintf(out, " (%.*s)", SLICE_PRINT(key));
    (void)fputc(':', out);
    if (status)
        (void)fprintf(out, " %" PRId64, status);
    if (why.size)
        (void)fprintf(out, " %.*s", SLICE_PRINT(why));
    if (json_bool(json_get(attempt, "shown"), false))
        (void)fputs(", shown", out);
    if (from > 0)
        (void)fprintf(out, " from %" PRId64, from);
    (void)fputc('\n', out);
}

static void print_attempts(FILE *out, const struct json *attempts)
{
    for (const struct json *one = json_at(attempts, 0); one; one = json_next(one))
        print_attempt(out, one);
}

/* As the JSON has it, so that no digit is lost. */
static void print_cost(FILE *out, struct slice row)
{
    struct json_span cost;
    if (json_scan(row, "cost", &cost) == ERR_OK && cost.type == JSON_NUMBER)
        (void)fprintf(out, "%-*s%.*s US$\n", NAME_COLUMNS, "cost", SLICE_PRINT(cost.raw));
}

static int print_row(const struct cli *cli, struct slice text)
{
    static const char *const fields[][2] = {
        {"detail", "detail"},
        {"finish_reason", "finish reason"},
        {"project", "project"},
        {"kind", "kind"},
        {"name", "name"},
        {"model", "model"},
        {"provider", "provider"},
        {"method", "method"},
        {"path", "path"},
        {"run", "run"},
        {"step", "step"},
        {"idempotency_key", "idempotency key"},
        {"attempt", "attempt of key"},
        {"previous", "previous of key"},
        {"status", "HTTP status"},
        {"content_type", "content type"},
        {"events", "events"},
        {"bytes", "bytes"},
        {"request_bytes", "request bytes"},
        {"upload_bytes", "uploaded bytes"},
        {"upload_sha256", "upload SHA-256"},
        {"accepted_at", "accepted"},
        {"dispatched_at", "dispatched"},
        {"first_event_at", "first event"},
        {"last_event_at", "last event"},
        {"ended_at", "ended"},
        {"expires_at", "expires"},
    };
    struct json *row = NULL;
    if (json_parse(text, &row) != ERR_OK)
        return cli_fail(cli, CLI_FAILED, "the answer is no JSON; is this a tokenlog server?");
    print_field(cli->out, row, "id", "id");
    print_state(cli->out, row);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        print_field(cli->out, row, fields[i][0], fields[i][1]);
    print_usage(cli->out, json_get(row, "usage"));
    print_cost(cli->out, text);
    print_attempts(cli->out, json_get(row, "attempts"));
    struct json_span metadata;
    if (json_scan(text, "metadata", &metadata) == ERR_OK && metadata.type == JSON_OBJECT)
        print_text(cli->out, "metadata", metadata.raw);
    json_free(row);
    return CLI_OK;
}

int command_show(struct cli *cli, int argc, char **argv)
{
    const struct cli_usage usage = {
        .synopsis = "show ID [flags]",
        .description =
            "What is known of one stream: its state and why, the request, the response, "
            "times and\ntokens. With --json the object that GET /v1/streams/ID answers.\n",
        .positional_count = 1,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    struct source *source;
    struct id id;
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code == CLI_GO_ON)
        code = cli_read_id(cli, positionals[0], &id);
    if (code != CLI_GO_ON)
        return code;
    if ((code = source_open(cli, &id, &source)) != CLI_OK)
        return code;
    CLEANUP(buf_deinit) struct buf json;
    buf_init(&json, CLI_BODY_BYTES_MAX);
    code = source_row(source, &id, &json);
    source_close(source);
    if (code != CLI_OK)
        return code;
    return cli->is_json ? cli_print_json(cli, &json) : print_row(cli, buf_slice(&json));
}
