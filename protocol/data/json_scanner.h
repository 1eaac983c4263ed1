/* json_scanner — walks JSON text in place, strictly by RFC 8259, without recursion or allocation.
 *
 * What walks JSON without a tree stands on it: json.c, and in protocol/dialect walk.c (requests) and
 * codec.c (frames). Others use json.h. The text must be UTF-8 already.
 *
 *   answers  ERR_INVALID the grammar is broken at `at`, for the static sentence in `why`
 *   thread   any; the state is the struct */
#ifndef TOKENLOG_PROTOCOL_DATA_JSON_SCANNER_H
#define TOKENLOG_PROTOCOL_DATA_JSON_SCANNER_H

#include "protocol/data/json.h"

struct json_scanner {
    struct slice text;
    size_t at;
    size_t depth; /* of the object being walked by json_scanner_member */
    const char *why;
};

void json_scanner_init(struct json_scanner *scanner, struct slice text);
/* json_scanner_value — one value with all that is in it, and the white space before it. */
enum err json_scanner_value(struct json_scanner *scanner, struct json_span *out) NODISCARD;
/* json_scanner_end — only white space is left. */
enum err json_scanner_end(struct json_scanner *scanner) NODISCARD;

/* json_scanner_open — enters an object; then json_scanner_member for each member, until it answers
 * ERR_CLOSED, with the scanner after the object. `name` is raw, with its quotes. */
enum err json_scanner_open(struct json_scanner *scanner) NODISCARD;
enum err json_scanner_member(
    struct json_scanner *scanner, struct slice *name, struct json_span *value) NODISCARD;

/* json_character — the next decoded character of a valid raw string, as UTF-8 bytes into `out`, and
 * how many there are; 0 at the closing quote. *at starts at 1, after the opening quote. */
size_t json_character(struct slice raw, size_t *at, uint8_t out[4]);

/* json_utf8_size — bytes of the well-formed UTF-8 sequence at `at`; 0 if it is not well formed. */
size_t json_utf8_size(struct slice text, size_t at);

#endif
