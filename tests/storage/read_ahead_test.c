/* read_ahead — the same bytes with threads and without them, whatever views are asked for; what cannot
 * be read is zeros, and said to be so; who stops early leaves nothing behind. */
#include "storage/read_ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sim/disk_sim.h"

enum {
    FILE_COUNT = 3,
    FILE_BYTES =
        READ_AHEAD_PIECE_BYTES * 5 + 3 * DISK_ALIGN, /* more pieces than there are buffers */
};

static char folder[64];

struct rig {
    struct disk *disk;
    struct read_ahead_file files[FILE_COUNT];
    char paths[FILE_COUNT][96];
    uint64_t bytes; /* looked at */
};

/* Each word of each file is another. */
static uint64_t word_at(size_t file, uint64_t offset)
{
    return (offset + 1) * UINT64_C(0x9e3779b97f4a7c15) + file;
}

static void write_file(struct rig *rig, size_t index, uint64_t bytes)
{
    enum { STEP_BYTES = 64 * DISK_ALIGN };
    const struct disk_ops *ops = rig->disk->ops;
    uint64_t *words = aligned_alloc(DISK_ALIGN, STEP_BYTES);
    assert_non_null(words);
    (void)snprintf(rig->paths[index], sizeof rig->paths[index], "%s/%zu", folder, index);
    assert_int_equal(
        ops->open(rig->disk, rig->paths[index], bytes, &rig->files[index].file), ERR_OK);
    for (uint64_t offset = 0; offset < bytes; offset += STEP_BYTES) {
        uint64_t step = bytes - offset < STEP_BYTES ? bytes - offset : STEP_BYTES;
        for (uint64_t at = 0; at < step; at += sizeof *words)
            words[at / sizeof *words] = word_at(index, offset + at);
        assert_int_equal(
            ops->write_now(rig->files[index].file, offset, slice_of(words, step)), ERR_OK);
    }
    rig->files[index].bytes = bytes;
    free(words);
}

static void open_rig(struct rig *rig, struct disk *disk)
{
    *rig = (struct rig){.disk = disk};
    (void)snprintf(folder, sizeof folder, "/tmp/tokenlog-ahead-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file(rig, 0, FILE_BYTES);
    write_file(rig, 1, DISK_ALIGN);
    write_file(rig, 2, FILE_BYTES);
}

static void close_rig(struct rig *rig)
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        rig->disk->ops->close(rig->files[i].file);
        assert_int_equal(rig->disk->ops->remove(rig->disk, rig->paths[i]), ERR_OK);
    }
    (void)rmdir(folder);
}

static void expect_words(
    struct rig *rig, size_t file, uint64_t offset, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        if (word != word_at(file, offset + at))
            fail_msg("file %zu at %llu is another", file, (unsigned long long)(offset + at));
    }
    rig->bytes += size;
}

/* As recovery looks: a block, then all of the batch that begins there; now and then only a block. */
static void look_at_file(struct rig *rig, struct read_ahead *ahead, size_t file, size_t batch_bytes)
{
    struct disk_file *of = rig->files[file].file;
    uint64_t end = rig->files[file].bytes;
    for (uint64_t offset = 0, n = 0; offset < end; n++) {
        size_t size = n % 5 != 4 && batch_bytes < end - offset ? batch_bytes : DISK_ALIGN;
        expect_words(rig, file, offset, read_ahead_view(ahead, of, offset, DISK_ALIGN), DISK_ALIGN);
        expect_words(rig, file, offset, read_ahead_view(ahead, of, offset, size), size);
        offset += size;
    }
}

static void look_at_all(struct rig *rig)
{
    static const size_t batches[] = {DISK_ALIGN, 37 * DISK_ALIGN, BATCH_BYTES};
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        struct read_ahead *ahead = NULL;
        assert_int_equal(read_ahead_open(rig->disk, rig->files, FILE_COUNT, &ahead), ERR_OK);
        for (size_t file = 0; file < FILE_COUNT; file++)
            look_at_file(rig, ahead, file, batches[i]);
        assert_false(read_ahead_is_unreadable(ahead));
        read_ahead_close(ahead);
    }
}

/* Closed before all was looked at, or anything, or with nothing there to look at. */
static void leave_early(struct rig *rig)
{
    struct read_ahead *ahead = NULL;
    assert_int_equal(read_ahead_open(rig->disk, rig->files, FILE_COUNT, &ahead), ERR_OK);
    read_ahead_close(ahead);
    assert_int_equal(read_ahead_open(rig->disk, rig->files, FILE_COUNT, &ahead), ERR_OK);
    expect_words(rig, 0, 0, read_ahead_view(ahead, rig->files[0].file, 0, DISK_ALIGN), DISK_ALIGN);
    const uint8_t *skipped = read_ahead_view(ahead, rig->files[2].file, BATCH_BYTES, BATCH_BYTES);
    expect_words(rig, 2, BATCH_BYTES, skipped, BATCH_BYTES);
    read_ahead_close(ahead);
    assert_int_equal(read_ahead_open(rig->disk, NULL, 0, &ahead), ERR_OK);
    assert_false(read_ahead_is_unreadable(ahead));
    read_ahead_close(ahead);
    assert_null(read_ahead_close(NULL));
}

static void test_threads_read_what_is_there(void **state)
{
    (void)state;
    struct rig rig;
    struct disk *disk = disk_plain_new();
    assert_true(disk->reads_ahead);
    open_rig(&rig, disk);
    look_at_all(&rig);
    leave_early(&rig);
    close_rig(&rig);
    disk_plain_free(disk);
}

static void test_without_threads_the_same(void **state)
{
    (void)state;
    struct rig rig;
    struct disk *disk = sim_disk_new(1);
    assert_false(disk->reads_ahead);
    open_rig(&rig, disk);
    look_at_all(&rig);
    leave_early(&rig);
    close_rig(&rig);
    sim_disk_free(disk);
}

/* Of the sixth read and the one of the block that is tried again first: zeros, and only there. */
static void test_what_cannot_be_read_is_zeros(void **state)
{
    (void)state;
    struct rig rig;
    struct disk *disk = sim_disk_new(1);
    struct read_ahead *ahead = NULL;
    open_rig(&rig, disk);
    assert_int_equal(read_ahead_open(disk, rig.files, 1, &ahead), ERR_OK);
    const struct disk_file *file = rig.files[0].file;
    expect_words(&rig, 0, 0, read_ahead_view(ahead, file, 0, DISK_ALIGN), DISK_ALIGN);
    assert_false(read_ahead_is_unreadable(ahead));
    sim_disk_fail(disk, SIM_READ, 1, 2, ERR_IO);
    const uint8_t *bytes = read_ahead_view(ahead, file, READ_AHEAD_PIECE_BYTES, 2 * DISK_ALIGN);
    for (size_t i = 0; i < DISK_ALIGN; i++)
        assert_int_equal(bytes[i], 0);
    expect_words(&rig, 0, READ_AHEAD_PIECE_BYTES + DISK_ALIGN, bytes + DISK_ALIGN, DISK_ALIGN);
    assert_true(read_ahead_is_unreadable(ahead));
    read_ahead_close(ahead);
    close_rig(&rig);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_read_what_is_there),
        cmocka_unit_test(test_without_threads_the_same),
        cmocka_unit_test(test_what_cannot_be_read_is_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
