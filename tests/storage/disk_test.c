/* disk — the seam's contract, held by the plain disk and by the simulated one; and that the
 * simulated one fails as it says. */
#include "storage/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sim/disk_sim.h"

enum { FILE_BYTES = 64 * 1024 };

static char folder[64];
static char file_path[96], other_path[96];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/tokenlog-disk-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(file_path, sizeof file_path, "%s/file", folder);
    (void)snprintf(other_path, sizeof other_path, "%s/other", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(file_path);
    (void)unlink(other_path);
    return rmdir(folder);
}

static uint8_t *page_of(int byte)
{
    uint8_t *page = aligned_alloc(DISK_ALIGN, DISK_ALIGN);
    assert_non_null(page);
    memset(page, byte, DISK_ALIGN);
    return page;
}

static void expect_page(struct disk_file *file, const struct disk_ops *ops, uint64_t at, int byte)
{
    uint8_t *page = page_of(0x77);
    assert_int_equal(ops->read(file, at, page, DISK_ALIGN), ERR_OK);
    for (size_t i = 0; i < DISK_ALIGN; i++)
        assert_int_equal(page[i], byte);
    free(page);
}

static void check_files(struct disk *disk)
{
    const struct disk_ops *ops = disk->ops;
    struct disk_file *file = NULL;
    uint64_t size = 0;
    assert_int_equal(ops->open(disk, file_path, 0, &file), ERR_NOTFOUND);
    assert_int_equal(ops->remove(disk, file_path), ERR_NOTFOUND);
    assert_int_equal(ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
    assert_int_equal(ops->size(file, &size), ERR_OK);
    assert_int_equal(size, FILE_BYTES);
    expect_page(file, ops, 0, 0);
    expect_page(file, ops, FILE_BYTES, 0); /* past the end */

    uint8_t *page = page_of('x');
    assert_int_equal(ops->write_now(file, DISK_ALIGN, slice_of(page, DISK_ALIGN)), ERR_OK);
    expect_page(file, ops, DISK_ALIGN, 'x');
    expect_page(file, ops, 0, 0);
    assert_int_equal(ops->rename(disk, file_path, other_path), ERR_OK);
    assert_int_equal(ops->sync_directory(disk, folder), ERR_OK);
    ops->close(file);
    assert_int_equal(ops->open(disk, file_path, 0, &file), ERR_NOTFOUND);
    assert_int_equal(ops->open(disk, other_path, 2 * FILE_BYTES, &file), ERR_OK);
    assert_int_equal(ops->size(file, &size), ERR_OK);
    assert_int_equal(size, FILE_BYTES); /* the size is for creating only */
    expect_page(file, ops, DISK_ALIGN, 'x');
    assert_int_equal(ops->prefill(file, FILE_BYTES), ERR_OK);
    expect_page(file, ops, DISK_ALIGN, 0);
    assert_int_equal(ops->remove(disk, other_path), ERR_OK);
    assert_int_equal(ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_OK); /* lives on */
    ops->close(file);
    free(page);
}

struct order {
    struct disk_write writes[3];
    int done, again;
    struct disk *disk;
};

static void note_done(struct disk_write *write, enum err err)
{
    struct order *order = write->owner;
    assert_int_equal(err, ERR_OK);
    assert_ptr_equal(write, &order->writes[order->done]);
    order->done++;
    if (order->done == 2 && order->again) /* `done` may issue more */
        order->disk->ops->write_durable(order->disk, &order->writes[2]);
}

static size_t run_plain(struct disk *disk)
{
    disk_plain_run(disk);
    return 0;
}

static size_t run_sim(struct disk *disk)
{
    return sim_disk_complete(disk, 2);
}

static void check_write_durable(struct disk *disk, size_t (*run)(struct disk *disk))
{
    struct order order = {.disk = disk, .again = true};
    uint8_t *pages[3] = {page_of('a'), page_of('b'), page_of('c')};
    struct disk_file *file = NULL;
    assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        order.writes[i] = (struct disk_write){.file = file,
            .offset = i * DISK_ALIGN,
            .bytes = slice_of(pages[i], DISK_ALIGN),
            .buffer_index = -1,
            .done = note_done,
            .owner = &order};
    disk->ops->write_durable(disk, &order.writes[0]);
    disk->ops->write_durable(disk, &order.writes[1]);
    assert_int_equal(order.done, 0);
    (void)run(disk);
    assert_int_equal(order.done, 2);
    (void)run(disk);
    assert_int_equal(order.done, 3);
    for (size_t i = 0; i < 3; i++) {
        expect_page(file, disk->ops, i * DISK_ALIGN, pages[i][0]);
        free(pages[i]);
    }
    disk->ops->close(file);
    assert_int_equal(disk->ops->remove(disk, file_path), ERR_OK);
}

static void test_plain(void **state)
{
    (void)state;
    struct disk *disk = disk_plain_new();
    assert_non_null(disk);
    check_files(disk);
    check_write_durable(disk, run_plain);
    disk_plain_free(disk);
}

static void test_sim(void **state)
{
    (void)state;
    struct disk *disk = sim_disk_new(1);
    check_files(disk);
    check_write_durable(disk, run_sim);
    sim_disk_free(disk);
}

static void test_plain_modes(void **state)
{
    (void)state;
    struct disk *disk = disk_plain_new();
    struct disk_file *file = NULL;
    struct stat status;
    assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
    assert_int_equal(stat(file_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(disk_plain_fd(file) >= 0);
    disk->ops->close(file);
    assert_int_equal(disk->ops->open(disk, "/no/such/folder/x", FILE_BYTES, &file), ERR_IO);
    assert_int_equal(disk->ops->sync_directory(disk, "/no/such/folder"), ERR_IO);
    /* More than any file system has: an answer, and nothing is left behind. */
    assert_int_equal(disk->ops->open(disk, other_path, 1ull << 60, &file), ERR_FULL);
    assert_int_equal(access(other_path, F_OK), -1);
    assert_int_equal(disk->ops->remove(disk, file_path), ERR_OK);
    disk_plain_free(disk);
}

/* One page in flight over zeros: `byte` fills the sectors that were kept. */
static struct disk_file *open_and_issue(
    struct disk *disk, struct disk_write *write, struct slice bytes, struct order *order)
{
    struct disk_file *file = NULL;
    assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
    assert_int_equal(disk->ops->sync_directory(disk, folder), ERR_OK);
    *write = (struct disk_write){
        .file = file, .bytes = bytes, .buffer_index = -1, .done = note_done, .owner = order};
    disk->ops->write_durable(disk, write);
    return file;
}

static void test_sim_tears(void **state)
{
    (void)state;
    uint8_t *page = page_of('x');
    bool kept_seen[9] = {};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk *disk = sim_disk_new(seed);
        struct order order = {};
        struct disk_file *file =
            open_and_issue(disk, &order.writes[0], slice_of(page, DISK_ALIGN), &order);
        assert_int_equal(sim_disk_in_flight(disk), 1);
        assert_int_equal(sim_disk_sectors_in_flight(disk), 8);
        sim_disk_power_cut(disk);
        assert_int_equal(sim_disk_in_flight(disk), 0);
        uint64_t size = 0;
        uint8_t *bytes = sim_disk_bytes(disk, file_path, &size);
        int kept = 0;
        for (size_t at = 0; at < DISK_ALIGN; at += SIM_SECTOR_BYTES) {
            kept += bytes[at] == 'x';
            for (size_t i = 1; i < SIM_SECTOR_BYTES; i++)
                assert_int_equal(bytes[at + i], bytes[at]);
        }
        kept_seen[kept] = true;
        assert_int_equal(disk->ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_IO);
        disk->ops->close(file);
        sim_disk_free(disk);
    }
    assert_true(kept_seen[0] && kept_seen[8] && kept_seen[3] && kept_seen[4] && kept_seen[5]);
    free(page);
}

static void test_sim_forgets_names(void **state)
{
    (void)state;
    bool was_kept = false, was_lost = false;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk *disk = sim_disk_new(seed);
        struct disk_file *file = NULL;
        assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
        sim_disk_power_cut(disk);
        disk->ops->close(file);
        if (sim_disk_file_count(disk) == 1)
            was_kept = true;
        else
            was_lost = true;
        sim_disk_free(disk);
    }
    assert_true(was_kept && was_lost);
}

static void test_sim_ignored_sync(void **state)
{
    (void)state;
    uint8_t *page = page_of('x');
    bool was_lost = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk *disk = sim_disk_new(seed);
        struct order order = {};
        sim_disk_ignore_sync(disk, true);
        struct disk_file *file =
            open_and_issue(disk, &order.writes[0], slice_of(page, DISK_ALIGN), &order);
        assert_int_equal(sim_disk_complete(disk, 1), 1);
        expect_page(file, disk->ops, 0, 'x'); /* as it seems */
        sim_disk_power_cut(disk);
        uint64_t size = 0;
        was_lost = was_lost || sim_disk_bytes(disk, file_path, &size)[0] == 0;
        disk->ops->close(file);
        sim_disk_free(disk);
    }
    assert_true(was_lost);
    free(page);
}

