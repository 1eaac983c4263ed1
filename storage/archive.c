/* archive — see archive.h. One thread (or archive_step's caller) does, over and over:
 *
 *   take       what was submitted, from `incoming` (locked) to `bundles` (its own)
 *   relieve    only when full and it is time to try again: deletions out of turn, retention
 *   store      one transaction of bundles, from where the last one got to; commit; post the done
 *   prepare    the journal's next slot          retain   one step of what is to go
 *   scrub      some of what is stored, read again and checked
 *
 *                     commit                 ERR_FULL
 *   bundles ──▶ txn ─────────▶ done      txn ─────────▶ full ──(1 s, or a new deletion)──▶ bundles
 *                 │ another failure
 *                 └─────────▶ stopped: all is done with that fault
 *
 *   progress   which item of the first bundle is next; moves with a commit only. After a failure
 *              the bundle begins anew, which changes nothing of what was committed already. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "storage/archive_state.h"

void archiver_log(const struct archiver *archiver, int level, const char *what, enum err err)
{
    char message[MESSAGE_BYTES];
    (void)snprintf(message, sizeof message, "archiver: %s%s%s", what, err == ERR_OK ? "" : ": ",
        err == ERR_OK       ? ""
        : err_is_fault(err) ? fault_origin()
                            : err_text(err));
    archiver->config.host->log(archiver->config.host->context, level, message);
}

/* ---- Items and bundles ---- */

struct archive_item *archive_item_new(enum archive_kind kind, uint32_t project, uint64_t number)
{
    struct archive_item *item = calloc(1, sizeof *item);
    if (!item)
        return NULL;
    list_init(&item->node);
    item->kind = kind;
    item->project = project;
    item->number = number;
    return item;
}

struct archive_item *archive_item_free(struct archive_item *item)
{
    if (!item)
        return NULL;
    ASSERT(list_is_empty(&item->node));
    for (size_t i = 0; i < item->block_count; i++)
        block_unref(item->blocks[i]);
    free(item->blocks);
    buf_deinit(&item->bytes);
    free(item);
    return NULL;
}

static bool bundle_has_deletion(const struct archive_bundle *bundle)
{
    LIST_FOREACH (node, &bundle->items)
        if (archive_item_of(node)->kind == ARCHIVE_DELETE)
            return true;
    return false;
}

/* On the loop thread. */
static void run_done(struct task *task)
{
    struct archive_bundle *bundle = CONTAINER_OF(task, struct archive_bundle, task);
    bundle->done(bundle, bundle->err);
}

static void count_item(struct archiver *archiver, const struct archive_item *item)
{
    if (item->kind == ARCHIVE_DELETE)
        atomic_fetch_add(&archiver->deleted, 1);
    if (item->kind == ARCHIVE_BLOCKS) {
        struct block_run run = {item->blocks, item->block_count, item->last_frames};
        atomic_fetch_add(&archiver->events, block_run_events(&run));
    }
}

/* Give the first bundle back to its submitter. */
static void hand_back(struct archiver *archiver, enum err err)
{
    struct archive_bundle *bundle = archive_bundle_of(list_pop(&archiver->bundles));
    struct list *node;
    while ((node = list_pop(&bundle->items))) {
        if (err == ERR_OK)
            count_item(archiver, archive_item_of(node));
        archive_item_free(archive_item_of(node));
    }
    atomic_fetch_sub(&archiver->backlog_bytes, bundle->bytes);
    bundle->err = err == ERR_OK ? bundle->answer : err;
    bundle->task.run = run_done;
    archiver->config.host->post(archiver->config.host->context, &bundle->task);
}

static void hand_all_back(struct archiver *archiver, enum err err)
{
    archiver->progress = (struct archive_progress){0};
    while (!list_is_empty(&archiver->bundles))
        hand_back(archiver, err);
}

void archive_submit(struct archiver *archiver, struct archive_bundle *bundle)
{
    ASSERT(bundle->done);
    bundle->answer = ERR_OK;
    bool has_deletion = bundle_has_deletion(bundle);
    atomic_fetch_add(&archiver->backlog_bytes, bundle->bytes);
    (void)pthread_mutex_lock(&archiver->mutex);
    ASSERT(!archiver->is_stopping);
    list_init(&bundle->node);
    list_append(&archiver->incoming, &bundle->node);
    archiver->has_deletion |= has_deletion;
    (void)pthread_cond_signal(&archiver->submitted);
    (void)pthread_mutex_unlock(&archiver->mutex);
}

