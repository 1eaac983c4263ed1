/* table — see table.h. LMDB 0.9.24 in its default mode: a commit writes the pages, flushes, writes
 * the meta page, flushes; what has returned survives a power cut. Its traps, and what is done:
 *
 *   a failed put poisons its transaction      view->err repeats the failure until the abort
 *   the map cannot grow under a reader        a large one is reserved at the start, never resized
 *   a full map or disk fails deletes too      puts leave a reserve (room_of) that deletes may use
 *   a short write on a full disk gives EIO    EIO on a disk without free space is read as full
 *   a parked reader pins pages for ever       every read is one short view
 *   its lock file is written by a map         allocated first: a full disk would be a SIGBUS
 *   a new file is no store until its first    made under another name, and renamed when it is whole
 *     flush: a power cut leaves anything
 *   a failed flush may have lost what the     the last commit that this file sees: nothing more is
 *     page cache still shows (fsync(2))       written until another process opens it, and that one
 *                                             flushes what it finds before it believes it
 *   after a failed meta page it does not      readers go on in a second, read-only environment of
 *     even read any more (MDB_PANIC)            the same file, which nobody writes to by then
 *   DUPSORT and cursor deletes had bugs       neither is used */
#include "storage/table.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"

enum {
    FILE_MODE = 0600,
    PUT_OVERHEAD_BYTES = 512,    /* a small entry, and its share of split and branch pages */
    LEAF_VALUE_BYTES_MAX = 2000, /* about; larger values have pages of their own */
    LOCK_FILE_BYTES = 8192,      /* LMDB's, for STORE_READERS_MAX */
    RESERVE_DIVISOR = 8,         /* of a map too small for STORE_RESERVE_BYTES */
};

struct env {
    MDB_env *lmdb; /* NULL: not open */
    MDB_dbi handles[TABLE_COUNT];
};

struct tables {
    struct env main;
    struct env rescue; /* opened when the main one has panicked */
    pthread_mutex_t rescuing;
    uint64_t map_bytes;
    uint64_t page_bytes;
    bool is_read_only;
    char *path;
    atomic_int failure; /* enum err of a commit that failed for good */
};

struct view {
    struct tables *tables;
    const struct env *env;
    MDB_txn *txn;
    bool is_writing;
    enum err err;         /* of the first failure; what is left is the abort */
    uint64_t bytes;       /* put */
    uint64_t pages_bytes; /* that those will take */
    uint64_t room_bytes;  /* that may be taken; looked at before the first put */
    bool has_room;
};

/* Space that others of this file system's users have left us. */
static uint64_t disk_free(const struct tables *tables)
{
    struct statvfs stat;
    if (statvfs(tables->path, &stat) != 0)
        return UINT64_MAX; /* not known: let the write decide */
    return (uint64_t)stat.f_bavail * stat.f_frsize;
}

static enum err translate(const struct tables *tables, int code, const char *what)
{
    switch (code) {
    case MDB_SUCCESS: return ERR_OK;
    case MDB_NOTFOUND: return ERR_NOTFOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ERR_FULL;
    case ENOMEM: return fault(ERR_NOMEM, "%s: %s", what, mdb_strerror(code));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH: return fault(ERR_CORRUPT, "%s: %s", what, mdb_strerror(code));
    case EIO:
        if (disk_free(tables) < STORE_RESERVE_BYTES)
            return ERR_FULL;
        break;
    default: break;
    }
    return fault(ERR_IO, "%s: %s", what, mdb_strerror(code));
}

/* LMDB writes its lock file through a map: without room for its pages that is a SIGBUS, no error.
 * Whatever else keeps it from being made is for LMDB to say. */
static enum err allocate_lock_file(const struct tables *tables)
{
    CLEANUP(cleanup_free) char *path = NULL;
    if (asprintf(&path, "%s-lock", tables->path) < 0) {
        path = NULL;
        return fault(ERR_NOMEM, "a path");
    }
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    bool has_room =
        fd < 0 || fallocate(fd, 0, 0, LOCK_FILE_BYTES) == 0 || (errno != ENOSPC && errno != EDQUOT);
    return has_room ? ERR_OK : ERR_FULL;
}

