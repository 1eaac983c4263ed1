/* durable — the words of the Durable Streams protocol: names, offsets, numbers, media types, cursors.
 *
 *   offset   "<events before it, 16 hex digits>_0000000000000000": of one width, so that bytewise order
 *            is the order of places, and none of `, & = ? /`. The second half is kept for places inside
 *            an event; nothing but zeros is handed out or taken
 *   name     a stream's path below /v1/stream/, in one spelling: escapes of unreserved characters are
 *            decoded, all others are upper case (RFC 3986 §6.2.2), so that one URL is one stream
 *
 *   thread  any; pure
 *   source  durable-streams PROTOCOL.md 1.0 (draft), §4.1, §5, §8–10 */
#ifndef TOKENLOG_PROTOCOL_HTTP_DURABLE_H
#define TOKENLOG_PROTOCOL_HTTP_DURABLE_H

#include "protocol/base/slice.h"

enum {
    DURABLE_OFFSET_BYTES = 16 + 1 + 16 + 1, /* with its NUL */
    DURABLE_NAME_BYTES_MAX = 254,           /* a key's 255 and the byte that says whose it is */
    DURABLE_CURSOR_INTERVAL_S = 20,
    DURABLE_CURSOR_JITTER_S = 3600, /* at most, where a client is not to get its own cursor back */
};
/* 2^53 - 1: what JavaScript counts to; epochs, seqs and TTLs are no larger. */
#define DURABLE_NUMBER_MAX ((UINT64_C(1) << 53) - 1)

/* durable_offset_format — `events` lie before it.
 * durable_offset_parse — one that was handed out, or "-1" (0), or "now": *is_now, and *events is 0.
 *   answers  ERR_INVALID */
void durable_offset_format(uint64_t events, char out[DURABLE_OFFSET_BYTES]);
enum err durable_offset_parse(struct slice text, uint64_t *events, bool *is_now) NODISCARD;

/* durable_name — the name that a raw path has, appended to `out`.
 *   answers  ERR_INVALID empty, or a malformed escape · buf_append's · faults ERR_NOMEM */
enum err durable_name(struct slice raw, struct buf *out) NODISCARD;

/* durable_number — decimal digits, no sign, no leading zero, at most DURABLE_NUMBER_MAX.
 *   answers  ERR_INVALID */
enum err durable_number(struct slice text, uint64_t *out) NODISCARD;

/* durable_is_true — whether a Stream-Closed field counts: "true" in any case, nothing else. */
bool durable_is_true(struct slice value);

/* durable_is_same_type — two media types without their parameters, in any case.
 * durable_is_json — messages are kept apart. durable_is_text — events of SSE can hold it as it is. */
bool durable_is_same_type(struct slice a, struct slice b);
bool durable_is_json(struct slice type);
bool durable_is_text(struct slice type);

/* durable_cursor — the number of the 20 s interval since 2024-10-09, or, where the caller's own
 * (`given`; empty, or no number: none) is not below it, a later one: `random` decides how much. */
uint64_t durable_cursor(int64_t wall_ns, struct slice given, uint32_t random);

#endif
