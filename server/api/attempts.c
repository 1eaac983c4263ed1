/* attempts — see the header. */
#include "server/api/attempts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/route/cost.h"

enum {
    MS_NS = 1000000,
    WAIT_STEP_MS = 250, /* one that waits looks again: whether the server goes, a token came */
};

/* The caller's request. */
struct kept {
    struct buf bytes; /* body, target, method, header fields: what the slices below borrow from */
    struct headers headers;
    struct dialect_request request;
    struct asked asked;
};

struct attempts {
    struct producer_source source;
    struct api *api;
    struct plan *plan;
    struct plan_target targets[PLAN_ATTEMPTS_MAX];
    bool is_open[PLAN_ATTEMPTS_MAX]; /* its end was not told yet */
    size_t count;
    size_t asked_index; /* of the target that was asked last, in its route */
    bool has_chosen;    /* the newest has yet to be sent */
    struct kept *kept;
    struct sending *sending; /* what the producer was given last */
    struct producer_translate translate;
    /* Waiting, for a token or for a time. */
    struct token_wait wait;
    struct timer timer;
    int64_t at_ns;
    void (*done)(void *context);
    void *context;
};

static const struct producer_source_calls source_calls;
static void token_came(struct token_wait *wait);
static void time_came(struct timer *timer);

static int64_t now_ns(const struct attempts *attempts)
{
    return loop_now_ns(attempts->api->loop);
}

/* ── made ───────────────────────────────────────────────────────────────────────────────────── */

enum err attempts_new(struct api *api, struct plan *plan, struct attempts **out)
{
    struct attempts *attempts = calloc(1, sizeof *attempts);
    if (!attempts) {
        plan_free(plan);
        return fault(ERR_NOMEM, "attempts");
    }
    attempts->source.calls = &source_calls;
    attempts->api = api;
    attempts->plan = plan;
    list_init(&attempts->wait.node);
    attempts->wait.done = token_came;
    attempts->timer.fire = time_came;
    *out = attempts;
    return ERR_OK;
}

static void drop_sending(struct attempts *attempts)
{
    if (!attempts->sending)
        return;
    sending_deinit(attempts->sending);
    free(attempts->sending);
    attempts->sending = NULL;
}

static void drop_kept(struct attempts *attempts)
{
    struct kept *kept = attempts->kept;
    if (!kept)
        return;
    attempts->kept = NULL;
    attempts->api->kept_bytes -= kept->bytes.size;
    buf_deinit(&kept->bytes);
    free(kept);
}

struct attempts *attempts_free(struct attempts *attempts)
{
    if (!attempts)
        return NULL;
    static const struct producer_outcome stopped = {
        .end = PRODUCER_STOPPED, .retry_after_ms = -1, .first_event_ms = -1};
    for (size_t i = 0; i < attempts->count; i++)
        if (attempts->is_open[i])
            source_calls.ended(&attempts->source, (uint32_t)i, &stopped);
    tokens_forget(&attempts->wait);
    timer_cancel(attempts->api->loop, &attempts->timer);
    drop_sending(attempts);
    drop_kept(attempts);
    plan_free(attempts->plan);
    free(attempts);
    return NULL;
}

/* ── a target ───────────────────────────────────────────────────────────────────────────────── */

static struct plan_target *newest(struct attempts *attempts)
{
    ASSERT(attempts->count > 0);
    return &attempts->targets[attempts->count - 1];
}

const struct plan_target *attempts_target(const struct attempts *attempts)
{
    ASSERT(attempts->count > 0);
    return &attempts->targets[attempts->count - 1];
}

static void note_chosen(struct attempts *attempts)
{
    attempts->is_open[attempts->count++] = true;
    attempts->has_chosen = true;
}

static enum err choose(struct attempts *attempts, int64_t *at_ns)
{
    if (attempts->has_chosen)
        return ERR_OK;
    TRY(plan_next(attempts->plan, now_ns(attempts), &attempts->targets[attempts->count], at_ns));
    note_chosen(attempts);
    return ERR_OK;
}

