/* config_file — one read of the file, one schema made from params.def, and libcyaml's complaints
 * turned into a sentence each.
 *
 * libcyaml logs a failure as a message and then a backtrace, innermost place first:
 *
 *     Load: Unexpected key: lisen
 *     Load: Backtrace:
 *       in mapping (line: 3, column: 11)
 *
 * The line is that of the last event it finished, so an offending key is on it or after it: we look
 * the key up from there. */
#include "server/config/config_file.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"

enum { MESSAGE_BYTES_MAX = 1024 /* of libcyaml's log that we keep: its first lines say it all */ };

/* The document as libcyaml fills it: text everywhere; what is absent stays NULL. */
struct document {
#define PARAM(field, type, otherwise, min, max, unit, help) const char *field;
#include "server/config/params.def"
    struct config_file_provider *providers;
    unsigned providers_count;
    struct config_file_project *projects;
    unsigned projects_count;
};

enum { OPTIONAL = CYAML_FLAG_OPTIONAL, TEXT_MAX = CONFIG_FILE_BYTES_MAX };

static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TEXT_MAX)};
#define OPTION(name)                                                                               \
    CYAML_FIELD_STRING_PTR(#name, OPTIONAL, struct config_file_options, name, 1, TEXT_MAX),
static const cyaml_schema_field_t option_fields[] = {PROVIDER_OPTIONS(OPTION) CYAML_FIELD_END};
#undef OPTION

#define PROVIDER_TEXT(name, flags, min)                                                            \
    CYAML_FIELD_STRING_PTR(#name, flags, struct config_file_provider, name, min, TEXT_MAX)
static const cyaml_schema_field_t provider_fields[] = {
    PROVIDER_TEXT(name, 0, 1),
    PROVIDER_TEXT(type, OPTIONAL, 1),
    PROVIDER_TEXT(base_url, OPTIONAL, 1),
    PROVIDER_TEXT(api_prefix, OPTIONAL, 0),
    PROVIDER_TEXT(dialect, OPTIONAL, 1),
    PROVIDER_TEXT(native, OPTIONAL, 1),
    PROVIDER_TEXT(api_key_env, OPTIONAL, 1),
    PROVIDER_TEXT(key, OPTIONAL, 1),
    PROVIDER_TEXT(key_file, OPTIONAL, 1),
    PROVIDER_TEXT(auth, OPTIONAL, 1),
    PROVIDER_TEXT(ca_file, OPTIONAL, 1),
    PROVIDER_TEXT(resume, OPTIONAL, 1),
    PROVIDER_TEXT(callers_keys, OPTIONAL, 1),
    CYAML_FIELD_SEQUENCE("keys", OPTIONAL | CYAML_FLAG_POINTER, struct config_file_provider, keys,
        &text_schema, 0, PROVIDER_KEY_COUNT_MAX),
    CYAML_FIELD_SEQUENCE("dialects", OPTIONAL | CYAML_FLAG_POINTER, struct config_file_provider,
        dialects, &text_schema, 0, PROVIDER_DIALECT_COUNT_MAX),
    CYAML_FIELD_SEQUENCE("headers", OPTIONAL | CYAML_FLAG_POINTER, struct config_file_provider,
        headers, &text_schema, 0, PROVIDER_HEADER_COUNT_MAX),
    CYAML_FIELD_MAPPING("options", OPTIONAL, struct config_file_provider, options, option_fields),
    CYAML_FIELD_END,
};
#undef PROVIDER_TEXT
static const cyaml_schema_value_t provider_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_file_provider, provider_fields)};

static const cyaml_schema_field_t project_fields[] = {
    CYAML_FIELD_STRING_PTR("name", 0, struct config_file_project, name, 1, TEXT_MAX),
    CYAML_FIELD_SEQUENCE("keys", OPTIONAL | CYAML_FLAG_POINTER, struct config_file_project, keys,
        &text_schema, 0, PROJECT_KEY_COUNT_MAX),
    CYAML_FIELD_STRING_PTR(
        "on_disconnect", OPTIONAL, struct config_file_project, on_disconnect, 1, TEXT_MAX),
    CYAML_FIELD_STRING_PTR(
        "keep_days", OPTIONAL, struct config_file_project, keep_days, 1, TEXT_MAX),
    CYAML_FIELD_STRING_PTR(
        "attach_duplicates", OPTIONAL, struct config_file_project, attach_duplicates, 1, TEXT_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t project_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_file_project, project_fields)};

