/* responses_object — items by their output_index, each with its parts; what is open is its beginning
 * with the deltas spliced in, what is done is the provider's own bytes.
 *
 *     item   raw  {"type":"message","content":[],"status":"in_progress"}      of output_item.added
 *            part raw {"type":"output_text","text":""}  text  Hel|lo          of content_part.added, deltas
 *     shown       {"type":"message","content":[{"type":"output_text","text":"Hello"}],…}
 *
 * Deltas are kept as they are escaped: one after another they are the escaped text. */
#include "protocol/dialect/responses_object.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/sse.h"

enum { CHANGES_MAX = 8, TYPE_BYTES_MAX = 128 };

struct part {
    const char *list; /* the item's member that it is in; NULL: it is the item's member `member` */
    const char *member; /* that its text is */
    uint64_t index;     /* in `list` */
    bool is_done;
    struct buf raw, text;
};

struct responses_item {
    uint64_t index;
    bool is_done;
    struct buf raw;
    struct part *parts;
    size_t part_count;
};

/* ── made and freed ─────────────────────────────────────────────────────────────────────────── */

void responses_object_init(struct responses_object *object, size_t bytes_max)
{
    *object = (struct responses_object){.bytes_max = bytes_max};
    buf_init(&object->base, bytes_max);
    buf_init(&object->error, bytes_max);
}

static void item_drop_parts(struct responses_item *item)
{
    for (size_t i = 0; i < item->part_count; i++) {
        buf_deinit(&item->parts[i].raw);
        buf_deinit(&item->parts[i].text);
    }
    free(item->parts);
    item->parts = NULL;
    item->part_count = 0;
}

static void drop_items(struct responses_object *object)
{
    for (size_t i = 0; i < object->item_count; i++) {
        item_drop_parts(&object->items[i]);
        buf_deinit(&object->items[i].raw);
    }
    free(object->items);
    object->items = NULL;
    object->item_count = 0;
}

void responses_object_deinit(struct responses_object *object)
{
    drop_items(object);
    buf_deinit(&object->base);
    buf_deinit(&object->error);
}

/* ── what is kept ───────────────────────────────────────────────────────────────────────────── */

static enum err keep(struct responses_object *object, struct buf *out, struct slice bytes)
{
    if (bytes.size > object->bytes_max - object->bytes)
        return ERR_LIMIT;
    TRY(buf_append(out, bytes));
    object->bytes += bytes.size;
    return ERR_OK;
}

static enum err replace(struct responses_object *object, struct buf *out, struct slice bytes)
{
    object->bytes -= out->size;
    buf_clear(out);
    return keep(object, out, bytes);
}

/* Room for one more in a list whose sizes are powers of two. */
static enum err grow(void **list, size_t count, size_t size, size_t count_max)
{
    if (count >= count_max)
        return ERR_LIMIT;
    if (count & (count - 1))
        return ERR_OK;
    void *grown = realloc(*list, (count ? 2 * count : 1) * size);
    if (!grown)
        return fault(ERR_NOMEM, "a response of %zu items or parts", count);
    *list = grown;
    return ERR_OK;
}

static struct responses_item *find_item(struct responses_object *object, uint64_t index)
{
    for (size_t i = object->item_count; i-- > 0;)
        if (object->items[i].index == index)
            return &object->items[i];
    return NULL;
}

