/* offline — a directory as a server that was killed leaves it: some streams in the store, some in
 * the journal, one in both; and the commands over it. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/cli/cli.h"
#include "server/cli/offline.h"
#include "storage/tail.h"

enum {
    PROJECT = 1,
    SEGMENT_BYTES = 4 * 1024 * 1024,
    FRAME_PAYLOAD_AT = 4096 + 4096 + 48, /* of the journal's second batch: FORMAT.md */
};

struct directory {
    char path[64];
    struct store *store;
    struct disk *disk;
    struct journal *journal;
    uint64_t lsn;
};

static int64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static void nothing_committed(void *context, uint64_t lsn)
{
    (void)context;
    (void)lsn;
}

static void never_stuck(void *context, enum err err)
{
    (void)context;
    fail_msg("the journal is stuck: %s", err_name(err));
}

static void no_wake(void *context, int64_t when_ns)
{
    (void)context;
    (void)when_ns;
}

static enum err no_replay(void *context, const struct record *record, uint64_t lsn)
{
    (void)context;
    (void)record;
    (void)lsn;
    return ERR_OK;
}

static void path_of(const struct directory *directory, const char *name, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s/%s", directory->path, name);
}

static void begin(struct directory *directory)
{
    char lock[PATH_MAX];
    struct journal_recovery found;
    *directory = (struct directory){.path = "/tmp/tokenlog-offline-XXXXXX"};
    assert_non_null(mkdtemp(directory->path));
    path_of(directory, "lock", lock);
    CLEANUP(cleanup_close) int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "4711\n", 5), 5);
    assert_int_equal(store_open(directory->path, false, 1, &directory->store), ERR_OK);
    directory->disk = disk_plain_new();
    struct journal_config config = {
        .disk = directory->disk,
        .path = directory->path,
        .segment_bytes = SEGMENT_BYTES,
        .segment_count = SEGMENT_COUNT_MIN,
        .committed = nothing_committed,
        .stuck = never_stuck,
        .wake_at = no_wake,
        .now_ns = no_time,
    };
    store_uuid(directory->store, config.store_uuid);
    assert_int_equal(journal_open(&config, 0, no_replay, &found, &directory->journal), ERR_OK);
}

/* What a server that is killed leaves: nothing but the files. */
static void leave(struct directory *directory)
{
    directory->journal = journal_close(directory->journal);
    directory->disk = disk_plain_free(directory->disk);
    directory->store = store_close(directory->store);
}

static void end(struct directory *directory)
{
    static const char *const names[] = {"lock", "store.lmdb", "store.lmdb-lock", "journal-00",
        "journal-01", "journal-02", "keys", "audit-key"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(directory, names[i], path);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(directory->path), 0);
}

static struct id id_of(uint8_t number)
{
    const uint8_t random[ID_RANDOM_BYTES] = {0};
    return id_make(1700000000000 + number, random);
}

static struct row row_of(uint8_t number, enum stream_state state, uint64_t events, uint64_t bytes)
{
    return (struct row){
        .id = id_of(number),
        .number = number,
        .project = PROJECT,
        .attempt = 1,
        .state = state,
        .is_sse = true,
        .project_name = SLICE("default"),
        .model = number % 2 ? SLICE("odd") : SLICE("even"),
        .content_type = SLICE("text/event-stream"),
        .content_length = -1,
        .accepted_ns = 1,
        .ended_ns = stream_state_is_live(state) ? 0 : 2,
        .events = events,
        .bytes = bytes,
        .usage = USAGE_UNKNOWN,
    };
}