void archive_wake(struct archiver *archiver)
{
    (void)pthread_mutex_lock(&archiver->mutex);
    archiver->is_woken = true;
    (void)pthread_cond_signal(&archiver->submitted);
    (void)pthread_mutex_unlock(&archiver->mutex);
}

void archive_suspect(struct archiver *archiver, uint32_t project, uint64_t number)
{
    if (suspects_add(&archiver->suspects, &(struct suspect){project, number}))
        archive_wake(archiver);
}

/* ---- One transaction ---- */

static void become_full(struct archiver *archiver)
{
    if (!atomic_exchange(&archiver->is_full, true))
        archiver_log(archiver, LOG_WARNING, "the store is full; deletions make room", ERR_OK);
    ballast_drop(&archiver->ballast, archiver_now_ns(archiver));
    archiver->retry_ns = archiver_now_ns(archiver) + FULL_RETRY_NS;
}

static void become_stopped(struct archiver *archiver, enum err err)
{
    archiver_log(archiver, LOG_ERROR, "stopped", err);
    archiver->failure = err;
    atomic_store(&archiver->is_stopped, true);
    hand_all_back(archiver, err);
}

/* False: nothing was stored. */
static bool store_some(struct archiver *archiver)
{
    struct archive_batch batch = {
        .progress = archiver->progress, .values_left = RETENTION_STEP_VALUES};
    enum err err = store_begin(archiver->config.store, &batch.txn);
    if (err == ERR_OK)
        err = archive_batch_commit(archiver, &batch);
    if (err == ERR_OK) {
        archiver->progress = batch.progress;
        while (batch.completed--)
            hand_back(archiver, ERR_OK);
        if (atomic_exchange(&archiver->is_full, false))
            archiver_log(archiver, LOG_INFO, "the store has room again", ERR_OK);
        return true;
    }
    archiver->progress = (struct archive_progress){0};
    if (err == ERR_FULL)
        become_full(archiver);
    else
        become_stopped(archiver, err);
    return false;
}

/* ---- Retention, and room ---- */

static bool retain_some(struct archiver *archiver)
{
    struct retain *retain = &archiver->retain;
    bool did_work;
    enum err err =
        retain_step(retain, archiver_now_ns(archiver), archiver_wall_ns(archiver), &did_work);
    if (err != ERR_OK)
        archiver_log(archiver, LOG_WARNING, "retention", err); /* tried again a step later */
    atomic_store(&archiver->expired, retain->expired);
    atomic_store(&archiver->evicted, retain->evicted);
    return err == ERR_OK && did_work;
}

/* One deletion, out of turn, in transactions of its own. Its item stays and is repeated in its
 * turn, when all that the stream had before it has been passed over. */
static enum err serve_deletion(struct archiver *archiver, struct archive_item *item)
{
    enum err err = ERR_AGAIN;
    while (err == ERR_AGAIN) {
        struct store_txn *txn;
        size_t values_left = RETENTION_STEP_VALUES;
        TRY(store_begin(archiver->config.store, &txn));
        err = archiver_delete(archiver, txn, item, &values_left);
        if (err != ERR_OK && err != ERR_AGAIN) {
            store_abort(txn);
            return err;
        }
        TRY(store_commit(txn, 0));
    }
    item->is_served = true;
    return err;
}

static enum err serve_deletions(struct archiver *archiver)
{
    LIST_FOREACH (bundle, &archiver->bundles)
        LIST_FOREACH (node, &archive_bundle_of(bundle)->items)
            if (archive_item_of(node)->kind == ARCHIVE_DELETE && !archive_item_of(node)->is_served)
                TRY(serve_deletion(archiver, archive_item_of(node)));
    return ERR_OK;
}

static void relieve(struct archiver *archiver)
{
    enum err err = serve_deletions(archiver);
    archiver->retain.next_ns = 0;
    (void)retain_some(archiver);
    if (err == ERR_OK)
        err = store_touch(archiver->config.store);
    if (err != ERR_OK)
        archiver_log(archiver, LOG_WARNING, "making room", err); /* tried again in a second */
}

static enum err inspect(struct archiver *archiver, const struct suspect *suspect)
{
    struct store_txn *txn;
    TRY(store_begin(archiver->config.store, &txn));
    enum err err = archiver_blame(archiver, txn, suspect->project, suspect->number);
    if (err == ERR_OK)
        return store_commit(txn, 0);
    store_abort(txn);
    return err == ERR_CORRUPT ? ERR_OK : err; /* it was no stored value of the stream's own */
}

