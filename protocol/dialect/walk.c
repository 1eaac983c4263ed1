/* walk — over json_scanner, one object or array at a time.
 *
 * The whole body has passed json_object_check before any of its values is walked, so that what is
 * walked is known to be valid JSON of a bounded depth; and each table knows the next, so that the
 * depth of the calls is that of the tables, whatever the body nests. */
#include "protocol/dialect/walk.h"

#include <stdio.h>
#include <string.h>

#include "protocol/data/json_scanner.h"

void walk_init(struct walk *walk, struct arena *arena, struct neutral_report *report)
{
    *walk = (struct walk){.arena = arena, .report = report};
}

/* ---- the path ---- */

/* Appends to the path and returns its size before, for `leave`. What does not fit is cut. */
static size_t enter_name(struct walk *walk, struct slice name)
{
    size_t before = walk->path_size;
    size_t room = sizeof walk->path - before;
    int size = snprintf(walk->path + before, room, "%s%.*s", before ? "." : "",
        (int)(name.size < room ? name.size : room), (const char *)name.data);
    walk->path_size += (size_t)size < room ? (size_t)size : room - 1;
    return before;
}

static size_t enter_item(struct walk *walk, size_t index)
{
    size_t before = walk->path_size;
    size_t room = sizeof walk->path - before;
    int size = snprintf(walk->path + before, room, "[%zu]", index);
    walk->path_size += (size_t)size < room ? (size_t)size : room - 1;
    return before;
}

static void leave(struct walk *walk, size_t before)
{
    walk->path_size = before;
    walk->path[before] = '\0';
}

struct slice walk_here(const struct walk *walk)
{
    return slice_of(walk->path, walk->path_size);
}

enum err walk_path(struct walk *walk, struct slice *out)
{
    return arena_copy(walk->arena, walk_here(walk), out);
}

enum err walk_refuse(struct walk *walk, const char *why)
{
    return neutral_refuse(walk->report, walk_here(walk), "%s", why);
}

enum err walk_missing(struct walk *walk, const char *name)
{
    size_t before = enter_name(walk, slice_text(name));
    enum err err = walk_refuse(walk, "it is missing");
    leave(walk, before);
    return err;
}

/* ---- values ---- */

enum err walk_skip(struct walk *walk, struct json_span value, void *into)
{
    (void)walk;
    (void)value;
    (void)into;
    return ERR_OK;
}

enum err json_decode(struct json_span span, struct arena *arena, struct slice *out)
{
    uint8_t bytes[4];
    size_t size, at = 1, written = 0;
    void *copy;
    if (span.type != JSON_STRING || span.raw.size < 2)
        return ERR_INVALID;
    struct slice inner = slice_sub(span.raw, 1, span.raw.size - 2);
    if (slice_find_byte(inner, '\\') < 0) {
        *out = inner;
        return ERR_OK;
    }
    TRY(arena_take(arena, inner.size, &copy));
    while ((size = json_character(span.raw, &at, bytes)) > 0) {
        ASSERT(written + size <= inner.size); /* an escape is longer than what it stands for */
        memcpy((uint8_t *)copy + written, bytes, size);
        written += size;
    }
    *out = slice_of(copy, written);
    return ERR_OK;
}

enum err walk_text(struct walk *walk, struct json_span span, struct slice *out)
{
    if (span.type != JSON_STRING)
        return walk_refuse(walk, "it must be a string");
    return json_decode(span, walk->arena, out);
}

enum err walk_bool(struct walk *walk, struct json_span span, bool *out)
{
    if (span.type != JSON_BOOL)
        return walk_refuse(walk, "it must be true or false");
    *out = json_span_is_true(span);
    return ERR_OK;
}

enum err walk_count(struct walk *walk, struct json_span span, int64_t *out)
{
    uint64_t count;
    if (span.type != JSON_NUMBER || slice_u64(span.raw, &count) != ERR_OK || count > INT64_MAX)
        return walk_refuse(walk, "it must be a whole number, not negative");
    *out = (int64_t)count;
    return ERR_OK;
}

enum err walk_value(
    struct walk *walk, struct json_span span, enum json_type type, struct neutral_value *out)
{
    static const char *const sentences[] = {
        [JSON_NULL] = "it must be null",
        [JSON_BOOL] = "it must be true or false",
        [JSON_NUMBER] = "it must be a number",
        [JSON_STRING] = "it must be a string",
        [JSON_ARRAY] = "it must be an array",
        [JSON_OBJECT] = "it must be an object",
    };
    if (span.type != type)
        return walk_refuse(walk, sentences[type]);
    out->raw = span.raw;
    return walk_path(walk, &out->path);
}

