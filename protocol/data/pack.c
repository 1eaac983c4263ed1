/* pack — how msgpack-c is used.
 *
 * Writing goes through its packer with a callback that copies to the buffer. Reading goes value by
 * value through msgpack_unpack, which for a scalar neither allocates nor copies; its successor,
 * msgpack_unpack_next, allocates a zone each time. The heads of arrays and maps are read here: the
 * library would allocate by the count that the input claims, and keeps a stack for what is nested.
 * Numbers, bytes, texts and booleans are read here too, since the library's state for each value costs more than
 * all the rest of a record; what is anything else, or not well formed, it is left to judge.
 * Nothing below recurses.
 *
 *     head     1001nnnn 0xdc n16 0xdd n32 array     1000nnnn 0xde n16 0xdf n32 map
 *              0nnnnnnn 0xcc n8 … 0xcf n64 number   0xc4 n8 … 0xc6 n32 bytes
 *              101nnnnn 0xd9 n8 … 0xdb n32 text      0xc2 0xc3 false, true                         */
#include "protocol/data/pack.h"

#include <string.h>

#include <msgpack.h>

enum {
    FIX_COUNT_MASK = 0x0f,
    HEAD_MASK = 0xf0,
    HEAD_FIX_NUMBER_MAX = 0x7f,
    FIX_SIZE_MASK = 0x1f,
    HEAD_FIXTEXT = 0xa0,
    HEAD_FALSE = 0xc2,
    HEAD_TRUE = 0xc3,
    HEAD_BYTES8 = 0xc4,
    HEAD_BYTES32 = 0xc6,
    HEAD_NUMBER8 = 0xcc,
    HEAD_NUMBER64 = 0xcf,
    HEAD_TEXT8 = 0xd9,
    HEAD_TEXT32 = 0xdb,
    HEAD_FIXMAP = 0x80,
    HEAD_FIXARRAY = 0x90,
    HEAD_ARRAY16 = 0xdc,
    HEAD_ARRAY32 = 0xdd,
    HEAD_MAP16 = 0xde,
    HEAD_MAP32 = 0xdf,
};

void pack_writer_init(struct pack_writer *writer, uint8_t *out, size_t capacity)
{
    *writer = (struct pack_writer){.data = out, .capacity = capacity};
}

static int pack_write(void *context, const char *bytes, size_t size)
{
    struct pack_writer *writer = context;
    if (writer->is_full || size > writer->capacity - writer->size) {
        writer->is_full = true;
        return -1;
    }
    memcpy(writer->data + writer->size, bytes, size);
    writer->size += size;
    return 0;
}

/* The packer's own result repeats what is_full says: the callback is all that can fail. */
static msgpack_packer pack_packer(struct pack_writer *writer)
{
    return (msgpack_packer){.data = writer, .callback = pack_write};
}

void pack_array(struct pack_writer *writer, uint32_t count)
{
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_array(&packer, count);
}

void pack_map(struct pack_writer *writer, uint32_t count)
{
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_map(&packer, count);
}

void pack_unsigned(struct pack_writer *writer, uint64_t number)
{
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_uint64(&packer, number);
}

void pack_signed(struct pack_writer *writer, int64_t number)
{
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_int64(&packer, number);
}

