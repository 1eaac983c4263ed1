/* pack — msgpack over plain memory (msgpack-c inside; its header is included by pack.c only).
 *
 * Internal to protocol/data: row.c and record.c say what is packed, this file says how.
 *
 *   thread  any; no state · allocates nothing: values are written in place and borrowed in place
 *   source  https://github.com/msgpack/msgpack/blob/master/spec.md                               */
#ifndef TOKENLOG_PROTOCOL_DATA_PACK_H
#define TOKENLOG_PROTOCOL_DATA_PACK_H

#include "protocol/base/slice.h"

/* Writing: into a buffer that does not grow. What does not fit sets is_full, and later calls do
 * nothing: check it once, at the end. */
struct pack_writer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool is_full;
};
void pack_writer_init(struct pack_writer *writer, uint8_t *out, size_t capacity);
void pack_array(struct pack_writer *writer, uint32_t count); /* `count` values follow */
void pack_map(struct pack_writer *writer, uint32_t count);   /* `count` keys and values follow */
void pack_unsigned(struct pack_writer *writer, uint64_t number);
void pack_signed(struct pack_writer *writer, int64_t number);
void pack_bool(struct pack_writer *writer, bool value);
void pack_bytes(struct pack_writer *writer, struct slice bytes); /* at most UINT32_MAX of them */
void pack_text(struct pack_writer *writer, struct slice text);   /* likewise */

/* Reading: each call takes one value off the front of `input`. All fault with ERR_CORRUPT on
 * malformed or cut input, on another type and on a number out of range; `input` is then unchanged.
 * Slices are borrowed from the input. */
enum err pack_read_array(struct slice *input, uint32_t *count) NODISCARD;
enum err pack_read_map(struct slice *input, uint32_t *count) NODISCARD;
enum err pack_read_unsigned(struct slice *input, uint64_t max, uint64_t *out) NODISCARD;
enum err pack_read_signed(struct slice *input, int64_t *out) NODISCARD;
enum err pack_read_bool(struct slice *input, bool *out) NODISCARD;
enum err pack_read_bytes(struct slice *input, struct slice *out) NODISCARD; /* text or bytes */
enum err pack_skip_scalar(struct slice *input) NODISCARD; /* anything but arrays and maps */
/* pack_skip — one value with all that is in it; work is bounded by the input's size. */
enum err pack_skip(struct slice *input) NODISCARD;

#endif