enum err walk_type(struct walk *walk, struct json_span span, const char *name, struct slice *out)
{
    struct json_span type;
    *out = SLICE_NONE;
    if (span.type != JSON_OBJECT)
        return walk_refuse(walk, "it must be an object");
    if (json_scan(span.raw, name, &type) != ERR_OK || type.type != JSON_STRING)
        return ERR_OK;
    return json_decode(type, walk->arena, out);
}

/* ---- objects and arrays ---- */

static enum err store(
    struct walk *walk, const struct walk_member *member, struct json_span value, void *into)
{
    void *at = (uint8_t *)into + member->at;
    bool is_true;
    switch (member->store) {
    case WALK_TEXT: return walk_text(walk, value, at);
    case WALK_OBJECT:
        if (value.type != JSON_OBJECT)
            return walk_refuse(walk, "it must be an object");
        *(struct slice *)at = value.raw;
        return ERR_OK;
    case WALK_FLAG:
        TRY(walk_bool(walk, value, &is_true));
        *(struct slice *)at = value.raw;
        return ERR_OK;
    case WALK_BOOL: return walk_bool(walk, value, at);
    case WALK_COUNT: return walk_count(walk, value, at);
    case WALK_NUMBER_VALUE: return walk_value(walk, value, JSON_NUMBER, at);
    case WALK_BOOL_VALUE: return walk_value(walk, value, JSON_BOOL, at);
    case WALK_TEXT_VALUE: return walk_value(walk, value, JSON_STRING, at);
    }
    return ERR_OK;
}

static enum err read_member(
    struct walk *walk, const struct walk_member *member, struct json_span value, void *into)
{
    if (member->read)
        return member->read(walk, value, into);
    if (member->each)
        return walk_array(walk, value, member->each, into);
    if (member->members)
        return walk_object(walk, value, member->members, member->count, into);
    if (member->store)
        return store(walk, member, value, into);
    if (member->unless && slice_equal(value.raw, slice_text(member->unless)))
        return ERR_OK;
    if (!member->is_hint)
        return walk_refuse(walk, member->why);
    neutral_leave_out(walk->report, walk_here(walk));
    return ERR_OK;
}

static const struct walk_member *find_member(
    const struct walk_member *members, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(name, slice_text(members[i].name)))
            return &members[i];
    return NULL;
}

static enum err walk_member(struct walk *walk, const struct walk_member *members, size_t count,
    struct slice raw_name, struct json_span value, uint64_t *seen, void *into)
{
    struct slice name;
    TRY(json_decode((struct json_span){JSON_STRING, raw_name}, walk->arena, &name));
    const struct walk_member *member = find_member(members, count, name);
    size_t before = enter_name(walk, name);
    enum err err = ERR_OK;
    if (member && *seen & (uint64_t)1 << (member - members))
        err = walk_refuse(walk, "it appears twice");
    else if (member && value.type != JSON_NULL)
        err = read_member(walk, member, value, into);
    else if (!member)
        err = walk_refuse(walk, "no way is known to carry it over to the provider's API");
    if (member)
        *seen |= (uint64_t)1 << (member - members);
    leave(walk, before);
    return err;
}

enum err walk_object(struct walk *walk, struct json_span span, const struct walk_member *members,
    size_t count, void *into)
{
    struct json_scanner scanner;
    struct slice name;
    struct json_span value;
    uint64_t seen = 0;
    enum err err;
    ASSERT(count <= WALK_MEMBERS_MAX);
    if (span.type != JSON_OBJECT)
        return walk_refuse(walk, "it must be an object");
    json_scanner_init(&scanner, span.raw);
    TRY(json_scanner_open(&scanner));
    while ((err = json_scanner_member(&scanner, &name, &value)) == ERR_OK)
        TRY(walk_member(walk, members, count, name, value, &seen, into));
    return err == ERR_CLOSED ? ERR_OK : err;
}

bool walk_has_item(struct json_scanner *scanner)
{
    const struct slice text = scanner->text;
    while (scanner->at < text.size && memchr(" \t\r\n,[", text.data[scanner->at], 6)) {
        bool is_inner = text.data[scanner->at] == '[' && scanner->at > 0;
        if (is_inner)
            return true;
        scanner->at++;
    }
    return scanner->at < text.size && text.data[scanner->at] != ']';
}

enum err walk_array(struct walk *walk, struct json_span span, walk_read *read, void *into)
{
    struct json_scanner scanner;
    struct json_span item;
    if (span.type != JSON_ARRAY)
        return walk_refuse(walk, "it must be an array");
    json_scanner_init(&scanner, span.raw);
    for (size_t i = 0; walk_has_item(&scanner); i++) {
        TRY(json_scanner_value(&scanner, &item));
        size_t before = enter_item(walk, i);
        TRY(read(walk, item, into));
        leave(walk, before);
    }
    return ERR_OK;
}

