/* export — recordings into a file, newest first, one stream after another, each closed by its end:
 *
 *     page of the list ─▶ filter ─▶ fetch ─▶ records ─▶ FILE, and a line in FILE.manifest.json.part
 *     …all pages       ─▶ totals ─▶ FILE.manifest.json
 *
 * Whatever breaks it, FILE holds whole streams and perhaps a part of one: --resume cuts that off, and
 * goes on with the next older one. One page of rows and one record are in memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/data/timestamp.h"
#include "server/cli/fetch.h"
#include "server/cli/selection.h"
#include "server/cli/walk.h"

enum {
    EXIT_BY_SIGINT = 130,
    PAGE_ROWS = 100,
    PATH_BYTES_MAX = 4096,
    NS_IN_MS = 1000000,
};

static const int64_t ns_in_s = 1000000000;

struct exporting {
    struct cli *cli;
    struct fetch fetch;
    const char *path;
    char part_path[PATH_BYTES_MAX], manifest_path[PATH_BYTES_MAX];
    enum transcript_format format;
    struct manifest_filter filter;
    FILE *out, *part;
    struct manifest_totals totals; /* size: of FILE, up to the last whole stream */
    struct manifest_entry entry;   /* of the stream under way */
    struct sha256 *sha;
    struct buf text;
    struct buf
        request; /* its next piece: cut by us, so that a server and a directory give the same */
    uint64_t request_offset;
    struct id last;      /* the last one that was looked at */
    bool is_skipped;     /* the stream under way is live */
    bool is_out_damaged; /* FILE cannot be written */
    bool has_progress;
    uint64_t live, failed;
};

/* ——— one stream ——— */

static enum err fail_write(struct exporting *exporting)
{
    exporting->is_out_damaged = true;
    return fault(errno == ENOSPC ? ERR_FULL : ERR_IO, "%s: %s", exporting->path, strerror(errno));
}

static enum err write_record(struct exporting *exporting, const struct transcript_record *record)
{
    struct buf *text = &exporting->text;
    buf_clear(text);
    TRY(transcript_write(exporting->format, record, text));
    if (record->kind != TRANSCRIPT_END)
        sha256_add(exporting->sha, buf_slice(text));
    if (fwrite(text->data, 1, text->size, exporting->out) != text->size)
        return fail_write(exporting);
    exporting->entry.records++;
    exporting->entry.size += text->size;
    return ERR_OK;
}

static enum err write_request(struct exporting *exporting)
{
    const struct transcript_record record = {.kind = TRANSCRIPT_REQUEST,
        .seq = exporting->request_offset,
        .bytes = buf_slice(&exporting->request)};
    if (record.bytes.size == 0)
        return ERR_OK;
    TRY(write_record(exporting, &record));
    exporting->request_offset += record.bytes.size;
    buf_clear(&exporting->request);
    return ERR_OK;
}

static enum err take_request(struct exporting *exporting, struct slice bytes)
{
    while (bytes.size) {
        struct slice piece =
            slice_sub(bytes, 0, TRANSCRIPT_PIECE_BYTES_MAX - exporting->request.size);
        TRY(buf_append(&exporting->request, piece));
        bytes = slice_sub(bytes, piece.size, bytes.size);
        if (exporting->request.size == TRANSCRIPT_PIECE_BYTES_MAX)
            TRY(write_request(exporting));
    }
    return ERR_OK;
}

static enum err write_end(struct exporting *exporting, const struct transcript_record *given)
{
    struct manifest_entry *entry = &exporting->entry;
    struct transcript_record record = *given;
    TRY(write_request(exporting));
    sha256_end(exporting->sha, entry->sha256);
    if (!id_equal(&record.id, &entry->id) || record.event_count != entry->events)
        return fault(ERR_CORRUPT, "the stream's end does not fit its events");
    record.byte_count = entry->bytes;
    record.has_sha256 = true;
    memcpy(record.sha256, entry->sha256, SHA256_BYTES);
    return write_record(exporting, &record);
}

