/* storage — the composition: journal, store, archiver and readers behind one seam.
 *
 *     open    lock ▶ store ▶ epoch ▶ journal (replay → tails) ▶ archiver ▶ readers ▶ recovered
 *     tick    changed ▶ gone ▶ what waits for its share ▶ journal_tick ▶ ship ▶ pressure ▶ wake
 *     close   readers ▶ archiver ▶ journal ▶ tails ▶ store ▶ lock      (open's order, backwards)
 *
 * Invariant: the owner's callbacks run from storage_tick only, and what they do shows in the same
 * tick or has it called again. The journal's callbacks only keep accounts. */
#include "storage/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/amend.h"
#include "storage/directory.h"
#include "storage/mend.h"
#include "storage/projects.h"
#include "storage/query.h"
#include "storage/reopen.h"
#include "storage/replay.h"
#include "storage/tail_write.h"

struct storage {
    struct storage_config config;
    int lock_fd;
    struct store *store;
    struct journal *journal;
    struct archiver *archiver;
    struct query_readers *readers;
    struct block_cache *cache;
    struct tails tails;
    struct shipper shipper;
    struct amendments amendments;
    struct departures departures;
    struct replay replay; /* while opening */
    struct projects projects;
    uint64_t next_number;
    uint64_t forward_bytes;  /* of journal between two records of a live stream's row */
    int64_t journal_wake_ns; /* INT64_MAX: it does not want to */
    int64_t wake_ns;         /* asked of the host */
    enum err stuck;          /* ERR_OK: it is not */
    bool is_stuck_told, is_paused, is_ticking;
};

/* What the journal calls. */

static void wake(struct storage *storage, int64_t at_ns)
{
    const struct storage_host *host = storage->config.host;
    if (at_ns >= storage->wake_ns)
        return;
    storage->wake_ns = at_ns;
    host->wake_at(host->context, at_ns);
}

static void on_journal_wake(void *context, int64_t at_ns)
{
    struct storage *storage = context;
    storage->journal_wake_ns = at_ns;
    if (!storage->is_ticking)
        wake(storage, at_ns);
}

static void on_committed(void *context, uint64_t durable_lsn)
{
    struct storage *storage = context;
    struct ledger *ledger = &storage->tails.ledger;
    struct ledger_entry entry;
    ledger_committed(ledger, durable_lsn);
    while (ledger_pop(ledger, &entry)) {
        if (entry.kind == LEDGER_DELETE)
            shipper_deletion_durable(&storage->shipper, entry.owner);
        else
            tail_durable(entry.owner, entry.kind);
    }
    storage->tails.share_bytes = BULK_SHARE_BYTES;
}

static void on_stuck(void *context, enum err err)
{
    struct storage *storage = context;
    storage->stuck = err;
}

static int64_t host_now(void *context)
{
    const struct storage *storage = context;
    return storage->config.host->now_ns(storage->config.host->context);
}

/* measure — what the journal can take until the next tick. A whole segment is kept back: batches do
 * not always fill the end of one, and rows and deletes must get in when nothing else does. */
static void measure(struct storage *storage, struct journal_status *journal)
{
    const struct storage_config *config = &storage->config;
    uint64_t ring_bytes = config->segment_bytes * config->segment_count;
    journal_status(storage->journal, journal);
    uint64_t taken_bytes = config->segment_bytes + ring_bytes / 100 * journal->used_percent +
                           journal->backlog_bytes + journal->backlog_bytes / 4;
    storage->tails.room_bytes = ring_bytes > taken_bytes ? ring_bytes - taken_bytes : 0;
    storage->tails.commit_bytes = journal->commit_bytes;
    storage->shipper.used_percent = journal->used_percent;
}

/* Opening. */

/* A map is reserved for good: where it came out small, the store will be full long before the disk. */
static void tell_small_map(const struct storage *storage)
{
    const struct storage_host *host = storage->config.host;
    struct store_size size;
    char text[160];
    store_size(storage->store, &size);
    if (size.map_bytes == 0 || size.map_bytes >= STORE_MAP_BYTES)
        return;
    (void)snprintf(text, sizeof text,
        "the store can grow to %llu MiB only: address space is limited (ulimit -v, RLIMIT_AS)",
        (unsigned long long)(size.map_bytes >> 20));
    host->log(host->context, 1, text);
}

