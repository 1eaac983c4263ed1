/* crowd — one epoll, one queue of clients that wait for their turn (the ramp, or a pause after a
 * failure); who begins when is in the queue's order. */
#include "tools/bench/crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    READY_MAX = 256,      /* clients looked at per wait */
    PAUSE_MS = 100,       /* after a failure, so that a dead server is not hammered */
    REFUSED_MS = 1000,    /* after a refusal, as Retry-After: 1 asks */
    RECORDING_S_MAX = 60, /* until all streams to be replayed are there */
    FILES_BESIDE = 64,    /* descriptors that are no clients */
};

enum phase { PHASE_RECORDING, PHASE_WARMUP, PHASE_WINDOW, PHASE_OVER };

struct crowd {
    const struct load_options *options;
    struct client_owner owner;
    struct client *clients;
    uint32_t client_count;
    struct client **waiting; /* a ring of client_count slots */
    uint32_t waiting_first, waiting_count;
    enum phase phase;
    int64_t now_ns, looked_ns, phase_end_ns;
    int64_t schedule_ns; /* follow: when the one generation was asked for */
    uint64_t random, keys;
    uint64_t body_bytes; /* of responses that ended */
    uint32_t recorded, recording;
    char (*urls)[REPLY_URL_BYTES]; /* recorded streams, or the one that is followed */
    struct crowd_results *results;
};

const char *failure_name(enum failure failure)
{
    switch (failure) {
    case FAILURE_UNREACHED: return "unreached";
    case FAILURE_CUT: return "cut";
    case FAILURE_MALFORMED: return "malformed";
    case FAILURE_STATUS: return "status";
    case FAILURE_WRONG: return "wrong";
    case FAILURE_SHORT: return "short";
    case FAILURE_COUNT: break;
    }
    return "";
}

/* random_below — splitmix64; the modulo's bias is of no matter here. */
static uint64_t random_below(struct crowd *crowd, uint64_t bound)
{
    uint64_t z = crowd->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bound ? (z ^ (z >> 31)) % bound : 0;
}

static bool is_followed(const struct crowd *crowd)
{
    return crowd->options->mode == MODE_FOLLOW || crowd->options->mode == MODE_IDLE;
}

/* Starting. */

static void enqueue(struct crowd *crowd, struct client *client, int64_t start_ns)
{
    ASSERT(crowd->waiting_count < crowd->client_count);
    uint32_t slot = (crowd->waiting_first + crowd->waiting_count++) % crowd->client_count;
    client->start_ns = start_ns;
    crowd->waiting[slot] = client;
}

static void enqueue_ramp(struct crowd *crowd, uint32_t first)
{
    int64_t step_ns = crowd->options->ramp_ns / crowd->client_count;
    for (uint32_t i = first; i < crowd->client_count; i++)
        enqueue(crowd, &crowd->clients[i], crowd->now_ns + step_ns * (i - first));
}

/* begin — the client's next request, of the kind that its mode and the phase ask for. */
static void begin(struct crowd *crowd, struct client *client)
{
    const struct load_options *options = crowd->options;
    uint64_t from = 0;
    client->is_reader = crowd->phase != PHASE_RECORDING &&
                        (options->mode == MODE_REPLAY || (is_followed(crowd) && client->index > 0));
    client->hang_up_at =
        options->mode == MODE_RESUME ? 1 + random_below(crowd, options->events) : 0;
    if (client->is_reader && options->mode == MODE_REPLAY) {
        client->stream = crowd->recorded ? (uint32_t)random_below(crowd, crowd->recorded) : 0;
        from = options->is_from_random ? random_below(crowd, options->events + 1) : 0;
    }
    tokens_begin(&client->tokens, from);
    client_start(client);
}

