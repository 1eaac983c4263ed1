/* url — request targets and base URLs: path, query parameters, percent-decoding (RFC 3986). Pure and borrowed. */
#ifndef TOKENLOG_PROTOCOL_HTTP_URL_H
#define TOKENLOG_PROTOCOL_HTTP_URL_H

#include "protocol/base/slice.h"
#include "protocol/http/bounds.h"

struct target {
    struct slice path;  /* raw, begins with '/' */
    struct slice query; /* raw, without the '?' */
};
/* target_parse — ERR_INVALID: not origin-form, a fragment, bytes outside printable ASCII, a malformed percent escape, or a path with "." or ".." segments (also percent-encoded). */
enum err target_parse(struct slice text, struct target *out) NODISCARD;

/* query_get — the raw value of the first parameter `name` ("" if it has no '='), ERR_NOTFOUND if absent; ERR_INVALID if it is given twice
 * (an ambiguous offset must not be guessed). */
enum err query_get(struct slice query, const char *name, struct slice *raw) NODISCARD;
/* query_next — walk the parameters: starts with *rest = query; false at the end. */
bool query_next(struct slice *rest, struct slice *name, struct slice *value);
/* percent_decode — appended to `out`; '+' stays '+' in paths, becomes a space where `is_query`. ERR_INVALID for a bad escape or a NUL. */
enum err percent_decode(struct slice raw, bool is_query, struct buf *out) NODISCARD;
enum err percent_encode(struct slice raw, struct buf *out) NODISCARD;
/* path_segment — the index-th segment of a path ("/a/b": 0 → "a"), SLICE_NONE past the end. */
struct slice path_segment(struct slice path, size_t index);
size_t path_segment_count(struct slice path);

/* host_is_loopback — whether a Host or Origin authority ("127.0.0.1:80", "[::1]", "localhost:3000", "a.localhost") names this machine:
 * the check that stops DNS rebinding. origin_authority — "http://x:1" → "x:1"; ERR_INVALID for "null" and other forms. */
bool host_is_loopback(struct slice authority);
enum err origin_authority(struct slice origin, struct slice *authority) NODISCARD;

#endif
