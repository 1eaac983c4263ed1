/* backup — see backup.h; the argument is in FORMAT.md, part 3.
 *
 *   make      hold ▶ ┌ snapshot begins ▶ journal is copied ┐ ▶ snapshot is written ▶ keys ▶ name
 *                    └────── again, on ERR_AGAIN ──────────┘
 *   restore   check ▶ lock ▶ files, the store as store.lmdb.new ▶ rename ▶ flush
 *   compact   lock ▶ hold ▶ compact.new/store.lmdb ▶ check it ▶ rename over the old one ▶ flush
 *
 * Two locks. DIR/lock is the server's. The directory itself (flock on it) is held shared by a backup
 * and exclusively by a compaction: LMDB's lock file must not be shared by the users of the old
 * store file and of the new one. */
#include "storage/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "protocol/data/json.h"

enum {
    BACKUP_ATTEMPTS_MAX = 10,   /* each reads what is unabsorbed: less than a second */
    BACKUP_DAMAGE_ATTEMPTS = 3, /* what is damaged so often is damaged in the original */
    RETRY_PAUSE_NS = 20 * 1000 * 1000,
    COPY_BYTES = 1024 * 1024,
    NOTE_BYTES_MAX = 4096, /* of backup.json */
    ZSTD_LEVEL_UNUSED = 1, /* nothing is stored through a store that is read */
};

static const char note_name[] = "backup.json";
static const char store_name[] = "store.lmdb";
static const char store_new_name[] = "store.lmdb.new";

/* ---- Paths, locks, files ---- */

static enum err path_in(const char *directory, const char *name, char out[PATH_MAX])
{
    int size = snprintf(out, PATH_MAX, "%s/%s", directory, name);
    return size > 0 && size < PATH_MAX ? ERR_OK : fault(ERR_IO, "the path of %s is too long", name);
}

static enum err failed(const char *what, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return ERR_FULL;
    return fault(ERR_IO, "%s %s: %s", what, path, strerror(errno));
}

static enum err sync_directory(const char *path)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return failed("fsync", path);
    return ERR_OK;
}

/* The name of a new directory is durable once its parent is. */
static enum err sync_parent(const char *path)
{
    char parent[PATH_MAX];
    TRY(path_in(path, "..", parent));
    return sync_directory(parent);
}

/* answers ERR_EXISTS it has entries */
static enum err check_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return failed("open", path);
    size_t entries = 0;
    while (readdir(directory))
        entries++; /* its own two, at least */
    (void)closedir(directory);
    return entries <= 2 ? ERR_OK : ERR_EXISTS;
}

static enum err make_empty(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return sync_parent(path);
    if (errno == EEXIST)
        return check_empty(path);
    return failed("mkdir", path);
}

/* flock(2) on a directory or file.  answers ERR_NOTFOUND, ERR_BUSY */
static enum err hold(const char *path, int flags, int how, int *fd)
{
    *fd = open(path, flags | O_CLOEXEC, 0600);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ERR_NOTFOUND;
    if (*fd < 0)
        return failed("open", path);
    if (flock(*fd, how | LOCK_NB) == 0)
        return ERR_OK;
    return errno == EWOULDBLOCK ? ERR_BUSY : failed("flock", path);
}

/* The server's that wrote it last: others who hold the lock do not write, and it may be gone. */
static int read_holder(int fd)
{
    char text[24];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    long pid = strtol(text, NULL, 10);
    bool is_there = pid > 0 && pid <= INT_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
    return is_there ? (int)pid : 0;
}

/* As a server holds its directory; others then name this process. */
static enum err hold_as_server(const char *path, int flags, int *holder_pid, int *fd)
{
    char lock[PATH_MAX], text[24];
    TRY(path_in(path, "lock", lock));
    enum err err = hold(lock, O_RDWR | flags, LOCK_EX, fd);
    if (err == ERR_BUSY)
        *holder_pid = read_holder(*fd);
    TRY(err);
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)size, 0) != size)
        return failed("write", lock);
    return ERR_OK;
}