static enum err take_directory(struct storage *storage, int *holder_pid)
{
    const struct storage_host *host = storage->config.host;
    bool is_open_to_others;
    TRY(directory_take(storage->config.path, &is_open_to_others, holder_pid, &storage->lock_fd));
    if (is_open_to_others)
        host->log(host->context, 1, "the data directory is open to others: chmod 700 is advised");
    return ERR_OK;
}

static enum err open_store(struct storage *storage)
{
    const struct storage_config *config = &storage->config;
    uint32_t epoch;
    TRY(store_open(config->path, false, config->zstd_level, &storage->store));
    TRY(block_cache_new(config->cache_bytes_max, &storage->cache));
    store_set_cache(storage->store, storage->cache);
    tell_small_map(storage);
    TRY(store_project_walk(storage->store, projects_know, &storage->projects));
    TRY(store_next_epoch(storage->store, &epoch));
    storage->next_number = (uint64_t)epoch << 32;
    return ERR_OK;
}

static enum err on_replay(void *context, const struct record *record, uint64_t lsn)
{
    struct storage *storage = context;
    return replay_record(&storage->replay, record, lsn);
}

static enum err open_journal(struct storage *storage, struct journal_recovery *found)
{
    const struct storage_config *config = &storage->config;
    struct journal_config journal = {.disk = config->disk,
        .path = config->path,
        .segment_bytes = config->segment_bytes,
        .segment_count = config->segment_count,
        .commit_spacing_ns = config->commit_spacing_ns,
        .committed = on_committed,
        .stuck = on_stuck,
        .wake_at = on_journal_wake,
        .now_ns = host_now,
        .context = storage};
    uint64_t absorbed_lsn = store_absorbed_lsn(storage->store);
    store_uuid(storage->store, journal.store_uuid);
    ledger_init(&storage->tails.ledger, absorbed_lsn,
        config->segment_bytes * config->segment_count / STRETCH_RING_DIVISOR);
    TRY(journal_open(&journal, absorbed_lsn, on_replay, found, &storage->journal));
    ledger_start(&storage->tails.ledger, storage->journal, found->last_lsn);
    if (config->committed)
        journal_observe(storage->journal, config->committed, config->context);
    return ERR_OK;
}

static enum err start_threads(struct storage *storage)
{
    const struct storage_config *config = &storage->config;
    struct archive_config archive = {.store = storage->store,
        .journal = storage->journal,
        .host = config->host,
        .path = config->path,
        .retention_step_ns = config->retention_step_ns,
        .tombstone_ttl_s = config->tombstone_ttl_s,
        .keep_bytes_max = config->keep_bytes_max,
        .scrub_bytes_per_s = config->scrub_bytes_per_s,
        .has_no_thread = config->has_no_threads};
    TRY(archiver_start(&archive, &storage->archiver));
    shipper_start(&storage->shipper, storage->archiver, storage->journal);
    amendments_start(&storage->amendments, storage->archiver);
    struct query_config query = {.store = storage->store,
        .host = config->host,
        .archiver = storage->archiver,
        .zstd_level = config->zstd_level,
        .is_inline = config->has_no_threads};
    return query_readers_start(&query, &storage->readers);
}

/* Batches are missing that had been written: what was in them is looked for in the store. */
static enum err mend(struct storage *storage, struct storage_report *report)
{
    const struct journal_recovery *found = &report->journal;
    if (found->corrupt_batches == 0 && found->missing_batches == 0)
        return ERR_OK;
    return mend_run(&storage->tails, storage->store, &report->failed_streams);
}

static enum err delete_again(struct storage *storage)
{
    enum err err =
        replay_deletions(&storage->replay, storage->store, storage->config.tombstone_ttl_s);
    return err == ERR_FULL ? ERR_OK : err;
}

