/* audit_key — the Ed25519 key that signs the heads of a data directory's audit logs: DIR/audit-key,
 * 0600, one line of text, made at the first start.
 *
 *   tokenlog-audit-key ed25519 <64 hexadecimal digits: the private key>
 *
 *   thread  any; blocks                                                                        */
#ifndef TOKENLOG_STORAGE_AUDIT_KEY_H
#define TOKENLOG_STORAGE_AUDIT_KEY_H

#include "protocol/base/digest.h"

/* audit_key_read — answers ERR_NOTFOUND · faults ERR_CORRUPT (it is no such key), ERR_IO
 * audit_key_open — the same, but makes one where there is none, durably.
 *   answers ERR_FULL · faults ERR_IO, ERR_NOMEM */
enum err audit_key_read(const char *directory, uint8_t seed[ED25519_BYTES]) NODISCARD;
enum err audit_key_open(const char *directory, uint8_t seed[ED25519_BYTES]) NODISCARD;

#endif
