/* store_rig — a store in a temporary directory, and streams whose every byte follows from (number,
 * seq), so that what is read can be checked without keeping what was written. */
#ifndef TOKENLOG_TESTS_STORAGE_STORE_RIG_H
#define TOKENLOG_TESTS_STORAGE_STORE_RIG_H

#include "storage/store.h"
#include "tests/sim/random.h"

struct store_rig {
    char path[64];
    struct store *store;
    struct block_codec *codec;
    uint64_t map_bytes;
};

enum { RIG_PROJECT = 7, RIG_RUN_BLOCKS_MAX = 512 };

void store_rig_open(struct store_rig *rig, uint64_t map_bytes); /* 0 = the usual */
void store_rig_reopen(struct store_rig *rig);
void store_rig_close(struct store_rig *rig); /* removes the directory */

/* store_rig_id — the ID of stream `number`; later numbers have later IDs. */
struct id store_rig_id(uint64_t number);
/* store_rig_event — event `seq` of stream `number`, as the whole of `out`; some have 40 KB. */
void store_rig_event(uint64_t number, uint64_t seq, struct buf *out);
/* store_rig_bytes — of the events [0, to). */
uint64_t store_rig_bytes(uint64_t number, uint64_t to);

/* Blocks of the events [from, to), each of at most `capacity` bytes. */
struct store_rig_run {
    struct block *blocks[RIG_RUN_BLOCKS_MAX];
    size_t count;
};
void store_rig_run(
    struct store_rig_run *run, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity);
void store_rig_run_free(struct store_rig_run *run);
/* store_rig_put — [from, to) of a stream within a transaction. */
enum err store_rig_put(
    struct store_txn *txn, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity);

/* store_rig_row — a row of stream `number` with a key of its own; change the rest. */
struct row store_rig_row(uint64_t number, enum stream_state state, uint64_t events);
enum err store_rig_put_row(struct store_txn *txn, const struct row *row);
/* store_rig_get_row — slices are borrowed from `bytes`, which is initialised here. */
enum err store_rig_get_row(
    struct store_rig *rig, uint64_t number, struct buf *bytes, struct row *out);

struct store_txn *store_rig_begin(struct store_rig *rig);
void store_rig_commit(struct store_txn *txn, uint64_t absorbed_lsn);
/* store_rig_write — a whole ended stream of `events` events, with its row. */
void store_rig_write(struct store_rig *rig, uint64_t number, uint64_t events);

/* store_rig_check — the stream has exactly the events [0, events). */
void store_rig_check(struct store_rig *rig, uint64_t number, uint64_t events);
uint64_t store_rig_block_count(struct store_rig *rig, uint64_t number);
/* store_rig_verify — how many findings store_verify has; the last one is in `text`. */
enum { RIG_TEXT_BYTES = 200 };
size_t store_rig_verify(struct store_rig *rig, char text[RIG_TEXT_BYTES]);

#endif
