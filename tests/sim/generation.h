/* generation — the streams that begin in a history, and the providers that feed them. */
#ifndef TOKENLOG_TESTS_SIM_GENERATION_H
#define TOKENLOG_TESTS_SIM_GENERATION_H

#include "tests/sim/process.h"

extern const char *const generation_keys[KEYS];

/* generation_begin — a new stream, with key `key` (-1: none), the next attempt after `before` (NULL:
 * the first); may be refused. */
void generation_begin(struct history *history, int key, const struct stream *before);
/* generation_provide — some providers send something, or end. */
void generation_provide(struct history *history);

#endif
