/* stream — phases, one write each but for the tokens:
 *
 *   HEAD  response head and prelude  →  TOKENS  `burst` tokens a write  →  TAIL  →  OVER
 *   HEAD  an answer that is no stream, whole                            →          OVER
 *
 * A fault takes the place of the write at whose turn it is. Token i is due at zero + i / rate,
 * whatever happened to the others, so a late stream catches up and does not drift.
 *
 * Tokens come from a pre-rendered event, chunk header included, in which only the digits of the
 * index (and of sequence_number) are patched. It is rendered anew when one of them gains a digit.
 */
#include "tools/mock/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "tools/mock/bounds.h"

static const uint64_t NS_PER_MS = 1000000;
static const uint64_t MILLI_NS_PER_S = 1000000000000; /* thousandths of a token per second, in ns */
static const uint64_t DECIMAL = 10;

enum phase { PHASE_HEAD, PHASE_TOKENS, PHASE_TAIL, PHASE_OVER };

struct stream {
    const struct shape *shape;
    struct behavior behavior;
    struct answer answer;
    struct ticket ticket;
    struct frame frame;
    int64_t zero_ns; /* when token 0 is due */
    uint64_t index;  /* of the next token */
    uint64_t from;   /* events before this one are not sent */
    enum phase phase;
    enum outcome outcome;      /* if nothing more happens */
    enum outcome last_outcome; /* once the bytes of the last write are gone */
    bool is_stream;
    bool keeps_alive;
    struct buf event;       /* the pre-rendered token */
    struct token_spot spot; /* offsets in `event` */
    uint64_t index_limit;   /* the index and the sequence from which on it no longer fits */
    uint64_t sequence_limit;
    size_t index_digits;
    size_t sequence_digits;
    uint8_t model[];
};

static int64_t token_due_ns(int64_t zero_ns, uint64_t rate_milli, uint64_t index)
{
    if (!rate_milli)
        return zero_ns;
    unsigned __int128 wait = (unsigned __int128)index * MILLI_NS_PER_S;
    return zero_ns + (int64_t)(wait / rate_milli);
}

static int64_t zero_of(const struct stream_order *order)
{
    return order->now_ns + (int64_t)(order->behavior.ttft_ms * NS_PER_MS);
}

int64_t stream_end_ns(const struct stream_order *order)
{
    return token_due_ns(zero_of(order), order->behavior.rate_milli, order->answer.events);
}

/* Its fault, if it has one, comes so much later. */
static void begin_at(struct stream *stream)
{
    uint64_t prelude = shape_token_sequence(0);
    if (stream->from <= prelude)
        return;
    stream->index = stream->from - prelude;
    if (stream->index > stream->answer.events)
        stream->index = stream->answer.events;
    stream->behavior.fault_at += stream->index;
    if (stream->behavior.fault_at > stream->answer.events)
        stream->behavior.fault_at = stream->answer.events;
}

/* Of the events behind the last token. */
static uint64_t tail_skip(const struct stream *stream)
{
    uint64_t before = shape_token_sequence(stream->answer.events);
    return stream->from > before ? stream->from - before : 0;
}

struct stream *stream_new(const struct stream_order *order)
{
    struct slice model = order->answer.model;
    struct stream *stream = calloc(1, sizeof *stream + model.size);
    if (!stream)
        return NULL;
    bool is_close_framed = order->behavior.is_close_framed || order->is_http10;
    stream->shape = order->shape;
    stream->behavior = order->behavior;
    stream->answer = order->answer;
    stream->ticket = order->ticket;
    stream->frame =
        (struct frame){shape_frames(order->shape), order->behavior.sse, !is_close_framed};
    stream->zero_ns = zero_of(order);
    stream->outcome = OUTCOME_ABORTED;
    stream->from = order->from;
    begin_at(stream);
    stream->is_stream = shape_streams(order->shape, order->is_stream);
    stream->keeps_alive = order->keeps_alive && !is_close_framed;
    buf_init(&stream->event, WRITE_BYTES_MAX);
    memcpy(stream->model, model.data, model.size);
    stream->answer.model = slice_of(stream->model, model.size);
    stream->answer.host = SLICE_NONE;
    return stream;
}

struct stream *stream_free(struct stream *stream, struct stats *stats)
{
    if (!stream)
        return NULL;
    stats_end(stats, &stream->ticket, stream->outcome);
    buf_deinit(&stream->event);
    free(stream);
    return NULL;
}

bool stream_is_byte_wise(const struct stream *stream)
{
    return stream->behavior.is_byte_wise;
}

bool stream_closes(const struct stream *stream)
{
    return !stream->keeps_alive;
}

void stream_over(struct stream *stream)
{
    ASSERT(stream->phase == PHASE_OVER);
    stream->outcome = stream->last_outcome;
}

int64_t stream_due_ns(const struct stream *stream)
{
    uint64_t index = stream->phase != PHASE_HEAD ? stream->index
                     : stream->is_stream         ? 0
                                                 : stream->answer.events;
    return token_due_ns(stream->zero_ns, stream->behavior.rate_milli, index);
}

/* ---- the token event ---- */

