/* loading — what config_load works with, shared by the files that read parts of it.
 *
 * Internal to server/config. */
#ifndef TOKENLOG_SERVER_CONFIG_LOADING_H
#define TOKENLOG_SERVER_CONFIG_LOADING_H

#include "server/config/origin.h"

struct loading {
    struct config *config;
    struct config_memory *memory;
    char **environment;
    struct buf *why;
    bool has_problems;
};

/* loading_note_file, loading_note — a problem, in the file at `line` (0: somewhere) or at `where`:
 * begins its line in `why`. The caller appends the sentence and the line's end. */
enum err loading_note_file(struct loading *loading, size_t line) NODISCARD;
enum err loading_note(struct loading *loading, const char *where) NODISCARD;

/* loading_file_providers — those of the file. loading_provider_flag — `value` is NAME=URL: appends,
 * or gives a provider of the file another URL. Problems are noted, and taken in. (config_provider.c)
 *   faults  ERR_NOMEM */
enum err loading_file_providers(struct loading *loading) NODISCARD;
enum err loading_provider_flag(struct loading *loading, const char *value) NODISCARD;

/* loading_file_routes — those of the file, read after all else. config_free_routes — what they own.
 * (config_route.c)   faults ERR_NOMEM */
enum err loading_file_routes(struct loading *loading) NODISCARD;
void config_free_routes(struct config *config);
/* config_print_routes — as config_print. (config_route_print.c)   answers buf_append's */
enum err config_print_routes(const struct config *config, struct buf *out) NODISCARD;

#endif
