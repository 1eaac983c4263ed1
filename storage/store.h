/* store — rows, callers' keys, blocks, request bodies, asides and their expiry, in LMDB: lookup and
 * long life for what the journal has made durable. The tables and keys are drawn in schema.h.
 *
 * LMDB runs in its default, synced mode: a committed transaction survives a power cut. NORDAHEAD,
 * NOTLS, a 1 TiB map reserved up front. One thread writes (the archiver's); any thread reads, each
 * call in a transaction of its own that ends before it returns.
 *
 * All writing can be repeated: after a crash the same things come again, cut another way, and what
 * is stored already is skipped. Two rules keep a repeat from undoing what came later: a row gives
 * way only to a later state of itself, and a deleted stream takes nothing any more.
 *
 *   source  lmdb.h; measurements in design notes: NOSYNC and NOMETASYNC lose or corrupt, so they
 *           are never used */
#ifndef TOKENLOG_STORAGE_STORE_H
#define TOKENLOG_STORAGE_STORE_H

#include "protocol/data/row.h"
#include "storage/block_cache.h"

struct store;

/* store_open — open or create DIR/store.lmdb (0600). Checks format and UUID; a newer format is
 * ERR_UNSUPPORTED by name.
 *   read_only  never writes, and may be opened beside a running server by another process; what is
 *              read is then the store alone, without the journal. answers ERR_NOTFOUND
 *   answers    ERR_FULL no room for an empty one · faults ERR_IO, ERR_CORRUPT, ERR_NOMEM
 * store_open_sized — with a map, and so a file, of at most `map_bytes` */
enum err store_open(const char *path, bool read_only, int zstd_level, struct store **out) NODISCARD;
enum err store_open_sized(const char *path, bool read_only, int zstd_level, uint64_t map_bytes,
    struct store **out) NODISCARD;
struct store *store_close(struct store *store); /* NULL is taken */
/* store_set_cache — what is deleted is forgotten there too; borrowed, NULL: none. Before any write. */
void store_set_cache(struct store *store, struct block_cache *cache);
void store_uuid(const struct store *store, uint8_t out[16]);
uint64_t store_absorbed_lsn(const struct store *store); /* of the last commit; any thread */
/* store_closed_lsn — the last LSN that the journal had when the store was last closed in good order;
 *   0 if it was not. Until the next store_next_epoch, which takes it back.
 * store_mark_closed — the journal ends with `lsn`, and nothing writes to it any more (blocking). */
uint64_t store_closed_lsn(const struct store *store);
enum err store_mark_closed(struct store *store, uint64_t lsn) NODISCARD;
/* store_failure — a commit has failed for good (tables_failure): nothing more can be stored until the
 * next store_open; any thread */
enum err store_failure(const struct store *store) NODISCARD;
/* store_next_epoch — raise and persist the boot epoch (blocking commit; start-up only). Stream
 * numbers are epoch << 32 | counter. */
enum err store_next_epoch(struct store *store, uint32_t *epoch) NODISCARD;

/* store_read_absorbed — the absorbed position of the last commit of any process. */
enum err store_read_absorbed(struct store *store, uint64_t *out) NODISCARD;
/* store_copy — tables_copy: the bytes of a store file with one state, to `fd`. See snapshot.h. */
enum err store_copy(struct store *store, int fd, bool is_compact) NODISCARD;

struct store_size {
    uint64_t file_bytes, used_bytes, rows;
    uint64_t map_bytes; /* what the file may grow to: address space that was had */
};
void store_size(const struct store *store, struct store_size *out); /* zeros if it cannot tell */

/* Writing: one transaction at a time, archiver's thread. Any failure poisons it: store_abort, then
 * begin anew.
 *   answers ERR_FULL (disk or map full) · faults ERR_IO, ERR_CORRUPT, ERR_NOMEM */
struct store_txn;
enum err store_begin(struct store *store, struct store_txn **out) NODISCARD;
/* store_commit — frees txn, also on failure; absorbed_lsn 0 leaves it as it is */
enum err store_commit(struct store_txn *txn, uint64_t absorbed_lsn) NODISCARD;
/* store_touch — a commit of nothing new. LMDB uses the pages that one commit frees only after the
 * next: where nothing else can be committed, this frees them. */
enum err store_touch(struct store *store) NODISCARD;
void store_abort(struct store_txn *txn);               /* NULL is taken */
uint64_t store_txn_bytes(const struct store_txn *txn); /* put so far */

