/* serve — the server put together: reads the configuration, builds each part, hands each what it
 * uses, runs the loop, drains.
 *
 *   bind ─▶ recover ─▶ accept ─▶ … SIGTERM ─▶ no new work ─▶ live generations finish
 *   (drain_timeout_s) or are interrupted
 *     └ callers queue in the kernel          ─▶ callers have read their ends ─▶ all is committed
 *     and archived ─▶ exit 0
 *
 * A second SIGTERM or SIGINT does not wait for the generations. SIGHUP tells anew what can be: see
 * reload.h. */
#include "server/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "server/api/reopen.h"
#include "server/durable/entry.h"
#include "server/io/heap.h"
#include "server/io/listener.h"
#include "server/io/upstream_warm.h"
#include "server/keeper.h"
#include "server/policy/signed_url.h"
#include "server/reactors.h"
#include "server/reload.h"
#include "storage/audit_key.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_LOCKED = 4,
    FILES_BESIDE = 256, /* that are open besides sockets: journal, store, rings, a backup's */
    DRAIN_STEP_MS = 20, /* between looks at how far the drain has come */
    DRAIN_READERS_MS =
        5000, /* for callers to read their ends, and for the storage to come to rest */
};

enum phase { PHASE_SERVING, PHASE_FINISHING, PHASE_READERS, PHASE_STORAGE, PHASE_DONE };

struct server {
    struct config *config;
    int64_t connections_max, streams_max; /* the configuration's, as far as files may be open */
    struct log *log;
    struct metrics *metrics;
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;
    struct auth *auth;
    struct hub *hub;
    struct keeper *keeper;
    struct storage *storage; /* the keeper's; NULL once it is closed */
    struct upstreams *upstreams;
    struct exchanges *exchanges;
    struct reactors *reactors;
    struct api api;
    struct catalogues *catalogues;
    struct tokens *tokens;
    struct health *health;
    struct reload reload;
    struct timer drain_timer;
    struct op signal_op;
    int signal_fd;
    enum phase phase;
    int64_t phase_deadline_ns;
    bool is_listener_open;
    struct hub_barrier recovered;
};