/* come_back — at the offset where the client hung up; perhaps not for the last time. */
static void come_back(struct crowd *crowd, struct client *client)
{
    uint64_t received = client->tokens.next_event;
    uint64_t left = crowd->options->events -
                    (received < crowd->options->events ? received : crowd->options->events);
    client->is_reader = true;
    client->hang_up_at = random_below(crowd, 2) ? received + 1 + random_below(crowd, left) : 0;
    tokens_resume(&client->tokens);
    client_start(client);
}

static void start_due(struct crowd *crowd)
{
    while (crowd->waiting_count > 0) {
        struct client *client = crowd->waiting[crowd->waiting_first];
        if (client->start_ns > crowd->now_ns)
            return;
        crowd->waiting_first = (crowd->waiting_first + 1) % crowd->client_count;
        crowd->waiting_count--;
        begin(crowd, client);
    }
}

/* What the clients ask, and report. */

static enum err put_get(const struct crowd *crowd, const struct client *client, struct buf *out)
{
    const struct load_options *options = crowd->options;
    if (options->mode == MODE_REPLAY && options->is_path_given)
        return buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s\r\n", options->path, options->host);
    const char *url = options->mode == MODE_RESUME   ? client->url
                      : options->mode == MODE_REPLAY ? crowd->urls[client->stream]
                                                     : crowd->urls[0];
    return buf_printf(out, "GET %s/events?from=%llu%s HTTP/1.1\r\nHost: %s\r\n", url,
        (unsigned long long)client->tokens.next_event, options->is_raw ? "&format=raw" : "",
        options->host);
}

static enum err put_post(struct crowd *crowd, struct buf *out)
{
    static const char tail[] =
        "\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story.\"}]}";
    const struct load_options *options = crowd->options;
    const char *path = options->is_path_given && options->mode != MODE_REPLAY
                           ? options->path
                           : "/v1/chat/completions";
    if (options->is_keyed)
        TRY(buf_printf(out, "POST %s HTTP/1.1\r\nIdempotency-Key: bench-%d-%lld-%llu\r\n", path,
            (int)getpid(), (long long)crowd->phase_end_ns, (unsigned long long)crowd->keys++));
    else
        TRY(buf_printf(out, "POST %s HTTP/1.1\r\n", path));
    TRY(buf_printf(out, "Host: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
        options->host, strlen("{\"model\":\"") + strlen(options->model) + strlen(tail)));
    if (options->bearer)
        TRY(buf_printf(out, "Authorization: Bearer %s\r\n", options->bearer));
    for (size_t i = 0; i < options->header_count; i++)
        TRY(buf_printf(out, "%s\r\n", options->headers[i]));
    return buf_printf(out, "\r\n{\"model\":\"%s%s", options->model, tail);
}

static void on_request(void *context, struct client *client, struct buf *out)
{
    struct crowd *crowd = context;
    const char *bearer = crowd->options->bearer;
    enum err err;
    if (!client->is_reader)
        err = put_post(crowd, out);
    else if ((err = put_get(crowd, client, out)) == ERR_OK)
        err = bearer ? buf_printf(out, "Authorization: Bearer %s\r\n\r\n", bearer)
                     : buf_printf(out, "\r\n");
    ASSERT(err == ERR_OK); /* the options' sizes were checked */
}

static void on_head(void *context, struct client *client)
{
    struct crowd *crowd = context;
    if (client->is_reader || reply_status(client->reply) != 200)
        return;
    (void)snprintf(client->url, sizeof client->url, "%s", reply_stream_url(client->reply));
    if (!is_followed(crowd) || crowd->urls[0][0])
        return;
    memcpy(crowd->urls[0], client->url, sizeof client->url);
    crowd->schedule_ns = client->schedule_ns;
    enqueue_ramp(crowd, 1);
}

static void count_lateness(struct crowd *crowd, const struct client *client, uint64_t index)
{
    const struct load_options *options = crowd->options;
    bool is_follower = client->is_reader && is_followed(crowd);
    if (options->rate <= 0 || (client->is_reader && !is_follower))
        return;
    int64_t asked_ns = is_follower ? crowd->schedule_ns : client->schedule_ns;
    uint64_t step = index - index % options->burst;
    int64_t due_ns = asked_ns + options->ttft_ns + (int64_t)((double)step * 1e9 / options->rate);
    if (due_ns >= client->sent_ns) /* else it is replayed */
        histogram_add(&crowd->results->lateness, crowd->now_ns - due_ns, 1);
}

