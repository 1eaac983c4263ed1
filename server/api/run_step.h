/* run_step — an inference call that is a step of an agent's run: the header fields Tokenlog-Run and
 * Tokenlog-Step read, the step written into the run's journal, and its key. server/run/README.md.
 *
 * Nothing waits for the disk here: the step's record stands in the journal before the generation's row,
 * and nothing is dispatched before that is durable.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_RUN_STEP_H
#define TOKENLOG_SERVER_API_RUN_STEP_H

#include "server/api/api.h"

/* Embedded in the call that is a step; zeroed: it is none. */
struct run_step_call {
    struct api *api;
    struct exchange *exchange;
    struct slice run, step; /* the request's; empty: it is no step */
    struct run_visit visit;
    void (*done)(struct run_step_call *step, bool is_taken, struct slice key);
    struct slice key;
};

/* run_step_read — the fields.  False: answered.
 * run_step_take — the exchange is the caller's, who holds it meanwhile if it is to be told when it ends.
 *   `key` is the caller's own, or none.
 *   done  in this call or later: the key by which the step is claimed, the run's until run_step_leave.
 *         Not taken: answered, or step->exchange was set to NULL by whoever heard that it is gone
 * run_step_note_replay — it was given from its recording.
 * run_step_leave — also of one that is none, or was not taken; not before `done`. */
bool run_step_read(struct exchange *exchange, struct run_step_call *step);
void run_step_take(struct api *api, struct exchange *exchange, struct slice key,
    struct run_step_call *step,
    void (*done)(struct run_step_call *step, bool is_taken, struct slice key));
void run_step_note_replay(struct run_step_call *step);
void run_step_leave(struct run_step_call *step);

#endif