enum err walk_body(struct walk *walk, struct slice body, const struct walk_member *members,
    size_t count, void *into)
{
    const char *why;
    size_t at;
    if (json_object_check(body, &why, &at) != ERR_OK)
        return neutral_refuse(walk->report, SLICE_NONE, "%s (at byte %zu)", why, at);
    return walk_object(walk, (struct json_span){JSON_OBJECT, body}, members, count, into);
}

/* ---- what requests are made of ---- */

enum err walk_take(struct walk *walk, size_t size, void ***slot, void **out)
{
    TRY(arena_take(walk->arena, size, out));
    **slot = *out;
    *slot = (void **)*out;
    return ERR_OK;
}

struct walk_parts walk_parts(struct neutral_part **list)
{
    return (struct walk_parts){.slot = (void **)list};
}

enum err walk_add_part(struct walk *walk, struct walk_parts *parts, enum neutral_part_kind kind)
{
    void *part;
    TRY(walk_take(walk, sizeof(struct neutral_part), &parts->slot, &part));
    parts->last = part;
    parts->last->kind = kind;
    return walk_path(walk, &parts->last->path);
}

enum err walk_add_message(struct walk *walk, struct neutral_request *request,
    enum neutral_role role, struct neutral_part *parts)
{
    void *taken;
    TRY(walk_take(walk, sizeof(struct neutral_message), &request->messages_end, &taken));
    struct neutral_message *message = taken;
    message->role = role;
    message->parts = parts;
    return walk_path(walk, &message->path);
}

enum err walk_add_first_message(struct walk *walk, struct neutral_request *request,
    enum neutral_role role, struct neutral_part *parts)
{
    struct neutral_message *others = request->messages;
    void **end = request->messages_end;
    request->messages = NULL;
    request->messages_end = (void **)&request->messages;
    TRY(walk_add_message(walk, request, role, parts));
    if (others) {
        request->messages->next = others;
        request->messages_end = end;
    }
    return ERR_OK;
}

static enum err add_tool(
    struct walk *walk, struct neutral_request *request, struct neutral_tool **out)
{
    void *taken;
    TRY(walk_take(walk, sizeof(struct neutral_tool), &request->tools_end, &taken));
    *out = taken;
    return walk_path(walk, &(*out)->path);
}

enum err walk_tool(struct walk *walk, struct json_span value, const struct walk_member *members,
    size_t count, const char *name, struct neutral_request *request)
{
    struct neutral_tool *tool;
    TRY(add_tool(walk, request, &tool));
    TRY(walk_object(walk, value, members, count, tool));
    return tool->name.size ? ERR_OK : walk_missing(walk, name);
}

enum err walk_add_stop(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    void *taken;
    if (!request->stops)
        TRY(walk_path(walk, &request->stops_path));
    TRY(walk_take(walk, sizeof(struct neutral_stop), &request->stops_end, &taken));
    return walk_text(walk, value, &((struct neutral_stop *)taken)->text);
}

enum err walk_service_tier(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {"auto", "default"};
    size_t word;
    (void)into;
    return walk_word(walk, value, words, COUNT_OF(words),
        "only auto and default can be carried over: a service tier is one provider's own", &word);
}

enum err walk_word(struct walk *walk, struct json_span span, const char *const *words, size_t count,
    const char *why, size_t *out)
{
    struct slice word;
    TRY(walk_text(walk, span, &word));
    for (size_t i = 0; i < count; i++)
        if (words[i] && slice_equal(word, slice_text(words[i]))) {
            *out = i;
            return ERR_OK;
        }
    return walk_refuse(walk, why);
}

enum err walk_data_url(struct walk *walk, struct slice url, struct neutral_part *image)
{
    enum { TYPE_BYTES_MAX = 128 /* of the media type; a real one is about ten letters */ };
    const struct slice scheme = SLICE("data:"), encoding = SLICE(";base64,");
    if (!slice_has_prefix(url, scheme)) {
        image->url = url;
        return ERR_OK;
    }
    ptrdiff_t at = slice_find(slice_sub(url, 0, TYPE_BYTES_MAX), encoding);
    if (at <= (ptrdiff_t)scheme.size)
        return walk_refuse(walk, "a data: URL must be of the form data:TYPE;base64,DATA");
    image->media_type = slice_sub(url, scheme.size, (size_t)at - scheme.size);
    image->data = slice_sub(url, (size_t)at + encoding.size, url.size);
    return ERR_OK;
}
