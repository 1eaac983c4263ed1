/* table — ordered tables of bytes over LMDB: transactions, lookups, walks; its errors translated.
 *
 * The only file that knows LMDB is table.c; the store above speaks of tables (schema.h) and slices.
 *
 *   thread  one thread at a time holds a writing view (it waits for the one before); any thread
 *           holds a reading one. A view stays in the thread that began it.
 *   source  lmdb.h 0.9.24                                                                       */
#ifndef TOKENLOG_STORAGE_TABLE_H
#define TOKENLOG_STORAGE_TABLE_H

#include "storage/schema.h"

struct tables;
struct view;

struct tables_options {
    bool is_read_only;
    uint64_t map_bytes; /* address space, and so the largest size; halved until it can be had */
};
/* tables_open — the file `path`, 0600, made if absent (and its lock file beside it).
 *   answers ERR_NOTFOUND (read only) · ERR_FULL · faults ERR_IO, ERR_CORRUPT, ERR_NOMEM
 *   A process opens a path once at a time (lmdb.h, on fcntl locks). */
enum err tables_open(
    const char *path, const struct tables_options *options, struct tables **out) NODISCARD;
struct tables *tables_close(struct tables *tables); /* NULL is taken; no view may be open */

/* tables_size — of the file, of the pages in use, of the entries of a table. */
struct tables_size {
    uint64_t file_bytes, used_bytes;
    uint64_t map_bytes; /* what the file may grow to */
    uint64_t entries[TABLE_COUNT];
};
enum err tables_size(struct tables *tables, struct tables_size *out) NODISCARD;

/* tables_copy — the bytes of a file with one state of all tables, to `fd` in their order; others
 * read and write meanwhile. The state is fixed before the first byte; pages that it needs are not
 * used again until the last one.
 *   is_compact  without free pages; only what is in use is read
 *   answers ERR_FULL · faults ERR_IO, also EPIPE (SIGPIPE is the caller's to block), ERR_CORRUPT */
enum err tables_copy(struct tables *tables, int fd, bool is_compact) NODISCARD;

/* view_begin — a transaction: one state of all tables, whatever others commit meanwhile. Keep
 *   reading views short: pages that they might look at are not used again.
 * view_commit — durable when it returns; frees the view, also on failure.
 * view_abort — NULL is taken.
 *   answers ERR_FULL the disk or the map is full. A writing view that has failed once is good for
 *           nothing but view_abort: every call repeats the failure
 *   faults  ERR_IO, ERR_CORRUPT, ERR_NOMEM */
enum err view_begin(struct tables *tables, bool is_writing, struct view **out) NODISCARD;
enum err view_commit(struct view *view) NODISCARD;
struct view *view_abort(struct view *view);
uint64_t view_bytes(const struct view *view); /* put so far */

/* tables_failure — the fault of a commit that failed, or ERR_OK. It is final: the page cache may show
 *   what the disk has lost, and a second flush would succeed without it (fsync(2)); so nothing more
 *   is written until the file is opened anew. Of a full disk nothing is lost, and a commit may be
 *   tried again. thread any */
enum err tables_failure(const struct tables *tables) NODISCARD;

/* view_get — answers ERR_NOTFOUND. The value is borrowed until the view ends or is written to.
 * view_put — replaces. answers ERR_FULL: also when STORE_RESERVE_BYTES would not stay free (less
 *            for small maps), which view_put_small and view_remove may use: what makes room must
 *            not need it. */
enum err view_get(
    struct view *view, enum table table, struct schema_key key, struct slice *out) NODISCARD;
enum err view_put(
    struct view *view, enum table table, struct schema_key key, struct slice value) NODISCARD;
enum err view_put_small(
    struct view *view, enum table table, struct schema_key key, struct slice value) NODISCARD;
/* view_remove — ERR_OK also if it was not there. */
enum err view_remove(struct view *view, enum table table, struct schema_key key) NODISCARD;

/* A walk over the entries of a table that begin with `prefix`, in order; in one view. `key` and
 * `value` are those of the entry walked to, borrowed until the view ends or is written to (begin a
 * new walk then).
 *   walk_first, walk_last, walk_next, walk_previous
 *   walk_from    the first entry with a key ≥ `key`
 *   walk_upto    the last entry with a key ≤ `key`
 *   answers  ERR_NOTFOUND: no such entry under the prefix */
struct walk {
    struct view *view;
    enum table table;
    struct schema_key prefix;
    struct slice key, value;
    void *cursor;
};
enum err walk_begin(
    struct view *view, enum table table, struct schema_key prefix, struct walk *out) NODISCARD;
void walk_end(struct walk *walk); /* before the view ends; a zeroed walk is taken */
enum err walk_first(struct walk *walk) NODISCARD;
enum err walk_last(struct walk *walk) NODISCARD;
enum err walk_next(struct walk *walk) NODISCARD;
enum err walk_previous(struct walk *walk) NODISCARD;
enum err walk_from(struct walk *walk, struct schema_key key) NODISCARD;
enum err walk_upto(struct walk *walk, struct schema_key key) NODISCARD;
/* walk_fetch — the value walked to will be read, all of it: have the disk asked for its pages at once,
 * not one page fault after the other. */
void walk_fetch(const struct walk *walk);

#endif
