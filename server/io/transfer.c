/* transfer — see transfer.h. What is common to all carriages (carriage.h), which must not be re-entered
 * from what they call back: start, resume, feed and cancel only mark the transfer, and a task of the
 * loop does the work. A transfer's phases and what bounds each:
 *
 *   QUEUED ─▶ CONNECTING ─────────▶ DISPATCHED ───────▶ FLOWING ──▶ ended
 *             connect timer          first-byte timer    idle timer
 *             (or the carriage's)    (uploading: idle)                                          */
#include <stdlib.h>
#include <string.h>

#include "server/io/carriage_curl.h"
#include "server/io/carriage_plain.h"
#include "server/io/upload.h"

static const int64_t ns_per_ms = 1000000;

struct transfers {
    struct loop *loop;
    struct curls *curls;
    struct plains *plains; /* NULL: all goes by a proxy, which is libcurl's work */
    struct task task;      /* works on `marked` */
    bool is_queued;        /* the task */
    bool is_closing;
    struct list open;   /* of transfer.node: all */
    struct list marked; /* of transfer.mark: to start, resume or cancel */
};

struct transfer {
    struct transfers *transfers;
    struct carriage *carriage; /* NULL: not opened */
    const struct upstream_owner *owner;
    void *context;
    struct timer timer; /* connect, first byte, then idle */
    int64_t activity_ns;
    int64_t connect_ns; /* the timeouts; 0: none */
    int64_t first_byte_ns;
    int64_t idle_ns;
    enum phase phase;
    bool is_resumed;
    bool is_paused;
    bool is_fed;     /* transfer_feed was called */
    bool is_starved; /* the upload had nothing */
    bool is_held;    /* the idle timeout stands still */
    bool is_canceled;
    struct list node;
    struct list mark;
    struct upload *upload; /* NULL: the body was whole from the start */
    void (*room)(void *context);
    void *room_context;
    void (*gone)(void *context); /* or NULL */
    void *gone_context;
};

static void transfers_run(struct task *task);
static void transfer_timer_fired(struct timer *timer);

/* ---- all of a loop's ------------------------------------------------------------------------- */

static enum err open_carriages(struct transfers *transfers, const char *proxy)
{
    if (!proxy)
        TRY(plains_new(transfers->loop, &transfers->plains));
    return curls_new(transfers->loop, proxy, transfers->plains, &transfers->curls);
}

enum err transfers_new(struct loop *loop, const char *proxy, struct transfers **out)
{
    struct transfers *transfers = calloc(1, sizeof *transfers);
    if (!transfers)
        return fault(ERR_NOMEM, "transfers");
    transfers->loop = loop;
    transfers->task.run = transfers_run;
    list_init(&transfers->open);
    list_init(&transfers->marked);
    enum err err = open_carriages(transfers, proxy);
    if (err != ERR_OK) {
        transfers_free(transfers);
        return err;
    }
    *out = transfers;
    return ERR_OK;
}

static void transfer_free(struct transfer *transfer)
{
    timer_cancel(transfer->transfers->loop, &transfer->timer);
    list_unlink(&transfer->node);
    list_unlink(&transfer->mark);
    if (transfer->carriage)
        transfer->carriage->kind->drop(transfer->carriage);
    free(transfer);
}

struct transfers *transfers_free(struct transfers *transfers)
{
    if (!transfers)
        return NULL;
    struct list *node;
    while ((node = list_pop(&transfers->open)))
        transfer_free(CONTAINER_OF(node, struct transfer, node));
    curls_free(transfers->curls);
    plains_free(transfers->plains);
    transfers->is_closing = true;
    if (!transfers->is_queued) /* else the loop still holds the task, which frees it */
        free(transfers);
    return NULL;
}

/* ---- timeouts -------------------------------------------------------------------------------- */

static bool is_uploading(const struct transfer *transfer)
{
    return transfer->phase == TRANSFER_DISPATCHED && transfer->upload &&
           !upload_is_taken(transfer->upload);
}

static int64_t timeout_ns(const struct transfer *transfer)
{
    switch (transfer->phase) {
    case TRANSFER_QUEUED: break;
    case TRANSFER_CONNECTING: return transfer->connect_ns;
    case TRANSFER_DISPATCHED:
        return is_uploading(transfer) ? transfer->idle_ns : transfer->first_byte_ns;
    case TRANSFER_FLOWING: return transfer->idle_ns;
    }
    return 0;
}

static void note_activity(struct transfer *transfer)
{
    transfer->activity_ns = loop_now_ns(transfer->transfers->loop);
}

static void begin_timeout(struct transfer *transfer)
{
    note_activity(transfer);
    timer_cancel(transfer->transfers->loop, &transfer->timer);
    int64_t limit_ns = timeout_ns(transfer);
    if (limit_ns > 0)
        timer_set(transfer->transfers->loop, &transfer->timer, transfer->activity_ns + limit_ns);
}

