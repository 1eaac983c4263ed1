/* snapshot — a state of the store that stays what it was, while the store goes on; and how large a store
 * may grow. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"
#include "storage/snapshot.h"
#include "tests/storage/store_rig.h"

enum { STREAMS = 12, EVENTS = 400 };

/* A directory for the copy, and the store in it. */
struct target {
    char path[64], file[PATH_MAX];
};

static void make_target(struct target *target)
{
    (void)snprintf(target->path, sizeof target->path, "/tmp/tokenlog-snapshot-XXXXXX");
    assert_non_null(mkdtemp(target->path));
    (void)snprintf(target->file, sizeof target->file, "%s/store.lmdb", target->path);
}

static void remove_target(const struct target *target)
{
    char lock[PATH_MAX + 8];
    (void)snprintf(lock, sizeof lock, "%s-lock", target->file);
    (void)unlink(lock);
    (void)unlink(target->file);
    assert_int_equal(rmdir(target->path), 0);
}

static void count_finding(void *context, const struct id *id, const char *what)
{
    (void)id, (void)what;
    ++*(size_t *)context;
}

/* What is in the copy: its rows, and that nothing is wrong with them. */
static void check_target(const struct target *target, uint64_t rows, uint64_t absorbed_lsn)
{
    struct store *store;
    struct store_size size;
    size_t findings = 0;
    assert_int_equal(store_open(target->path, true, 1, &store), ERR_OK);
    assert_int_equal(store_verify(store, count_finding, NULL, &findings), ERR_OK);
    assert_int_equal(findings, 0);
    store_size(store, &size);
    assert_int_equal(size.rows, rows);
    assert_int_equal(store_absorbed_lsn(store), absorbed_lsn);
    store_close(store);
}

static void fill(struct store_rig *rig, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number < to; number++)
        store_rig_write(rig, number, EVENTS);
}

static void set_absorbed(struct store_rig *rig, uint64_t lsn)
{
    store_rig_commit(store_rig_begin(rig), lsn);
}

static void keeps_the_state_it_began_with(bool is_compact)
{
    struct store_rig rig = {0};
    struct snapshot *snapshot;
    struct target target;
    uint64_t bytes;
    store_rig_open(&rig, 0);
    make_target(&target);
    fill(&rig, 1, 1 + STREAMS);
    set_absorbed(&rig, 77);
    assert_int_equal(snapshot_begin(rig.store, is_compact, &snapshot), ERR_OK);
    assert_int_equal(snapshot_absorbed_lsn(snapshot), 77);
    fill(&rig, 100, 100 + STREAMS); /* the store goes on */
    set_absorbed(&rig, 78);
    assert_int_equal(snapshot_write(snapshot, target.file, NULL, &bytes), ERR_OK);
    snapshot_end(snapshot);
    struct stat status;
    assert_int_equal(stat(target.file, &status), 0);
    assert_int_equal(status.st_size, bytes);
    assert_int_equal(status.st_mode & 0777, 0600);
    check_target(&target, STREAMS, 77);
    remove_target(&target);
    store_rig_close(&rig);
}

static void a_snapshot_keeps_the_state_it_began_with(void **state)
{
    (void)state;
    keeps_the_state_it_began_with(false);
    keeps_the_state_it_began_with(true);
}

static void one_that_is_given_up_leaves_nothing(void **state)
{
    (void)state;
    struct store_rig rig = {0};
    struct snapshot *snapshot;
    struct target target;
    uint64_t bytes;
    store_rig_open(&rig, 0);
    make_target(&target);
    fill(&rig, 1, 1 + STREAMS);
    for (int i = 0; i < STORE_READERS_MAX + 10; i++) { /* each must give its reader back */
        assert_int_equal(snapshot_begin(rig.store, i % 2, &snapshot), ERR_OK);
        snapshot_end(snapshot);
    }
    assert_int_equal(snapshot_begin(rig.store, false, &snapshot), ERR_OK);
    assert_int_equal(snapshot_write(snapshot, "/tmp", NULL, &bytes), ERR_EXISTS);
    snapshot_end(snapshot);
    assert_int_equal(snapshot_begin(rig.store, false, &snapshot), ERR_OK);
    assert_int_equal(snapshot_write(snapshot, "/no/such/folder/file", NULL, &bytes), ERR_IO);
    snapshot_end(snapshot);
    fill(&rig, 100, 101);
    assert_null(snapshot_end(NULL));
    remove_target(&target);
    store_rig_close(&rig);
}