static void count_pace(struct crowd *crowd, struct client *client, uint64_t index, bool is_first)
{
    const struct load_options *options = crowd->options;
    if (options->rate <= 0 || client->is_reader)
        return;
    if (is_first) {
        client->pace_token = index;
        client->pace_ns = crowd->now_ns;
    }
    uint64_t steps = index / options->burst - client->pace_token / options->burst;
    int64_t due_ns =
        client->pace_ns + (int64_t)((double)(steps * options->burst) * 1e9 / options->rate);
    if (crowd->phase == PHASE_WINDOW)
        histogram_add(&crowd->results->pace, crowd->now_ns - due_ns, 1);
}

static void on_token(void *context, struct client *client, uint64_t index)
{
    struct crowd *crowd = context;
    bool is_first = !client->has_token;
    client->has_token = true;
    if (client->hang_up_at && client->tokens.next_event >= client->hang_up_at)
        client_hang_up(client);
    count_pace(crowd, client, index, is_first);
    if (crowd->phase != PHASE_WINDOW)
        return;
    crowd->results->tokens++;
    if (is_first)
        histogram_add(
            client->is_reader ? &crowd->results->first_replayed : &crowd->results->first_token,
            crowd->now_ns - client->sent_ns, 1);
    count_lateness(crowd, client, index);
}

/* judge — FAILURE_COUNT: all is well. */
static enum failure judge(
    const struct crowd *crowd, const struct client *client, enum client_end end)
{
    const struct tokens *tokens = &client->tokens;
    switch (end) {
    case CLIENT_UNREACHED: return FAILURE_UNREACHED;
    case CLIENT_CUT: return FAILURE_CUT;
    case CLIENT_MALFORMED: return FAILURE_MALFORMED;
    case CLIENT_COMPLETE:
    case CLIENT_HUNG_UP: break;
    }
    if (reply_status(client->reply) != 200)
        return FAILURE_STATUS;
    if (tokens->problem)
        return FAILURE_WRONG;
    if (end == CLIENT_HUNG_UP)
        return client->url[0] ? FAILURE_COUNT : FAILURE_SHORT;
    bool wants_own_end =
        client->is_reader && !crowd->options->is_raw && !crowd->options->is_path_given;
    return tokens->is_done && tokens->next_token == crowd->options->events &&
                   (!wants_own_end || tokens->is_ended)
               ? FAILURE_COUNT
               : FAILURE_SHORT;
}

static void note_failure(struct crowd *crowd, struct client *client, enum failure failure)
{
    struct crowd_results *results = crowd->results;
    results->failures[failure]++;
    if (!results->first_problem) {
        results->first_problem =
            client->tokens.problem ? client->tokens.problem : failure_name(failure);
        results->first_status = reply_status(client->reply);
        results->is_first_of_reader = client->is_reader;
    }
    if (!is_followed(crowd)) /* a follower that was lost stays lost */
        enqueue(crowd, client, crowd->now_ns + (int64_t)PAUSE_MS * 1000000);
}

static bool is_refused(const struct crowd *crowd, const struct client *client)
{
    int status = reply_status(client->reply);
    return crowd->options->may_refuse && (status == 429 || status == 503);
}

static void note_refusal(struct crowd *crowd, struct client *client)
{
    if (crowd->phase == PHASE_WINDOW)
        histogram_add(&crowd->results->refused, crowd->now_ns - client->sent_ns, 1);
    enqueue(crowd, client, crowd->now_ns + (int64_t)REFUSED_MS * 1000000);
}