static void test_sim_failures(void **state)
{
    (void)state;
    uint8_t *page = page_of('x');
    struct disk *disk = sim_disk_new(1);
    struct disk_file *file = NULL;
    sim_disk_fail(disk, SIM_OPEN, 1, 1, ERR_FULL);
    assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_FULL);
    assert_int_equal(disk->ops->open(disk, file_path, FILE_BYTES, &file), ERR_OK);
    sim_disk_fail(disk, SIM_WRITE, 2, 2, ERR_IO);
    assert_int_equal(disk->ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_OK);
    assert_int_equal(disk->ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_IO);
    assert_int_equal(disk->ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_IO);
    assert_int_equal(disk->ops->write_now(file, 0, slice_of(page, DISK_ALIGN)), ERR_OK);
    assert_int_equal(sim_disk_operations(disk, SIM_WRITE), 4);
    sim_disk_flip_bit(disk, file_path, 3);
    uint64_t size = 0;
    assert_int_equal(sim_disk_bytes(disk, file_path, &size)[0], 'x' ^ 8);
    disk->ops->close(file);
    sim_disk_free(disk);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_plain_modes),
        cmocka_unit_test(test_sim),
        cmocka_unit_test(test_sim_tears),
        cmocka_unit_test(test_sim_forgets_names),
        cmocka_unit_test(test_sim_ignored_sync),
        cmocka_unit_test(test_sim_failures),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
