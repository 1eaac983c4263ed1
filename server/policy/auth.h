/* auth — who calls: API keys to projects. Keys are stored as SHA-256 and compared in constant time.
 *
 *   no keys at all   open mode: everything belongs to the project "default"; loopback only (main checks), and foreign Origins and Hosts are refused
 *   keys             required on every call but /healthz and /readyz: `Authorization: Bearer K`, `x-api-key: K`, `api-key: K`
 *
 * keys_file: a line a key, `<sha256 hex> <project> [# comment]`; written by `tokenlog key new PROJECT`, read at start and on SIGHUP
 * (a malformed file is refused whole and the old keys stay).                                                              */
#ifndef TOKENLOG_SERVER_POLICY_AUTH_H
#define TOKENLOG_SERVER_POLICY_AUTH_H

#include "server/config/config.h"

struct auth;

struct project {            /* a tenant's settings; owned by auth, valid until auth_free (a reload keeps old ones) */
    const char *name;
    uint32_t number;        /* storage's; 0 until the server has asked for it */
    struct disconnect on_disconnect;
    int64_t keep_s;
};

enum err auth_new(const struct config *config, const char *keys_path, struct buf *why, struct auth **out) NODISCARD;
enum err auth_reload(struct auth *auth, struct buf *why) NODISCARD; /* ERR_INVALID: old keys stay */
struct auth *auth_free(struct auth *auth);
bool auth_is_open(const struct auth *auth);
/* auth_check — the project of a presented key; ERR_DENIED. In open mode: always the default project. */
enum err auth_check(struct auth *auth, struct slice presented, struct project **out) NODISCARD;
/* key_make — "tlk_" and 40 characters from 30 random bytes (the caller's); key_hash — what is stored. */
enum { KEY_RANDOM_BYTES = 30, KEY_TEXT_BYTES = 4 + 40 + 1 };
void key_make(const uint8_t random[KEY_RANDOM_BYTES], char out[KEY_TEXT_BYTES]);
/* keys_append — add a line to a keys file (0600, created if absent, fsynced). */
enum err keys_append(const char *path, const char *project, const char *key, struct buf *why) NODISCARD;

#endif
