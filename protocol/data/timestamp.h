/* timestamp — points in time as text: RFC 3339, UTC, to the nanosecond, so that none is lost.
 *
 *     2026-11-23T05:06:39.123456789Z
 *
 *   thread  any; no state
 *   source  RFC 3339 §5.6; days from civil: the Gregorian calendar's 400-year cycle             */
#ifndef TOKENLOG_PROTOCOL_DATA_TIMESTAMP_H
#define TOKENLOG_PROTOCOL_DATA_TIMESTAMP_H

#include "protocol/base/slice.h"

enum { TIMESTAMP_TEXT_BYTES = sizeof "2026-11-23T05:06:39.123456789Z" };

/* timestamp_format — `ns` since the Unix epoch, and a NUL. */
void timestamp_format(int64_t ns, char out[TIMESTAMP_TEXT_BYTES]);
/* timestamp_parse — with or without a fraction, in UTC ("Z") or at an offset ("+02:00").
 *   answers  ERR_INVALID it is none, or beyond what 64 bits of nanoseconds hold (1678–2261) */
enum err timestamp_parse(struct slice text, int64_t *ns) NODISCARD;
/* timestamp_parse_relative — the same, or before `now_ns`: "-90s", "-15m", "-24h", "-7d". */
enum err timestamp_parse_relative(struct slice text, int64_t now_ns, int64_t *ns) NODISCARD;

#endif