static enum err make(struct attempts *attempts, const struct asked *asked, struct sending *sending)
{
    const struct plan_target *target = newest(attempts);
    enum err err = sending_make(sending, attempts->api, asked, &target->choice, target->key);
    if (err == ERR_AGAIN && list_is_empty(&attempts->wait.node))
        tokens_wait(attempts->api->tokens, target->choice.provider, &attempts->wait);
    return err;
}

/* It cannot be told this, and is not asked: no attempt. `sending` says why, if it is not NULL. */
static void skip(struct attempts *attempts, const struct sending *sending, enum err err)
{
    const struct neutral_report *report = sending ? &sending->translated.report : NULL;
    bool has_words = report && err == ERR_INVALID && report->why[0];
    const struct plan_outcome unfit = {
        .end = PLAN_UNFIT, .retry_after_ms = -1, .first_event_ms = -1, .now_ns = now_ns(attempts)};
    LOG(attempts->api->log, LOG_INFO, "target_skipped", LOG_TEXT("target", newest(attempts)->name),
        LOG_TEXT("field", has_words ? report->path : ""),
        LOG_TEXT("why", has_words ? report->why : err_text(err)));
    attempts->has_chosen = false;
    attempts->is_open[attempts->count - 1] = false;
    plan_ended(attempts->plan, newest(attempts), &unfit);
}

/* ── the first ──────────────────────────────────────────────────────────────────────────────── */

static enum err refuse(struct attempts *attempts, int64_t at_ns, struct attempts_refusal *refusal)
{
    refusal->is_unasked = true;
    refusal->after_ms = at_ns > 0 ? (at_ns - now_ns(attempts)) / MS_NS : -1;
    TRY(plan_why(attempts->plan, now_ns(attempts), &refusal->why));
    return ERR_CLOSED;
}

/* The newest, or after a failure that is its alone the next one; where there is none the failure
 * stands, and `sending` has it. */
static enum err make_first(
    struct attempts *attempts, const struct asked *asked, struct sending *sending)
{
    enum err err;
    while ((err = make(attempts, asked, sending)) && err != ERR_AGAIN && !err_is_fault(err)) {
        skip(attempts, sending, err);
        enum err next = choose(attempts, &attempts->at_ns);
        if (next)
            return next == ERR_CLOSED ? err : next;
        sending_deinit(sending);
        sending_init(sending, asked);
    }
    if (err == ERR_AGAIN)
        attempts->at_ns = INT64_MAX; /* the token tells */
    return err;
}

enum err attempts_first(struct attempts *attempts, const struct asked *asked,
    struct sending *sending, struct attempts_refusal *refusal)
{
    enum err err = choose(attempts, &attempts->at_ns);
    if (err == ERR_CLOSED)
        return refuse(attempts, attempts->at_ns, refusal);
    TRY(err);
    TRY(make_first(attempts, asked, sending));
    attempts->has_chosen = false;
    return ERR_OK;
}

static void set_step(struct attempts *attempts)
{
    int64_t step_ns = now_ns(attempts) + WAIT_STEP_MS * (int64_t)MS_NS;
    timer_set(attempts->api->loop, &attempts->timer,
        attempts->at_ns < step_ns ? attempts->at_ns : step_ns);
}

void attempts_wait(struct attempts *attempts, void (*done)(void *context), void *context)
{
    attempts->done = done;
    attempts->context = context;
    set_step(attempts);
}

/* Once, whatever came first. */
static void be_done(struct attempts *attempts)
{
    tokens_forget(&attempts->wait);
    timer_cancel(attempts->api->loop, &attempts->timer);
    attempts->done(attempts->context);
}