static enum err take(void *context, const struct transcript_record *record)
{
    struct exporting *exporting = context;
    struct row row;
    switch (record->kind) {
    case TRANSCRIPT_STREAM:
        TRY(row_decode(record->bytes, &row));
        exporting->is_skipped = stream_state_is_live(row.state);
        if (exporting->is_skipped)
            return ERR_CANCELED;
        exporting->entry.id = row.id;
        break;
    case TRANSCRIPT_EVENT:
        exporting->entry.bytes += record->bytes.size;
        exporting->entry.events += !record->is_more;
        break;
    case TRANSCRIPT_REQUEST: return take_request(exporting, record->bytes);
    case TRANSCRIPT_END: return write_end(exporting, record);
    }
    return write_record(exporting, record);
}

/* FILE is as long as its whole streams. */
static enum err cut_off(struct exporting *exporting)
{
    if (fflush(exporting->out) != 0 ||
        ftruncate(fileno(exporting->out), (off_t)exporting->totals.size) != 0 ||
        fseeko(exporting->out, (off_t)exporting->totals.size, SEEK_SET) != 0)
        return fail_write(exporting);
    return ERR_OK;
}

static enum err note_entry(struct exporting *exporting)
{
    bool is_first = exporting->totals.streams == 0;
    manifest_add(&exporting->totals, &exporting->entry);
    exporting->last = exporting->entry.id;
    if (exporting->has_progress)
        (void)fprintf(exporting->cli->err, "\rexported: %" PRIu64 " streams, %" PRIu64 " MiB",
            exporting->totals.streams, exporting->totals.size >> 20);
    return manifest_write_entry(exporting->part, &exporting->entry, is_first);
}

/* CLI_OK: go on with the next, also where this one was left out. */
static int export_one(struct exporting *exporting, const struct id *id)
{
    const struct fetch_call call = {
        .id = *id, .has_request = true, .visit = take, .context = exporting};
    exporting->entry = (struct manifest_entry){.id = *id, .offset = exporting->totals.size};
    exporting->is_skipped = false;
    exporting->request_offset = 0;
    buf_clear(&exporting->request);
    sha256_begin(exporting->sha);
    int code = fetch_run(&exporting->fetch, &call);
    enum err err = code == CLI_OK ? note_entry(exporting) : cut_off(exporting);
    if (err != ERR_OK)
        return cli_fault(exporting->cli, err);
    exporting->live += exporting->is_skipped;
    if (code == CLI_OK || exporting->is_skipped)
        return CLI_OK;
    if (code == CLI_GO_ON)
        return EXIT_BY_SIGINT;
    if (code == CLI_UNREACHABLE || exporting->is_out_damaged)
        return code;
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    exporting->failed += code != CLI_NOT_FOUND; /* deleted meanwhile */
    (void)cli_fail(exporting->cli, code, "stream %s is left out", text);
    return CLI_OK;
}

/* ——— the list ——— */

static int export_page(struct exporting *exporting, const struct json *rows, bool *is_over)
{
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        struct id id;
        if (id_parse(json_text(json_get(row, "id")), &id) != ERR_OK)
            return cli_fail(exporting->cli, CLI_FAILED, "the list holds an ID that is none");
        if (selection_is_before(&exporting->filter, &id)) {
            *is_over = true;
            return CLI_OK;
        }
        if (!selection_takes(&exporting->filter, row))
            continue;
        int code = export_one(exporting, &id);
        if (code != CLI_OK)
            return code;
    }
    return CLI_OK;
}

/* Where the list begins: before the last one there is, or before the filter's time. */
static bool first_before(const struct exporting *exporting, char before[ID_TEXT_BYTES])
{
    static const uint8_t lowest[ID_RANDOM_BYTES];
    if (exporting->totals.streams) {
        id_format(&exporting->last, before);
        return true;
    }
    if (exporting->filter.to_ns <= 0)
        return false;
    struct id id = id_make((exporting->filter.to_ns + NS_IN_MS - 1) / NS_IN_MS, lowest);
    id_format(&id, before);
    return true;
}

