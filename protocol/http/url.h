/* url — request targets, query parameters, percent-encoding (RFC 3986), and the authorities of Host
 * and Origin. What is handed out is borrowed from what was handed in.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_PROTOCOL_HTTP_URL_H
#define TOKENLOG_PROTOCOL_HTTP_URL_H

#include "protocol/base/slice.h"
#include "protocol/http/bounds.h"

struct target {
    struct slice path;  /* raw, begins with '/' */
    struct slice query; /* raw, without the '?'; empty if there is none */
};

/* target_parse — ERR_INVALID: not origin-form, a fragment, bytes outside printable ASCII, a
 * malformed percent escape, more than HTTP_QUERY_COUNT_MAX parameters, or a path with "." or ".."
 * segments; dots, slashes and backslashes count also percent-encoded, since someone behind us may
 * decode before resolving. */
enum err target_parse(struct slice text, struct target *out) NODISCARD;

/* query_get — the raw value of the parameter `name` ("" if it has no '='). Names are compared
 * decoded.
 *   answers  ERR_NOTFOUND · ERR_INVALID given twice (an ambiguous offset must not be guessed) */
enum err query_get(struct slice query, const char *name, struct slice *raw) NODISCARD;
/* query_next — walk the parameters, raw: start with `*rest` = query; false at the end. Empty ones
 * ("a=1&&b=2") are skipped. */
bool query_next(struct slice *rest, struct slice *name, struct slice *value);

/* percent_decode — appended to `out`; '+' stays '+' in paths and becomes a space where `is_query`.
 *   answers  ERR_INVALID a bad escape, or a NUL; `out` is as it was · ERR_LIMIT and faults: buf */
enum err percent_decode(struct slice raw, bool is_query, struct buf *out) NODISCARD;
/* percent_encode — all but the unreserved characters (RFC 3986 §2.3), appended to `out`. Answers
 * and faults are buf_append's. */
enum err percent_encode(struct slice raw, struct buf *out) NODISCARD;

/* path_segment — the index-th segment of a path ("/a/b": 0 → "a"; "/a/": 1 → ""), SLICE_NONE (data
 * is NULL) past the end. path_segment_count — "/" has one, the empty one. path_next — cuts the first
 * off the front of `rest`; false: there is none. */
bool path_next(struct slice *rest, struct slice *segment);
struct slice path_segment(struct slice path, size_t index);
size_t path_segment_count(struct slice path);

/* host_is_loopback — whether an authority ("127.0.0.1:80", "[::1]", "localhost:3000",
 * "a.localhost") names this machine: the check of Host and Origin that stops DNS rebinding. */
bool host_is_loopback(struct slice authority);
/* origin_authority — "http://x:1" → "x:1". ERR_INVALID for "null", other schemes, and whatever is
 * not scheme and authority alone. */
enum err origin_authority(struct slice origin, struct slice *authority) NODISCARD;
/* authority_is_valid — a host, and perhaps a port: no user, no space, nothing that ends it
 * (RFC 3986 §3.2.2). An empty one is not. */
bool authority_is_valid(struct slice authority);

#endif
