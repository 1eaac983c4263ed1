/* entry — a name and the stream behind it: found, judged by its state, and taken away.
 *
 *   ABSENT ──create──▶ HERE ──delete──▶ ABSENT            no forks
 *                       └─────delete──▶ KEPT ──its last fork goes──▶ ABSENT
 *
 * Of each stream the newest state, durable or not, decides on what is written; what is told of it comes
 * from the visible one. A stream whose time is over is HERE until somebody looks: who finds it takes it
 * away, as its owner would have.
 *
 * Forks: a source counts those that were made of it, in its own state. The count goes up in the journal
 * just before a fork's first record, and down just after its deletion: a crash can leave it too high, never
 * too low. (Both are given to the journal in one turn, when it has room for both, and so share a batch but
 * for a very rare case.)
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_ENTRY_H
#define TOKENLOG_SERVER_DURABLE_ENTRY_H

#include "protocol/data/writer_state.h"
#include "server/stream/append.h"

enum standing {
    ENTRY_ABSENT, /* deleted, or not wholly created: its name is free */
    ENTRY_KEPT,   /* deleted, but for its forks: its name is taken */
    ENTRY_OVER,   /* to be taken away: its time is over, or its last fork is gone */
    ENTRY_HERE,
};

/* entry_state — the newest state; slices are borrowed from the row, until it is written to.
 *   faults ERR_CORRUPT
 * entry_state_visible — that which may be shown. answers ERR_NOTFOUND nothing of it is visible yet. */
enum err entry_state(const struct stream *stream, struct writer_state *out) NODISCARD;
enum err entry_state_visible(const struct stream *stream, struct writer_state *out) NODISCARD;
enum standing entry_standing(
    const struct stream *stream, const struct writer_state *state, int64_t now_ns);
/* entry_origin — what a fork was made of: `inherited` events of `source`; 0: it is none. */
enum err entry_origin(
    const struct stream *stream, struct id *source, uint64_t *inherited) NODISCARD;
/* entry_has_kin — it is a fork, or has forks: to be deleted by entry_remove alone. */
bool entry_has_kin(const struct stream *stream);
/* entry_tail — events before the next append, those inherited among them. entry_tail_visible — before
 * what is not visible yet. */
uint64_t entry_tail(const struct stream *stream);
uint64_t entry_tail_visible(const struct stream *stream);

/* entry_write — append_event with the state, encoded, and the stream's time begun anew.
 *   answers append_event's */
enum err entry_write(
    struct stream *stream, struct slice event, struct writer_state *state) NODISCARD;

/* entry_add_fork — one more reads it as its source, which counts as use of it.  answers append_event's;
 *   ERR_FULL also while a large event of it waits
 * entry_release — one less; if it was kept for that one alone it goes too, and what that was forked from is
 *   released. Done at once where the journal has room, else again until it has. */
enum err entry_add_fork(struct stream *source) NODISCARD;
void entry_release(struct stream *source);

/* entry_remove — delete it, or keep it for its forks; then what was kept for it alone. `done` once all
 * that is given to the journal, maybe before the call returns; the owner keeps the removal until then.
 *   answers (to done)  ERR_OK also if it is deleted already · ERR_BUSY a legal hold lies on it ·
 *                      append_event's, hub_open's */
struct removal {
    struct hub_lookup lookup;
    struct stream *stream;
    const char *reason;
    void (*done)(struct removal *removal, enum err err);
};
void entry_remove(struct stream *stream, const char *reason, struct removal *removal);
/* entry_is_over — for hub_on_over: false: it is no stream of this protocol, or one that has to do with no
 * other: the hub deletes it. A fork whose project has not called since the start waits until it does. */
bool entry_is_over(void *context, struct stream *stream);

#endif
