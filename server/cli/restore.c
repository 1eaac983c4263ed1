/* restore — `restore BACKUP --data DIR`: a backup, once it has been checked, becomes a data
 * directory. */
#include <inttypes.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/source.h"
#include "server/cli/upkeep.h"
#include "storage/backup.h"

static int check_backup(struct upkeep *upkeep, const char *from)
{
    enum err err = backup_check(from);
    if (err == ERR_NOTFOUND)
        return cli_fail(upkeep->cli, CLI_FAILED,
            "%s is no backup, or one that was not finished: it has no backup.json", from);
    if (err == ERR_INVALID)
        return cli_fail(upkeep->cli, CLI_FAILED, "%s/backup.json is damaged", from);
    return err == ERR_OK ? upkeep_check(upkeep, from) : cli_fault(upkeep->cli, err);
}

static int explain(const struct cli *cli, enum err err, const char *data)
{
    if (err == ERR_EXISTS)
        return cli_fail(cli, CLI_FAILED,
            "%s is not empty; name a new directory, or move the old one away first", data);
    if (err == ERR_BUSY)
        return cli_fail(cli, CLI_UNREACHABLE, "another process holds %s", data);
    if (err == ERR_FULL)
        return cli_fail(cli, CLI_FAILED, "no room for it at %s; remove what is there now", data);
    return cli_fault(cli, err);
}

static int print_report(const struct cli *cli, const char *data, uint64_t bytes)
{
    CLEANUP(buf_deinit) struct buf json;
    struct json_writer writer;
    buf_init(&json, CLI_TEXT_BYTES_MAX);
    if (!cli->is_json) {
        (void)fprintf(cli->out, "%s: %" PRIu64 " bytes; ready for `tokenlog serve --data %s`\n",
            data, bytes, data);
        return CLI_OK;
    }
    json_writer_init(&writer, &json);
    json_open(&writer, '{');
    json_key(&writer, "data");
    json_string(&writer, slice_text(data));
    json_key(&writer, "bytes");
    json_unsigned(&writer, bytes);
    json_close(&writer, '}');
    return writer.err == ERR_OK ? cli_print_json(cli, &json) : cli_fault(cli, writer.err);
}

int command_restore(struct cli *cli, int argc, char **argv)
{
    static const struct cli_usage usage = {
        .synopsis = "restore BACKUP --data DIR [flags]",
        .description =
            "Check a backup as `tokenlog verify` does, and copy it to the data directory, which\n"
            "must be absent or empty. What was live when the backup was made is interrupted at\n"
            "the next start, with every event that was visible then.\n",
        .positional_count = 1,
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    uint64_t bytes;
    struct upkeep upkeep;
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    if (code != CLI_GO_ON)
        return code;
    const char *data = source_data(cli);
    upkeep_init(&upkeep, cli);
    struct progress progress = upkeep_progress(&upkeep);
    if ((code = check_backup(&upkeep, positionals[0])) != CLI_OK)
        return code;
    enum err err = backup_restore(positionals[0], data, &progress, &bytes);
    upkeep_clear(&upkeep);
    return err == ERR_OK ? print_report(cli, data, bytes) : explain(cli, err, data);
}
