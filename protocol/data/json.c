/* json — spans by json_scanner, trees by cJSON, writing by hand.
 *
 * cJSON recurses as deep as the text is nested and is lenient about what it takes; so it only ever
 * sees text that the scanner has found valid and at most JSON_DEPTH_MAX deep. A `struct json` is a
 * cJSON node under another name: nothing else is ever behind that pointer. */
#include "protocol/data/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "protocol/data/json_scanner.h"

/* ---- checking and spans ---- */

/* Top-level names seen so far, for the duplicates among them. */
struct name_set {
    struct slice raw[JSON_MEMBERS_MAX];
    uint64_t hash[JSON_MEMBERS_MAX];
    size_t count;
};

/* FNV-1a of the decoded name: "model" and "m\u006fdel" are one name. */
static uint64_t name_hash(struct slice raw)
{
    uint64_t hash = 0xcbf29ce484222325u;
    uint8_t bytes[4];
    size_t size, at = 1;
    while ((size = json_character(raw, &at, bytes)) > 0)
        for (size_t i = 0; i < size; i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static bool names_equal(struct slice a, struct slice b)
{
    uint8_t bytes_a[4], bytes_b[4], left_a = 0, left_b = 0, next_a = 0, next_b = 0;
    size_t at_a = 1, at_b = 1;
    for (;;) {
        if (next_a == left_a)
            left_a = (uint8_t)json_character(a, &at_a, bytes_a), next_a = 0;
        if (next_b == left_b)
            left_b = (uint8_t)json_character(b, &at_b, bytes_b), next_b = 0;
        if (left_a == 0 || left_b == 0)
            return left_a == left_b;
        if (bytes_a[next_a++] != bytes_b[next_b++])
            return false;
    }
}

static bool name_is(struct slice raw, const char *name)
{
    uint8_t bytes[4];
    size_t size, at = 1;
    while ((size = json_character(raw, &at, bytes)) > 0)
        for (size_t i = 0; i < size; i++)
            if (*name == '\0' || (uint8_t)*name++ != bytes[i])
                return false;
    return *name == '\0';
}

static const char *add_name(struct name_set *set, struct slice raw)
{
    uint64_t hash = name_hash(raw);
    for (size_t i = 0; i < set->count; i++)
        if (set->hash[i] == hash && names_equal(set->raw[i], raw))
            return "a top-level member appears twice";
    if (set->count == JSON_MEMBERS_MAX)
        return "the object has more than 256 members";
    set->raw[set->count] = raw;
    set->hash[set->count++] = hash;
    return NULL;
}

static_assert(JSON_MEMBERS_MAX == 256, "the sentence above says 256");

static void note_wanted(
    const struct json_wanted *wanted, struct slice name, const struct json_span *value)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (name_is(name, wanted->names[i]))
            wanted->spans[i] = *value;
}

static enum err check_members(struct json_scanner *scanner, const struct json_wanted *wanted)
{
    struct name_set set;
    struct slice name;
    struct json_span value;
    enum err err;
    set.count = 0;
    TRY(json_scanner_open(scanner));
    while ((err = json_scanner_member(scanner, &name, &value)) == ERR_OK) {
        scanner->why = add_name(&set, name);
        if (scanner->why) {
            scanner->at = (size_t)(name.data - scanner->text.data);
            return ERR_INVALID;
        }
        note_wanted(wanted, name, &value);
    }
    return err == ERR_CLOSED ? json_scanner_end(scanner) : err;
}

static enum err check_utf8(struct json_scanner *scanner)
{
    if (slice_is_utf8(scanner->text))
        return ERR_OK;
    size_t size;
    while ((size = json_utf8_size(scanner->text, scanner->at)) > 0)
        scanner->at += size;
    scanner->why = "the text is not UTF-8";
    return ERR_INVALID;
}

enum err json_object_check(struct slice text, const char **why, size_t *at)
{
    static const struct json_wanted none;
    return json_object_read(text, &none, why, at);
}

static void forget_wanted(const struct json_wanted *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        wanted->spans[i] = (struct json_span){.raw = SLICE_NONE};
}

enum err json_object_read(
    struct slice text, const struct json_wanted *wanted, const char **why, size_t *at)
{
    struct json_scanner scanner;
    forget_wanted(wanted);
    json_scanner_init(&scanner, text);
    enum err err = check_utf8(&scanner);
    if (err == ERR_OK)
        err = check_members(&scanner, wanted);
    if (err != ERR_OK) {
        ASSERT(scanner.why && scanner.at <= text.size);
        *why = scanner.why;
        *at = scanner.at;
    }
    return err;
}

void json_scan_all(struct slice text, const char *const *names, size_t count, struct json_span *out)
{
    const struct json_wanted wanted = {names, count, out};
    struct json_scanner scanner;
    struct slice name;
    struct json_span value;
    forget_wanted(&wanted);
    json_scanner_init(&scanner, text);
    if (json_scanner_open(&scanner) != ERR_OK)
        return;
    while (json_scanner_member(&scanner, &name, &value) == ERR_OK)
        note_wanted(&wanted, name, &value);
}

enum err json_scan(struct slice text, const char *name, struct json_span *out)
{
    struct json_span span;
    json_scan_all(text, &name, 1, &span);
    if (span.raw.size == 0)
        return ERR_NOTFOUND;
    *out = span;
    return ERR_OK;
}

enum err json_span_text(struct json_span span, struct buf *out)
{
    uint8_t bytes[4];
    size_t size, at = 1;
    if (span.type != JSON_STRING || span.raw.size < 2)
        return ERR_INVALID;
    if (slice_find_byte(span.raw, '\\') < 0)
        return buf_append(out, slice_sub(span.raw, 1, span.raw.size - 2));
    while ((size = json_character(span.raw, &at, bytes)) > 0)
        TRY(buf_append(out, slice_of(bytes, size)));
    return ERR_OK;
}

bool json_span_is_true(struct json_span span)
{
    return span.type == JSON_BOOL && span.raw.size && span.raw.data[0] == 't';
}

/* ---- trees ---- */

static const cJSON *node_of(const struct json *value)
{
    return (const cJSON *)value;
}

static const struct json *json_of(const cJSON *node)
{
    return (const struct json *)node;
}

static enum err check_value(struct slice text)
{
    struct json_scanner scanner;
    struct json_span span;
    json_scanner_init(&scanner, text);
    TRY(check_utf8(&scanner));
    TRY(json_scanner_value(&scanner, &span));
    return json_scanner_end(&scanner);
}

enum err json_parse(struct slice text, struct json **out)
{
    TRY(check_value(text));
    cJSON *root = cJSON_ParseWithLength((const char *)text.data, text.size);
    if (!root) /* what the scanner took, cJSON refuses only for want of memory */
        return fault(ERR_NOMEM, "a JSON tree of %zu bytes of text", text.size);
    *out = (struct json *)root;
    return ERR_OK;
}

struct json *json_free(struct json *root)
{
    cJSON_Delete((cJSON *)root);
    return NULL;
}

void json_cleanup(struct json **root)
{
    *root = json_free(*root);
}

const struct json *json_get(const struct json *object, const char *name)
{
    if (!cJSON_IsObject(node_of(object)))
        return NULL;
    return json_of(cJSON_GetObjectItemCaseSensitive(node_of(object), name));
}

const struct json *json_at(const struct json *array, size_t index)
{
    if (!cJSON_IsArray(node_of(array)) || index > INT32_MAX)
        return NULL;
    return json_of(cJSON_GetArrayItem(node_of(array), (int)index));
}

const struct json *json_next(const struct json *value)
{
    return value ? json_of(node_of(value)->next) : NULL;
}

size_t json_size(const struct json *array_or_object)
{
    enum json_type type = json_type(array_or_object);
    if (type != JSON_ARRAY && type != JSON_OBJECT)
        return 0;
    return (size_t)cJSON_GetArraySize(node_of(array_or_object));
}

enum json_type json_type(const struct json *value)
{
    const cJSON *node = node_of(value);
    if (cJSON_IsObject(node))
        return JSON_OBJECT;
    if (cJSON_IsArray(node))
        return JSON_ARRAY;
    if (cJSON_IsString(node))
        return JSON_STRING;
    if (cJSON_IsNumber(node))
        return JSON_NUMBER;
    return cJSON_IsBool(node) ? JSON_BOOL : JSON_NULL;
}

struct slice json_text(const struct json *value)
{
    return slice_text(cJSON_GetStringValue(node_of(value)));
}

int64_t json_int(const struct json *value, int64_t otherwise)
{
    const double limit = (double)((int64_t)1 << JSON_INTEGER_MAX_BITS);
    if (!cJSON_IsNumber(node_of(value)))
        return otherwise;
    double number = node_of(value)->valuedouble;
    return number >= -limit && number <= limit ? (int64_t)number : otherwise;
}

bool json_bool(const struct json *value, bool otherwise)
{
    return cJSON_IsBool(node_of(value)) ? cJSON_IsTrue(node_of(value)) : otherwise;
}

/* ---- writing ---- */

void json_writer_init(struct json_writer *writer, struct buf *out)
{
    *writer = (struct json_writer){.out = out};
}

static void put(struct json_writer *writer, struct slice bytes)
{
    if (writer->err == ERR_OK)
        writer->err = buf_append(writer->out, bytes);
}

static void put_byte(struct json_writer *writer, char byte)
{
    put(writer, slice_of(&byte, 1));
}

/* The comma before a value or a name, where one is due. */
static void put_comma(struct json_writer *writer)
{
    uint64_t bit = (uint64_t)1 << writer->depth;
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    if (writer->has_items & bit)
        put_byte(writer, ',');
    writer->has_items |= bit;
}

void json_open(struct json_writer *writer, char bracket)
{
    ASSERT(bracket == '{' || bracket == '[');
    ASSERT(writer->depth < JSON_WRITER_DEPTH_MAX);
    put_comma(writer);
    put_byte(writer, bracket);
    writer->depth++;
    writer->has_items &= ~((uint64_t)1 << writer->depth);
}

void json_close(struct json_writer *writer, char bracket)
{
    ASSERT(bracket == '}' || bracket == ']');
    ASSERT(writer->depth > 0 && !writer->after_key);
    put_byte(writer, bracket);
    writer->depth--;
}

void json_key(struct json_writer *writer, const char *name)
{
    ASSERT(!writer->after_key);
    put_comma(writer);
    put_byte(writer, '"');
    put(writer, slice_text(name));
    put(writer, SLICE("\":"));
    writer->after_key = true;
}

void json_string(struct json_writer *writer, struct slice text)
{
    put_comma(writer);
    if (writer->err == ERR_OK)
        writer->err = json_write_text(writer->out, text);
}

void json_integer(struct json_writer *writer, int64_t number)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%" PRId64, number);
    put_comma(writer);
    put(writer, slice_of(digits, (size_t)size));
}

