/* replay — see the header. Of a tail that begins in the middle, the offsets of its blocks count
 * from 0 until its first row gives the true one: row.bytes is the offset of event row.events. */
#include "storage/replay.h"

#include <stdio.h>

#include "protocol/base/own.h"
#include "storage/tail_block.h"

static enum err find_or_add(struct tails *tails, uint64_t number, struct tail **out)
{
    *out = tails_find(tails, number);
    return *out ? ERR_OK : tails_add(tails, number, out);
}

static void drop_partial(struct tail *tail)
{
    tail_drop_blocks(tail, tail->partial_parts);
    tail->partial_parts = 0;
    tail->partial_bytes = 0;
}

static bool is_fresh(const struct tail *tail)
{
    return !tail_newest(tail) && tail->block_count == 0;
}

/* Events. */

static void hold_last_block(struct tail *tail, uint64_t lsn)
{
    struct tail_block *entry = tail_block_at(tail, tail->block_count - 1);
    if (entry->hold == 0)
        entry->hold = ledger_hold(&tail->tails->ledger, lsn);
}

static enum err replay_whole(struct tail *tail, const struct record *record, uint64_t lsn)
{
    TRY(tail_room(tail, record->payload.size));
    hold_last_block(tail, lsn);
    tail_put(tail, record->payload, record->time_ns);
    return ERR_OK;
}

static enum err replay_part(struct tail *tail, const struct record *record, uint64_t lsn)
{
    bool is_last = record->flags & RECORD_LAST;
    TRY(tail_add_part(tail, tail->partial_parts, tail->bytes + tail->partial_bytes, record->payload,
        record->time_ns, is_last));
    hold_last_block(tail, lsn);
    tail->partial_parts++;
    tail->partial_bytes += record->payload.size;
    if (!is_last)
        return ERR_OK;
    tail->events++;
    tail->bytes += tail->partial_bytes;
    tail->last_event_ns = record->time_ns;
    tail->partial_parts = 0;
    tail->partial_bytes = 0;
    return ERR_OK;
}

/* Records that are missing in the middle end the stream for us: seqs are dense, or they are
 * nothing. */
static enum err replay_event(struct tail *tail, const struct record *record, uint64_t lsn)
{
    bool is_first = record->flags & TAIL_RECORD_FIRST;
    if (record->payload.size > FRAME_BYTES_MAX)
        return fault(ERR_CORRUPT, "event record of %zu bytes", record->payload.size);
    if (is_first)
        drop_partial(tail);
    if (is_first && is_fresh(tail))
        tail->events = tail->shipped_events = record->seq;
    if (!is_first && tail->partial_parts == 0)
        return ERR_OK; /* the rest of what was cut short, its beginning absorbed */
    if (tail->is_broken || record->seq != tail->events) {
        tail->is_broken = true;
        return ERR_OK;
    }
    if (is_first && (record->flags & RECORD_LAST))
        return replay_whole(tail, record, lsn);
    return replay_part(tail, record, lsn);
}

/* Rows. */

static void shift_offsets(struct tail *tail, uint64_t by)
{
    for (size_t i = 0; i < tail->block_count; i++)
        tail_block_at(tail, i)->block->first_offset += by;
    tail->bytes += by;
    tail->shipped_bytes += by;
}

/* The row knows how many events and bytes came before its record. */
static void agree(struct tail *tail, const struct row *row, bool was_fresh)
{
    if (was_fresh) {
        tail->events = tail->shipped_events = row->events;
        tail->bytes = tail->shipped_bytes = row->bytes;
        tail->last_event_ns = row->last_event_ns;
    } else if (row->events == tail->events && row->bytes >= tail->bytes) {
        shift_offsets(tail, row->bytes - tail->bytes);
    } else {
        tail->is_broken = true;
    }
}

/* Its record's seq counts the asides before it. */
static void agree_on_asides(struct tail *tail, uint64_t count)
{
    uint32_t by = (uint32_t)count - tail->aside_count;
    LIST_FOREACH (node, &tail->asides)
        CONTAINER_OF(node, struct archive_item, node)->index += by;
    tail->aside_count += by;
}

