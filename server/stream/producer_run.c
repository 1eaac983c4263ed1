/* producer_run — see the header. */
#include "server/stream/producer_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/dialect/preamble.h"
#include "protocol/http/retry_after.h"
#include "server/io/upload.h"
#include "server/stream/producer_state.h"

static void timer_fired(struct timer *timer);

/* ── its life ───────────────────────────────────────────────────────────────────────────────── */

/* The texts, one behind the other: reserved at once, so that they do not move. */
static enum err keep_names(struct run *run, const struct producer_request *request)
{
    const struct producer_translate *translate = request->translate;
    const struct slice texts[] = {slice_text(request->target), slice_text(request->key_name),
        request->provider, request->model, request->provider_dialect,
        translate ? translate->model : SLICE_NONE, translate ? translate->left_out : SLICE_NONE};
    struct slice *const places[] = {&run->record.target, &run->record.key, &run->provider,
        &run->model, &run->provider_dialect, &run->translate.model, &run->translate.left_out};
    enum { COUNT = sizeof places / sizeof places[0] };
    uint8_t *room;
    size_t size = 1;
    for (size_t i = 0; i < COUNT; i++)
        size += texts[i].size;
    buf_init(&run->text, size);
    TRY(buf_reserve(&run->text, size, &room));
    for (size_t i = 0; i < COUNT; i++) {
        if (texts[i].size)
            memcpy(room, texts[i].data, texts[i].size);
        *places[i] = slice_of(room, texts[i].size);
        room += texts[i].size;
    }
    return ERR_OK;
}

static void take_timeouts(
    struct run *run, const struct producer_request *request, const struct producer_config *config)
{
    run->connect_timeout_ms =
        request->connect_timeout_ms ? request->connect_timeout_ms : config->connect_timeout_ms;
    run->first_byte_timeout_ms = request->first_byte_timeout_ms ? request->first_byte_timeout_ms
                                                                : config->first_byte_timeout_ms;
    run->idle_timeout_ms =
        request->idle_timeout_ms ? request->idle_timeout_ms : config->stall_timeout_ms;
}

enum err run_new(
    struct producer *producer, const struct producer_request *request, struct run **out)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return fault(ERR_NOMEM, "an attempt");
    run->producer = producer;
    run->loop = hub_loop(stream_hub(producer->stream));
    run->retry_after_ms = -1;
    run->caller_dialect = run->dialect = request->dialect;
    run->hides_usage = request->hides_usage;
    run->is_kept = request->is_kept;
    run->attempt = request->attempt;
    run->record =
        (struct attempt){.kind = request->kind, .usage = USAGE_UNKNOWN, .cost_nano_usd = -1};
    run->hold.timer.fire = timer_fired;
    buf_init(&run->hold.head, HTTP_HEAD_BYTES_MAX);
    buf_init(&run->hold.bytes, HOLD_BYTES_MAX);
    dialect_reading_init(&run->hold.reading);
    if (request->translate) {
        run->translate = *request->translate;
        run->dialect = translate_dialect(run->translate.provider);
    }
    run_follow_init(run);
    take_timeouts(run, request, &producer->config);
    enum err err = keep_names(run, request);
    if (!err)
        err = run_build_request(run, request);
    if (err)
        run_free(run);
    else
        *out = run;
    return err;
}

void run_free(struct run *run)
{
    if (!run)
        return;
    ASSERT(!run->upstream);
    timer_cancel(run->loop, &run->hold.timer);
    run_follow_deinit(run);
    buf_deinit(&run->hold.head);
    buf_deinit(&run->hold.bytes);
    buf_deinit(&run->url);
    buf_deinit(&run->request_body);
    if (run->upload)
        upload_close(run->upload);
    upload_unref(run->upload);
    buf_deinit(&run->header_text);
    buf_deinit(&run->text);
    free(run);
}

void run_cancel(struct run *run)
{
    run_follow_cancel(run);
    if (run->upstream)
        upstream_cancel(run->upstream);
}

void run_drop(struct run *run)
{
    run_follow_cancel(run);
    run->producer = NULL;
    run_cancel(run);
    if (!run->upstream)
        timer_set(run->loop, &run->hold.timer, loop_now_ns(run->loop));
}

