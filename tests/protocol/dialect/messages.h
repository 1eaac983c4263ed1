/* messages — Amazon's binary messages, written: for tests of what reads them. A golden case has a line
 * for each: the event's name, a space, its payload; an exception's name ends in Exception. */
#ifndef TOKENLOG_TESTS_PROTOCOL_DIALECT_MESSAGES_H
#define TOKENLOG_TESTS_PROTOCOL_DIALECT_MESSAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/http/event_stream.h"

static inline uint32_t messages_crc(struct slice bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static inline void messages_u32(struct buf *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        assert_int_equal(buf_append_byte(out, (uint8_t)(value >> shift)), ERR_OK);
}

static inline void messages_header(struct buf *out, const char *name, struct slice value)
{
    assert_int_equal(buf_append_byte(out, (uint8_t)strlen(name)), ERR_OK);
    assert_int_equal(buf_append_text(out, name), ERR_OK);
    assert_int_equal(buf_append(out, SLICE("\x07")), ERR_OK);
    assert_int_equal(buf_append_byte(out, (uint8_t)(value.size >> 8)), ERR_OK);
    assert_int_equal(buf_append_byte(out, (uint8_t)value.size), ERR_OK);
    assert_int_equal(buf_append(out, value), ERR_OK);
}

static inline void messages_put(struct buf *out, struct slice name, struct slice payload)
{
    struct buf headers;
    size_t start = out->size;
    const struct slice end = SLICE("Exception");
    bool is_exception =
        name.size >= end.size && slice_equal(slice_sub(name, name.size - end.size, end.size), end);
    buf_init(&headers, 1024);
    messages_header(&headers, is_exception ? ":exception-type" : ":event-type", name);
    messages_header(&headers, ":content-type", SLICE("application/json"));
    messages_header(&headers, ":message-type", is_exception ? SLICE("exception") : SLICE("event"));
    messages_u32(out, (uint32_t)(EVENT_STREAM_PRELUDE_BYTES + headers.size + payload.size +
                                 EVENT_STREAM_CHECKSUM_BYTES));
    messages_u32(out, (uint32_t)headers.size);
    messages_u32(out, messages_crc(slice_of(out->data + start, out->size - start)));
    assert_int_equal(buf_append(out, buf_slice(&headers)), ERR_OK);
    assert_int_equal(buf_append(out, payload), ERR_OK);
    messages_u32(out, messages_crc(slice_of(out->data + start, out->size - start)));
    buf_deinit(&headers);
}

/* A line each. */
static inline void messages_of_lines(struct slice lines, struct buf *out)
{
    while (lines.size) {
        ptrdiff_t end = slice_find_byte(lines, '\n'), space = slice_find_byte(lines, ' ');
        assert_true(space > 0 && end > space);
        messages_put(out, slice_sub(lines, 0, (size_t)space),
            slice_sub(lines, (size_t)space + 1, (size_t)(end - space) - 1));
        lines = slice_sub(lines, (size_t)end + 1, lines.size);
    }
}

#endif