static enum err write_all(int fd, const uint8_t *bytes, size_t size, const char *path)
{
    while (size) {
        ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return failed("write", path);
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return ERR_OK;
}

/* A file's bytes, holes as zeros, into a new one; flushed. */
static enum err copy_file(const char *from, const char *to, uint64_t *done)
{
    CLEANUP(cleanup_free) uint8_t *piece = malloc(COPY_BYTES);
    CLEANUP(cleanup_close) int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_close) int out = -1;
    if (!piece)
        return fault(ERR_NOMEM, "copying a file");
    if (in < 0)
        return failed("open", from);
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return failed("create", to);
    for (ssize_t got; (got = read(in, piece, COPY_BYTES)) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed("read", from);
        TRY(write_all(out, piece, (size_t)got, to));
        *done += (uint64_t)got;
    }
    return fsync(out) == 0 ? ERR_OK : failed("fsync", to);
}

/* ---- Other files: keys, and whatever else is kept beside the store ---- */

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name), wanted = strlen(suffix);
    return size >= wanted && strcmp(name + size - wanted, suffix) == 0;
}

/* What is made anew by whoever needs it, or is half made. */
static bool is_passing(const char *name)
{
    return name[0] == '.' || strcmp(name, "lock") == 0 || strcmp(name, "ballast") == 0 ||
           strcmp(name, "store.lmdb-lock") == 0 || strcmp(name, note_name) == 0 ||
           has_suffix(name, ".new") || has_suffix(name, ".tmp");
}

static bool is_engine(const char *name)
{
    return strcmp(name, store_name) == 0 || has_prefix(name, "journal-");
}

static bool is_regular(const char *path, uint64_t *bytes)
{
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    *bytes = (uint64_t)status.st_size;
    return true;
}

/* Each regular file of `from` that is kept, to `visit`. */
struct visit {
    bool has_engine; /* the store and the journal too */
    enum err (*file)(void *context, const char *name, const char *path, uint64_t bytes);
    void *context;
};

static enum err visit_file(const struct visit *visit, const char *from, const char *name)
{
    char path[PATH_MAX];
    uint64_t bytes;
    if (is_passing(name) || (is_engine(name) && !visit->has_engine))
        return ERR_OK;
    TRY(path_in(from, name, path));
    return is_regular(path, &bytes) ? visit->file(visit->context, name, path, bytes) : ERR_OK;
}

static enum err visit_files(const char *from, const struct visit *visit)
{
    DIR *directory = opendir(from);
    if (!directory)
        return failed("open", from);
    enum err err = ERR_OK;
    for (struct dirent *entry; err == ERR_OK && (entry = readdir(directory));)
        err = visit_file(visit, from, entry->d_name);
    (void)closedir(directory);
    return err;
}

struct carrying {
    const char *to;
    const struct progress *progress;
    uint64_t done, total;
};

static enum err carry(void *context, const char *name, const char *path, uint64_t bytes)
{
    struct carrying *carrying = context;
    char to[PATH_MAX];
    bool is_store = strcmp(name, store_name) == 0;
    (void)bytes;
    TRY(path_in(carrying->to, is_store ? store_new_name : name, to));
    TRY(copy_file(path, to, &carrying->done));
    if (carrying->progress && carrying->progress->report)
        carrying->progress->report(
            carrying->progress->context, "copy", carrying->done, carrying->total);
    return ERR_OK;
}

static enum err count(void *context, const char *name, const char *path, uint64_t bytes)
{
    (void)name, (void)path;
    *(uint64_t *)context += bytes;
    return ERR_OK;
}

/* ---- backup.json ---- */

static void put(struct json_writer *writer, const char *name, uint64_t number)
{
    json_key(writer, name);
    json_unsigned(writer, number);
}

static enum err note_text(
    const struct backup_report *report, const uint8_t uuid[16], struct buf *out)
{
    char text[33];
    struct json_writer writer;
    hex_encode(slice_of(uuid, 16), text);
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    put(&writer, "format", BACKUP_FORMAT);
    json_key(&writer, "store");
    json_string(&writer, slice_text(text));
    put(&writer, "began_ms", (uint64_t)report->began_ms);
    put(&writer, "absorbed_lsn", report->absorbed_lsn);
    put(&writer, "last_lsn", report->last_lsn);
    put(&writer, "store_bytes", report->store_bytes);
    put(&writer, "journal_bytes", report->journal_bytes);
    json_close(&writer, '}');
    TRY(writer.err);
    return buf_append_byte(out, '\n');
}