static enum err open_all(struct storage *storage, int *holder_pid, struct storage_report *report)
{
    storage->replay = (struct replay){.tails = &storage->tails,
        .shipper = &storage->shipper,
        .project = projects_know,
        .context = &storage->projects,
        .forward_bytes = storage->forward_bytes};
    TRY(take_directory(storage, holder_pid));
    TRY(open_store(storage));
    TRY(open_journal(storage, &report->journal));
    mend_expect(storage->store, &report->journal);
    TRY(mend(storage, report));
    TRY(delete_again(storage));
    TRY(replay_keys(&storage->replay, storage->store));
    TRY(amendments_recover(&storage->tails, storage->store));
    TRY(start_threads(storage));
    replay_finish(&storage->replay);
    report->live_streams = storage->replay.live_streams;
    return ERR_OK;
}

/* What has ended first: the callback may end what is live, which would have it told twice. */
static void tell_ended(struct storage *storage, void (*recovered)(void *, struct tail *))
{
    const struct map *map = &storage->tails.by_number;
    for (struct map_node *node = map_walk(map, NULL); node; node = map_walk(map, node)) {
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (!stream_state_is_live(tail_row(tail)->state))
            recovered(storage->config.context, tail);
    }
}

/* The callback may write, and so move tails within the list: it is walked in a copy. */
static void tell_live(struct storage *storage, void (*recovered)(void *, struct tail *))
{
    struct list todo;
    list_init(&todo);
    list_move(&todo, &storage->tails.live);
    while (!list_is_empty(&todo)) {
        struct tail *tail = CONTAINER_OF(todo.next, struct tail, live);
        list_unlink(&tail->live);
        list_append(&storage->tails.live, &tail->live);
        recovered(storage->config.context, tail);
    }
}

static struct storage *storage_new(const struct storage_config *config)
{
    struct storage *storage = calloc(1, sizeof *storage);
    if (!storage)
        return NULL;
    storage->config = *config;
    storage->lock_fd = -1;
    storage->wake_ns = storage->journal_wake_ns = INT64_MAX;
    storage->forward_bytes = config->segment_bytes * config->segment_count / FORWARD_RING_DIVISOR;
    tails_init(&storage->tails, config->host, config->is_memory);
    storage->tails.forward_bytes = storage->forward_bytes;
    if (config->queue_bytes_max)
        storage->tails.queue_bytes_max = config->queue_bytes_max;
    storage->tails.event_bytes_max =
        config->segment_bytes * config->segment_count / EVENT_RING_DIVISOR;
    shipper_init(&storage->shipper, &storage->tails, config->archive_after_ns);
    amendments_init(&storage->amendments, &storage->tails);
    projects_init(&storage->projects);
    return storage;
}

enum err storage_open(const struct storage_config *config,
    void (*recovered)(void *context, struct tail *tail), struct storage_report *report,
    int *holder_pid, struct storage **out)
{
    const struct storage_host *host = config->host;
    int64_t began_ns = host->now_ns(host->context);
    struct storage_report found = {0};
    struct storage *storage = storage_new(config);
    if (!storage)
        return fault(ERR_NOMEM, "storage");
    enum err err = open_all(storage, holder_pid, &found);
    if (err != ERR_OK) {
        storage_close(storage);
        return err;
    }
    found.duration_ns = host->now_ns(host->context) - began_ns;
    if (report)
        *report = found;
    struct journal_status journal;
    measure(storage, &journal);
    *out = storage;
    if (recovered) {
        tell_ended(storage, recovered);
        tell_live(storage, recovered);
    }
    wake(storage, host_now(storage));
    return ERR_OK;
}

static void stop_threads(struct storage *storage)
{
    storage->readers = query_readers_stop(storage->readers);
    storage->archiver = archiver_stop(storage->archiver);
}

/* A hint for the next start: without it damage to the journal's end looks like a torn write. */
static void mark_closed(struct storage *storage)
{
    const struct storage_host *host = storage->config.host;
    struct journal_status journal;
    journal_status(storage->journal, &journal);
    if (!journal_is_idle(storage->journal) || journal.is_stuck ||
        store_failure(storage->store) != ERR_OK)
        return;
    if (store_mark_closed(storage->store, journal.durable_lsn) != ERR_OK)
        host->log(host->context, 1, "the store could not note that it was closed in good order");
}

