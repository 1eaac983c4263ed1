/* config — what the server was told: one table of parameters (params.def), set by defaults < YAML file < environment < flags, each value
 * remembering where it came from; and two lists that only the file and flags can hold: providers and projects.
 *
 *   listen: 127.0.0.1:8080
 *   providers:
 *     - name: openai                 # model names openai/… go here, and all without a known prefix if it is the first
 *       base_url: https://api.openai.com
 *       api_key_env: OPENAI_API_KEY  # default: <NAME>_API_KEY, upper case, - and . as _; may be absent (self-hosted)
 *       auth: bearer                 # bearer | x-api-key | none      (default: bearer; x-api-key for a name or host with "anthropic")
 *       ca_file: /etc/…              # optional
 *   projects:                        # optional; a key may also be in keys_file
 *     - name: search
 *       keys: ["<SHA-256 of the key, 64 hex digits>"]
 *       on_disconnect: stop          # overrides
 *       keep_days: 7
 *
 *   thread  start-up; read-only afterwards. <cyaml/cyaml.h> is included by config.c only                                   */
#ifndef TOKENLOG_SERVER_CONFIG_CONFIG_H
#define TOKENLOG_SERVER_CONFIG_CONFIG_H

#include "protocol/base/digest.h"

enum {
    PROVIDER_COUNT_MAX = 64,
    PROJECT_COUNT_MAX = 1024,
    PROJECT_KEY_COUNT_MAX = 16,
};

enum disconnect_policy { DISCONNECT_CONTINUE, DISCONNECT_STOP, DISCONNECT_AFTER };
struct disconnect { enum disconnect_policy policy; int64_t after_s; };
enum err disconnect_parse(struct slice text, struct disconnect *out) NODISCARD;

enum provider_auth { AUTH_BEARER, AUTH_X_API_KEY, AUTH_NONE };
struct provider_config {
    const char *name;
    const char *base_url;   /* without a trailing slash; a path such as /v1 at the end is dropped, since callers' paths bring it */
    const char *api_key;    /* from its environment variable; NULL if unset */
    const char *api_key_env;
    enum provider_auth auth;
    const char *ca_file;    /* NULL: the system's */
};
struct project_config {
    const char *name;
    uint8_t (*key_hashes)[SHA256_BYTES];
    size_t key_count;
    struct disconnect on_disconnect;
    int64_t keep_s;
};

struct config {
#define TEXT_FIELD   const char *
#define NUMBER_FIELD int64_t
#define SWITCH_FIELD bool
#define CHOICE_FIELD const char *
#define PARAM(field, type, otherwise, min, max, unit, help) type##_FIELD field;
#include "server/config/params.def"
#undef PARAM
    struct provider_config providers[PROVIDER_COUNT_MAX];
    size_t provider_count;
    struct project_config *projects; /* from the file; those of keys_file are auth's */
    size_t project_count;
    struct disconnect disconnect;    /* on_disconnect, parsed */
    void *memory;                    /* owns all text above */
};

/* config_load — from argv after the subcommand (flags `--name value`, `--name=value`, switches `--name`/`--no-name`, `--config FILE`, `--provider NAME=URL` repeatable, `--print-config`),
 * environment and file. On ERR_INVALID `why` holds one or more lines that say what to do, with file and line number where there are any.
 * wants_print: --print-config was given · wants_help: --help. */
struct config_request { bool wants_print, wants_help; };
enum err config_load(int argc, char **argv, char **environment, struct config **out, struct config_request *request, struct buf *why) NODISCARD;
struct config *config_free(struct config *config);
/* config_print — YAML of what is in force, each line with `# default | file:line | environment | flag`; secrets are not printed. */
enum err config_print(const struct config *config, struct buf *out) NODISCARD;
enum err config_help(struct buf *out) NODISCARD; /* one line a parameter */

#endif
