/* source — one of two behind the same calls; the server's part is HTTP, the directory's is
 * offline.h. */
#include "server/cli/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/sse.h"
#include "protocol/http/url.h"
#include "server/cli/client.h"
#include "server/cli/offline.h"

#define SERVER_DEFAULT "http://127.0.0.1:8080"
#define DATA_DEFAULT   "tokenlog-data"

enum {
    PROBE_TIMEOUT_MS = 2000,   /* is there a server at all: it is on this machine */
    CONNECT_TIMEOUT_MS = 5000, /* a server that was named may be far */
    ANSWER_TIMEOUT_MS = 60000, /* a server that starts holds requests until it has recovered */
    RETRY_PAUSE_MS = 1000,
    RETRIES_MAX = 60, /* in a row without an event: a server restarts in well under a minute */
    EVENT_BYTES_MAX = 256 * 1024 * 1024, /* one event, an image perhaps, with room to spare */
};

struct source {
    struct cli *cli;
    struct client *client; /* one of both */
    struct offline *offline;
};

const char *source_data(const struct cli *cli)
{
    const char *data = cli->data ? cli->data : cli_environment(cli, "TOKENLOG_DATA");
    return data ? data : DATA_DEFAULT;
}

static const char *server_named(const struct cli *cli)
{
    return cli->server ? cli->server : cli_environment(cli, "TOKENLOG_SERVER");
}

/* ——— opening ——— */

static int open_client(struct source *source, const char *url)
{
    struct cli *cli = source->cli;
    const struct client_config config = {
        .url = url,
        .key = cli->key ? cli->key : cli_environment(cli, "TOKENLOG_KEY"),
        .ca = cli->ca,
    };
    enum err err = client_new(&config, &source->client);
    if (err == ERR_INVALID)
        return cli_fail(cli, CLI_USAGE, "`%s` is no URL; give http://HOST:PORT", url);
    return err == ERR_OK ? CLI_OK : cli_fault(cli, err);
}

/* Whether a server answers there. */
static bool probe(struct source *source)
{
    const struct client_call call = {
        .method = "GET",
        .path = "/healthz",
        .connect_timeout_ms = PROBE_TIMEOUT_MS,
        .answer_timeout_ms = PROBE_TIMEOUT_MS,
    };
    struct client_answer answer;
    enum err err = client_run(source->client, &call, &answer);
    buf_deinit(&answer.body);
    return err == ERR_OK && answer.status == 200;
}

/* The server to ask where no flag names one. */
static const char *server_nearby(const struct cli *cli)
{
    const char *named = cli_environment(cli, "TOKENLOG_SERVER");
    return named ? named : SERVER_DEFAULT;
}

static int fail_held(const struct cli *cli, const char *data, int holder_pid)
{
    char holder[32] = "another process";
    if (holder_pid > 0)
        (void)snprintf(holder, sizeof holder, "process %d", holder_pid);
    return cli_fail(cli, CLI_UNREACHABLE,
        "%s holds %s, and no server answers at %s; give its address with --server URL", holder,
        data, server_nearby(cli));
}

static int open_offline(struct source *source, const struct id *wanted)
{
    struct cli *cli = source->cli;
    const char *data = source_data(cli);
    int holder_pid = 0;
    enum err err = offline_open(data, wanted, &holder_pid, &source->offline);
    if (err == ERR_NOTFOUND && cli->data)
        return cli_fail(cli, CLI_UNREACHABLE, "%s is no data directory of a server", data);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_UNREACHABLE,
            "no server answers at %s and %s is no data directory; start `tokenlog serve`, or give "
            "--server URL or --data DIR",
            server_nearby(cli), data);
    if (err == ERR_BUSY)
        return fail_held(cli, data, holder_pid);
    return err == ERR_OK ? CLI_OK : cli_fault(cli, err);
}

/* The server nearby, unless a directory was named that none holds; then the directory. */
static int open_nearest(struct source *source, const struct id *wanted)
{
    if (!source->cli->data || offline_holder(source->cli->data) != 0) {
        int code = open_client(source, server_nearby(source->cli));
        if (code == CLI_OK && probe(source))
            return CLI_OK;
        source->client = client_free(source->client);
        if (code == CLI_USAGE)
            return code;
    }
    return open_offline(source, wanted);
}

