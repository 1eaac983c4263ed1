/* manifest — what is written is read again; what is damaged is not. */
#include "server/cli/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/own.h"

enum { ENTRIES = 3 };

static void fill(struct manifest_entry entries[ENTRIES], struct manifest_filter *filter)
{
    const uint8_t random[ID_RANDOM_BYTES] = {9};
    *filter = (struct manifest_filter){.project = "har\"bour",
        .metadata = "team=red",
        .state = "failed",
        .from_ns = 1700000000123456789};
    for (size_t i = 0; i < ENTRIES; i++)
        entries[i] = (struct manifest_entry){.id = id_make(1700000000000 - (int64_t)i, random),
            .events = i,
            .bytes = i * 10,
            .records = i + 2,
            .offset = i * 100,
            .size = 100,
            .sha256 = {(uint8_t)i}};
}

static void write_whole(const char *path, size_t count)
{
    struct manifest_entry entries[ENTRIES];
    struct manifest_filter filter;
    struct manifest_totals totals = {0};
    fill(entries, &filter);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(manifest_write_head(file, TRANSCRIPT_MSGPACK, &filter), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(manifest_write_entry(file, &entries[i], i == 0), ERR_OK);
        manifest_add(&totals, &entries[i]);
    }
    assert_int_equal(manifest_write_totals(file, &totals), ERR_OK);
    assert_int_equal(fclose(file), 0);
}

static void check_entries(struct manifest *manifest, size_t count)
{
    struct manifest_entry entries[ENTRIES], entry;
    struct manifest_filter filter;
    struct manifest_totals totals;
    fill(entries, &filter);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(manifest_next(manifest, &entry, &totals), ERR_OK);
        assert_true(id_equal(&entry.id, &entries[i].id));
        assert_true(entry.events == i && entry.bytes == i * 10 && entry.records == i + 2);
        assert_true(entry.offset == i * 100 && entry.size == 100);
        assert_memory_equal(entry.sha256, entries[i].sha256, SHA256_BYTES);
    }
    assert_int_equal(manifest_next(manifest, &entry, &totals), ERR_CLOSED);
    assert_true(totals.streams == count && totals.size == count * 100);
}

static void test_round_trip(void **state)
{
    const char *path = *state;
    for (size_t count = 0; count <= ENTRIES; count++) {
        struct manifest manifest;
        write_whole(path, count);
        assert_int_equal(manifest_open(path, &manifest), ERR_OK);
        assert_int_equal(manifest.format, TRANSCRIPT_MSGPACK);
        assert_string_equal(manifest.filter.project, "har\"bour");
        assert_string_equal(manifest.filter.metadata, "team=red");
        assert_string_equal(manifest.filter.state, "failed");
        assert_true(manifest.filter.from_ns == 1700000000123456789 && manifest.filter.to_ns == 0);
        check_entries(&manifest, count);
        manifest_close(&manifest);
    }
}

/* ERR_CLOSED only where the totals were whole. */
static void test_cut(void **state)
{
    const char *path = *state;
    write_whole(path, ENTRIES);
    FILE *file = fopen(path, "rbe");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_int_equal(fclose(file), 0);
    for (long cut = size - 3; cut >= 0; cut--) {
        struct manifest manifest;
        struct manifest_entry entry;
        struct manifest_totals totals;
        assert_int_equal(truncate(path, cut), 0);
        enum err err = manifest_open(path, &manifest);
        if (err == ERR_OK) {
            while ((err = manifest_next(&manifest, &entry, &totals)) == ERR_OK)
                continue;
            manifest_close(&manifest);
        }
        assert_int_equal(err, ERR_CORRUPT);
    }
}

static void test_not_there(void **state)
{
    struct manifest manifest;
    const char *path = *state;
    (void)unlink(path);
    assert_int_equal(manifest_open(path, &manifest), ERR_NOTFOUND);
}

static int set_up(void **state)
{
    static char path[] = "/tmp/tokenlog-manifest-XXXXXX";
    CLEANUP(cleanup_close) int fd = mkstemp(path);
    *state = path;
    return fd < 0;
}

static int tear_down(void **state)
{
    (void)unlink(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_not_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
