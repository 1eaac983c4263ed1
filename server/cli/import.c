/* import — an export's streams into the store of a data directory that no server runs on:
 *
 *     check FILE against its manifest, all of it ─▶ lock ─▶ stream by stream: row, events, request
 *
 * A stream that is there, or was and is deleted, is passed over, so that an import can be repeated.
 * It gets a number of its own and, like any other, its place in the project's audit log. Of a crash
 * in the midst only whole streams are there. A stream is one transaction, several small ones share
 * one: while it is stored, a stream's pages are in memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "server/cli/offline.h"
#include "server/cli/source.h"
#include "server/cli/walk.h"

enum {
    TXN_BYTES = 8 * 1024 * 1024, /* after which the streams so far are committed */
    PROGRESS_STREAMS = 64,       /* between two writes of the line */
    ZSTD_LEVEL = 3,
};

struct importing {
    const struct cli *cli;
    const char *project; /* NULL: each stream's own */
    int lock_fd;
    struct store *store;
    struct store_txn *txn;
    uint64_t next_number;
    uint64_t imported, present;
    /* The stream under way. */
    struct buf encoded; /* its row, as it came; then as it is stored */
    struct row row;
    bool is_present, is_new_project;
    struct block *block; /* NULL: none is begun */
    uint64_t bytes;      /* of events so far */
    uint32_t part;       /* of the next frame's event */
};

/* ——— one stream ——— */

static enum err last_project(void *context, uint32_t number, struct slice name)
{
    uint32_t *last = context;
    (void)name;
    *last = number > *last ? number : *last;
    return ERR_OK;
}

/* What is new is committed with its stream, so that the next one finds it. */
static enum err choose_project(struct importing *importing)
{
    struct row *row = &importing->row;
    uint32_t last = 0;
    if (importing->project)
        row->project_name = slice_text(importing->project);
    enum err err = store_project_number(importing->store, row->project_name, &row->project);
    importing->is_new_project = err == ERR_NOTFOUND;
    if (!importing->is_new_project)
        return err;
    TRY(store_project_walk(importing->store, last_project, &last));
    row->project = last + 1;
    return ERR_OK;
}