static struct source *source_new(struct cli *cli)
{
    struct source *source = calloc(1, sizeof *source);
    if (source)
        source->cli = cli;
    return source;
}

int source_open(struct cli *cli, const struct id *wanted, struct source **out)
{
    struct source *source = source_new(cli);
    if (!source)
        return cli_fail(cli, CLI_FAILED, "out of memory");
    const char *named = cli->server || !cli->data ? server_named(cli) : NULL;
    int code = named ? open_client(source, named) : open_nearest(source, wanted);
    if (code != CLI_OK)
        source_close(source);
    else
        *out = source;
    return code;
}

int source_open_server(struct cli *cli, struct source **out)
{
    struct source *source = source_new(cli);
    if (!source)
        return cli_fail(cli, CLI_FAILED, "out of memory");
    const char *named = server_named(cli);
    int code = open_client(source, named ? named : SERVER_DEFAULT);
    if (code != CLI_OK)
        source_close(source);
    else
        *out = source;
    return code;
}

struct source *source_close(struct source *source)
{
    if (!source)
        return NULL;
    client_free(source->client);
    offline_close(source->offline);
    free(source);
    return NULL;
}

/* ——— the server's answers ——— */

/* An answer that is no success, as a sentence and a code. */
static int fail_answer(const struct source *source, const struct client_answer *answer)
{
    struct json *root = NULL;
    struct slice message = SLICE_NONE;
    if (json_parse(buf_slice(&answer->body), &root) == ERR_OK)
        message = json_text(json_get(json_get(root, "error"), "message"));
    if (!message.size)
        message = SLICE("it gave no reason");
    bool is_gone = answer->status == 404 || answer->status == 410;
    bool is_denied = answer->status == 401 || answer->status == 403;
    int code = cli_fail(source->cli, is_gone ? CLI_NOT_FOUND : CLI_FAILED, "%.*s (HTTP %d%s)",
        SLICE_PRINT(message), answer->status,
        is_denied ? "; give a key with --key or $TOKENLOG_KEY" : "");
    json_free(root);
    return code;
}

static int fail_call(const struct source *source, enum err err)
{
    if (err == ERR_CLOSED)
        return cli_fail(source->cli, CLI_UNREACHABLE, "%s: %s", client_url(source->client),
            client_problem(source->client));
    return cli_fault(source->cli, err);
}

struct client *source_client(const struct source *source)
{
    return source->client;
}

struct offline *source_offline(const struct source *source)
{
    return source->offline;
}

int source_fail(const struct source *source, enum err err, const struct client_answer *answer)
{
    if (err == ERR_OK && answer)
        return fail_answer(source, answer);
    if (err == ERR_NOTFOUND)
        return cli_fail(
            source->cli, CLI_NOT_FOUND, "no such stream in %s", source_data(source->cli));
    return fail_call(source, err);
}

/* One request whose answer fits in memory. */
static int ask(struct source *source, const char *method, const char *path, struct buf *json)
{
    const struct client_call call = {
        .method = method,
        .path = path,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
    };
    struct client_answer answer;
    int code = CLI_OK;
    enum err err = client_run(source->client, &call, &answer);
    if (err != ERR_OK)
        code = fail_call(source, err);
    else if (answer.status < 200 || answer.status > 299)
        code = fail_answer(source, &answer);
    else if ((err = buf_append(json, buf_slice(&answer.body))) != ERR_OK)
        code = cli_fault(source->cli, err);
    buf_deinit(&answer.body);
    return code;
}

int source_change(struct source *source, const char *method, const struct id *id,
    const char *ending, struct buf *json)
{
    char text[ID_TEXT_BYTES], path[sizeof "/v1/streams/" + ID_TEXT_BYTES + 32];
    ASSERT(source->client && strlen(ending) < 32);
    id_format(id, text);
    (void)snprintf(path, sizeof path, "/v1/streams/%s%s", text, ending);
    return ask(source, method, path, json);
}

int source_get(struct source *source, const char *path, struct buf *json)
{
    ASSERT(source->client);
    return ask(source, "GET", path, json);
}

/* ——— one row ——— */