struct storage *storage_close(struct storage *storage)
{
    if (!storage)
        return NULL;
    bool was_open = storage->readers;
    stop_threads(storage);
    if (was_open)
        mark_closed(storage);
    storage->journal = journal_close(storage->journal);
    return storage_abandon(storage);
}

struct storage *storage_abandon(struct storage *storage)
{
    if (!storage)
        return NULL;
    ASSERT(!storage->is_ticking);
    if (storage->config.has_no_threads)
        storage->archiver = archiver_abandon(storage->archiver);
    stop_threads(storage);
    journal_abandon(storage->journal);
    shipper_deinit(&storage->shipper);
    amendments_deinit(&storage->amendments);
    tails_deinit(&storage->tails);
    projects_deinit(&storage->projects);
    store_close(storage->store);
    block_cache_free(storage->cache);
    if (storage->lock_fd >= 0)
        (void)close(storage->lock_fd);
    free(storage);
    return NULL;
}

/* The tick. */

static void tell(struct storage *storage, struct tail *tail)
{
    list_unlink(&tail->changed);
    if (storage->config.changed)
        storage->config.changed(storage->config.context, tail);
}

/* To those who are told soon, the nearest first. */
static void announce(struct storage *storage)
{
    const struct list *changed = &storage->tails.changed;
    int distance = 0;
    LIST_FOREACH (node, changed) {
        if (++distance > CHANGES_AHEAD)
            return;
        storage->config.changes_soon(
            storage->config.context, CONTAINER_OF(node, struct tail, changed), distance);
    }
}

static void tell_changed(struct storage *storage)
{
    struct list *changed = &storage->tails.changed;
    for (int left = CHANGES_PER_TICK; left > 0 && !list_is_empty(changed); left--) {
        tell(storage, CONTAINER_OF(changed->next, struct tail, changed));
        if (storage->config.changes_soon)
            announce(storage);
    }
}

static void tell_gone(struct storage *storage)
{
    struct list *leaving = &storage->tails.leaving;
    while (!list_is_empty(leaving)) {
        struct tail *tail = CONTAINER_OF(leaving->next, struct tail, ship);
        if (!list_is_empty(&tail->changed)) {
            tell(storage, tail); /* it may stay, then */
            continue;
        }
        list_unlink(&tail->ship);
        if (storage->config.gone)
            storage->config.gone(storage->config.context, tail);
        if (!tail->is_closed) {
            departures_note(&storage->departures, tail->number);
            storage->tails.is_forwarded |= !tail->is_unnamed; /* what it held is absorbed */
        }
        tail_free(tail);
    }
}

/* Live streams' rows are journalled again before they keep too much of the ring from reuse. */
static void forward_rows(struct storage *storage)
{
    struct tails *tails = &storage->tails;
    for (int i = 0; i < FORWARD_ROWS_MAX && !list_is_empty(&tails->live); i++) {
        struct tail *tail = CONTAINER_OF(tails->live.next, struct tail, live);
        if (tails->commit_bytes - tail->row_position < storage->forward_bytes)
            return;
        if (tail_forward(tail) != ERR_OK)
            return;
    }
}

static bool is_behind(const struct storage *storage)
{
    return storage->shipper.flight_bytes > ARCHIVE_BACKLOG_BYTES_MAX;
}

static void apply_pressure(struct storage *storage, const struct journal_status *journal)
{
    uint64_t limit =
        storage->is_paused ? JOURNAL_BACKLOG_RESUME_BYTES : JOURNAL_BACKLOG_PAUSE_BYTES;
    bool is_paused = journal->backlog_bytes + storage->tails.queued_event_bytes > limit ||
                     journal->used_percent >= JOURNAL_PAUSE_PERCENT || is_behind(storage) ||
                     storage->tails.room_bytes < ROOM_LOW_BYTES;
    if (is_paused == storage->is_paused)
        return;
    storage->is_paused = is_paused;
    if (storage->config.pause)
        storage->config.pause(storage->config.context, is_paused);
}

