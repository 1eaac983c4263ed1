/* tail — a stream's memory: its row versions, its blocks, and how far each has come on its way to
 * disk.
 *
 *     given ≥ journalled ≥ durable ≥ shipped ≥ archived    (events, from the stream's start)
 *
 *     blocks   | dropped… | shipped, not acknowledged | sealed | open |
 *                          ▲ block_first               ▲ + shipped_blocks
 *
 * What is given goes to the journal at once when it is small and nothing of the tail waits; else it
 * waits in the tail's own blocks, in order, for its share of the journal (tails_write). Visible is
 * what is durable, or (is_memory) what is given.
 *
 * Internal to storage/: shared by tail.c, tail_block.c, tail_write.c (in), ship.c (to the archiver)
 * and replay.c (from the journal); the rest of the program sees storage.h.
 *
 *   thread  the loop's; sealed blocks are read by the archiver                                   */
#ifndef TOKENLOG_STORAGE_TAIL_H
#define TOKENLOG_STORAGE_TAIL_H

#include <stdalign.h>

#include "protocol/base/map.h"
#include "storage/ledger.h"
#include "storage/storage.h"

enum {
    /* Of an EVENT record, beside RECORD_LAST: it begins its event. What came of an event before a
     * crash cut it short is so told from the event that took its number afterwards. */
    TAIL_RECORD_FIRST = 2,
};

/* The tails of one storage, and what they share. */
struct tails {
    struct ledger ledger;
    const struct storage_host *host;
    bool is_memory;
    struct map by_number;
    struct list changed; /* to be told so */
    struct list writing; /* something waits for its share of the journal */
    struct list aging;   /* something is unshipped; oldest first */
    struct list ready;   /* something is to be shipped now */
    struct list live; /* those whose row must stay in the journal, by the position of that record */
    struct list leaving;      /* all archived */
    uint64_t commit_bytes;    /* the journal's position: bytes written, as of the last tick */
    uint64_t forward_bytes;   /* of it between two records of a live stream's row; 0: not set yet */
    uint64_t block_bytes;     /* memory of all blocks */
    uint64_t queued_bytes;    /* events and bodies not journalled yet */
    uint64_t queue_bytes_max; /* of them */
    uint64_t queued_event_bytes;
    uint64_t ready_bytes;     /* since the last shipment */
    bool is_ended_ready;      /* some tail in `ready` has ended */
    size_t share_bytes;       /* of the journal, left until the next commit */
    uint64_t room_bytes;      /* left of it for events and bodies until the next tick; what is kept
                           * back is for rows and deletes, without which nothing gets absorbed */
    uint64_t event_bytes_max; /* of one event: it holds its place until its last part is there */
    bool is_forwarded;        /* a row was, and the absorbed position is to be told */
};

struct row_version {
    struct list node;
    struct buf bytes; /* encoded */
    struct row row;   /* decoded; slices point into `bytes` */
    uint64_t hold;
    uint64_t place; /* the tail's first is 1 */
    bool is_journalled, is_shipped;
};

struct tail_block {
    struct block *block;
    uint64_t hold; /* of its first frame's record; 0 before that is journalled, and once shipped */
};

enum tail_place {
    TAIL_CLEAN,
    TAIL_AGING,
    TAIL_READY,
    TAIL_LEAVING /* an open one may come back, until it is told so */
};               /* which list tail->ship is in */

/* What each event touches comes first, so that it lies in three cache lines: with many streams each
 * line is a miss, and costs more than all that is done with it. */