static void note_recorded(struct crowd *crowd, struct client *client)
{
    memcpy(crowd->urls[crowd->recorded++], client->url, sizeof client->url);
    if (crowd->recording < crowd->options->streams) {
        crowd->recording++;
        begin(crowd, client);
    }
}

static void on_ended(void *context, struct client *client, enum client_end end)
{
    struct crowd *crowd = context;
    enum failure failure = judge(crowd, client, end);
    crowd->body_bytes += client->body_bytes;
    client->body_bytes = 0;
    if (failure == FAILURE_STATUS && is_refused(crowd, client)) {
        note_refusal(crowd, client);
    } else if (failure != FAILURE_COUNT) {
        note_failure(crowd, client, failure);
    } else if (crowd->phase == PHASE_RECORDING) {
        note_recorded(crowd, client);
    } else if (end == CLIENT_HUNG_UP) {
        crowd->results->hang_ups++;
        come_back(crowd, client);
    } else {
        if (crowd->phase == PHASE_WINDOW) {
            crowd->results->responses++;
            histogram_add(&crowd->results->stream, watch_now_ns() - client->sent_ns, 1);
        }
        if (!is_followed(crowd) && !crowd->options->is_once)
            begin(crowd, client);
    }
}

/* The run. */

static uint64_t all_body_bytes(const struct crowd *crowd)
{
    uint64_t sum = crowd->body_bytes;
    for (uint32_t i = 0; i < crowd->client_count; i++)
        sum += crowd->clients[i].body_bytes;
    return sum;
}

/* rest — the remainder of the tick, so that arrivals gather instead of waking us one by one. */
static void rest(const struct crowd *crowd)
{
    int64_t left_ns = crowd->looked_ns + crowd->options->tick_ns - watch_now_ns();
    struct timespec pause = {.tv_nsec = left_ns};
    if (crowd->options->tick_ns > 0 && left_ns > 0)
        (void)nanosleep(&pause, NULL);
}

static void turn(struct crowd *crowd)
{
    struct epoll_event ready[READY_MAX];
    int64_t until_ns = crowd->phase_end_ns;
    if (crowd->waiting_count > 0 && crowd->waiting[crowd->waiting_first]->start_ns < until_ns)
        until_ns = crowd->waiting[crowd->waiting_first]->start_ns;
    rest(crowd);
    int64_t left_ns = until_ns - watch_now_ns();
    int timeout_ms = left_ns > 0 ? (int)((left_ns + 999999) / 1000000) : 0;
    int count = epoll_wait(crowd->owner.epoll, ready, READY_MAX, timeout_ms);
    if (count < READY_MAX) /* else there is more to look at first */
        crowd->looked_ns = watch_now_ns();
    for (int i = 0; i < count; i++) {
        crowd->now_ns = watch_now_ns();
        client_ready(ready[i].data.ptr, ready[i].events);
    }
    crowd->now_ns = watch_now_ns();
    start_due(crowd);
}

static void run_phase(struct crowd *crowd, enum phase phase, int64_t duration_ns)
{
    crowd->phase = phase;
    crowd->phase_end_ns = crowd->now_ns + duration_ns;
    while (crowd->now_ns < crowd->phase_end_ns)
        turn(crowd);
}

/* record — the streams that will be replayed; false: not all of them came to be. */
static bool record(struct crowd *crowd)
{
    const struct load_options *options = crowd->options;
    uint32_t clients =
        crowd->client_count < options->streams ? crowd->client_count : options->streams;
    crowd->phase = PHASE_RECORDING;
    crowd->recording = clients;
    crowd->phase_end_ns = crowd->now_ns + RECORDING_S_MAX * INT64_C(1000000000);
    for (uint32_t i = 0; i < clients; i++)
        enqueue(crowd, &crowd->clients[i], crowd->now_ns);
    while (crowd->recorded < options->streams && crowd->now_ns < crowd->phase_end_ns)
        turn(crowd);
    if (crowd->recorded < options->streams)
        return fprintf(stderr, "tokenlog_load: only %u of %u streams could be recorded (%s)\n",
                   crowd->recorded, options->streams, crowd->results->first_problem),
               false;
    run_phase(crowd, PHASE_RECORDING, options->settle_ns);
    return true;
}