static enum err find_or_add_item(
    struct responses_object *object, uint64_t index, struct responses_item **out)
{
    if ((*out = find_item(object, index)))
        return ERR_OK;
    TRY(grow(
        (void **)&object->items, object->item_count, sizeof *object->items, RESPONSES_ITEMS_MAX));
    *out = &object->items[object->item_count++];
    **out = (struct responses_item){.index = index};
    buf_init(&(*out)->raw, object->bytes_max);
    return ERR_OK;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static enum err find_or_add_part(struct responses_object *object, struct responses_item *item,
    const char *list, uint64_t index, struct part **out)
{
    for (size_t i = item->part_count; i-- > 0;)
        if (is_same(item->parts[i].list, list) && item->parts[i].index == index) {
            *out = &item->parts[i];
            return ERR_OK;
        }
    void *parts = item->parts;
    TRY(grow(&parts, item->part_count, sizeof *item->parts, RESPONSES_PARTS_MAX));
    item->parts = parts;
    *out = &item->parts[item->part_count++];
    **out = (struct part){.list = list, .index = index};
    buf_init(&(*out)->raw, object->bytes_max);
    buf_init(&(*out)->text, object->bytes_max);
    return ERR_OK;
}

/* ── an event, taken apart ──────────────────────────────────────────────────────────────────── */

enum member {
    TYPE,
    NUMBER,
    RESPONSE,
    OUTPUT_INDEX,
    ITEM,
    CONTENT_INDEX,
    SUMMARY_INDEX,
    PART,
    DELTA,
    ERROR,
    MEMBERS
};

struct event {
    struct slice data; /* borrowed from the block or from `joined` */
    struct buf joined, type;
    struct json_span members[MEMBERS];
};

static void event_deinit(struct event *event)
{
    buf_deinit(&event->joined);
    buf_deinit(&event->type);
}

/* False: its data are no JSON object. */
static bool read_event(struct slice block, struct event *event)
{
    static const char *const names[] = {"type", "sequence_number", "response", "output_index",
        "item", "content_index", "summary_index", "part", "delta", "error"};
    struct sse_fields fields;
    const char *why;
    size_t at;
    buf_init(&event->joined, block.size);
    buf_init(&event->type, TYPE_BYTES_MAX);
    if (sse_fields(sse_without_bom(block), &event->joined, &fields) || !fields.has_data)
        return false;
    event->data = sse_data(&fields, &event->joined);
    if (json_object_check(event->data, &why, &at))
        return false;
    json_scan_all(event->data, names, MEMBERS, event->members);
    enum err err = json_span_text(event->members[TYPE], &event->type);
    if (err == ERR_INVALID)
        err = buf_append(&event->type, fields.event);
    return err == ERR_OK;
}

static bool is_object(struct json_span span)
{
    return span.raw.size && span.type == JSON_OBJECT;
}

static bool is_type(const struct event *event, const char *name)
{
    return slice_equal(buf_slice(&event->type), slice_text(name));
}

/* A count that is left out is the first. */
static uint64_t count_of(struct json_span span)
{
    uint64_t count = 0;
    return span.raw.size && slice_u64(span.raw, &count) == ERR_OK ? count : 0;
}

/* ── taking it ──────────────────────────────────────────────────────────────────────────────── */

static enum err take_response(struct responses_object *object, const struct event *event)
{
    object->is_final = is_type(event, "response.completed") ||
                       is_type(event, "response.incomplete") || is_type(event, "response.failed") ||
                       is_type(event, "response.cancelled");
    if (object->is_final)
        drop_items(object), object->bytes = object->base.size + object->error.size;
    return replace(object, &object->base, event->members[RESPONSE].raw);
}

static enum err take_item(struct responses_object *object, const struct event *event, bool is_done)
{
    struct responses_item *item;
    TRY(find_or_add_item(object, count_of(event->members[OUTPUT_INDEX]), &item));
    item->is_done = is_done;
    for (size_t i = 0; i < item->part_count; i++)
        object->bytes -= item->parts[i].raw.size + item->parts[i].text.size;
    item_drop_parts(item);
    return replace(object, &item->raw, event->members[ITEM].raw);
}

static const struct part_event {
    const char *name, *list;
    bool is_done;
} part_events[] = {
    {"response.content_part.added", "content", false},
    {"response.content_part.done", "content", true},
    {"response.reasoning_summary_part.added", "summary", false},
    {"response.reasoning_summary_part.done", "summary", true},
};

static const struct delta_event {
    const char *name, *list, *member;
    const char *empty; /* the part, where no event began it */
} delta_events[] = {
    {"response.output_text.delta", "content", "text",
        "{\"type\":\"output_text\",\"annotations\":[]}"},
    {"response.refusal.delta", "content", "refusal", "{\"type\":\"refusal\"}"},
    {"response.reasoning_text.delta", "content", "text", "{\"type\":\"reasoning_text\"}"},
    {"response.reasoning_summary_text.delta", "summary", "text", "{\"type\":\"summary_text\"}"},
    {"response.function_call_arguments.delta", NULL, "arguments", ""},
    {"response.mcp_call_arguments.delta", NULL, "arguments", ""},
    {"response.custom_tool_call_input.delta", NULL, "input", ""},
    {"response.code_interpreter_call_code.delta", NULL, "code", ""},
};

static enum err open_part(
    struct responses_object *object, const struct event *event, const char *list, struct part **out)
{
    struct responses_item *item = find_item(object, count_of(event->members[OUTPUT_INDEX]));
    bool is_summary = list && strcmp(list, "summary") == 0;
    if (!item || item->is_done)
        return ERR_NOTFOUND;
    uint64_t index =
        list ? count_of(event->members[is_summary ? SUMMARY_INDEX : CONTENT_INDEX]) : 0;
    return find_or_add_part(object, item, list, index, out);
}

static enum err take_part(
    struct responses_object *object, const struct event *event, const struct part_event *kind)
{
    struct part *part;
    TRY(open_part(object, event, kind->list, &part));
    part->is_done = kind->is_done;
    return replace(object, &part->raw, event->members[PART].raw);
}

static enum err take_delta(
    struct responses_object *object, const struct event *event, const struct delta_event *kind)
{
    struct part *part;
    struct slice delta = event->members[DELTA].raw;
    TRY(open_part(object, event, kind->list, &part));
    part->member = kind->member;
    if (part->raw.size == 0 && kind->list)
        TRY(keep(object, &part->raw, slice_text(kind->empty)));
    return keep(object, &part->text, slice_sub(delta, 1, delta.size - 2));
}

static enum err take_content(struct responses_object *object, const struct event *event)
{
    if (is_object(event->members[PART]))
        for (size_t i = 0; i < sizeof part_events / sizeof *part_events; i++)
            if (is_type(event, part_events[i].name))
                return take_part(object, event, &part_events[i]);
    if (event->members[DELTA].raw.size && event->members[DELTA].type == JSON_STRING)
        for (size_t i = 0; i < sizeof delta_events / sizeof *delta_events; i++)
            if (is_type(event, delta_events[i].name))
                return take_delta(object, event, &delta_events[i]);
    return ERR_NOTFOUND;
}

enum err responses_object_event(struct responses_object *object, struct slice block)
{
    CLEANUP(event_deinit) struct event event;
    if (!read_event(block, &event) || object->is_final)
        return ERR_OK;
    if (is_object(event.members[RESPONSE]))
        return take_response(object, &event);
    if (is_type(&event, "error"))
        return replace(object, &object->error,
            is_object(event.members[ERROR]) ? event.members[ERROR].raw : event.data);
    bool is_item = is_object(event.members[ITEM]);
    enum err err =
        is_item && is_type(&event, "response.output_item.added")  ? take_item(object, &event, false)
        : is_item && is_type(&event, "response.output_item.done") ? take_item(object, &event, true)
                                                                  : take_content(object, &event);
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* ── splicing ───────────────────────────────────────────────────────────────────────────────── */

struct change {
    const char *name;
    struct slice value; /* raw JSON */
};

struct changes {
    struct change items[CHANGES_MAX];
    size_t count;
};

static void change(struct changes *changes, const char *name, struct slice value)
{
    ASSERT(changes->count < CHANGES_MAX);
    changes->items[changes->count++] = (struct change){name, value};
}

/* The change whose member comes next at or after `from`, or -1. */
static ptrdiff_t next_change(
    struct slice object, const struct json_span *spans, size_t count, size_t from)
{
    ptrdiff_t next = -1;
    for (size_t i = 0; i < count; i++) {
        bool is_there = spans[i].raw.size && (size_t)(spans[i].raw.data - object.data) >= from;
        if (is_there && (next < 0 || spans[i].raw.data < spans[next].raw.data))
            next = (ptrdiff_t)i;
    }
    return next;
}

static bool is_empty_object(struct slice object)
{
    for (size_t i = 1; i < object.size; i++)
        if (!memchr(" \t\r\n", object.data[i], 4))
            return object.data[i] == '}';
    return false;
}

/* The object with those members changed, or added where it has none of that name. */
static enum err write_changed(struct slice object, const struct changes *changes, struct buf *out)
{
    const char *names[CHANGES_MAX];
    struct json_span spans[CHANGES_MAX];
    for (size_t i = 0; i < changes->count; i++)
        names[i] = changes->items[i].name;
    json_scan_all(object, names, changes->count, spans);
    size_t done = 0;
    ptrdiff_t next;
    while ((next = next_change(object, spans, changes->count, done)) >= 0) {
        size_t at = (size_t)(spans[next].raw.data - object.data);
        TRY(buf_append(out, slice_sub(object, done, at - done)));
        TRY(buf_append(out, changes->items[next].value));
        done = at + spans[next].raw.size;
    }
    ASSERT(object.size > done && object.data[object.size - 1] == '}');
    TRY(buf_append(out, slice_sub(object, done, object.size - 1 - done)));
    bool is_empty = is_empty_object(object);
    for (size_t i = 0; i < changes->count; i++) {
        if (spans[i].raw.size)
            continue;
        TRY(buf_printf(out, "%s\"%s\":", is_empty ? "" : ",", names[i]));
        TRY(buf_append(out, changes->items[i].value));
        is_empty = false;
    }
    return buf_append_byte(out, '}');
}

/* ── writing ────────────────────────────────────────────────────────────────────────────────── */

static enum err write_quoted(struct slice escaped, struct buf *out)
{
    TRY(buf_append_byte(out, '"'));
    TRY(buf_append(out, escaped));
    return buf_append_byte(out, '"');
}

static enum err write_part(const struct part *part, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text;
    struct changes changes = {.count = 0};
    buf_init(&text, out->size_max);
    if (part->is_done || !part->member)
        return buf_append(out, buf_slice(&part->raw));
    TRY(write_quoted(buf_slice(&part->text), &text));
    change(&changes, part->member, buf_slice(&text));
    return write_changed(buf_slice(&part->raw), &changes, out);
}

/* The item's parts in that list, as an array; `out` stays empty if there are none. */
static enum err write_list(const struct responses_item *item, const char *list, struct buf *out)
{
    for (size_t i = 0; i < item->part_count; i++) {
        const struct part *part = &item->parts[i];
        if (!is_same(part->list, list) || part->raw.size == 0)
            continue;
        TRY(buf_append_byte(out, out->size ? ',' : '['));
        TRY(write_part(part, out));
    }
    return out->size ? buf_append_byte(out, ']') : ERR_OK;
}

static bool has_member(struct slice object, const char *name)
{
    struct json_span span;
    return json_scan(object, name, &span) == ERR_OK;
}

static enum err write_item(const struct responses_item *item, bool is_over, struct buf *out)
{
    static const char *const lists[] = {"content", "summary"};
    enum { LISTS = sizeof lists / sizeof *lists, ALL = LISTS + 1 };
    struct buf values[ALL];
    struct changes changes = {.count = 0};
    enum err err = ERR_OK;
    if (item->is_done)
        return buf_append(out, buf_slice(&item->raw));
    for (size_t i = 0; i < ALL; i++)
        buf_init(&values[i], out->size_max);
    for (size_t i = 0; i < LISTS && !err; i++) {
        err = write_list(item, lists[i], &values[i]);
        if (!err && values[i].size)
            change(&changes, lists[i], buf_slice(&values[i]));
    }
    for (size_t i = 0; i < item->part_count && !err; i++)
        if (!item->parts[i].list && values[LISTS].size == 0) {
            err = write_quoted(buf_slice(&item->parts[i].text), &values[LISTS]);
            change(&changes, item->parts[i].member, buf_slice(&values[LISTS]));
        }
    if (is_over && has_member(buf_slice(&item->raw), "status"))
        change(&changes, "status", SLICE("\"incomplete\""));
    if (!err)
        err = write_changed(buf_slice(&item->raw), &changes, out);
    for (size_t i = 0; i < ALL; i++)
        buf_deinit(&values[i]);
    return err;
}

static enum err write_output(const struct responses_object *object, bool is_over, struct buf *out)
{
    TRY(buf_append_byte(out, '['));
    for (size_t i = 0; i < object->item_count; i++) {
        if (i)
            TRY(buf_append_byte(out, ','));
        TRY(write_item(&object->items[i], is_over, out));
    }
    return buf_append_byte(out, ']');
}

/* The event's own {code, message}, else ours. */
static enum err write_error(
    const struct responses_object *object, const struct responses_state *state, struct buf *out)
{
    static const char *const names[] = {"code", "message"};
    struct json_span spans[2] = {0};
    struct json_writer writer;
    if (object->error.size)
        json_scan_all(buf_slice(&object->error), names, 2, spans);
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    for (size_t i = 0; i < 2; i++) {
        json_key(&writer, names[i]);
        if (spans[i].raw.size)
            json_raw(&writer, spans[i].raw);
        else
            json_string(&writer, i ? state->message : state->code);
    }
    json_close(&writer, '}');
    return writer.err;
}

/* What a response says before the first of its events has come. */
static enum err write_beginning(const struct responses_state *state, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "id");
    json_string(&writer, state->id);
    json_key(&writer, "object");
    json_string(&writer, SLICE("response"));
    json_key(&writer, "created_at");
    json_integer(&writer, state->created_s);
    json_key(&writer, "status");
    json_string(&writer, SLICE("queued"));
    json_key(&writer, "error");
    json_null(&writer);
    json_key(&writer, "incomplete_details");
    json_null(&writer);
    json_key(&writer, "instructions");
    json_null(&writer);
    json_key(&writer, "model");
    json_string(&writer, state->model);
    json_key(&writer, "output");
    json_raw(&writer, SLICE("[]"));
    json_key(&writer, "parallel_tool_calls");
    json_boolean(&writer, true);
    json_key(&writer, "tool_choice");
    json_string(&writer, SLICE("auto"));
    json_key(&writer, "tools");
    json_raw(&writer, SLICE("[]"));
    json_key(&writer, "usage");
    json_null(&writer);
    json_key(&writer, "metadata");
    json_raw(&writer, SLICE("{}"));
    json_close(&writer, '}');
    return writer.err;
}

enum { VALUES = 4 };

static enum err collect_changes(const struct responses_object *object,
    const struct responses_state *state, struct buf values[VALUES], struct changes *changes)
{
    TRY(json_write_text(&values[0], state->id));
    change(changes, "id", buf_slice(&values[0]));
    if (object->is_final)
        return ERR_OK;
    TRY(write_output(object, state->is_over, &values[1]));
    change(changes, "output", buf_slice(&values[1]));
    if (state->status) {
        TRY(json_write_text(&values[2], slice_text(state->status)));
        change(changes, "status", buf_slice(&values[2]));
    }
    if (state->code.size == 0)
        return ERR_OK;
    TRY(write_error(object, state, &values[3]));
    change(changes, "error", buf_slice(&values[3]));
    return ERR_OK;
}

enum err responses_object_write(
    const struct responses_object *object, const struct responses_state *state, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf beginning;
    struct buf values[VALUES];
    struct changes changes = {.count = 0};
    buf_init(&beginning, out->size_max);
    if (object->base.size == 0)
        TRY(write_beginning(state, &beginning));
    for (size_t i = 0; i < VALUES; i++)
        buf_init(&values[i], out->size_max);
    enum err err = collect_changes(object, state, values, &changes);
    if (!err)
        err =
            write_changed(buf_slice(object->base.size ? &object->base : &beginning), &changes, out);
    for (size_t i = 0; i < VALUES; i++)
        buf_deinit(&values[i]);
    return err;
}

/* ── of single events ───────────────────────────────────────────────────────────────────────── */

enum err responses_sequence_number(struct slice block, uint64_t *out)
{
    CLEANUP(event_deinit) struct event event;
    bool has_one = read_event(block, &event) && event.members[NUMBER].raw.size &&
                   slice_u64(event.members[NUMBER].raw, out) == ERR_OK;
    return has_one ? ERR_OK : ERR_NOTFOUND;
}