void pack_bool(struct pack_writer *writer, bool value)
{
    msgpack_packer packer = pack_packer(writer);
    (void)(value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

static bool pack_fits(struct pack_writer *writer, struct slice bytes)
{
    if (bytes.size > UINT32_MAX || bytes.size > writer->capacity - writer->size)
        writer->is_full = true;
    return !writer->is_full;
}

void pack_bytes(struct pack_writer *writer, struct slice bytes)
{
    if (!pack_fits(writer, bytes))
        return;
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_bin(&packer, bytes.size);
    if (bytes.size)
        (void)msgpack_pack_bin_body(&packer, bytes.data, bytes.size);
}

void pack_text(struct pack_writer *writer, struct slice text)
{
    if (!pack_fits(writer, text))
        return;
    msgpack_packer packer = pack_packer(writer);
    (void)msgpack_pack_str(&packer, text.size);
    if (text.size)
        (void)msgpack_pack_str_body(&packer, text.data, text.size);
}

static struct slice pack_after(struct slice input, size_t size)
{
    return (struct slice){input.data + size, input.size - size};
}

/* A count of `size` big-endian bytes after the head byte. */
static enum err read_count(struct slice *input, size_t size, uint32_t *count)
{
    uint32_t value = 0;
    if (input->size < 1 + size)
        return fault(ERR_CORRUPT, "msgpack: cut short in a count");
    for (size_t i = 1; i <= size; i++)
        value = value << 8 | input->data[i];
    *input = pack_after(*input, 1 + size);
    *count = value;
    return ERR_OK;
}

static enum err read_head(
    struct slice *input, uint8_t fix, uint8_t head16, uint8_t head32, uint32_t *count)
{
    if (input->size == 0)
        return fault(ERR_CORRUPT, "msgpack: cut short");
    uint8_t head = input->data[0];
    if ((head & HEAD_MASK) == fix) {
        *count = head & FIX_COUNT_MASK;
        *input = pack_after(*input, 1);
        return ERR_OK;
    }
    if (head == head16)
        return read_count(input, sizeof(uint16_t), count);
    if (head == head32)
        return read_count(input, sizeof(uint32_t), count);
    return fault(ERR_CORRUPT, "msgpack: another type (0x%02x) than expected", head);
}

enum err pack_read_array(struct slice *input, uint32_t *count)
{
    return read_head(input, HEAD_FIXARRAY, HEAD_ARRAY16, HEAD_ARRAY32, count);
}

enum err pack_read_map(struct slice *input, uint32_t *count)
{
    return read_head(input, HEAD_FIXMAP, HEAD_MAP16, HEAD_MAP32, count);
}

static bool is_array(uint8_t head)
{
    return (head & HEAD_MASK) == HEAD_FIXARRAY || head == HEAD_ARRAY16 || head == HEAD_ARRAY32;
}

static bool is_map(uint8_t head)
{
    return (head & HEAD_MASK) == HEAD_FIXMAP || head == HEAD_MAP16 || head == HEAD_MAP32;
}

static uint64_t big_endian(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* read_number, read_bytes — false: not one, or cut short. The width of what follows the head doubles
 * from one head to the next. */
static bool read_number(struct slice input, msgpack_object *out, size_t *size)
{
    uint8_t head = input.data[0];
    size_t width = 0;
    if (head > HEAD_FIX_NUMBER_MAX) {
        if (head < HEAD_NUMBER8 || head > HEAD_NUMBER64)
            return false;
        width = (size_t)1 << (head - HEAD_NUMBER8);
    }
    if (input.size < 1 + width)
        return false;
    out->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
    out->via.u64 = width ? big_endian(input.data + 1, width) : head;
    *size = 1 + width;
    return true;
}

/* The bytes of the count that follows the head; 0: the head says the size itself, -1: no bytes or text. */
static int size_width(uint8_t head)
{
    if ((head & ~FIX_SIZE_MASK) == HEAD_FIXTEXT)
        return 0;
    if (head >= HEAD_BYTES8 && head <= HEAD_BYTES32)
        return 1 << (head - HEAD_BYTES8);
    return head >= HEAD_TEXT8 && head <= HEAD_TEXT32 ? 1 << (head - HEAD_TEXT8) : -1;
}

static bool read_bytes(struct slice input, msgpack_object *out, size_t *size)
{
    uint8_t head = input.data[0];
    int width = size_width(head);
    if (width < 0 || input.size < 1 + (size_t)width)
        return false;
    size_t before = 1 + (size_t)width;
    uint64_t bytes = width ? big_endian(input.data + 1, (size_t)width) : head & FIX_SIZE_MASK;
    if (bytes > input.size - before)
        return false;
    out->type = MSGPACK_OBJECT_BIN; /* of texts too: readers take either */
    out->via.bin.ptr = (const char *)input.data + before;
    out->via.bin.size = (uint32_t)bytes;
    *size = before + (size_t)bytes;
    return true;
}

static bool read_bool(struct slice input, msgpack_object *out, size_t *size)
{
    uint8_t head = input.data[0];
    if (head != HEAD_FALSE && head != HEAD_TRUE)
        return false;
    out->type = MSGPACK_OBJECT_BOOLEAN;
    out->via.boolean = head == HEAD_TRUE;
    *size = 1;
    return true;
}

/* One scalar; its bytes, if it has any, are borrowed from the input. The zone is where the library
 * puts containers: for a scalar an empty one will do, and stays empty. */
static enum err read_scalar(struct slice *input, msgpack_object *out, size_t *size)
{
    msgpack_zone zone = {0};
    size_t end = 0;
    if (input->size == 0)
        return fault(ERR_CORRUPT, "msgpack: cut short");
    if (read_number(*input, out, size) || read_bytes(*input, out, size) ||
        read_bool(*input, out, size))
        return ERR_OK;
    if (is_array(input->data[0]) || is_map(input->data[0]))
        return fault(ERR_CORRUPT, "msgpack: a container where a scalar is expected");
    msgpack_unpack_return result =
        msgpack_unpack((const char *)input->data, input->size, &end, &zone, out);
    ASSERT(!zone.chunk_list.head && !zone.finalizer_array.array);
    if (result != MSGPACK_UNPACK_SUCCESS && result != MSGPACK_UNPACK_EXTRA_BYTES)
        return fault(ERR_CORRUPT, "msgpack: malformed or cut short (%d)", (int)result);
    ASSERT(end > 0 && end <= input->size);
    *size = end;
    return ERR_OK;
}

enum err pack_read_unsigned(struct slice *input, uint64_t max, uint64_t *out)
{
    msgpack_object value;
    size_t size;
    if (input->size > 0 && input->data[0] <= HEAD_FIX_NUMBER_MAX && input->data[0] <= max) {
        *out = input->data[0]; /* as all keys are */
        *input = pack_after(*input, 1);
        return ERR_OK;
    }
    TRY(read_scalar(input, &value, &size));
    if (value.type != MSGPACK_OBJECT_POSITIVE_INTEGER || value.via.u64 > max)
        return fault(ERR_CORRUPT, "msgpack: no number from 0 to %llu", (unsigned long long)max);
    *input = pack_after(*input, size);
    *out = value.via.u64;
    return ERR_OK;
}

enum err pack_read_signed(struct slice *input, int64_t *out)
{
    msgpack_object value;
    size_t size;
    TRY(read_scalar(input, &value, &size));
    if (value.type == MSGPACK_OBJECT_POSITIVE_INTEGER && value.via.u64 <= INT64_MAX)
        *out = (int64_t)value.via.u64;
    else if (value.type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = value.via.i64;
    else
        return fault(ERR_CORRUPT, "msgpack: no number of 64 bits with a sign");
    *input = pack_after(*input, size);
    return ERR_OK;
}

enum err pack_read_bool(struct slice *input, bool *out)
{
    msgpack_object value;
    size_t size;
    TRY(read_scalar(input, &value, &size));
    if (value.type != MSGPACK_OBJECT_BOOLEAN)
        return fault(ERR_CORRUPT, "msgpack: no boolean");
    *input = pack_after(*input, size);
    *out = value.via.boolean;
    return ERR_OK;
}

enum err pack_read_bytes(struct slice *input, struct slice *out)
{
    msgpack_object value;
    size_t size;
    TRY(read_scalar(input, &value, &size));
    if (value.type != MSGPACK_OBJECT_BIN)
        return fault(ERR_CORRUPT, "msgpack: neither bytes nor text");
    *out = slice_of(value.via.bin.ptr, value.via.bin.size);
    *input = pack_after(*input, size);
    return ERR_OK;
}

enum err pack_skip_scalar(struct slice *input)
{
    msgpack_object value;
    size_t size;
    TRY(read_scalar(input, &value, &size));
    *input = pack_after(*input, size);
    return ERR_OK;
}

/* Takes one value or one head off `rest`; *inside is how many values the head announces. */
static enum err skip_step(struct slice *rest, uint64_t *inside)
{
    uint32_t count = 0;
    uint8_t head = rest->size ? rest->data[0] : 0;
    if (is_array(head))
        TRY(pack_read_array(rest, &count));
    else if (is_map(head))
        TRY(pack_read_map(rest, &count));
    else
        TRY(pack_skip_scalar(rest));
    *inside = is_map(head) ? 2 * (uint64_t)count : count;
    return ERR_OK;
}

/* Each turn takes at least a byte off, so both the turns and the sum of `wanted` stay small. */
enum err pack_skip(struct slice *input)
{
    struct slice rest = *input;
    for (uint64_t wanted = 1; wanted > 0; wanted--) {
        uint64_t inside;
        TRY(skip_step(&rest, &inside));
        wanted += inside;
    }
    *input = rest;
    return ERR_OK;
}
