/* backup — `backup DIR`: a copy of the data directory, while its server runs or without one.
 *
 * It is made by this process, not by the server: it reads the same files, and needs the same rights
 * to them, so that no caller of the server can have one written or sent. */
#include <inttypes.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"
#include "server/cli/upkeep.h"
#include "storage/backup.h"

static int explain(const struct cli *cli, enum err err, const char *data, const char *to)
{
    switch (err) {
    case ERR_NOTFOUND:
        return cli_fail(cli, CLI_UNREACHABLE, "%s is no data directory of a server", data);
    case ERR_EXISTS: return cli_fail(cli, CLI_FAILED, "%s is not empty; name a new directory", to);
    case ERR_BUSY: return cli_fail(cli, CLI_UNREACHABLE, "%s is being compacted", data);
    case ERR_FULL:
        return cli_fail(
            cli, CLI_FAILED, "no room for a backup at %s; remove what it has written there", to);
    case ERR_AGAIN:
        return cli_fail(cli, CLI_FAILED,
            "the journal of %s is written anew faster than it can be copied; try again at a "
            "quieter time",
            data);
    case ERR_OK:
    case ERR_LIMIT:
    case ERR_CLOSED:
    case ERR_INVALID:
    case ERR_DENIED:
    case ERR_CANCELED:
    case ERR_IO:
    case ERR_CORRUPT:
    case ERR_NOMEM:
    case ERR_UNSUPPORTED: break;
    }
    return cli_fault(cli, err);
}

static void put(struct json_writer *writer, const char *name, uint64_t number)
{
    json_key(writer, name);
    json_unsigned(writer, number);
}

static int print_json(
    const struct cli *cli, const char *to, const struct backup_report *report, bool is_checked)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, CLI_TEXT_BYTES_MAX);
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "backup");
    json_string(&writer, slice_text(to));
    json_key(&writer, "is_checked");
    json_boolean(&writer, is_checked);
    put(&writer, "began_ms", (uint64_t)report->began_ms);
    put(&writer, "store_bytes", report->store_bytes);
    put(&writer, "journal_bytes", report->journal_bytes);
    put(&writer, "absorbed_lsn", report->absorbed_lsn);
    put(&writer, "last_lsn", report->last_lsn);
    put(&writer, "attempts", report->attempts);
    json_close(&writer, '}');
    return writer.err == ERR_OK ? cli_print_json(cli, &json) : cli_fault(cli, writer.err);
}

static int print_report(
    const struct cli *cli, const char *to, const struct backup_report *report, bool is_checked)
{
    if (cli->is_json)
        return print_json(cli, to, report, is_checked);
    (void)fprintf(cli->out,
        "%s: store %" PRIu64 " bytes, journal %" PRIu64 " bytes%s\n"
        "It has everything that was visible when the command began.\n",
        to, report->store_bytes, report->journal_bytes, is_checked ? "; checked: all is well" : "");
    return CLI_OK;
}

int command_backup(struct cli *cli, int argc, char **argv)
{
    bool is_compact = false, is_unchecked = false;
    const struct cli_option options[] = {
        {.name = "compact", .help = "leave free pages out of the store", .is_on = &is_compact},
        {.name = "no-check",
            .help = "do not read and check what was written",
            .is_on = &is_unchecked},
    };
    const struct cli_usage usage = {
        .synopsis = "backup DIR [flags]",
        .description =
            "Copy the data directory to DIR, which is absent or empty, while its server runs or\n"
            "without one. Everything that was visible when the command began is in the copy.\n"
            "Then the copy is checked as `tokenlog verify` does. It holds all that the data\n"
            "directory holds, keys included: keep it as safe.\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .positional_count = 1,
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    const char *data = source_data(cli), *to = positionals[0];
    struct backup_report report;
    struct upkeep upkeep;
    upkeep_init(&upkeep, cli);
    struct progress progress = upkeep_progress(&upkeep);
    enum err err = backup_make(data, to, is_compact, &progress, &report);
    upkeep_clear(&upkeep);
    if (err != ERR_OK)
        return explain(cli, err, data, to);
    code = is_unchecked ? CLI_OK : upkeep_check(&upkeep, to);
    return code == CLI_OK ? print_report(cli, to, &report, !is_unchecked) : code;
}
