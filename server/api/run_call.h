/* run_call — one call about a run: its names read from the path, the exchange held, the run visited, what
 * was written waited for. What the calls of runs.c and checkpoints.c share.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_RUN_CALL_H
#define TOKENLOG_SERVER_API_RUN_CALL_H

#include "server/api/api.h"
#include "server/run/runs.h"

struct run_call {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct buf name, item;     /* the run's; the checkpoint's, where the path has one */
    struct buf kept;           /* of the request, which goes with the caller: metadata, say */
    struct run_visit visit;
    struct hub_barrier barrier;
    void (*next)(struct run_call *call);
    void (*end)(struct run_call *call); /* frees what the call is part of */
};

/* run_name_read — a name of a run, a step or a checkpoint: 1 to RUN_NAME_BYTES_MAX visible ASCII
 *   characters without quotes. */
bool run_name_is_valid(struct slice name);
/* run_call_new — `size` bytes that begin with the call, zeroed; freed with it, after `end` (may be NULL).
 *   NULL: answered, as where a name is none.
 * run_call_visit — then `next` with call->visit.run, unless the caller is gone or it was answered that there
 *   is none. call->visit.begins and its kin are set before.
 * run_call_wait — until all that was written to `run` is durable; then likewise.
 * run_call_settle — likewise, or at once if it is: what was made of the run before may be shown then.
 * run_call_end — nothing is answered any more. */
void *run_call_new(struct api *api, struct exchange *exchange, size_t size,
    void (*end)(struct run_call *call)) NODISCARD;
void run_call_visit(struct run_call *call, void (*next)(struct run_call *call));
void run_call_wait(
    struct run_call *call, const struct run *run, void (*next)(struct run_call *call));
void run_call_settle(struct run_call *call, void (*next)(struct run_call *call));
void run_call_end(struct run_call *call);
/* run_call_reply, run_call_refuse, run_call_refuse_err (of runs.h) — answer, and end the call.
 * run_call_add — a field of the answer to come. */
void run_call_add(struct run_call *call, const char *name, struct slice value);
void run_call_reply(struct run_call *call, int status, const char *type, struct slice body);
void run_call_refuse(struct run_call *call, int status, const char *code, const char *param,
    const char *format, ...) PRINTF(5, 6);
void run_call_refuse_err(struct run_call *call, enum err err);
/* run_call_page — `limit` of the query: 1 to RUN_PAGE_MAX. False: answered. */
enum { RUN_PAGE_DEFAULT = 100, RUN_PAGE_MAX = 1000 };
bool run_call_page(struct run_call *call, uint64_t *limit);

#endif
