/* base64 — see the header; digest.h has the other direction. */
#include "protocol/base/base64.h"

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters; false: they are not what encoding `count` bytes gives. */
static bool base64_group(const uint8_t *text, size_t count, uint8_t out[3])
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i <= count ? base64_digit(text[i]) : text[i] == '=' ? 0 : -1;
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return (bits & ((1u << (8 * (3 - count))) - 1)) == 0;
}

enum err base64_decode(struct slice text, struct buf *out)
{
    uint8_t *at;
    if (text.size % 4)
        return ERR_INVALID;
    TRY(buf_reserve(out, text.size / 4 * 3, &at));
    size_t size = 0;
    for (size_t i = 0; i < text.size; i += 4) {
        uint8_t bytes[3];
        bool is_last = i + 4 == text.size;
        size_t count = is_last && text.data[i + 2] == '='   ? 1
                       : is_last && text.data[i + 3] == '=' ? 2
                                                            : 3;
        if (!base64_group(text.data + i, count, bytes))
            return ERR_INVALID;
        for (size_t j = 0; j < count; j++)
            at[size++] = bytes[j];
    }
    buf_commit(out, size);
    return ERR_OK;
}
