/* The recorder sees what LMDB really does, so that it cannot record nothing without a word; and what
 * the store makes of failures there. */
#include "tests/sim/file_sim.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/store.h"

static char directory[32];
static struct store *store;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/tokenlog-file-XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    file_sim_begin("store.lmdb", 1, NULL, NULL);
    assert_int_equal(store_open(".", false, 1, &store), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store = store_close(store);
    file_sim_end();
    DIR *here = opendir(".");
    assert_non_null(here);
    for (struct dirent *entry; (entry = readdir(here));)
        (void)unlink(entry->d_name);
    assert_int_equal(closedir(here), 0);
    assert_int_equal(chdir("/"), 0);
    return rmdir(directory);
}

static enum err commit(uint64_t lsn)
{
    struct store_txn *txn;
    enum err err = store_begin(store, &txn);
    return err ? err : store_commit(txn, lsn);
}

static uint64_t stored(void)
{
    uint64_t lsn;
    assert_int_equal(store_read_absorbed(store, &lsn), ERR_OK);
    return lsn;
}

static void restart(bool is_power_cut, const struct file_cut *cut)
{
    store = store_close(store);
    if (is_power_cut)
        file_sim_power_cut(cut);
    else
        file_sim_restart();
    assert_int_equal(store_open(".", false, 1, &store), ERR_OK);
}

/* A commit: pages, a flush, the meta page through the descriptor that is O_DSYNC. */
static void test_a_commit_is_seen(void **state)
{
    (void)state;
    uint64_t before[FILE_OPERATION_COUNT];
    for (int i = 0; i < FILE_OPERATION_COUNT; i++)
        before[i] = file_sim_operations((enum file_operation)i);
    assert_true(before[FILE_WRITE] > 0 && before[FILE_DURABLE_WRITE] > 0 && before[FILE_FLUSH] > 0);
    assert_int_equal(commit(7), ERR_OK);
    assert_true(file_sim_operations(FILE_WRITE) > before[FILE_WRITE]);
    assert_int_equal(file_sim_operations(FILE_FLUSH), before[FILE_FLUSH] + 1);
    assert_int_equal(file_sim_operations(FILE_DURABLE_WRITE), before[FILE_DURABLE_WRITE] + 1);
    assert_int_equal(file_sim_unflushed(), 0);
    restart(true, &(struct file_cut){0});
    assert_int_equal(stored(), 7);
}

/* What was flushed stays; with flushes that do nothing it goes: the control of the test above. */
static void test_a_power_cut_takes_what_was_not_flushed(void **state)
{
    (void)state;
    assert_int_equal(commit(7), ERR_OK);
    file_sim_ignore_flushes(true);
    assert_int_equal(commit(8), ERR_OK);
    assert_true(file_sim_unflushed() > 0);
    file_sim_ignore_flushes(false);
    restart(true, &(struct file_cut){0});
    assert_int_equal(stored(), 7);
}

/* Each kind of operation fails in a commit: that commit and all later ones are answered with a fault
 * though the disk is well again; a new process goes on from what is there, on either disk. */
static void test_a_failed_commit_is_final(void **state)
{
    (void)state;
    uint64_t lsn = 10;
    for (int operation = 0; operation < FILE_OPERATION_COUNT; operation++)
        for (int is_power_cut = 0; is_power_cut < 2; is_power_cut++) {
            assert_int_equal(commit(++lsn), ERR_OK);
            file_sim_fail((enum file_operation)operation, 1, 1, EIO);
            assert_int_equal(commit(lsn + 1), ERR_IO);
            assert_int_equal(file_sim_failed(), 1);
            assert_int_equal(store_failure(store), ERR_IO);
            uint64_t flushes = file_sim_operations(FILE_FLUSH);
            assert_int_equal(commit(lsn + 2), ERR_IO);
            assert_int_equal(file_sim_operations(FILE_FLUSH), flushes); /* it was not even tried */
            assert_in_range(stored(), lsn, lsn + 1); /* what is stored is read on */
            restart(is_power_cut, &(struct file_cut){.is_torn = true});
            assert_int_equal(store_failure(store), ERR_OK);
            assert_in_range(stored(), lsn, lsn + 1); /* a meta page that failed may be there */
            lsn = stored();
        }
}

/* A full disk loses nothing that was there: the next commit may succeed. But not without meta pages. */
static void test_a_full_disk_is_not_final(void **state)
{
    (void)state;
    assert_int_equal(commit(5), ERR_OK);
    file_sim_fail(FILE_WRITE, 1, 1, ENOSPC);
    assert_int_equal(commit(6), ERR_FULL);
    assert_int_equal(store_failure(store), ERR_OK);
    assert_int_equal(commit(6), ERR_OK);
    file_sim_fail(FILE_DURABLE_WRITE, 1, 1, ENOSPC);
    assert_int_equal(commit(7), ERR_IO);
    assert_int_equal(store_failure(store), ERR_IO);
    restart(true, &(struct file_cut){0});
    assert_in_range(stored(), 6, 7);
}

/* What a process wrote and did not live to flush is flushed before it is built on. */
static void test_a_start_flushes_first(void **state)
{
    (void)state;
    store = store_close(store);
    uint64_t flushes = file_sim_operations(FILE_FLUSH), writes = file_sim_operations(FILE_WRITE);
    file_sim_fail(FILE_FLUSH, 1, 1, EIO);
    assert_int_equal(store_open(".", false, 1, &store), ERR_IO);
    assert_int_equal(file_sim_operations(FILE_FLUSH), flushes + 1);
    assert_int_equal(file_sim_operations(FILE_WRITE), writes);
    assert_int_equal(store_open(".", false, 1, &store), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_commit_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_power_cut_takes_what_was_not_flushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_commit_is_final, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_disk_is_not_final, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_start_flushes_first, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
