/* runs — the runs of all projects: found, begun, read from their streams, written to, kept for a while.
 *
 *   runs_visit ─▶ in memory, and its stream is there ───────────────────────────▶ done(run)
 *             └─▶ its stream is looked up ─▶ none: begun, if the visit begins it ─▶ done(run)
 *                                        └─▶ read to its end, record by record ──▶ done(run)
 *
 * The run is its visitors' until they leave. What is written shows in memory at once, and is durable when
 * hub_wait_durable says so. A run that nobody visits is dropped when there are too many (bounds.h), the one
 * that was visited least lately first. One whose journal is mostly of what counts no more has it
 * written anew (rewrite.h), while it is in use; its stream is another one then.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_RUN_RUNS_H
#define TOKENLOG_SERVER_RUN_RUNS_H

#include "server/run/runbook.h"
#include "server/stream/append.h"

struct runs;
struct run;

enum err runs_new(struct hub *hub, struct runs **out) NODISCARD;
/* runs_rewrite_from — a journal may be written anew when so many bytes of it count no more; as at first:
 * RUN_REWRITE_BYTES_MIN. */
void runs_rewrite_from(struct runs *runs, uint64_t bytes);
/* runs_free — when the storage is closed and nobody visits or is answered any more. NULL is taken. */
struct runs *runs_free(struct runs *runs);

/* A visit. The owner keeps it until runs_leave, or `done` with an error; `done` may come before runs_visit
 * returns, and always comes.
 *   begins   a run that is not there is begun: ttl_s after its last record it goes (0: never), with
 *            `metadata`, a JSON object or none
 *   is_new   out: it was begun by this visit
 *   answers (to done)  ERR_NOTFOUND · ERR_LIMIT, ERR_AGAIN, ERR_FULL as of hub_claim and append_create
 *   faults  of its storage; ERR_CORRUPT a record is none */
struct run_visit {
    struct project *project;
    struct slice name; /* borrowed until done */
    bool begins;
    int64_t ttl_s;
    struct slice metadata; /* borrowed until done */
    void (*done)(struct run_visit *visit, enum err err);
    struct run *run;
    bool is_new;
    struct list node;
};
void runs_visit(struct runs *runs, struct run_visit *visit);
void runs_leave(struct runs *runs, struct run_visit *visit); /* also of a visit without a run */

const struct runbook *run_book(const struct run *run);
struct stream *run_stream(const struct run *run); /* borrowed; until the next turn */
struct slice run_name(const struct run *run);
/* run_write — a record: in the book, and in the stream. A checkpoint's ID and version are given to it here.
 *   answers  append_event's · ERR_LIMIT also: the run is full   faults  ERR_NOMEM */
enum err run_write(struct run *run, const struct run_record *record) NODISCARD;
/* run_take_step — the key of a step, which is recorded if it is new; `key` is the caller's own, or none.
 *   key_out  RUN_KEY_BYTES or the caller's; the run's until it is left
 *   answers  ERR_DENIED it has another key · run_write's */
enum err run_take_step(
    struct run *run, struct slice step, struct slice key, struct slice *key_out) NODISCARD;
/* run_note_replay — the step was given from its recording: counted, as far as storage takes it. */
void run_note_replay(struct run *run, struct slice step);

#endif