/* A stream of `count` events "data: <n>\n\n" in the store. */
static void store_stream(
    struct directory *directory, uint8_t number, enum stream_state state, uint64_t count)
{
    struct store_txn *txn;
    struct block *block;
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(block_new(0, 0, 0, BLOCK_CAPACITY_MIN, &block), ERR_OK);
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        char event[32];
        int size = snprintf(event, sizeof event, "data: %u\n\n", (unsigned)i);
        assert_int_equal(block_append(block, slice_of(event, (size_t)size), 1, 0), ERR_OK);
        bytes += (uint64_t)size;
    }
    struct row row = row_of(number, state, count, bytes);
    assert_int_equal(row_encode(&row, &encoded), ERR_OK);
    assert_int_equal(store_begin(directory->store, &txn), ERR_OK);
    const struct block_run run = {.blocks = &block, .count = 1};
    assert_int_equal(store_put_row(txn, buf_slice(&encoded)), ERR_OK);
    if (count)
        assert_int_equal(store_put_blocks(txn, PROJECT, number, &run), ERR_OK);
    assert_int_equal(store_commit(txn, 0), ERR_OK);
    block_unref(block);
}

/* One record, made durable in a batch of its own. */
static void journal_record(struct directory *directory, const struct record *record)
{
    assert_int_equal(journal_append(directory->journal, record, &directory->lsn), ERR_OK);
    journal_hurry(directory->journal);
    while (!journal_is_idle(directory->journal)) {
        journal_tick(directory->journal);
        disk_plain_run(directory->disk);
        (void)journal_prepare(directory->journal);
    }
}

static void journal_row(struct directory *directory, const struct row *row)
{
    CLEANUP(buf_deinit) struct buf encoded;
    buf_init(&encoded, ROW_BYTES_MAX);
    assert_int_equal(row_encode(row, &encoded), ERR_OK);
    journal_record(directory, &(struct record){.type = RECORD_ROW,
                                  .flags = RECORD_LAST,
                                  .number = row->number,
                                  .payload = buf_slice(&encoded)});
}

enum { FIRST = TAIL_RECORD_FIRST, LAST = RECORD_LAST, WHOLE = TAIL_RECORD_FIRST | RECORD_LAST };

static void journal_event(
    struct directory *directory, uint8_t number, uint64_t seq, uint8_t flags, const char *text)
{
    journal_record(directory, &(struct record){.type = RECORD_EVENT,
                                  .flags = flags,
                                  .number = number,
                                  .seq = seq,
                                  .time_ns = 1,
                                  .payload = slice_text(text)});
}

static void journal_delete(struct directory *directory, uint8_t number)
{
    uint8_t payload[4 + ID_BYTES] = {0, 0, 0, PROJECT};
    struct id id = id_of(number);
    memcpy(payload + 4, id.bytes, ID_BYTES);
    journal_record(directory,
        &(struct record){
            .type = RECORD_DELETE, .number = number, .payload = slice_of(payload, sizeof payload)});
}

/* 1 store, completed · 2 store, deleted in the journal · 3 live, its beginning in the store ·
 * 4 journal only, live, an event in parts, one cut short · 5 journal only, completed */
static void fill(struct directory *directory)
{
    store_stream(directory, 1, STREAM_COMPLETED, 3);
    store_stream(directory, 2, STREAM_COMPLETED, 1);
    store_stream(directory, 3, STREAM_STREAMING, 2);
    struct row row = row_of(4, STREAM_ACCEPTED, 0, 0);
    journal_row(directory, &row);
    journal_event(directory, 3, 2, WHOLE, "data: 2\n\n");
    journal_event(directory, 4, 0, WHOLE, "data: zero\n\n");
    journal_event(directory, 4, 1, FIRST, "data: o");
    row = row_of(5, STREAM_ACCEPTED, 0, 0);
    journal_row(directory, &row);
    journal_event(directory, 4, 1, 0, "n");
    journal_event(directory, 4, 1, LAST, "e\n\n");
    journal_event(directory, 5, 0, WHOLE, "data: [DONE]\n\n");
    row = row_of(5, STREAM_COMPLETED, 1, 14);
    journal_row(directory, &row);
    journal_delete(directory, 2);
    row = row_of(3, STREAM_STREAMING, 3, 27);
    journal_row(directory, &row);
    journal_event(directory, 4, 2, FIRST, "data: cut sh");
}

