/* run_record — one event of a run's stream: a line of JSON, and behind a checkpoint's its bytes.
 * README.md has each.
 *
 *   thread  any; no state */
#ifndef TOKENLOG_SERVER_RUN_RUN_RECORD_H
#define TOKENLOG_SERVER_RUN_RUN_RECORD_H

#include "protocol/base/id.h"
#include "protocol/data/json.h"
#include "server/run/bounds.h"

enum run_record_type { RUN_STEP, RUN_REPLAY, RUN_CHECKPOINT, RUN_DELETE, RUN_FORK, RUN_HEAD };

/* Which fields count is a matter of the type; the others are SLICE_NONE. */
struct run_record {
    enum run_record_type type;
    struct slice step, key; /* STEP; REPLAY: step */
    struct slice name;      /* CHECKPOINT, DELETE */
    struct id id;           /* CHECKPOINT: its own, that no other has or ever had */
    uint64_t version;       /* CHECKPOINT: its number in the run, from 1; HEAD: the newest's */
    struct slice content_type, offsets; /* CHECKPOINT; offsets: a JSON object, or none */
    int64_t at_ms;                      /* CHECKPOINT */
    struct slice blob;                  /* CHECKPOINT */
    struct slice from, at;              /* FORK; HEAD of a fork's journal */
    struct slice steps;                 /* FORK, HEAD, to be written: a JSON array */
    const struct json *steps_read; /* read: of {"step","key"}; HEAD: also "replays", "inherited" */
    size_t event_bytes;            /* read: of the whole event */
};

/* run_record_write — appended to `out`.  answers buf_append's
 * run_record_read — borrows from `event` and from *tree, which the caller frees.
 *   answers  ERR_NOTFOUND a type of a later version · faults ERR_CORRUPT, ERR_NOMEM */
enum err run_record_write(const struct run_record *record, struct buf *out) NODISCARD;
enum err run_record_read(struct slice event, struct json **tree, struct run_record *out) NODISCARD;

#endif
