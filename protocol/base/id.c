/*   0                   1                   2                   3
 *  |              unix_ts_ms, 48 bits, big-endian  | 7 |  rand_a   |
 *  |10|                  rand_b, 62 bits                           |   RFC 9562 §5.7 */
#include "protocol/base/id.h"

#include <string.h>

#include "protocol/base/digest.h"

static const size_t group_sizes[] = {4, 2, 2, 2, 6};
enum { GROUP_COUNT = 5 };

struct id id_make(int64_t unix_ms, const uint8_t random[ID_RANDOM_BYTES])
{
    struct id id;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
    memcpy(id.bytes + 6, random, ID_RANDOM_BYTES);
    id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0f));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

void id_format(const struct id *id, char out[ID_TEXT_BYTES])
{
    const uint8_t *from = id->bytes;
    for (int group = 0; group < GROUP_COUNT; group++) {
        if (group)
            *out++ = '-';
        hex_encode(slice_of(from, group_sizes[group]), out);
        out += 2 * group_sizes[group];
        from += group_sizes[group];
    }
}

enum err id_parse(struct slice text, struct id *out)
{
    struct id id;
    uint8_t *to = id.bytes;
    if (text.size != ID_TEXT_BYTES - 1)
        return ERR_INVALID;
    for (int group = 0; group < GROUP_COUNT; group++) {
        size_t digits = 2 * group_sizes[group];
        TRY(hex_decode(slice_sub(text, 0, digits), to, group_sizes[group]));
        to += group_sizes[group];
        text = slice_sub(text, digits, text.size);
        if (group < GROUP_COUNT - 1 && text.data[0] != '-')
            return ERR_INVALID;
        text = slice_sub(text, 1, text.size);
    }
    if (id.bytes[6] >> 4 != 7 || id.bytes[8] >> 6 != 2)
        return ERR_INVALID;
    *out = id;
    return ERR_OK;
}

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES) == 0;
}

struct slice id_slice(const struct id *id)
{
    return slice_of(id->bytes, ID_BYTES);
}

int64_t id_unix_ms(const struct id *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id->bytes[i];
    return (int64_t)ms;
}
