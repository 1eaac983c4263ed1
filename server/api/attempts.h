/* attempts — whom a call asks, one target after another, as its plan says: the source of a producer.
 *
 *   attempts_new ─▶ attempts_first ─┬─▶ attempts_request ─▶ producer_start: it is the producer's
 *                      ▲            └─ERR_AGAIN─▶ attempts_wait ─┘
 *
 * What a further attempt is made of, the caller's request, is kept only where the plan allows one, and
 * until one shows its first event (or, where a stream that dies is gone on with, until its end): so much is one
 * more copy of the body. All that are kept take at most
 * bodies_bytes_max; past that a call has a single attempt, as has one whose body is sent while it arrives.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_ATTEMPTS_H
#define TOKENLOG_SERVER_API_ATTEMPTS_H

#include "server/api/sending.h"
#include "server/route/plan.h"

struct attempts;

/* attempts_new — takes `plan` over, also if it fails.   faults ERR_NOMEM
 * attempts_free — one that was not given to a producer. NULL is taken; returns NULL. */
enum err attempts_new(struct api *api, struct plan *plan, struct attempts **out) NODISCARD;
struct attempts *attempts_free(struct attempts *attempts);

/* attempts_first — chooses the first target, and makes what is sent to it, in `sending`, which was
 * initialised.
 *   answers  ERR_AGAIN not yet: attempts_wait · ERR_CLOSED nobody may be asked: `why` has a sentence, and
 *            *after_ms when that may change (-1: unknown) · sending_make's: attempts_refuse
 *   faults   likewise */
struct attempts_refusal {
    bool is_unasked; /* nobody may be asked */
    int64_t after_ms;
    struct buf why; /* the owner's */
};
enum err attempts_first(struct attempts *attempts, const struct asked *asked,
    struct sending *sending, struct attempts_refusal *refusal) NODISCARD;
/* attempts_wait — after ERR_AGAIN: `done` is called when it is worth asking again. attempts_free forgets
 * it. */
void attempts_wait(struct attempts *attempts, void (*done)(void *context), void *context);
/* attempts_target — that was chosen; the first while there is no other. */
const struct plan_target *attempts_target(const struct attempts *attempts);
/* attempts_describe — the first attempt, as its row begins; appended.   answers buf_append's */
enum err attempts_describe(
    const struct attempts *attempts, int64_t started_ns, struct buf *out) NODISCARD;
/* attempts_request — for the producer, to which `attempts` passes. Keeps of `asked` what is needed for
 * more of them; is_keyed is yet to be said. Borrowed from all three, and *translate filled in. */
struct producer_request attempts_request(struct attempts *attempts, const struct asked *asked,
    const struct sending *sending, struct producer_translate *translate);
/* attempts_take_up — the same, to go on with `before`, which broke off: the first target is asked that and
 * not what `sending` has. False: there is no room to keep the request, or it is passed on as it is. */
bool attempts_take_up(struct attempts *attempts, const struct asked *asked, struct stream *before,
    struct producer_request *request) NODISCARD;

#endif
