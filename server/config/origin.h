/* origin — where a value came from; and what a config keeps beside its values.
 *
 * Internal to server/config. */
#ifndef TOKENLOG_SERVER_CONFIG_ORIGIN_H
#define TOKENLOG_SERVER_CONFIG_ORIGIN_H

#include "server/config/config_file.h"

enum origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct origin {
    enum origin_kind kind;
    size_t line; /* of the file; 0 = could not be told */
};

/* A piece of text that the config had to make. */
struct config_text {
    struct config_text *next;
    char text[];
};

struct config_memory { /* behind config->memory */
    struct origin params[PARAM_COUNT];
    struct origin providers[PROVIDER_COUNT_MAX];
    struct config_file *file; /* NULL: none was named */
    struct config_text *texts;
};

static inline struct config_memory *config_memory(const struct config *config)
{
    return config->memory;
}

/* config_keep — a copy that lives as long as the config.  faults ERR_NOMEM */
enum err config_keep(struct config *config, struct slice text, const char **out) NODISCARD;

#endif
