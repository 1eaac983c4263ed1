/* ship — from the tails to the archiver: what is durable goes in bundles, and is forgotten here
 * when the archiver says that it is stored.
 *
 *     aging ──(old, full or ended)──▶ ready ──(bundle)──▶ in flight ──(stored)──▶ dropped
 *       ▲                               │                                          │
 *       └────── not durable yet ◀───────┘                     ended, all stored ──▶ tails->leaving
 *
 * Bundles are stored in the order in which they are submitted. Each says up to which LSN everything
 * is in the store when it is: so a hold is let go of as soon as its thing is in a bundle.
 *
 *   thread  the loop's                                                                          */
#ifndef TOKENLOG_STORAGE_SHIP_H
#define TOKENLOG_STORAGE_SHIP_H

#include "storage/deletion.h"
#include "storage/tail.h"

struct shipper {
    struct tails *tails;
    struct archiver *archiver;
    struct journal *journal;
    int64_t archive_after_ns;
    struct list flights;   /* shipments that the archiver has */
    struct list deletions; /* all that are not shipped, in the order of their records */
    size_t durable_deletions;
    uint64_t flight_bytes;
    int64_t ready_since_ns; /* monotonic; something waits to be shipped since; 0: nothing does */
    bool is_draining;       /* do not wait for age or size */
    uint32_t used_percent;  /* of the journal: as it fills up, wait less */
    enum err failure;       /* the archiver's; nothing is shipped any more */
};

void shipper_init(struct shipper *shipper, struct tails *tails, int64_t archive_after_ns);
void shipper_start(struct shipper *shipper, struct archiver *archiver, struct journal *journal);
/* shipper_deinit — the archiver has been stopped. Shipments it never answered are freed. */
void shipper_deinit(struct shipper *shipper);
/* shipper_tick — what is old enough becomes ready; what is ready is shipped if it is time.
 * shipper_wake_ns — when that is worth calling again, if nothing happens before; INT64_MAX: not. */
void shipper_tick(struct shipper *shipper, int64_t now_ns);
int64_t shipper_wake_ns(const struct shipper *shipper);
bool shipper_is_idle(const struct shipper *shipper);
/* shipper_delete — takes the deletion, whose record is in the journal (durable: already so). */
void shipper_delete(struct shipper *shipper, struct deletion *deletion, bool is_durable);
void shipper_deletion_durable(struct shipper *shipper, struct deletion *deletion);

#endif
