/* store — the LMDB environment: rows, callers' keys, blocks, request bodies, asides, expiry; and its reading and writing.
 *
 *   database   key                                                    value
 *   meta       "format" "uuid" "epoch" "absorbed" "projects/<n>"      see schema.h
 *   rows       project u32 ‖ id 16                                    row (protocol/data/row.h), or its tombstone
 *   keys       project u32 ‖ SHA-256(key) 32                          id 16 of the newest attempt ‖ the key itself
 *   blocks     project u32 ‖ number u64 ‖ first seq u64 ‖ part u32    stored block (block.h)
 *   bodies     project u32 ‖ number u64 ‖ index u32                   piece of the request body: zstd, CRC-32C
 *   asides     project u32 ‖ number u64 ‖ index u32                   event hidden from the caller ‖ its position
 *   expiry     expires_ns u64 ‖ project u32 ‖ id 16                   (empty)
 *   all numbers big-endian, so that LMDB's byte order is the order of things; the one table of layouts is schema.h
 *
 * LMDB runs in its default, synced mode: a committed transaction survives a power cut. NORDAHEAD, NOTLS, a 1 TiB map reserved up
 * front. One thread writes (the archiver's); any thread reads, each call in a transaction of its own that ends before it returns.
 *   source  lmdb.h; measurements in design notes: NOSYNC and NOMETASYNC lose or corrupt, so they are never used            */
#ifndef TOKENLOG_STORAGE_STORE_H
#define TOKENLOG_STORAGE_STORE_H

#include "protocol/data/row.h"
#include "storage/block.h"

struct store;

/* store_open — open or create DIR/store.lmdb (0600). Checks format and UUID; a newer format is ERR_UNSUPPORTED by name.
 *   read_only never writes and opens beside a running server only when nothing holds the data directory's lock (the caller's check). */
enum err store_open(const char *path, bool read_only, int zstd_level, struct store **out) NODISCARD;
struct store *store_close(struct store *store);
void store_uuid(const struct store *store, uint8_t out[16]);
uint64_t store_absorbed_lsn(const struct store *store);
/* store_next_epoch — raise and persist the boot epoch (blocking commit; start-up only). Stream numbers are epoch << 32 | counter. */
enum err store_next_epoch(struct store *store, uint32_t *epoch) NODISCARD;
struct store_size { uint64_t file_bytes, used_bytes, rows; };
void store_size(const struct store *store, struct store_size *out);

/* Writing: one transaction at a time, archiver's thread. Any failure poisons it: store_abort, then begin anew.
 *   answers ERR_FULL (disk or map full) · faults ERR_IO, ERR_CORRUPT, ERR_NOMEM */
struct store_txn;
enum err store_begin(struct store *store, struct store_txn **out) NODISCARD;
enum err store_commit(struct store_txn *txn, uint64_t absorbed_lsn) NODISCARD; /* frees txn, also on failure; absorbed_lsn 0 leaves it as it is */
void store_abort(struct store_txn *txn);
uint64_t store_txn_bytes(const struct store_txn *txn); /* values put so far */
/* store_put_row — replaces the stream's row, points its key at it, keeps `expiry` in step (ended_ns + ttl_s), remembers the project's name. */
enum err store_put_row(struct store_txn *txn, struct slice encoded_row) NODISCARD;
/* store_put_blocks — the frames of consecutive blocks of one stream; what is stored already (by seq and part) is skipped, so a repeat changes nothing. */
enum err store_put_blocks(struct store_txn *txn, uint32_t project, uint64_t number, struct block *const *blocks, size_t count) NODISCARD;
/* store_merge — after the end: small neighbouring stored blocks become full ones. */
enum err store_merge(struct store_txn *txn, uint32_t project, uint64_t number) NODISCARD;
enum err store_put_body(struct store_txn *txn, uint32_t project, uint64_t number, uint64_t offset, struct slice piece) NODISCARD; /* idempotent */
enum err store_put_aside(struct store_txn *txn, uint32_t project, uint64_t number, uint32_t index, uint64_t before_seq, struct slice event) NODISCARD;
/* store_delete — remove up to `values_max` of the stream's values; ERR_AGAIN: more are left, call again in a next transaction.
 *   When done the row becomes a tombstone (state deleted, `reason`), which itself expires after tombstone_ttl_s. */
enum err store_delete(struct store_txn *txn, uint32_t project, const struct id *id, struct slice reason, int64_t now_ns, int64_t tombstone_ttl_s, size_t values_max) NODISCARD;
/* store_expired — up to `count` streams whose expiry has passed, oldest first; tombstones included (those are to be dropped: store_drop_row). */
struct store_expired { uint32_t project; struct id id; bool is_tombstone; };
enum err store_expired(struct store *store, int64_t now_ns, struct store_expired *out, size_t count, size_t *found) NODISCARD;
enum err store_drop_row(struct store_txn *txn, uint32_t project, const struct id *id) NODISCARD;

/* Reading, any thread: `codec` is the calling thread's own. Row bytes are copied into `out` (decode them there).
 *   answers ERR_NOTFOUND · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM */
enum err store_get_row(struct store *store, uint32_t project, const struct id *id, struct buf *out) NODISCARD;
enum err store_find_key(struct store *store, uint32_t project, struct slice key, struct id *out) NODISCARD;
/* store_get_block — the stored block that holds part 0 of event `seq` … or, for part > 0, exactly that continuation. */
enum err store_get_block(struct store *store, struct block_codec *codec, uint32_t project, uint64_t number, uint64_t seq, uint32_t part, struct block **out) NODISCARD;
enum err store_get_body(struct store *store, uint32_t project, uint64_t number, uint64_t offset, struct buf *out) NODISCARD; /* one piece from `offset`; ERR_CLOSED at the end */
enum err store_project_number(struct store *store, struct slice name, uint32_t *out) NODISCARD;
enum err store_project_walk(struct store *store, enum err (*visit)(void *context, uint32_t number, struct slice name), void *context) NODISCARD;
/* store_list — rows of a project, newest first, from before `before` (NULL: from the newest), each to `visit` (borrowed) until it
 * returns ERR_CLOSED or `rows_max` have been looked at. project 0 = all projects (offline tools). */
enum err store_list(struct store *store, uint32_t project, const struct id *before, size_t rows_max, enum err (*visit)(void *context, const struct row *row), void *context) NODISCARD;
/* store_verify — walk everything: decode every row, block and body piece, check dense seqs, counts and offsets against the rows. Each finding to `report`. */
enum err store_verify(struct store *store, void (*report)(void *context, const struct id *id, const char *what), void (*progress)(void *context, uint64_t done, uint64_t total), void *context) NODISCARD;

#endif
