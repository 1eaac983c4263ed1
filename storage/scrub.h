/* scrub — reads everything that is stored again, at a bounded rate, and checks it: what has rotted is
 * found before it is asked for, and while a backup may still have it.
 *
 * A damaged block, body or aside marks its stream's row as damaged (store_mark_damage) and touches
 * nothing else. LMDB's own pages carry no checksum: a value that is reached is checked, what LMDB
 * itself cannot walk is a fault.
 *
 *   thread  one: the archiver's                                                                */
#ifndef TOKENLOG_STORAGE_SCRUB_H
#define TOKENLOG_STORAGE_SCRUB_H

#include "storage/store.h"

struct scrub;

/* scrub_new — the store is borrowed. `found` is called from scrub_step for each damaged value:
 *   id       whose it is; NULL where that cannot be told
 *   what     which value, for people; borrowed
 *   is_news  the stream was not marked before; of what cannot be marked: this is the first round
 *   faults   ERR_NOMEM */
enum err scrub_new(struct store *store, uint64_t bytes_per_s,
    void (*found)(void *context, const struct id *id, const char *what, bool is_news),
    void *context, struct scrub **out) NODISCARD;
struct scrub *scrub_free(struct scrub *scrub); /* NULL is taken */

/* scrub_step — as much as the rate allows since the last step, at most SCRUB_STEP_BYTES; then scrub
 *   on from there. `now_ns` is monotonic.
 *   A round begins an hour after the one before, or later.
 *   answers ERR_FULL a mark could not be written: tried again in the next round
 *   faults  ERR_IO, ERR_CORRUPT (LMDB cannot walk), ERR_NOMEM; the table is then left for this round
 * scrub_wait_ns — from one step to the next. */
enum err scrub_step(struct scrub *scrub, int64_t now_ns) NODISCARD;
int64_t scrub_wait_ns(const struct scrub *scrub);

struct scrub_status {
    uint64_t bytes, values; /* checked */
    uint64_t rounds;        /* times that all has been */
    uint64_t damaged;       /* streams marked, now or by an earlier run; and what is of none */
};
void scrub_status(const struct scrub *scrub, struct scrub_status *out);

#endif