void json_unsigned(struct json_writer *writer, uint64_t number)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%" PRIu64, number);
    put_comma(writer);
    put(writer, slice_of(digits, (size_t)size));
}

void json_boolean(struct json_writer *writer, bool value)
{
    json_raw(writer, value ? SLICE("true") : SLICE("false"));
}

void json_null(struct json_writer *writer)
{
    json_raw(writer, SLICE("null"));
}

void json_raw(struct json_writer *writer, struct slice json)
{
    put_comma(writer);
    put(writer, json);
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* What stands for the character at *at, which is not plain; *at moves past it. */
static enum err write_special(struct buf *out, struct slice text, size_t *at)
{
    static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: byte, letter */
    uint8_t c = text.data[*at];
    if (c >= 0x80) {
        size_t size = json_utf8_size(text, *at);
        struct slice shown = size ? slice_sub(text, *at, size) : SLICE("\xEF\xBF\xBD");
        *at += size ? size : 1;
        return buf_append(out, shown);
    }
    *at += 1;
    for (size_t i = 0; i + 1 < sizeof short_escapes; i += 2)
        if ((uint8_t)short_escapes[i] == c)
            return buf_append(out, slice_of((char[]){'\\', short_escapes[i + 1]}, 2));
    return buf_printf(out, "\\u%04x", c);
}

enum err json_write_text(struct buf *out, struct slice text)
{
    size_t at = 0;
    TRY(buf_append_byte(out, '"'));
    while (at < text.size) {
        size_t start = at;
        while (at < text.size && is_plain(text.data[at]))
            at++;
        TRY(buf_append(out, slice_sub(text, start, at - start)));
        if (at < text.size)
            TRY(write_special(out, text, &at));
    }
    return buf_append_byte(out, '"');
}
