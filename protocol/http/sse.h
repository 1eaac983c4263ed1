/* sse — splits a provider's bytes into events without changing one of them.
 *
 * An event is a block up to and including its blank line, byte for byte (design: "unit of a
 * stream"). The splitter finds where blocks end; it does not interpret them.
 *
 *   - Line ends are CRLF, LF or CR, mixed at will. A blank line that ends in LF ends the event at
 *     once. One that ends in CR is ambiguous while nothing follows (an LF may): the event is held
 *     back until the next byte, or the end of the transfer, decides.
 *   - A block has at least one line; a comment is one. Blank lines beyond the one that ends a block
 *     begin the next event.
 *   - A leading BOM belongs to the first event, and does not make its line a line.
 *   - What is left at the end of the transfer, without its blank line, is a residue, no event.
 *
 * Fed whole, byte by byte or cut anywhere, the same bytes give the same events, and the events and
 * the residue one after another are the input.
 *
 *   thread  any, one at a time
 *   source  https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.5–9.2.6 */
#ifndef TOKENLOG_PROTOCOL_HTTP_SSE_H
#define TOKENLOG_PROTOCOL_HTTP_SSE_H

#include "protocol/base/slice.h"

/* sse_splitter — embed it; init by zero (`= {0}`) at the start of a transfer. It remembers only
 * where in a line the input stopped; the unfinished bytes are kept by the caller. */
struct sse_splitter {
    uint8_t state;
};

/* sse_split — find the end of the first event.
 *
 *   fresh    bytes that follow those scanned before
 *   end      the event is what was scanned before and not yet cut off, then `*end` bytes of
 *            `fresh`. May be 0: the first fresh byte decided that a held CR had ended the event.
 *            Go on with the rest of `fresh`
 *   answers  ERR_AGAIN `fresh` ends inside an event; all of it has been scanned: keep it, and feed
 *            only what comes after it */
enum err sse_split(struct sse_splitter *splitter, struct slice fresh, size_t *end) NODISCARD;
/* sse_split_end — the transfer is over: whether the bytes that the caller still keeps are a whole
 * event after all (their blank line ended in a CR). Otherwise they are the residue. */
bool sse_split_end(struct sse_splitter *splitter);

/* sse_fields — what a block says, by the WHATWG rules.
 *
 *   event, id  the last field of that name, borrowed from the block; absent: SLICE_NONE (data is
 *              NULL), empty: has data. An id with a NUL in it is ignored
 *   data_line  the value, where there is exactly one `data` line: borrowed from the block
 *   has_data   there is a `data` line; false for comments, heartbeats and the like
 *   is_joined  there are several; their values joined by LF are in the buffer */
struct sse_fields {
    struct slice event;
    struct slice id;
    struct slice data_line;
    bool has_data;
    bool is_joined;
};

/* sse_fields — interpret one event. `data` is cleared first and left empty where one line says all:
 * no copy on the hot path. Answers and faults are buf_append's. A BOM is not removed here, since
 * only the first event of a stream may have one (see sse_without_bom). */
enum err sse_fields(struct slice block, struct buf *data, struct sse_fields *out) NODISCARD;
/* sse_data — the value of `data`, from the block or from the buffer: borrowed from them. */
struct slice sse_data(const struct sse_fields *fields, const struct buf *data);
/* sse_without_bom — the first event of a stream without its byte order mark. */
struct slice sse_without_bom(struct slice first_block);

#endif