static void tell_stuck(struct storage *storage)
{
    if (storage->stuck == ERR_OK || storage->is_stuck_told)
        return;
    storage->is_stuck_told = true;
    if (storage->config.stuck)
        storage->config.stuck(storage->config.context, storage->stuck);
}

static void ask_to_be_woken(struct storage *storage)
{
    const struct tails *tails = &storage->tails;
    int64_t now_ns = host_now(storage);
    int64_t ship_ns = shipper_wake_ns(&storage->shipper);
    bool has_news = !list_is_empty(&tails->changed) || !list_is_empty(&tails->leaving);
    if (ship_ns <= now_ns)
        ship_ns = now_ns + SHIP_RETRY_NS; /* it could not be done just now */
    if (has_news)
        wake(storage, now_ns);
    wake(storage, ship_ns < storage->journal_wake_ns ? ship_ns : storage->journal_wake_ns);
}

void storage_tick(struct storage *storage)
{
    ASSERT(!storage->is_ticking);
    struct tails *tails = &storage->tails;
    int64_t now_ns = host_now(storage);
    struct journal_status journal;
    storage->is_ticking = true;
    if (storage->wake_ns <= now_ns)
        storage->wake_ns = INT64_MAX;
    if (storage->journal_wake_ns <= now_ns)
        storage->journal_wake_ns = INT64_MAX;
    tell_changed(storage);
    tell_gone(storage);
    measure(storage, &journal);
    forward_rows(storage);
    tails_write(tails);
    if (!list_is_empty(&tails->writing)) /* for its share: of the next commit */
        journal_hurry(storage->journal);
    journal_tick(storage->journal);
    shipper_tick(&storage->shipper, now_ns);
    amendments_tick(&storage->amendments);
    measure(storage, &journal);
    apply_pressure(storage, &journal);
    tell_stuck(storage);
    ask_to_be_woken(storage);
    storage->is_ticking = false;
}

bool storage_step(struct storage *storage)
{
    return archive_step(storage->archiver);
}

void storage_drain(struct storage *storage)
{
    storage->shipper.is_draining = true;
    journal_hurry(storage->journal);
    wake(storage, host_now(storage));
}

bool storage_is_drained(const struct storage *storage)
{
    const struct tails *tails = &storage->tails;
    return journal_is_idle(storage->journal) && list_is_empty(&tails->writing) &&
           list_is_empty(&tails->changed) && shipper_is_idle(&storage->shipper) &&
           amendments_are_idle(&storage->amendments);
}

/* New work, deletes, queries. */

enum err storage_reopen(struct storage *storage, const struct storage_query *query,
    const struct row *row, struct tail **out)
{
    ASSERT(row->is_appended && stream_state_is_live(row->state));
    struct tail *tail = tails_find(&storage->tails, row->number);
    if (tail) { /* whoever was to take it up at the start could not */
        ASSERT(!tail->owner);
        *out = tail;
        return ERR_OK;
    }
    if (departures_conceal(&storage->departures, query->departures, row->number))
        return ERR_AGAIN;
    return reopen_tail(&storage->tails, row, out);
}

enum err storage_project(struct storage *storage, struct slice name, uint32_t *out)
{
    return projects_number(&storage->projects, name, out);
}

enum err storage_admits(const struct storage *storage)
{
    struct journal_status journal;
    struct archive_status archive;
    journal_status(storage->journal, &journal);
    archive_status(storage->archiver, &archive);
    bool is_stopped = storage->stuck != ERR_OK || journal.is_stuck || archive.is_stopped ||
                      storage->shipper.failure != ERR_OK;
    if (is_stopped || archive.is_full)
        return ERR_FULL;
    bool is_crowded = journal.used_percent >= JOURNAL_REFUSE_PERCENT ||
                      storage->tails.queued_bytes > storage->tails.queue_bytes_max;
    return is_crowded || is_behind(storage) ? ERR_AGAIN : ERR_OK;
}

enum err storage_create(
    struct storage *storage, struct row *row, struct slice request_body, struct tail **out)
{
    row->number = storage->next_number;
    TRY(tail_create(&storage->tails, row, request_body, out));
    storage->next_number++;
    ASSERT((storage->next_number & UINT32_MAX) != 0); /* four billion streams between two starts */
    return ERR_OK;
}

