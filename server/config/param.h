/* param — params.def as a table: finding a parameter, its names, its values from and to text.
 *
 * Internal to server/config. Every source (file, environment, flag) is text when it arrives and
 * passes through the one param_set.
 *
 *   thread  any; no state */
#ifndef TOKENLOG_SERVER_CONFIG_PARAM_H
#define TOKENLOG_SERVER_CONFIG_PARAM_H

#include "server/config/config.h"

enum { PARAM_NAME_BYTES = 64 /* the longest spelling of a name, and its NUL */ };

enum param_type { PARAM_TEXT, PARAM_NUMBER, PARAM_SWITCH, PARAM_CHOICE };

enum param_index {
#define PARAM(field, type, otherwise, min, max, unit, help) PARAM_INDEX_##field,
#include "server/config/params.def"
    PARAM_COUNT
};

struct param {
    const char *name;
    const char *otherwise; /* the default, as text */
    const char *unit;
    const char *help;
    size_t offset; /* in struct config */
    int64_t min, max;
    enum param_type type;
};

const struct param *param_at(enum param_index index);
/* param_find — by its YAML name.  answers ERR_NOTFOUND */
enum err param_find(struct slice name, enum param_index *out) NODISCARD;
bool param_is_for_tests(const struct param *param);
void param_flag(const struct param *param, char out[PARAM_NAME_BYTES]);     /* --keep-days */
void param_variable(const struct param *param, char out[PARAM_NAME_BYTES]); /* TOKENLOG_KEEP_DAYS */

/* param_set — reads `text` into the parameter's field; the field then borrows it.
 *   answers  ERR_INVALID with a sentence in `why`, which says what is allowed; nothing was set */
enum err param_set(
    const struct param *param, const char *text, struct config *config, struct buf *why) NODISCARD;
/* param_format — the field's value as a YAML scalar, appended. */
enum err param_format(
    const struct param *param, const struct config *config, struct buf *out) NODISCARD;
/* param_range — what is allowed, in words, appended: "0 to 36500 days". */
enum err param_range(const struct param *param, struct buf *out) NODISCARD;

/* param_nearest — the name that `name` is probably a slip of; NULL if none is close. */
const char *param_nearest(struct slice name);

/* param_help_row — the table as people read it: groups and parameters in order, those for tests
 * left out. Start with index 0; false at the end. Exactly one of *title and *param is set, else
 * NULL. */
bool param_help_row(size_t index, const char **title, const struct param **param);

/* yaml_quote — `text` as a double-quoted YAML scalar, appended. */
enum err yaml_quote(const char *text, struct buf *out) NODISCARD;

#endif
