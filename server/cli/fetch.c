/* fetch — of a server it is two calls, the events as JSON lines and then the request:
 *
 *     GET …/events?format=jsonl&from=N ─▶ lines ─▶ records ─▶ visit     broken: again, from the next
 *     GET …/request ─▶ pieces ─▶ REQUEST records ─▶ visit               broken: again, past what came
 *     and the END that was kept back                                                              */
#include "server/cli/fetch.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/cli/client.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    ANSWER_TIMEOUT_MS = 60000,
    RETRY_PAUSE_MS = 1000,
    RETRIES_MAX = 60, /* in a row without a record: a server restarts in well under a minute */
};

struct fetching {
    struct fetch *fetch;
    const struct fetch_call *call;
    uint64_t seq;  /* of the next part that is new, */
    uint32_t part; /* and its place in its event */
    uint32_t seen; /* parts of event `seq` that came on this connection */
    uint64_t request_bytes;
    uint64_t skipped_bytes; /* of a request that is fetched again */
    bool has_row, has_end, has_moved, is_asking_request;
    struct transcript_record end;
    struct buf end_text;
    struct buf pending, scratch;
    enum err err;
};

int fetch_open(struct cli *cli, struct fetch *out)
{
    *out = (struct fetch){0};
    int code = source_open(cli, NULL, &out->source);
    if (code != CLI_OK || !source_offline(out->source))
        return code;
    enum err err = recordings_open(source_offline(out->source), source_data(cli), &out->recordings);
    if (err == ERR_OK)
        return CLI_OK;
    fetch_close(out);
    return cli_fault(cli, err);
}

void fetch_close(struct fetch *fetch)
{
    fetch->recordings = recordings_close(fetch->recordings);
    fetch->source = source_close(fetch->source);
}

/* ——— events ——— */

/* The last of it is kept until the request has come. */
static enum err keep_end(struct fetching *fetching, const struct transcript_record *record)
{
    fetching->end = *record;
    TRY(buf_append(&fetching->end_text, record->state));
    TRY(buf_append(&fetching->end_text, record->reason));
    fetching->end.state = slice_sub(buf_slice(&fetching->end_text), 0, record->state.size);
    fetching->end.reason =
        slice_sub(buf_slice(&fetching->end_text), record->state.size, record->reason.size);
    fetching->has_end = true;
    return ERR_OK;
}

static enum err take_event(struct fetching *fetching, const struct transcript_record *record)
{
    if (record->seq != fetching->seq)
        return fault(ERR_CORRUPT, "event %" PRIu64 " came in the place of %" PRIu64, record->seq,
            fetching->seq);
    if (fetching->seen++ < fetching->part)
        return ERR_OK;
    fetching->part = record->is_more ? fetching->part + 1 : 0;
    fetching->seen = record->is_more ? fetching->seen : 0;
    fetching->seq += !record->is_more;
    fetching->has_moved = true;
    return fetching->call->visit(fetching->call->context, record);
}

static enum err take_record(struct fetching *fetching, const struct transcript_record *record)
{
    if (record->kind == TRANSCRIPT_END)
        return keep_end(fetching, record);
    if (record->kind == TRANSCRIPT_EVENT)
        return take_event(fetching, record);
    if (record->kind != TRANSCRIPT_STREAM || fetching->has_row)
        return ERR_OK;
    struct row row;
    TRY(row_decode(record->bytes, &row));
    fetching->request_bytes = row.request_bytes;
    fetching->has_row = true;
    return fetching->call->visit(fetching->call->context, record);
}

static enum err take_lines(struct fetching *fetching, struct slice bytes)
{
    ptrdiff_t end;
    while ((end = slice_find_byte(bytes, '\n')) >= 0) {
        struct transcript_record record;
        TRY(buf_append(&fetching->pending, slice_sub(bytes, 0, (size_t)end + 1)));
        bytes = slice_sub(bytes, (size_t)end + 1, bytes.size);
        struct slice line = buf_slice(&fetching->pending);
        TRY(transcript_read(TRANSCRIPT_JSONL, &line, &fetching->scratch, &record));
        TRY(take_record(fetching, &record));
        buf_clear(&fetching->pending);
    }
    return buf_append(&fetching->pending, bytes);
}

/* ——— the request ——— */