static void time_came(struct timer *timer)
{
    struct attempts *attempts = CONTAINER_OF(timer, struct attempts, timer);
    if (now_ns(attempts) < attempts->at_ns && !attempts->api->is_draining)
        set_step(attempts);
    else
        be_done(attempts);
}

static void token_came(struct token_wait *wait)
{
    struct attempts *attempts = CONTAINER_OF(wait, struct attempts, wait);
    if (attempts->source.producer)
        producer_source_ready(&attempts->source);
    else
        be_done(attempts);
}

enum err attempts_describe(const struct attempts *attempts, int64_t started_ns, struct buf *out)
{
    const struct plan_target *target = attempts_target(attempts);
    const struct attempt first = {.number = 1,
        .kind = ATTEMPT_FIRST,
        .target = slice_text(target->name),
        .key = slice_text(target->key_name),
        .started_ns = started_ns,
        .usage = USAGE_UNKNOWN,
        .cost_nano_usd = -1};
    return attempt_encode(&first, out);
}

/* ── what is kept of the request ────────────────────────────────────────────────────────────── */

/* A piece of the request, in the copy. */
static struct slice keep(struct kept *kept, struct slice piece)
{
    size_t at = kept->bytes.size;
    enum err err = buf_append(&kept->bytes, piece);
    ASSERT(!err); /* reserved */
    return slice_of(kept->bytes.data + at, piece.size);
}

static size_t kept_size(const struct asked *asked)
{
    size_t size = asked->body.size + asked->target.size + asked->path.size +
                  asked->native_target.size + asked->method.size + 1;
    for (size_t i = 0; i < asked->headers->count; i++)
        size += asked->headers->items[i].name.size + asked->headers->items[i].value.size;
    return size;
}

static void keep_all(struct kept *kept, const struct asked *asked)
{
    kept->asked = (struct asked){.dialect = asked->dialect,
        .request = &kept->request,
        .method = keep(kept, asked->method),
        .target = keep(kept, asked->target),
        .path = keep(kept, asked->path),
        .native_target = keep(kept, asked->native_target),
        .is_api = asked->is_api,
        .body = keep(kept, asked->body),
        .headers = &kept->headers};
    kept->request.is_streamed = asked->request->is_streamed;
    for (size_t i = 0; i < asked->headers->count; i++)
        kept->headers.items[kept->headers.count++] = (struct header){
            keep(kept, asked->headers->items[i].name), keep(kept, asked->headers->items[i].value)};
}

/* Without it there is one attempt. */
static void keep_request(struct attempts *attempts, const struct asked *asked)
{
    size_t size = kept_size(asked);
    uint8_t *room;
    struct api *api = attempts->api;
    struct kept *kept = NULL;
    if (api->kept_bytes + size <= (uint64_t)api->config->bodies_bytes_max)
        kept = calloc(1, sizeof *kept);
    if (kept)
        buf_init(&kept->bytes, size);
    if (!kept || buf_reserve(&kept->bytes, size, &room)) {
        LOG(api->log, LOG_WARNING, "single_attempt", LOG_NUMBER("bytes", size),
            LOG_TEXT("message", "too many requests are kept for further attempts"));
        free(kept);
        return;
    }
    keep_all(kept, asked);
    api->kept_bytes += kept->bytes.size;
    attempts->kept = kept;
}

/* Read again only where it is needed: rarely; what is passed on as it is was not read. */
static const struct asked *kept_asked(struct kept *kept)
{
    const char *why, *param;
    if (kept->asked.native_target.size == 0 && !kept->request.model_raw.data &&
        dialect_read_request(kept->asked.dialect, kept->asked.body, &kept->request, &why, &param))
        return NULL;
    return &kept->asked;
}

/* ── the producer's questions ───────────────────────────────────────────────────────────────── */

