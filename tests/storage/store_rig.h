/* store_rig — a store in a temporary directory, and streams whose every byte follows from (number,
 * seq), so that what is read can be checked without keeping what was written. */
#ifndef TOKENLOG_TESTS_STORAGE_STORE_RIG_H
#define TOKENLOG_TESTS_STORAGE_STORE_RIG_H

#include "storage/store.h"
#include "tests/sim/random.h"

struct rig {
    char path[64];
    struct store *store;
    struct block_codec *codec;
    uint64_t map_bytes;
};

enum { RIG_PROJECT = 7, RIG_RUN_BLOCKS_MAX = 512 };

void rig_open(struct rig *rig, uint64_t map_bytes); /* 0 = the usual */
void rig_reopen(struct rig *rig);
void rig_close(struct rig *rig); /* removes the directory */

/* rig_id — the ID of stream `number`; later numbers have later IDs. */
struct id rig_id(uint64_t number);
/* rig_event — event `seq` of stream `number`, as the whole of `out`. Multiples of 97 have 40 KB. */
void rig_event(uint64_t number, uint64_t seq, struct buf *out);
/* rig_bytes — of the events [0, to). */
uint64_t rig_bytes(uint64_t number, uint64_t to);

/* Blocks of the events [from, to), each of at most `capacity` bytes. */
struct rig_run {
    struct block *blocks[RIG_RUN_BLOCKS_MAX];
    size_t count;
};
void rig_run(struct rig_run *run, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity);
void rig_run_free(struct rig_run *run);
/* rig_put — [from, to) of a stream within a transaction. */
enum err rig_put(
    struct store_txn *txn, uint64_t number, uint64_t from, uint64_t to, uint32_t capacity);

/* rig_row — a row of stream `number` with a key of its own; the rest is the test's to change. */
struct row rig_row(uint64_t number, enum stream_state state, uint64_t events);
enum err rig_put_row(struct store_txn *txn, const struct row *row);
/* rig_get_row — slices are borrowed from `bytes`, which is initialised here. */
enum err rig_get_row(struct rig *rig, uint64_t number, struct buf *bytes, struct row *out);

struct store_txn *rig_begin(struct rig *rig);
void rig_commit(struct store_txn *txn, uint64_t absorbed_lsn);
/* rig_write — a whole ended stream of `events` events, with its row. */
void rig_write(struct rig *rig, uint64_t number, uint64_t events);

/* rig_check — the stream has exactly the events [0, events). */
void rig_check(struct rig *rig, uint64_t number, uint64_t events);
uint64_t rig_block_count(struct rig *rig, uint64_t number);
/* rig_verify — how many findings store_verify has; the last one is in `text`. */
enum { RIG_TEXT_BYTES = 200 };
size_t rig_verify(struct rig *rig, char text[RIG_TEXT_BYTES]);

#endif