/* One attempt with one size of map. */
static int open_env(const char *path, unsigned flags, uint64_t map_bytes, MDB_env **out)
{
    MDB_env *env;
    flags |= MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS;
    int code = mdb_env_create(&env);
    if (code)
        return code;
    (void)mdb_env_set_maxdbs(env, TABLE_COUNT);
    (void)mdb_env_set_maxreaders(env, STORE_READERS_MAX);
    code = mdb_env_set_mapsize(env, map_bytes);
    if (code == 0)
        code = mdb_env_open(env, path, flags, FILE_MODE);
    if (code) {
        mdb_env_close(env); /* asked for by lmdb.h also when opening failed */
        return code;
    }
    *out = env;
    return 0;
}

static enum err sync_parent(const char *path)
{
    CLEANUP(cleanup_free) char *parent = strdup(path);
    if (!parent)
        return fault(ERR_NOMEM, "a path");
    char *slash = strrchr(parent, '/');
    ASSERT(slash);
    *slash = '\0';
    CLEANUP(cleanup_close) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? ERR_OK
                                     : fault(ERR_IO, "fsync %s: %s", parent, strerror(errno));
}

/* An empty store at `path`, flushed. */
static int make_env(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi handle;
    int code = open_env(path, MDB_NOLOCK, STORE_MAP_BYTES_MIN, &env); /* nobody else knows of it */
    if (code)
        return code;
    code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code == 0) {
        code = mdb_dbi_open(txn, schema_table_name((enum table)0), MDB_CREATE, &handle);
        if (code == 0)
            code = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    mdb_env_close(env);
    return code;
}

/* The file appears whole, or not at all. */
static enum err make_file(const struct tables *tables)
{
    CLEANUP(cleanup_free) char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", tables->path) < 0) {
        fresh = NULL;
        return fault(ERR_NOMEM, "a path");
    }
    (void)unlink(fresh); /* of an attempt that was cut short */
    int code = make_env(fresh);
    if (code == ENOENT)
        return ERR_NOTFOUND; /* no such directory */
    TRY(translate(tables, code, fresh));
    if (rename(fresh, tables->path) != 0)
        return fault(ERR_IO, "rename %s: %s", fresh, strerror(errno));
    return sync_parent(tables->path);
}

static enum err reserve_map(struct tables *tables, uint64_t map_bytes)
{
    int code;
    unsigned flags = tables->is_read_only ? MDB_RDONLY : 0;
    if (!tables->is_read_only || access(tables->path, F_OK) == 0)
        TRY(allocate_lock_file(tables));
    if (!tables->is_read_only && access(tables->path, F_OK) != 0)
        TRY(make_file(tables));
    for (;; map_bytes /= 2) {
        code = open_env(tables->path, flags, map_bytes, &tables->main.lmdb);
        if (code != ENOMEM || map_bytes / 2 < STORE_MAP_BYTES_MIN)
            break;
    }
    if (code == ENOENT)
        return ERR_NOTFOUND;
    return translate(tables, code, tables->path);
}

static enum err open_handles(const struct tables *tables, struct env *env, bool is_read_only)
{
    MDB_txn *txn;
    unsigned flags = is_read_only ? MDB_RDONLY : 0;
    TRY(translate(tables, mdb_txn_begin(env->lmdb, NULL, flags, &txn), "begin"));
    for (int i = 0; i < TABLE_COUNT; i++) {
        const char *name = schema_table_name((enum table)i);
        int code = mdb_dbi_open(txn, name, is_read_only ? 0 : MDB_CREATE, &env->handles[i]);
        if (code) {
            mdb_txn_abort(txn);
            return code == MDB_NOTFOUND ? fault(ERR_CORRUPT, "no table %s", name)
                                        : translate(tables, code, name);
        }
    }
    return translate(tables, mdb_txn_commit(txn), "commit");
}

static enum err open_tables(struct tables *tables, uint64_t map_bytes)
{
    TRY(reserve_map(tables, map_bytes));
    /* What a process before us wrote and did not live to flush, or flushed in vain, and what LMDB put
     * back after a meta page that failed: on the disk before anything is built on it. */
    if (!tables->is_read_only)
        TRY(translate(tables, mdb_env_sync(tables->main.lmdb, 1), "flush"));
    TRY(open_handles(tables, &tables->main, tables->is_read_only));
    MDB_envinfo info;
    MDB_stat stat;
    TRY(translate(tables, mdb_env_info(tables->main.lmdb, &info), "info"));
    TRY(translate(tables, mdb_env_stat(tables->main.lmdb, &stat), "stat"));
    tables->map_bytes = info.me_mapsize;
    tables->page_bytes = stat.ms_psize;
    return ERR_OK;
}

