/* producer_follow — an answer that is elsewhere: Replicate answers a request by the places of its
 * prediction, and goes on with it.
 *
 *   the request ─▶ {"status": "starting", "urls": {…}} ─┬▶ GET urls.stream ─▶ the answer, as it comes
 *                                                       └▶ GET urls.get, again and again ─▶ the answer
 *   the request ─▶ anything else ─▶ the answer
 *
 * A place that does not answer, or not yet, is asked again: the answer is paid for. A run that is given up
 * meanwhile says so, at the place that is told for that. The key goes to the provider's own places only
 * (place.h): elsewhere nothing is asked. */
#include "server/stream/producer_state.h"

#include <string.h>

#include "protocol/http/place.h"

enum { STATUS_OK = 200 };

static void ask_again(struct timer *timer);

void run_follow_init(struct run *run)
{
    struct run_follow *follow = &run->follow;
    follow->timer.fire = ask_again;
    buf_init(&follow->head, HTTP_HEAD_BYTES_MAX);
    buf_init(&follow->body, TRANSLATED_BODY_BYTES_MAX);
    buf_init(&follow->url, HTTP_TARGET_BYTES_MAX);
    buf_init(&follow->cancel, HTTP_TARGET_BYTES_MAX);
    follow->is_looked_for = run->translate.provider && translate_follows(run->translate.provider);
}

void run_follow_deinit(struct run *run)
{
    timer_cancel(run->loop, &run->follow.timer);
    buf_deinit(&run->follow.head);
    buf_deinit(&run->follow.body);
    buf_deinit(&run->follow.url);
    buf_deinit(&run->follow.cancel);
}

/* ── the next request ───────────────────────────────────────────────────────────────────────── */