static int export_all(struct exporting *exporting)
{
    char before[ID_TEXT_BYTES];
    bool has_before = first_before(exporting, before), is_over = false;
    const char *state = exporting->filter.state[0] ? exporting->filter.state : NULL;
    while (!is_over) {
        CLEANUP(buf_deinit) struct buf text;
        CLEANUP(json_cleanup) struct json *page = NULL;
        const struct source_list list = {
            .limit = PAGE_ROWS, .before = has_before ? before : NULL, .state = state};
        buf_init(&text, CLI_BODY_BYTES_MAX);
        int code = source_list(exporting->fetch.source, &list, &text);
        if (code != CLI_OK)
            return code;
        if (json_parse(buf_slice(&text), &page) != ERR_OK)
            return cli_fail(exporting->cli, CLI_FAILED, "the list is no JSON");
        if ((code = export_page(exporting, json_get(page, "data"), &is_over)) != CLI_OK)
            return code;
        struct slice next = json_text(json_get(page, "next"));
        if (!json_bool(json_get(page, "has_more"), false) || next.size != ID_TEXT_BYTES - 1)
            return CLI_OK;
        memcpy(before, next.data, next.size);
        before[next.size] = '\0';
        has_before = true;
    }
    return CLI_OK;
}

/* ——— the files ——— */

static int fail_file(const struct exporting *exporting, const char *path)
{
    return cli_fail(exporting->cli, CLI_FAILED, "%s: %s", path, strerror(errno));
}

static int begin_part(struct exporting *exporting)
{
    exporting->part = fopen(exporting->part_path, "wbe");
    if (!exporting->part)
        return fail_file(exporting, exporting->part_path);
    enum err err = manifest_write_head(exporting->part, exporting->format, &exporting->filter);
    return err == ERR_OK ? CLI_OK : cli_fault(exporting->cli, err);
}

static int begin_anew(struct exporting *exporting)
{
    exporting->out = fopen(exporting->path, "wbxe");
    if (!exporting->out && errno == EEXIST)
        return cli_fail(exporting->cli, CLI_USAGE,
            "%s is there already: go on with it by --resume, or remove it", exporting->path);
    return exporting->out ? begin_part(exporting) : fail_file(exporting, exporting->path);
}

/* The filter it was begun with counts; times that are relative have moved on since. */
static int take_filter(struct exporting *exporting)
{
    struct manifest begun = {0};
    enum err err = manifest_open(exporting->part_path, &begun);
    if (err == ERR_NOTFOUND)
        err = manifest_open(exporting->manifest_path, &begun);
    if (err == ERR_NOTFOUND)
        return CLI_OK;
    if (err != ERR_OK)
        return cli_fault(exporting->cli, err);
    bool is_same =
        begun.format == exporting->format && selection_is_same(&begun.filter, &exporting->filter);
    exporting->filter = begun.filter;
    manifest_close(&begun);
    return is_same ? CLI_OK
                   : cli_fail(exporting->cli, CLI_USAGE,
                         "%s was begun with another format or filter: give the same ones",
                         exporting->path);
}

static enum err take_up(struct exporting *exporting, struct walk *walk)
{
    enum err err;
    while ((err = walk_stream(walk, NULL, NULL, &exporting->entry)) == ERR_OK)
        TRY(note_entry(exporting));
    return err == ERR_CLOSED || err == ERR_CORRUPT ? ERR_OK : err;
}

