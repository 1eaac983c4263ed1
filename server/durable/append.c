/* append — POST: bytes or messages at the end of a stream, and its closure. What is checked, in this
 * order, and what is written, happen in one step of the loop: appends to a stream are one after another.
 *
 *   closed ─▶ 409 (204: again by whoever closed it)      media type ─▶ 409
 *   producer ─▶ 403 stale · 400 · 409 a gap · 204 again  Stream-Seq ─▶ 409       body ─▶ 400
 *
 * One append is one event; with it goes the state, where the append changes it. An answer is given once
 * both are durable: also a 204 to what was appended before. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/messages.h"
#include "server/durable/call.h"
#include "server/durable/recording.h"

struct posting {
    struct call call;
    bool closes;
    bool has_producer;
    struct producer_place producer, known;
    struct slice stream_seq;
    struct buf joined; /* of messages */
    int status;
    uint64_t tail;
    bool is_closed;
};

static void posting_end(struct call *call)
{
    struct posting *posting = CONTAINER_OF(call, struct posting, call);
    buf_deinit(&posting->joined);
    call_deinit(call);
    free(posting);
}

/* ── the request ────────────────────────────────────────────────────────────────────────────── */

static struct slice field(const struct posting *posting, const char *name)
{
    return exchange_header(posting->call.exchange, name);
}

/* All three of them, once, or none. */
static bool read_producer(struct posting *posting)
{
    struct slice id = field(posting, "Producer-Id"), epoch = field(posting, "Producer-Epoch");
    struct slice seq = field(posting, "Producer-Seq");
    posting->has_producer = id.data || epoch.data || seq.data;
    if (!posting->has_producer)
        return true;
    posting->producer.id = id;
    if (id.size && id.size <= PRODUCER_ID_BYTES_MAX &&
        durable_number(epoch, &posting->producer.epoch) == ERR_OK &&
        durable_number(seq, &posting->producer.seq) == ERR_OK)
        return true;
    call_refuse(&posting->call, 400, "invalid_producer", "Producer-Id",
        "a producer sends Producer-Id (1 to %d bytes), Producer-Epoch and Producer-Seq (whole "
        "numbers "
        "up to 2^53 - 1), all three",
        PRODUCER_ID_BYTES_MAX);
    return false;
}

static bool read_fields(struct posting *posting)
{
    posting->closes = durable_is_true(field(posting, "Stream-Closed"));
    posting->stream_seq = field(posting, "Stream-Seq");
    if (!read_producer(posting))
        return false;
    if (posting->stream_seq.data &&
        (posting->stream_seq.size == 0 || posting->stream_seq.size > STREAM_SEQ_BYTES_MAX)) {
        call_refuse(&posting->call, 400, "invalid_stream_seq", "Stream-Seq",
            "Stream-Seq is 1 to %d bytes", STREAM_SEQ_BYTES_MAX);
        return false;
    }
    return true;
}

/* ── the checks; false: answered ────────────────────────────────────────────────────────────── */

static void refuse_closed(struct posting *posting)
{
    call_add_true(&posting->call, "Stream-Closed");
    call_add_offset(&posting->call, entry_tail_visible(posting->call.stream));
    call_refuse(&posting->call, 409, "stream_closed", NULL,
        "the stream is closed: nothing can be appended to it any more");
}

static void answer(struct call *call);

/* What was asked for is so already. */
static bool repeat(struct posting *posting)
{
    posting->status = 204;
    posting->tail = entry_tail(posting->call.stream);
    call_wait(&posting->call, answer);
    return false;
}

static bool check_closed(struct posting *posting, const struct writer_state *state)
{
    posting->is_closed = state->is_closed;
    if (!state->is_closed)
        return true;
    posting->known = posting->producer;
    if (posting->has_producer ? producer_closed(state, &posting->producer)
                              : posting->closes && exchange_body(posting->call.exchange).size == 0)
        return repeat(posting);
    refuse_closed(posting);
    return false;
}

static bool check_body(struct posting *posting)
{
    struct call *call = &posting->call;
    struct slice type = field(posting, "Content-Type");
    const struct row *row = stream_row(call->stream);
    if (exchange_body(call->exchange).size == 0) {
        if (posting->closes)
            return true;
        call_refuse(call, 400, "empty_body", NULL,
            "there is nothing to append: send bytes, or `Stream-Closed: true` to close the stream");
        return false;
    }
    if (type.size == 0) {
        call_refuse(call, 400, "missing_content_type", "Content-Type",
            "say what is appended: this stream holds %.*s", SLICE_PRINT(row->content_type));
        return false;
    }
    if (durable_is_same_type(type, row->content_type))
        return true;
    call_refuse(call, 409, "content_type_mismatch", "Content-Type", "this stream holds %.*s",
        SLICE_PRINT(row->content_type));
    return false;
}