static enum err replay_row(
    struct replay *replay, struct tail *tail, const struct record *record, uint64_t lsn)
{
    struct row row;
    struct row_version *version;
    TRY(row_decode(record->payload, &row));
    if (row.number != record->number)
        return fault(ERR_CORRUPT, "row of another stream");
    TRY(replay->project(replay->context, row.project, row.project_name));
    TRY(row_version_new(&row, &version));
    drop_partial(tail);
    agree(tail, &row, is_fresh(tail));
    agree_on_asides(tail, record->seq);
    tail->id = row.id;
    tail->project = row.project;
    version->is_journalled = true;
    version->hold = ledger_hold(&tail->tails->ledger, lsn);
    tail_add_version(tail, version);
    tail_set_durable(tail, version);
    return ERR_OK;
}

/* Bodies and asides: the archiver's items, whose project is known when the row is. */
static enum err replay_item(struct tail *tail, const struct record *record, uint64_t lsn)
{
    bool is_body = record->type == RECORD_BODY;
    struct ledger *ledger = &tail->tails->ledger;
    struct archive_item *item =
        archive_item_new(is_body ? ARCHIVE_BODY : ARCHIVE_ASIDE, 0, tail->number);
    if (!item)
        return fault(ERR_NOMEM, "replayed item");
    item->position = record->seq;
    item->index = is_body ? 0 : tail->aside_count;
    buf_init(&item->bytes, record->payload.size);
    enum err err = buf_append(&item->bytes, record->payload);
    if (err != ERR_OK) {
        archive_item_free(item);
        return err;
    }
    list_append(is_body ? &tail->body : &tail->asides, &item->node);
    tail->aside_count += !is_body;
    ++*(is_body ? &tail->body_durable : &tail->asides_durable);
    uint64_t *hold = is_body ? &tail->body_hold : &tail->asides_hold;
    if (*hold == 0)
        *hold = ledger_hold(ledger, lsn);
    return ERR_OK;
}

static enum err replay_delete(struct replay *replay, const struct record *record, uint64_t lsn)
{
    struct deletion *deletion;
    TRY(deletion_decode(record, &deletion));
    deletion->hold = ledger_hold(&replay->tails->ledger, lsn);
    shipper_delete(replay->shipper, deletion, true);
    return ERR_OK;
}

enum err replay_record(struct replay *replay, const struct record *record, uint64_t lsn)
{
    struct tail *tail;
    if (record->type == RECORD_DELETE)
        return replay_delete(replay, record, lsn);
    if (record->type < RECORD_ROW || record->type > RECORD_DELETE)
        return record_type_may_be_skipped(record->type)
                   ? ERR_OK
                   : fault(ERR_UNSUPPORTED, "journal record type %d of a later version",
                         record->type);
    TRY(find_or_add(replay->tails, record->number, &tail));
    if (record->type == RECORD_ROW)
        return replay_row(replay, tail, record, lsn);
    if (record->type == RECORD_EVENT)
        return replay_event(tail, record, lsn);
    return replay_item(tail, record, lsn);
}

/* Deletions. */

static bool is_tombstone(struct slice encoded_row)
{
    struct row row;
    return row_decode(encoded_row, &row) == ERR_OK && row.state == STREAM_DELETED;
}

/* What expired, or was deleted, and is still in the journal: the store's tombstone counts. */
static enum err drop_deleted(struct replay *replay, struct store *store)
{
    struct map *map = &replay->tails->by_number;
    struct map_node *next;
    for (struct map_node *node = map_walk(map, NULL); node; node = next) {
        next = map_walk(map, node);
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (!tail->durable || stream_state_is_live(tail->durable->row.state))
            continue;
        CLEANUP(buf_deinit) struct buf bytes;
        buf_init(&bytes, ROW_BYTES_MAX);
        enum err err = store_get_row(store, tail->project, &tail->id, &bytes);
        if (err != ERR_NOTFOUND)
            TRY(err);
        if (err == ERR_OK && is_tombstone(buf_slice(&bytes)))
            tail_free(tail);
    }
    return ERR_OK;
}

