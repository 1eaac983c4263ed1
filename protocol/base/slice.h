/* slice, buf — bytes borrowed, and bytes owned within a bound.
 *
 * A slice never owns: whoever hands one out says until when it holds. A buf owns one growing
 * allocation and refuses (ERR_LIMIT) to grow past the bound it was born with, so that no peer
 * decides how much memory is used. */
#ifndef TOKENLOG_PROTOCOL_BASE_SLICE_H
#define TOKENLOG_PROTOCOL_BASE_SLICE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/err.h"

struct slice {
    const uint8_t *data;
    size_t size;
};

#define SLICE(literal) ((struct slice){(const uint8_t *)(literal), sizeof(literal) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})
/* For printf("%.*s", SLICE_PRINT(s)). */
#define SLICE_PRINT(s) (int)(s).size, (const char *)(s).data

struct slice slice_of(const void *data, size_t size);
struct slice slice_text(const char *text); /* NULL gives SLICE_NONE */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII */
bool slice_has_prefix(struct slice s, struct slice prefix);
/* slice_find — offset of the first `needle` in `s`, or -1. An empty needle is found at 0. */
ptrdiff_t slice_find(struct slice s, struct slice needle);
ptrdiff_t slice_find_byte(struct slice s, uint8_t byte);
/* slice_sub — [from, from + size), clipped to `s`. */
struct slice slice_sub(struct slice s, size_t from, size_t size);
struct slice slice_trim(struct slice s); /* spaces and tabs at both ends */
/* slice_u64 — the whole slice as decimal digits; ERR_INVALID for anything else (sign, space, empty,
 * overflow). */
enum err slice_u64(struct slice s, uint64_t *out) NODISCARD;
bool slice_is_utf8(struct slice s); /* RFC 3629: no overlong forms, no surrogates */

struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t size_max;
};

void buf_init(struct buf *buf, size_t size_max);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the allocation */
struct slice buf_slice(const struct buf *buf);
/* buf_append…  answers ERR_LIMIT (nothing was appended) · faults ERR_NOMEM. What is appended must
 * not be a part of the buf itself. buf_printf needs room for one byte more than it appends. */
enum err buf_append(struct buf *buf, struct slice bytes) NODISCARD;
enum err buf_append_text(struct buf *buf, const char *text) NODISCARD;
enum err buf_append_byte(struct buf *buf, uint8_t byte) NODISCARD;
enum err buf_printf(struct buf *buf, const char *format, ...) NODISCARD PRINTF(2, 3);
/* buf_reserve — room for `size` more bytes at `*out`; they count once buf_commit() is told how many
 * were written. */
enum err buf_reserve(struct buf *buf, size_t size, uint8_t **out) NODISCARD;
void buf_commit(struct buf *buf, size_t size);
/* buf_consume — drop the first `size` bytes. */
void buf_consume(struct buf *buf, size_t size);

#endif
