/* param — the table made from params.def, and the one way from text to a value and back. */
#include "server/config/param.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_DISTANCE_MAX = 3 /* edits between a slip and the name that was meant */ };

#define STRINGIFY(value)      #value
#define TEXT_DEFAULT(value)   value
#define CHOICE_DEFAULT(value) value
#define NUMBER_DEFAULT(value) STRINGIFY(value)
#define SWITCH_DEFAULT(value) ((value) ? "true" : "false")

static const struct param params[PARAM_COUNT] = {
#define PARAM(field, type_, otherwise_, min_, max_, unit_, help_)                                  \
    [PARAM_INDEX_##field] = {                                                                      \
        .name = #field,                                                                            \
        .otherwise = type_##_DEFAULT(otherwise_),                                                  \
        .unit = (unit_),                                                                           \
        .help = (help_),                                                                           \
        .offset = offsetof(struct config, field),                                                  \
        .min = (min_),                                                                             \
        .max = (max_),                                                                             \
        .type = PARAM_##type_,                                                                     \
    },
#include "server/config/params.def"
};

static const struct help_row {
    const char *title;
    const struct param *param;
} help_rows[] = {
#define GROUP(title_) {.title = (title_)},
#define PARAM(field, type_, otherwise_, min_, max_, unit_, help_)                                  \
    {.param = &params[PARAM_INDEX_##field]},
#include "server/config/params.def"
};

const struct param *param_at(enum param_index index)
{
    ASSERT(index < PARAM_COUNT);
    return &params[index];
}

enum err param_find(struct slice name, enum param_index *out)
{
    for (size_t i = 0; i < PARAM_COUNT; i++)
        if (slice_equal(name, slice_text(params[i].name))) {
            *out = (enum param_index)i;
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

bool param_is_for_tests(const struct param *param)
{
    return slice_has_prefix(slice_text(param->name), SLICE("test_"));
}

bool param_help_row(size_t index, const char **title, const struct param **param)
{
    if (index >= sizeof help_rows / sizeof help_rows[0])
        return false;
    *title = help_rows[index].title;
    *param = help_rows[index].param;
    if (*param && param_is_for_tests(*param))
        *param = NULL;
    return true;
}

/* The name behind a prefix, each character through `map`. */
static void spell(const char *prefix, const char *name, char (*map)(char), char *out)
{
    size_t at = strlen(prefix);
    ASSERT(at + strlen(name) < PARAM_NAME_BYTES);
    memcpy(out, prefix, at);
    for (; *name; name++)
        out[at++] = map(*name);
    out[at] = '\0';
}

static char dash(char c)
{
    return c == '_' ? '-' : c;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

void param_flag(const struct param *param, char out[PARAM_NAME_BYTES])
{
    spell("--", param->name, dash, out);
}

void param_variable(const struct param *param, char out[PARAM_NAME_BYTES])
{
    spell("TOKENLOG_", param->name, upper, out);
}

/* The field of `param` in `config`, as the type that the table gave it. */
#define FIELD(param, config, type) ((type *)(void *)((char *)(config) + (param)->offset))
#define CONST_FIELD(param, config, type)                                                           \
    ((const type *)(const void *)((const char *)(config) + (param)->offset))

static enum err refuse(const struct param *param, const char *text, struct buf *why)
{
    TRY(yaml_quote(text, why));
    TRY(buf_append_text(why, " will not do; give "));
    TRY(param_range(param, why));
    return ERR_INVALID;
}

static bool text_is_plain(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return slice_is_utf8(text);
}

static bool is_text(const struct param *param, struct slice text)
{
    return text_is_plain(text) && (int64_t)text.size >= param->min &&
           (int64_t)text.size <= param->max;
}

static bool is_choice(const struct param *param, struct slice text)
{
    struct slice left = slice_text(param->unit);
    while (left.size) {
        ptrdiff_t bar = slice_find_byte(left, '|');
        size_t size = bar < 0 ? left.size : (size_t)bar;
        if (slice_equal(slice_sub(left, 0, size), text))
            return true;
        left = slice_sub(left, size + 1, left.size);
    }
    return false;
}

static bool read_number(const struct param *param, struct slice text, int64_t *out)
{
    uint64_t number;
    if (slice_u64(text, &number) != ERR_OK || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return *out >= param->min && *out <= param->max;
}

static bool read_switch(struct slice text, bool *out)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"off", "on"}, {"no", "yes"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (size_t value = 0; value < 2; value++)
            if (slice_equal_nocase(text, slice_text(words[i][value]))) {
                *out = value == 1;
                return true;
            }
    return false;
}

enum err param_set(
    const struct param *param, const char *text, struct config *config, struct buf *why)
{
    struct slice slice = slice_text(text);
    int64_t number;
    bool is_on;
    switch (param->type) {
    case PARAM_TEXT:
        if (!is_text(param, slice))
            return refuse(param, text, why);
        *FIELD(param, config, const char *) = text;
        return ERR_OK;
    case PARAM_CHOICE:
        if (!is_choice(param, slice))
            return refuse(param, text, why);
        *FIELD(param, config, const char *) = text;
        return ERR_OK;
    case PARAM_NUMBER:
        if (!read_number(param, slice, &number))
            return refuse(param, text, why);
        *FIELD(param, config, int64_t) = number;
        return ERR_OK;
    case PARAM_SWITCH:
        if (!read_switch(slice, &is_on))
            return refuse(param, text, why);
        *FIELD(param, config, bool) = is_on;
        return ERR_OK;
    }
    return ERR_INVALID;
}

enum err param_format(const struct param *param, const struct config *config, struct buf *out)
{
    switch (param->type) {
    case PARAM_TEXT: return yaml_quote(*CONST_FIELD(param, config, char *), out);
    case PARAM_CHOICE: return buf_append_text(out, *CONST_FIELD(param, config, char *));
    case PARAM_NUMBER: return buf_printf(out, "%" PRId64, *CONST_FIELD(param, config, int64_t));
    case PARAM_SWITCH:
        return buf_append_text(out, *CONST_FIELD(param, config, bool) ? "true" : "false");
    }
    return ERR_OK;
}

enum err param_range(const struct param *param, struct buf *out)
{
    switch (param->type) {
    case PARAM_TEXT:
        return buf_printf(out, "%s, %" PRId64 " to %" PRId64 " bytes of plain text", param->unit,
            param->min, param->max);
    case PARAM_CHOICE: return buf_printf(out, "one of %s", param->unit);
    case PARAM_NUMBER:
        return buf_printf(out, "a whole number, %" PRId64 " to %" PRId64 " %s", param->min,
            param->max, param->unit);
    case PARAM_SWITCH: return buf_append_text(out, "true or false");
    }
    return ERR_OK;
}

/* Levenshtein's distance between `a` and a table name, two rows at a time. */
static size_t distance(struct slice a, const char *b)
{
    size_t row[PARAM_NAME_BYTES + 1];
    size_t size = strlen(b);
    ASSERT(size < PARAM_NAME_BYTES);
    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < size; j++) {
            size_t change = diagonal + (a.data[i] != (uint8_t)b[j]);
            size_t step = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < step ? change : step;
        }
    }
    return row[size];
}

const char *param_nearest(struct slice name)
{
    const char *nearest = NULL;
    size_t best = NAME_DISTANCE_MAX + 1;
    if (name.size == 0 || name.size >= PARAM_NAME_BYTES)
        return NULL;
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        size_t edits = distance(name, params[i].name);
        if (edits < best && edits * 2 < strlen(params[i].name)) {
            best = edits;
            nearest = params[i].name;
        }
    }
    return nearest;
}

enum err yaml_quote(const char *text, struct buf *out)
{
    TRY(buf_append_byte(out, '"'));
    for (const uint8_t *at = (const uint8_t *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f) {
            TRY(buf_printf(out, "\\x%02x", *at));
            continue;
        }
        if (*at == '"' || *at == '\\')
            TRY(buf_append_byte(out, '\\'));
        TRY(buf_append_byte(out, *at));
    }
    return buf_append_byte(out, '"');
}
