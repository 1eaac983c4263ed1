/* retry_after — when a response says that it is worth trying again.
 *
 *     Retry-After: 30                                seconds
 *     Retry-After: Mon, 23 Nov 2026 12:00:30 GMT     a date
 *     retry-after-ms: 250                            OpenAI's and Azure's, which says it better
 *
 *   thread  any; pure · source  RFC 9110 §10.2.3, §5.6.7 (IMF-fixdate; the obsolete forms are not read) */
#ifndef TOKENLOG_PROTOCOL_HTTP_RETRY_AFTER_H
#define TOKENLOG_PROTOCOL_HTTP_RETRY_AFTER_H

#include "protocol/http/header.h"

enum { RETRY_AFTER_MS_MAX = 24 * 3600 * 1000 }; /* what says more is taken for this */

/* retry_after_ms — from `wall_ns` on; 0 for a date that has passed; -1: it does not say. */
int64_t retry_after_ms(const struct headers *headers, int64_t wall_ns);

#endif