static const cyaml_schema_field_t document_fields[] = {
#define PARAM(field, type, otherwise, min, max, unit, help)                                        \
    CYAML_FIELD_STRING_PTR(#field, OPTIONAL, struct document, field, 0, TEXT_MAX),
#include "server/config/params.def"
    CYAML_FIELD_SEQUENCE("providers", OPTIONAL | CYAML_FLAG_POINTER, struct document, providers,
        &provider_schema, 0, PROVIDER_COUNT_MAX),
    CYAML_FIELD_SEQUENCE("projects", OPTIONAL | CYAML_FLAG_POINTER, struct document, projects,
        &project_schema, 0, PROJECT_COUNT_MAX),
    CYAML_FIELD_IGNORE("routes", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t document_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct document, document_fields)};

/* What libcyaml said: its first message, and the innermost place of its backtrace. */
struct complaint {
    char message[MESSAGE_BYTES_MAX];
    char field[PARAM_NAME_BYTES];
    char within[PARAM_NAME_BYTES]; /* the innermost field around it, whatever it is itself */
    unsigned line;
};

struct config_file {
    struct document *document; /* NULL: the file holds nothing */
    char *path;
    struct buf text;
};

static void listen_to(cyaml_log_t level, void *context, const char *format, va_list arguments);

static const cyaml_config_t cyaml_quiet = {
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_NO_ALIAS,
};

static enum err read_text(const char *path, struct buf *text, struct buf *why);
static enum err explain(
    const struct config_file *file, const struct complaint *complaint, struct buf *why);

static enum err load(struct config_file *file, struct buf *why)
{
    TRY(read_text(file->path, &file->text, why));
    struct complaint complaint = {0};
    cyaml_config_t cyaml = cyaml_quiet;
    cyaml.log_fn = listen_to;
    cyaml.log_ctx = &complaint;
    cyaml_data_t *document = NULL;
    cyaml_err_t err = cyaml_load_data(
        file->text.data, file->text.size, &cyaml, &document_schema, &document, NULL);
    if (err == CYAML_ERR_OOM)
        return fault(ERR_NOMEM, "config file %s", file->path);
    if (err != CYAML_OK && !complaint.message[0])
        (void)snprintf(complaint.message, sizeof complaint.message, "%s", cyaml_strerror(err));
    if (err != CYAML_OK)
        return explain(file, &complaint, why);
    file->document = document;
    return ERR_OK;
}

enum err config_file_load(const char *path, struct config_file **out, struct buf *why)
{
    struct config_file *file = calloc(1, sizeof *file);
    if (!file)
        return fault(ERR_NOMEM, "config file");
    buf_init(&file->text, CONFIG_FILE_BYTES_MAX);
    file->path = strdup(path);
    enum err err = file->path ? load(file, why) : fault(ERR_NOMEM, "config file");
    if (err != ERR_OK) {
        config_file_free(file);
        return err;
    }
    *out = file;
    return ERR_OK;
}

struct config_file *config_file_free(struct config_file *file)
{
    if (!file)
        return NULL;
    if (file->document)
        (void)cyaml_free(&cyaml_quiet, &document_schema, file->document, 0);
    buf_deinit(&file->text);
    free(file->path);
    free(file);
    return NULL;
}

const char *config_file_path(const struct config_file *file)
{
    return file->path;
}

struct slice config_file_text(const struct config_file *file)
{
    return buf_slice(&file->text);
}

const char *config_file_value(const struct config_file *file, enum param_index index)
{
    ASSERT(index < PARAM_COUNT);
    if (!file->document)
        return NULL;
    const char *const values[PARAM_COUNT] = {
#define PARAM(field, type, otherwise, min, max, unit, help)                                        \
    [PARAM_INDEX_##field] = file->document->field,
#include "server/config/params.def"
    };
    return values[index];
}

const struct config_file_provider *config_file_providers(
    const struct config_file *file, size_t *count)
{
    *count = file->document ? file->document->providers_count : 0;
    return *count ? file->document->providers : NULL;
}

const struct config_file_project *config_file_projects(
    const struct config_file *file, size_t *count)
{
    *count = file->document ? file->document->projects_count : 0;
    return *count ? file->document->projects : NULL;
}

static struct slice without_quote(struct slice line)
{
    bool is_quoted = line.size && (line.data[0] == '"' || line.data[0] == '\'');
    return is_quoted ? slice_sub(line, 1, line.size) : line;
}

/* Whether `line` is `key: …value…`, perhaps as the first key of a list's entry. */
static bool line_sets(struct slice line, struct slice key, struct slice value)
{
    line = slice_trim(line);
    if (slice_has_prefix(line, SLICE("- ")))
        line = slice_trim(slice_sub(line, 2, line.size));
    line = without_quote(line);
    if (!slice_has_prefix(line, key))
        return false;
    line = slice_trim(without_quote(slice_sub(line, key.size, line.size)));
    return line.size && line.data[0] == ':' && slice_find(line, value) >= 0;
}

size_t config_file_line(
    const struct config_file *file, const char *key, const char *value, size_t after, bool is_top)
{
    struct slice left = buf_slice(&file->text);
    for (size_t number = 1; left.size; number++) {
        ptrdiff_t end = slice_find_byte(left, '\n');
        struct slice line = slice_sub(left, 0, end < 0 ? left.size : (size_t)end);
        bool is_at_margin = line.size && line.data[0] != ' ' && line.data[0] != '-';
        if (number > after && (is_at_margin || !is_top) &&
            line_sets(line, slice_text(key), slice_text(value)))
            return number;
        left = slice_sub(left, line.size + 1, left.size);
    }
    return 0;
}

/* ——— reading ——— */

static enum err refuse_file(const char *path, const char *problem, struct buf *why)
{
    TRY(buf_printf(why, "%s: %s\n", path, problem));
    return ERR_INVALID;
}

static enum err read_text(const char *path, struct buf *text, struct buf *why)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse_file(path, strerror(errno), why);
    for (;;) {
        uint8_t *room;
        enum { PIECE_BYTES = 16 * 1024 };
        enum err err = buf_reserve(text, PIECE_BYTES, &room);
        if (err == ERR_LIMIT)
            return refuse_file(path, "the file is too large for a configuration (4 MiB)", why);
        TRY(err);
        ssize_t size = read(fd, room, PIECE_BYTES);
        if (size < 0)
            return refuse_file(path, strerror(errno), why);
        if (size == 0)
            return ERR_OK;
        buf_commit(text, (size_t)size);
    }
}

/* ——— complaints ——— */

static void listen_to(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct complaint *complaint = context;
    char text[MESSAGE_BYTES_MAX];
    int size = vsnprintf(text, sizeof text, format, arguments);
    if (level < CYAML_LOG_ERROR || size < 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    const char *place = strstr(text, "(line: ");
    if (strcmp(text, "Load: Backtrace:") == 0)
        return;
    if (place && !complaint->within[0])
        (void)sscanf(text, " in mapping field '%63[^']'", complaint->within);
    if (!complaint->message[0] && !place) {
        const char *message = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
        (void)snprintf(complaint->message, sizeof complaint->message, "%s", message);
    } else if (place && !complaint->line) {
        (void)sscanf(place, "(line: %u", &complaint->line);
        (void)sscanf(text, " in mapping field '%63[^']'", complaint->field);
    }
}

/* The rest of `message` after `prefix`, or NULL. */
static const char *after_prefix(const char *message, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(message, prefix, size) == 0 ? message + size : NULL;
}

static enum err explain_place(
    const struct config_file *file, size_t line, const char *hint, struct buf *why)
{
    if (line == 0)
        return buf_printf(why, "%s: ", file->path);
    return buf_printf(why, "%s:%zu: %s", file->path, line, hint);
}

/* What may stand in the entries of `section`; NULL: it has none, or the key was at the top. */
static const cyaml_schema_field_t *fields_within(const char *section)
{
    if (strcmp(section, "providers") == 0)
        return provider_fields;
    if (strcmp(section, "projects") == 0)
        return project_fields;
    return strcmp(section, "options") == 0 ? option_fields : NULL;
}

static enum err explain_fields(
    const cyaml_schema_field_t *fields, const char *section, struct buf *why)
{
    TRY(buf_printf(why, "; under `%s` there may be ", section));
    for (size_t i = 0; fields[i].key; i++)
        TRY(buf_printf(why, "%s%s", i ? ", " : "", fields[i].key));
    return buf_append_byte(why, '\n');
}

static enum err explain_unknown_key(const struct config_file *file,
    const struct complaint *complaint, const char *key, struct buf *why)
{
    size_t after = complaint->line;
    const cyaml_schema_field_t *fields = fields_within(complaint->within);
    size_t line = config_file_line(file, key, NULL, after ? after - 1 : 0, false);
    TRY(explain_place(file, line ? line : after, "", why));
    TRY(buf_printf(why, "unknown key `%s`", key));
    if (fields)
        return explain_fields(fields, complaint->within, why);
    const char *nearest = param_nearest(slice_text(key));
    if (nearest)
        TRY(buf_printf(why, "; did you mean `%s`?", nearest));
    return buf_append_text(why, " (`tokenlog serve --help` lists them all)\n");
}

/* Where a value of the wrong shape is under a known key: what belongs there. */
static enum err explain_range(const struct complaint *complaint, struct buf *why)
{
    enum param_index index;
    if (param_find(slice_text(complaint->field), &index) != ERR_OK)
        return ERR_OK;
    TRY(buf_printf(why, "; `%s` takes ", complaint->field));
    return param_range(param_at(index), why);
}

static enum err explain(
    const struct config_file *file, const struct complaint *complaint, struct buf *why)
{
    const char *unknown = after_prefix(complaint->message, "Unexpected key: ");
    const char *repeated = after_prefix(complaint->message, "Mapping field already seen: ");
    const char *syntax = after_prefix(complaint->message, "libyaml: ");
    if (unknown) {
        TRY(explain_unknown_key(file, complaint, unknown, why));
        return ERR_INVALID;
    }
    if (repeated) {
        size_t line = config_file_line(file, repeated, NULL, complaint->line, false);
        TRY(explain_place(file, line ? line : complaint->line, "", why));
        TRY(buf_printf(why, "`%s` is set twice; keep one of them\n", repeated));
        return ERR_INVALID;
    }
    if (syntax) { /* the place is that of the last thing understood */
        TRY(explain_place(file, complaint->line, "here or just after: ", why));
        TRY(buf_printf(why, "not YAML: %s; check the indentation and quotes\n", syntax));
        return ERR_INVALID;
    }
    TRY(explain_place(file, complaint->line, "", why));
    TRY(buf_append_text(why, complaint->message));
    TRY(explain_range(complaint, why));
    TRY(buf_append_byte(why, '\n'));
    return ERR_INVALID;
}