/* Said to whoever started us: what is wrong, and what to do. */
static int complain(int code, const char *format, ...) PRINTF(2, 3);
static int complain(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("tokenlog: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return code;
}

static void turn_end(void *context)
{
    struct server *server = context;
    if (!server->storage)
        return;
    keeper_tick(server->keeper);
    hub_tick(server->hub);
    reactors_measure(server->reactors);
}

/* ── ending ─────────────────────────────────────────────────────────────────────────────────── */

static void enter_phase(struct server *server, enum phase phase, int64_t limit_ms)
{
    ASSERT(phase > server->phase);
    server->phase = phase;
    server->phase_deadline_ns = loop_now_ns(server->loop) + limit_ms * 1000000;
    timer_set(
        server->loop, &server->drain_timer, loop_now_ns(server->loop) + DRAIN_STEP_MS * 1000000ll);
}

/* Each phase goes on when its work is done, or its time is over. */
static void drain_step(struct server *server)
{
    bool is_late = loop_now_ns(server->loop) >= server->phase_deadline_ns;
    switch (server->phase) {
    case PHASE_SERVING:
    case PHASE_DONE: return;
    case PHASE_FINISHING:
        if (is_late)
            hub_interrupt_all(server->hub, "shutdown");
        if (hub_live_count(server->hub) == 0 || is_late) {
            exchanges_drain(server->exchanges);
            enter_phase(server, PHASE_READERS, DRAIN_READERS_MS);
            return;
        }
        break;
    case PHASE_READERS:
        if (exchanges_open_count(server->exchanges) == 0 || is_late) {
            exchanges_close_all(server->exchanges);
            storage_drain(server->storage);
            enter_phase(server, PHASE_STORAGE, DRAIN_READERS_MS);
            return;
        }
        break;
    case PHASE_STORAGE:
        if ((storage_is_drained(server->storage) && exchanges_open_count(server->exchanges) == 0) ||
            is_late) {
            server->phase = PHASE_DONE;
            loop_stop(server->loop);
            return;
        }
        break;
    }
    timer_set(
        server->loop, &server->drain_timer, loop_now_ns(server->loop) + DRAIN_STEP_MS * 1000000ll);
}

static void drain_timer_fired(struct timer *timer)
{
    drain_step(CONTAINER_OF(timer, struct server, drain_timer));
}

static void begin_drain(struct server *server, int signal_number)
{
    if (server->phase == PHASE_FINISHING) { /* asked twice: now */
        server->phase_deadline_ns = 0;
        return;
    }
    if (server->phase != PHASE_SERVING)
        return;
    LOG(server->log, LOG_INFO, "draining", LOG_NUMBER("signal", signal_number),
        LOG_NUMBER("streams_live", hub_live_count(server->hub)),
        LOG_NUMBER("limit_s", server->config->drain_timeout_s));
    server->api.is_draining = true;
    listener_close(server->listener, NULL);
    reactors_refuse(server->reactors);
    server->is_listener_open = false;
    enter_phase(server, PHASE_FINISHING, server->config->drain_timeout_s * 1000);
}

static void signal_done(struct op *op, int32_t result, uint32_t flags)
{
    struct server *server = CONTAINER_OF(op, struct server, signal_op);
    struct signalfd_siginfo info;
    (void)flags;
    if (result == -ECANCELED)
        return; /* the end */
    while (read(server->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            (void)reload_run(&server->reload);
        else
            begin_drain(server, (int)info.ssi_signo);
    }
    loop_poll(server->loop, &server->signal_op, server->signal_fd, POLLIN);
}

/* ── building ───────────────────────────────────────────────────────────────────────────────── */

/* A caller is a socket, and a generation another one: rather fewer of them than were asked for than
 * some that fail. */
static void fit_to_files(struct server *server, int64_t files)
{
    int64_t most = files > FILES_BESIDE + 1 ? (files - FILES_BESIDE) / 2 : 1;
    if (server->connections_max > most)
        server->connections_max = most;
    if (server->streams_max > most)
        server->streams_max = most;
    LOG(server->log, LOG_WARNING, "file_limit", LOG_NUMBER("files", files),
        LOG_NUMBER("connections_max", server->connections_max),
        LOG_NUMBER("streams_max", server->streams_max),
        LOG_TEXT("message", "fewer files may be open than was asked for, so these are lowered; "
                            "raise it with ulimit -n, or LimitNOFILE="));
}

static void raise_file_limit(struct server *server)
{
    struct rlimit limit;
    server->connections_max = server->config->connections_max;
    server->streams_max = server->config->streams_max;
    /* A generation may have two sockets for a while. */
    rlim_t wanted = (rlim_t)(server->connections_max + server->streams_max * 2 + FILES_BESIDE);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    struct rlimit raised = {wanted, limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) /* root may go beyond the maximum */
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    fit_to_files(server, (int64_t)limit.rlim_max);
}

static int open_signals(struct server *server)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return complain(EXIT_FAILED, "signals cannot be set up: %s", strerror(errno));
    server->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (server->signal_fd < 0)
        return complain(EXIT_FAILED, "signalfd: %s", strerror(errno));
    return 0;
}

static int open_socket(struct server *server)
{
    struct config *config = server->config;
    const char *why = "";
    if (config->tls_cert[0] || config->tls_key[0]) {
        if (!config->tls_cert[0] || !config->tls_key[0])
            return complain(EXIT_USAGE, "tls_cert and tls_key go together: give both");
        if (tls_context_new(config->tls_cert, config->tls_key, &why, &server->tls))
            return complain(EXIT_USAGE, "TLS: %s", why);
    }
    enum err err = listener_open(server->loop, slice_text(config->listen), &why, &server->listener);
    if (err)
        return complain(err == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED, "cannot listen on %s: %s",
            config->listen, err_is_fault(err) ? fault_origin() : why);
    server->is_listener_open = true;
    return 0;
}

/* Anyone who can reach an open server can spend its owner's money. */
static int check_exposure(struct server *server)
{
    if (auth_is_open(server->auth))
        LOG(server->log, LOG_WARNING, "open",
            LOG_TEXT("message", "no API keys: every program on this machine may call; `tokenlog "
                                "key new PROJECT` makes one"));
    if (listener_is_loopback(server->listener))
        return 0;
    if (auth_is_open(server->auth))
        return complain(EXIT_USAGE,
            "%s is reachable from other machines and there are no API keys: make one with "
            "`tokenlog "
            "key new PROJECT --data %s`, or listen on 127.0.0.1",
            server->config->listen, server->config->data);
    if (!server->tls && !server->config->insecure_listen)
        return complain(EXIT_USAGE,
            "%s is reachable from other machines and keys would travel in the clear: give "
            "--tls-cert "
            "and --tls-key, or --insecure-listen if something before this server does TLS",
            server->config->listen);
    return 0;
}

static int open_auth(struct server *server)
{
    CLEANUP(buf_deinit) struct buf path, why;
    buf_init(&path, 4096);
    buf_init(&why, 64 * 1024);
    const char *keys_file = server->config->keys_file;
    enum err err = keys_file[0] ? buf_printf(&path, "%s", keys_file)
                                : buf_printf(&path, "%s/keys", server->config->data);
    if (!err)
        err = buf_append_byte(&path, 0);
    if (!err)
        err = auth_new(server->config, (const char *)path.data, &why, &server->auth);
    if (err)
        return complain(EXIT_USAGE, "%.*s", SLICE_PRINT(buf_slice(&why)));
    return 0;
}

static int open_catalogue(struct server *server)
{
    CLEANUP(buf_deinit) struct buf why;
    struct catalogue *first;
    const struct catalogue_source source = {
        .config = server->config, .is_config_borrowed = true, .environment = environ};
    buf_init(&why, CONFIG_WHY_BYTES_MAX);
    if (catalogue_build(&source, &first, &why))
        return complain(EXIT_USAGE, "%.*s", SLICE_PRINT(buf_slice(&why)));
    if (catalogues_new(first, &server->catalogues) || health_new(&server->health))
        return complain(EXIT_FAILED, "%s", fault_origin());
    server->reload.config = server->config;
    server->reload.catalogues = server->catalogues;
    server->reload.auth = server->auth;
    server->reload.health = server->health;
    server->reload.log = server->log;
    return 0;
}

static int explain_storage(struct server *server, enum err err, int holder_pid)
{
    const char *data = server->config->data;
    if (err == ERR_BUSY)
        return complain(EXIT_LOCKED,
            "%s is held by another server (pid %d): stop that one, or give this one another --data",
            data, holder_pid);
    return complain(EXIT_FAILED, "%s cannot be opened: %s (%s)", data, err_text(err),
        err_is_fault(err) ? fault_origin() : err_name(err));
}

static int open_storage(struct server *server)
{
    const struct keeper_config keeper = {server->config, server->loop, server->hub, server->metrics,
        server->log, &server->api.is_stuck};
    int holder_pid = 0;
    enum err err = keeper_open(&keeper, &holder_pid, &server->keeper);
    if (err)
        return explain_storage(server, err, holder_pid);
    server->storage = keeper_storage(server->keeper);
    return 0;
}

static int open_hub(struct server *server)
{
    struct hub_config hub = {server->loop, server->metrics, server->log, server->streams_max,
        server->config->tails_bytes_max};
    if (hub_new(&hub, &server->hub))
        return complain(EXIT_FAILED, "%s", fault_origin());
    hub_set_lag_max(server->hub, server->config->lag_max_ms * 1000000);
    hub_on_over(server->hub, entry_is_over, NULL);
    return 0;
}

static int open_http(struct server *server)
{
    struct config *config = server->config;
    const char *proxy = config->upstream_proxy[0] ? config->upstream_proxy : NULL;
    server->api = (struct api){
        .config = config,
        .loop = server->loop,
        .hub = server->hub,
        .auth = server->auth,
        .metrics = server->metrics,
        .log = server->log,
        .catalogues = server->catalogues,
        .health = server->health,
    };
    uint8_t seed[ED25519_BYTES];
    enum err err = audit_key_read(config->data, seed);
    if (err)
        return complain(EXIT_FAILED, "%s/audit-key cannot be read: %s", config->data,
            err_is_fault(err) ? fault_origin() : err_text(err));
    signed_url_secret(seed, server->api.url_secret);
    struct exchange_config exchange = {
        .loop = server->loop,
        .metrics = server->metrics,
        .log = server->log,
        .tls = server->tls,
        .header_timeout_ms = config->header_timeout_ms,
        .body_timeout_ms = config->body_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .send_timeout_ms = config->send_timeout_ms,
        .body_bytes_max = (uint64_t)config->body_bytes_max,
        .bodies_bytes_max = (uint64_t)config->bodies_bytes_max,
        .passed_body_bytes_max = (uint64_t)config->passed_body_bytes_max,
        .streamed_body_bytes = (uint64_t)(config->streamed_body_bytes < config->body_bytes_max
                                              ? config->streamed_body_bytes
                                              : config->body_bytes_max),
        .body_rate_min = (uint64_t)config->body_rate_min,
        .connections_max = (uint64_t)server->connections_max,
        .is_memory = strcmp(config->durability, "memory") == 0,
        .admit = api_admit,
        .handle = api_handle,
        .context = &server->api,
    };
    if (runs_new(server->hub, &server->api.runs) ||
        upstreams_new(server->loop, proxy, &server->upstreams) ||
        tokens_new(server->loop, server->upstreams, &server->tokens) ||
        exchanges_new(&exchange, &server->exchanges))
        return complain(EXIT_FAILED, "%s", fault_origin());
    server->api.tokens = server->tokens;
    server->api.producer = (struct producer_config){server->upstreams, server->metrics, server->log,
        config->connect_timeout_ms, config->first_byte_timeout_ms, config->stall_timeout_ms};
    return 0;
}

static int open_reactors(struct server *server)
{
    const struct reactors_config reactors = {
        .config = server->config,
        .core = server->loop,
        .first = server->listener,
        .upstreams = server->upstreams,
        .exchanges = server->exchanges,
        .metrics = server->metrics,
        .log = server->log,
    };
    if (reactors_new(&reactors, &server->reactors))
        return complain(EXIT_FAILED, "%s", fault_origin());
    return 0;
}

static int open_log(struct server *server)
{
    enum log_level level;
    enum err err = log_level_parse(slice_text(server->config->log_level), &level);
    if (!err)
        err = log_new(STDERR_FILENO, level, &server->log);
    if (!err)
        err = metrics_new(&server->metrics);
    return err ? complain(EXIT_FAILED, "%s", err_text(err)) : 0;
}

static int open_loop(struct server *server)
{
    if (loop_new(&server->loop))
        return complain(EXIT_FAILED, "%s", fault_origin());
    loop_on_turn_end(server->loop, turn_end, server);
    loop_set_coalescing(server->loop, server->config->coalesce_us * 1000);
    return 0;
}

/* The order is that of needs; a failure leaves what was built to server_close. */
static int server_open(struct server *server)
{
    static int (*const steps[])(struct server *) = {open_log, open_signals, open_loop, open_socket,
        open_auth, check_exposure, open_catalogue, open_hub, open_storage, open_http,
        open_reactors};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int code = steps[i](server);
        if (code)
            return code;
        if (steps[i] == open_log)
            raise_file_limit(server);
    }
    return 0;
}

