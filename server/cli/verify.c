/* verify — everything in a data directory is read and checked: each frame and record of the
 * journal, each row, block and body of the store, and each index against what it points to. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/offline.h"
#include "server/cli/source.h"

enum {
    FINDINGS_PRINTED_MAX = 1000, /* as text or JSON; all are counted */
    FINDINGS_BYTES_MAX = 1024 * 1024,
    PROGRESS_STEPS = 100,
};

struct verifying {
    const struct cli *cli;
    uint64_t findings;
    uint64_t step; /* of the progress line that is shown */
    bool has_progress;
    struct buf json; /* the findings, as elements of an array */
    struct json_writer writer;
};

static void clear_progress(struct verifying *verifying)
{
    if (verifying->has_progress && verifying->step)
        (void)fputs("\r\033[K", verifying->cli->err);
    verifying->step = 0;
}

static void report(void *context, const struct id *id, const char *what)
{
    struct verifying *verifying = context;
    char text[ID_TEXT_BYTES] = "";
    if (id)
        id_format(id, text);
    if (++verifying->findings > FINDINGS_PRINTED_MAX)
        return;
    json_open(&verifying->writer, '{');
    json_key(&verifying->writer, "stream");
    if (id)
        json_string(&verifying->writer, slice_text(text));
    else
        json_null(&verifying->writer);
    json_key(&verifying->writer, "finding");
    json_string(&verifying->writer, slice_text(what));
    json_close(&verifying->writer, '}');
    if (verifying->cli->is_json)
        return;
    clear_progress(verifying);
    (void)fprintf(verifying->cli->out, "%s%s%s\n", text, id ? ": " : "", what);
}

static void progress(void *context, uint64_t done, uint64_t total)
{
    struct verifying *verifying = context;
    uint64_t step = total ? done * PROGRESS_STEPS / total : PROGRESS_STEPS;
    if (!verifying->has_progress || step == verifying->step)
        return;
    verifying->step = step;
    (void)fprintf(verifying->cli->err, "\rstore: %3" PRIu64 " %%", step);
    (void)fflush(verifying->cli->err);
}

static void check_journal(struct verifying *verifying, struct offline *offline)
{
    const struct journal_recovery *found = offline_recovery(offline);
    char text[128];
    if (found->corrupt_batches) {
        (void)snprintf(text, sizeof text,
            "journal: %" PRIu64 " batches are corrupt, though later ones are not",
            found->corrupt_batches);
        report(verifying, NULL, text);
    }
    if (found->missing_batches) {
        (void)snprintf(text, sizeof text,
            "journal: %" PRIu64 " batches are missing above what is archived",
            found->missing_batches);
        report(verifying, NULL, text);
    }
    if (found->damaged_headers) {
        (void)snprintf(text, sizeof text,
            "journal: %" PRIu64 " segments have a damaged header; their batches were found",
            found->damaged_headers);
        report(verifying, NULL, text);
    }
    offline_walk_damage(offline, report, verifying);
}

static void put(struct json_writer *writer, const char *name, uint64_t number)
{
    json_key(writer, name);
    json_unsigned(writer, number);
}

static enum err print_json(
    const struct verifying *verifying, struct offline *offline, struct buf *out)
{
    const struct journal_recovery *found = offline_recovery(offline);
    struct store_size size;
    struct json_writer writer;
    store_size(offline_store(offline), &size);
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "ok");
    json_boolean(&writer, verifying->findings == 0);
    put(&writer, "findings_count", verifying->findings);
    json_key(&writer, "findings");
    json_raw(&writer, buf_slice(&verifying->json));
    json_key(&writer, "journal");
    json_open(&writer, '{');
    put(&writer, "segments", found->segments);
    put(&writer, "batches", found->batches);
    put(&writer, "records", found->records);
    put(&writer, "bytes", found->bytes);
    put(&writer, "torn_batches", found->torn_batches);
    put(&writer, "corrupt_batches", found->corrupt_batches);
    put(&writer, "missing_batches", found->missing_batches);
    put(&writer, "damaged_headers", found->damaged_headers);
    json_close(&writer, '}');
    json_key(&writer, "store");
    json_open(&writer, '{');
    put(&writer, "file_bytes", size.file_bytes);
    put(&writer, "used_bytes", size.used_bytes);
    put(&writer, "rows", size.rows);
    json_close(&writer, '}');
    json_close(&writer, '}');
    return writer.err;
}

