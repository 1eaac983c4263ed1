/* walk — the window slides over the file:
 *
 *     | …read | record | record | rec…        |  not read yet…
 *             ▲ offset, at                    ▲ end of the window: a whole record is in it at least,
 *                                               or all there is
 */
#include "server/cli/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/own.h"

enum {
    WINDOW_BYTES = 2 * TRANSCRIPT_RECORD_BYTES_MAX,
    PATH_BYTES_MAX = 4096,
    PROGRESS_STREAMS = 64, /* between two writes of the line */
};

enum err walk_open(const char *path, enum transcript_format format, struct walk *out)
{
    struct walk walk = {.file = fopen(path, "rbe"), .format = format};
    if (!walk.file)
        return errno == ENOENT ? ERR_NOTFOUND : fault(ERR_IO, "%s: %s", path, strerror(errno));
    buf_init(&walk.window, WINDOW_BYTES);
    buf_init(&walk.scratch, TRANSCRIPT_RECORD_BYTES_MAX);
    buf_init(&walk.row, ROW_BYTES_MAX);
    enum err err = sha256_new(&walk.sha);
    if (err != ERR_OK) {
        walk_close(&walk);
        return err;
    }
    *out = walk;
    return ERR_OK;
}

void walk_close(struct walk *walk)
{
    if (walk->file)
        (void)fclose(walk->file);
    walk->file = NULL;
    buf_deinit(&walk->window);
    buf_deinit(&walk->scratch);
    buf_deinit(&walk->row);
    walk->sha = sha256_free(walk->sha);
}

enum err walk_seek(struct walk *walk, uint64_t offset)
{
    if (offset == walk->offset)
        return ERR_OK;
    if (offset > INT64_MAX || fseeko(walk->file, (off_t)offset, SEEK_SET) != 0)
        return fault(ERR_IO, "seeking in the export: %s", strerror(errno));
    walk->offset = offset;
    walk->is_at_end = false;
    walk->at = 0;
    buf_clear(&walk->window);
    return ERR_OK;
}

static enum err fill(struct walk *walk)
{
    uint8_t *room;
    if (walk->window.size - walk->at >= TRANSCRIPT_RECORD_BYTES_MAX || walk->is_at_end)
        return ERR_OK;
    buf_consume(&walk->window, walk->at);
    walk->at = 0;
    size_t wanted = WINDOW_BYTES - walk->window.size;
    TRY(buf_reserve(&walk->window, wanted, &room));
    size_t size = fread(room, 1, wanted, walk->file);
    buf_commit(&walk->window, size);
    walk->is_at_end = size < wanted;
    if (ferror(walk->file))
        return fault(ERR_IO, "reading the export: %s", strerror(errno));
    return ERR_OK;
}

/* One record; it is borrowed, as are its `raw` bytes, until `pass` lets go of them. */
static enum err peek(struct walk *walk, struct transcript_record *record, struct slice *raw)
{
    TRY(fill(walk));
    struct slice window = slice_sub(buf_slice(&walk->window), walk->at, WINDOW_BYTES);
    struct slice rest = window;
    if (window.size == 0)
        return ERR_CLOSED;
    TRY(transcript_read(walk->format, &rest, &walk->scratch, record));
    *raw = slice_sub(window, 0, window.size - rest.size);
    return ERR_OK;
}

static void pass(struct walk *walk, struct slice raw)
{
    walk->at += raw.size;
    walk->offset += raw.size;
}

struct counting {
    struct id id;
    uint64_t events, bytes, records, request_bytes, row_events;
    bool is_partial;
    bool has_row;
};

static enum err corrupt(const char *what)
{
    return fault(ERR_CORRUPT, "%s", what);
}

static enum err count_row(
    struct walk *walk, struct counting *counting, const struct transcript_record *record)
{
    struct row row;
    if (counting->has_row)
        return corrupt("it has no end");
    buf_clear(&walk->row);
    TRY(buf_append(&walk->row, record->bytes));
    TRY(row_decode(record->bytes, &row));
    counting->id = row.id;
    counting->row_events = row.events;
    counting->has_row = true;
    return ERR_OK;
}