int source_row(struct source *source, const struct id *id, struct buf *json)
{
    if (source->client)
        return source_change(source, "GET", id, "", json);
    struct row row;
    enum err err = offline_row(source->offline, id, &row);
    if (err == ERR_NOTFOUND)
        return cli_fail(
            source->cli, CLI_NOT_FOUND, "no such stream in %s", source_data(source->cli));
    if (err == ERR_OK)
        err = row_json(&row, json);
    return err == ERR_OK ? CLI_OK : cli_fault(source->cli, err);
}

/* ——— a list ——— */

static enum err put_parameter(struct buf *path, const char *name, const char *value)
{
    if (!value)
        return ERR_OK;
    TRY(buf_printf(path, "&%s=", name));
    return percent_encode(slice_text(value), path);
}

static enum err list_path(const struct source_list *list, struct buf *path)
{
    TRY(buf_printf(path, "/v1/streams?limit=%" PRIu64, list->limit));
    TRY(put_parameter(path, "before", list->before));
    TRY(put_parameter(path, "state", list->state));
    TRY(put_parameter(path, "model", list->model));
    TRY(put_parameter(path, "run", list->run));
    TRY(put_parameter(path, "kind", list->kind));
    return buf_append_byte(path, '\0');
}

static int list_server(struct source *source, const struct source_list *list, struct buf *json)
{
    CLEANUP(buf_deinit) struct buf path;
    buf_init(&path, CLI_TEXT_BYTES_MAX);
    enum err err = list_path(list, &path);
    if (err != ERR_OK)
        return cli_fault(source->cli, err);
    return ask(source, "GET", (const char *)path.data, json);
}

/* A list being made of the directory's rows. */
struct listing {
    const struct source_list *list;
    struct json_writer writer;
    struct buf row;
    uint64_t count;
    bool has_more;
    char last[ID_TEXT_BYTES];
};

static bool is_asked_for(const struct source_list *list, const struct row *row)
{
    if (list->model && !slice_equal(row->model, slice_text(list->model)))
        return false;
    if (list->run && !slice_equal(row->run, slice_text(list->run)))
        return false;
    if (row->is_appended != (list->kind && strcmp(list->kind, "appended") == 0))
        return false;
    return list->state ? strcmp(stream_state_name(row->state), list->state) == 0
                       : row->state != STREAM_DELETED;
}

static enum err list_visit(void *context, const struct row *row)
{
    struct listing *listing = context;
    if (!is_asked_for(listing->list, row))
        return ERR_OK;
    if (listing->count == listing->list->limit) {
        listing->has_more = true;
        return ERR_CLOSED;
    }
    listing->count++;
    id_format(&row->id, listing->last);
    buf_clear(&listing->row);
    TRY(row_json(row, &listing->row));
    json_raw(&listing->writer, buf_slice(&listing->row));
    return listing->writer.err;
}

static enum err list_directory(struct source *source, const struct source_list *list,
    const struct id *before, struct buf *json)
{
    struct listing listing = {.list = list};
    buf_init(&listing.row, CLI_BODY_BYTES_MAX);
    json_writer_init(&listing.writer, json);
    json_open(&listing.writer, '{');
    json_key(&listing.writer, "object");
    json_string(&listing.writer, SLICE("list"));
    json_key(&listing.writer, "data");
    json_open(&listing.writer, '[');
    enum err err = offline_list(source->offline, before, list_visit, &listing);
    buf_deinit(&listing.row);
    TRY(err);
    json_close(&listing.writer, ']');
    json_key(&listing.writer, "has_more");
    json_boolean(&listing.writer, listing.has_more);
    json_key(&listing.writer, "next");
    if (listing.has_more)
        json_string(&listing.writer, slice_text(listing.last));
    else
        json_null(&listing.writer);
    json_close(&listing.writer, '}');
    return listing.writer.err;
}

int source_list(struct source *source, const struct source_list *list, struct buf *json)
{
    if (source->client)
        return list_server(source, list, json);
    struct id before;
    if (list->before) {
        int code = cli_read_id(source->cli, list->before, &before);
        if (code != CLI_GO_ON)
            return code;
    }
    enum err err = list_directory(source, list, list->before ? &before : NULL, json);
    return err == ERR_OK ? CLI_OK : cli_fault(source->cli, err);
}