/* An open stream that a client writes ends with its deletion: both records share a batch, so that a
 * crash leaves it open or has it gone. */
static enum err close_for_deletion(struct storage *storage, struct tail *tail, struct slice reason)
{
    const struct storage_host *host = storage->config.host;
    struct row row = *tail_row(tail);
    if (!row.is_appended)
        return ERR_BUSY;
    if (tail_has_queue(tail))
        return ERR_FULL;
    row.state = STREAM_STOPPED;
    row.reason = reason;
    row.writer_state = SLICE_NONE;
    row.ended_ns = host->wall_ns(host->context);
    TRY(ledger_reserve(&storage->tails.ledger, ROW_BYTES_MAX + DELETION_BYTES_MAX, 2));
    return tail_end(tail, SLICE_NONE, row.ended_ns, &row);
}

enum err storage_delete(struct storage *storage, uint32_t project, const struct id *id,
    uint64_t number, struct slice reason)
{
    const struct storage_host *host = storage->config.host;
    struct tail *tail = tails_find(&storage->tails, number);
    struct deletion *deletion;
    TRY(deletion_new(project, id, number, reason, &deletion));
    enum err err = ERR_OK;
    if (tail && stream_state_is_live(tail_row(tail)->state))
        err = close_for_deletion(storage, tail, reason);
    if (err == ERR_OK)
        err = deletion_journal(deletion, &storage->tails.ledger, host->wall_ns(host->context));
    if (err != ERR_OK) {
        deletion_free(deletion);
        return err;
    }
    shipper_delete(&storage->shipper, deletion, false);
    return ERR_OK;
}

enum err storage_replace(struct storage *storage, struct tail *tail, const struct row *row,
    struct tail *before, struct slice reason)
{
    const struct storage_host *host = storage->config.host;
    const struct row *old = tail_row(before);
    if (tail_has_queue(tail) || tail_has_queue(before))
        return ERR_FULL;
    TRY(ledger_reserve(&storage->tails.ledger, 2 * ROW_BYTES_MAX + DELETION_BYTES_MAX, 3));
    TRY(tail_update(tail, row));
    if (storage_delete(storage, old->project, &old->id, old->number, reason)) /* out of memory */
        host->log(host->context, 1,
            "a stream that was replaced could not be deleted: it stays, behind the one that has "
            "its key");
    return ERR_OK;
}

void storage_hurry(struct storage *storage)
{
    journal_hurry(storage->journal);
}

enum err storage_amend(struct storage *storage, const struct storage_amendment *amendment)
{
    struct archive_status archive;
    archive_status(storage->archiver, &archive);
    if (archive.is_full || archive.is_stopped || storage->shipper.failure != ERR_OK)
        return ERR_FULL;
    TRY(amendments_add(&storage->amendments, amendment));
    wake(storage, host_now(storage));
    return ERR_OK;
}

enum err storage_query(struct storage *storage, struct storage_query *query)
{
    query->storage = storage;
    query->departures = storage->departures.count;
    return query_submit(storage->readers, query);
}

struct block *storage_cached(
    struct storage *storage, enum block_kind kind, uint64_t number, struct block_position at)
{
    return block_cache_find(storage->cache, kind, number, at);
}

void storage_keep(
    struct storage *storage, enum block_kind kind, uint64_t number, struct block *block)
{
    block_cache_put(storage->cache, kind, number, block);
}

void storage_status(const struct storage *storage, struct storage_status *out)
{
    *out = (struct storage_status){.tails = storage->tails.by_number.count,
        .tail_bytes = storage->tails.block_bytes,
        .queued_bytes = storage->tails.queued_bytes,
        .queries_waiting = query_waiting(storage->readers),
        .is_paused = storage->is_paused};
    journal_status(storage->journal, &out->journal);
    archive_status(storage->archiver, &out->archive);
    block_cache_status(storage->cache, &out->cache);
}

void storage_size(const struct storage *storage, struct store_size *out)
{
    store_size(storage->store, out);
}