static size_t digits_of(uint64_t value, uint64_t *limit)
{
    size_t digits = 1;
    uint64_t power = DECIMAL;
    while (value >= power) {
        power *= DECIMAL;
        digits++;
    }
    *limit = power;
    return digits;
}

static void patch(uint8_t *at, size_t digits, uint64_t value)
{
    while (digits-- > 0) {
        at[digits] = (uint8_t)('0' + value % DECIMAL);
        value /= DECIMAL;
    }
}

static enum err pad(struct buf *data, const struct token_spot *spot, size_t size)
{
    uint8_t *end;
    TRY(buf_reserve(data, size, &end));
    memmove(data->data + spot->pad_at + size, data->data + spot->pad_at, data->size - spot->pad_at);
    memset(data->data + spot->pad_at, spot->pad, size);
    buf_commit(data, size);
    return ERR_OK;
}

static enum err event_build(struct stream *stream)
{
    CLEANUP(buf_deinit) struct buf data;
    buf_init(&data, WRITE_BYTES_MAX);
    const char *name = shape_token_event(stream->shape);
    TRY(shape_token(stream->shape, &stream->answer, stream->index, &data, &stream->spot));
    size_t size = frame_event_size(&stream->frame, name, data.size);
    if (size < stream->behavior.size_bytes && stream->spot.pad_at != SIZE_MAX)
        TRY(pad(&data, &stream->spot, stream->behavior.size_bytes - size));
    size_t data_at;
    buf_clear(&stream->event);
    TRY(frame_event(&stream->frame, name, buf_slice(&data), &stream->event, &data_at));
    stream->spot.index_at += data_at;
    if (stream->spot.sequence_at != SIZE_MAX)
        stream->spot.sequence_at += data_at;
    stream->index_digits = digits_of(stream->index, &stream->index_limit);
    stream->sequence_digits =
        digits_of(stream->spot.sequence_first + stream->index, &stream->sequence_limit);
    return ERR_OK;
}

static enum err event_ready(struct stream *stream)
{
    uint64_t sequence = stream->spot.sequence_first + stream->index;
    bool has_sequence = stream->spot.sequence_at != SIZE_MAX;
    if (!stream->event.size || stream->index >= stream->index_limit ||
        (has_sequence && sequence >= stream->sequence_limit))
        return event_build(stream);
    patch(stream->event.data + stream->spot.index_at, stream->index_digits, stream->index);
    if (has_sequence)
        patch(stream->event.data + stream->spot.sequence_at, stream->sequence_digits, sequence);
    frame_mend(&stream->frame, &stream->event);
    return ERR_OK;
}

/* ---- writes ---- */

/* Every last write comes through here. */
static void finish(struct stream *stream, enum outcome outcome)
{
    stream->phase = PHASE_OVER;
    stream->last_outcome = outcome;
}

static enum stream_act fail(struct stream *stream, enum stream_act act)
{
    finish(stream, OUTCOME_FAILED);
    return act;
}

static enum err put_head(
    const struct stream *stream, const char *type, const char *framing, struct buf *out)
{
    const char *id = shape_is_anthropic(stream->shape) ? "request-id" : "x-request-id";
    return buf_printf(out,
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: %s\r\n"
        "Cache-Control: no-cache\r\n"
        "%s: req_mock%08" PRIu64 "\r\n"
        "x-ratelimit-remaining-requests: 9999\r\n"
        "%s"
        "Connection: %s\r\n\r\n",
        type, id, stream->answer.generation, framing, stream->keeps_alive ? "keep-alive" : "close");
}

static enum err put_stream_head(const struct stream *stream, struct buf *out)
{
    TRY(put_head(stream, frame_content_type(&stream->frame),
        stream->frame.is_chunked ? "Transfer-Encoding: chunked\r\n" : "", out));
    bool has_bom = stream->frame.kind == FRAME_SSE && stream->behavior.sse == SSE_BOM;
    return has_bom ? frame_put(&stream->frame, SLICE("\xEF\xBB\xBF"), out) : ERR_OK;
}

static enum err render_error(struct stream *stream, struct stats *stats, struct buf *out)
{
    TRY(shape_error_event(stream->shape, &stream->frame, stream->index, out));
    stats_sent(stats, &stream->ticket, 1, 0);
    return frame_end(&stream->frame, out);
}

static enum err render_half_token(struct stream *stream, struct buf *out)
{
    TRY(event_ready(stream));
    return buf_append(out, slice_sub(buf_slice(&stream->event), 0, stream->event.size / 2));
}

/* The fault's turn has come: after `fault_at` tokens. */
static enum err render_fault(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    switch (stream->behavior.fault) {
    case FAULT_STALL: *act = ACT_STALL; return ERR_OK;
    case FAULT_RESET: *act = fail(stream, ACT_RESET); return ERR_OK;
    case FAULT_CLOSE: *act = fail(stream, ACT_CLOSE); return ERR_OK;
    case FAULT_END: *act = fail(stream, ACT_DONE); return frame_end(&stream->frame, out);
    case FAULT_TRUNCATE: *act = fail(stream, ACT_RESET); return render_half_token(stream, out);
    case FAULT_ERROR: *act = fail(stream, ACT_DONE); return render_error(stream, stats, out);
    case FAULT_GARBAGE:
        *act = fail(stream, ACT_CLOSE);
        return buf_append_text(out, "zz\r\nthis is no chunk\r\n");
    case FAULT_NONE:
    case FAULT_REFUSE:
    case FAULT_FIRST_ERROR: break;
    }
    ASSERT(false);
    return ERR_INVALID;
}