static void print_text(const struct verifying *verifying, struct offline *offline)
{
    FILE *out = verifying->cli->out;
    const struct journal_recovery *found = offline_recovery(offline);
    struct store_size size;
    store_size(offline_store(offline), &size);
    (void)fprintf(out,
        "journal: %" PRIu64 " segments, %" PRIu64 " batches, %" PRIu64 " records to archive\n",
        found->segments, found->batches, found->records);
    if (found->torn_batches)
        (void)fprintf(out,
            "journal: %" PRIu64
            " torn batches at the end: never acknowledged, so nothing is lost\n",
            found->torn_batches);
    (void)fprintf(out, "store: %" PRIu64 " streams, %" PRIu64 " of %" PRIu64 " bytes used\n",
        size.rows, size.used_bytes, size.file_bytes);
    if (verifying->findings > FINDINGS_PRINTED_MAX)
        (void)fprintf(out, "only the first %d findings are shown\n", FINDINGS_PRINTED_MAX);
    if (verifying->findings)
        (void)fprintf(out, "%" PRIu64 " findings\n", verifying->findings);
    else
        (void)fputs("all is well\n", out);
}

static int check(struct verifying *verifying, struct offline *offline)
{
    const struct cli *cli = verifying->cli;
    check_journal(verifying, offline);
    enum err err = store_verify(offline_store(offline), report, progress, verifying);
    clear_progress(verifying);
    if (err != ERR_OK)
        return cli_fault(cli, err);
    json_close(&verifying->writer, ']');
    if (cli->is_json) {
        CLEANUP(buf_deinit) struct buf json;
        buf_init(&json, CLI_BODY_BYTES_MAX);
        err = verifying->writer.err;
        if (err == ERR_OK)
            err = print_json(verifying, offline, &json);
        if (err != ERR_OK)
            return cli_fault(cli, err);
        (void)cli_print_json(cli, &json);
    } else {
        print_text(verifying, offline);
    }
    return verifying->findings ? CLI_FAILED : CLI_OK;
}

static int open_directory(const struct cli *cli, struct offline **out)
{
    const char *data = source_data(cli);
    int holder_pid = 0;
    enum err err = offline_open(data, NULL, &holder_pid, out);
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_UNREACHABLE, "%s is no data directory of a server", data);
    if (err == ERR_BUSY && holder_pid > 0)
        return cli_fail(cli, CLI_UNREACHABLE,
            "process %d holds %s; stop the server first, or verify a copy", holder_pid, data);
    if (err == ERR_BUSY)
        return cli_fail(cli, CLI_UNREACHABLE, "another process holds %s; stop it first", data);
    return err == ERR_OK ? CLI_OK : cli_fault(cli, err);
}

int command_verify(struct cli *cli, int argc, char **argv)
{
    static const struct cli_usage usage = {
        .synopsis = "verify [flags]",
        .description =
            "Read and check everything in the data directory: journal and store, checksums, the "
            "density\nof events, counts and indexes. Changes nothing. No server may be running on "
            "it. Exits with\n0 if all is well, with 1 if there are findings.\n",
        .is_local = true,
    };
    struct offline *offline;
    int code = cli_parse(cli, &usage, argc, argv, NULL);
    if (code != CLI_GO_ON)
        return code;
    if ((code = open_directory(cli, &offline)) != CLI_OK)
        return code;
    struct verifying verifying = {
        .cli = cli,
        .has_progress = !cli->is_json && isatty(fileno(cli->err)) == 1,
    };
    buf_init(&verifying.json, FINDINGS_BYTES_MAX);
    json_writer_init(&verifying.writer, &verifying.json);
    json_open(&verifying.writer, '[');
    code = check(&verifying, offline);
    buf_deinit(&verifying.json);
    offline_close(offline);
    return code;
}
