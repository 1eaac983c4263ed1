/* backup — a directory as a server leaves it, copied, brought back, made small; and what is refused. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "storage/backup.h"
#include "tests/storage/store_rig.h"

enum { STREAMS = 6, EVENTS = 300, RECORDS = 40, ABSORBED = 15 };

/* A data directory, and a folder for what is made of it. */
struct place {
    char path[64]; /* the folder; the directory is in it */
    char data[96], backup[96], restored[96];
    uint8_t uuid[16];
};

static int64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static void nothing_committed(void *context, uint64_t lsn)
{
    (void)context, (void)lsn;
}

static void never_stuck(void *context, enum err err)
{
    (void)context, (void)err;
    abort();
}

static void no_wake(void *context, int64_t when_ns)
{
    (void)context, (void)when_ns;
}

static enum err count_record(void *context, const struct record *record, uint64_t lsn)
{
    (void)record, (void)lsn;
    if (context)
        ++*(int *)context;
    return ERR_OK;
}

static struct journal_config config_of(const struct place *place, const char *path, void *context)
{
    struct journal_config config = {.path = path,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .segment_count = SEGMENT_COUNT_MIN,
        .committed = nothing_committed,
        .stuck = never_stuck,
        .wake_at = no_wake,
        .now_ns = no_time,
        .context = context};
    memcpy(config.store_uuid, place->uuid, sizeof config.store_uuid);
    return config;
}

static void write_journal(const struct place *place)
{
    struct journal *journal;
    struct journal_recovery found;
    struct journal_config config = config_of(place, place->data, NULL);
    struct disk *disk = config.disk = disk_plain_new();
    assert_int_equal(journal_open(&config, 0, count_record, &found, &journal), ERR_OK);
    for (int i = 0; i < RECORDS; i++) {
        uint64_t lsn;
        struct record record = {.type = RECORD_MAY_SKIP | 60, .payload = SLICE("anything")};
        assert_int_equal(journal_append(journal, &record, &lsn), ERR_OK);
        journal_hurry(journal);
        journal_tick(journal);
        disk_plain_run(disk);
    }
    journal_close(journal);
    disk_plain_free(disk);
}