/* A row's upstream_id is a key of its project too, behind this byte: no caller's key begins with it
 * (server/stream/append.h has others of the kind). */
enum { KEY_SPACE_UPSTREAM = 3 };

/* store_put_row — replaces the stream's row unless what is stored is later (accepted < streaming <
 * ended < deleted, then by events); points its key and its upstream_id at it (the newest attempt wins), keeps the
 * expiry in step (row_expires_ns), keeps amendments, remembers the project's name. A stream's final row belongs in
 * or after the transaction with its last blocks. */
enum err store_put_row(struct store_txn *txn, struct slice encoded_row) NODISCARD;
/* store_put_blocks — the frames of consecutive blocks of one stream. What is stored already, by seq
 * and part, is skipped, however it was cut; the rest must follow on it without a gap (ERR_CORRUPT).
 * Nothing is stored of a stream that is deleted. An event that is not whole may end a stream that
 * never goes on; readers stop at the row's count. */
enum err store_put_blocks(struct store_txn *txn, uint32_t project, uint64_t number,
    const struct block_run *run) NODISCARD;
/* store_merge — after the end: small neighbouring stored blocks become full ones. A step at a time,
 *   `from` starting as 0, 0. answers ERR_AGAIN: more is left; go on in this or the next one */
enum err store_merge(struct store_txn *txn, uint32_t project, uint64_t number,
    struct block_position *from) NODISCARD;
/* store_put_body — a piece (≤ FRAGMENT_BYTES_MAX) of the request body, in order. */
enum err store_put_body(struct store_txn *txn, uint32_t project, uint64_t number, uint64_t offset,
    struct slice piece) NODISCARD;
/* store_put_aside — the stream's aside 0, 1, 2…, which came before event `before_seq`. */
enum err store_put_aside(struct store_txn *txn, uint32_t project, uint64_t number, uint32_t index,
    uint64_t before_seq, struct slice event) NODISCARD;

/* store_close_stream — all of an ended stream is stored: it goes into its project's audit log
 * (audit.h). `encoded_row` is its final row. */
enum err store_close_stream(struct store_txn *txn, struct slice encoded_row) NODISCARD;

/* store_delete — the row becomes a tombstone at once (state deleted, `reason`, ended_ns = now_ns,
 *   no metadata nor head), which itself expires after tombstone_ttl_s (0: never); then the stream's
 *   values are removed, up to *values_left, which is counted down.
 *   answers  ERR_AGAIN more are left: call again in a next transaction (after a crash store_expired
 *            asks for it) · ERR_NOTFOUND no such row · ERR_DENIED it is held
 * store_drop_row — forget a tombstone, its number and key. ERR_INVALID: it is not one */
struct store_deletion {
    uint32_t project;
    struct id id;
    struct slice reason;
    int64_t now_ns;
    int64_t tombstone_ttl_s;
};
enum err store_delete(
    struct store_txn *txn, const struct store_deletion *deletion, size_t *values_left) NODISCARD;
enum err store_drop_row(struct store_txn *txn, uint32_t project, const struct id *id) NODISCARD;

/* store_amend — what others than its writer say of a stream: kept through later versions of its row,
 * and possible on a full disk.
 *   HOLD, RELEASE  a held stream neither expires nor can be deleted (store_delete: ERR_DENIED)
 *   TOUCH          it was read at time_ns; an earlier time changes nothing
 *   DAMAGE         `damage` of it can not be read any more; the first report is kept
 *   answers  ERR_NOTFOUND no such row, or a tombstone */
enum store_amendment_kind { AMEND_HOLD, AMEND_RELEASE, AMEND_TOUCH, AMEND_DAMAGE };
struct store_amendment {
    enum store_amendment_kind kind;
    uint32_t project;
    struct id id;
    int64_t time_ns;     /* TOUCH */
    struct slice damage; /* DAMAGE */
};
enum err store_amend(struct store_txn *txn, const struct store_amendment *amendment) NODISCARD;
/* store_mark_damage — AMEND_DAMAGE of the stream with this number, for what finds it by its values;
 * *is_news: nothing was known of it. *id is whose it is.
 *   answers ERR_NOTFOUND the number leads to no row that can be read
 * store_damage_of — which stored value of a stream fails its checksum, as text. answers ERR_NOTFOUND
 *   none does */
