/* base64 — reading RFC 4648 §4, strictly: what base64_encode (digest.h) writes, and nothing else.
 *
 *   thread  any; no state */
#ifndef TOKENLOG_PROTOCOL_BASE_BASE64_H
#define TOKENLOG_PROTOCOL_BASE_BASE64_H

#include "protocol/base/slice.h"

/* base64_decode — appended to `out`.
 *   answers  ERR_INVALID it is none: another alphabet, no padding, bits that are left over
 *            and buf_append's; nothing was appended · faults ERR_NOMEM */
enum err base64_decode(struct slice text, struct buf *out) NODISCARD;

#endif
