#include "server/run/run_record.h"

#include "protocol/base/own.h"

static const char *const type_names[] = {
    [RUN_STEP] = "step",
    [RUN_REPLAY] = "replay",
    [RUN_CHECKPOINT] = "checkpoint",
    [RUN_DELETE] = "delete",
    [RUN_FORK] = "fork",
    [RUN_HEAD] = "head",
};
enum { TYPE_COUNT = sizeof type_names / sizeof *type_names };

static void put(struct json_writer *writer, const char *name, struct slice text)
{
    if (!text.data)
        return;
    json_key(writer, name);
    json_string(writer, text);
}

static void put_raw(struct json_writer *writer, const char *name, struct slice json)
{
    if (json.size == 0)
        return;
    json_key(writer, name);
    json_raw(writer, json);
}

static void put_version(struct json_writer *writer, const struct run_record *record)
{
    char id[ID_TEXT_BYTES];
    id_format(&record->id, id);
    if (record->type == RUN_CHECKPOINT)
        put(writer, "id", slice_text(id));
    json_key(writer, "version");
    json_unsigned(writer, record->version);
}

enum err run_record_write(const struct run_record *record, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    put(&writer, "type", slice_text(type_names[record->type]));
    put(&writer, "step", record->step);
    put(&writer, "key", record->key);
    put(&writer, "name", record->name);
    if (record->type == RUN_CHECKPOINT || record->type == RUN_HEAD)
        put_version(&writer, record);
    put(&writer, "content_type", record->content_type);
    put_raw(&writer, "offsets", record->offsets);
    if (record->type == RUN_CHECKPOINT) {
        json_key(&writer, "at");
        json_integer(&writer, record->at_ms);
    }
    put(&writer, "from", record->from);
    put(&writer, "at", record->at);
    put_raw(&writer, "steps", record->steps);
    json_close(&writer, '}');
    TRY(writer.err);
    if (record->type != RUN_CHECKPOINT)
        return ERR_OK;
    TRY(buf_append_byte(out, '\n'));
    return buf_append(out, record->blob);
}

static enum err read_type(const struct json *tree, enum run_record_type *out)
{
    struct slice type = json_text(json_get(tree, "type"));
    for (unsigned i = 0; i < TYPE_COUNT; i++)
        if (slice_equal(type, slice_text(type_names[i]))) {
            *out = (enum run_record_type)i;
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

static bool is_whole(const struct run_record *record)
{
    switch (record->type) {
    case RUN_STEP: return record->step.size && record->key.size;
    case RUN_REPLAY: return record->step.size;
    case RUN_CHECKPOINT: return record->name.size && record->version && record->blob.data;
    case RUN_DELETE: return record->name.size;
    case RUN_FORK: return record->from.size && record->at.size;
    case RUN_HEAD: return record->steps_read;
    }
    return false;
}

enum err run_record_read(struct slice event, struct json **tree, struct run_record *out)
{
    ptrdiff_t end = slice_find_byte(event, '\n');
    struct slice line = end < 0 ? event : slice_sub(event, 0, (size_t)end);
    struct json_span offsets;
    if (json_parse(line, tree) != ERR_OK)
        return fault(ERR_CORRUPT, "a run's record of %zu bytes is no JSON", line.size);
    struct run_record record = {.step = json_text(json_get(*tree, "step")),
        .key = json_text(json_get(*tree, "key")),
        .name = json_text(json_get(*tree, "name")),
        .content_type = json_text(json_get(*tree, "content_type")),
        .from = json_text(json_get(*tree, "from")),
        .at = json_text(json_get(*tree, "at")),
        .at_ms = json_int(json_get(*tree, "at"), 0),
        .version = (uint64_t)json_int(json_get(*tree, "version"), 0),
        .steps_read = json_get(*tree, "steps"),
        .event_bytes = event.size,
        .blob =
            end < 0 ? SLICE_NONE : slice_of(event.data + end + 1, event.size - (size_t)end - 1)};
    TRY(read_type(*tree, &record.type));
    if (json_scan(line, "offsets", &offsets) == ERR_OK)
        record.offsets = offsets.raw;
    bool has_id = id_parse(json_text(json_get(*tree, "id")), &record.id) == ERR_OK;
    if (!is_whole(&record) || (record.type == RUN_CHECKPOINT && !has_id))
        return fault(ERR_CORRUPT, "a run's %s record lacks a field", type_names[record.type]);
    *out = record;
    return ERR_OK;
}