struct tail {
    alignas(CACHE_LINE_BYTES) struct tails *tails;
    void *owner;
    struct block *open; /* the last of `blocks`, while it is appended to; or NULL */
    struct list changed;
    uint64_t number;
    uint64_t events, bytes; /* given; whole events */
    int64_t last_event_ns;
    uint64_t journalled_events, durable_events;
    struct tail_block *blocks; /* a queue in an array, which an event does not touch */
    size_t block_first, block_count;
    size_t shipped_blocks; /* of block_count */
    uint64_t shipped_bytes;
    size_t queued_frames; /* not journalled; the first of them is… */
    uint32_t queued_rows; /* of the versions; not journalled */
    enum tail_place place;
    bool is_closed;   /* the newest row is final */
    bool is_finished; /* ended, and all has been shipped */
    bool is_unwanted; /* nobody minds if it leaves, open, once it is at rest */
    bool is_unnamed;  /* reopened: no row of it is in the journal */
    bool is_aged;     /* a block was sealed for its age: it goes as soon as it is durable */
    uint32_t next_capacity;

    struct map_node by_number;
    struct list writing, ship, live;
    int64_t aging_since_ns; /* monotonic */
    uint32_t project;
    struct id id;

    struct list versions;   /* of the row: the durable one, if any, and those after it */
    uint64_t version_count; /* ever given */
    struct row_version *durable;
    uint64_t row_position; /* tails->commit_bytes when the row was last journalled */
    uint64_t forward_hold; /* of a forwarded row on its way */

    uint64_t shipped_events;
    size_t block_capacity;
    size_t write_block;   /* …in this block after block_first… */
    uint32_t write_frame; /* …this frame */

    struct list body;       /* of archive_item, by offset: durable, journalled, queued */
    struct list *body_next; /* first queued; &body if none */
    size_t body_durable;
    uint64_t body_hold;
    struct list asides; /* of archive_item: durable, journalled */
    size_t asides_durable;
    uint64_t asides_hold;
    uint32_t aside_count; /* given so far; a ROW record carries it as its seq */

    uint32_t flights;     /* shipments that carry something of it */
    uint32_t block_items; /* shipped so far: whether a merge is worth it */
    uint32_t
        partial_parts; /* replay: trailing blocks of an event whose last part is not there yet */
    uint64_t partial_bytes;
    bool is_broken;  /* replay: records are missing */
    bool is_outdone; /* replay: the store has a newer attempt of its key */
};

void tails_init(struct tails *tails, const struct storage_host *host, bool is_memory);
void tails_deinit(struct tails *tails); /* frees every tail */
struct tail *tails_find(const struct tails *tails, uint64_t number);
/* tails_add — an empty tail. faults ERR_NOMEM.  tail_free — unlinks it from everything. */
enum err tails_add(struct tails *tails, uint64_t number, struct tail **out) NODISCARD;
struct tail *tail_free(struct tail *tail);
/* tail_durable — a record of it, of this kind, is durable.
 * tail_set_changed — its watcher is to be told. */
void tail_durable(struct tail *tail, enum ledger_kind kind);
void tail_set_changed(struct tail *tail);

/* Row versions. row_version_new — a copy of `row`, encoded and decoded.
 * tail_add_version — as the newest: the tail's from here on.
 * tail_set_durable — `version` is durable: older ones go. tail_newest — NULL before the first. */
enum err row_version_new(const struct row *row, struct row_version **out) NODISCARD;
struct row_version *row_version_free(struct row_version *version);
void tail_set_durable(struct tail *tail, struct row_version *version);
void tail_add_version(struct tail *tail, struct row_version *version);
struct row_version *tail_newest(const struct tail *tail);

/* Shipping. tail_touch — something of it is unshipped: it ages.
 * tail_make_ready — to be shipped now.
 * tail_check_ready — if what became durable is worth it. */
void tail_touch(struct tail *tail);
void tail_make_ready(struct tail *tail);
void tail_check_ready(struct tail *tail);
/* tail_check_leaving — an open one that nobody wants, if it is at rest (reopen.h). */
void tail_check_leaving(struct tail *tail);
void tail_set_place(struct tail *tail, enum tail_place place);
bool tail_has_unshipped(const struct tail *tail);
bool tail_is_ended_durably(const struct tail *tail); /* in the journal, whatever is_memory says */

#endif
