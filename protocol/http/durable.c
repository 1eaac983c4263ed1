/* durable — see durable.h. */
#include "protocol/http/durable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CURSOR_EPOCH_S INT64_C(1728432000) /* 2024-10-09T00:00:00Z */

enum { HALF_DIGITS = 16 };

void durable_offset_format(uint64_t events, char out[DURABLE_OFFSET_BYTES])
{
    (void)snprintf(out, DURABLE_OFFSET_BYTES, "%016" PRIx64 "_%016x", events, 0u);
}

/* Lower case only: the same place has one spelling. */
static int digit_of(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static enum err parse_half(struct slice text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < HALF_DIGITS; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            return ERR_INVALID;
        *out = *out << 4 | (uint64_t)digit;
    }
    return ERR_OK;
}

enum err durable_offset_parse(struct slice text, uint64_t *events, bool *is_now)
{
    uint64_t first, second;
    *is_now = slice_equal(text, SLICE("now"));
    if (*is_now || slice_equal(text, SLICE("-1"))) {
        *events = 0;
        return ERR_OK;
    }
    if (text.size != DURABLE_OFFSET_BYTES - 1 || text.data[HALF_DIGITS] != '_')
        return ERR_INVALID;
    TRY(parse_half(text, &first));
    TRY(parse_half(slice_sub(text, HALF_DIGITS + 1, HALF_DIGITS), &second));
    if (second)
        return ERR_INVALID;
    *events = first;
    return ERR_OK;
}

static int escaped_digit(uint8_t byte)
{
    return digit_of(byte >= 'A' && byte <= 'F' ? (uint8_t)(byte + 32) : byte);
}

static bool is_unreserved(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || (byte && strchr("-._~", byte));
}

enum err durable_name(struct slice raw, struct buf *out)
{
    if (raw.size == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < raw.size; i++) {
        uint8_t byte = raw.data[i];
        if (byte != '%') {
            TRY(buf_append_byte(out, byte));
            continue;
        }
        if (raw.size - i < 3)
            return ERR_INVALID;
        int high = escaped_digit(raw.data[i + 1]), low = escaped_digit(raw.data[i + 2]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        uint8_t meant = (uint8_t)(high << 4 | low);
        if (is_unreserved(meant))
            TRY(buf_append_byte(out, meant));
        else
            TRY(buf_printf(out, "%%%02X", meant));
        i += 2;
    }
    return ERR_OK;
}

enum err durable_number(struct slice text, uint64_t *out)
{
    uint64_t number;
    if (text.size > 1 && text.data[0] == '0')
        return ERR_INVALID;
    TRY(slice_u64(text, &number));
    if (number > DURABLE_NUMBER_MAX)
        return ERR_INVALID;
    *out = number;
    return ERR_OK;
}

bool durable_is_true(struct slice value)
{
    return slice_equal_nocase(value, SLICE("true"));
}

static struct slice media_type(struct slice type)
{
    ptrdiff_t end = slice_find_byte(type, ';');
    return slice_trim(end < 0 ? type : slice_sub(type, 0, (size_t)end));
}

bool durable_is_same_type(struct slice a, struct slice b)
{
    return slice_equal_nocase(media_type(a), media_type(b));
}

bool durable_is_json(struct slice type)
{
    return durable_is_same_type(type, SLICE("application/json"));
}

bool durable_is_text(struct slice type)
{
    return slice_equal_nocase(slice_sub(media_type(type), 0, 5), SLICE("text/"));
}

uint64_t durable_cursor(int64_t wall_ns, struct slice given, uint32_t random)
{
    int64_t since_s = wall_ns / 1000000000 - CURSOR_EPOCH_S;
    uint64_t now = since_s > 0 ? (uint64_t)since_s / DURABLE_CURSOR_INTERVAL_S : 0;
    uint64_t theirs, jitter_s = 1 + random % DURABLE_CURSOR_JITTER_S;
    if (slice_u64(given, &theirs) || theirs < now || theirs > DURABLE_NUMBER_MAX)
        return now;
    return theirs + (jitter_s + DURABLE_CURSOR_INTERVAL_S - 1) / DURABLE_CURSOR_INTERVAL_S;
}
