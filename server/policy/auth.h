/* auth — who calls: API keys to projects. Keys are stored as SHA-256 and compared in constant time.
 *
 *   no keys at all   open mode: everything belongs to the project "default"; loopback only (main
 *                    checks), and foreign Origins and Hosts are refused
 *   keys             required on every call but /healthz and /readyz: `Authorization: Bearer K`,
 *                    `x-api-key: K`, `api-key: K`
 *
 * keys file: a line a key, `<sha256 hex> <project> [# comment]`; blank lines and lines that begin
 * with # are skipped. Written by `tokenlog key new PROJECT`, read at start and on SIGHUP. A reload
 * that is refused changes nothing: a malformed file is refused whole, and so is one that would
 * leave no key at all, since that would open the server to everyone.
 *
 *   thread  one at a time; a project handed out may be read by any                               */
#ifndef TOKENLOG_SERVER_POLICY_AUTH_H
#define TOKENLOG_SERVER_POLICY_AUTH_H

#include "server/config/config.h"

enum {
    KEYS_FILE_BYTES_MAX = 16 * 1024 * 1024, /* some 200,000 keys */
    KEY_PRESENTED_BYTES_MAX = 512,          /* a longer one is none of ours: not even hashed */
};

struct auth;

/* A tenant's settings; owned by auth, valid until auth_free (a reload keeps old ones). */
struct project {
    const char *name;
    uint32_t number; /* storage's; 0 until the server has asked for it, and sets it here */
    struct disconnect on_disconnect;
    int64_t keep_s;
    int64_t attach_duplicates_s; /* 0: no */
};

/* auth_new — the config's keys and those of the file at `keys_path`. An absent file holds no keys,
 * unless the configuration names it (keys_file).
 *   answers  ERR_INVALID `why` has a line with file, line number and what to do
 *   faults   ERR_NOMEM
 *   owns     *out, until auth_free; `config` is borrowed until then */
enum err auth_new(const struct config *config, const char *keys_path, struct buf *why,
    struct auth **out) NODISCARD;
/* auth_reload — read the file again.  answers ERR_INVALID old keys stay; `why` says what is
 * wrong */
enum err auth_reload(struct auth *auth, struct buf *why) NODISCARD;
struct auth *auth_free(struct auth *auth);
bool auth_is_open(const struct auth *auth);
size_t auth_key_count(const struct auth *auth);

/* auth_check — the project of a presented key. In open mode always the default project.
 *   answers  ERR_DENIED */
enum err auth_check(struct auth *auth, struct slice presented, struct project **out) NODISCARD;

/* auth_project — the project of this name, whoever calls: something else has let them in.
 *   answers  ERR_DENIED there is none */
enum err auth_project(const struct auth *auth, struct slice name, struct project **out) NODISCARD;

enum { KEY_RANDOM_BYTES = 30, KEY_TEXT_BYTES = 4 + 40 + 1 };
/* key_make — "tlk_" and 40 characters (base64url) from 30 random bytes, which are the caller's. */
void key_make(const uint8_t random[KEY_RANDOM_BYTES], char out[KEY_TEXT_BYTES]);
/* keys_append — add a key's line to a keys file (0600, created if absent, on disk on return). Only
 * the hash and the key's first characters, as a comment to tell it by, are written.
 *   answers  ERR_INVALID the project's name; `why` has a sentence
 *   faults   ERR_IO, `why` has a sentence too */
enum err keys_append(
    const char *path, const char *project, const char *key, struct buf *why) NODISCARD;

#endif
