/* writer_state — see writer_state.h.
 *
 *   [version, flags, ttl_s, expires_ns, forks, stream_seq,
 *    depth, source, inherited, sub_offset, source_name,
 *    [id, epoch, seq, id, epoch, seq, …]]                                    msgpack */
#include "protocol/data/writer_state.h"

#include <string.h>

#include "protocol/data/pack.h"

enum {
    VERSION = 1,
    VALUES = 12,
    VALUES_OF_PRODUCER = 3,
    FLAG_CLOSED = 1,
    FLAG_CLOSED_BY_PRODUCER = 2,
    FLAG_DELETED = 4,
    FLAG_BEGUN = 8,
    FLAG_TTL = 16,
    FLAGS_ALL = 31,
};

/* ── as bytes ───────────────────────────────────────────────────────────────────────────────── */

static uint64_t flags_of(const struct writer_state *state)
{
    return (state->is_closed ? FLAG_CLOSED : 0u) |
           (state->is_closed_by_producer ? FLAG_CLOSED_BY_PRODUCER : 0u) |
           (state->is_deleted ? FLAG_DELETED : 0u) | (state->is_begun ? FLAG_BEGUN : 0u) |
           (state->has_ttl ? FLAG_TTL : 0u);
}

static void write_state(const struct writer_state *state, struct pack_writer *writer)
{
    pack_array(writer, VALUES);
    pack_unsigned(writer, VERSION);
    pack_unsigned(writer, flags_of(state));
    pack_unsigned(writer, state->ttl_s);
    pack_signed(writer, state->expires_ns);
    pack_unsigned(writer, state->forks);
    pack_bytes(writer, state->stream_seq);
    pack_unsigned(writer, state->depth);
    pack_bytes(writer, state->depth ? id_slice(&state->source) : SLICE_NONE);
    pack_unsigned(writer, state->inherited);
    pack_unsigned(writer, state->sub_offset);
    pack_bytes(writer, state->source_name);
    pack_array(writer, (uint32_t)state->producer_count * VALUES_OF_PRODUCER);
    for (size_t i = 0; i < state->producer_count; i++) {
        pack_bytes(writer, state->producers[i].id);
        pack_unsigned(writer, state->producers[i].epoch);
        pack_unsigned(writer, state->producers[i].seq);
    }
}

static void forget_first(struct writer_state *state)
{
    state->producer_count--;
    memmove(
        state->producers, state->producers + 1, state->producer_count * sizeof *state->producers);
}

enum err writer_state_encode(struct writer_state *state, struct buf *out)
{
    uint8_t bytes[WRITER_STATE_BYTES_MAX];
    struct pack_writer writer;
    for (;;) {
        pack_writer_init(&writer, bytes, sizeof bytes);
        write_state(state, &writer);
        if (!writer.is_full)
            return buf_append(out, slice_of(bytes, writer.size));
        ASSERT(state->producer_count > 0); /* all else is bounded, and far smaller */
        forget_first(state);
    }
}

static enum err read_flags(struct slice *input, struct writer_state *out)
{
    uint64_t flags;
    TRY(pack_read_unsigned(input, FLAGS_ALL, &flags));
    out->is_closed = flags & FLAG_CLOSED;
    out->is_closed_by_producer = flags & FLAG_CLOSED_BY_PRODUCER;
    out->is_deleted = flags & FLAG_DELETED;
    out->is_begun = flags & FLAG_BEGUN;
    out->has_ttl = flags & FLAG_TTL;
    return ERR_OK;
}

static enum err read_fork(struct slice *input, struct writer_state *out)
{
    uint64_t depth;
    struct slice source;
    TRY(pack_read_unsigned(input, UINT32_MAX, &depth));
    TRY(pack_read_bytes(input, &source));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->inherited));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->sub_offset));
    TRY(pack_read_bytes(input, &out->source_name));
    out->depth = (uint32_t)depth;
    if (source.size != (depth ? ID_BYTES : 0))
        return fault(ERR_CORRUPT, "a fork's source has %zu bytes", source.size);
    if (depth)
        memcpy(out->source.bytes, source.data, ID_BYTES);
    return ERR_OK;
}