static void set_timer(struct run *run, int64_t after_ms)
{
    timer_set(run->loop, &run->hold.timer, loop_now_ns(run->loop) + after_ms * 1000000);
}

/* ── live ───────────────────────────────────────────────────────────────────────────────────── */

/* What is kept, and then the end, if that has come. */
static void offer(struct run *run)
{
    struct producer *producer = run->producer;
    if (run->hold.bytes.size && producer_data(producer, buf_slice(&run->hold.bytes)))
        return;
    buf_deinit(&run->hold.bytes);
    buf_init(&run->hold.bytes, HOLD_BYTES_MAX);
    if (run->producer != producer || producer->has_ended)
        return;
    if (run->is_over)
        producer_transfer_ended(producer, run->how, run->message);
    else if (run->is_paused)
        run_resume(run);
}

void run_release(struct run *run)
{
    struct producer *producer = run->producer;
    timer_cancel(run->loop, &run->hold.timer);
    run->state = RUN_LIVE;
    if (run->status)
        producer_head(producer, run->status, buf_slice(&run->hold.head));
    buf_deinit(&run->hold.head);
    buf_init(&run->hold.head, HTTP_HEAD_BYTES_MAX);
    offer(run);
}

void run_resume(struct run *run)
{
    if (run->hold.bytes.size && !run->producer->has_ended) {
        offer(run);
        return;
    }
    run->is_paused = false;
    if (run->upstream)
        upstream_resume(run->upstream);
}

/* ── held ───────────────────────────────────────────────────────────────────────────────────── */

/* The response so far is kept, in case that it is the last one; the rest of an error's body is given a
 * moment to come. */
static void fail(struct run *run, enum producer_end end, const char *why)
{
    struct producer *producer = run->producer;
    run->state = RUN_FAILED;
    if (!producer_may_go_on(producer, run, end, why))
        producer_stand(producer, run);
    else if (run->is_over || end != PRODUCER_STATUS)
        producer_go_on(producer, run);
    else
        set_timer(run, HOLD_ERROR_MS);
}

static void judge_frame(struct run *run, struct slice frame)
{
    struct run_hold *hold = &run->hold;
    bool is_preamble = hold->splitter.framing == FRAMING_SSE && dialect_is_preamble(frame);
    (void)run->dialect->read_event(&hold->reading, frame);
    if (hold->reading.is_failed)
        fail(run, PRODUCER_ERROR_EVENT, "provider_error");
    else if (!is_preamble || hold->reading.is_terminated)
        producer_prove(run->producer, run);
    else if (!hold->has_frame)
        set_timer(run, HOLD_MS);
    hold->has_frame = true;
}

/* `fresh` bytes at the end of what is kept have not been looked at. */
static void judge_frames(struct run *run, size_t fresh)
{
    struct run_hold *hold = &run->hold;
    while (run->state == RUN_HELD) {
        size_t end, seen = hold->bytes.size - fresh;
        if (frame_split(&hold->splitter, slice_sub(buf_slice(&hold->bytes), seen, fresh), &end))
            return;
        struct slice frame =
            slice_sub(buf_slice(&hold->bytes), hold->frame, seen + end - hold->frame);
        hold->frame = seen + end;
        fresh -= end;
        judge_frame(run, frame);
    }
}

static void judge(struct run *run, size_t fresh)
{
    if (run->hold.is_stream)
        judge_frames(run, fresh);
    else if (run->hold.is_json)
        timer_cancel(run->loop, &run->hold.timer); /* it has begun in time */
    else
        producer_prove(run->producer, run);
}

/* The transfer ended well, and what came did not prove good. */
static void judge_whole(struct run *run)
{
    struct run_hold *hold = &run->hold;
    struct slice residue = slice_sub(buf_slice(&hold->bytes), hold->frame, hold->bytes.size);
    bool is_frame = hold->is_stream && residue.size &&
                    (frame_split_end(&hold->splitter) || !run->dialect->has_terminator ||
                        run->dialect->is_terminator_residue(residue));
    if (is_frame)
        judge_frame(run, residue);
    else if (hold->is_json)
        run->dialect->read_body(&hold->reading, buf_slice(&hold->bytes));
    if (run->state != RUN_HELD)
        return;
    if (hold->reading.is_failed)
        fail(run, PRODUCER_ERROR_EVENT, "provider_error");
    else if (hold->is_stream && (run->dialect->has_terminator || hold->reading.owes_finish))
        fail(run, PRODUCER_BROKEN, "upstream_truncated");
    else
        producer_prove(run->producer, run);
}