/* What is not at rest is left to the next start's recovery: threads may be at work, and what they
 * have
 * posted must not run. */
static void leave_if_restless(struct server *server, int code)
{
    bool is_open = server->reactors && reactors_count(server->reactors) > 1 &&
                   exchanges_open_count(server->exchanges) > 0;
    if (!is_open && (!server->storage || storage_is_drained(server->storage)))
        return;
    LOG(server->log, LOG_WARNING, "left_to_recovery");
    _exit(code);
}

static void server_close(struct server *server, int code)
{
    leave_if_restless(server, code);
    if (server->is_listener_open)
        listener_close(server->listener, NULL);
    if (server->signal_op.in_flight)
        loop_cancel(server->loop, &server->signal_op);
    reactors_stop(server->reactors);
    upstreams_free(server->upstreams);
    keeper_close(server->keeper);
    server->storage = NULL;
    loop_free(server->loop);
    reactors_free(server->reactors);
    exchanges_free(server->exchanges);
    runs_free(server->api.runs);
    hub_free(server->hub);
    keeper_free(server->keeper);
    catalogues_free(server->catalogues);
    health_free(server->health);
    tokens_free(server->tokens);
    auth_free(server->auth);
    tls_context_free(server->tls);
    metrics_free(server->metrics);
    log_free(server->log);
    if (server->signal_fd >= 0)
        (void)close(server->signal_fd);
}