enum err tables_open(const char *path, const struct tables_options *options, struct tables **out)
{
    struct tables *tables = calloc(1, sizeof *tables);
    if (!tables || !(tables->path = strdup(path))) {
        free(tables);
        return fault(ERR_NOMEM, "tables");
    }
    tables->is_read_only = options->is_read_only;
    (void)pthread_mutex_init(&tables->rescuing, NULL);
    enum err err = open_tables(tables, options->map_bytes);
    if (err != ERR_OK) {
        tables_close(tables);
        return err;
    }
    *out = tables;
    return ERR_OK;
}

struct tables *tables_close(struct tables *tables)
{
    if (!tables)
        return NULL;
    if (tables->main.lmdb)
        mdb_env_close(tables->main.lmdb);
    if (tables->rescue.lmdb)
        mdb_env_close(tables->rescue.lmdb);
    (void)pthread_mutex_destroy(&tables->rescuing);
    free(tables->path);
    free(tables);
    return NULL;
}

enum err tables_size(struct tables *tables, struct tables_size *out)
{
    struct view *view;
    struct tables_size size = {0};
    struct stat file;
    if (stat(tables->path, &file) != 0)
        return fault(ERR_IO, "%s: %s", tables->path, strerror(errno));
    size.file_bytes = (uint64_t)file.st_size;
    TRY(view_begin(tables, false, &view));
    int code = 0;
    for (int i = 0; i < TABLE_COUNT && code == 0; i++) {
        MDB_stat stat;
        code = mdb_stat(view->txn, view->env->handles[i], &stat);
        if (code == 0) {
            size.entries[i] = stat.ms_entries;
            size.used_bytes += stat.ms_psize *
                               (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
        }
    }
    view_abort(view);
    TRY(translate(tables, code, "stat"));
    size.map_bytes = tables->map_bytes;
    *out = size;
    return ERR_OK;
}

enum err tables_copy(struct tables *tables, int fd, bool is_compact)
{
    int code = mdb_env_copyfd2(tables->main.lmdb, fd, is_compact ? MDB_CP_COMPACT : 0);
    return translate(tables, code, "copy");
}

/* ---- Views ---- */

/* Without a lock file: there is no writer left whose pages it would have to pin. */
static enum err open_rescue(struct tables *tables)
{
    if (tables->rescue.lmdb)
        return ERR_OK;
    struct env env;
    unsigned flags = MDB_RDONLY | MDB_NOLOCK;
    TRY(translate(tables, open_env(tables->path, flags, tables->map_bytes, &env.lmdb), "reopen"));
    enum err err = open_handles(tables, &env, true);
    if (err != ERR_OK)
        mdb_env_close(env.lmdb);
    else
        tables->rescue = env;
    return err;
}

static enum err begin_rescued(struct tables *tables, struct view *view)
{
    (void)pthread_mutex_lock(&tables->rescuing);
    enum err err = open_rescue(tables);
    (void)pthread_mutex_unlock(&tables->rescuing);
    TRY(err);
    view->env = &tables->rescue;
    int code = mdb_txn_begin(tables->rescue.lmdb, NULL, MDB_RDONLY, &view->txn);
    return translate(tables, code, "begin");
}

static enum err begin(struct tables *tables, struct view *view)
{
    view->env = &tables->main;
    if (view->is_writing)
        (void)mdb_reader_check(tables->main.lmdb, NULL); /* a killed backup still pins pages */
    unsigned flags = view->is_writing ? 0 : MDB_RDONLY;
    int code = mdb_txn_begin(tables->main.lmdb, NULL, flags, &view->txn);
    if (code == MDB_PANIC)
        atomic_store(&tables->failure, ERR_IO);
    return code == MDB_PANIC && !view->is_writing ? begin_rescued(tables, view)
                                                  : translate(tables, code, "begin");
}

enum err view_begin(struct tables *tables, bool is_writing, struct view **out)
{
    ASSERT(!is_writing || !tables->is_read_only);
    if (is_writing)
        TRY(tables_failure(tables));
    struct view *view = calloc(1, sizeof *view);
    if (!view)
        return fault(ERR_NOMEM, "a view");
    view->tables = tables;
    view->is_writing = is_writing;
    enum err err = begin(tables, view);
    if (err != ERR_OK) {
        free(view);
        return err;
    }
    *out = view;
    return ERR_OK;
}

/* LMDB does nothing more with an environment of which a meta page could not be written. */
static bool is_panicked(const struct tables *tables)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(tables->main.lmdb, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        mdb_txn_abort(txn);
    return code == MDB_PANIC;
}

static enum err failed_commit(struct tables *tables, int code)
{
    enum err err = translate(tables, code, "commit");
    if (!err_is_fault(err) && is_panicked(tables))
        err = fault(ERR_IO, "commit: no space for a meta page");
    if (err_is_fault(err))
        atomic_store(&tables->failure, err);
    return err;
}

enum err view_commit(struct view *view)
{
    ASSERT(view->is_writing);
    if (view->err != ERR_OK) {
        enum err err = view->err;
        view_abort(view);
        return err;
    }
    int code = mdb_txn_commit(view->txn); /* frees the transaction in any case */
    struct tables *tables = view->tables;
    free(view);
    return code ? failed_commit(tables, code) : ERR_OK;
}

enum err tables_failure(const struct tables *tables)
{
    enum err err = (enum err)atomic_load(&tables->failure);
    return err == ERR_OK ? ERR_OK
                         : fault(err, "a commit has failed: the store is as it was before, and "
                                      "written to again after a restart");
}

struct view *view_abort(struct view *view)
{
    if (view)
        mdb_txn_abort(view->txn);
    free(view);
    return NULL;
}

uint64_t view_bytes(const struct view *view)
{
    return view->bytes;
}

static MDB_val val_of(struct slice slice)
{
    return (MDB_val){slice.size, (void *)(uintptr_t)slice.data};
}

static struct slice slice_of_val(MDB_val val)
{
    return slice_of(val.mv_data, val.mv_size);
}

/* What a call of this view comes to; a failed write is remembered. */
static enum err view_result(struct view *view, int code, enum table table)
{
    enum err err = translate(view->tables, code, schema_table_name(table));
    if (view->is_writing && err != ERR_OK && err != ERR_NOTFOUND)
        view->err = err;
    return err;
}

enum err view_get(struct view *view, enum table table, struct schema_key key, struct slice *out)
{
    TRY(view->err);
    MDB_val name = val_of(schema_key_slice(&key)), value;
    TRY(view_result(view, mdb_get(view->txn, view->env->handles[table], &name, &value), table));
    *out = slice_of_val(value);
    return ERR_OK;
}

/* The pages on LMDB's free list, of which some may still be pinned by a reader. LMDB lets only a
 * reading transaction look there. */
static enum err free_list_bytes(struct tables *tables, uint64_t *out)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0;
    TRY(translate(tables, mdb_txn_begin(tables->main.lmdb, NULL, MDB_RDONLY, &txn), "begin"));
    int code = mdb_cursor_open(txn, 0, &cursor);
    if (code == 0) {
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
            pages += *(const size_t *)value.mv_data; /* an ID list: its length comes first */
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (code != MDB_NOTFOUND)
        return translate(tables, code, "free list");
    *out = pages * tables->page_bytes;
    return ERR_OK;
}

static uint64_t reserve_of(const struct tables *tables)
{
    uint64_t share = tables->map_bytes / RESERVE_DIVISOR;
    return share < STORE_RESERVE_BYTES ? share : STORE_RESERVE_BYTES;
}

/* What puts may take: growth of the file, and, where that gets tight, the free list; less the
 * reserve. */
static enum err room_of(struct tables *tables, uint64_t *out)
{
    MDB_envinfo info;
    TRY(translate(tables, mdb_env_info(tables->main.lmdb, &info), "info"));
    uint64_t used = (info.me_last_pgno + 1) * tables->page_bytes;
    uint64_t map_left = used < tables->map_bytes ? tables->map_bytes - used : 0;
    uint64_t disk_left = disk_free(tables);
    uint64_t room = map_left < disk_left ? map_left : disk_left;
    uint64_t reserve = reserve_of(tables);
    if (room < reserve + 2 * (uint64_t)ARCHIVE_TXN_BYTES_MAX) {
        uint64_t listed = 0;
        TRY(free_list_bytes(tables, &listed));
        room += listed;
    }
    *out = room > reserve ? room - reserve : 0;
    return ERR_OK;
}

/* The pages a put will take, about. */
static uint64_t put_pages_bytes(const struct tables *tables, size_t value_size)
{
    if (value_size <= LEAF_VALUE_BYTES_MAX)
        return value_size + PUT_OVERHEAD_BYTES;
    return (value_size / tables->page_bytes + 1) * tables->page_bytes + PUT_OVERHEAD_BYTES;
}

enum err view_put_small(
    struct view *view, enum table table, struct schema_key key, struct slice value)
{
    TRY(view->err);
    ASSERT(view->is_writing);
    MDB_val name = val_of(schema_key_slice(&key)), data = val_of(value);
    TRY(view_result(view, mdb_put(view->txn, view->env->handles[table], &name, &data, 0), table));
    view->bytes += key.size + value.size;
    view->pages_bytes += put_pages_bytes(view->tables, value.size);
    return ERR_OK;
}

enum err view_put(struct view *view, enum table table, struct schema_key key, struct slice value)
{
    TRY(view->err);
    if (!view->has_room) {
        TRY(room_of(view->tables, &view->room_bytes));
        view->has_room = true;
    }
    if (view->pages_bytes + put_pages_bytes(view->tables, value.size) > view->room_bytes)
        return view->err = ERR_FULL;
    return view_put_small(view, table, key, value);
}

enum err view_remove(struct view *view, enum table table, struct schema_key key)
{
    TRY(view->err);
    ASSERT(view->is_writing);
    MDB_val name = val_of(schema_key_slice(&key));
    int code = mdb_del(view->txn, view->env->handles[table], &name, NULL);
    enum err err = view_result(view, code, table);
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* ---- Walks ---- */

enum err walk_begin(struct view *view, enum table table, struct schema_key prefix, struct walk *out)
{
    TRY(view->err);
    MDB_cursor *cursor;
    TRY(view_result(view, mdb_cursor_open(view->txn, view->env->handles[table], &cursor), table));
    *out = (struct walk){.view = view, .table = table, .prefix = prefix, .cursor = cursor};
    return ERR_OK;
}

void walk_end(struct walk *walk)
{
    if (walk->cursor)
        mdb_cursor_close(walk->cursor);
    walk->cursor = NULL;
}

/* Move by `op`; `key` is looked for where the operation looks for one. */
static enum err walk_move(struct walk *walk, MDB_cursor_op op, struct slice key)
{
    MDB_val name = val_of(key), value;
    TRY(walk->view->err);
    TRY(view_result(walk->view, mdb_cursor_get(walk->cursor, &name, &value, op), walk->table));
    walk->key = slice_of_val(name);
    walk->value = slice_of_val(value);
    return slice_has_prefix(walk->key, schema_key_slice(&walk->prefix)) ? ERR_OK : ERR_NOTFOUND;
}

enum err walk_first(struct walk *walk)
{
    return walk_from(walk, walk->prefix);
}

enum err walk_last(struct walk *walk)
{
    struct schema_key end = walk->prefix;
    memset(end.bytes + end.size, 0xff, sizeof end.bytes - end.size);
    end.size = sizeof end.bytes; /* longer than any key */
    return walk_upto(walk, end);
}

enum err walk_next(struct walk *walk)
{
    return walk_move(walk, MDB_NEXT, SLICE_NONE);
}

enum err walk_previous(struct walk *walk)
{
    return walk_move(walk, MDB_PREV, SLICE_NONE);
}

enum err walk_from(struct walk *walk, struct schema_key key)
{
    struct slice wanted = schema_key_slice(&key);
    return wanted.size ? walk_move(walk, MDB_SET_RANGE, wanted)
                       : walk_move(walk, MDB_FIRST, SLICE_NONE);
}

enum err walk_upto(struct walk *walk, struct schema_key key)
{
    MDB_val name = val_of(schema_key_slice(&key)), value;
    TRY(walk->view->err);
    int code = mdb_cursor_get(walk->cursor, &name, &value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        return walk_move(walk, MDB_LAST, SLICE_NONE);
    TRY(view_result(walk->view, code, walk->table));
    if (!slice_equal(slice_of_val(name), schema_key_slice(&key)))
        return walk_move(walk, MDB_PREV, SLICE_NONE);
    return walk_move(walk, MDB_GET_CURRENT, SLICE_NONE);
}

/* A value larger than a page lies in pages of its own, one behind the other; MDB_NORDAHEAD keeps the
 * kernel from fetching more of them than the one that is touched. */
void walk_fetch(const struct walk *walk)
{
    uintptr_t page = walk->view->tables->page_bytes;
    uintptr_t begin = (uintptr_t)walk->value.data / page * page;
    uintptr_t end = (uintptr_t)walk->value.data + walk->value.size;
    if (end - begin > page)
        (void)madvise((void *)begin, end - begin, MADV_WILLNEED); /* a hint */
}