static int count_records(const struct place *place, const char *path)
{
    int count = 0;
    struct journal *journal;
    struct journal_recovery found;
    struct journal_config config = config_of(place, path, &count);
    config.disk = disk_plain_new();
    config.is_read_only = true;
    assert_int_equal(journal_open(&config, ABSORBED, count_record, &found, &journal), ERR_OK);
    assert_int_equal(found.missing_batches + found.corrupt_batches, 0);
    journal_close(journal);
    disk_plain_free(config.disk);
    return count;
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static bool has_file(const char *directory, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void begin(struct place *place)
{
    *place = (struct place){.path = "/tmp/tokenlog-backup-XXXXXX"};
    assert_non_null(mkdtemp(place->path));
    (void)snprintf(place->data, sizeof place->data, "%s/data", place->path);
    (void)snprintf(place->backup, sizeof place->backup, "%s/backup", place->path);
    (void)snprintf(place->restored, sizeof place->restored, "%s/restored", place->path);
    assert_int_equal(mkdir(place->data, 0700), 0);
    write_file(place->data, "lock", "");
    write_file(place->data, "keys", "some keys\n");
    write_file(place->data, "ballast", "nothing of value");
    struct store_rig rig = {0};
    assert_int_equal(store_open(place->data, false, 1, &rig.store), ERR_OK);
    store_uuid(rig.store, place->uuid);
    for (uint64_t number = 1; number <= STREAMS; number++)
        store_rig_write(&rig, number, EVENTS);
    store_rig_commit(store_rig_begin(&rig), ABSORBED);
    store_close(rig.store);
    write_journal(place);
}

static void end(struct place *place)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", place->path);
    assert_int_equal(system(command), 0);
}

static void count_finding(void *context, const struct id *id, const char *what)
{
    (void)id, (void)what;
    ++*(size_t *)context;
}

/* What must be in the store of each of them. */
static void check_store(const char *path, uint64_t rows)
{
    struct store *store;
    struct store_size size;
    size_t findings = 0;
    assert_int_equal(store_open(path, true, 1, &store), ERR_OK);
    assert_int_equal(store_verify(store, count_finding, NULL, &findings), ERR_OK);
    assert_int_equal(findings, 0);
    store_size(store, &size);
    assert_int_equal(size.rows, rows);
    assert_int_equal(store_absorbed_lsn(store), ABSORBED);
    store_close(store);
}

static void a_backup_comes_back(void **state)
{
    (void)state;
    struct place place;
    struct backup_report report;
    uint64_t bytes;
    begin(&place);
    for (int is_compact = 0; is_compact < 2; is_compact++) {
        assert_int_equal(backup_make(place.data, place.backup, is_compact, NULL, &report), ERR_OK);
        assert_int_equal(report.attempts, 1);
        assert_int_equal(report.last_lsn, RECORDS);
        assert_int_equal(report.absorbed_lsn, ABSORBED);
        assert_false(has_file(place.backup, "ballast"));
        assert_true(has_file(place.backup, "lock"));
        assert_int_equal(backup_check(place.backup), ERR_OK);
        check_store(place.backup, STREAMS);
        assert_int_equal(count_records(&place, place.backup), RECORDS - ABSORBED);
        assert_int_equal(backup_restore(place.backup, place.restored, NULL, &bytes), ERR_OK);
        assert_true(has_file(place.restored, "keys"));
        assert_false(has_file(place.restored, "backup.json"));
        check_store(place.restored, STREAMS);
        assert_int_equal(count_records(&place, place.restored), RECORDS - ABSORBED);
        char command[256];
        (void)snprintf(command, sizeof command, "rm -r %s %s", place.backup, place.restored);
        assert_int_equal(system(command), 0);
    }
    end(&place);
}

static void what_will_not_do_is_refused(void **state)
{
    (void)state;
    struct place place;
    struct backup_report report;
    uint64_t bytes;
    begin(&place);
    assert_int_equal(backup_make(place.backup, place.restored, false, NULL, &report), ERR_NOTFOUND);
    assert_int_equal(backup_make(place.path, place.restored, false, NULL, &report), ERR_NOTFOUND);
    assert_int_equal(backup_make(place.data, place.path, false, NULL, &report), ERR_EXISTS);
    assert_int_equal(backup_make(place.data, "/no/such/folder", false, NULL, &report), ERR_IO);
    assert_int_equal(backup_check(place.data), ERR_NOTFOUND);
    assert_int_equal(backup_restore(place.data, place.restored, NULL, &bytes), ERR_NOTFOUND);
    assert_int_equal(backup_make(place.data, place.backup, false, NULL, &report), ERR_OK);
    assert_int_equal(backup_restore(place.backup, place.data, NULL, &bytes), ERR_EXISTS);
    write_file(place.backup, "backup.json", "{\"format\":2}");
    assert_int_equal(backup_check(place.backup), ERR_UNSUPPORTED);
    assert_non_null(strstr(fault_origin(), "format 2"));
    write_file(place.backup, "backup.json", "{\"format\":0}");
    assert_int_equal(backup_restore(place.backup, place.restored, NULL, &bytes), ERR_INVALID);
    write_file(place.backup, "backup.json", "{");
    assert_int_equal(backup_restore(place.backup, place.restored, NULL, &bytes), ERR_INVALID);
    assert_false(has_file(place.restored, "lock"));
    end(&place);
}

/* Kills the process that makes a backup, in the middle of the store. */
static void die(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)context, (void)what, (void)done, (void)total;
    (void)raise(SIGKILL);
}