/* Tried once: what cannot be marked now is marked by the scrubber. */
static void inspect_suspects(struct archiver *archiver)
{
    struct suspect suspect;
    while (suspects_take(&archiver->suspects, &suspect)) {
        enum err err = inspect(archiver, &suspect);
        if (err != ERR_OK)
            archiver_log(archiver, LOG_WARNING, "marking what could not be read", err);
    }
}

static void scrub_found(void *context, const struct id *id, const char *what, bool is_news)
{
    struct archiver *archiver = context;
    if (id && is_news)
        archiver_log_damage(archiver, id, what);
    else if (!id)
        archiver_log(archiver, LOG_ERROR, what, ERR_OK);
}

/* Never more than a slice: what comes in goes first. */
static void scrub_some(struct archiver *archiver)
{
    struct scrub_status status;
    if (!archiver->scrub || !list_is_empty(&archiver->bundles))
        return;
    enum err err = scrub_step(archiver->scrub, archiver_now_ns(archiver));
    if (err != ERR_OK)
        archiver_log(archiver, LOG_ERROR, "scrubbing", err); /* goes on with the next slice */
    scrub_status(archiver->scrub, &status);
    atomic_fetch_add(&archiver->damaged,
        status.damaged - atomic_exchange(&archiver->scrub_damaged, status.damaged));
    atomic_store(&archiver->scrubbed_bytes, status.bytes);
    atomic_store(&archiver->scrubs, status.rounds);
}

static void look_at_clocks(struct archiver *archiver)
{
    struct retain *retain = &archiver->retain;
    if (!retain_watch(retain, archiver_now_ns(archiver), archiver_wall_ns(archiver)))
        return;
    atomic_store(&archiver->is_retention_paused, retain->is_paused);
    archiver_log(archiver, retain->is_paused ? LOG_WARNING : LOG_INFO,
        retain->is_paused ? "the clock was set forward: nothing expires until it is set back, or "
                            "a day has passed"
                          : "retention goes on",
        ERR_OK);
}

/* ---- The loop ---- */

static void take_incoming(struct archiver *archiver)
{
    (void)pthread_mutex_lock(&archiver->mutex);
    list_move(&archiver->bundles, &archiver->incoming);
    bool has_deletion = archiver->has_deletion;
    archiver->has_deletion = false;
    archiver->is_closing = archiver->is_stopping;
    (void)pthread_mutex_unlock(&archiver->mutex);
    if (has_deletion)
        archiver->retry_ns = 0;
}

static bool store_or_wait(struct archiver *archiver)
{
    if (list_is_empty(&archiver->bundles))
        return false;
    if (!atomic_load(&archiver->is_full))
        return store_some(archiver);
    if (archiver_now_ns(archiver) < archiver->retry_ns)
        return false;
    relieve(archiver);
    return store_some(archiver);
}

bool archive_step(struct archiver *archiver)
{
    take_incoming(archiver);
    look_at_clocks(archiver);
    enum err err = store_failure(archiver->config.store); /* of whichever commit */
    if (err != ERR_OK && archiver->failure == ERR_OK)
        become_stopped(archiver, err);
    if (archiver->failure != ERR_OK) {
        hand_all_back(archiver, archiver->failure);
        return false;
    }
    inspect_suspects(archiver);
    bool did_work = store_or_wait(archiver);
    if (archiver->is_closing)
        return did_work;
    if (archiver->config.journal)
        did_work |= journal_prepare(archiver->config.journal);
    did_work |= retain_some(archiver);
    if (!atomic_load(&archiver->is_full))
        ballast_hold(&archiver->ballast, archiver_now_ns(archiver));
    if (!did_work)
        scrub_some(archiver);
    return did_work;
}

static int64_t wait_of(struct archiver *archiver)
{
    int64_t wait_ns = archiver->config.retention_step_ns;
    if (archiver->scrub && scrub_wait_ns(archiver->scrub) < wait_ns)
        wait_ns = scrub_wait_ns(archiver->scrub);
    return wait_ns < FULL_RETRY_NS ? wait_ns : FULL_RETRY_NS;
}

/* Wait for a submission, or until it is time to look again. False: there is no more to come. */
static bool wait_for_work(struct archiver *archiver)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += wait_of(archiver);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&archiver->mutex);
    bool has_more = true;
    if (list_is_empty(&archiver->incoming)) {
        has_more = !archiver->is_stopping;
        if (has_more && !archiver->is_woken)
            (void)pthread_cond_timedwait(&archiver->submitted, &archiver->mutex, &until);
    }
    archiver->is_woken = false;
    (void)pthread_mutex_unlock(&archiver->mutex);
    return has_more;
}