/* In a process of its own: LMDB opens a file once a process. */
static int in_child(int (*work)(const char *path), const char *path)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(work(path));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int die_in_a_snapshot(const char *path)
{
    struct store *store;
    struct snapshot *snapshot;
    if (store_open(path, true, 1, &store) != ERR_OK ||
        snapshot_begin(store, false, &snapshot) != ERR_OK)
        return 1;
    (void)raise(SIGKILL);
    return 1;
}

/* A reader that was killed would pin every page it could see: the file would grow for ever. */
static void one_that_is_killed_pins_nothing(void **state)
{
    (void)state;
    struct store_rig rig = {0};
    struct store_size before, after;
    store_rig_open(&rig, 0);
    fill(&rig, 1, 1 + STREAMS);
    for (int i = 0; i < 20; i++)
        set_absorbed(&rig, 10 + (uint64_t)i); /* the pages of a small commit go round */
    int status = in_child(die_in_a_snapshot, rig.path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    store_size(rig.store, &before);
    for (int i = 0; i < 400; i++)
        set_absorbed(&rig, 100 + (uint64_t)i);
    store_size(rig.store, &after);
    assert_true(after.file_bytes <= before.file_bytes + 64 * 4096);
    store_rig_close(&rig);
}

/* ---- Growth ---- */

static uint64_t address_space_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What is there already may be much (a sanitizer's shadow): the limit is what is added. */
static int open_with_little_space(const char *path)
{
    struct store *store;
    struct store_size size;
    uint64_t limit = address_space_bytes() + (512ull << 20);
    if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) != 0)
        return 1;
    if (store_open(path, false, 1, &store) != ERR_OK)
        return 2;
    store_size(store, &size);
    bool is_halved = size.map_bytes < (512ull << 20) && size.map_bytes >= STORE_MAP_BYTES_MIN;
    uint32_t epoch;
    enum err err = store_next_epoch(store, &epoch);
    store_close(store);
    return is_halved && err == ERR_OK && size.rows == STREAMS ? 0 : 3;
}

static void a_smaller_map_is_reserved_where_space_is_limited(void **state)
{
    (void)state;
    struct store_rig rig = {0};
    struct store_size size;
    store_rig_open(&rig, 0);
    store_size(rig.store, &size);
    assert_int_equal(size.map_bytes, STORE_MAP_BYTES);
    fill(&rig, 1, 1 + STREAMS);
    rig.store = store_close(rig.store);
    int status = in_child(open_with_little_space, rig.path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    store_rig_reopen(&rig);
    store_rig_close(&rig);
}

static enum err try_write(struct store_rig *rig, uint64_t number)
{
    struct store_txn *txn = store_rig_begin(rig);
    enum err err = store_rig_put(txn, number, 0, EVENTS, BLOCK_BYTES_MAX);
    if (err == ERR_OK)
        return store_commit(txn, 0);
    store_abort(txn);
    return err;
}

/* A full map: refused clearly, all there is stays readable, and a larger map goes on. */
static void a_full_map_refuses_and_a_larger_one_goes_on(void **state)
{
    (void)state;
    struct store_rig rig = {0};
    uint64_t number = 1;
    store_rig_open(&rig, 4 << 20);
    store_rig_write(&rig, 1, EVENTS);
    enum err err = ERR_OK;
    while (err == ERR_OK && number < 10000)
        err = try_write(&rig, ++number);
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(try_write(&rig, number), ERR_FULL); /* again, not worse */
    store_rig_check(&rig, 1, EVENTS);
    rig.map_bytes = 64 << 20;
    store_rig_reopen(&rig);
    store_rig_check(&rig, 1, EVENTS);
    assert_int_equal(try_write(&rig, number), ERR_OK);
    store_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_keeps_the_state_it_began_with),
        cmocka_unit_test(one_that_is_given_up_leaves_nothing),
        cmocka_unit_test(one_that_is_killed_pins_nothing),
        cmocka_unit_test(a_smaller_map_is_reserved_where_space_is_limited),
        cmocka_unit_test(a_full_map_refuses_and_a_larger_one_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
