/* caller — who reads, stops, deletes and asks by key, in a history; each answer goes to the model. */
#ifndef TOKENLOG_TESTS_SIM_CALLER_H
#define TOKENLOG_TESTS_SIM_CALLER_H

#include "tests/sim/process.h"

enum intent { ATTACH, STOP, DELETE, CLAIM, CHECK };

/* caller_attach — takes over the reference. NULL: there are enough of them.
 * caller_pull — up to so many views of a reader that is there. caller_leave — it goes. */
struct caller *caller_attach(
    struct history *history, struct stream *stream, uint64_t from, bool follows);
void caller_pull(struct caller *caller, uint64_t views);
void caller_leave(struct caller *caller);
void callers_leave(struct history *history);

/* caller_go — find the stream and do what is intended; *is_done (may be NULL) when it is found.
 * caller_claim — find a key's stream, or begin one. */
void caller_go(struct history *history, enum intent intent, uint32_t tag, bool *is_done);
void caller_claim(struct history *history);
/* caller_hold — put a legal hold on a stream, or lift it; the model is told when it is durable. */
void caller_hold(struct history *history, uint32_t tag);
/* caller_ask_for_tombstones — of the deletes under way. */
void caller_ask_for_tombstones(struct history *history);

#endif