/* Invariant 9: what memory can be asked for, said before the first request. */
static void announce(struct server *server)
{
    struct config *config = server->config;
    struct loop_status status;
    loop_status(server->loop, &status);
    /* Bodies as they are received, and as they are kept for further attempts. */
    int64_t memory =
        config->bodies_bytes_max * 2 + config->tails_bytes_max + config->cache_bytes_max +
        RUNS_KEPT_BYTES_MAX + server->connections_max * CONN_SEND_BYTES_MAX / 16 +
        (int64_t)RECV_BUFFER_BYTES * RECV_BUFFER_COUNT + (int64_t)BATCH_BYTES * BATCH_BUFFER_COUNT +
        ARCHIVE_TXN_BYTES_MAX + reactors_memory_bytes(server->reactors);
    LOG(server->log, LOG_INFO, "serving", LOG_TEXT("address", listener_address(server->listener)),
        LOG_TEXT("version", TOKENLOG_VERSION), LOG_TEXT("data", config->data),
        LOG_TEXT("durability", config->durability), LOG_TEXT("io_uring", status.features),
        LOG_NUMBER("reactors", reactors_count(server->reactors)),
        LOG_NUMBER("providers", config->provider_count), LOG_NUMBER("memory_bytes_max", memory));
    (void)printf(
        "listening %s://%s\n", server->tls ? "https" : "http", listener_address(server->listener));
    (void)fflush(stdout);
}

