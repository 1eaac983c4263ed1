/* sse — splits a provider's bytes into events without changing one of them.
 *
 * An event is a block up to and including its blank line, byte for byte (design: "unit of a stream"). The splitter finds the
 * block ends; it does not interpret. Line ends are CRLF, LF or CR, mixed at will; a CR at the end of the input is
 * ambiguous (an LF may follow) and is held back until the next byte — or until the end of the transfer — decides, EXCEPT that
 * a blank line that is certain is reported at once. A leading BOM belongs to the first event. A comment-only block is an event.
 * Blank lines between blocks belong to the block before them where they are already there, else to the next one.
 *
 *   fed whole, byte by byte, or cut anywhere, the same bytes give the same events
 *   (so: a run of blank lines beyond the first after a block always begins the next event.)
 *
 *   thread  any, one at a time · source  https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.5–9.2.6   */
#ifndef TOKENLOG_PROTOCOL_HTTP_SSE_H
#define TOKENLOG_PROTOCOL_HTTP_SSE_H

#include "protocol/base/slice.h"

/* sse_splitter — embed it; init by zero (`= {0}`). It remembers only where in a line the input stopped. */
struct sse_splitter {
    uint8_t state;
};

/* sse_split — the size of the first whole event at the front of `fresh`, given that the bytes already scanned and not yet cut off
 * were fed before; ERR_AGAIN when `fresh` ends inside an event (all of it has been scanned; feed only what comes after it).
 *   Usage: keep unfinished bytes in a buffer of your own; `*end` counts from the start of `fresh`. */
enum err sse_split(struct sse_splitter *splitter, struct slice fresh, size_t *end) NODISCARD;
/* sse_split_end — the transfer is over: whether the bytes held back are a whole event after all (they ended in an ambiguous CR). */
bool sse_split_end(struct sse_splitter *splitter);

/* sse_fields — the interpretation of one event by the WHATWG rules: `event:`, `id:`, and the `data:` lines joined by LF into `data` (cleared first).
 * `event` and `id` are borrowed from `block`; absent ones are SLICE_NONE. has_data is false for a block without data lines.
 * Where there is exactly one data line, `data_line` is borrowed from the block and `data` is left empty (no copy on the hot path): read sse_data(). */
struct sse_fields {
    struct slice event;
    struct slice id;
    struct slice data_line;
    bool has_data;
    bool is_joined; /* more than one data line: the value is in the buffer */
};
enum err sse_fields(struct slice block, struct buf *data, struct sse_fields *out) NODISCARD;
struct slice sse_data(const struct sse_fields *fields, const struct buf *data);

#endif