/* ——— following ——— */

/* What comes of one connection's bytes. */
struct following {
    const struct source_follow *follow;
    struct source_end *end;
    struct sse_splitter splitter;
    struct buf pending; /* of the event that is not whole yet */
    struct buf data;
    enum err err;
    bool has_ended; /* tokenlog.end was seen */
    bool is_unheard;
    bool has_moved; /* an event came on this connection */
};

static void copy_text(struct slice text, char *out, size_t size)
{
    size_t count = text.size < size - 1 ? text.size : size - 1;
    if (count)
        memcpy(out, text.data, count);
    out[count] = '\0';
}

static enum err read_end(struct following *following, struct slice data)
{
    struct json *root = NULL;
    TRY(json_parse(data, &root));
    struct source_end *end = following->end;
    copy_text(json_text(json_get(root, "state")), end->state, sizeof end->state);
    copy_text(json_text(json_get(root, "reason")), end->reason, sizeof end->reason);
    following->has_ended = true;
    json_free(root);
    return ERR_OK;
}

/* One block of the server's: an event of the stream with its id line, or the end. */
static enum err take_block(struct following *following, struct slice block)
{
    struct sse_fields fields;
    uint64_t next;
    TRY(sse_fields(block, &following->data, &fields));
    if (slice_equal(fields.event, SLICE("tokenlog.end")))
        return read_end(following, sse_data(&fields, &following->data));
    bool has_number = slice_u64(fields.id, &next) == ERR_OK && next > 0;
    if (!has_number)
        return ERR_OK; /* a heartbeat, say */
    following->is_unheard |= !following->follow->event(following->follow->context, next - 1, block);
    following->end->next = next;
    following->has_moved = true;
    return following->is_unheard ? ERR_CANCELED : ERR_OK;
}

static enum err take_sse(struct following *following, struct slice bytes)
{
    size_t end;
    while (sse_split(&following->splitter, bytes, &end) == ERR_OK) {
        TRY(buf_append(&following->pending, slice_sub(bytes, 0, end)));
        bytes = slice_sub(bytes, end, bytes.size);
        TRY(take_block(following, buf_slice(&following->pending)));
        buf_clear(&following->pending);
    }
    return buf_append(&following->pending, bytes);
}

static bool take_bytes(void *context, struct slice bytes)
{
    struct following *following = context;
    const struct source_follow *follow = following->follow;
    if (follow->is_raw || follow->is_opaque) {
        following->is_unheard = !follow->event(follow->context, 0, bytes);
        following->has_moved = true;
        return !following->is_unheard;
    }
    following->err = take_sse(following, bytes);
    return following->err == ERR_OK;
}

static void follow_path(const struct source_follow *follow, uint64_t from, char *out, size_t size)
{
    char id[ID_TEXT_BYTES];
    id_format(&follow->id, id);
    (void)snprintf(out, size, "/v1/streams/%s/events?from=%" PRIu64 "%s%s", id, from,
        follow->is_raw || follow->is_opaque ? "&format=raw" : "",
        follow->is_live ? "" : "&live=false");
}

/* One connection, from end->next on. ERR_CLOSED: it broke, or could not be made. */
static enum err follow_once(
    struct source *source, struct following *following, struct client_answer *answer)
{
    char path[256];
    const struct client_call call = {
        .method = "GET",
        .path = path,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
        .data = take_bytes,
        .context = following,
        .is_interruptible = true,
    };
    follow_path(following->follow, following->end->next, path, sizeof path);
    following->splitter = (struct sse_splitter){0};
    buf_clear(&following->pending);
    following->has_moved = false;
    return client_run(source->client, &call, answer);
}

