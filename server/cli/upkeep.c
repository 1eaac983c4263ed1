/* upkeep — see upkeep.h. Findings are printed as verify prints them, but only the first few: the
 * whole list is verify's. */
#include "server/cli/upkeep.h"

#include <inttypes.h>
#include <unistd.h>

#include "server/cli/offline.h"

enum { PROGRESS_STEPS = 100, FINDINGS_SHOWN_MAX = 10 };

void upkeep_init(struct upkeep *upkeep, const struct cli *cli)
{
    *upkeep = (struct upkeep){
        .cli = cli,
        .is_shown = !cli->is_json && isatty(fileno(cli->err)) == 1,
        .step = UINT64_MAX,
    };
}

static void show(void *context, const char *what, uint64_t done, uint64_t total)
{
    struct upkeep *upkeep = context;
    uint64_t step = total && done < total ? done * PROGRESS_STEPS / total : PROGRESS_STEPS;
    if (!upkeep->is_shown || step == upkeep->step)
        return;
    upkeep->step = step;
    (void)fprintf(upkeep->cli->err, "\r%s: %3" PRIu64 " %%", what, step);
    (void)fflush(upkeep->cli->err);
}

struct progress upkeep_progress(struct upkeep *upkeep)
{
    return (struct progress){.report = show, .context = upkeep};
}

void upkeep_clear(struct upkeep *upkeep)
{
    if (upkeep->is_shown && upkeep->step != UINT64_MAX)
        (void)fputs("\r\033[K", upkeep->cli->err);
    upkeep->step = UINT64_MAX;
}

struct check {
    struct upkeep *upkeep;
    uint64_t findings;
};

static void report(void *context, const struct id *id, const char *what)
{
    struct check *check = context;
    char text[ID_TEXT_BYTES] = "";
    if (id)
        id_format(id, text);
    if (++check->findings > FINDINGS_SHOWN_MAX)
        return;
    upkeep_clear(check->upkeep);
    (void)fprintf(check->upkeep->cli->err, "%s%s%s\n", text, id ? ": " : "", what);
}

static void check_progress(void *context, uint64_t done, uint64_t total)
{
    struct check *check = context;
    show(check->upkeep, "check", done, total);
}

static enum err check_all(struct check *check, struct offline *offline)
{
    const struct journal_recovery *found = offline_recovery(offline);
    if (found->corrupt_batches)
        report(check, NULL, "journal: batches are corrupt, though later ones are not");
    if (found->missing_batches)
        report(check, NULL, "journal: batches are missing above what is archived");
    offline_walk_damage(offline, report, check);
    return store_verify(offline_store(offline), report, check_progress, check);
}

int upkeep_check(struct upkeep *upkeep, const char *path)
{
    struct check check = {.upkeep = upkeep};
    struct offline *offline;
    int holder_pid = 0;
    enum err err = offline_open(path, NULL, &holder_pid, &offline);
    if (err == ERR_BUSY)
        return cli_fail(upkeep->cli, CLI_UNREACHABLE, "process %d holds %s", holder_pid, path);
    if (err == ERR_NOTFOUND)
        return cli_fail(upkeep->cli, CLI_UNREACHABLE, "%s is no data directory", path);
    if (err != ERR_OK)
        return cli_fault(upkeep->cli, err);
    err = check_all(&check, offline);
    upkeep_clear(upkeep);
    offline_close(offline);
    if (err != ERR_OK)
        return cli_fault(upkeep->cli, err);
    if (check.findings == 0)
        return CLI_OK;
    return cli_fail(upkeep->cli, CLI_FAILED,
        "%" PRIu64 " findings in %s; `tokenlog verify --data %s` lists them", check.findings, path,
        path);
}
