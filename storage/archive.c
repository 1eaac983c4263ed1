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
#include "storage/archive.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "storage/ballast.h"
#include "storage/bounds.h"
#include "storage/retain.h"
#include "storage/scrub.h"
#include "storage/suspect.h"

enum { LOG_ERROR, LOG_WARNING, LOG_INFO };

enum {
    MESSAGE_BYTES = 320,
};

struct progress {
    struct list *item; /* of the first bundle; NULL: its beginning */
    struct block_position merged;
};

struct archiver {
    struct archive_config config;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t submitted;
    /* Under the mutex. */
    struct list incoming;
    bool has_deletion; /* among what is incoming */
    bool is_woken;     /* look, though nothing is incoming */
    bool is_stopping;
    /* The archiver's own. */
    struct list bundles;
    bool is_closing; /* finish the bundles, begin nothing else */
    struct progress progress;
    struct retain retain;
    struct ballast ballast;
    struct scrub *scrub; /* NULL: none */
    struct suspects suspects;
    int64_t retry_ns; /* when full: not before */
    enum err failure;
    /* Shown to any thread. */
    atomic_uint_fast64_t transactions, bytes, events, expired, evicted, deleted, backlog_bytes;
    atomic_uint_fast64_t damaged, scrub_damaged, scrubbed_bytes, scrubs;
    atomic_bool is_retention_paused, is_full, is_stopped;
};

static int64_t now_of(const struct archiver *archiver)
{
    return archiver->config.host->now_ns(archiver->config.host->context);
}

static int64_t wall_of(const struct archiver *archiver)
{
    return archiver->config.host->wall_ns(archiver->config.host->context);
}

static void log_line(const struct archiver *archiver, int level, const char *what, enum err err)
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

static struct archive_item *item_of(struct list *node)
{
    return CONTAINER_OF(node, struct archive_item, node);
}

static struct archive_bundle *bundle_of(struct list *node)
{
    return CONTAINER_OF(node, struct archive_bundle, node);
}

static bool bundle_has_deletion(const struct archive_bundle *bundle)
{
    LIST_FOREACH (node, &bundle->items)
        if (item_of(node)->kind == ARCHIVE_DELETE)
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
    struct archive_bundle *bundle = bundle_of(list_pop(&archiver->bundles));
    struct list *node;
    while ((node = list_pop(&bundle->items))) {
        if (err == ERR_OK)
            count_item(archiver, item_of(node));
        archive_item_free(item_of(node));
    }
    atomic_fetch_sub(&archiver->backlog_bytes, bundle->bytes);
    bundle->err = err == ERR_OK ? bundle->answer : err;
    bundle->task.run = run_done;
    archiver->config.host->post(archiver->config.host->context, &bundle->task);
}

