/* json — reading and writing JSON (cJSON inside; its header is included by json.c only).
 *
 * Two ways to read: json_scan finds the byte spans of top-level members without changing the text (requests are passed on byte-exact, so a
 * change is a splice of spans, never a re-serialisation, which would alter numbers); json_parse gives a tree for configs, usage and errors.
 *
 *   depth is bounded by JSON_DEPTH_MAX; text must be UTF-8; duplicate top-level members are refused (the provider might take the other one) */
#ifndef TOKENLOG_PROTOCOL_DATA_JSON_H
#define TOKENLOG_PROTOCOL_DATA_JSON_H

#include "protocol/base/slice.h"

enum { JSON_DEPTH_MAX = 200 /* nested arrays and objects; deep enough for any tool schema */ };

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_span {
    enum json_type type;
    struct slice raw; /* the value's bytes in the text, quotes included */
};

/* json_object_check — the text is exactly one JSON object, UTF-8, in bounds. ERR_INVALID with a static sentence in *why and the byte offset in *at. */
enum err json_object_check(struct slice text, const char **why, size_t *at) NODISCARD;
/* json_scan — the span of a top-level member of an object that passed json_object_check; ERR_NOTFOUND.  O(text). */
enum err json_scan(struct slice text, const char *name, struct json_span *out) NODISCARD;
/* json_span_text — the decoded value of a string span, appended to `out` (UTF-8); ERR_INVALID if it is no string. */
enum err json_span_text(struct json_span span, struct buf *out) NODISCARD;
bool json_span_is_true(struct json_span span);

/* A tree: owned by its root. Getters take NULL and wrong types, and answer with the default: they chain. */
struct json;
enum err json_parse(struct slice text, struct json **out) NODISCARD; /* ERR_INVALID · ERR_NOMEM */
struct json *json_free(struct json *root);
const struct json *json_get(const struct json *object, const char *name);
const struct json *json_at(const struct json *array, size_t index);
size_t json_size(const struct json *array_or_object);
enum json_type json_type(const struct json *value);         /* JSON_NULL for NULL */
struct slice json_text(const struct json *value);           /* SLICE_NONE if it is no string */
int64_t json_int(const struct json *value, int64_t otherwise); /* truncated; otherwise if it is no number or beyond ±2^53 */
bool json_bool(const struct json *value, bool otherwise);

/* Writing: append to a buf. json_write_text quotes and escapes (invalid UTF-8 becomes U+FFFD). A json_writer keeps the commas:
 *   json_open(w, '{'); json_key(w, "id"); json_string(w, …); json_close(w, '}');                                              */
struct json_writer {
    struct buf *out;
    enum err err;        /* the first failure; later calls do nothing: check once, at the end */
    uint64_t has_items;  /* bit per depth */
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
enum err json_write_text(struct buf *out, struct slice text) NODISCARD;

#endif