/* Fields that speak of the first request's body, or of how it is to be answered. */
static bool is_of_the_first(const char *line)
{
    static const char *const names[] = {"content-type", "prefer", "accept"};
    struct slice name = slice_of(line, strcspn(line, ":"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_equal_nocase(name, slice_text(names[i])))
            return true;
    return false;
}

void run_lines_without_body(
    const struct run *run, const char *accept, const char *lines[PRODUCER_HEADERS_MAX + 2])
{
    size_t count = 0;
    lines[count++] = accept;
    for (const char *const *line = run->headers; *line; line++)
        if (!is_of_the_first(*line))
            lines[count++] = *line;
    lines[count] = NULL;
}

static struct upstream_request request_of(
    const struct run *run, const char *method, const struct buf *url, const char *const *headers)
{
    return (struct upstream_request){.url = (const char *)url->data,
        .method = method,
        .headers = headers,
        .connect_timeout_ms = run->connect_timeout_ms,
        .first_byte_timeout_ms = run->first_byte_timeout_ms,
        .idle_timeout_ms = run->idle_timeout_ms,
        .ca_file = run->ca_file[0] ? run->ca_file : NULL};
}

static enum err ask(struct run *run)
{
    const char *headers[PRODUCER_HEADERS_MAX + 2];
    run_lines_without_body(run,
        run->follow.is_stream ? "Accept: text/event-stream" : "Accept: application/json", headers);
    struct upstream_request request = request_of(run, "GET", &run->follow.url, headers);
    metrics_add(run->producer->config.metrics, METRIC_upstream_requests_total, 1);
    return run_send(run, &request, &run_follow_owner);
}

/* What is answered to a farewell is nobody's business. */
static void farewell_head(void *context, int status, struct slice head)
{
    (void)context, (void)status, (void)head;
}

static enum err farewell_data(void *context, struct slice bytes)
{
    (void)context, (void)bytes;
    return ERR_OK;
}

static void farewell_ended(void *context, enum upstream_end how, const char *message)
{
    (void)context, (void)how, (void)message;
}

void run_follow_cancel(struct run *run)
{
    static const struct upstream_owner owner = {farewell_head, farewell_data, farewell_ended, NULL};
    const char *headers[PRODUCER_HEADERS_MAX + 2];
    struct upstream *transfer;
    if (!run->producer || run->is_over || run->follow.cancel.size == 0)
        return;
    run_lines_without_body(run, "Accept: application/json", headers);
    struct upstream_request request = request_of(run, "POST", &run->follow.cancel, headers);
    if (upstream_start(run->producer->config.upstreams, &request, &owner, NULL, &transfer))
        LOG(run->producer->config.log, LOG_WARNING, "not_cancelled",
            LOG_ID("stream", &stream_row(run->producer->stream)->id));
    buf_clear(&run->follow.cancel);
}

static void give_up(struct run *run, const char *why)
{
    run_owner.ended(run, UPSTREAM_MALFORMED, why);
}

static void ask_again(struct timer *timer)
{
    struct run *run = CONTAINER_OF(timer, struct run, follow.timer);
    if (run->producer && !run->producer->has_ended && !run->producer->end.is_owed && ask(run))
        give_up(run, "the prediction could not be asked for: out of memory");
}

/* ── a response ─────────────────────────────────────────────────────────────────────────────── */

static void follow_head(void *context, int status, struct slice head)
{
    struct run *run = context;
    struct run_follow *follow = &run->follow;
    struct headers all = {.count = 0};
    producer_read_head(head, &all);
    struct slice type = slice_sub(headers_get(&all, "content-type"), 0, 16);
    buf_clear(&follow->head);
    buf_clear(&follow->body);
    follow->status = status;
    follow->is_refused = follow->url.size && follow->failures < FOLLOW_FAILURES_MAX &&
                         (status == 408 || status == 429 || status >= 500);
    if (follow->is_refused)
        return;
    if (status < 200 || status > 299 || !slice_equal_nocase(type, SLICE("application/json")) ||
        buf_append(&follow->head, head)) {
        follow->is_looked_for = false;
        run_owner.head(run, status, head);
    }
}

static enum err follow_data(void *context, struct slice bytes)
{
    struct run *run = context;
    if (run->follow.is_refused)
        return ERR_OK;
    if (!run->follow.is_looked_for)
        return run_owner.data(run, bytes);
    enum err err = buf_append(&run->follow.body, bytes);
    run->follow.is_too_large = err == ERR_LIMIT;
    return err;
}

/* Where a stream was asked for, the whole is told as the event that ends one. */
static void deliver(struct run *run)
{
    struct run_follow *follow = &run->follow;
    struct slice head = buf_slice(&follow->head), body = buf_slice(&follow->body);
    struct buf event;
    buf_init(&event, RUN_DELIVER_BYTES_MAX);
    if (!stream_row(run->producer->stream)->is_streamed)
        run_deliver(run, follow->status, head, body);
    else if (translate_whole_event(run->translate.provider, body, &event))
        give_up(run, "the provider's answer is too large");
    else
        run_deliver(
            run, STATUS_OK, SLICE("Content-Type: text/event-stream\r\n"), buf_slice(&event));
    buf_deinit(&event);
}

static enum err find_place(struct run *run)
{
    struct run_follow *follow = &run->follow;
    struct slice own = slice_text((const char *)run->url.data);
    buf_clear(&follow->url);
    buf_clear(&follow->cancel);
    enum err err = translate_follow(run->translate.provider, buf_slice(&follow->body),
        stream_row(run->producer->stream)->is_streamed, &follow->url, &follow->cancel);
    if (err != ERR_OK && err != ERR_AGAIN)
        return err;
    if (!place_is_own(own, buf_slice(&follow->cancel)) || buf_append_byte(&follow->cancel, 0))
        buf_clear(&follow->cancel);
    if (!place_is_own(own, buf_slice(&follow->url)))
        return ERR_INVALID;
    TRY(buf_append_byte(&follow->url, 0));
    return err;
}

/* So long may pass before an answer begins, also one that is asked for again and again. */
static bool is_too_late(const struct run *run)
{
    int64_t passed_ms = (loop_wall_ns(run->loop) - run->dispatched_ns) / 1000000;
    return run->first_byte_timeout_ms && passed_ms >= run->first_byte_timeout_ms;
}

static void ask_later(struct run *run)
{
    int64_t wait_ms = (int64_t)FOLLOW_MS << run->follow.failures;
    timer_set(run->loop, &run->follow.timer, loop_now_ns(run->loop) + wait_ms * 1000000);
}

static void follow_place(struct run *run)
{
    enum err err = find_place(run);
    run->follow.failures = 0;
    run->follow.is_stream = err == ERR_OK;
    if (err == ERR_NOTFOUND)
        deliver(run);
    else if (err == ERR_INVALID)
        give_up(run, "the provider names a place for its answer that is not its own");
    else if (err == ERR_AGAIN && is_too_late(run)) {
        run_follow_cancel(run);
        run_owner.ended(run, UPSTREAM_TIMEOUT_FIRST_BYTE, "the prediction was not done in time");
    } else if (err == ERR_AGAIN)
        ask_later(run);
    else if (err || ask(run))
        give_up(run, "the place of the answer could not be asked: out of memory");
}

static bool may_ask_again(const struct run *run, enum upstream_end how)
{
    return run->follow.url.size && how != UPSTREAM_CANCELED &&
           run->follow.failures < FOLLOW_FAILURES_MAX && !is_too_late(run);
}

static void follow_ended(void *context, enum upstream_end how, const char *message)
{
    struct run *run = context;
    struct producer *producer = run->producer;
    bool is_wanted =
        run->follow.is_looked_for && producer && !producer->has_ended && !producer->end.is_owed;
    run->upstream = NULL;
    if (is_wanted && how == UPSTREAM_COMPLETE && !run->follow.is_refused)
        follow_place(run);
    else if (is_wanted && may_ask_again(run, how)) {
        ask_later(run);
        run->follow.failures++;
    } else if (run->follow.is_too_large)
        run_owner.ended(run, UPSTREAM_MALFORMED, "the provider's answer is too large");
    else
        run_owner.ended(run, how, message);
}

const struct upstream_owner run_follow_owner = {follow_head, follow_data, follow_ended, NULL};
