/* event_stream — sizes are looked at before they are counted with, checksums before sizes are
 * believed. */
#include "protocol/http/event_stream.h"

enum {
    TOTAL_AT = 0,
    HEADERS_AT = 4,
    PRELUDE_CRC_AT = 8,
    MESSAGE_BYTES_MIN = EVENT_STREAM_PRELUDE_BYTES + EVENT_STREAM_CHECKSUM_BYTES,
};

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* RFC 1952 §8: polynomial 0xEDB88320, half a byte at a time. */
static uint32_t crc32(struct slice bytes)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190,
        0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- finding ---- */

static bool is_prelude(const uint8_t *prelude)
{
    uint32_t total = read_u32(prelude + TOTAL_AT), headers = read_u32(prelude + HEADERS_AT);
    return read_u32(prelude + PRELUDE_CRC_AT) == crc32(slice_of(prelude, PRELUDE_CRC_AT)) &&
           total >= MESSAGE_BYTES_MIN && total <= EVENT_STREAM_MESSAGE_BYTES_MAX &&
           headers <= EVENT_STREAM_HEADERS_BYTES_MAX && headers <= total - MESSAGE_BYTES_MIN;
}

enum err event_stream_split(struct event_stream_splitter *splitter, struct slice fresh, size_t *end)
{
    size_t at = 0;
    while (splitter->size < EVENT_STREAM_PRELUDE_BYTES && at < fresh.size)
        splitter->prelude[splitter->size++] = fresh.data[at++];
    if (splitter->size < EVENT_STREAM_PRELUDE_BYTES)
        return ERR_AGAIN;
    if (!is_prelude(splitter->prelude))
        return ERR_INVALID;
    size_t missing = read_u32(splitter->prelude + TOTAL_AT) - splitter->size;
    if (fresh.size - at < missing) {
        splitter->size += (uint32_t)(fresh.size - at);
        return ERR_AGAIN;
    }
    splitter->size = 0;
    *end = at + missing;
    return ERR_OK;
}

/* ---- reading ---- */

enum { TYPE_BYTES = 6, TYPE_STRING = 7, TYPE_COUNT = 10 };

/* Cuts `size` bytes off the front; false: there are not so many. */
static bool take(struct slice *rest, size_t size, struct slice *out)
{
    if (rest->size < size)
        return false;
    *out = slice_sub(*rest, 0, size);
    *rest = slice_sub(*rest, size, rest->size);
    return true;
}

static bool take_value(struct slice *rest, uint8_t type, struct slice *out)
{
    static const uint8_t sizes[TYPE_COUNT] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};
    struct slice size;
    if (type >= TYPE_COUNT)
        return false;
    if (type != TYPE_BYTES && type != TYPE_STRING)
        return take(rest, sizes[type], out);
    return take(rest, 2, &size) && take(rest, (size_t)size.data[0] << 8 | size.data[1], out);
}

static void note_header(struct slice name, struct slice value, struct event_stream_message *out)
{
    static const char *const names[] = {":event-type", ":exception-type", ":error-code"};
    if (slice_equal(name, SLICE(":message-type")))
        out->type = value;
    else if (slice_equal(name, SLICE(":error-message")))
        out->text = value;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_equal(name, slice_text(names[i])))
            out->name = value;
}

static enum err read_headers(struct slice headers, struct event_stream_message *out)
{
    struct slice size, name, type, value;
    while (headers.size) {
        if (!take(&headers, 1, &size) || !take(&headers, size.data[0], &name) ||
            !take(&headers, 1, &type) || !take_value(&headers, type.data[0], &value))
            return ERR_INVALID;
        if (type.data[0] == TYPE_STRING)
            note_header(name, value, out);
    }
    return ERR_OK;
}

enum err event_stream_read(struct slice message, struct event_stream_message *out)
{
    struct event_stream_message read = {0};
    if (message.size < MESSAGE_BYTES_MIN || !is_prelude(message.data) ||
        read_u32(message.data + TOTAL_AT) != message.size)
        return ERR_INVALID;
    size_t end = message.size - EVENT_STREAM_CHECKSUM_BYTES;
    if (read_u32(message.data + end) != crc32(slice_sub(message, 0, end)))
        return ERR_INVALID;
    size_t headers = read_u32(message.data + HEADERS_AT);
    TRY(read_headers(slice_sub(message, EVENT_STREAM_PRELUDE_BYTES, headers), &read));
    size_t begin = EVENT_STREAM_PRELUDE_BYTES + headers;
    read.payload = slice_sub(message, begin, end - begin);
    *out = read;
    return ERR_OK;
}

bool event_stream_is_event(const struct event_stream_message *message)
{
    return message->type.size == 0 || slice_equal(message->type, SLICE("event"));
}
