/* slot — the ring of files that the journal's segments live in: which are free, which are needed
 * until the store has absorbed them, which are still to be made.
 *
 *            prepare: create, prefill, rename            take             absorbed
 *   ABSENT ──────────▶ BUSY ──────────────▶ FREE ───────────────▶ USED ────────────▶ FREE
 *     │  ▲              │ ▲ failed            take: created on the spot, not prefilled
 *     │  └─ size wrong ─┼─┼── OBSOLETE ◀──────────────────────────  │ (of another size)
 *     │      removed    ▼ │ prepare tries again
 *     │            UNAVAILABLE (no room on the disk)
 *     └───────────────────────── take ───────────────────────────▶ USED
 *
 * Free slots are taken in the order of their generations, oldest first: a batch that was cut from
 * an older segment can then not outlive the newer one that replaces it. The newest used slot is
 * never free, since its header and batches are what the counters are recovered from.
 *
 *   thread  the loop's; slot_ring_prepare is the archiver's, and hands over by `state` alone */
#ifndef TOKENLOG_STORAGE_SLOT_H
#define TOKENLOG_STORAGE_SLOT_H

#include <stdatomic.h>

#include "storage/bounds.h"
#include "storage/disk.h"

enum slot_state {
    SLOT_ABSENT,      /* no file */
    SLOT_BUSY,        /* a thread is making or removing it */
    SLOT_UNAVAILABLE, /* making it failed */
    SLOT_FREE,        /* a file of the right size with nothing needed in it */
    SLOT_USED,        /* holds a segment */
    SLOT_OBSOLETE,    /* a file of the wrong size or beyond the ring, with nothing needed in it */
};

struct slot {
    _Atomic enum slot_state state;
    struct disk_file *file; /* of USED, FREE, OBSOLETE; the ring's */
    uint64_t bytes;         /* size of the file */
    uint64_t generation;    /* of its segment, needed or not; 0 = none */
    uint64_t last_lsn;      /* USED: free once this is absorbed */
};

struct slot_ring {
    struct disk *disk;
    char *path; /* the data directory; owned */
    uint64_t segment_bytes;
    uint32_t segment_count;
    struct slot *newest; /* the segment begun last; NULL: none yet */
    struct slot slots[SEGMENT_COUNT_MAX];
};

/* slot_ring_open — open what files there are; each is USED until slot_ring_release looks at it.
 *   faults ERR_IO, ERR_NOMEM; the ring is to be closed then, too */
enum err slot_ring_open(struct slot_ring *ring, struct disk *disk, const char *path,
    uint64_t segment_bytes, uint32_t segment_count) NODISCARD;
void slot_ring_close(struct slot_ring *ring); /* takes one of zeros */

/* slot_ring_take — the slot of the next segment: USED from now on, and the newest. Its generation
 * and last_lsn are the caller's to set. answers ERR_FULL none is free, nor can be made now */
enum err slot_ring_take(struct slot_ring *ring, struct slot **out) NODISCARD;
/* slot_ring_release — free what holds nothing above `absorbed_lsn`. */
void slot_ring_release(struct slot_ring *ring, uint64_t absorbed_lsn);
/* slot_ring_clean — at start-up: remove what is obsolete, and slots that a crash left half made;
 * and make the names of the others durable, which the last process may not have come to.
 *   faults ERR_IO */
enum err slot_ring_clean(struct slot_ring *ring) NODISCARD;
/* How many slots can be taken, those counted that must be made first. */
uint32_t slot_ring_free_count(const struct slot_ring *ring);
/* Whether the disk had no room for the slot when it was last tried. */
bool slot_is_unavailable(const struct slot *slot);
/* Whether a segment lies in it that is needed until `last_lsn` is absorbed. */
bool slot_is_used(const struct slot *slot);
uint32_t slot_ring_index(const struct slot_ring *ring, const struct slot *slot);

/* slot_ring_prepare — make one free slot ahead, or remove an obsolete one; blocking. True: did. */
bool slot_ring_prepare(struct slot_ring *ring);

#endif