static void measure(struct crowd *crowd)
{
    const struct load_options *options = crowd->options;
    struct crowd_results *results = crowd->results;
    int64_t began_ns = crowd->now_ns;
    int64_t own_us = watch_own_cpu_us(), watched_us = watch_cpu_us(&options->watch);
    uint64_t bytes = all_body_bytes(crowd);
    run_phase(crowd, PHASE_WINDOW, options->duration_ns);
    results->watched_cpu_us = watch_cpu_us(&options->watch) - watched_us;
    results->own_cpu_us = watch_own_cpu_us() - own_us;
    results->window_ns = crowd->now_ns - began_ns;
    results->body_bytes = all_body_bytes(crowd) - bytes;
    results->resident_after_bytes = watch_resident_bytes(&options->watch);
    for (uint32_t i = 0; i < crowd->client_count; i++)
        results->attached +=
            crowd->clients[i].state == CLIENT_READING && crowd->clients[i].has_token;
    crowd->phase = PHASE_OVER;
}

static void raise_file_limit(uint32_t clients)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= clients + FILES_BESIDE)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if it is not enough, clients count as unreached */
}

static bool build(struct crowd *crowd, struct buf *scratch)
{
    const struct load_options *options = crowd->options;
    crowd->client_count = options->clients;
    crowd->random = options->seed;
    crowd->now_ns = watch_now_ns();
    crowd->clients = calloc(options->clients, sizeof *crowd->clients);
    crowd->waiting = calloc(options->clients, sizeof(struct client *));
    crowd->urls = calloc(options->streams, sizeof *crowd->urls);
    crowd->owner = (struct client_owner){.options = options,
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .context = crowd,
        .request = on_request,
        .head = on_head,
        .token = on_token,
        .ended = on_ended,
        .scratch = scratch,
        .read_bytes = malloc(CLIENT_READ_BYTES)};
    bool is_built = crowd->clients && crowd->waiting && crowd->urls && crowd->owner.read_bytes &&
                    crowd->owner.epoll >= 0;
    for (uint32_t i = 0; is_built && i < options->clients; i++) {
        is_built = client_init(&crowd->clients[i], &crowd->owner);
        crowd->clients[i].index = i;
    }
    return is_built;
}

static void take_down(struct crowd *crowd)
{
    for (uint32_t i = 0; crowd->clients && i < crowd->client_count; i++)
        if (crowd->clients[i].owner)
            client_deinit(&crowd->clients[i]);
    if (crowd->owner.epoll >= 0)
        (void)close(crowd->owner.epoll);
    free(crowd->owner.read_bytes);
    free(crowd->clients);
    free(crowd->waiting);
    free(crowd->urls);
}

static bool run(struct crowd *crowd)
{
    const struct load_options *options = crowd->options;
    if (options->mode == MODE_REPLAY && !options->is_path_given && !record(crowd))
        return false;
    crowd->phase = PHASE_WARMUP;
    if (is_followed(crowd))
        enqueue(crowd, &crowd->clients[0], crowd->now_ns);
    else
        enqueue_ramp(crowd, 0);
    run_phase(crowd, PHASE_WARMUP, options->warmup_ns);
    measure(crowd);
    return true;
}

bool crowd_run(const struct load_options *options, struct crowd_results *out)
{
    struct crowd crowd = {.options = options, .results = out};
    struct buf scratch;
    *out = (struct crowd_results){.resident_before_bytes = watch_resident_bytes(&options->watch)};
    buf_init(&scratch, CLIENT_REQUEST_BYTES_MAX);
    raise_file_limit(options->clients);
    bool is_done = build(&crowd, &scratch) && run(&crowd);
    take_down(&crowd);
    buf_deinit(&scratch);
    return is_done;
}
