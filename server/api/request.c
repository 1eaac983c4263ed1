/* request — one piece in memory at a time.
 *
 *   ASKING ─(piece)─▶ SENDING ─(sent)─▶ ASKING … ─(all of it)─▶ end
 *     └─(not in the store yet)─▶ WAITING ─(timer)─▶ ASKING
 */
#include "server/api/request.h"

#include <stdlib.h>

enum {
    ARCHIVED_RETRY_MS = 50,
    ARCHIVED_RETRIES_MAX = 400, /* 20 s: the archiver takes up what is some seconds old */
    NS_IN_MS = 1000000,
};

struct sending {
    struct exchange *exchange; /* NULL: the caller is gone, and the query's end is waited for */
    struct stream *stream;
    struct storage_query query;
    struct timer timer;
    uint64_t offset; /* sent and being sent */
    unsigned retries;
    bool has_begun, is_asking, has_piece, has_failed;
};

static void sending_free(struct sending *sending)
{
    timer_cancel(hub_loop(stream_hub(sending->stream)), &sending->timer);
    buf_deinit(&sending->query.bytes);
    stream_unref(sending->stream);
    free(sending);
}

/* What was begun ends without the bytes that it promised; else there is room for an error. */
static void give_up(struct sending *sending, int status, const char *code, enum err err)
{
    struct exchange *exchange = sending->exchange;
    if (sending->has_begun) {
        sending->has_failed = true;
        exchange_wake(exchange); /* `fill` ends it */
        return;
    }
    if (status == 503)
        exchange_retry_after(exchange, 1);
    exchange_error(exchange, status, code, NULL, "the request's body could not be read: %s",
        status == 503 ? "it is not in the store yet; try again" : err_text(err));
    sending_free(sending);
}

static void ask(struct sending *sending);

static void waited(struct timer *timer)
{
    ask(CONTAINER_OF(timer, struct sending, timer));
}

static void wait_for_archiver(struct sending *sending)
{
    struct loop *loop = hub_loop(stream_hub(sending->stream));
    if (++sending->retries > ARCHIVED_RETRIES_MAX) {
        give_up(sending, 503, "not_archived", ERR_OK);
        return;
    }
    sending->timer.fire = waited;
    timer_set(loop, &sending->timer, loop_now_ns(loop) + (int64_t)ARCHIVED_RETRY_MS * NS_IN_MS);
}

static void send_piece(struct sending *sending)
{
    int64_t length = (int64_t)stream_row(sending->stream)->request_bytes;
    if (!sending->has_begun && exchange_begin(sending->exchange, 200, SLICE("application/json"),
                                   length, SLICE_NONE) != ERR_OK) {
        give_up(sending, 500, "internal", ERR_NOMEM);
        return;
    }
    sending->has_begun = sending->has_piece = true;
    exchange_wake(sending->exchange);
}

static void asked(struct storage_query *query, enum err err)
{
    struct sending *sending = query->owner;
    sending->is_asking = false;
    if (!sending->exchange)
        sending_free(sending);
    else if (err == ERR_OK && query->bytes.size)
        send_piece(sending);
    else if (err == ERR_OK || err == ERR_CLOSED || err == ERR_NOTFOUND)
        wait_for_archiver(sending);
    else
        give_up(sending, 500, "storage_fault", err);
}

static void ask(struct sending *sending)
{
    const struct row *row = stream_row(sending->stream);
    buf_deinit(&sending->query.bytes);
    sending->query = (struct storage_query){.kind = STORAGE_BODY,
        .project = row->project,
        .number = row->number,
        .seq = sending->offset,
        .done = asked,
        .owner = sending};
    sending->is_asking = true;
    if (storage_query(hub_storage(stream_hub(sending->stream)), &sending->query) == ERR_OK)
        return;
    sending->is_asking = false;
    wait_for_archiver(sending); /* too many reads wait */
}

static void fill(void *context, struct exchange *exchange)
{
    struct sending *sending = context;
    uint64_t total = stream_row(sending->stream)->request_bytes;
    if (sending->has_failed) {
        exchange_finish(exchange, false);
        return;
    }
    if (exchange_room(exchange) == 0 || sending->is_asking)
        return;
    if (!sending->has_piece) { /* the last piece was sent */
        if (sending->offset == total)
            exchange_finish(exchange, true);
        else if (sending->timer.index == 0)
            ask(sending);
        return;
    }
    struct slice piece = slice_sub(buf_slice(&sending->query.bytes), 0, total - sending->offset);
    sending->has_piece = false;
    sending->offset += piece.size;
    if (exchange_push(exchange, SLICE_NONE, piece, NULL, NULL) != ERR_OK)
        exchange_finish(exchange, false);
}

static void closed(void *context)
{
    struct sending *sending = context;
    sending->exchange = NULL;
    if (sending->is_asking)
        storage_cancel(&sending->query);
    else
        sending_free(sending);
}

static const struct responder responder = {fill, closed};

/* It went to the provider while it came. */
static void refuse_upload(struct exchange *exchange, const struct row *row)
{
    char digest[2 * SHA256_BYTES + 1] = "not whole";
    if (row->upload_digest.size == SHA256_BYTES)
        hex_encode(row->upload_digest, digest);
    exchange_error(exchange, 404, "request_not_recorded", NULL,
        "of a body that was sent while it came a digest is recorded: %llu bytes, SHA-256 %s",
        (unsigned long long)row->upload_bytes, digest);
}

void request_start(struct exchange *exchange, struct stream *stream)
{
    if (stream_row(stream)->upload_bytes > 0) {
        refuse_upload(exchange, stream_row(stream));
        stream_unref(stream);
        return;
    }
    if (stream_row(stream)->request_bytes == 0) {
        exchange_reply(exchange, 200, "application/json", SLICE_NONE);
        stream_unref(stream);
        return;
    }
    struct sending *sending = calloc(1, sizeof *sending);
    if (!sending) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        stream_unref(stream);
        return;
    }
    sending->exchange = exchange;
    sending->stream = stream;
    exchange_hold(exchange, &responder, sending);
    ask(sending);
}
