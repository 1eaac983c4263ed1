/* reload — `reload`: a running server reads its configuration's providers, its catalogue and its keys
 * anew, and says what came of it.
 *
 * The server is told by SIGHUP, so it takes who may end it to do this; what came of it is in
 * DATA/.reload (server/reload.h), where `count` grows by one each time. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "server/cli/offline.h"
#include "server/cli/source.h"

enum {
    REPORT_BYTES_MAX = 1024 * 1024,
    STEP_MS = 20,       /* between looks at the report */
    PATIENCE_MS = 30000 /* a server in the midst of a slow turn */
};

/* The report as it is now; SLICE_NONE if there is none. */
static struct json *read_report(const char *path, struct buf *text)
{
    uint8_t *room;
    struct json *report = NULL;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    buf_clear(text);
    if (fd < 0 || buf_reserve(text, REPORT_BYTES_MAX, &room))
        return NULL;
    ssize_t size = read(fd, room, REPORT_BYTES_MAX);
    if (size <= 0)
        return NULL;
    buf_commit(text, (size_t)size);
    return json_parse(buf_slice(text), &report) ? NULL : report;
}

/* How many reloads this process has reported; 0: none. */
static int64_t count_of(const struct json *report, int pid)
{
    return json_int(json_get(report, "pid"), 0) == pid ? json_int(json_get(report, "count"), 0) : 0;
}

static int print_report(const struct cli *cli, const struct json *report, const struct buf *text)
{
    struct slice why = json_text(json_get(report, "why"));
    struct slice restart = json_text(json_get(report, "restart"));
    bool is_ok = json_bool(json_get(report, "ok"), false);
    if (cli->is_json)
        (void)cli_print_json(cli, text);
    if (!is_ok)
        return cli_fail(
            cli, CLI_FAILED, "refused, and nothing was changed:\n%.*s", SLICE_PRINT(why));
    if (cli->is_json)
        return CLI_OK;
    (void)fprintf(cli->out,
        "%" PRId64 " providers can be asked, %" PRId64 " models are known, %" PRId64
        " keys are let in.\n",
        json_int(json_get(report, "providers"), 0), json_int(json_get(report, "models"), 0),
        json_int(json_get(report, "keys"), 0));
    if (restart.size)
        (void)fprintf(
            cli->out, "Only a restart takes what else was changed: %.*s\n", SLICE_PRINT(restart));
    return CLI_OK;
}

static int await(const struct cli *cli, int pid, const char *path, int64_t before)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPORT_BYTES_MAX);
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += STEP_MS) {
        CLEANUP(json_cleanup) struct json *report = read_report(path, &text);
        if (report && count_of(report, pid) > before)
            return print_report(cli, report, &text);
        if (kill(pid, 0) != 0)
            return cli_fail(cli, CLI_UNREACHABLE, "the server (pid %d) has ended", pid);
        (void)nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000l}, NULL);
    }
    return cli_fail(cli, CLI_FAILED, "the server (pid %d) has not said what came of it", pid);
}

static int reload(const struct cli *cli, const char *data)
{
    CLEANUP(buf_deinit) struct buf text;
    char path[PATH_MAX];
    int pid = offline_holder(data);
    int size = snprintf(path, sizeof path, "%s/.reload", data);
    buf_init(&text, REPORT_BYTES_MAX);
    if (pid <= 0)
        return cli_fail(cli, CLI_UNREACHABLE, "no server runs on %s", data);
    if (size < 0 || size >= (int)sizeof path)
        return cli_fail(cli, CLI_USAGE, "the path of the data directory is too long");
    CLEANUP(json_cleanup) struct json *report = read_report(path, &text);
    int64_t before = count_of(report, pid);
    if (kill(pid, SIGHUP) != 0)
        return cli_fail(cli, CLI_FAILED, "SIGHUP to the server (pid %d): %s", pid, strerror(errno));
    return await(cli, pid, path, before);
}

int command_reload(struct cli *cli, int argc, char **argv)
{
    const struct cli_usage usage = {
        .synopsis = "reload [flags]",
        .description =
            "Have the server that runs on the data directory read anew what can be told while it\n"
            "runs: the providers of its configuration file, the catalogue, and the keys of\n"
            "callers. All of it is taken or none; streams under way go on as they began. What\n"
            "else was changed in the file is named: it takes a restart.\n",
        .is_local = true,
    };
    const char *positionals[CLI_POSITIONALS_MAX];
    int code = cli_parse(cli, &usage, argc, argv, positionals);
    return code == CLI_GO_ON ? reload(cli, source_data(cli)) : code;
}