static void judge_end(struct run *run)
{
    switch (run->how) {
    case UPSTREAM_COMPLETE: judge_whole(run); return;
    case UPSTREAM_REFUSED:
    case UPSTREAM_TIMEOUT_CONNECT:
        fail(run, PRODUCER_NOT_SENT, upstream_end_name(run->how));
        return;
    case UPSTREAM_TIMEOUT_FIRST_BYTE:
        fail(run, PRODUCER_TIMED_OUT, upstream_end_name(run->how));
        return;
    case UPSTREAM_TIMEOUT_IDLE:
    case UPSTREAM_RESET:
    case UPSTREAM_MALFORMED:
    case UPSTREAM_CANCELED: fail(run, PRODUCER_BROKEN, upstream_end_name(run->how)); return;
    case UPSTREAM_CUT: fail(run, PRODUCER_STOPPED, upstream_end_name(run->how)); return;
    }
}

static void timer_fired(struct timer *timer)
{
    struct run *run = CONTAINER_OF(timer, struct run, hold.timer);
    if (!run->producer)
        run_free(run);
    else if (run->state == RUN_FAILED)
        producer_go_on(run->producer, run);
    else if (run->hold.has_frame)
        producer_prove(run->producer, run);
    else { /* a head, and nothing behind it */
        run->is_late = true;
        run_cancel(run);
    }
}

/* ── the transfer ───────────────────────────────────────────────────────────────────────────── */

static void read_head(struct run *run, struct slice head)
{
    struct headers all = {.count = 0};
    producer_read_head(head, &all);
    struct slice type = headers_get(&all, "content-type");
    struct run_hold *hold = &run->hold;
    hold->is_stream = run->status < 400 && framing_of_type(type, &hold->splitter.framing) == ERR_OK;
    hold->is_json = slice_equal_nocase(slice_sub(type, 0, 16), SLICE("application/json"));
    run->retry_after_ms = retry_after_ms(&all, loop_wall_ns(run->loop));
}

bool run_reads_stream(struct run *run, struct slice head)
{
    read_head(run, head);
    return run->status == 200 && run->hold.is_stream && run->hold.splitter.framing == FRAMING_SSE;
}

static void hold_head(struct run *run, struct slice head)
{
    read_head(run, head);
    if (run->status < 200 || run->status > 599 || buf_append(&run->hold.head, head)) {
        fail(run, PRODUCER_BROKEN, upstream_end_name(UPSTREAM_MALFORMED));
    } else if (run->status >= 400) {
        fail(run, PRODUCER_STATUS, "upstream_status");
    } else if (run->first_byte_timeout_ms) {
        int64_t passed_ms = (loop_wall_ns(run->loop) - run->dispatched_ns) / 1000000;
        int64_t left_ms = run->first_byte_timeout_ms - passed_ms;
        set_timer(run, left_ms > 0 ? left_ms : 0);
    }
}

static void upstream_head(void *context, int status, struct slice head)
{
    struct run *run = context;
    if (!run->producer)
        return;
    run->status = status;
    if (run->state == RUN_LIVE)
        producer_head(run->producer, status, head);
    else
        hold_head(run, head);
}

static enum err put_off(struct run *run)
{
    run->is_paused = true;
    return ERR_AGAIN;
}

static enum err live_data(struct run *run, struct slice bytes)
{
    if (run->hold.bytes.size) /* before them */
        return put_off(run);
    enum err err = producer_data(run->producer, bytes);
    return err ? put_off(run) : ERR_OK;
}

