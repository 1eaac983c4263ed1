/* reload — see the header.
 *
 *   configuration ─▶ catalogue ─▶ keys ─▶ in force
 *        └──────────────┴──────────┴─────▶ refused: nothing was changed */
#include "server/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"

enum { REPORT_BYTES_MAX = 256 * 1024, PATH_BYTES = 4096, RESTART_BYTES_MAX = 16 * 1024 };

/* What one run came to. */
struct outcome {
    enum err err;
    struct buf why, restart;
    size_t providers, models;
};

/* The keys come last: from there on nothing can fail. */
static enum err take(struct reload *reload, struct outcome *outcome)
{
    struct config *next = NULL;
    struct config_request request;
    struct catalogue *catalogue;
    TRY(config_load(
        reload->argc, reload->argv, reload->environment, &next, &request, &outcome->why));
    enum err err = config_changes(reload->config, next, &outcome->restart);
    if (err) {
        config_free(next);
        return err;
    }
    const struct catalogue_source source = {.config = next, .environment = reload->environment};
    TRY(catalogue_build(&source, &catalogue, &outcome->why));
    err = auth_reload(reload->auth, &outcome->why);
    if (err) {
        catalogue_unref(catalogue);
        return err;
    }
    (void)catalogue_providers(catalogue, &outcome->providers);
    (void)catalogue_models(catalogue, &outcome->models);
    catalogues_set(reload->catalogues, catalogue);
    health_forget_keys(reload->health);
    return ERR_OK;
}

static enum err print(const struct reload *reload, const struct outcome *outcome, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    json_key(&writer, "pid");
    json_integer(&writer, getpid());
    json_key(&writer, "count");
    json_integer(&writer, reload->count);
    json_key(&writer, "ok");
    json_boolean(&writer, outcome->err == ERR_OK);
    json_key(&writer, "why");
    json_string(&writer, buf_slice(&outcome->why));
    json_key(&writer, "restart");
    json_string(&writer, buf_slice(&outcome->restart));
    json_key(&writer, "providers");
    json_unsigned(&writer, outcome->providers);
    json_key(&writer, "models");
    json_unsigned(&writer, outcome->models);
    json_key(&writer, "keys");
    json_unsigned(&writer, auth_key_count(reload->auth));
    json_close(&writer, '}');
    return writer.err;
}

/* A whole file or none: readers may look at any time. */
static bool write_report(const char *data, struct slice text)
{
    char path[PATH_BYTES], whole[PATH_BYTES];
    int size = snprintf(path, sizeof path, "%s/.reload.new", data);
    int whole_size = snprintf(whole, sizeof whole, "%s/.reload", data);
    if (size >= PATH_BYTES || whole_size >= PATH_BYTES)
        return false;
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size &&
           rename(path, whole) == 0;
}

static void report(struct reload *reload, const struct outcome *outcome)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPORT_BYTES_MAX);
    if (outcome->err)
        LOG(reload->log, LOG_ERROR, "reload_refused", LOG_SLICE("why", buf_slice(&outcome->why)));
    else
        LOG(reload->log, LOG_INFO, "reloaded", LOG_NUMBER("providers", outcome->providers),
            LOG_NUMBER("models", outcome->models), LOG_NUMBER("keys", auth_key_count(reload->auth)),
            LOG_SLICE("wait_for_restart", buf_slice(&outcome->restart)));
    if (print(reload, outcome, &text) || !write_report(reload->config->data, buf_slice(&text)))
        LOG(reload->log, LOG_WARNING, "reload_unreported", LOG_TEXT("error", strerror(errno)));
}

bool reload_run(struct reload *reload)
{
    struct outcome outcome = {0};
    buf_init(&outcome.why, CONFIG_WHY_BYTES_MAX);
    buf_init(&outcome.restart, RESTART_BYTES_MAX);
    outcome.err = take(reload, &outcome);
    if (outcome.err && outcome.why.size == 0 &&
        buf_append_text(
            &outcome.why, err_is_fault(outcome.err) ? fault_origin() : err_text(outcome.err)))
        buf_clear(&outcome.why);
    reload->count++;
    report(reload, &outcome);
    buf_deinit(&outcome.why);
    buf_deinit(&outcome.restart);
    return outcome.err == ERR_OK;
}
