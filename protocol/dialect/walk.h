/* walk — reading a caller's request: JSON, by tables, with the path of where one stands.
 *
 * Each kind of object has a table of its members: what reads each, what is refused and why, what is
 * left out because it is a mere hint. A member that is in no table is refused by its path, so that
 * nothing is ever dropped unsaid. A member that is null is taken for absent.
 *
 *     static const struct walk_member tool_members[] = {
 *         {"type", .why = "only functions can be carried over", .unless = "\"function\""},
 *         {"name", WALK_AT(WALK_TEXT, struct neutral_tool, name)},
 *         {"function", WALK_INTO(function_members)},      an object, into the same struct
 *         {"examples", .each = read_example},             an array, by a function
 *         {"cache_hint", .is_hint = true},                left out, and listed
 *     };
 *     TRY(walk_object(walk, span, tool_members, COUNT_OF(tool_members), tool));
 *
 * Texts are borrowed from the body where they hold no escape, else decoded into the arena.
 *
 *   answers  ERR_INVALID the report of the walk names the path and says why · ERR_LIMIT the arena
 *            is full
 *   faults   ERR_NOMEM
 *   thread   one at a time                                                                       */
#ifndef TOKENLOG_PROTOCOL_DIALECT_WALK_H
#define TOKENLOG_PROTOCOL_DIALECT_WALK_H

#include <stddef.h>

#include "protocol/data/json.h"
#include "protocol/dialect/neutral.h"

#define COUNT_OF(table) (sizeof(table) / sizeof(table)[0])

struct walk {
    struct arena *arena;
    struct neutral_report *report;
    char path[NEUTRAL_PATH_BYTES];
    size_t path_size;
};

/* A reader of one value; `into` is what the object is read into. */
typedef enum err walk_read(struct walk *walk, struct json_span value, void *into);

/* Where a value goes that needs no function: a field of what the object is read into. */
enum walk_store {
    WALK_TEXT = 1, /* struct slice: a string, decoded */
    WALK_OBJECT,   /* struct slice: an object's JSON text */
    WALK_FLAG,     /* struct slice: the text true or false */
    WALK_BOOL,     /* bool */
    WALK_COUNT,    /* int64_t: a whole number, not negative */
    /* struct neutral_value: the JSON text and the path */
    WALK_NUMBER_VALUE,
    WALK_BOOL_VALUE,
    WALK_TEXT_VALUE,
};
#define WALK_AT(kind, type, field) .store = (kind), .at = offsetof(type, field)
#define WALK_OPTION(kind, option)                                                                  \
    .store = (kind), .at = offsetof(struct neutral_request, options[option])
#define WALK_INTO(table) .members = (table), .count = COUNT_OF(table)

/* One of: read; each; members; store; or else it is a hint, or refused. */
struct walk_member {
    const char *name;
    walk_read *read;
    walk_read *each; /* of an array, for its items */
    const struct walk_member *members;
    size_t count;
    enum walk_store store;
    size_t at;
    bool is_hint;       /* noted in the report, and left out */
    const char *why;    /* refused, with this sentence… */
    const char *unless; /* …or left out, unless the value is exactly this JSON text, which says
                         * nothing */
};

enum {
    WALK_MEMBERS_MAX = 64, /* in a table; the largest request has about 40 */
};

void walk_init(struct walk *walk, struct arena *arena, struct neutral_report *report);
/* walk_body — the text is checked first; it must be one object. */
enum err walk_body(struct walk *walk, struct slice body, const struct walk_member *members,
    size_t count, void *into) NODISCARD;
enum err walk_object(struct walk *walk, struct json_span span, const struct walk_member *members,
    size_t count, void *into) NODISCARD;
enum err walk_array(
    struct walk *walk, struct json_span span, walk_read *read, void *into) NODISCARD;

walk_read walk_skip; /* a member that was looked at before, such as "type" */
enum err walk_text(struct walk *walk, struct json_span span, struct slice *out) NODISCARD;
enum err walk_bool(struct walk *walk, struct json_span span, bool *out) NODISCARD;
enum err walk_count(struct walk *walk, struct json_span span, int64_t *out) NODISCARD;
/* walk_value — a value of that type as JSON text, with its path. */
enum err walk_value(struct walk *walk, struct json_span span, enum json_type type,
    struct neutral_value *out) NODISCARD;
/* walk_type — the decoded "type" (or another string member) of an object; empty if there is none. */
enum err walk_type(
    struct walk *walk, struct json_span span, const char *name, struct slice *out) NODISCARD;
enum err walk_path(struct walk *walk, struct slice *out) NODISCARD; /* copied to the arena */
struct slice walk_here(const struct walk *walk);                    /* borrowed until it moves */
enum err walk_refuse(struct walk *walk, const char *why) NODISCARD;
/* walk_missing — refuses for want of a member. */
enum err walk_missing(struct walk *walk, const char *name) NODISCARD;

/* walk_take — a zeroed element at the end of a list, whose first member is its `next`. *slot is
 * where the link to it goes: at first (void **)&list, then moved on here. */
enum err walk_take(struct walk *walk, size_t size, void ***slot, void **out) NODISCARD;

/* A list of parts being read; init by walk_parts(&list). `last` is the newest. */
struct walk_parts {
    void **slot;
    struct neutral_part *last;
};
struct walk_parts walk_parts(struct neutral_part **list);
/* The new element has its path: where the walk stands. */
enum err walk_add_part(
    struct walk *walk, struct walk_parts *parts, enum neutral_part_kind kind) NODISCARD;
enum err walk_add_message(struct walk *walk, struct neutral_request *request,
    enum neutral_role role, struct neutral_part *parts) NODISCARD;
/* walk_add_first_message — before those that are there already. */
enum err walk_add_first_message(struct walk *walk, struct neutral_request *request,
    enum neutral_role role, struct neutral_part *parts) NODISCARD;
/* walk_tool — an object of a list of tools: a new one of the request, by its table. It must have a
 * name; `name` is the path to that in the object. */
enum err walk_tool(struct walk *walk, struct json_span value, const struct walk_member *members,
    size_t count, const char *name, struct neutral_request *request) NODISCARD;
/* walk_add_stop — a walk_read: a string of an array of stop sequences, into the request. */
walk_read walk_add_stop;
/* walk_service_tier — OpenAI's: "auto" and "default" say nothing, the others are its own. */
walk_read walk_service_tier;
/* walk_word — which of `words` the string is: its index. Refused with `why` if none. */
enum err walk_word(struct walk *walk, struct json_span span, const char *const *words, size_t count,
    const char *why, size_t *out) NODISCARD;
/* walk_data_url — data:TYPE;base64,DATA into media_type and data of an image; other URLs into
 * url. */
enum err walk_data_url(struct walk *walk, struct slice url, struct neutral_part *image) NODISCARD;

/* walk_has_item — in the text of a valid array, at its beginning or after an item: whether another
 * one follows; json_scanner_value takes it. */
struct json_scanner;
bool walk_has_item(struct json_scanner *scanner);

/* json_decode — the text of a string span: borrowed from it, or decoded into the arena.
 *   answers ERR_INVALID it is no string · ERR_LIMIT · faults ERR_NOMEM */
enum err json_decode(struct json_span span, struct arena *arena, struct slice *out) NODISCARD;

#endif
