/*   /v1/streams/0192…/events?from=12&live=false
 *   └─────── path ─────────┘ └──── query ─────┘
 *    segment 0, 1, 2, 3       name=value & name=value                                            */
#include "protocol/http/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "protocol/base/digest.h"

/* The largest text that inet_pton() is given; INET6_ADDRSTRLEN counts the NUL. */
enum { ADDRESS_TEXT_BYTES = INET6_ADDRSTRLEN };

/* Cut one character, decoded if it is an escape, off the front; false if the escape is
 * malformed. */
static bool next_character(struct slice *rest, uint8_t *out)
{
    if (rest->data[0] != '%') {
        *out = rest->data[0];
        *rest = slice_sub(*rest, 1, rest->size);
        return true;
    }
    if (hex_decode(slice_sub(*rest, 1, 2), out, 1) != ERR_OK)
        return false;
    *rest = slice_sub(*rest, 3, rest->size);
    return true;
}

static bool is_text_of_target(struct slice text)
{
    uint8_t decoded;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || text.data[i] == '#')
            return false;
    while (text.size)
        if (!next_character(&text, &decoded))
            return false;
    return true;
}

/* Whether a segment, decoded, is "." or "..", for a server that cuts parameters (";x") off it first, too. */
static bool has_dot_segments(struct slice path)
{
    size_t size = 0; /* of this segment, without parameters */
    bool is_dots = true, is_parameter = false;
    uint8_t character;
    while (path.size && next_character(&path, &character)) {
        if (character == '/' || character == '\\') {
            if (is_dots && (size == 1 || size == 2))
                return true;
            size = 0;
            is_dots = true;
            is_parameter = false;
        } else if (character == ';' || is_parameter) {
            is_parameter = true;
        } else {
            size++;
            is_dots = is_dots && character == '.';
        }
    }
    return is_dots && (size == 1 || size == 2);
}

static size_t query_count(struct slice query)
{
    struct slice name, value;
    size_t count = 0;
    while (query_next(&query, &name, &value))
        count++;
    return count;
}

enum err target_parse(struct slice text, struct target *out)
{
    if (text.size == 0 || text.data[0] != '/' || !is_text_of_target(text))
        return ERR_INVALID;
    ptrdiff_t mark = slice_find_byte(text, '?');
    size_t size = mark < 0 ? text.size : (size_t)mark;
    struct target target = {slice_sub(text, 0, size), slice_sub(text, size + 1, text.size)};
    if (has_dot_segments(target.path) || query_count(target.query) > HTTP_QUERY_COUNT_MAX)
        return ERR_INVALID;
    *out = target;
    return ERR_OK;
}

bool query_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->size && rest->data[0] == '&')
        *rest = slice_sub(*rest, 1, rest->size);
    if (rest->size == 0)
        return false;
    ptrdiff_t end = slice_find_byte(*rest, '&');
    struct slice pair = slice_sub(*rest, 0, end < 0 ? rest->size : (size_t)end);
    ptrdiff_t equals = slice_find_byte(pair, '=');
    size_t name_size = equals < 0 ? pair.size : (size_t)equals;
    size_t value_from = equals < 0 ? pair.size : name_size + 1;
    *name = slice_of(pair.data, name_size);
    *value = slice_of(pair.data + value_from, pair.size - value_from);
    *rest = slice_sub(*rest, pair.size, rest->size);
    return true;
}

static bool name_is(struct slice raw, struct slice name)
{
    size_t i = 0;
    uint8_t character;
    while (raw.size) {
        if (!next_character(&raw, &character) || i == name.size || character != name.data[i])
            return false;
        i++;
    }
    return i == name.size;
}

enum err query_get(struct slice query, const char *name, struct slice *raw)
{
    struct slice wanted = slice_text(name), found = SLICE_NONE, each, value;
    bool is_found = false;
    while (query_next(&query, &each, &value)) {
        if (!name_is(each, wanted))
            continue;
        if (is_found)
            return ERR_INVALID;
        is_found = true;
        found = value;
    }
    if (!is_found)
        return ERR_NOTFOUND;
    *raw = found;
    return ERR_OK;
}

enum err percent_decode(struct slice raw, bool is_query, struct buf *out)
{
    uint8_t *at;
    size_t size = 0;
    TRY(buf_reserve(out, raw.size, &at)); /* decoding never grows */
    while (raw.size) {
        bool is_plus = is_query && raw.data[0] == '+';
        if (!next_character(&raw, &at[size]) || at[size] == 0)
            return ERR_INVALID;
        if (is_plus)
            at[size] = ' ';
        size++;
    }
    buf_commit(out, size);
    return ERR_OK;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t encoded_size(struct slice raw)
{
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i++)
        size += is_unreserved(raw.data[i]) ? 1 : 3;
    return size;
}

