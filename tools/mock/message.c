/* message — headers are strings; they come in the order in which Bedrock sends them. */
#include "tools/mock/message.h"

#include <string.h>

enum { PRELUDE_BYTES = 12, CHECKSUM_BYTES = 4, CHECKED_BYTES = 8, STRING = 7 };

struct header {
    const char *name, *value;
};

enum { HEADERS = 3 };

static void fill_headers(const char *name, struct header headers[HEADERS])
{
    static const char end[] = "Exception";
    size_t size = strlen(name);
    bool is_exception = size >= sizeof end - 1 && strcmp(name + size - (sizeof end - 1), end) == 0;
    headers[0] = (struct header){is_exception ? ":exception-type" : ":event-type", name};
    headers[1] = (struct header){":content-type", "application/json"};
    headers[2] = (struct header){":message-type", is_exception ? "exception" : "event"};
}

static size_t headers_size(const struct header headers[HEADERS])
{
    size_t size = 0;
    for (size_t i = 0; i < HEADERS; i++)
        size += 1 + strlen(headers[i].name) + 1 + 2 + strlen(headers[i].value);
    return size;
}

size_t message_size(const char *name, size_t data_size)
{
    struct header headers[HEADERS];
    fill_headers(name, headers);
    return PRELUDE_BYTES + headers_size(headers) + data_size + CHECKSUM_BYTES;
}

static uint32_t crc32_bitwise(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void set_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void message_seal(uint8_t *message, size_t size)
{
    set_u32(message + size - CHECKSUM_BYTES, crc32_bitwise(message, size - CHECKSUM_BYTES));
}

static enum err put_header(const struct header *header, struct buf *out)
{
    size_t size = strlen(header->value);
    TRY(buf_append_byte(out, (uint8_t)strlen(header->name)));
    TRY(buf_append_text(out, header->name));
    TRY(buf_append_byte(out, STRING));
    TRY(buf_append_byte(out, (uint8_t)(size >> 8)));
    TRY(buf_append_byte(out, (uint8_t)size));
    return buf_append_text(out, header->value);
}

enum err message_put(const char *name, struct slice data, struct buf *out, size_t *data_at)
{
    struct header headers[HEADERS];
    uint8_t prelude[PRELUDE_BYTES];
    size_t start = out->size, size = message_size(name, data.size);
    fill_headers(name, headers);
    set_u32(prelude, (uint32_t)size);
    set_u32(prelude + 4, (uint32_t)headers_size(headers));
    set_u32(prelude + CHECKED_BYTES, crc32_bitwise(prelude, CHECKED_BYTES));
    TRY(buf_append(out, slice_of(prelude, sizeof prelude)));
    for (size_t i = 0; i < HEADERS; i++)
        TRY(put_header(&headers[i], out));
    if (data_at)
        *data_at = out->size;
    TRY(buf_append(out, data));
    TRY(buf_append(out, slice_of(prelude, CHECKSUM_BYTES))); /* room, until it is sealed */
    message_seal(out->data + start, size);
    return ERR_OK;
}