static enum err upstream_data(void *context, struct slice bytes)
{
    struct run *run = context;
    if (!run->producer)
        return ERR_OK;
    if (run->state == RUN_LIVE)
        return live_data(run, bytes);
    if (buf_append(&run->hold.bytes, bytes) == ERR_OK) {
        if (run->state == RUN_HELD)
            judge(run, bytes.size);
        return ERR_OK;
    }
    if (run->state == RUN_FAILED)
        return put_off(run);
    producer_prove(run->producer, run);
    return run->producer ? live_data(run, bytes) : ERR_OK;
}

static void upstream_ended(void *context, enum upstream_end how, const char *message)
{
    struct run *run = context;
    run->upstream = NULL;
    if (run->upload)
        upload_close(run->upload);
    if (!run->producer) {
        run_free(run);
        return;
    }
    if (run->is_late && how == UPSTREAM_CANCELED) {
        how = UPSTREAM_TIMEOUT_FIRST_BYTE;
        message = "the provider sent a head, and then nothing in time";
    }
    if (how != UPSTREAM_COMPLETE && how != UPSTREAM_CANCELED && how != UPSTREAM_CUT)
        producer_count_error(run->producer, upstream_end_name(how));
    run->is_over = true;
    run->how = how;
    (void)snprintf(run->message, sizeof run->message, "%s", message ? message : "");
    if (run->state == RUN_LIVE && (!run->hold.bytes.size || run->producer->has_ended))
        producer_transfer_ended(run->producer, how, message);
    else if (run->state == RUN_HELD)
        judge_end(run);
    else if (run->state == RUN_FAILED && run->hold.timer.index)
        producer_go_on(run->producer, run);
}

static void upstream_touches(void *context, const void *addresses[UPSTREAM_TOUCHED_MAX])
{
    const struct run *run = context;
    if (!run->producer)
        return;
    addresses[0] = run->producer;
    addresses[1] = run->producer->stream;
    addresses[2] = stream_tail(run->producer->stream);
}

const struct upstream_owner run_owner = {
    upstream_head, upstream_data, upstream_ended, upstream_touches};

void run_deliver(struct run *run, int status, struct slice head, struct slice body)
{
    ASSERT(run->hold.bytes.size == 0);
    buf_deinit(&run->hold.bytes);
    buf_init(&run->hold.bytes, RUN_DELIVER_BYTES_MAX);
    if (buf_append(&run->hold.bytes, body)) {
        upstream_ended(run, UPSTREAM_MALFORMED, "the provider's answer is too large");
        return;
    }
    upstream_head(run, status, head);
    if (run->state == RUN_LIVE)
        offer(run);
    else if (run->state == RUN_HELD)
        judge(run, body.size);
    upstream_ended(run, UPSTREAM_COMPLETE, NULL);
}

enum err run_send(
    struct run *run, const struct upstream_request *request, const struct upstream_owner *owner)
{
    return upstream_start(run->producer->config.upstreams, request, owner, run, &run->upstream);
}

static void feed(void *context)
{
    struct run *run = context;
    upstream_feed(run->upstream);
}

enum err run_dispatch(struct run *run)
{
    struct producer *producer = run->producer;
    run->state = run->is_held ? RUN_HELD : RUN_LIVE;
    run->dispatched_ns = loop_wall_ns(run->loop);
    struct upstream_request request = {.url = (const char *)run->url.data,
        .method = run->method,
        .headers = run->headers,
        .body = buf_slice(&run->request_body),
        .upload = run->upload,
        .connect_timeout_ms = run->connect_timeout_ms,
        .first_byte_timeout_ms = run->first_byte_timeout_ms,
        .idle_timeout_ms = run->idle_timeout_ms,
        .ca_file = run->ca_file[0] ? run->ca_file : NULL};
    metrics_add(producer->config.metrics, METRIC_upstream_requests_total, 1);
    if (run->translate.provider)
        metrics_add(producer->config.metrics, METRIC_translated_total, 1);
    metrics_add_label(
        producer->config.metrics, METRIC_attempts_total, attempt_kind_name(run->record.kind), 1);
    TRY(run_send(run, &request, run->follow.is_looked_for ? &run_follow_owner : &run_owner));
    if (run->upload)
        upload_on_fed(run->upload, feed, run);
    return ERR_OK;
}
