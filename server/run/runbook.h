/* runbook — what is known of one run: its steps in the order they were first taken, and its checkpoints,
 * oldest first. Made of its records, one after another; knows no stream.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_RUN_RUNBOOK_H
#define TOKENLOG_SERVER_RUN_RUNBOOK_H

#include "protocol/base/id.h"
#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "server/run/run_record.h"

struct run_step {
    struct map_node by_name;
    struct list node; /* runbook.steps */
    struct slice name, key;
    uint64_t replays;
    bool is_inherited;
};

struct run_checkpoint {
    struct map_node by_name;
    struct list node; /* runbook.checkpoints */
    struct slice name, content_type, offsets;
    struct id id;
    uint64_t version;  /* greater than that of any before it, of whatever name */
    uint64_t seq;      /* of its event in the run's stream… */
    uint64_t moved_to; /* …and in the one that is to take its place (rewrite.h) */
    uint64_t size, event_bytes;
    int64_t at_ms;
};

struct runbook {
    struct map steps_by_name, checkpoints_by_name;
    struct list steps, checkpoints;
    struct slice forked_from, forked_at; /* owned; or SLICE_NONE */
    uint64_t version;                    /* of the newest checkpoint, there or not; 0: none yet */
    size_t bytes;                        /* of memory, about */
    uint64_t recorded_bytes;             /* of all records… */
    uint64_t live_bytes;                 /* …and of those that still count, about */
};

void runbook_init(struct runbook *book);
void runbook_deinit(struct runbook *book);
/* runbook_apply — the record that is event `seq` of the run's stream.  faults ERR_NOMEM */
enum err runbook_apply(
    struct runbook *book, const struct run_record *record, uint64_t seq) NODISCARD;
struct run_step *runbook_step(const struct runbook *book, struct slice name); /* NULL: none */
/* runbook_checkpoint — by name; "latest" is the one that was put last. NULL: none. */
struct run_checkpoint *runbook_checkpoint(const struct runbook *book, struct slice name);
/* runbook_fork_steps — as a fork at step `at` records them: a JSON array, appended to `out`.
 *   answers  ERR_NOTFOUND no such step · buf_append's */
enum err runbook_fork_steps(const struct runbook *book, struct slice at, struct buf *out) NODISCARD;
/* runbook_head_steps — all of them, as the head of a journal that is written anew records them. Likewise.
 * runbook_moved — each checkpoint's event is where `moved_to` says, in a stream of `recorded_bytes`. */
enum err runbook_head_steps(const struct runbook *book, struct buf *out) NODISCARD;
void runbook_moved(struct runbook *book, uint64_t recorded_bytes);

/* run_key — of a step of the run whose stream has this ID. */
void run_key(const struct id *run, struct slice step, char out[RUN_KEY_BYTES + 1]);

#endif