/* What one connection came to: an exit code, or CLI_GO_ON for another one. */
static int judge(struct source *source, struct following *following, enum err err,
    const struct client_answer *answer)
{
    const struct source_follow *follow = following->follow;
    if (following->is_unheard || following->has_ended)
        return CLI_OK;
    if (following->err != ERR_OK)
        return cli_fault(source->cli, following->err);
    if (err == ERR_CANCELED) {
        following->end->is_interrupted = true;
        return CLI_OK;
    }
    if (err != ERR_OK && err != ERR_CLOSED)
        return cli_fault(source->cli, err);
    if (answer->status && answer->status != 200)
        return answer->status == 503 && follow->is_live ? CLI_GO_ON : fail_answer(source, answer);
    if (err == ERR_OK && (follow->is_raw || follow->is_opaque || !follow->is_live))
        return CLI_OK;
    if ((follow->is_raw || follow->is_opaque) && answer->status)
        return cli_fail(
            source->cli, CLI_FAILED, "the stream was cut off: %s", client_problem(source->client));
    return answer->status || following->end->next > follow->from ? CLI_GO_ON
                                                                 : fail_call(source, ERR_CLOSED);
}

static int follow_server(struct source *source, struct following *following)
{
    for (int retries = 0;;) {
        struct client_answer answer;
        enum err err = follow_once(source, following, &answer);
        int code = judge(source, following, err, &answer);
        buf_deinit(&answer.body);
        if (code != CLI_GO_ON)
            return code;
        retries = following->has_moved ? 0 : retries + 1;
        if (retries > RETRIES_MAX)
            return fail_call(source, ERR_CLOSED);
        if (retries <= 1)
            (void)fprintf(source->cli->err,
                "tokenlog tail: the connection broke; going on at event %" PRIu64 "\n",
                following->end->next);
        if (client_sleep(source->client, RETRY_PAUSE_MS) != ERR_OK) {
            following->end->is_interrupted = true;
            return CLI_OK;
        }
    }
}

/* A piece of a body as a server shows it among events. */
static enum err wrap_piece(struct following *following, uint64_t seq)
{
    buf_clear(&following->data);
    TRY(buf_printf(&following->data, "id: %" PRIu64 "\nevent: tokenlog.bytes\ndata: ", seq + 1));
    TRY(base64_encode(buf_slice(&following->pending), &following->data));
    return buf_append_text(&following->data, "\n\n");
}

/* Event `seq`, as the caller wants to be given it. */
static enum err directory_event(struct offline *offline, struct following *following,
    const struct row *row, struct slice *event)
{
    const struct source_follow *follow = following->follow;
    uint64_t seq = following->end->next;
    buf_clear(&following->pending);
    TRY(offline_event(offline, seq, &following->pending));
    *event = buf_slice(&following->pending);
    if (row->is_sse || follow->is_raw || follow->is_opaque)
        return ERR_OK;
    TRY(wrap_piece(following, seq));
    *event = buf_slice(&following->data);
    return ERR_OK;
}

static int follow_directory(struct source *source, struct following *following)
{
    const struct source_follow *follow = following->follow;
    struct source_end *end = following->end;
    struct row row;
    enum err err = offline_row(source->offline, &follow->id, &row);
    if (err == ERR_NOTFOUND || (err == ERR_OK && row.state == STREAM_DELETED))
        return cli_fail(
            source->cli, CLI_NOT_FOUND, "no such stream in %s", source_data(source->cli));
    if (err != ERR_OK)
        return cli_fault(source->cli, err);
    if (follow->from > row.events)
        return cli_fail(source->cli, CLI_FAILED,
            "the stream has %" PRIu64 " events: ask for an offset up to that", row.events);
    struct slice event;
    while ((err = directory_event(source->offline, following, &row, &event)) == ERR_OK) {
        if (!follow->event(follow->context, end->next, event))
            return CLI_OK;
        end->next++;
    }
    if (err != ERR_CLOSED)
        return cli_fault(source->cli, err);
    copy_text(slice_text(stream_state_name(row.state)), end->state, sizeof end->state);
    copy_text(row.reason, end->reason, sizeof end->reason);
    return CLI_OK;
}

int source_follow(struct source *source, const struct source_follow *follow, struct source_end *end)
{
    *end = (struct source_end){.next = follow->from};
    struct following following = {.follow = follow, .end = end};
    buf_init(&following.pending, EVENT_BYTES_MAX);
    buf_init(&following.data, EVENT_BYTES_MAX);
    int code =
        source->client ? follow_server(source, &following) : follow_directory(source, &following);
    buf_deinit(&following.pending);
    buf_deinit(&following.data);
    return code;
}