static void hand_all_back(struct archiver *archiver, enum err err)
{
    archiver->progress = (struct progress){0};
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

/* ---- Damage ---- */

static void log_damage(struct archiver *archiver, const struct id *id, const char *what)
{
    char text[ID_TEXT_BYTES], message[MESSAGE_BYTES];
    id_format(id, text);
    (void)snprintf(message, sizeof message,
        "stream %s is damaged: %s cannot be read; `tokenlog verify` tells more", text, what);
    archiver->config.host->log(archiver->config.host->context, LOG_ERROR, message);
}

/* Something of a stream could not be put, or read: if a value of it has rotted it is the stream's
 * alone. ERR_CORRUPT: none has. */
static enum err blame_stream(
    struct archiver *archiver, struct store_txn *txn, uint32_t project, uint64_t number)
{
    char what[DAMAGE_TEXT_BYTES];
    struct id id;
    bool is_news;
    if (store_damage_of(txn, project, number, what) != ERR_OK)
        return ERR_CORRUPT;
    enum err err = store_mark_damage(txn, project, number, slice_text(what), &id, &is_news);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    if (is_news) {
        atomic_fetch_add(&archiver->damaged, 1);
        log_damage(archiver, &id, what);
    }
    return ERR_OK;
}

/* ---- One transaction ---- */

/* What a transaction has come to, before its commit. */
struct batch {
    struct store_txn *txn;
    struct progress progress;
    size_t values_left; /* that it may delete */
    size_t completed;   /* bundles */
    uint64_t absorbed_lsn;
};

static enum err delete_stream(
    struct archiver *archiver, struct store_txn *txn, const struct archive_item *item, size_t *left)
{
    struct store_deletion deletion = {.project = item->project,
        .id = item->id,
        .reason = buf_slice(&item->bytes),
        .now_ns = wall_of(archiver),
        .tombstone_ttl_s = archiver->config.tombstone_ttl_s};
    enum err err = store_delete(txn, &deletion, left);
    if (err == ERR_DENIED)
        log_line(
            archiver, LOG_WARNING, "a delete was asked for before a hold; the hold counts", err);
    /* Dropped long ago, or never stored; or held meanwhile. */
    return err == ERR_NOTFOUND || err == ERR_DENIED ? ERR_OK : err;
}

static enum err amend(struct store_txn *txn, const struct archive_item *item, enum err *answer)
{
    struct store_amendment amendment = item->amendment;
    amendment.project = item->project;
    amendment.id = item->id;
    amendment.damage = buf_slice(&item->bytes);
    *answer = store_amend(txn, &amendment);
    return *answer == ERR_NOTFOUND || *answer == ERR_LIMIT ? ERR_OK : *answer;
}

/* ERR_AGAIN: this transaction's share of it is done, not all. */
static enum err put_item(struct archiver *archiver, struct batch *batch,
    struct archive_bundle *bundle, const struct archive_item *item)
{
    struct store_txn *txn = batch->txn;
    uint32_t project = item->project;
    uint64_t number = item->number;
    struct slice bytes = buf_slice(&item->bytes);
    switch (item->kind) {
    case ARCHIVE_ROW: return store_put_row(txn, bytes);
    case ARCHIVE_BLOCKS: {
        struct block_run run = {item->blocks, item->block_count, item->last_frames};
        return store_put_blocks(txn, project, number, &run);
    }
    case ARCHIVE_BODY: return store_put_body(txn, project, number, item->position, bytes);
    case ARCHIVE_ASIDE:
        return store_put_aside(txn, project, number, item->index, item->position, bytes);
    case ARCHIVE_CLOSE: return store_close_stream(txn, bytes);
    case ARCHIVE_MERGE: return store_merge(txn, project, number, &batch->progress.merged);
    case ARCHIVE_DELETE: return delete_stream(archiver, txn, item, &batch->values_left);
    case ARCHIVE_AMEND: return amend(txn, item, &bundle->answer);
    }
    return fault(ERR_CORRUPT, "an item of kind %d", (int)item->kind);
}

/* The bundle's items from where progress says. ERR_AGAIN: commit first */
static enum err put_bundle(
    struct archiver *archiver, struct batch *batch, struct archive_bundle *bundle)
{
    struct progress *progress = &batch->progress;
    struct list *node = progress->item ? progress->item : bundle->items.next;
    for (; node != &bundle->items; node = node->next) {
        progress->item = node;
        if (store_txn_bytes(batch->txn) >= ARCHIVE_TXN_BYTES_MAX)
            return ERR_AGAIN;
        enum err err = put_item(archiver, batch, bundle, item_of(node));
        if (err == ERR_CORRUPT)
            err = blame_stream(archiver, batch->txn, item_of(node)->project, item_of(node)->number);
        TRY(err);
        progress->merged = (struct block_position){0};
    }
    progress->item = NULL;
    return ERR_OK;
}

/* As many bundles as fit. */
static enum err put_bundles(struct archiver *archiver, struct batch *batch)
{
    LIST_FOREACH (node, &archiver->bundles) {
        struct archive_bundle *bundle = bundle_of(node);
        enum err err = put_bundle(archiver, batch, bundle);
        if (err == ERR_AGAIN)
            return ERR_OK;
        TRY(err);
        batch->completed++;
        if (bundle->absorbed_lsn)
            batch->absorbed_lsn = bundle->absorbed_lsn;
    }
    return ERR_OK;
}

static enum err commit_batch(struct archiver *archiver, struct batch *batch)
{
    enum err err = put_bundles(archiver, batch);
    if (err != ERR_OK) {
        store_abort(batch->txn);
        return err;
    }
    uint64_t bytes = store_txn_bytes(batch->txn);
    TRY(store_commit(batch->txn, batch->absorbed_lsn));
    atomic_fetch_add(&archiver->transactions, 1);
    atomic_fetch_add(&archiver->bytes, bytes);
    return ERR_OK;
}

static void become_full(struct archiver *archiver)
{
    if (!atomic_exchange(&archiver->is_full, true))
        log_line(archiver, LOG_WARNING, "the store is full; deletions make room", ERR_OK);
    ballast_drop(&archiver->ballast, now_of(archiver));
    archiver->retry_ns = now_of(archiver) + FULL_RETRY_NS;
}

static void become_stopped(struct archiver *archiver, enum err err)
{
    log_line(archiver, LOG_ERROR, "stopped", err);
    archiver->failure = err;
    atomic_store(&archiver->is_stopped, true);
    hand_all_back(archiver, err);
}

/* False: nothing was stored. */
static bool store_some(struct archiver *archiver)
{
    struct batch batch = {.progress = archiver->progress, .values_left = RETENTION_STEP_VALUES};
    enum err err = store_begin(archiver->config.store, &batch.txn);
    if (err == ERR_OK)
        err = commit_batch(archiver, &batch);
    if (err == ERR_OK) {
        archiver->progress = batch.progress;
        while (batch.completed--)
            hand_back(archiver, ERR_OK);
        if (atomic_exchange(&archiver->is_full, false))
            log_line(archiver, LOG_INFO, "the store has room again", ERR_OK);
        return true;
    }
    archiver->progress = (struct progress){0};
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
    enum err err = retain_step(retain, now_of(archiver), wall_of(archiver), &did_work);
    if (err != ERR_OK)
        log_line(archiver, LOG_WARNING, "retention", err); /* tried again a step later */
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
        err = delete_stream(archiver, txn, item, &values_left);
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
        LIST_FOREACH (node, &bundle_of(bundle)->items)
            if (item_of(node)->kind == ARCHIVE_DELETE && !item_of(node)->is_served)
                TRY(serve_deletion(archiver, item_of(node)));
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
        log_line(archiver, LOG_WARNING, "making room", err); /* tried again in a second */
}

static enum err inspect(struct archiver *archiver, const struct suspect *suspect)
{
    struct store_txn *txn;
    TRY(store_begin(archiver->config.store, &txn));
    enum err err = blame_stream(archiver, txn, suspect->project, suspect->number);
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
            log_line(archiver, LOG_WARNING, "marking what could not be read", err);
    }
}

