/* config_file — the YAML file, schema-checked by libcyaml: unknown and repeated keys, lists where a
 * value belongs and the like are errors with file and line. Values stay text: what they may be is
 * param.h's, the same for every source.
 *
 * Internal to server/config.
 *
 *   thread  start-up
 *   source  /usr/include/cyaml/cyaml.h (1.3.1); <cyaml/cyaml.h> is included by config_file.c */
#ifndef TOKENLOG_SERVER_CONFIG_CONFIG_FILE_H
#define TOKENLOG_SERVER_CONFIG_CONFIG_FILE_H

#include "server/config/param.h"

struct config_file;

/* An entry of the lists; NULL: not given. Borrowed from the file. */
struct config_file_options {
#define OPTION(name) const char *name;
    PROVIDER_OPTIONS(OPTION)
#undef OPTION
};
struct config_file_provider {
    const char *name, *type, *base_url, *api_prefix, *dialect, *native, *api_key_env, *key,
        *key_file, *auth, *ca_file, *resume, *callers_keys;
    const char **keys, **headers, **dialects;
    unsigned keys_count, headers_count, dialects_count;
    struct config_file_options options;
};
struct config_file_project {
    const char *name;
    const char **keys;
    unsigned keys_count;
    const char *on_disconnect, *keep_days, *attach_duplicates;
};

/* config_file_load — answers ERR_INVALID (`why` has file, line and problem) · faults ERR_NOMEM */
enum err config_file_load(const char *path, struct config_file **out, struct buf *why) NODISCARD;
struct config_file *config_file_free(struct config_file *file);
const char *config_file_path(const struct config_file *file);
/* config_file_text — all of it, for `routes`, whose form is config_route.c's to check. */
struct slice config_file_text(const struct config_file *file);

/* config_file_value — a parameter's text, borrowed; NULL if the file does not set it. */
const char *config_file_value(const struct config_file *file, enum param_index index);
const struct config_file_provider *config_file_providers(
    const struct config_file *file, size_t *count);
const struct config_file_project *config_file_projects(
    const struct config_file *file, size_t *count);

/* config_file_line — the line, from 1, of the first `key:` after line `after` whose value holds
 * `value` (NULL: any); 0 if it is not to be found, as in flow style. Top-level keys are looked for
 * at the margin when `is_top`. libcyaml tells lines only of what it refuses itself. */
size_t config_file_line(
    const struct config_file *file, const char *key, const char *value, size_t after, bool is_top);

#endif
