/* signed_url — the query of a URL that stands for a key: who has it may read one stream, and stop it, for
 * a while.
 *
 *   expires=<s since 1970>&project=<name>&signature=<hex of HMAC-SHA256(secret, parts below)>
 *
 * What is signed: the stream's ID, the project's name and the time, as sha256_parts has them. Other
 * parameters may stand beside.
 *
 *   thread  any; pure */
#ifndef TOKENLOG_SERVER_POLICY_SIGNED_URL_H
#define TOKENLOG_SERVER_POLICY_SIGNED_URL_H

#include "protocol/base/digest.h"

/* The secret lasts as long as the data directory, so that a URL outlives the server.
 * signed_url_secret — out of the directory's own.
 * signed_url_write — appended.  answers  buf_append's
 * signed_url_check — whose it is: the project's name, decoded, is appended.
 *   answers  ERR_NOTFOUND there is no signature · ERR_INVALID it does not hold for this stream ·
 *            ERR_CLOSED it did */
void signed_url_secret(const uint8_t seed[ED25519_BYTES], uint8_t out[SHA256_BYTES]);
enum err signed_url_write(const uint8_t secret[SHA256_BYTES], struct slice id, struct slice project,
    int64_t expires_s, struct buf *out) NODISCARD;
enum err signed_url_check(const uint8_t secret[SHA256_BYTES], struct slice id, struct slice query,
    int64_t now_s, struct buf *project) NODISCARD;

#endif