static enum err look_for(struct importing *importing)
{
    CLEANUP(buf_deinit) struct buf known;
    buf_init(&known, ROW_BYTES_MAX);
    enum err err =
        store_get_row(importing->store, importing->row.project, &importing->row.id, &known);
    importing->is_present = err == ERR_OK;
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err take_row(struct importing *importing, struct slice encoded)
{
    buf_clear(&importing->encoded);
    TRY(buf_append(&importing->encoded, encoded));
    TRY(row_decode(buf_slice(&importing->encoded), &importing->row));
    if (stream_state_is_live(importing->row.state) || importing->row.state == STREAM_DELETED)
        return fault(ERR_CORRUPT, "a stream has not ended");
    TRY(choose_project(importing));
    TRY(look_for(importing));
    importing->bytes = 0;
    importing->part = 0;
    if (importing->is_present)
        return ERR_OK;
    importing->row.number = importing->next_number++;
    CLEANUP(buf_deinit) struct buf stored;
    buf_init(&stored, ROW_BYTES_MAX);
    TRY(row_encode(&importing->row, &stored));
    if (!importing->txn)
        TRY(store_begin(importing->store, &importing->txn));
    return store_put_row(importing->txn, buf_slice(&stored));
}

static enum err put_block(struct importing *importing)
{
    struct block *block = importing->block;
    if (!block)
        return ERR_OK;
    const struct block_run run = {.blocks = &block, .count = 1};
    importing->block = NULL;
    enum err err =
        store_put_blocks(importing->txn, importing->row.project, importing->row.number, &run);
    block_unref(block);
    return err;
}

static enum err take_event(struct importing *importing, const struct transcript_record *record)
{
    uint32_t flags = record->is_more ? FRAME_MORE : 0;
    if (record->bytes.size > FRAME_BYTES_MAX)
        return fault(ERR_CORRUPT, "a part of an event is too long");
    enum err err = importing->block
                       ? block_append(importing->block, record->bytes, record->time_ns, flags)
                       : ERR_LIMIT;
    if (err == ERR_LIMIT) {
        TRY(put_block(importing));
        TRY(block_new(
            record->seq, importing->part, importing->bytes, BLOCK_BYTES_MAX, &importing->block));
        err = block_append(importing->block, record->bytes, record->time_ns, flags);
    }
    TRY(err);
    importing->bytes += record->bytes.size;
    importing->part = record->is_more ? importing->part + 1 : 0;
    return ERR_OK;
}

static enum err commit(struct importing *importing)
{
    struct store_txn *txn = MOVE(importing->txn);
    return txn ? store_commit(txn, 0) : ERR_OK;
}

static enum err take_end(struct importing *importing)
{
    CLEANUP(buf_deinit) struct buf stored;
    buf_init(&stored, ROW_BYTES_MAX);
    TRY(put_block(importing));
    TRY(row_encode(&importing->row, &stored));
    TRY(store_close_stream(importing->txn, buf_slice(&stored)));
    if (importing->is_new_project || store_txn_bytes(importing->txn) >= TXN_BYTES)
        return commit(importing);
    return ERR_OK;
}

static enum err take(void *context, const struct transcript_record *record)
{
    struct importing *importing = context;
    if (record->kind != TRANSCRIPT_STREAM && importing->is_present)
        return ERR_OK;
    switch (record->kind) {
    case TRANSCRIPT_STREAM: return take_row(importing, record->bytes);
    case TRANSCRIPT_EVENT: return take_event(importing, record);
    case TRANSCRIPT_REQUEST:
        return store_put_body(importing->txn, importing->row.project, importing->row.number,
            record->seq, record->bytes);
    case TRANSCRIPT_END: return take_end(importing);
    }
    return ERR_OK;
}

static enum err import_all(struct importing *importing, struct walk *walk)
{
    bool has_progress = isatty(fileno(importing->cli->err)) == 1;
    struct manifest_entry entry;
    enum err err;
    while ((err = walk_stream(walk, take, importing, &entry)) == ERR_OK) {
        importing->imported += !importing->is_present;
        importing->present += importing->is_present;
        if (has_progress && (importing->imported + importing->present) % PROGRESS_STREAMS == 0)
            (void)fprintf(
                importing->cli->err, "\rimported: %" PRIu64 " streams", importing->imported);
    }
    if (has_progress)
        (void)fputs("\r\033[K", importing->cli->err);
    return err == ERR_CLOSED ? commit(importing) : err;
}

/* ——— the directory ——— */

static int fail_path(const struct cli *cli, const char *path)
{
    return cli_fail(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
}

static int fail_held(const struct cli *cli, const char *data, int holder_pid)
{
    if (holder_pid > 0)
        return cli_fail(
            cli, CLI_UNREACHABLE, "process %d holds %s; stop the server first", holder_pid, data);
    return cli_fail(cli, CLI_UNREACHABLE, "another process holds %s; stop it first", data);
}

/* What the journal still has would come into the store later, perhaps the same streams. */
static int check_journal(const struct cli *cli, const char *data)
{
    struct offline *offline = NULL;
    int holder_pid = 0;
    enum err err = offline_open(data, NULL, &holder_pid, &offline);
    if (err == ERR_NOTFOUND)
        return CLI_OK; /* a new one */
    if (err == ERR_BUSY)
        return fail_held(cli, data, holder_pid);
    if (err != ERR_OK)
        return cli_fault(cli, err);
    uint64_t records = offline_recovery(offline)->records;
    offline_close(offline);
    return records ? cli_fail(cli, CLI_FAILED,
                         "%s was not shut down: start a server on it and stop it once, so that its "
                         "journal is archived, and import again",
                         data)
                   : CLI_OK;
}

static int take_lock(struct importing *importing, const char *data)
{
    const struct cli *cli = importing->cli;
    char path[PATH_MAX], holder[24];
    if (mkdir(data, 0700) != 0 && errno != EEXIST)
        return fail_path(cli, data);
    if (snprintf(path, sizeof path, "%s/lock", data) >= (int)sizeof path)
        return cli_fail(cli, CLI_USAGE, "--data: the name is too long");
    importing->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (importing->lock_fd < 0)
        return fail_path(cli, path);
    if (flock(importing->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? fail_held(cli, data, offline_holder(data))
                                    : fail_path(cli, path);
    int size = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(importing->lock_fd, 0) != 0 ||
        pwrite(importing->lock_fd, holder, (size_t)size, 0) != size)
        return fail_path(cli, path);
    return CLI_OK;
}

static enum err open_store(struct importing *importing, const char *data)
{
    uint32_t epoch;
    TRY(store_open(data, false, ZSTD_LEVEL, &importing->store));
    TRY(store_next_epoch(importing->store, &epoch));
    importing->next_number = (uint64_t)epoch << 32;
    return ERR_OK;
}

static int run(struct importing *importing, const char *path, enum transcript_format format)
{
    const char *data = source_data(importing->cli);
    struct walk walk = {0};
    int code = check_journal(importing->cli, data);
    if (code == CLI_OK)
        code = take_lock(importing, data);
    if (code != CLI_OK)
        return code;
    enum err err = open_store(importing, data);
    if (err == ERR_OK)
        err = walk_open(path, format, &walk);
    if (err == ERR_OK)
        err = import_all(importing, &walk);
    walk_close(&walk);
    return err == ERR_OK ? CLI_OK : cli_fault(importing->cli, err);
}

static int check_and_run(struct importing *importing, const char *path)
{
    struct manifest head;
    struct manifest_totals totals;
    int code = walk_check(importing->cli, path, &head, &totals);
    if (code != CLI_OK)
        return code;
    buf_init(&importing->encoded, ROW_BYTES_MAX);
    code = run(importing, path, head.format);
    block_unref(importing->block);
    store_abort(importing->txn);
    store_close(importing->store);
    cleanup_close(&importing->lock_fd);
    buf_deinit(&importing->encoded);
    return code;
}

int command_import(struct cli *cli, int argc, char **argv)
{
    struct importing importing = {.cli = cli, .lock_fd = -1};
    const struct cli_option options[] = {
        {.name = "project",
            .value_name = "P",
            .help = "into this project; else each stream into its own",
            .text = &importing.project},
    };
    const struct cli_usage usage = {
        .synopsis = "import FILE [flags]",
        .description = "Take the recordings of an export into a data directory, which is made if "
                       "it is not there. No\nserver may be running on it. An export that is "
                       "damaged is refused; streams that are there\nalready are passed over.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 1,
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    size_t size = importing.project ? strlen(importing.project) : 1;
    if (size == 0 || size > PROJECT_NAME_BYTES_MAX)
        return cli_fail(
            cli, CLI_USAGE, "--project: give a name of 1 to %d bytes", PROJECT_NAME_BYTES_MAX);
    code = check_and_run(&importing, positionals[0]);
    if (code != CLI_OK)
        return code;
    (void)fprintf(cli->out,
        cli->is_json ? "{\"imported\":%" PRIu64 ",\"present\":%" PRIu64 "}\n"
                     : "%" PRIu64 " streams imported, %" PRIu64 " were there already\n",
        importing.imported, importing.present);
    return CLI_OK;
}
