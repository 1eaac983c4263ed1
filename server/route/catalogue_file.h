/* catalogue_file — what is known of the world's providers and models, read from JSON: the file that
 * is built in (server/route/catalogue.json; its form is in README.md beside it) or the one that
 * `catalogue` names. A file is taken whole or refused whole.
 *
 *   thread  the builder's; read-only afterwards */
#ifndef TOKENLOG_SERVER_ROUTE_CATALOGUE_FILE_H
#define TOKENLOG_SERVER_ROUTE_CATALOGUE_FILE_H

#include "server/config/config.h"
#include "server/route/pool.h"

enum {
    CATALOGUE_FILE_BYTES_MAX = 16 * 1024 * 1024, /* some 50,000 models */
    CATALOGUE_PROVIDERS_MAX = 512,
    CATALOGUE_MODELS_MAX = 65536,
    CATALOGUE_NAMES_MAX = 32, /* aliases, keys' variables, headers, sources: of one entry */
    CATALOGUE_TOKENS_MAX = 1000000000, /* of a context */
};

enum price_kind {
#define PRICE(name, units, unit) PRICE_##name,
#include "server/route/price.def"
#undef PRICE
    PRICE_COUNT
};
enum { PRICE_UNKNOWN = -1 };
/* price_name — "cached_input". price_units — how many units the price is for. */
const char *price_name(enum price_kind kind);
int64_t price_units(enum price_kind kind);

enum capability {
#define CAPABILITY(name) CAPABILITY_##name,
#include "server/route/capability.def"
#undef CAPABILITY
    CAPABILITY_COUNT
};
const char *capability_name(enum capability capability);

/* Text lists are NULL-terminated. */
struct provider_spec {
    const char *name, *title, *base_url, *dialect, *auth, *doc;
    const char *api_prefix;      /* of OpenAI-style calls; NULL: there are none */
    const char *dialect_prefix;  /* of its own dialect's calls; NULL: where that has them */
    const char *const *dialects; /* of those that callers speak: its OpenAI-style calls' */
    bool takes_max_tokens, takes_reasoning; /* translate_target's */
    bool
        keeps_background; /* Responses in the background: it goes on alone, and gives them out again */
    const char *const *aliases, *const *key_variables, *const *headers;
    const char *const *option_variables[PROVIDER_OPTION_COUNT]; /* NULL: not of this provider */
    const char *option_defaults[PROVIDER_OPTION_COUNT];
};

struct model {
    const char *id;   /* provider/name */
    const char *name; /* what the provider calls it */
    const struct provider_spec *provider;
    const char *dialect; /* NULL: the provider's */
    const char *const *aliases;
    int64_t context_tokens, output_tokens; /* 0: unknown */
    uint32_t capabilities;                 /* bit 1 << enum capability */
    /* Nano-dollars for price_units(kind); PRICE_UNKNOWN. Never 0. */
    int64_t prices[PRICE_COUNT];
    int64_t long_above_tokens; /* 0: one price for all. Else, for prompts longer than that: */
    int64_t long_prices[PRICE_COUNT];
    const char *const *sources; /* where the figures come from, and when they were seen */
    const char *date;           /* 2026-08-06 */
};

struct catalogue_file {
    struct pool pool; /* owns all of it */
    struct provider_spec *providers;
    size_t provider_count;
    struct model *models;
    size_t model_count;
};

/* catalogue_file_read — `name` is for messages.
 *   answers  ERR_INVALID `why` has a line: what is wrong, and where
 *   faults   ERR_NOMEM · owns: `out`, until catalogue_file_deinit, also after a failure */
enum err catalogue_file_read(
    struct slice json, const char *name, struct catalogue_file *out, struct buf *why) NODISCARD;
void catalogue_file_deinit(struct catalogue_file *file);

/* catalogue_built_in — the file that is a part of the program. */
struct slice catalogue_built_in(void);

#endif
