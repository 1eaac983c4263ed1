#include "protocol/base/slice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_CAPACITY_MIN = 64 };

struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){data, size};
}

struct slice slice_text(const char *text)
{
    return text ? (struct slice){(const uint8_t *)text, strlen(text)} : SLICE_NONE;
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.size >= prefix.size && slice_equal(slice_sub(s, 0, prefix.size), prefix);
}

ptrdiff_t slice_find(struct slice s, struct slice needle)
{
    if (needle.size == 0)
        return 0;
    if (s.size < needle.size)
        return -1;
    const uint8_t *at = memmem(s.data, s.size, needle.data, needle.size);
    return at ? at - s.data : -1;
}

ptrdiff_t slice_find_byte(struct slice s, uint8_t byte)
{
    const uint8_t *at = s.size ? memchr(s.data, byte, s.size) : NULL;
    return at ? at - s.data : -1;
}

struct slice slice_sub(struct slice s, size_t from, size_t size)
{
    if (from >= s.size)
        return SLICE_NONE;
    size_t left = s.size - from;
    return (struct slice){s.data + from, size < left ? size : left};
}

struct slice slice_trim(struct slice s)
{
    while (s.size && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.size--;
    while (s.size && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
        s.size--;
    return s;
}

enum err slice_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.size == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return ERR_INVALID;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return ERR_INVALID;
    }
    *out = value;
    return ERR_OK;
}

/* Size of the well-formed sequence at `p`, or 0 (RFC 3629 §4). */
static size_t utf8_size(const uint8_t *p, size_t left)
{
    uint8_t a = p[0];
    if (a < 0x80)
        return 1;
    if (a < 0xC2 || a > 0xF4)
        return 0;
    size_t size = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
    if (left < size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((a == 0xE0 && p[1] < 0xA0) || (a == 0xED && p[1] > 0x9F) || (a == 0xF0 && p[1] < 0x90) ||
        (a == 0xF4 && p[1] > 0x8F))
        return 0;
    return size;
}

bool slice_is_utf8(struct slice s)
{
    size_t i = 0;
    while (i < s.size) {
        uint64_t word;
        if (s.size - i >= sizeof word) { /* eight ASCII bytes at a time */
            memcpy(&word, s.data + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t size = utf8_size(s.data + i, s.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

void buf_init(struct buf *buf, size_t size_max)
{
    *buf = (struct buf){.size_max = size_max};
}

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
}

struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->data, buf->size};
}

/* The next power-of-two multiple that holds `need`; the bound itself where that would pass it. */
static size_t buf_capacity_for(const struct buf *buf, size_t need)
{
    size_t capacity = buf->capacity ? buf->capacity : BUF_CAPACITY_MIN;
    while (capacity < need && capacity <= buf->size_max / 2)
        capacity *= 2;
    return capacity < need || capacity > buf->size_max ? buf->size_max : capacity;
}

enum err buf_reserve(struct buf *buf, size_t size, uint8_t **out)
{
    if (size > buf->size_max - buf->size)
        return ERR_LIMIT;
    size_t need = buf->size + size;
    if (need > buf->capacity) {
        size_t capacity = buf_capacity_for(buf, need);
        uint8_t *data = realloc(buf->data, capacity);
        if (!data)
            return fault(ERR_NOMEM, "buf of %zu bytes", capacity);
        buf->data = data;
        buf->capacity = capacity;
    }
    *out = buf->data ? buf->data + buf->size : NULL;
    return ERR_OK;
}

void buf_commit(struct buf *buf, size_t size)
{
    ASSERT(size <= buf->capacity - buf->size);
    buf->size += size;
}

enum err buf_append(struct buf *buf, struct slice bytes)
{
    uint8_t *at;
    if (bytes.size == 0)
        return ERR_OK;
    TRY(buf_reserve(buf, bytes.size, &at));
    memcpy(at, bytes.data, bytes.size);
    buf_commit(buf, bytes.size);
    return ERR_OK;
}

enum err buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, slice_text(text));
}

enum err buf_append_byte(struct buf *buf, uint8_t byte)
{
    return buf_append(buf, (struct slice){&byte, 1});
}

enum err buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    size_t end = buf->capacity < buf->size_max ? buf->capacity : buf->size_max;
    size_t room = end > buf->size ? end - buf->size : 0;
    uint8_t *at = room ? buf->data + buf->size : NULL;
    va_start(args, format);
    int size = vsnprintf((char *)at, room, format, args);
    va_end(args);
    ASSERT(size >= 0);
    if ((size_t)size >= room) { /* vsnprintf ends with a NUL, and cut it off */
        TRY(buf_reserve(buf, (size_t)size + 1, &at));
        va_start(args, format);
        (void)vsnprintf((char *)at, (size_t)size + 1, format, args);
        va_end(args);
    }
    buf_commit(buf, (size_t)size);
    return ERR_OK;
}

void buf_consume(struct buf *buf, size_t size)
{
    ASSERT(size <= buf->size);
    if (size && size < buf->size)
        memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
}
