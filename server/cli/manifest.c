/* manifest — see the header for its layout. */
#include "server/cli/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/member.h"
#include "protocol/data/timestamp.h"

enum { MANIFEST_VERSION = 1, LINE_BYTES_MAX = 16 * 1024 };
#define HEAD_END "\"streams\":["

void manifest_add(struct manifest_totals *totals, const struct manifest_entry *entry)
{
    totals->streams++;
    totals->events += entry->events;
    totals->bytes += entry->bytes;
    totals->size += entry->size;
}

/* ——— writing ——— */

static enum err write_line(FILE *file, const struct buf *line)
{
    if (fwrite(line->data, 1, line->size, file) == line->size)
        return ERR_OK;
    return fault(errno == ENOSPC ? ERR_FULL : ERR_IO, "writing the manifest: %s", strerror(errno));
}

static void put_time(struct json_writer *json, const char *name, int64_t ns)
{
    char text[TIMESTAMP_TEXT_BYTES] = "";
    if (ns)
        timestamp_format(ns, text);
    member_text(json, name, slice_text(text));
}

enum err manifest_write_head(
    FILE *file, enum transcript_format format, const struct manifest_filter *filter)
{
    CLEANUP(buf_deinit) struct buf line;
    struct json_writer json;
    buf_init(&line, LINE_BYTES_MAX);
    json_writer_init(&json, &line);
    json_open(&json, '{');
    member_number(&json, "tokenlog_export", MANIFEST_VERSION);
    member_text(&json, "tool", slice_text("tokenlog " TOKENLOG_VERSION));
    member_text(&json, "format", slice_text(transcript_format_name(format)));
    json_key(&json, "filter");
    json_open(&json, '{');
    member_text(&json, "project", slice_text(filter->project));
    member_text(&json, "state", slice_text(filter->state));
    member_text(&json, "metadata", slice_text(filter->metadata));
    put_time(&json, "from", filter->from_ns);
    put_time(&json, "to", filter->to_ns);
    json_close(&json, '}');
    TRY(json.err);
    TRY(buf_append_text(&line, "," HEAD_END "\n"));
    return write_line(file, &line);
}

enum err manifest_write_entry(FILE *file, const struct manifest_entry *entry, bool is_first)
{
    CLEANUP(buf_deinit) struct buf line;
    char id[ID_TEXT_BYTES], sha256[2 * SHA256_BYTES + 1];
    struct json_writer json;
    id_format(&entry->id, id);
    hex_encode(slice_of(entry->sha256, SHA256_BYTES), sha256);
    buf_init(&line, LINE_BYTES_MAX);
    if (!is_first)
        TRY(buf_append_text(&line, ",\n"));
    json_writer_init(&json, &line);
    json_open(&json, '{');
    member_text(&json, "id", slice_text(id));
    member_number(&json, "events", entry->events);
    member_number(&json, "bytes", entry->bytes);
    member_number(&json, "records", entry->records);
    member_number(&json, "offset", entry->offset);
    member_number(&json, "size", entry->size);
    member_text(&json, "sha256", slice_text(sha256));
    json_close(&json, '}');
    TRY(json.err);
    return write_line(file, &line);
}

enum err manifest_write_totals(FILE *file, const struct manifest_totals *totals)
{
    CLEANUP(buf_deinit) struct buf line;
    struct json_writer json;
    buf_init(&line, LINE_BYTES_MAX);
    TRY(buf_append_text(&line, "\n],\"totals\":"));
    json_writer_init(&json, &line);
    json_open(&json, '{');
    member_number(&json, "streams", totals->streams);
    member_number(&json, "events", totals->events);
    member_number(&json, "bytes", totals->bytes);
    member_number(&json, "size", totals->size);
    json_close(&json, '}');
    TRY(json.err);
    TRY(buf_append_text(&line, "}\n"));
    return write_line(file, &line);
}

/* ——— reading ——— */

static enum err corrupt(const char *what)
{
    return fault(ERR_CORRUPT, "the manifest: %s", what);
}

/* The next line without its end. */
static enum err read_line(struct manifest *manifest, struct slice *line)
{
    do {
        ssize_t size = getline(&manifest->line, &manifest->line_capacity, manifest->file);
        if (size < 0)
            return ferror(manifest->file) ? fault(ERR_IO, "reading the manifest")
                                          : corrupt("it has no end");
        if (size > LINE_BYTES_MAX)
            return corrupt("a line is too long");
        *line = slice_of(manifest->line, (size_t)size - (manifest->line[size - 1] == '\n'));
    } while (line->size == 0);
    return ERR_OK;
}