static void set_phase(struct transfer *transfer, enum phase phase)
{
    ASSERT(phase == transfer->phase + 1);
    transfer->phase = phase;
    begin_timeout(transfer);
}

static void end_by_timeout(struct transfer *transfer)
{
    if (is_uploading(transfer))
        transfer_ends(
            transfer, UPSTREAM_TIMEOUT_IDLE, "the provider took no more of the request's body");
    else if (transfer->phase == TRANSFER_CONNECTING)
        transfer_ends(transfer, UPSTREAM_TIMEOUT_CONNECT, "no connection in time");
    else if (transfer->phase == TRANSFER_DISPATCHED)
        transfer_ends(transfer, UPSTREAM_TIMEOUT_FIRST_BYTE, "no response head in time");
    else
        transfer_ends(transfer, UPSTREAM_TIMEOUT_IDLE, "the response stalled");
}

/* Set once a phase, not once a byte: it looks at what came meanwhile when it fires. */
static void transfer_timer_fired(struct timer *timer)
{
    struct transfer *transfer = CONTAINER_OF(timer, struct transfer, timer);
    if (transfer->is_paused || transfer->is_held ||
        (transfer->is_starved && is_uploading(transfer)))
        note_activity(transfer);
    int64_t due_ns = transfer->activity_ns + timeout_ns(transfer);
    if (due_ns > loop_now_ns(transfer->transfers->loop))
        timer_set(transfer->transfers->loop, timer, due_ns);
    else if (!transfer->is_canceled) /* else `ended` is on its way */
        end_by_timeout(transfer);
}

/* ---- what carriages tell --------------------------------------------------------------------- */

enum phase transfer_phase(const struct transfer *transfer)
{
    return transfer->phase;
}

void transfer_touches(const struct transfer *transfer, const void *addresses[TRANSFER_TOUCHED_MAX])
{
    memset(addresses, 0, TRANSFER_TOUCHED_MAX * sizeof *addresses);
    addresses[0] = transfer;
    addresses[1] = transfer->context;
    if (transfer->owner->touches)
        transfer->owner->touches(transfer->context, addresses + 2);
}

void transfer_dispatches(struct transfer *transfer)
{
    set_phase(transfer, TRANSFER_DISPATCHED);
}

void transfer_heads(struct transfer *transfer, int status, struct slice head)
{
    set_phase(transfer, TRANSFER_FLOWING);
    if (!transfer->is_canceled)
        transfer->owner->head(transfer->context, status, head);
}

enum err transfer_takes(struct transfer *transfer, struct slice bytes)
{
    note_activity(transfer);
    if (transfer->is_canceled)
        return ERR_OK;
    enum err err = transfer->owner->data(transfer->context, bytes);
    if (err == ERR_AGAIN && !transfer->is_canceled) {
        transfer->is_paused = true;
        return ERR_AGAIN;
    }
    if (err != ERR_OK)
        transfer_cancel(transfer);
    return ERR_OK;
}

enum err transfer_sends(struct transfer *transfer, uint8_t *out, size_t size, size_t *taken)
{
    bool wants_room;
    enum err err = upload_take(transfer->upload, out, size, taken, &wants_room);
    if (wants_room && transfer->room)
        transfer->room(transfer->room_context);
    else if (wants_room)
        upload_tell_room(transfer->upload);
    if (err == ERR_AGAIN)
        transfer->is_starved = true;
    if (err == ERR_AGAIN || err == ERR_CANCELED)
        return err;
    if (upload_is_taken(transfer->upload) && transfer->phase == TRANSFER_DISPATCHED)
        begin_timeout(transfer); /* from now on, for the response's first byte */
    note_activity(transfer);
    return err;
}

void transfer_ends(struct transfer *transfer, enum upstream_end how, const char *message)
{
    if (transfer->is_canceled) {
        how = UPSTREAM_CANCELED;
        message = "canceled";
    } else if (transfer->upload && upload_was_cut(transfer->upload)) {
        how = UPSTREAM_CUT;
        message = "the caller went before all of the request's body was here";
    }
    timer_cancel(transfer->transfers->loop, &transfer->timer);
    list_unlink(&transfer->mark);
    transfer->owner->ended(transfer->context, how, message);
    if (transfer->gone)
        transfer->gone(transfer->gone_context);
    transfer_free(transfer);
}

/* ---- starting -------------------------------------------------------------------------------- */

static enum err check_header(const char *header)
{
    if (strlen(header) > UPSTREAM_HEADER_BYTES_MAX)
        return ERR_LIMIT;
    return strchr(header, ':') && !strpbrk(header, "\r\n") ? ERR_OK : ERR_INVALID;
}