/* A tail that is deleted gives its row to the store, to become the tombstone, and is not needed. */
static enum err bury(struct replay *replay, struct store_txn *txn, const struct deletion *deletion,
    const struct store_deletion *how, size_t *values_left)
{
    struct tail *tail = tails_find(replay->tails, deletion->number);
    if (tail && tail->durable) {
        if (stream_state_is_live(tail->durable->row.state))
            return ERR_OK; /* only damage leads here: mend has not ended it */
        TRY(store_put_row(txn, buf_slice(&tail->durable->bytes)));
    }
    enum err err = store_delete(txn, how, values_left);
    bool is_buried = err == ERR_OK || err == ERR_AGAIN;
    if (is_buried && tail && tail->durable)
        tail_free(tail);
    return is_buried || err == ERR_NOTFOUND || err == ERR_DENIED ? ERR_OK : err;
}

static enum err bury_all(struct replay *replay, struct store_txn *txn, int64_t tombstone_ttl_s)
{
    const struct storage_host *host = replay->tails->host;
    size_t values_left = RETENTION_STEP_VALUES;
    LIST_FOREACH (node, &replay->shipper->deletions) {
        const struct deletion *deletion = CONTAINER_OF(node, struct deletion, node);
        struct store_deletion how = {.project = deletion->project,
            .id = deletion->id,
            .reason = buf_slice(&deletion->reason),
            .now_ns = host->wall_ns(host->context),
            .tombstone_ttl_s = tombstone_ttl_s};
        TRY(bury(replay, txn, deletion, &how, &values_left));
    }
    return ERR_OK;
}

enum err replay_deletions(struct replay *replay, struct store *store, int64_t tombstone_ttl_s)
{
    struct store_txn *txn;
    TRY(drop_deleted(replay, store));
    if (list_is_empty(&replay->shipper->deletions))
        return ERR_OK;
    TRY(store_begin(store, &txn));
    enum err err = bury_all(replay, txn, tombstone_ttl_s);
    if (err == ERR_OK)
        return store_commit(txn, 0);
    store_abort(txn);
    return err;
}

/* Keys. */

static enum err compare_attempts(struct tail *tail, struct store *store)
{
    uint32_t newest;
    const struct row *row = &tail->durable->row;
    enum err err = store_newest_attempt(store, tail->project, row->key, &newest);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    tail->is_outdone = newest > row->attempt;
    return ERR_OK;
}

enum err replay_keys(struct replay *replay, struct store *store)
{
    const struct map *map = &replay->tails->by_number;
    for (struct map_node *node = map_walk(map, NULL); node; node = map_walk(map, node)) {
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail->durable && tail->durable->row.key.size)
            TRY(compare_attempts(tail, store));
    }
    return ERR_OK;
}

/* The end. */

static void note(struct replay *replay, const struct tail *tail, const char *what)
{
    const struct storage_host *host = replay->tails->host;
    char id[ID_TEXT_BYTES], message[160];
    id_format(&tail->id, id);
    (void)snprintf(message, sizeof message, "journal, stream %s (number %llx): %s", id,
        (unsigned long long)tail->number, what);
    host->log(host->context, 0, message);
}

static void name_items(struct list *items, uint32_t project)
{
    LIST_FOREACH (node, items)
        CONTAINER_OF(node, struct archive_item, node)->project = project;
}

/* The row of a live stream says what is there, as it does of any other. */
static void settle(struct replay *replay, struct tail *tail)
{
    struct row *row = &tail->durable->row;
    drop_partial(tail);
    if (tail->is_broken)
        note(replay, tail, "records are missing; it ends before them");
    tail->journalled_events = tail->durable_events = tail->events;
    tail->block_items = 2; /* what was shipped before is not known: worth a merge */
    name_items(&tail->body, tail->project);
    name_items(&tail->asides, tail->project);
    if (!stream_state_is_live(row->state)) {
        tail_seal(tail);
        tail_make_ready(tail);
        return;
    }
    row->events = tail->events;
    row->bytes = tail->bytes;
    row->last_event_ns = tail->last_event_ns;
    tail->row_position = tail->tails->commit_bytes - replay->forward_bytes;
    list_append(&tail->tails->live, &tail->live);
    tail_touch(tail);
    replay->live_streams += !row->is_appended;
}

void replay_finish(struct replay *replay)
{
    struct map *map = &replay->tails->by_number;
    struct map_node *next;
    for (struct map_node *node = map_walk(map, NULL); node; node = next) {
        next = map_walk(map, node);
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail->durable)
            settle(replay, tail);
        else
            tail_free(tail); /* a row is let go of last: all of this one is in the store */
    }
}