static struct producer_request describe(struct attempts *attempts, const struct asked *asked,
    const struct sending *sending, struct producer_translate *translate)
{
    const struct plan_target *target = newest(attempts);
    attempts->asked_index = target->index;
    struct producer_request request = sending_request(sending, asked, &target->choice, translate);
    request.attempt = (uint32_t)(attempts->count - 1);
    request.target = target->name;
    request.key_name = target->key_name;
    request.source = &attempts->source;
    const struct plan_policy *policy = plan_policy(attempts->plan);
    request.connect_timeout_ms = policy->connect_timeout_ms;
    request.first_byte_timeout_ms = policy->first_byte_timeout_ms;
    request.idle_timeout_ms = policy->idle_timeout_ms;
    return request;
}

struct producer_request attempts_request(struct attempts *attempts, const struct asked *asked,
    const struct sending *sending, struct producer_translate *translate)
{
    if (!asked->upload && plan_is_worth_more(attempts->plan, now_ns(attempts)))
        keep_request(attempts, asked);
    return describe(attempts, asked, sending, translate);
}

bool attempts_take_up(struct attempts *attempts, const struct asked *asked, struct stream *before,
    struct producer_request *request)
{
    if (!attempts->kept && asked->native_target.size == 0)
        keep_request(attempts, asked);
    if (!attempts->kept)
        return false;
    attempts->has_chosen = true; /* nothing was sent to it */
    request->before = before;
    return true;
}

static struct attempts *of(struct producer_source *source)
{
    return CONTAINER_OF(source, struct attempts, source);
}

static bool may_go_on(const struct attempts *attempts)
{
    return attempts->kept && !attempts->api->is_draining;
}

static_assert((int)CONTINUE_PREFILL == CONTINUATION_PREFILL &&
                  (int)CONTINUE_MESSAGE == CONTINUATION_MESSAGE_ONLY,
    "a policy's words are those of a continuation");

/* With `shown`: to go on with that. */
static enum err prepare(
    struct attempts *attempts, const struct continuation *shown, struct producer_request *out)
{
    const struct plan_policy *policy = plan_policy(attempts->plan);
    const struct going_on going_on = {.shown = shown,
        .takes_prefill = newest(attempts)->takes_prefill,
        .by = (enum continuation_by)policy->continue_by,
        .message = slice_text(policy->continue_message)};
    const struct asked *kept = kept_asked(attempts->kept);
    if (!kept)
        return fault(ERR_NOMEM, "the request, read again");
    struct asked copy = *kept;
    const struct asked *asked = &copy;
    copy.going_on = shown ? &going_on : NULL;
    drop_sending(attempts);
    attempts->sending = malloc(sizeof *attempts->sending);
    if (!attempts->sending)
        return fault(ERR_NOMEM, "what is sent");
    sending_init(attempts->sending, asked);
    TRY(make(attempts, asked, attempts->sending));
    attempts->has_chosen = false;
    *out = describe(attempts, asked, attempts->sending, &attempts->translate);
    return ERR_OK;
}

static enum err next(struct attempts *attempts, const struct continuation *shown,
    struct producer_request *out, int64_t *at_ns)
{
    while (may_go_on(attempts)) {
        size_t before = attempts->asked_index;
        TRY(choose(attempts, at_ns));
        enum err err = prepare(attempts, shown, out);
        if (err == ERR_AGAIN)
            *at_ns = INT64_MAX; /* the token tells */
        if (!err)
            out->kind = newest(attempts)->index == before ? ATTEMPT_RETRY : ATTEMPT_FAILOVER;
        if (!err || err == ERR_AGAIN)
            return err;
        skip(attempts, attempts->sending, err);
    }
    return ERR_CLOSED;
}

static enum err source_next(
    struct producer_source *source, struct producer_request *out, int64_t *at_ns)
{
    return next(of(source), NULL, out, at_ns);
}

static enum err source_go_on(struct producer_source *source, const struct continuation *shown,
    struct producer_request *out, int64_t *at_ns)
{
    return next(of(source), shown, out, at_ns);
}

