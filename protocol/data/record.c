/* record — see the header for the array's elements. The order of the calls below is the format. */
#include "protocol/data/record.h"

#include "protocol/data/pack.h"

enum err record_encode(const struct record *record, uint8_t *out, size_t capacity, size_t *size)
{
    struct pack_writer writer;
    pack_writer_init(&writer, out, capacity);
    pack_array(&writer, RECORD_ELEMENTS);
    pack_unsigned(&writer, record->type);
    pack_unsigned(&writer, record->flags);
    pack_unsigned(&writer, record->number);
    pack_unsigned(&writer, record->seq);
    pack_signed(&writer, record->time_ns);
    pack_bytes(&writer, record->payload);
    if (writer.is_full)
        return ERR_LIMIT;
    ASSERT(writer.size <= record->payload.size + RECORD_OVERHEAD_BYTES_MAX);
    *size = writer.size;
    return ERR_OK;
}

static enum err read_elements(struct slice *input, struct record *out)
{
    uint64_t type, flags;
    TRY(pack_read_unsigned(input, UINT8_MAX, &type));
    TRY(pack_read_unsigned(input, UINT8_MAX, &flags));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->number));
    TRY(pack_read_unsigned(input, UINT64_MAX, &out->seq));
    TRY(pack_read_signed(input, &out->time_ns));
    TRY(pack_read_bytes(input, &out->payload));
    out->type = (uint8_t)type;
    out->flags = (uint8_t)flags;
    return ERR_OK;
}

enum err record_decode(struct slice *input, struct record *out)
{
    struct slice rest = *input;
    struct record record;
    uint32_t count;
    TRY(pack_read_array(&rest, &count));
    if (count < RECORD_ELEMENTS || count > RECORD_ELEMENTS_MAX)
        return fault(ERR_CORRUPT, "record of %u elements", count);
    TRY(read_elements(&rest, &record));
    for (uint32_t i = RECORD_ELEMENTS; i < count; i++)
        TRY(pack_skip_scalar(&rest));
    *input = rest;
    *out = record;
    return ERR_OK;
}