static void scrub_found(void *context, const struct id *id, const char *what, bool is_news)
{
    struct archiver *archiver = context;
    if (id && is_news)
        log_damage(archiver, id, what);
    else if (!id)
        log_line(archiver, LOG_ERROR, what, ERR_OK);
}

/* Never more than a slice: what comes in goes first. */
static void scrub_some(struct archiver *archiver)
{
    struct scrub_status status;
    if (!archiver->scrub || !list_is_empty(&archiver->bundles))
        return;
    enum err err = scrub_step(archiver->scrub, now_of(archiver));
    if (err != ERR_OK)
        log_line(archiver, LOG_ERROR, "scrubbing", err); /* goes on with the next slice */
    scrub_status(archiver->scrub, &status);
    atomic_fetch_add(&archiver->damaged,
        status.damaged - atomic_exchange(&archiver->scrub_damaged, status.damaged));
    atomic_store(&archiver->scrubbed_bytes, status.bytes);
    atomic_store(&archiver->scrubs, status.rounds);
}

static void look_at_clocks(struct archiver *archiver)
{
    struct retain *retain = &archiver->retain;
    if (!retain_watch(retain, now_of(archiver), wall_of(archiver)))
        return;
    atomic_store(&archiver->is_retention_paused, retain->is_paused);
    log_line(archiver, retain->is_paused ? LOG_WARNING : LOG_INFO,
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
    if (now_of(archiver) < archiver->retry_ns)
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
        ballast_hold(&archiver->ballast, now_of(archiver));
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
    ballast_hold(&archiver->ballast, now_of(archiver));
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