enum err transfer_check(const struct upstream_request *request)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        if (i == UPSTREAM_HEADERS_MAX)
            return ERR_LIMIT;
        TRY(check_header(request->headers[i]));
    }
    return ERR_OK;
}

bool request_has_header(const struct upstream_request *request, struct slice name)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        struct slice header = slice_text(request->headers[i]);
        if (slice_equal_nocase(slice_sub(header, 0, name.size), name))
            return true;
    }
    return false;
}

static void mark(struct transfer *transfer)
{
    struct transfers *transfers = transfer->transfers;
    if (list_is_empty(&transfer->mark))
        list_append(&transfers->marked, &transfer->mark);
    if (transfers->is_queued)
        return;
    transfers->is_queued = true;
    loop_defer(transfers->loop, &transfers->task);
}

/* By the plain way where that leads there, else by libcurl, which knows them all. */
static enum err open_carriage(struct transfer *transfer, const struct upstream_request *request)
{
    struct transfers *transfers = transfer->transfers;
    TRY(transfer_check(request));
    if (transfers->plains) {
        enum err err = plain_open(transfers->plains, transfer, request, &transfer->carriage);
        if (err != ERR_NOTFOUND)
            return err;
    }
    return curl_open(transfers->curls, transfer, request, &transfer->carriage);
}

static int64_t limit_ns(int64_t limit_ms)
{
    return limit_ms > INT64_MAX / ns_per_ms ? INT64_MAX : limit_ms * ns_per_ms;
}

enum err transfer_start(struct transfers *transfers, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct transfer **out)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return fault(ERR_NOMEM, "transfer");
    transfer->transfers = transfers;
    transfer->owner = owner;
    transfer->context = context;
    transfer->upload = request->upload;
    transfer->room = request->room;
    transfer->room_context = request->room_context;
    transfer->timer.fire = transfer_timer_fired;
    transfer->first_byte_ns = limit_ns(request->first_byte_timeout_ms);
    transfer->idle_ns = limit_ns(request->idle_timeout_ms);
    list_init(&transfer->mark);
    list_init(&transfer->node);
    list_append(&transfers->open, &transfer->node);
    enum err err = open_carriage(transfer, request);
    if (err != ERR_OK) {
        transfer_free(transfer);
        return err;
    }
    if (!transfer->carriage->kind->times_connect)
        transfer->connect_ns = limit_ns(request->connect_timeout_ms);
    mark(transfer);
    *out = transfer;
    return ERR_OK;
}

void transfer_on_gone(struct transfer *transfer, void (*gone)(void *context), void *context)
{
    transfer->gone = gone;
    transfer->gone_context = context;
}

void transfer_resume(struct transfer *transfer)
{
    transfer->is_resumed = true;
    mark(transfer);
}

void transfer_feed(struct transfer *transfer)
{
    transfer->is_fed = true;
    mark(transfer);
}

void transfer_cancel(struct transfer *transfer)
{
    transfer->is_canceled = true;
    mark(transfer);
}

void transfer_hold(struct transfer *transfer, bool is_held)
{
    if (transfer->is_held && !is_held)
        note_activity(transfer);
    transfer->is_held = is_held;
}

/* ---- the task -------------------------------------------------------------------------------- */

static void begin(struct transfer *transfer)
{
    set_phase(transfer, TRANSFER_CONNECTING);
    transfer->carriage->kind->begin(transfer->carriage);
}

/* Either way goes on where it may. */
static void unpause(struct transfer *transfer)
{
    bool is_resumed = transfer->is_resumed && transfer->is_paused;
    bool is_fed = transfer->is_fed && transfer->is_starved;
    transfer->is_resumed = transfer->is_fed = false;
    if (!is_resumed && !is_fed)
        return;
    transfer->is_paused &= !is_resumed;
    transfer->is_starved &= !is_fed;
    note_activity(transfer);
    transfer->carriage->kind->unpause(
        transfer->carriage, !transfer->is_paused, !transfer->is_starved);
}

static void transfers_run(struct task *task)
{
    struct transfers *transfers = CONTAINER_OF(task, struct transfers, task);
    transfers->is_queued = false;
    if (transfers->is_closing) {
        free(transfers);
        return;
    }
    struct list marked;
    list_init(&marked);
    list_move(&marked, &transfers->marked); /* what is marked from now on is for the next run */
    struct list *node;
    while ((node = list_pop(&marked))) {
        struct transfer *transfer = CONTAINER_OF(node, struct transfer, mark);
        if (transfer->is_canceled)
            transfer_ends(transfer, UPSTREAM_CANCELED, "canceled");
        else if (transfer->phase == TRANSFER_QUEUED)
            begin(transfer);
        else if (transfer->is_resumed || transfer->is_fed)
            unpause(transfer);
    }
    curls_begin(transfers->curls);
}