static bool has_fault_at_tokens(const struct stream *stream)
{
    enum behavior_fault fault = stream->behavior.fault;
    return fault != FAULT_NONE && fault != FAULT_REFUSE && fault != FAULT_FIRST_ERROR;
}

static bool is_fault_due(const struct stream *stream)
{
    return has_fault_at_tokens(stream) && stream->index == stream->behavior.fault_at;
}

static void enter_tokens(struct stream *stream)
{
    bool is_tail = stream->index == stream->answer.events && !is_fault_due(stream);
    stream->phase = is_tail ? PHASE_TAIL : PHASE_TOKENS;
}

static enum err render_stream_head(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    uint64_t events = 0;
    *act = ACT_GO_ON;
    TRY(put_stream_head(stream, out));
    enter_tokens(stream);
    if (stream->behavior.fault == FAULT_FIRST_ERROR) {
        *act = fail(stream, ACT_DONE);
        return render_error(stream, stats, out);
    }
    if (is_fault_due(stream)) /* after 0 tokens: the head alone */
        return ERR_OK;
    TRY(shape_prelude(stream->shape, &stream->answer, &stream->frame, stream->from, out, &events));
    stats_sent(stats, &stream->ticket, events, 0);
    return ERR_OK;
}

/* Of the faults, those that can befall a counted body do so half-way through it. */
static bool is_whole_cut(const struct stream *stream, enum stream_act *act)
{
    switch (stream->behavior.fault) {
    case FAULT_STALL: *act = ACT_STALL; return true;
    case FAULT_CLOSE: *act = ACT_CLOSE; return true;
    case FAULT_RESET:
    case FAULT_TRUNCATE: *act = ACT_RESET; return true;
    case FAULT_NONE:
    case FAULT_REFUSE:
    case FAULT_END:
    case FAULT_ERROR:
    case FAULT_GARBAGE:
    case FAULT_FIRST_ERROR: break;
    }
    return false;
}

static enum err render_whole(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, WRITE_BYTES_MAX);
    TRY(shape_whole(stream->shape, &stream->answer, &body));
    char length[64] = "";
    if (stream->frame.is_chunked) /* that is: not ended by the connection */
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", body.size);
    TRY(put_head(stream, "application/json", length, out));
    *act = ACT_DONE;
    bool is_cut = is_whole_cut(stream, act);
    TRY(buf_append(out, slice_sub(buf_slice(&body), 0, is_cut ? body.size / 2 : body.size)));
    if (!is_cut)
        stats_sent(
            stats, &stream->ticket, 0, shape_has_text(stream->shape) ? stream->answer.events : 0);
    finish(stream, is_cut ? OUTCOME_FAILED : OUTCOME_COMPLETED);
    return ERR_OK;
}

static enum err render_tokens(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    if (is_fault_due(stream))
        return render_fault(stream, stats, out, act);
    uint64_t end = has_fault_at_tokens(stream) ? stream->behavior.fault_at : stream->answer.events;
    uint64_t count = end - stream->index;
    if (count > stream->behavior.burst)
        count = stream->behavior.burst;
    for (uint64_t i = 0; i < count; i++) {
        TRY(event_ready(stream));
        TRY(buf_append(out, buf_slice(&stream->event)));
        stream->index++;
    }
    stats_sent(stats, &stream->ticket, count, count);
    enter_tokens(stream);
    *act = ACT_GO_ON;
    return ERR_OK;
}

static enum err render_tail(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    uint64_t events = 0;
    TRY(shape_tail(
        stream->shape, &stream->answer, &stream->frame, tail_skip(stream), out, &events));
    TRY(frame_end(&stream->frame, out));
    stats_sent(stats, &stream->ticket, events, 0);
    finish(stream, OUTCOME_COMPLETED);
    *act = ACT_DONE;
    return ERR_OK;
}

enum err stream_render(
    struct stream *stream, struct stats *stats, struct buf *out, enum stream_act *act)
{
    switch (stream->phase) {
    case PHASE_HEAD:
        if (stream->behavior.is_dropped || stream->behavior.fault == FAULT_REFUSE) {
            *act = fail(stream, stream->behavior.is_dropped ? ACT_CLOSE : ACT_RESET);
            return ERR_OK;
        }
        return stream->is_stream ? render_stream_head(stream, stats, out, act)
                                 : render_whole(stream, stats, out, act);
    case PHASE_TOKENS: return render_tokens(stream, stats, out, act);
    case PHASE_TAIL: return render_tail(stream, stats, out, act);
    case PHASE_OVER: break;
    }
    ASSERT(false);
    return ERR_INVALID;
}