static enum err take_request(struct fetching *fetching, struct slice bytes)
{
    while (bytes.size) {
        struct slice piece = slice_sub(bytes, 0, TRANSCRIPT_PIECE_BYTES_MAX);
        bytes = slice_sub(bytes, piece.size, bytes.size);
        uint64_t known = fetching->seq - fetching->skipped_bytes;
        size_t skip = piece.size < known ? piece.size : (size_t)known;
        fetching->skipped_bytes += skip;
        piece = slice_sub(piece, skip, piece.size);
        if (piece.size == 0)
            continue;
        const struct transcript_record record = {
            .kind = TRANSCRIPT_REQUEST, .seq = fetching->seq, .bytes = piece};
        TRY(fetching->call->visit(fetching->call->context, &record));
        fetching->seq += piece.size;
        fetching->skipped_bytes = fetching->seq;
        fetching->has_moved = true;
    }
    return ERR_OK;
}

/* ——— calls ——— */

static bool take_bytes(void *context, struct slice bytes)
{
    struct fetching *fetching = context;
    fetching->err =
        fetching->is_asking_request ? take_request(fetching, bytes) : take_lines(fetching, bytes);
    return fetching->err == ERR_OK;
}

static enum err ask(struct fetching *fetching, struct client_answer *answer)
{
    char id[ID_TEXT_BYTES], path[256];
    const struct client_call call = {
        .method = "GET",
        .path = path,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
        .data = take_bytes,
        .context = fetching,
        .is_interruptible = true,
    };
    id_format(&fetching->call->id, id);
    if (fetching->is_asking_request)
        (void)snprintf(path, sizeof path, "/v1/streams/%s/request", id);
    else
        (void)snprintf(path, sizeof path, "/v1/streams/%s/events?format=jsonl&from=%" PRIu64 "%s",
            id, fetching->seq, fetching->call->is_live ? "" : "&live=false");
    buf_clear(&fetching->pending);
    fetching->seen = 0;
    fetching->skipped_bytes = 0;
    fetching->has_moved = false;
    return client_run(source_client(fetching->fetch->source), &call, answer);
}

/* One of the two calls, again and again until it is over. CLI_GO_ON: cancelled. */
static int ask_until_over(struct fetching *fetching)
{
    struct source *source = fetching->fetch->source;
    for (int retries = 0;; retries++) {
        struct client_answer answer;
        fetching->err = ERR_OK;
        enum err err = ask(fetching, &answer);
        bool may_retry = err == ERR_CLOSED && (answer.status == 200 || fetching->has_row);
        bool has_answer = err == ERR_OK && answer.status == 200;
        int code = CLI_GO_ON;
        if (fetching->err != ERR_OK)
            err = fetching->err;
        if (fetching->is_asking_request ? has_answer && err == ERR_OK : fetching->has_end)
            code = CLI_OK;
        else if (err != ERR_CANCELED && !may_retry)
            code = has_answer
                       ? source_fail(source, fault(ERR_CORRUPT, "the answer has no end"), &answer)
                       : source_fail(source, err, &answer);
        buf_deinit(&answer.body);
        if (code != CLI_GO_ON || err == ERR_CANCELED)
            return code;
        retries = fetching->has_moved ? 0 : retries;
        if (retries > RETRIES_MAX)
            return source_fail(source, ERR_CLOSED, &(struct client_answer){0});
        if (client_sleep(source_client(source), RETRY_PAUSE_MS) != ERR_OK)
            return CLI_GO_ON;
    }
}

static int fetch_server(struct fetching *fetching)
{
    const struct fetch_call *call = fetching->call;
    int code = ask_until_over(fetching);
    if (code == CLI_OK && call->has_request && fetching->request_bytes) {
        fetching->is_asking_request = true;
        fetching->seq = 0;
        code = ask_until_over(fetching);
    }
    if (code != CLI_OK)
        return code;
    enum err err = call->visit(call->context, &fetching->end);
    return err == ERR_OK         ? CLI_OK
           : err == ERR_CANCELED ? CLI_GO_ON
                                 : source_fail(fetching->fetch->source, err, NULL);
}

static int fetch_directory(struct fetch *fetch, const struct fetch_call *call)
{
    enum err err = recordings_read(
        fetch->recordings, &call->id, call->has_request, call->visit, call->context);
    if (err == ERR_OK || err == ERR_CANCELED)
        return err == ERR_OK ? CLI_OK : CLI_GO_ON;
    return source_fail(fetch->source, err, NULL);
}

int fetch_run(struct fetch *fetch, const struct fetch_call *call)
{
    if (fetch->recordings)
        return fetch_directory(fetch, call);
    struct fetching fetching = {.fetch = fetch, .call = call};
    buf_init(&fetching.pending, TRANSCRIPT_RECORD_BYTES_MAX);
    buf_init(&fetching.scratch, TRANSCRIPT_RECORD_BYTES_MAX);
    buf_init(&fetching.end_text, ROW_BYTES_MAX);
    int code = fetch_server(&fetching);
    buf_deinit(&fetching.pending);
    buf_deinit(&fetching.scratch);
    buf_deinit(&fetching.end_text);
    return code;
}