static void one_that_was_killed_is_none(void **state)
{
    (void)state;
    struct place place;
    struct backup_report report;
    int status;
    begin(&place);
    pid_t child = fork();
    if (child == 0) {
        struct progress progress = {.report = die};
        _exit(backup_make(place.data, place.backup, false, &progress, &report) == ERR_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(backup_check(place.backup), ERR_NOTFOUND);
    assert_false(has_file(place.backup, "store.lmdb"));
    check_store(place.data, STREAMS);
    assert_int_equal(backup_make(place.data, place.restored, false, NULL, &report), ERR_OK);
    end(&place);
}

static void delete_streams(const struct place *place)
{
    struct store_rig rig = {0};
    assert_int_equal(store_open(place->data, false, 1, &rig.store), ERR_OK);
    for (uint64_t number = 1; number < STREAMS; number++) {
        size_t values_left = 100000;
        struct store_deletion deletion = {
            .project = RIG_PROJECT, .id = store_rig_id(number), .now_ns = 1};
        struct store_txn *txn = store_rig_begin(&rig);
        assert_int_equal(store_delete(txn, &deletion, &values_left), ERR_OK);
        store_rig_commit(txn, ABSORBED);
    }
    store_close(rig.store);
}

static void compacting_gives_room_back(void **state)
{
    (void)state;
    struct place place;
    struct backup_conflict conflict;
    struct compact_report report, again;
    struct stat status;
    char store[PATH_MAX];
    begin(&place);
    delete_streams(&place);
    char work[PATH_MAX];
    (void)snprintf(work, sizeof work, "%s/compact.new", place.data);
    assert_int_equal(mkdir(work, 0700), 0); /* as a crash leaves it */
    write_file(work, "store.lmdb", "half a store");
    assert_int_equal(backup_compact(place.data, NULL, &conflict, &report), ERR_OK);
    (void)snprintf(store, sizeof store, "%s/store.lmdb", place.data);
    assert_int_equal(stat(store, &status), 0);
    assert_int_equal(status.st_size, report.after_bytes);
    assert_true(report.after_bytes < report.before_bytes / 2);
    assert_false(has_file(place.data, "compact.new"));
    check_store(place.data, STREAMS);
    assert_int_equal(backup_compact(place.data, NULL, &conflict, &again), ERR_OK);
    assert_int_equal(again.after_bytes, report.after_bytes);
    assert_int_equal(count_records(&place, place.data), RECORDS - ABSORBED);
    struct store *opened; /* a server goes on with it */
    uint32_t epoch;
    assert_int_equal(store_open(place.data, false, 1, &opened), ERR_OK);
    assert_int_equal(store_next_epoch(opened, &epoch), ERR_OK);
    store_close(opened);
    end(&place);
}

static void compacting_waits_for_nobody(void **state)
{
    (void)state;
    struct place place;
    struct backup_conflict conflict;
    struct compact_report report;
    struct backup_report made;
    char lock[PATH_MAX];
    char holder[24];
    begin(&place);
    (void)snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    write_file(place.data, "lock", holder);
    (void)snprintf(lock, sizeof lock, "%s/lock", place.data);
    int fd = open(lock, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* a server */
    assert_int_equal(backup_compact(place.data, NULL, &conflict, &report), ERR_BUSY);
    assert_int_equal(conflict.holder_pid, getpid());
    write_file(place.data, "lock", "2147483647\n"); /* gone: no such process can be */
    assert_int_equal(backup_compact(place.data, NULL, &conflict, &report), ERR_BUSY);
    assert_int_equal(conflict.holder_pid, 0);
    assert_int_equal(close(fd), 0);
    fd = open(place.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0); /* a backup */
    assert_int_equal(backup_compact(place.data, NULL, &conflict, &report), ERR_BUSY);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* a compaction */
    assert_int_equal(backup_make(place.data, place.backup, false, NULL, &made), ERR_BUSY);
    assert_int_equal(close(fd), 0);
    assert_int_equal(backup_compact(place.backup, NULL, &conflict, &report), ERR_NOTFOUND);
    check_store(place.data, STREAMS);
    end(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_comes_back),
        cmocka_unit_test(what_will_not_do_is_refused),
        cmocka_unit_test(one_that_was_killed_is_none),
        cmocka_unit_test(compacting_gives_room_back),
        cmocka_unit_test(compacting_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
