/* replay — the journal's records become tails and deletions again.
 *
 * The records of a stream begin anywhere, since what is in the store may be gone from the journal:
 * at a row that says how many events came before it, or at an event whose number says so. Its row
 * is among them, unless all of it is in the store (tail.c's invariants). An event is there when
 * all its parts are; what came of an event before a crash cut it short is dropped, at the end or
 * when its number comes again.
 *
 *   thread  the loop's, while storage_open runs                                                 */
#ifndef TOKENLOG_STORAGE_REPLAY_H
#define TOKENLOG_STORAGE_REPLAY_H

#include "storage/ship.h"

struct replay {
    struct tails *tails; /* its ledger initialised */
    struct shipper *shipper;
    /* A row's project, so that its number is not given to another. */
    enum err (*project)(void *context, uint32_t number, struct slice name);
    void *context;
    uint64_t
        forward_bytes; /* a live row is journalled again when it is this old: it is so at once */
    uint64_t live_streams; /* out, of replay_finish: generations */
};

/* replay_record — for journal_open's callback.
 *   faults  ERR_UNSUPPORTED a record type of a later version · ERR_CORRUPT · ERR_NOMEM */
enum err replay_record(struct replay *replay, const struct record *record, uint64_t lsn) NODISCARD;
/* replay_deletions — what was deleted, or has expired, is so from the first query on: rows become
 *   tombstones in the store now, and tails go; the archiver, which is not running yet, removes what else there is.
 *   answers ERR_FULL the store has no room: the archiver will see to it all · faults the store's */
enum err replay_deletions(
    struct replay *replay, struct store *store, int64_t tombstone_ttl_s) NODISCARD;
/* replay_keys — a tail whose key has a newer attempt in the store, alone (of that one nothing is left
 *   to replay: it was deleted, say), must not be found by the key: tail_is_outdone.
 *   faults the store's */
enum err replay_keys(struct replay *replay, struct store *store) NODISCARD;
/* replay_finish — drop what is incomplete, and say so in the log; ended streams become ready to be
 * shipped, live ones are in tails->live. The ledger has been started. */
void replay_finish(struct replay *replay);

#endif