static int resume(struct exporting *exporting)
{
    struct walk walk;
    int code = take_filter(exporting);
    if (code != CLI_OK)
        return code;
    enum err err = walk_open(exporting->path, exporting->format, &walk);
    if (err == ERR_NOTFOUND)
        return begin_anew(exporting);
    if (err != ERR_OK)
        return cli_fault(exporting->cli, err);
    code = begin_part(exporting);
    if (code == CLI_OK)
        err = take_up(exporting, &walk);
    walk_close(&walk);
    if (code == CLI_OK && err == ERR_OK) {
        exporting->out = fopen(exporting->path, "r+be");
        if (!exporting->out)
            return fail_file(exporting, exporting->path);
        err = cut_off(exporting);
    }
    return err == ERR_OK ? code : cli_fault(exporting->cli, err);
}

/* The manifest gets its name last: where it is, the export is whole. */
static int finish(struct exporting *exporting)
{
    enum err err = manifest_write_totals(exporting->part, &exporting->totals);
    if (err != ERR_OK)
        return cli_fault(exporting->cli, err);
    if (fflush(exporting->out) != 0 || fsync(fileno(exporting->out)) != 0)
        return fail_file(exporting, exporting->path);
    if (fflush(exporting->part) != 0 || fsync(fileno(exporting->part)) != 0 ||
        rename(exporting->part_path, exporting->manifest_path) != 0)
        return fail_file(exporting, exporting->manifest_path);
    return CLI_OK;
}

static int conclude(struct exporting *exporting, int code)
{
    const struct manifest_totals *totals = &exporting->totals;
    if (code != CLI_OK)
        return cli_fail(exporting->cli, code,
            "%s holds %" PRIu64 " whole streams; go on with --resume", exporting->path,
            totals->streams);
    if ((code = finish(exporting)) != CLI_OK)
        return code;
    if (exporting->live)
        (void)cli_fail(exporting->cli, CLI_OK,
            "%" PRIu64 " streams are still being written, and left out", exporting->live);
    (void)fprintf(exporting->cli->out,
        exporting->cli->is_json
            ? "{\"streams\":%" PRIu64 ",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64
              ",\"size\":%" PRIu64 ",\"live\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n"
            : "%" PRIu64 " streams, %" PRIu64 " events, %" PRIu64 " bytes of events, %" PRIu64
              " bytes of export; %" PRIu64 " live and %" PRIu64 " damaged ones left out\n",
        totals->streams, totals->events, totals->bytes, totals->size, exporting->live,
        exporting->failed);
    return exporting->failed ? CLI_FAILED : CLI_OK;
}

static int run(struct exporting *exporting, bool is_resumed)
{
    enum err err = sha256_new(&exporting->sha);
    if (err != ERR_OK)
        return cli_fault(exporting->cli, err);
    int code = fetch_open(exporting->cli, &exporting->fetch);
    if (code != CLI_OK)
        return code;
    code = is_resumed ? resume(exporting) : begin_anew(exporting);
    if (code != CLI_OK)
        return code;
    code = export_all(exporting);
    if (exporting->has_progress)
        (void)fputs("\r\033[K", exporting->cli->err);
    return conclude(exporting, code);
}

static int open_and_run(struct exporting *exporting, bool is_resumed)
{
    (void)snprintf(exporting->part_path, PATH_BYTES_MAX, "%s.manifest.json.part", exporting->path);
    (void)snprintf(exporting->manifest_path, PATH_BYTES_MAX, "%s.manifest.json", exporting->path);
    exporting->has_progress = !exporting->cli->is_json && isatty(fileno(exporting->cli->err)) == 1;
    buf_init(&exporting->text, TRANSCRIPT_RECORD_BYTES_MAX);
    buf_init(&exporting->request, TRANSCRIPT_PIECE_BYTES_MAX);
    int code = run(exporting, is_resumed);
    if (exporting->out && fclose(exporting->out) != 0 && code == CLI_OK)
        code = fail_file(exporting, exporting->path);
    if (exporting->part)
        (void)fclose(exporting->part); /* synced, or not whole */
    buf_deinit(&exporting->text);
    buf_deinit(&exporting->request);
    exporting->sha = sha256_free(exporting->sha);
    fetch_close(&exporting->fetch);
    return code;
}