static void *run_thread(void *context)
{
    struct archiver *archiver = context;
    do {
        while (archive_step(archiver)) {
        }
    } while (wait_for_work(archiver));
    return NULL;
}

/* ---- Start and stop ---- */

static enum err init_lock(struct archiver *archiver)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code == 0)
        code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (code == 0)
        code = pthread_cond_init(&archiver->submitted, &attributes);
    if (code == 0)
        code = pthread_mutex_init(&archiver->mutex, NULL);
    return code == 0 ? ERR_OK : fault(ERR_IO, "a condition variable: error %d", code);
}

static enum err start(struct archiver *archiver)
{
    TRY(init_lock(archiver));
    const struct archive_config *config = &archiver->config;
    TRY(ballast_init(&archiver->ballast, config->path));
    if (config->scrub_bytes_per_s)
        TRY(scrub_new(
            config->store, config->scrub_bytes_per_s, scrub_found, archiver, &archiver->scrub));
    ballast_hold(&archiver->ballast, archiver_now_ns(archiver));
    if (archiver->config.has_no_thread)
        return ERR_OK;
    int code = pthread_create(&archiver->thread, NULL, run_thread, archiver);
    return code == 0 ? ERR_OK : fault(ERR_IO, "the archiver's thread: error %d", code);
}

static void archiver_free(struct archiver *archiver)
{
    ballast_deinit(&archiver->ballast);
    scrub_free(archiver->scrub);
    suspects_deinit(&archiver->suspects);
    (void)pthread_mutex_destroy(&archiver->mutex);
    (void)pthread_cond_destroy(&archiver->submitted);
    free(archiver);
}

enum err archiver_start(const struct archive_config *config, struct archiver **out)
{
    ASSERT(config->retention_step_ns > 0);
    struct archiver *archiver = calloc(1, sizeof *archiver);
    if (!archiver)
        return fault(ERR_NOMEM, "an archiver");
    archiver->config = *config;
    list_init(&archiver->incoming);
    list_init(&archiver->bundles);
    suspects_init(&archiver->suspects);
    retain_init(
        &archiver->retain, config->store, config->retention_step_ns, config->tombstone_ttl_s);
    retain_limit(&archiver->retain, config->keep_bytes_max);
    enum err err = start(archiver);
    if (err != ERR_OK) {
        archiver_free(archiver);
        return err;
    }
    *out = archiver;
    return ERR_OK;
}

struct archiver *archiver_stop(struct archiver *archiver)
{
    if (!archiver)
        return NULL;
    (void)pthread_mutex_lock(&archiver->mutex);
    archiver->is_stopping = true;
    (void)pthread_cond_signal(&archiver->submitted);
    (void)pthread_mutex_unlock(&archiver->mutex);
    if (archiver->config.has_no_thread)
        while (archive_step(archiver)) {
        }
    else
        (void)pthread_join(archiver->thread, NULL);
    hand_all_back(archiver, ERR_CANCELED);
    archiver_free(archiver);
    return NULL;
}

struct archiver *archiver_abandon(struct archiver *archiver)
{
    if (!archiver)
        return NULL;
    ASSERT(archiver->config.has_no_thread);
    take_incoming(archiver);
    hand_all_back(archiver, ERR_CANCELED);
    archiver_free(archiver);
    return NULL;
}

void archive_status(const struct archiver *archiver, struct archive_status *out)
{
    *out = (struct archive_status){
        .transactions = atomic_load(&archiver->transactions),
        .bytes = atomic_load(&archiver->bytes),
        .events = atomic_load(&archiver->events),
        .expired = atomic_load(&archiver->expired),
        .evicted = atomic_load(&archiver->evicted),
        .deleted = atomic_load(&archiver->deleted),
        .damaged = atomic_load(&archiver->damaged),
        .scrubbed_bytes = atomic_load(&archiver->scrubbed_bytes),
        .scrubs = atomic_load(&archiver->scrubs),
        .backlog_bytes = atomic_load(&archiver->backlog_bytes),
        .is_retention_paused = atomic_load(&archiver->is_retention_paused),
        .is_full = atomic_load(&archiver->is_full),
        .is_stopped = atomic_load(&archiver->is_stopped),
    };
}
