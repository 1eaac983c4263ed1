/* id — a stream's ID: a UUIDv7 (RFC 9562 §5.7), so that IDs sort by the time they were made. */
#ifndef TOKENLOG_PROTOCOL_BASE_ID_H
#define TOKENLOG_PROTOCOL_BASE_ID_H

#include "protocol/base/slice.h"

enum { ID_BYTES = 16, ID_TEXT_BYTES = 37 /* 36 characters and a NUL */, ID_RANDOM_BYTES = 10 };

struct id {
    uint8_t bytes[ID_BYTES];
};

/* id_make — from the wall clock and 10 bytes from a cryptographic source: an ID must not be
 * guessable. */
struct id id_make(int64_t unix_ms, const uint8_t random[ID_RANDOM_BYTES]);
void id_format(const struct id *id, char out[ID_TEXT_BYTES]);
/* id_parse — the 36-character form, either case; ERR_INVALID for anything else, other UUID versions
 * included. */
enum err id_parse(struct slice text, struct id *out) NODISCARD;
bool id_equal(const struct id *a, const struct id *b);
struct slice id_slice(const struct id *id); /* borrowed from `id` */
/* id_unix_ms — when the ID was made. */
int64_t id_unix_ms(const struct id *id);

#endif