/* A command line over the directory. */
struct run {
    char *out, *err;
    size_t out_size, err_size;
    int code;
};

static struct run run(const struct directory *directory, const char *line)
{
    struct run run = {0};
    char *words[12];
    int count = 0;
    char variable[96];
    (void)snprintf(variable, sizeof variable, "TOKENLOG_SERVER=http://127.0.0.1:1");
    char *environment[] = {variable, NULL};
    char text[256];
    (void)snprintf(text, sizeof text, "%s --data %s", line, directory->path);
    char *rest = text;
    for (char *word; (word = strsep(&rest, " "));)
        words[count++] = word;
    struct cli cli = {.out = open_memstream(&run.out, &run.out_size),
        .err = open_memstream(&run.err, &run.err_size),
        .environment = environment};
    run.code = cli_run(&cli, count, words);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return run;
}

static void finish(struct run *run)
{
    free(run->out);
    free(run->err);
}

static void prints(const struct directory *directory, const char *command, uint8_t number, int code,
    const char *text)
{
    char line[96], id_text[ID_TEXT_BYTES];
    struct id id = id_of(number);
    id_format(&id, id_text);
    (void)snprintf(line, sizeof line, command, id_text);
    struct run got = run(directory, line);
    if (got.code != code || strcmp(got.out, text) != 0)
        fail_msg("%s: got %d, %s%s", line, got.code, got.out, got.err);
    finish(&got);
}

struct seen {
    uint8_t numbers[8];
    enum stream_state states[8];
    uint64_t events[8];
    size_t count, max;
};

static enum err see(void *context, const struct row *row)
{
    struct seen *seen = context;
    seen->numbers[seen->count] = (uint8_t)row->number;
    seen->states[seen->count] = row->state;
    seen->events[seen->count++] = row->events;
    return seen->count == seen->max ? ERR_CLOSED : ERR_OK;
}

static void the_list_is_store_and_journal_merged(void **state)
{
    (void)state;
    struct directory directory;
    struct offline *offline;
    int holder_pid = 0;
    begin(&directory);
    fill(&directory);
    leave(&directory);
    assert_int_equal(offline_open(directory.path, NULL, &holder_pid, &offline), ERR_OK);
    struct seen seen = {.max = 8};
    assert_int_equal(offline_list(offline, NULL, see, &seen), ERR_OK);
    assert_int_equal(seen.count, 5);
    static const struct {
        uint8_t number;
        enum stream_state state;
        uint64_t events;
    } wanted[] = {{5, STREAM_COMPLETED, 1}, {4, STREAM_INTERRUPTED, 2}, {3, STREAM_INTERRUPTED, 3},
        {2, STREAM_DELETED, 1}, {1, STREAM_COMPLETED, 3}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(seen.numbers[i], wanted[i].number);
        assert_int_equal(seen.states[i], wanted[i].state);
        assert_int_equal(seen.events[i], wanted[i].events);
    }
    for (uint8_t before = 1; before <= 6; before++) {
        struct id id = id_of(before);
        seen = (struct seen){.max = 8};
        assert_int_equal(offline_list(offline, &id, see, &seen), ERR_OK);
        assert_int_equal(seen.count, before - 1);
        assert_true(before == 1 || seen.numbers[0] == before - 1);
    }
    for (size_t max = 1; max <= 5; max++) {
        seen = (struct seen){.max = max};
        assert_int_equal(offline_list(offline, NULL, see, &seen), ERR_OK);
        assert_int_equal(seen.count, max);
    }
    offline_close(offline);
    end(&directory);
}

