/* audit — what the audit log gives away: signed heads, proofs of streams, and that the log of one
 * head goes on that of another. A project sees its own log only.
 *
 *   GET /v1/audit/head?size=N                       the present head, or that of the first N leaves
 *   GET /v1/audit/consistency?from=M&to=N           that the first M leaves begin the first N
 *   GET /v1/streams/{id}/proof?size=N&contents=true of a finished stream
 *
 * Each is answered by a reader thread, from the store: a stream is in the log once it is
 * archived. */
#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/api/api.h"
#include "storage/audit.h"

struct inquiry {
    struct exchange *exchange; /* NULL: the caller is gone */
    struct storage_query query;
    struct audit_request request;
    struct buf project; /* the name, for the reader thread */
};

static void inquiry_free(struct inquiry *inquiry)
{
    buf_deinit(&inquiry->query.bytes);
    buf_deinit(&inquiry->project);
    free(inquiry);
}

static void answer_error(const struct inquiry *inquiry, enum err err)
{
    struct exchange *exchange = inquiry->exchange;
    if (err == ERR_NOTFOUND)
        exchange_error(exchange, 404, "proof_not_found", NULL,
            "the stream is not in the log%s: it is unknown, still under way, or has ended just now "
            "(it is logged when it is archived)",
            inquiry->request.size ? " of that size" : "");
    else if (err == ERR_INVALID)
        exchange_error(exchange, 400, "invalid_parameter", "size",
            "the log has not as many leaves, or `from` is more than `to`");
    else if (err == ERR_LIMIT && inquiry->request.has_contents)
        exchange_error(exchange, 413, "proof_too_large", "contents",
            "the stream is too large to be carried along: ask without contents, or run `tokenlog "
            "audit prove` on the data directory");
    else if (err == ERR_LIMIT)
        exchange_error(exchange, 503, "overloaded", NULL, "too many reads are waiting; try again");
    else
        exchange_error(exchange, 500, "storage_fault", NULL,
            "the audit log could not be read: %s; see `tokenlog audit verify`", err_text(err));
}

static void inquiry_done(struct storage_query *query, enum err err)
{
    struct inquiry *inquiry = query->owner;
    if (inquiry->exchange) {
        exchange_release(inquiry->exchange);
        if (err == ERR_OK)
            err = buf_append_byte(&query->bytes, '\n');
        if (err == ERR_OK)
            exchange_reply(inquiry->exchange, 200, "application/json", buf_slice(&query->bytes));
        else
            answer_error(inquiry, err);
    }
    inquiry_free(inquiry);
}

static void inquiry_closed(void *context)
{
    ((struct inquiry *)context)->exchange = NULL;
}

static const struct responder inquiry_responder = {NULL, inquiry_closed};

static void inquire(struct api *api, struct exchange *exchange, const struct audit_request *request)
{
    const struct project *project = exchange_project(exchange);
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    enum err err = inquiry ? ERR_OK : ERR_LIMIT;
    if (inquiry) {
        buf_init(&inquiry->project, PROJECT_NAME_BYTES_MAX);
        err = buf_append_text(&inquiry->project, project->name);
    }
    if (err != ERR_OK) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        free(inquiry);
        return;
    }
    inquiry->exchange = exchange;
    inquiry->request = *request;
    inquiry->request.project = project->number;
    inquiry->request.project_name = buf_slice(&inquiry->project);
    inquiry->request.now_ns = loop_wall_ns(api->loop);
    inquiry->query = (struct storage_query){
        .kind = STORAGE_AUDIT, .audit = &inquiry->request, .done = inquiry_done, .owner = inquiry};
    exchange_hold(exchange, &inquiry_responder, inquiry);
    err = storage_query(hub_storage(api->hub), &inquiry->query);
    if (err != ERR_OK)
        inquiry_done(&inquiry->query, err);
}

/* A number of the query; 0 if it is not there. False, and answered: it is none. */
static bool read_number(struct exchange *exchange, const char *name, uint64_t *out)
{
    struct slice text;
    *out = 0;
    enum err err = query_get(exchange_target(exchange).query, name, &text);
    if (err == ERR_NOTFOUND || (err == ERR_OK && slice_u64(text, out) == ERR_OK))
        return true;
    exchange_error(exchange, 400, "invalid_parameter", name,
        "`%s` is a number of leaves: one decimal number", name);
    return false;
}

void audit_head_get(struct api *api, struct exchange *exchange, struct slice id)
{
    struct audit_request request = {.kind = AUDIT_HEAD};
    (void)id;
    if (read_number(exchange, "size", &request.size))
        inquire(api, exchange, &request);
}

void audit_consistency_get(struct api *api, struct exchange *exchange, struct slice id)
{
    struct audit_request request = {.kind = AUDIT_CONSISTENCY};
    (void)id;
    if (read_number(exchange, "from", &request.old_size) &&
        read_number(exchange, "to", &request.size))
        inquire(api, exchange, &request);
}

void stream_proof(struct api *api, struct exchange *exchange, struct slice id)
{
    struct audit_request request = {.kind = AUDIT_PROOF};
    struct slice contents = SLICE_NONE;
    if (id_parse(id, &request.id) != ERR_OK) {
        exchange_error(exchange, 404, "stream_not_found", "id",
            "a stream's ID is a UUID like 01890a5d-ac96-774b-bcce-b302099a8057, as in the header "
            "Tokenlog-Stream-Id");
        return;
    }
    enum err err = query_get(exchange_target(exchange).query, "contents", &contents);
    request.has_contents = err == ERR_OK && slice_equal(contents, SLICE("true"));
    if (err != ERR_NOTFOUND && !request.has_contents && !slice_equal(contents, SLICE("false"))) {
        exchange_error(
            exchange, 400, "invalid_parameter", "contents", "`contents` is true or false, once");
        return;
    }
    if (read_number(exchange, "size", &request.size))
        inquire(api, exchange, &request);
}