/* A piece of JSON that is whole with `before` and `after` around it. */
static enum err parse(const char *before, struct slice text, const char *after, struct json **out)
{
    CLEANUP(buf_deinit) struct buf whole;
    buf_init(&whole, LINE_BYTES_MAX + 64);
    TRY(buf_append_text(&whole, before));
    TRY(buf_append(&whole, text));
    TRY(buf_append_text(&whole, after));
    return json_parse(buf_slice(&whole), out) == ERR_OK ? ERR_OK : corrupt("a line is no JSON");
}

static enum err copy_text(const struct json *value, char *out, size_t size)
{
    struct slice text = json_text(value);
    if (text.size >= size)
        return corrupt("a text is too long");
    if (text.size)
        memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return ERR_OK;
}

static enum err take_time(const struct json *value, int64_t *ns)
{
    struct slice text = json_text(value);
    *ns = 0;
    if (text.size && timestamp_parse(text, ns) != ERR_OK)
        return corrupt("a time is none");
    return ERR_OK;
}

static enum err take_head(struct manifest *manifest, const struct json *head)
{
    struct manifest_filter *filter = &manifest->filter;
    const struct json *given = json_get(head, "filter");
    if (json_int(json_get(head, "tokenlog_export"), 0) != MANIFEST_VERSION)
        return corrupt("it is none of ours, or of a later version");
    if (transcript_format_parse(json_text(json_get(head, "format")), &manifest->format) != ERR_OK)
        return corrupt("an unknown format");
    TRY(copy_text(json_get(given, "project"), filter->project, sizeof filter->project));
    TRY(copy_text(json_get(given, "state"), filter->state, sizeof filter->state));
    TRY(copy_text(json_get(given, "metadata"), filter->metadata, sizeof filter->metadata));
    TRY(take_time(json_get(given, "from"), &filter->from_ns));
    return take_time(json_get(given, "to"), &filter->to_ns);
}

static enum err read_head(struct manifest *manifest)
{
    struct slice line;
    CLEANUP(json_cleanup) struct json *head = NULL;
    TRY(read_line(manifest, &line));
    TRY(parse("", line, "]}", &head));
    return take_head(manifest, head);
}

enum err manifest_open(const char *path, struct manifest *out)
{
    struct manifest manifest = {.file = fopen(path, "rbe")};
    if (!manifest.file)
        return errno == ENOENT ? ERR_NOTFOUND : fault(ERR_IO, "%s: %s", path, strerror(errno));
    enum err err = read_head(&manifest);
    if (err != ERR_OK) {
        manifest_close(&manifest);
        return err;
    }
    *out = manifest;
    return ERR_OK;
}

void manifest_close(struct manifest *manifest)
{
    if (manifest->file)
        (void)fclose(manifest->file);
    free(manifest->line);
    *manifest = (struct manifest){0};
}

static enum err take_number(const struct json *object, const char *name, uint64_t *out)
{
    int64_t number = json_int(json_get(object, name), -1);
    if (number < 0)
        return corrupt("a number is none");
    *out = (uint64_t)number;
    return ERR_OK;
}

static enum err take_entry(const struct json *line, struct manifest_entry *out)
{
    struct manifest_entry entry;
    if (id_parse(json_text(json_get(line, "id")), &entry.id) != ERR_OK ||
        hex_decode(json_text(json_get(line, "sha256")), entry.sha256, SHA256_BYTES) != ERR_OK)
        return corrupt("an ID or a digest is none");
    TRY(take_number(line, "events", &entry.events));
    TRY(take_number(line, "bytes", &entry.bytes));
    TRY(take_number(line, "records", &entry.records));
    TRY(take_number(line, "offset", &entry.offset));
    TRY(take_number(line, "size", &entry.size));
    *out = entry;
    return ERR_OK;
}

static enum err take_totals(const struct json *line, struct manifest_totals *out)
{
    const struct json *given = json_get(line, "totals");
    struct manifest_totals totals;
    TRY(take_number(given, "streams", &totals.streams));
    TRY(take_number(given, "events", &totals.events));
    TRY(take_number(given, "bytes", &totals.bytes));
    TRY(take_number(given, "size", &totals.size));
    *out = totals;
    return ERR_CLOSED;
}

enum err manifest_next(
    struct manifest *manifest, struct manifest_entry *entry, struct manifest_totals *totals)
{
    struct slice line;
    CLEANUP(json_cleanup) struct json *root = NULL;
    TRY(read_line(manifest, &line));
    if (slice_has_prefix(line, SLICE("],"))) {
        TRY(parse("{", slice_sub(line, 2, line.size), "", &root));
        return take_totals(root, totals);
    }
    if (line.data[line.size - 1] == ',')
        line.size--;
    TRY(parse("", line, "", &root));
    return take_entry(root, entry);
}
