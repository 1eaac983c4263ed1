/* config — what the server was told: one table of parameters (params.def), set by
 * defaults < YAML file < environment < flags, each value remembering where it came from; and lists
 * that only the file, and for providers flags, can hold: providers, projects and routes.
 *
 *   listen: 127.0.0.1:8080
 *   providers:                       # all but `name` is optional for a provider that the catalogue
 *                                    # knows: what is given here wins
 *     - name: openai                 # model names openai/… go here; the first provider also gets
 *                                    # all names that say nothing else
 *       type: vllm                   # the provider of the catalogue it is like; default: its name
 *       base_url: https://api.openai.com
 *       api_prefix: /v1              # of OpenAI-style calls behind base_url; default, where base_url
 *                                    # is given: /v1
 *       dialect: openai_chat         # what it speaks; native calls are read by it
 *       native: openai               # /openai/… is passed on as it is; default: name
 *       api_key_env: OPENAI_API_KEY  # default: <NAME>_API_KEY, upper case, - and . as _, and then
 *                                    # those of the catalogue; may be unset (self-hosted)
 *       key: sk-…                    # or keys: […]; $NAME is the environment's variable
 *       key_file: /etc/account.json  # a Google service account's
 *       auth: bearer                 # see provider_auth.h (default: the catalogue's, else bearer,
 *                                    # or x-api-key for a name or host with "anthropic")
 *       headers: ["x-team: red"]     # sent unless the caller sends the same
 *       options: {region: eu-west-1} # what takes the place of {region} and the like in base_url and
 *                                    # api_prefix
 *       ca_file: /etc/…
 *       callers_keys: true           # a call may bring its own key, which is then asked with instead
 *                                    # of ours: Tokenlog-Provider-Key: NAME=KEY; default: false
 *       resume: background           # it keeps Responses that are asked for in the background, and gives
 *                                    # them out again (GET …/responses/ID?starting_after=N): every
 *                                    # streamed one is asked for so, unless it says "store": false.
 *                                    # Default, and only of OpenAI and Azure: where the caller asks
 *   projects:                        # optional; a key may also be in keys_file
 *     - name: search
 *       keys: ["<SHA-256 of the key, 64 hex digits>"]
 *       on_disconnect: stop          # overrides
 *       keep_days: 7
 *       attach_duplicates: 60
 *   routes: …                        # optional; see config_route.h
 *
 * An environment variable that is set and empty counts as unset.
 *
 *   thread  start-up; read-only afterwards                                                       */
#ifndef TOKENLOG_SERVER_CONFIG_CONFIG_H
#define TOKENLOG_SERVER_CONFIG_CONFIG_H

#include "protocol/base/digest.h"
#include "server/config/config_route.h"

enum {
    PROVIDER_COUNT_MAX = 64,
    PROVIDER_KEY_COUNT_MAX = 16,
    PROVIDER_HEADER_COUNT_MAX = 16,
    PROVIDER_DIALECT_COUNT_MAX = 8, /* callers speak three */
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

/* The names that may stand in braces in a base_url or api_prefix. */
#define PROVIDER_OPTIONS(X) X(region) X(project) X(account) X(resource) X(service)
enum provider_option {
#define OPTION(name) OPTION_##name,
    PROVIDER_OPTIONS(OPTION)
#undef OPTION
        PROVIDER_OPTION_COUNT
};
const char *provider_option_name(enum provider_option option);

/* As it was told: text, checked one by one. What is NULL is the catalogue's to say (server/route).
 * base_url has no slash at its end; a last segment /v1 is dropped, since api_prefix brings it. */
struct provider_config {
    const char *name;
    const char *where; /* for messages: "file:line" or "--provider" */
    const char *type, *base_url, *api_prefix, *dialect, *native, *auth, *ca_file, *key_file,
        *resume;
    const char *api_key_env;                      /* told, or made of the name */
    const char *keys[PROVIDER_KEY_COUNT_MAX + 1]; /* NULL-terminated; empty: none was found */
    bool has_key_source;                          /* key, keys, key_file or api_key_env was told */
    bool takes_callers_keys;
    const char *headers[PROVIDER_HEADER_COUNT_MAX + 1];   /* "Name: value", NULL-terminated */
    const char *dialects[PROVIDER_DIALECT_COUNT_MAX + 1]; /* NULL-terminated; empty: not told */
    const char *options[PROVIDER_OPTION_COUNT];
};
struct project_config {
    const char *name;
    uint8_t (*key_hashes)[SHA256_BYTES];
    size_t key_count;
    struct disconnect on_disconnect;
    int64_t keep_s; /* 0: for ever */
    int64_t attach_duplicates_s;
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
    struct route_config *routes; /* from the file */
    size_t route_count;
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
/* config_environment — a variable's value; NULL if it is unset or empty. */
const char *config_environment(char **environment, const char *name);
struct config *config_free(struct config *config);

/* config_print — YAML of what is in force, each line with `# default | file:line | environment |
 * flag`; secrets are not printed.
 * config_help — one entry a parameter, by groups.   Both: answers and faults of buf_append */
enum err config_print(const struct config *config, struct buf *out) NODISCARD;
enum err config_help(struct buf *out) NODISCARD;
/* config_changes — names of parameters that differ and count only after a restart, parted by ", ".
 * Answers and faults of buf_append. */
enum err config_changes(
    const struct config *before, const struct config *after, struct buf *out) NODISCARD;

#endif