static void events_come_from_both(void **state)
{
    (void)state;
    struct directory directory;
    begin(&directory);
    fill(&directory);
    leave(&directory);
    prints(&directory, "tail %s", 1, CLI_OK, "0\n1\n2\n");
    prints(&directory, "tail %s --from 2", 1, CLI_OK, "2\n");
    prints(&directory, "tail %s --from 3", 1, CLI_OK, "");
    prints(&directory, "tail %s --from 4", 1, CLI_FAILED, "");
    prints(&directory, "tail %s --raw", 3, CLI_FAILED, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    prints(&directory, "tail %s --no-follow", 4, CLI_OK, "zero\none\n");
    prints(&directory, "tail %s --json", 5, CLI_OK, "{\"seq\":0,\"data\":\"[DONE]\"}\n");
    prints(&directory, "tail %s", 2, CLI_NOT_FOUND, "");
    prints(&directory, "tail %s", 9, CLI_NOT_FOUND, "");
    prints(&directory, "show %s", 9, CLI_NOT_FOUND, "");
    end(&directory);
}

static void filters_and_pages_are_those_of_a_server(void **state)
{
    (void)state;
    struct directory directory;
    begin(&directory);
    fill(&directory);
    leave(&directory);
    struct run got = run(&directory, "ls --json --model odd --limit 2");
    assert_int_equal(got.code, CLI_OK);
    assert_non_null(strstr(got.out, "\"has_more\":true,\"next\":\""));
    assert_null(strstr(got.out, "\"even\""));
    finish(&got);
    got = run(&directory, "ls --json --state interrupted");
    assert_non_null(strstr(got.out, "\"has_more\":false,\"next\":null}\n"));
    assert_null(strstr(got.out, "completed"));
    finish(&got);
    got = run(&directory, "ls");
    assert_null(strstr(got.out, "deleted"));
    finish(&got);
    got = run(&directory, "ls --state deleted");
    assert_non_null(strstr(got.out, "deleted"));
    finish(&got);
    end(&directory);
}

static void verify_says_that_all_is_well_or_what_is_not(void **state)
{
    (void)state;
    struct directory directory;
    char path[PATH_MAX];
    begin(&directory);
    fill(&directory);
    leave(&directory);
    struct run got = run(&directory, "verify");
    if (got.code != CLI_OK)
        fail_msg("%s%s", got.out, got.err);
    assert_non_null(strstr(got.out, "all is well\n"));
    finish(&got);
    path_of(&directory, "journal-00", path);
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "!", 1, FRAME_PAYLOAD_AT), 1);
    got = run(&directory, "verify");
    assert_int_equal(got.code, CLI_FAILED);
    assert_non_null(strstr(got.out, "journal: 1 batches are corrupt"));
    finish(&got);
    got = run(&directory, "verify --json");
    assert_int_equal(got.code, CLI_FAILED);
    assert_memory_equal(got.out, "{\"ok\":false,\"findings_count\":", 29);
    finish(&got);
    end(&directory);
}

static void a_directory_that_is_held_is_left_alone(void **state)
{
    (void)state;
    struct directory directory;
    char path[PATH_MAX];
    begin(&directory);
    leave(&directory);
    path_of(&directory, "lock", path);
    assert_int_equal(offline_holder(directory.path), 0);
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(offline_holder(directory.path), 4711);
    struct run got = run(&directory, "verify");
    assert_int_equal(got.code, CLI_UNREACHABLE);
    assert_non_null(strstr(got.err, "process 4711 holds"));
    finish(&got);
    got = run(&directory, "ls");
    assert_int_equal(got.code, CLI_UNREACHABLE);
    assert_non_null(strstr(got.err, "no server answers at http://127.0.0.1:1"));
    finish(&got);
    end(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_store_and_journal_merged),
        cmocka_unit_test(events_come_from_both),
        cmocka_unit_test(filters_and_pages_are_those_of_a_server),
        cmocka_unit_test(verify_says_that_all_is_well_or_what_is_not),
        cmocka_unit_test(a_directory_that_is_held_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