static enum err write_note(const char *to, struct slice text)
{
    char path[PATH_MAX], path_new[PATH_MAX];
    TRY(path_in(to, note_name, path));
    TRY(path_in(to, "backup.json.new", path_new));
    CLEANUP(cleanup_close) int fd = open(path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed("create", path_new);
    TRY(write_all(fd, text.data, text.size, path_new));
    if (fsync(fd) != 0 || rename(path_new, path) != 0)
        return failed("write", path);
    return sync_directory(to);
}

enum err backup_check(const char *path)
{
    char note[PATH_MAX];
    uint8_t text[NOTE_BYTES_MAX];
    TRY(path_in(path, note_name, note));
    CLEANUP(cleanup_close) int fd = open(note, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : failed("open", note);
    ssize_t size = read(fd, text, sizeof text);
    if (size < 0)
        return failed("read", note);
    CLEANUP(json_cleanup) struct json *json = NULL;
    TRY(json_parse(slice_of(text, (size_t)size), &json));
    int64_t format = json_int(json_get(json, "format"), 0);
    if (format > BACKUP_FORMAT)
        return fault(ERR_UNSUPPORTED, "the backup has format %lld, this program knows up to %d",
            (long long)format, BACKUP_FORMAT);
    return format == BACKUP_FORMAT ? ERR_OK : ERR_INVALID;
}

/* ---- Making one ---- */

struct making {
    const char *from, *to;
    bool is_compact;
    const struct progress *progress;
    struct disk *disk;
    struct store *store;
    uint8_t uuid[16];
    struct snapshot *snapshot;
    struct backup_report report;
};

/* One state of the store, and the journal above it. */
static enum err attempt(struct making *making)
{
    struct journal_copied copied;
    making->snapshot = snapshot_end(making->snapshot);
    TRY(snapshot_begin(making->store, making->is_compact, &making->snapshot));
    struct journal_copying copying = {
        .disk = making->disk,
        .from = making->from,
        .to = making->to,
        .absorbed_lsn = snapshot_absorbed_lsn(making->snapshot),
    };
    memcpy(copying.store_uuid, making->uuid, sizeof copying.store_uuid);
    TRY(journal_copy(&copying, &copied));
    making->report.absorbed_lsn = copying.absorbed_lsn;
    making->report.journal_bytes = copied.bytes;
    making->report.journal = copied.found;
    making->report.last_lsn = copied.found.last_lsn;
    bool is_damaged = copied.found.corrupt_batches + copied.found.missing_batches > 0;
    return is_damaged && making->report.attempts < BACKUP_DAMAGE_ATTEMPTS ? ERR_AGAIN : ERR_OK;
}

static enum err fix_point(struct making *making)
{
    enum err err = ERR_AGAIN;
    while (err == ERR_AGAIN && making->report.attempts < BACKUP_ATTEMPTS_MAX) {
        if (making->report.attempts++ > 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = RETRY_PAUSE_NS}, NULL);
        err = attempt(making);
    }
    return err;
}

static enum err touch(const char *directory, const char *name)
{
    char path[PATH_MAX];
    TRY(path_in(directory, name, path));
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? failed("create", path) : ERR_OK;
}

static enum err rename_in(const char *directory, const char *from, const char *to)
{
    char path_from[PATH_MAX], path_to[PATH_MAX];
    TRY(path_in(directory, from, path_from));
    TRY(path_in(directory, to, path_to));
    return rename(path_from, path_to) == 0 ? ERR_OK : failed("rename", path_from);
}

static enum err make(struct making *making)
{
    char path[PATH_MAX];
    CLEANUP(buf_deinit) struct buf note;
    buf_init(&note, NOTE_BYTES_MAX);
    struct carrying carrying = {.to = making->to};
    TRY(path_in(making->from, store_name, path));
    if (!is_regular(path, &making->report.store_bytes))
        return ERR_NOTFOUND;
    TRY(store_open(making->from, true, ZSTD_LEVEL_UNUSED, &making->store));
    store_uuid(making->store, making->uuid);
    TRY(make_empty(making->to));
    TRY(fix_point(making));
    TRY(path_in(making->to, store_new_name, path));
    TRY(snapshot_write(making->snapshot, path, making->progress, &making->report.store_bytes));
    TRY(visit_files(making->from, &(struct visit){.file = carry, .context = &carrying}));
    TRY(rename_in(making->to, store_new_name, store_name));
    TRY(touch(making->to, "lock")); /* so that the offline tools take it for a data directory */
    TRY(note_text(&making->report, making->uuid, &note));
    return write_note(making->to, buf_slice(&note));
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum err backup_make(const char *from, const char *to, bool is_compact,
    const struct progress *progress, struct backup_report *out)
{
    struct making making = {.from = from, .to = to, .is_compact = is_compact, .progress = progress};
    CLEANUP(cleanup_close) int held = -1;
    making.report.began_ms = wall_ms();
    TRY(hold(from, O_RDONLY | O_DIRECTORY, LOCK_SH, &held));
    making.disk = disk_plain_new();
    enum err err = making.disk ? make(&making) : fault(ERR_NOMEM, "disk");
    snapshot_end(making.snapshot);
    store_close(making.store);
    disk_plain_free(making.disk);
    if (err == ERR_OK)
        *out = making.report;
    return err;
}

/* ---- Restoring ---- */

static enum err restore(const char *from, struct carrying *carrying)
{
    struct visit visit = {.has_engine = true, .file = count, .context = &carrying->total};
    TRY(visit_files(from, &visit));
    visit.file = carry;
    visit.context = carrying;
    TRY(visit_files(from, &visit));
    TRY(sync_directory(carrying->to)); /* the journal's names before the store's */
    TRY(rename_in(carrying->to, store_new_name, store_name));
    return sync_directory(carrying->to);
}

enum err backup_restore(
    const char *from, const char *to, const struct progress *progress, uint64_t *bytes)
{
    CLEANUP(cleanup_close) int lock = -1;
    struct carrying carrying = {.to = to, .progress = progress};
    int holder_pid = 0;
    TRY(backup_check(from));
    TRY(make_empty(to));
    TRY(hold_as_server(to, O_CREAT, &holder_pid, &lock));
    TRY(restore(from, &carrying));
    *bytes = carrying.done;
    return ERR_OK;
}

/* ---- Compacting ---- */

static void count_finding(void *context, const struct id *id, const char *what)
{
    (void)id, (void)what;
    ++*(size_t *)context;
}

/* The new file, opened and read as the store that it is to become. */
static enum err check_copy(const char *directory)
{
    struct store *store;
    size_t findings = 0;
    TRY(store_open(directory, true, ZSTD_LEVEL_UNUSED, &store));
    enum err err = store_verify(store, count_finding, NULL, &findings);
    store_close(store);
    TRY(err);
    return findings == 0
               ? ERR_OK
               : fault(ERR_CORRUPT, "the store has %zu findings: see tokenlog verify", findings);
}

static enum err write_compact(const char *path, const char *to, const struct progress *progress,
    struct compact_report *report)
{
    struct store *store;
    struct snapshot *snapshot = NULL;
    struct store_size size;
    char file[PATH_MAX];
    TRY(path_in(to, store_name, file));
    TRY(store_open(path, true, ZSTD_LEVEL_UNUSED, &store));
    store_size(store, &size);
    report->before_bytes = size.file_bytes;
    enum err err = snapshot_begin(store, true, &snapshot);
    if (err == ERR_OK)
        err = snapshot_write(snapshot, file, progress, &report->after_bytes);
    snapshot_end(snapshot);
    store_close(store);
    return err;
}

static void remove_work(const char *work)
{
    static const char *const names[] = {store_name, "store.lmdb-lock"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (path_in(work, names[i], path) == ERR_OK)
            (void)unlink(path);
    (void)rmdir(work);
}

static enum err compact(const char *path, const char *work, const struct progress *progress,
    struct compact_report *report)
{
    char from[PATH_MAX], to[PATH_MAX];
    TRY(path_in(work, store_name, from));
    TRY(path_in(path, store_name, to));
    if (mkdir(work, 0700) != 0)
        return failed("mkdir", work);
    TRY(write_compact(path, work, progress, report));
    TRY(check_copy(work));
    if (rename(from, to) != 0)
        return failed("rename", from);
    return sync_directory(path);
}

enum err backup_compact(const char *path, const struct progress *progress,
    struct backup_conflict *conflict, struct compact_report *out)
{
    CLEANUP(cleanup_close) int lock = -1;
    CLEANUP(cleanup_close) int held = -1;
    char work[PATH_MAX];
    struct compact_report report = {0};
    *conflict = (struct backup_conflict){.path = path};
    TRY(path_in(path, "compact.new", work));
    TRY(hold_as_server(path, 0, &conflict->holder_pid, &lock));
    TRY(hold(path, O_RDONLY | O_DIRECTORY, LOCK_EX, &held));
    remove_work(work); /* a crash may have left one */
    enum err err = compact(path, work, progress, &report);
    remove_work(work);
    TRY(err);
    *out = report;
    return ERR_OK;
}
