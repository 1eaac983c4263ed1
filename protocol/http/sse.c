/* The splitter is a machine over bytes; only LINE, where nearly all bytes are, is scanned in bulk.
 *
 *   START ─BOM─▶ BLANK                 START  the first bytes of a transfer (BOM_1, BOM_2: inside
 *                                             a possible byte order mark)
 *   BLANK ─text─▶ LINE                 BLANK  at the start of a line, no line in this block yet
 *   LINE ─LF─▶ NEXT                    LINE   inside a line
 *   LINE ─CR─▶ LINE_CR ─LF─▶ NEXT      NEXT   at the start of a line, after one of this block
 *   NEXT ─text─▶ LINE
 *   NEXT ─LF─▶ event, BLANK            LINE_CR, BLANK_CR: an LF that follows belongs to the CR
 *   NEXT ─CR─▶ HELD ─LF─▶ event (with the LF), BLANK
 *                   ─else─▶ event (without it), BLANK                                           */
#include "protocol/http/sse.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* START is 0, so that a zeroed splitter is ready. */
enum state { START, BOM_1, BOM_2, BLANK, BLANK_CR, LINE, LINE_CR, NEXT, HELD };

enum { LF = '\n', CR = '\r', BOM_BYTES = 3 };
static const uint8_t bom[BOM_BYTES] = {0xEF, 0xBB, 0xBF};

/* The first CR or LF of [at, end), or `end`. */
static const uint8_t *line_end(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8(LF), cr = _mm_set1_epi8(CR);
    for (; end - at >= 32; at += 32) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
        low = _mm_or_si128(_mm_cmpeq_epi8(low, lf), _mm_cmpeq_epi8(low, cr));
        high = _mm_or_si128(_mm_cmpeq_epi8(high, lf), _mm_cmpeq_epi8(high, cr));
        if (_mm_movemask_epi8(_mm_or_si128(low, high)))
            break;
    }
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, lf), _mm_cmpeq_epi8(bytes, cr));
        int mask = _mm_movemask_epi8(hits);
        if (mask)
            return at + __builtin_ctz((unsigned)mask);
    }
#endif
    while (at < end && *at != LF && *at != CR)
        at++;
    return at;
}

static enum state after_bom_byte(enum state state, uint8_t byte)
{
    if (byte == bom[state])
        return state == BOM_2 ? BLANK : state + 1;
    if (state != START)
        return byte == LF ? NEXT : byte == CR ? LINE_CR : LINE; /* a part of a BOM is text */
    return byte == LF ? BLANK : byte == CR ? BLANK_CR : LINE;
}

static enum state after_byte(enum state state, uint8_t byte)
{
    switch (state) {
    case START:
    case BOM_1:
    case BOM_2: return after_bom_byte(state, byte);
    case BLANK_CR:
    case BLANK: /* the LF of a CRLF ends no second line, and a blank line changes nothing here */
        return byte == LF ? BLANK : byte == CR ? BLANK_CR : LINE;
    case LINE: return byte == LF ? NEXT : byte == CR ? LINE_CR : LINE;
    case LINE_CR: return byte == LF ? NEXT : byte == CR ? HELD : LINE;
    case NEXT: return byte == LF ? BLANK : byte == CR ? HELD : LINE;
    case HELD: break;
    }
    ASSERT(false); /* HELD ends an event, in sse_split() */
    return state;
}

enum err sse_split(struct sse_splitter *splitter, struct slice fresh, size_t *end)
{
    enum state state = splitter->state;
    ASSERT(state <= HELD);
    for (size_t i = 0; i < fresh.size; i++) {
        if (state == LINE) {
            i = (size_t)(line_end(fresh.data + i, fresh.data + fresh.size) - fresh.data);
            if (i == fresh.size)
                break;
        }
        uint8_t byte = fresh.data[i];
        bool is_end = state == HELD || (state == NEXT && byte == LF);
        if (is_end) {
            splitter->state = BLANK;
            *end = byte == LF ? i + 1 : i;
            return ERR_OK;
        }
        state = after_byte(state, byte);
    }
    splitter->state = (uint8_t)state;
    return ERR_AGAIN;
}

bool sse_split_end(struct sse_splitter *splitter)
{
    bool is_event = splitter->state == HELD;
    splitter->state = START;
    return is_event;
}

/* Cut the first line off `rest`, without its line end; false at the end of the block. */
static bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->size == 0)
        return false;
    const uint8_t *start = rest->data, *end = start + rest->size;
    const uint8_t *at = line_end(start, end);
    *line = slice_of(start, (size_t)(at - start));
    if (at < end)
        at += at[0] == CR && at + 1 < end && at[1] == LF ? 2 : 1;
    *rest = slice_of(at, (size_t)(end - at));
    return true;
}

/* "name: value" → name, value; one space after the colon goes; no colon → all of it is the name. */
static void split_field(struct slice line, struct slice *name, struct slice *value)
{
    ptrdiff_t colon = slice_find_byte(line, ':');
    size_t size = colon < 0 ? line.size : (size_t)colon;
    size_t from = colon < 0 ? size : size + 1;
    if (from < line.size && line.data[from] == ' ')
        from++;
    *name = slice_of(line.data, size);
    *value = slice_of(line.data + from, line.size - from);
}

static enum err add_data(struct sse_fields *fields, struct slice value, struct buf *data)
{
    if (!fields->has_data) {
        fields->has_data = true;
        fields->data_line = value;
        return ERR_OK;
    }
    if (!fields->is_joined) {
        TRY(buf_append(data, fields->data_line));
        fields->is_joined = true;
        fields->data_line = SLICE_NONE;
    }
    TRY(buf_append_byte(data, LF));
    return buf_append(data, value);
}

enum err sse_fields(struct slice block, struct buf *data, struct sse_fields *out)
{
    struct sse_fields fields = {0};
    struct slice line, name, value;
    buf_clear(data);
    while (next_line(&block, &line)) {
        if (line.size == 0 || line.data[0] == ':')
            continue;
        split_field(line, &name, &value);
        if (slice_equal(name, SLICE("data")))
            TRY(add_data(&fields, value, data));
        else if (slice_equal(name, SLICE("event")))
            fields.event = value;
        else if (slice_equal(name, SLICE("id")) && slice_find_byte(value, 0) < 0)
            fields.id = value;
    }
    *out = fields;
    return ERR_OK;
}

struct slice sse_data(const struct sse_fields *fields, const struct buf *data)
{
    return fields->is_joined ? buf_slice(data) : fields->data_line;
}

struct slice sse_without_bom(struct slice first_block)
{
    if (slice_has_prefix(first_block, slice_of(bom, BOM_BYTES)))
        return slice_of(first_block.data + BOM_BYTES, first_block.size - BOM_BYTES);
    return first_block;
}
