/* json — reading and writing JSON (cJSON inside; its header is included by json.c only).
 *
 * Two ways to read. json_scan finds the byte spans of top-level members without changing the text:
 * requests are passed on byte-exact, so a change is a splice of spans and never a re-serialisation,
 * which would alter numbers. json_parse gives a tree, for usage, errors and final chunks.
 *
 * Both are strict RFC 8259: UTF-8 only, depth bounded by JSON_DEPTH_MAX before any library sees the
 * text, no halves of surrogate pairs, nothing after the value. Of an object to be passed on,
 * duplicate top-level members are refused too: the provider might take the other one.
 *
 *   thread  any; no state                                                                        */
#ifndef TOKENLOG_PROTOCOL_DATA_JSON_H
#define TOKENLOG_PROTOCOL_DATA_JSON_H

#include "protocol/base/slice.h"

enum {
    JSON_DEPTH_MAX = 200,       /* nested arrays and objects; deep enough for any tool schema */
    JSON_MEMBERS_MAX = 256,     /* top-level members; the largest provider request has about 40 */
    JSON_WRITER_DEPTH_MAX = 63, /* a bit each; what we write is a few levels deep */
    JSON_INTEGER_MAX_BITS = 53, /* beyond ±2^53 a double no longer holds every integer */
};

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_span {
    enum json_type type;
    struct slice raw; /* the value's bytes in the text, quotes included */
};

/* json_object_check — the text is exactly one JSON object, of at most JSON_MEMBERS_MAX members.
 *   answers  ERR_INVALID with a static sentence in *why and the byte offset in *at */
enum err json_object_check(struct slice text, const char **why, size_t *at) NODISCARD;
/* json_object_read — json_object_check and json_scan_all in one walk. The spans count on ERR_OK only. */
struct json_wanted {
    const char *const *names;
    size_t count;
    struct json_span *spans; /* as many as names */
};
enum err json_object_read(
    struct slice text, const struct json_wanted *wanted, const char **why, size_t *at) NODISCARD;

/* json_scan — the span of a top-level member of an object that passed json_object_check. O(text).
 *   answers  ERR_NOTFOUND
 * json_scan_all — the same for several names in one walk; an absent one has the raw SLICE_NONE. */
enum err json_scan(struct slice text, const char *name, struct json_span *out) NODISCARD;
void json_scan_all(
    struct slice text, const char *const *names, size_t count, struct json_span *out);

/* json_span_text — the decoded value of a string span, appended to `out` (UTF-8; may hold NUL).
 *   answers  ERR_INVALID it is no string · buf_append's */
enum err json_span_text(struct json_span span, struct buf *out) NODISCARD;
bool json_span_is_true(struct json_span span);

/* A tree, owned by its root; costs some 64 bytes a value: bound the text. Getters take NULL and
 * wrong types, and answer with the default, so they chain. A string is cut at its first \u0000. */
struct json;
/* json_parse — any one value.  answers ERR_INVALID · faults ERR_NOMEM */
enum err json_parse(struct slice text, struct json **out) NODISCARD;
struct json *json_free(struct json *root);
void json_cleanup(struct json **root); /* for CLEANUP */
const struct json *json_get(const struct json *object, const char *name);
const struct json *json_at(const struct json *array, size_t index); /* O(index) */
const struct json *json_next(const struct json *value); /* the one after, in its array */
size_t json_size(const struct json *array_or_object);
enum json_type json_type(const struct json *value); /* JSON_NULL for NULL */
struct slice json_text(const struct json *value);   /* SLICE_NONE if it is no string */
/* json_int — truncated; `otherwise` if it is no number, or beyond ±2^53. */
int64_t json_int(const struct json *value, int64_t otherwise);
bool json_bool(const struct json *value, bool otherwise);

/* Writing: appends to a buf. A json_writer keeps the commas:
 *   json_open(w, '{'); json_key(w, "id"); json_string(w, …); json_close(w, '}');
 * Names are written as they are: literals that need no escape. */
struct json_writer {
    struct buf *out;
    enum err err;       /* the first failure; later calls do nothing: check once, at the end */
    uint64_t has_items; /* bit per depth */
    unsigned depth;
    bool after_key;
};
void json_writer_init(struct json_writer *writer, struct buf *out);
void json_open(struct json_writer *writer, char bracket);
void json_close(struct json_writer *writer, char bracket);
void json_key(struct json_writer *writer, const char *name);
void json_string(struct json_writer *writer, struct slice text);
void json_integer(struct json_writer *writer, int64_t number);
void json_unsigned(struct json_writer *writer, uint64_t number);
void json_boolean(struct json_writer *writer, bool value);
void json_null(struct json_writer *writer);
void json_raw(struct json_writer *writer, struct slice json); /* spliced as it is */

/* json_write_text — quotes and escapes; a byte that is not UTF-8 becomes U+FFFD.
 *   answers  buf_append's; a part may have been appended */
enum err json_write_text(struct buf *out, struct slice text) NODISCARD;

#endif
