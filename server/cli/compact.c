/* compact — the store file rewritten without the pages that nothing uses any more. They would be
 * used again anyway: this is for giving the room back to the file system. */
#include <inttypes.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"
#include "server/cli/upkeep.h"
#include "storage/backup.h"

static int explain(
    const struct cli *cli, enum err err, const char *data, const struct backup_conflict *conflict)
{
    if (err == ERR_NOTFOUND)
        return cli_fail(cli, CLI_UNREACHABLE, "%s is no data directory of a server", data);
    if (err == ERR_BUSY && conflict->holder_pid > 0)
        return cli_fail(
            cli, CLI_UNREACHABLE, "process %d holds %s; stop it first", conflict->holder_pid, data);
    if (err == ERR_BUSY)
        return cli_fail(cli, CLI_UNREACHABLE,
            "another process reads %s or makes a backup of it; wait for its end", data);
    if (err == ERR_FULL)
        return cli_fail(
            cli, CLI_FAILED, "no room beside the store for its smaller copy; nothing was changed");
    return cli_fault(cli, err);
}

static int print_report(const struct cli *cli, const struct compact_report *report)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, CLI_TEXT_BYTES_MAX);
    if (!cli->is_json) {
        (void)fprintf(cli->out, "store: %" PRIu64 " bytes before, %" PRIu64 " after\n",
            report->before_bytes, report->after_bytes);
        return CLI_OK;
    }
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "before_bytes");
    json_unsigned(&writer, report->before_bytes);
    json_key(&writer, "after_bytes");
    json_unsigned(&writer, report->after_bytes);
    json_close(&writer, '}');
    return writer.err == ERR_OK ? cli_print_json(cli, &json) : cli_fault(cli, writer.err);
}

int command_compact(struct cli *cli, int argc, char **argv)
{
    static const struct cli_usage usage = {
        .synopsis = "compact [flags]",
        .description =
            "Rewrite the store without free pages, check the result, and put it in the old one's\n"
            "place in one step: a crash leaves the one or the other. No server may be running on\n"
            "the data directory; there must be room for both meanwhile.\n",
        .is_local = true,
    };
    struct backup_conflict conflict = {0};
    struct compact_report report;
    struct upkeep upkeep;
    int code = cli_parse(cli, &usage, argc, argv, NULL);
    if (code != CLI_GO_ON)
        return code;
    const char *data = source_data(cli);
    upkeep_init(&upkeep, cli);
    struct progress progress = upkeep_progress(&upkeep);
    enum err err = backup_compact(data, &progress, &conflict, &report);
    upkeep_clear(&upkeep);
    return err == ERR_OK ? print_report(cli, &report) : explain(cli, err, data, &conflict);
}
