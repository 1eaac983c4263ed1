/* config — what the server was told: one table of parameters (params.def), set by
 * defaults < YAML file < environment < flags, each value remembering where it came from; and two
 * lists that only the file and flags can hold: providers and projects.
 *
 *   listen: 127.0.0.1:8080
 *   providers:
 *     - name: openai                 # model names openai/… go here; the first provider also gets
 *                                    # all names without a known prefix
 *       base_url: https://api.openai.com
 *       api_key_env: OPENAI_API_KEY  # default: <NAME>_API_KEY, upper case, - and . as _; may be
 *                                    # unset (self-hosted)
 *       auth: bearer                 # bearer | x-api-key | none (default: bearer; x-api-key for a
 *                                    # name or host with "anthropic")
 *       ca_file: /etc/…              # optional
 *   projects:                        # optional; a key may also be in keys_file
 *     - name: search
 *       keys: ["<SHA-256 of the key, 64 hex digits>"]
 *       on_disconnect: stop          # overrides
 *       keep_days: 7
 *
 * An environment variable that is set and empty counts as unset.
 *
 *   thread  start-up; read-only afterwards                                                       */
#ifndef TOKENLOG_SERVER_CONFIG_CONFIG_H
#define TOKENLOG_SERVER_CONFIG_CONFIG_H

#include "protocol/base/digest.h"

enum {
    PROVIDER_COUNT_MAX = 64,
    PROJECT_COUNT_MAX = 1024,
    PROJECT_KEY_COUNT_MAX = 16,
    NAME_BYTES_MAX =
        64, /* of a provider or a project; ties with storage's PROJECT_NAME_BYTES_MAX */
    DISCONNECT_SECONDS_MAX = 30 * 24 * 3600, /* longer than any generation runs */
    CONFIG_FILE_BYTES_MAX = 4 * 1024 * 1024, /* PROJECT_COUNT_MAX projects with all their keys */
    CONFIG_WHY_BYTES_MAX = 64 * 1024,        /* a good bound for the caller's `why` */
};

enum disconnect_policy { DISCONNECT_CONTINUE, DISCONNECT_STOP, DISCONNECT_AFTER };
struct disconnect {
    enum disconnect_policy policy;
    int64_t after_s;
};
/* disconnect_parse — "continue", "stop", or seconds ("90" or "90s").  answers ERR_INVALID */
enum err disconnect_parse(struct slice text, struct disconnect *out) NODISCARD;

/* config_name_is_valid — of a provider or a project: 1 to NAME_BYTES_MAX letters, digits, - _ and .
 * that begin with a letter or digit. */
static inline bool config_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i], letter = c | 0x20;
        bool is_plain = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return name.size > 0 && name.size <= NAME_BYTES_MAX;
}

enum provider_auth { AUTH_BEARER, AUTH_X_API_KEY, AUTH_NONE };
struct provider_config {
    const char *name;
    const char *base_url; /* without a trailing slash; a last segment /v1 is dropped, since callers'
                             paths bring it */
    const char *api_key;  /* from its environment variable; NULL if unset */
    const char *api_key_env;
    enum provider_auth auth;
    const char *ca_file; /* NULL: the system's */
};
struct project_config {
    const char *name;
    uint8_t (*key_hashes)[SHA256_BYTES];
    size_t key_count;
    struct disconnect on_disconnect;
    int64_t keep_s; /* 0: for ever */
};

struct config {
#define TEXT_FIELD                                          const char *
#define NUMBER_FIELD                                        int64_t
#define SWITCH_FIELD                                        bool
#define CHOICE_FIELD                                        const char *
#define PARAM(field, type, otherwise, min, max, unit, help) type##_FIELD field;
#include "server/config/params.def"
#undef TEXT_FIELD
#undef NUMBER_FIELD
#undef SWITCH_FIELD
#undef CHOICE_FIELD
    struct provider_config providers[PROVIDER_COUNT_MAX];
    size_t provider_count;
    struct project_config *projects; /* from the file; those of keys_file are auth's */
    size_t project_count;
    struct disconnect disconnect; /* on_disconnect, parsed */
    void *memory;                 /* owns all text above, and knows where each value came from */
};

struct config_request {
    bool wants_print; /* --print-config was given */
    bool wants_help;  /* --help was: then nothing is read or checked, and *out is NULL */
};

/* config_load — from `argv` after the subcommand, the environment and the file.
 *
 *   flags    --name value, --name=value; switches --name and --no-name; --config FILE (else
 *            $TOKENLOG_CONFIG, else no file); --provider NAME=URL, repeatable: appends, or gives a
 *            provider of the file another URL; --print-config; --help
 *   answers  ERR_INVALID `why` has a line for each problem that was found: where (file:line,
 *            variable or flag), what, and what to do
 *   faults   ERR_NOMEM
 *   owns     *out, until config_free; it borrows from argv and the environment, which stay */
enum err config_load(int argc, char **argv, char **environment, struct config **out,
    struct config_request *request, struct buf *why) NODISCARD;
struct config *config_free(struct config *config);

/* config_print — YAML of what is in force, each line with `# default | file:line | environment |
 * flag`; secrets are not printed.
 * config_help — one entry a parameter, by groups.   Both: answers and faults of buf_append */
enum err config_print(const struct config *config, struct buf *out) NODISCARD;
enum err config_help(struct buf *out) NODISCARD;

#endif