static bool uses_tls_upstream(struct server *server)
{
    CLEANUP(catalogue_cleanup) struct catalogue *catalogue = catalogues_get(server->catalogues);
    size_t count;
    const struct provider *providers = catalogue_providers(catalogue, &count);
    for (size_t i = 0; i < count; i++)
        if (strncmp(providers[i].base_url, "https:", 6) == 0 && !providers[i].ca_file)
            return true;
    return false;
}

/* What was live at a crash has been ended, durably: nobody is told that it still runs. Callers
 * have queued in the
 * kernel meanwhile. When nothing can be made durable we serve what can be read. */
static void server_recovered_durably(struct hub_barrier *barrier, enum err err)
{
    struct server *server = CONTAINER_OF(barrier, struct server, recovered);
    if (server->phase != PHASE_SERVING)
        return;
    if (err)
        LOG(server->log, LOG_ERROR, "recovery_not_recorded", LOG_TEXT("error", err_text(err)));
    listener_start(server->listener, exchanges_accept, server->exchanges);
    reactors_accept(server->reactors);
    announce(server);
    if (uses_tls_upstream(server))
        upstreams_warm(server->upstreams);
}

static void server_run(struct server *server)
{
    loop_poll(server->loop, &server->signal_op, server->signal_fd, POLLIN);
    reopen_all(&server->api);
    heap_use_large_pages();
    server->recovered.done = server_recovered_durably;
    hub_wait_durable(server->hub, &server->recovered);
    loop_run(server->loop);
    LOG(server->log, LOG_INFO, "stopped");
}

static int print_only(const struct config *config, bool wants_help)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, 1024 * 1024);
    enum err err = wants_help ? config_help(&text) : config_print(config, &text);
    if (wants_help)
        (void)puts("usage: tokenlog serve [--config FILE] [--provider NAME=URL]… [--print-config] "
                   "[options]\n");
    (void)printf("%.*s", SLICE_PRINT(buf_slice(&text)));
    return err ? EXIT_FAILED : 0;
}

int serve_main(int argc, char **argv)
{
    CLEANUP(buf_deinit) struct buf why;
    buf_init(&why, 64 * 1024);
    struct config_request request;
    struct server server = {.signal_fd = -1};
    server.reload = (struct reload){.argc = argc, .argv = argv, .environment = environ};
    if (config_load(argc, argv, environ, &server.config, &request, &why))
        return complain(EXIT_USAGE, "%.*s", SLICE_PRINT(buf_slice(&why)));
    if (request.wants_help || request.wants_print) {
        int code = print_only(server.config, request.wants_help);
        config_free(server.config);
        return code;
    }
    server.signal_op.done = signal_done;
    server.drain_timer.fire = drain_timer_fired;
    int code = server_open(&server);
    if (!code)
        server_run(&server);
    server_close(&server, code);
    config_free(server.config);
    return code;
}