static enum err read_producers(struct slice *input, struct writer_state *out)
{
    uint32_t count;
    TRY(pack_read_array(input, &count));
    if (count % VALUES_OF_PRODUCER || count / VALUES_OF_PRODUCER > PRODUCERS_MAX)
        return fault(ERR_CORRUPT, "a stream of %u values of producers", count);
    for (; out->producer_count < count / VALUES_OF_PRODUCER; out->producer_count++) {
        struct producer_place *place = &out->producers[out->producer_count];
        TRY(pack_read_bytes(input, &place->id));
        TRY(pack_read_unsigned(input, UINT64_MAX, &place->epoch));
        TRY(pack_read_unsigned(input, UINT64_MAX, &place->seq));
    }
    return ERR_OK;
}

static enum err read_state(struct slice *input, struct writer_state *out)
{
    uint32_t count;
    uint64_t version;
    TRY(pack_read_array(input, &count));
    TRY(pack_read_unsigned(input, UINT64_MAX, &version));
    if (count != VALUES || version != VERSION)
        return fault(ERR_CORRUPT, "a writer's state of version %llu", (unsigned long long)version);
    TRY(read_flags(input, out));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->ttl_s));
    TRY(pack_read_signed(input, &out->expires_ns));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->forks));
    TRY(pack_read_bytes(input, &out->stream_seq));
    TRY(read_fork(input, out));
    return read_producers(input, out);
}

enum err writer_state_decode(struct slice bytes, struct writer_state *out)
{
    *out = (struct writer_state){0};
    if (bytes.size == 0)
        return ERR_OK;
    TRY(read_state(&bytes, out));
    return bytes.size ? fault(ERR_CORRUPT, "bytes follow a writer's state") : ERR_OK;
}

/* ── producers ──────────────────────────────────────────────────────────────────────────────── */

static const struct producer_place *find(const struct writer_state *state, struct slice id)
{
    for (size_t i = 0; i < state->producer_count; i++)
        if (slice_equal(state->producers[i].id, id))
            return &state->producers[i];
    return NULL;
}

enum producer_verdict producer_check(const struct writer_state *state,
    const struct producer_place *asked, struct producer_place *known)
{
    const struct producer_place *place = find(state, asked->id);
    *known = place ? *place : (struct producer_place){.id = asked->id};
    if (!place)
        return asked->seq ? PRODUCER_GAP : PRODUCER_ACCEPTED;
    if (asked->epoch < place->epoch)
        return PRODUCER_STALE;
    if (asked->epoch > place->epoch)
        return asked->seq ? PRODUCER_MISBEGUN : PRODUCER_ACCEPTED;
    if (asked->seq <= place->seq)
        return PRODUCER_DUPLICATE;
    known->seq = place->seq + 1;
    return asked->seq == known->seq ? PRODUCER_ACCEPTED : PRODUCER_GAP;
}

bool producer_closed(const struct writer_state *state, const struct producer_place *asked)
{
    if (!state->is_closed_by_producer || state->producer_count == 0)
        return false;
    const struct producer_place *last = &state->producers[state->producer_count - 1];
    return slice_equal(last->id, asked->id) && last->epoch == asked->epoch &&
           last->seq == asked->seq;
}

void producer_note(struct writer_state *state, const struct producer_place *place)
{
    const struct producer_place *known = find(state, place->id);
    size_t at = known ? (size_t)(known - state->producers) : 0;
    if (known || state->producer_count == PRODUCERS_MAX) {
        state->producer_count--;
        memmove(state->producers + at, state->producers + at + 1,
            (state->producer_count - at) * sizeof *state->producers);
    }
    state->producers[state->producer_count++] = *place;
}