static int verify(const struct cli *cli, const char *path)
{
    struct manifest_totals totals;
    int code = walk_check(cli, path, NULL, &totals);
    if (code == CLI_OK)
        (void)fprintf(cli->out,
            cli->is_json ? "{\"ok\":true,\"streams\":%" PRIu64 ",\"events\":%" PRIu64
                           ",\"bytes\":%" PRIu64 ",\"size\":%" PRIu64 "}\n"
                         : "all is well: %" PRIu64 " streams, %" PRIu64 " events, %" PRIu64
                           " bytes of events, %" PRIu64 " bytes of export\n",
            totals.streams, totals.events, totals.bytes, totals.size);
    return code;
}

/* ——— the command ——— */

struct flags {
    const char *out, *verify, *format, *project, *from, *to, *metadata, *state;
    bool is_resumed;
};

static int read_flags(struct exporting *exporting, const struct flags *flags)
{
    const struct cli *cli = exporting->cli;
    struct timespec now;
    const char *wrong = NULL;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const struct selection_flags given = {
        flags->project, flags->state, flags->metadata, flags->from, flags->to};
    if (!flags->out)
        return cli_fail(cli, CLI_USAGE, "--out FILE is missing");
    exporting->path = flags->out;
    if (strlen(flags->out) > PATH_BYTES_MAX - sizeof ".manifest.json.part")
        return cli_fail(cli, CLI_USAGE, "--out: the name is too long");
    if (flags->format &&
        transcript_format_parse(slice_text(flags->format), &exporting->format) != ERR_OK)
        return cli_fail(
            cli, CLI_USAGE, "--format: `%s` is neither jsonl nor msgpack", flags->format);
    if (selection_read(&given, now.tv_sec * ns_in_s + now.tv_nsec, &exporting->filter, &wrong) !=
        ERR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", wrong);
    return CLI_GO_ON;
}

int command_export(struct cli *cli, int argc, char **argv)
{
    struct flags flags = {0};
    struct exporting exporting = {.cli = cli};
    const struct cli_option options[] = {
        {.name = "out", .value_name = "FILE", .help = "write there", .text = &flags.out},
        {.name = "resume", .help = "go on with what is in FILE", .is_on = &flags.is_resumed},
        {.name = "format",
            .value_name = "F",
            .help = "jsonl or msgpack [jsonl]",
            .text = &flags.format},
        {.name = "from",
            .value_name = "TIME",
            .help = "begun at that time or later: 2026-01-31T12:00:00Z, or -24h",
            .text = &flags.from},
        {.name = "to", .value_name = "TIME", .help = "begun before that", .text = &flags.to},
        {.name = "project", .value_name = "P", .help = "of this project", .text = &flags.project},
        {.name = "metadata",
            .value_name = "K=V",
            .help = "whose Tokenlog-Metadata says so",
            .text = &flags.metadata},
        {.name = "state",
            .value_name = "S",
            .help = "completed, failed, stopped or interrupted",
            .text = &flags.state},
        {.name = "verify",
            .value_name = "FILE",
            .help = "check an export against its manifest, and nothing else",
            .text = &flags.verify},
    };
    const struct cli_usage usage = {
        .synopsis = "export --out FILE [flags]",
        .description =
            "Write recordings, newest first, into a file, with their requests, and the digest of "
            "each into\nFILE.manifest.json. `tokenlog import` takes them into another data "
            "directory. Streams that\nare still being written are left out.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    int code = cli_parse(cli, &usage, argc, argv, NULL);
    if (code != CLI_GO_ON)
        return code;
    if (flags.verify)
        return verify(cli, flags.verify);
    code = read_flags(&exporting, &flags);
    return code == CLI_GO_ON ? open_and_run(&exporting, flags.is_resumed) : code;
}