enum err percent_encode(struct slice raw, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = encoded_size(raw);
    uint8_t *at;
    TRY(buf_reserve(out, size, &at));
    for (size_t i = 0; i < raw.size; i++) {
        uint8_t c = raw.data[i];
        if (is_unreserved(c)) {
            *at++ = c;
            continue;
        }
        *at++ = '%';
        *at++ = (uint8_t)digits[c >> 4];
        *at++ = (uint8_t)digits[c & 15];
    }
    buf_commit(out, size);
    return ERR_OK;
}

bool path_next(struct slice *rest, struct slice *segment)
{
    if (rest->size == 0 || rest->data[0] != '/')
        return false;
    struct slice after = slice_of(rest->data + 1, rest->size - 1);
    ptrdiff_t slash = slice_find_byte(after, '/');
    size_t size = slash < 0 ? after.size : (size_t)slash;
    *segment = slice_of(after.data, size);
    *rest = slice_of(after.data + size, after.size - size);
    return true;
}

struct slice path_segment(struct slice path, size_t index)
{
    struct slice segment;
    while (path_next(&path, &segment))
        if (index-- == 0)
            return segment;
    return SLICE_NONE;
}

size_t path_segment_count(struct slice path)
{
    struct slice segment;
    size_t count = 0;
    while (path_next(&path, &segment))
        count++;
    return count;
}

bool authority_is_valid(struct slice authority)
{
    for (size_t i = 0; i < authority.size; i++) {
        uint8_t c = authority.data[i];
        if (!is_unreserved(c) && (c == 0 || slice_find_byte(SLICE("!$&'()*+,;=%:[]"), c) < 0))
            return false;
    }
    return authority.size > 0;
}

static bool is_port(struct slice text)
{
    uint64_t port;
    return text.size == 0 || (slice_u64(text, &port) == ERR_OK && port <= UINT16_MAX);
}

/* "host:port", "[address]:port" → host, without brackets. */
static bool split_host(struct slice authority, struct slice *host, bool *is_bracketed)
{
    struct slice after;
    *is_bracketed = authority.size && authority.data[0] == '[';
    ptrdiff_t end = slice_find_byte(authority, *is_bracketed ? ']' : ':');
    if (*is_bracketed) {
        if (end < 0)
            return false;
        *host = slice_sub(authority, 1, (size_t)end - 1);
        after = slice_sub(authority, (size_t)end + 1, authority.size);
    } else {
        size_t size = end < 0 ? authority.size : (size_t)end;
        *host = slice_sub(authority, 0, size);
        after = slice_sub(authority, size, authority.size);
    }
    return after.size == 0 || (after.data[0] == ':' && is_port(slice_sub(after, 1, after.size)));
}

static bool is_loopback_address(int family, struct slice text)
{
    char name[ADDRESS_TEXT_BYTES];
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } address;
    if (text.size == 0 || text.size >= sizeof name)
        return false;
    memcpy(name, text.data, text.size);
    name[text.size] = 0;
    if (inet_pton(family, name, &address) != 1)
        return false;
    if (family == AF_INET)
        return ntohl(address.v4.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address.v6);
}

/* RFC 6761 §6.3: "localhost" and all names that end in ".localhost" are this machine. */
static bool is_localhost_name(struct slice host)
{
    struct slice name = SLICE("localhost");
    if (host.size < name.size)
        return false;
    size_t front = host.size - name.size;
    return slice_equal_nocase(slice_sub(host, front, name.size), name) &&
           (front == 0 || (front > 1 && host.data[front - 1] == '.'));
}

bool host_is_loopback(struct slice authority)
{
    struct slice host;
    bool is_bracketed;
    if (!authority_is_valid(authority) || !split_host(authority, &host, &is_bracketed))
        return false;
    if (is_bracketed)
        return is_loopback_address(AF_INET6, host);
    return is_localhost_name(host) || is_loopback_address(AF_INET, host);
}

enum err origin_authority(struct slice origin, struct slice *authority)
{
    static const struct slice schemes[] = {SLICE("http://"), SLICE("https://")};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct slice scheme = schemes[i];
        if (!slice_equal_nocase(slice_sub(origin, 0, scheme.size), scheme))
            continue;
        struct slice rest = slice_sub(origin, scheme.size, origin.size);
        if (!authority_is_valid(rest))
            return ERR_INVALID;
        *authority = rest;
        return ERR_OK;
    }
    return ERR_INVALID;
}