enum { DAMAGE_TEXT_BYTES = 64 };
enum err store_mark_damage(struct store_txn *txn, uint32_t project, uint64_t number,
    struct slice damage, struct id *id, bool *is_news) NODISCARD;
enum err store_damage_of(struct store_txn *txn, uint32_t project, uint64_t number,
    char what[DAMAGE_TEXT_BYTES]) NODISCARD;

/* store_expired — up to `count` ended streams whose expiry has passed, oldest first: tombstones that are
 * to be dropped, streams that are to be deleted, and those whose deletion a crash has cut short. */
struct store_expired {
    uint32_t project;
    struct id id;
    bool is_tombstone;
};
enum err store_expired(struct store *store, int64_t now_ns, struct store_expired *out, size_t count,
    size_t *found) NODISCARD;

/* store_over — up to `rows_max` open rows that clients write, of all projects, whose expiry has passed,
 * oldest first, each to `visit` (borrowed). They are the server's to end: not among store_expired's. */
enum err store_over(struct store *store, int64_t now_ns, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context) NODISCARD;

/* store_oldest — up to `count` ended streams that are not held, of all projects, oldest first, whose
 * IDs are above `after`: what goes when the store is too large. *is_end: the last of them were
 * looked at; else `after` has moved, and there may be more even if none were found. */
enum err store_oldest(struct store *store, struct id *after, struct store_expired *out,
    size_t count, size_t *found, bool *is_end) NODISCARD;

/* store_tables — for what walks them all (scrub.h); borrowed. */
struct tables;
struct tables *store_tables(struct store *store);
/* store_audit_key — the private key that signs the audit log's heads. answers ERR_NOTFOUND */
enum err store_audit_key(const struct store *store, uint8_t out[ED25519_BYTES]) NODISCARD;

/* Reading, any thread: `codec` is the calling thread's own. What is copied into `out` is appended.
 *   answers ERR_NOTFOUND · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM
 *   store_get_row    the encoded row: decode it there
 *   store_find_key   the newest attempt of a caller's key; store_newest_attempt: its number
 *   store_get_block  the stored block that holds part `part` of event `seq`
 *   store_get_body   the body from `offset` to the end of the piece that holds it; ERR_CLOSED at
 *                    the body's end, also if there is none
 *   store_get_aside  the event, and its place in *before_seq */
enum err store_get_row(
    struct store *store, uint32_t project, const struct id *id, struct buf *out) NODISCARD;
enum err store_find_key(
    struct store *store, uint32_t project, struct slice key, struct id *out) NODISCARD;
enum err store_newest_attempt(
    struct store *store, uint32_t project, struct slice key, uint32_t *attempt) NODISCARD;
enum err store_get_block(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint64_t seq, uint32_t part, struct block **out) NODISCARD;
enum err store_get_body(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint64_t offset, struct buf *out) NODISCARD;
enum err store_get_aside(struct store *store, struct block_codec *codec, uint32_t project,
    uint64_t number, uint32_t index, uint64_t *before_seq, struct buf *out) NODISCARD;
enum err store_project_number(struct store *store, struct slice name, uint32_t *out) NODISCARD;
/* store_project_walk — each project, by number; an answer of `visit` but ERR_OK ends the walk and
 * is the result. `name` is borrowed for the call. */
enum err store_project_walk(struct store *store,
    enum err (*visit)(void *context, uint32_t number, struct slice name), void *context) NODISCARD;
/* store_list — rows of a project, newest first, from before `before` (NULL: from the newest), each
 * to `visit` (borrowed) until that returns ERR_CLOSED, `rows_max` have been looked at, or there are
 * no more: ERR_OK all three. Another answer of `visit` ends it too, and is the result.
 *   project  0 = all projects (offline tools; ERR_LIMIT past LIST_PROJECTS_MAX of them) */
enum err store_list(struct store *store, uint32_t project, const struct id *before, size_t rows_max,
    enum err (*visit)(void *context, const struct row *row), void *context) NODISCARD;

/* store_verify — walk everything: decode every row, block and body piece, check dense seqs, counts
 * and offsets against the rows, and every index against what it points to. Each finding goes to
 * `report` (`id` NULL: of no known stream); ERR_OK also with findings. `progress` (may be NULL)
 * gets the values done and their total. */
enum err store_verify(struct store *store,
    void (*report)(void *context, const struct id *id, const char *what),
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context) NODISCARD;

#endif