static bool check_producer(struct posting *posting, const struct writer_state *state)
{
    struct call *call = &posting->call;
    if (!posting->has_producer)
        return true;
    switch (producer_check(state, &posting->producer, &posting->known)) {
    case PRODUCER_ACCEPTED: posting->known = posting->producer; return true;
    case PRODUCER_DUPLICATE: return repeat(posting);
    case PRODUCER_STALE:
        call_add_number(call, "Producer-Epoch", posting->known.epoch);
        call_refuse(call, 403, "stale_epoch", "Producer-Epoch",
            "a later epoch of this producer has written: begin one that is later still, at seq 0");
        return false;
    case PRODUCER_MISBEGUN:
        call_refuse(call, 400, "invalid_epoch_start", "Producer-Seq", "an epoch begins at seq 0");
        return false;
    case PRODUCER_GAP:
        call_add_number(call, "Producer-Expected-Seq", posting->known.seq);
        call_add_number(call, "Producer-Received-Seq", posting->producer.seq);
        call_refuse(call, 409, "sequence_gap", "Producer-Seq",
            "appends of this producer are missing before this one");
        return false;
    }
    return false;
}

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool check_stream_seq(struct posting *posting, const struct writer_state *state)
{
    if (posting->stream_seq.size == 0 || state->stream_seq.size == 0 ||
        compare(posting->stream_seq, state->stream_seq) > 0)
        return true;
    call_refuse(&posting->call, 409, "sequence_conflict", "Stream-Seq",
        "the stream has a Stream-Seq that is not below this one (they are compared byte by byte)");
    return false;
}

/* What the event is to hold. */
static bool check_messages(struct posting *posting, struct slice *event)
{
    struct call *call = &posting->call;
    const char *why = NULL;
    size_t count = 0;
    *event = exchange_body(call->exchange);
    if (event->size == 0 || !durable_is_json(stream_row(call->stream)->content_type))
        return true;
    buf_init(&posting->joined, event->size);
    enum err err = messages_join(*event, &posting->joined, &count, &why);
    *event = buf_slice(&posting->joined);
    if (err_is_fault(err))
        call_refuse_storage(call, ERR_LIMIT);
    else if (err)
        call_refuse(call, 400, "invalid_json", NULL, "the body is not JSON: %s", why);
    else if (count == 0)
        call_refuse(call, 400, "empty_array", NULL, "there is no message in the array");
    return !err && count;
}

/* ── the append ─────────────────────────────────────────────────────────────────────────────── */

static void answer(struct call *call)
{
    struct posting *posting = CONTAINER_OF(call, struct posting, call);
    call_add_offset(call, posting->tail);
    if (posting->is_closed)
        call_add_true(call, "Stream-Closed");
    if (posting->has_producer) {
        call_add_number(call, "Producer-Epoch", posting->known.epoch);
        call_add_number(call, "Producer-Seq", posting->known.seq);
    }
    call_reply(call, posting->status, SLICE_NONE, SLICE_NONE);
}

/* The state goes along only where it says something new. */
static enum err write_append(
    struct posting *posting, struct slice event, struct writer_state *state)
{
    struct stream *stream = posting->call.stream;
    if (posting->has_producer)
        producer_note(state, &posting->producer);
    if (posting->stream_seq.size)
        state->stream_seq = posting->stream_seq;
    if (posting->closes) {
        state->is_closed = true;
        state->is_closed_by_producer = posting->has_producer;
    }
    bool is_news = posting->has_producer || posting->stream_seq.size || posting->closes;
    return is_news ? entry_write(stream, event, state) : append_event(stream, event, SLICE_NONE);
}

static void post(struct call *call)
{
    struct posting *posting = CONTAINER_OF(call, struct posting, call);
    struct writer_state state;
    struct slice event;
    enum err err = entry_state(call->stream, &state);
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    if (!check_closed(posting, &state) || !check_body(posting) ||
        !check_producer(posting, &state) || !check_stream_seq(posting, &state) ||
        !check_messages(posting, &event))
        return;
    err = write_append(posting, event, &state);
    if (err == ERR_LIMIT) {
        call_refuse(call, 413, "append_too_large", NULL,
            "one append is more than the journal takes at once: send it in several");
        return;
    }
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    posting->status = posting->has_producer && event.size ? 200 : 204;
    posting->is_closed = state.is_closed;
    posting->tail = entry_tail(call->stream);
    call_wait(call, answer);
}

void durable_post(struct api *api, struct exchange *exchange, struct slice name)
{
    if (recording_refuse(exchange, name))
        return;
    struct posting *posting = calloc(1, sizeof *posting);
    if (!posting) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    buf_init(&posting->joined, 0);
    call_open(&posting->call, api, exchange, posting_end);
    if (call_name(&posting->call, name) && read_fields(posting))
        call_find(&posting->call, post);
}