static enum err count_event(struct counting *counting, const struct transcript_record *record)
{
    if (record->seq != counting->events)
        return corrupt("events are missing, or not in order");
    counting->bytes += record->bytes.size;
    counting->is_partial = record->is_more;
    counting->events += !record->is_more;
    return ERR_OK;
}

/* Nothing digests the end itself: it must be what we would write. */
static enum err check_bytes(
    struct walk *walk, const struct transcript_record *given, struct slice raw)
{
    struct row row;
    CLEANUP(buf_deinit) struct buf wanted;
    struct transcript_record record = *given;
    buf_init(&wanted, TRANSCRIPT_RECORD_BYTES_MAX);
    TRY(row_decode(buf_slice(&walk->row), &row));
    record.state = slice_text(stream_state_name(row.state));
    record.reason = row.reason;
    TRY(transcript_write(walk->format, &record, &wanted));
    return slice_equal(buf_slice(&wanted), raw)
               ? ERR_OK
               : corrupt("its end says another thing than its row");
}

static enum err check_end(struct walk *walk, const struct counting *counting,
    const struct transcript_record *record, struct slice raw)
{
    uint8_t sha256[SHA256_BYTES];
    sha256_end(walk->sha, sha256);
    if (!id_equal(&record->id, &counting->id))
        return corrupt("its end is another stream's");
    if (counting->is_partial || record->event_count != counting->events ||
        record->byte_count != counting->bytes || counting->row_events != counting->events)
        return corrupt("its end counts other events than there are");
    if (!record->has_sha256 || memcmp(record->sha256, sha256, SHA256_BYTES) != 0)
        return corrupt("its digest is another");
    return check_bytes(walk, record, raw);
}

static enum err count(struct walk *walk, struct counting *counting,
    const struct transcript_record *record, struct slice raw)
{
    counting->records++;
    if (!counting->has_row && record->kind != TRANSCRIPT_STREAM)
        return corrupt("it begins in the middle");
    switch (record->kind) {
    case TRANSCRIPT_STREAM: return count_row(walk, counting, record);
    case TRANSCRIPT_EVENT: return count_event(counting, record);
    case TRANSCRIPT_END: return check_end(walk, counting, record, raw);
    case TRANSCRIPT_REQUEST: break;
    }
    if (record->seq != counting->request_bytes)
        return corrupt("pieces of its request are missing");
    counting->request_bytes += record->bytes.size;
    return ERR_OK;
}

enum err walk_stream(struct walk *walk,
    enum err (*visit)(void *context, const struct transcript_record *record), void *context,
    struct manifest_entry *entry)
{
    struct counting counting = {0};
    struct transcript_record record = {0};
    uint64_t start = walk->offset;
    sha256_begin(walk->sha);
    do {
        struct slice raw;
        enum err err = peek(walk, &record, &raw);
        if (err == ERR_CLOSED && counting.has_row)
            return corrupt("it is cut short");
        TRY(err);
        if (record.kind != TRANSCRIPT_END)
            sha256_add(walk->sha, raw);
        TRY(count(walk, &counting, &record, raw));
        if (visit)
            TRY(visit(context, &record));
        pass(walk, raw);
    } while (record.kind != TRANSCRIPT_END);
    *entry = (struct manifest_entry){.id = counting.id,
        .events = counting.events,
        .bytes = counting.bytes,
        .records = counting.records,
        .offset = start,
        .size = walk->offset - start};
    memcpy(entry->sha256, record.sha256, SHA256_BYTES);
    return ERR_OK;
}

/* ——— against the manifest ——— */

struct checking {
    const struct cli *cli;
    const char *path;
    struct walk walk;
    struct manifest manifest;
    struct manifest_totals found, said;
    struct id last;
    uint64_t damaged;
};

static void report(struct checking *checking, const struct id *id, const char *what)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    checking->damaged++;
    (void)cli_fail(
        checking->cli, CLI_FAILED, "%s: stream %s is damaged: %s", checking->path, text, what);
}

