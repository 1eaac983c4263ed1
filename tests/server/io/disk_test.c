/* disk — durable writes on the ring, over a plain disk of the test's own, so that what the file
 * descriptor leads to can be chosen: a file, a full device, one that takes only a part. */
#include "server/io/disk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

struct disk_file {
    int fd;
};

static struct disk_file opened;
static int calls_forwarded;

static enum err plain_open(
    struct disk *disk, const char *path, uint64_t size, struct disk_file **out)
{
    assert_non_null(disk);
    (void)size;
    opened.fd = open(path, O_RDWR | O_CLOEXEC);
    *out = &opened;
    return opened.fd < 0 ? ERR_NOTFOUND : ERR_OK;
}

static void plain_close(struct disk_file *file)
{
    (void)close(file->fd);
}

static enum err plain_path(struct disk *disk, const char *path)
{
    assert_non_null(disk);
    assert_string_equal(path, "there");
    calls_forwarded++;
    return ERR_NOTFOUND;
}

static enum err plain_rename(struct disk *disk, const char *from, const char *to)
{
    assert_string_equal(to, "elsewhere");
    return plain_path(disk, from);
}

static const struct disk_ops plain_ops = {
    .open = plain_open,
    .close = plain_close,
    .sync_directory = plain_path,
    .remove = plain_path,
    .rename = plain_rename,
};

/* storage/disk_plain.c's, as far as the ring's disk needs them. */
struct disk *disk_plain_new(void)
{
    struct disk *disk = calloc(1, sizeof *disk);
    if (disk)
        disk->ops = &plain_ops;
    return disk;
}

struct disk *disk_plain_free(struct disk *disk)
{
    free(disk);
    return NULL;
}

int disk_plain_fd(const struct disk_file *file)
{
    return file->fd;
}

struct fixture {
    struct loop *loop;
    struct disk *disk;
    struct disk_file *file;
    struct slice block;
    bool is_registered;
};

struct result {
    struct loop *loop;
    enum err err;
    int count;
    int64_t at_ns;
};

static void write_done(struct disk_write *write, enum err err)
{
    struct result *result = write->owner;
    result->err = err;
    result->count++;
    result->at_ns = loop_now_ns(result->loop);
    loop_stop(result->loop);
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    uint8_t *block = aligned_alloc(DISK_ALIGN, DISK_ALIGN);
    if (!block || loop_new(&fixture.loop) != ERR_OK ||
        disk_ring_new(fixture.loop, &fixture.disk) != ERR_OK)
        return 1;
    memset(block, 'j', DISK_ALIGN);
    fixture.block = slice_of(block, DISK_ALIGN);
    fixture.is_registered = fixture.disk->ops->register_buffers(fixture.disk, &fixture.block, 1);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->file)
        fixture->disk->ops->close(fixture->file);
    disk_ring_free(fixture->disk);
    loop_free(fixture->loop);
    free((void *)(uintptr_t)fixture->block.data);
    return 0;
}

static void open_path(struct fixture *fixture, const char *path)
{
    assert_int_equal(fixture->disk->ops->open(fixture->disk, path, 0, &fixture->file), ERR_OK);
}

static void open_temporary(struct fixture *fixture)
{
    char path[] = "/tmp/disk_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    open_path(fixture, path);
    (void)unlink(path);
}

static struct result write_block(struct fixture *fixture, uint64_t offset, int buffer_index)
{
    struct result result = {.loop = fixture->loop, .err = ERR_AGAIN};
    struct disk_write write = {
        .file = fixture->file,
        .offset = offset,
        .bytes = fixture->block,
        .buffer_index = buffer_index,
        .done = write_done,
        .owner = &result,
    };
    fixture->disk->ops->write_durable(fixture->disk, &write);
    assert_int_equal(result.count, 0); /* never from inside the call */
    loop_run(fixture->loop);
    assert_int_equal(result.count, 1);
    return result;
}

static void test_written(void **state)
{
    struct fixture *fixture = *state;
    open_temporary(fixture);
    assert_int_equal(write_block(fixture, 0, -1).err, ERR_OK);
    int index = fixture->is_registered ? 0 : -1;
    assert_int_equal(write_block(fixture, DISK_ALIGN, index).err, ERR_OK);
    uint8_t back[2 * DISK_ALIGN];
    assert_int_equal(pread(opened.fd, back, sizeof back, 0), sizeof back);
    assert_memory_equal(back, fixture->block.data, DISK_ALIGN);
    assert_memory_equal(back + DISK_ALIGN, fixture->block.data, DISK_ALIGN);
}

static void test_full(void **state)
{
    struct fixture *fixture = *state;
    open_path(fixture, "/dev/full");
    assert_int_equal(write_block(fixture, 0, -1).err, ERR_FULL);
}

static void test_broken(void **state)
{
    struct fixture *fixture = *state;
    open_temporary(fixture);
    int fd = opened.fd;
    opened.fd = -1;
    assert_int_equal(write_block(fixture, 0, -1).err, ERR_IO);
    assert_non_null(strstr(fault_origin(), "durable write"));
    opened.fd = fd;
}

static void test_short_write_is_a_fault(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit = (struct rlimit){DISK_ALIGN / 2, before.rlim_max};
    open_temporary(fixture);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err err = write_block(fixture, 0, -1).err;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, ERR_IO);
    assert_non_null(strstr(fault_origin(), "short"));
}

static void test_delay_holds_completions_back(void **state)
{
    struct fixture *fixture = *state;
    static const int64_t delay_ns = 20 * 1000000;
    open_temporary(fixture);
    disk_ring_delay(fixture->disk, delay_ns);
    int64_t begun_ns = loop_now_ns(fixture->loop);
    struct result result = write_block(fixture, 0, -1);
    assert_int_equal(result.err, ERR_OK);
    assert_true(result.at_ns >= begun_ns + delay_ns);
}

static void test_paths_go_to_the_plain_disk(void **state)
{
    struct fixture *fixture = *state;
    const struct disk_ops *ops = fixture->disk->ops;
    calls_forwarded = 0;
    assert_int_equal(ops->sync_directory(fixture->disk, "there"), ERR_NOTFOUND);
    assert_int_equal(ops->remove(fixture->disk, "there"), ERR_NOTFOUND);
    assert_int_equal(ops->rename(fixture->disk, "there", "elsewhere"), ERR_NOTFOUND);
    assert_int_equal(calls_forwarded, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_write_is_a_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delay_holds_completions_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths_go_to_the_plain_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