static bool continues(const struct attempts *attempts)
{
    return plan_policy(attempts->plan)->on_death == PLAN_CONTINUE;
}

static bool source_goes_on(struct producer_source *source)
{
    return continues(of(source)) && may_go_on(of(source));
}

static bool source_holds(struct producer_source *source)
{
    const struct attempts *attempts = of(source);
    return plan_policy(attempts->plan)->holds_tools > 0;
}

static enum err choose_hedge(struct attempts *attempts, int64_t *at_ns)
{
    if (attempts
            ->has_chosen) /* it waits for a token; if the first fails meanwhile it is the next */
        return ERR_OK;
    TRY(plan_hedge(attempts->plan, now_ns(attempts), &attempts->targets[attempts->count], at_ns));
    note_chosen(attempts);
    return ERR_OK;
}

static enum err source_hedge(
    struct producer_source *source, struct producer_request *out, int64_t *at_ns)
{
    struct attempts *attempts = of(source);
    if (!may_go_on(attempts))
        return ERR_CLOSED;
    TRY(choose_hedge(attempts, at_ns));
    enum err err = prepare(attempts, NULL, out);
    if (err == ERR_AGAIN) {
        *at_ns = now_ns(attempts) + WAIT_STEP_MS * (int64_t)MS_NS;
        return err;
    }
    if (err) {
        skip(attempts, attempts->sending, err);
        return ERR_CLOSED;
    }
    out->kind = ATTEMPT_HEDGE;
    return ERR_OK;
}

static bool source_is_more(struct producer_source *source)
{
    struct attempts *attempts = of(source);
    return may_go_on(attempts) && plan_is_worth_more(attempts->plan, now_ns(attempts));
}

static void source_shows(struct producer_source *source, uint32_t attempt, int64_t first_event_ms)
{
    struct attempts *attempts = of(source);
    plan_shows(attempts->plan, &attempts->targets[attempt], first_event_ms, now_ns(attempts));
    drop_sending(attempts);
    if (!continues(attempts))
        drop_kept(attempts);
}

static void source_ended(
    struct producer_source *source, uint32_t attempt, const struct producer_outcome *outcome)
{
    static const enum plan_end ends[] = {
        [PRODUCER_SERVED] = PLAN_SERVED,
        [PRODUCER_NOT_SENT] = PLAN_NOT_SENT,
        [PRODUCER_TIMED_OUT] = PLAN_TIMED_OUT,
        [PRODUCER_STATUS] = PLAN_STATUS,
        [PRODUCER_ERROR_EVENT] = PLAN_ERROR_EVENT,
        [PRODUCER_BROKEN] = PLAN_BROKEN,
        [PRODUCER_DIED] = PLAN_DIED,
        [PRODUCER_STOPPED] = PLAN_STOPPED,
    };
    struct attempts *attempts = of(source);
    ASSERT(attempt < attempts->count && attempts->is_open[attempt]);
    attempts->is_open[attempt] = false;
    plan_ended(attempts->plan, &attempts->targets[attempt],
        &(struct plan_outcome){.end = ends[outcome->end],
            .status = outcome->status,
            .retry_after_ms = outcome->retry_after_ms,
            .first_event_ms = outcome->first_event_ms,
            .now_ns = now_ns(attempts)});
}

static int64_t source_cost(
    struct producer_source *source, uint32_t attempt, const struct usage *usage)
{
    return cost_of(of(source)->targets[attempt].choice.known, usage);
}

static void source_close(struct producer_source *source)
{
    attempts_free(of(source));
}

static const struct producer_source_calls source_calls = {
    .next = source_next,
    .hedge = source_hedge,
    .is_more = source_is_more,
    .shows = source_shows,
    .ended = source_ended,
    .cost = source_cost,
    .close = source_close,
    .holds = source_holds,
    .goes_on = source_goes_on,
    .go_on = source_go_on,
};