static bool is_same(const struct manifest_entry *a, const struct manifest_entry *b)
{
    return id_equal(&a->id, &b->id) && a->events == b->events && a->bytes == b->bytes &&
           a->records == b->records && a->size == b->size &&
           memcmp(a->sha256, b->sha256, SHA256_BYTES) == 0;
}

/* faults of reading and seeking; damage is reported. */
static enum err check_entry(struct checking *checking, const struct manifest_entry *said)
{
    struct manifest_entry found;
    if (said->offset != checking->found.size)
        return fault(ERR_CORRUPT, "the manifest: its streams do not lie next to each other");
    if (checking->found.streams && memcmp(said->id.bytes, checking->last.bytes, ID_BYTES) >= 0)
        return fault(ERR_CORRUPT, "the manifest: its streams are not newest first");
    checking->last = said->id;
    manifest_add(&checking->found, said);
    TRY(walk_seek(&checking->walk, said->offset));
    enum err err = walk_stream(&checking->walk, NULL, NULL, &found);
    if (err == ERR_OK && !is_same(&found, said))
        report(checking, &said->id, "the manifest says otherwise");
    else if (err == ERR_CORRUPT)
        report(checking, &said->id, fault_origin());
    else if (err == ERR_CLOSED)
        report(checking, &said->id, "it is missing at the end of the file");
    else
        return err;
    return ERR_OK;
}

static enum err check_sums(struct checking *checking)
{
    const struct manifest_totals *found = &checking->found, *said = &checking->said;
    if (found->streams != said->streams || found->events != said->events ||
        found->bytes != said->bytes || found->size != said->size)
        return fault(ERR_CORRUPT, "the manifest: its sums are not those of its streams");
    if (checking->damaged)
        return ERR_OK;
    if (fseeko(checking->walk.file, 0, SEEK_END) != 0)
        return fault(ERR_IO, "seeking in the export: %s", strerror(errno));
    return (uint64_t)ftello(checking->walk.file) == said->size
               ? ERR_OK
               : fault(ERR_CORRUPT, "there is more in it than its manifest says");
}

static enum err check_all(struct checking *checking)
{
    bool has_progress = isatty(fileno(checking->cli->err)) == 1;
    for (uint64_t count = 0;; count++) {
        struct manifest_entry entry;
        enum err err = manifest_next(&checking->manifest, &entry, &checking->said);
        if (err == ERR_CLOSED)
            break;
        TRY(err);
        TRY(check_entry(checking, &entry));
        if (has_progress && count % PROGRESS_STREAMS == 0)
            (void)fprintf(checking->cli->err, "\rchecked: %" PRIu64 " streams", count + 1);
    }
    if (has_progress)
        (void)fputs("\r\033[K", checking->cli->err);
    return check_sums(checking);
}

int walk_check(
    const struct cli *cli, const char *path, struct manifest *head, struct manifest_totals *totals)
{
    struct checking checking = {.cli = cli, .path = path};
    char manifest_path[PATH_BYTES_MAX];
    (void)snprintf(manifest_path, sizeof manifest_path, "%s.manifest.json", path);
    enum err err = manifest_open(manifest_path, &checking.manifest);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_FAILED,
            "%s has no manifest (%s): the export is not whole; go on with it by --resume", path,
            manifest_path);
    if (err == ERR_OK)
        err = walk_open(path, checking.manifest.format, &checking.walk);
    if (err == ERR_OK)
        err = check_all(&checking);
    if (head)
        *head = (struct manifest){
            .format = checking.manifest.format, .filter = checking.manifest.filter};
    *totals = checking.said;
    walk_close(&checking.walk);
    manifest_close(&checking.manifest);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_FAILED, "%s is not there", path);
    if (err == ERR_CORRUPT)
        return cli_fail(cli, CLI_FAILED, "%s is damaged: %s", path, fault_origin());
    if (err != ERR_OK)
        return cli_fault(cli, err);
    return checking.damaged ? cli_fail(cli, CLI_FAILED, "%s: %" PRIu64 " streams are damaged", path,
                                  checking.damaged)
                            : CLI_OK;
}
