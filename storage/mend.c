/* mend — see the header. A tail is compared with the stored row of its stream, whose counts are in
 * the same transaction as its blocks: what it says is there can be read.                       */
#include "storage/mend.h"

#include <inttypes.h>
#include <stdio.h>

#include "protocol/base/own.h"
#include "storage/tail_block.h"

enum { MESSAGE_BYTES = 200, DETAIL_BYTES = 100 };

struct mend {
    struct tails *tails;
    struct store *store;
    uint64_t failed;
};

static void note(struct mend *mend, const char *name, const char *what, uint64_t events)
{
    const struct storage_host *host = mend->tails->host;
    char message[MESSAGE_BYTES];
    mend->failed++;
    (void)snprintf(message, sizeof message,
        "the journal is damaged, stream %s: %s; %" PRIu64 " events of it can be read", name, what,
        events);
    host->log(host->context, 0, message);
}

/* A row that only just fitted gives up what readers need least. */
static enum err make_version(struct row *row, struct row_version **out)
{
    enum err err = row_version_new(row, out);
    if (err != ERR_LIMIT)
        return err;
    row->head = row->metadata = SLICE_NONE;
    return row_version_new(row, out);
}

/* The failed row takes the place of `from` in the tail, and what that one holds of the journal. */
static enum err fail(struct mend *mend, struct tail *tail, const struct row *from, uint64_t *hold)
{
    const struct storage_host *host = mend->tails->host;
    struct row_version *version;
    struct row row = *from;
    char detail[DETAIL_BYTES], id[ID_TEXT_BYTES];
    int size = snprintf(detail, sizeof detail,
        "the journal was damaged: events from %" PRIu64 " on are lost", tail->events);
    row.state = STREAM_FAILED;
    row.reason = SLICE("corrupt");
    row.detail = slice_of(detail, (size_t)size);
    row.finish_reason = SLICE_NONE;
    row.ended_ns = host->wall_ns(host->context);
    row.events = tail->events;
    row.bytes = tail->bytes;
    row.last_event_ns = tail->last_event_ns;
    TRY(make_version(&row, &version));
    version->is_journalled = true;
    version->hold = *hold;
    *hold = 0;
    tail_add_version(tail, version);
    tail_set_durable(tail, version);
    id_format(&tail->id, id);
    note(mend, id, "events are missing", tail->events);
    return ERR_OK;
}

/* Only what the store has counts: the tail begins, and ends, there. */
static void cut_to_stored(struct tail *tail, const struct row *stored)
{
    tail_drop_blocks(tail, tail->block_count);
    tail->partial_parts = 0;
    tail->partial_bytes = 0;
    tail->events = tail->shipped_events = stored->events;
    tail->bytes = tail->shipped_bytes = stored->bytes;
    tail->last_event_ns = stored->last_event_ns;
}

/* Pieces of a request body that do not follow on each other, or on what is stored, are useless. */
static enum err mend_body(struct mend *mend, struct block_codec *codec, struct tail *tail)
{
    if (list_is_empty(&tail->body))
        return ERR_OK;
    CLEANUP(buf_deinit) struct buf before;
    buf_init(&before, FRAGMENT_BYTES_MAX);
    uint64_t end = CONTAINER_OF(tail->body.next, struct archive_item, node)->position;
    enum err err = end == 0 ? ERR_OK
                            : store_get_body(mend->store, codec, tail->project, tail->number,
                                  end - 1, &before);
    bool is_cut = err == ERR_NOTFOUND || err == ERR_CLOSED;
    if (err != ERR_OK && !is_cut)
        return err;
    LIST_FOREACH_SAFE (node, &tail->body) {
        struct archive_item *item = CONTAINER_OF(node, struct archive_item, node);
        is_cut |= item->position != end;
        end += item->bytes.size;
        if (!is_cut)
            continue;
        list_unlink(&item->node);
        archive_item_free(item);
        tail->body_durable--;
    }
    return ERR_OK;
}

static uint64_t first_event(const struct tail *tail)
{
    return tail->block_count ? tail_block_at(tail, 0)->block->first_seq : tail->events;
}

/* Offsets of a tail that never met a row that fits it still count from its first event. */
static bool is_placed(const struct tail *tail, const struct row *stored)
{
    uint64_t first = first_event(tail);
    return first == 0 || (first == stored->events && tail->block_count > 0 &&
                             tail_block_at(tail, 0)->block->first_offset == stored->bytes);
}

static enum err mend_tail(struct mend *mend, struct block_codec *codec, struct tail *tail)
{
    CLEANUP(buf_deinit) struct buf bytes;
    struct row stored = {0};
    buf_init(&bytes, ROW_BYTES_MAX);
    tail_drop_blocks(tail, tail->partial_parts);
    tail->partial_parts = 0;
    tail->partial_bytes = 0;
    enum err err = store_get_row(mend->store, tail->project, &tail->id, &bytes);
    if (err == ERR_OK)
        TRY(row_decode(buf_slice(&bytes), &stored));
    else if (err != ERR_NOTFOUND)
        return err;
    if (err == ERR_OK && !stream_state_is_live(stored.state)) {
        tail_free(tail); /* a final row is stored last: all of it is there */
        return ERR_OK;
    }
    TRY(mend_body(mend, codec, tail));
    bool has_gap = first_event(tail) > stored.events;
    if (!has_gap && !tail->is_broken)
        return ERR_OK;
    if (has_gap || !is_placed(tail, &stored))
        cut_to_stored(tail, &stored);
    tail->is_broken = false; /* it is told here */
    return fail(mend, tail, &tail->durable->row, &tail->durable->hold);
}

static void lose(struct mend *mend, struct tail *tail)
{
    char name[32];
    (void)snprintf(name, sizeof name, "number %" PRIx64, tail->number);
    if (tail->block_count > 0)
        note(mend, name, "its row is lost, unless it is stored", 0);
    tail_free(tail);
}

static enum err mend_tails(struct mend *mend, struct block_codec *codec)
{
    struct map *map = &mend->tails->by_number;
    struct map_node *next;
    for (struct map_node *node = map_walk(map, NULL); node; node = next) {
        next = map_walk(map, node);
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail->durable)
            TRY(mend_tail(mend, codec, tail));
        else
            lose(mend, tail);
    }
    return ERR_OK;
}

/* A stored row that says live, of a stream that the journal does not name any more. An open one that a
 * client writes is at rest there, as far as can be known. */
static enum err adopt(void *context, const struct row *row)
{
    struct mend *mend = context;
    struct tail *tail;
    if (!stream_state_is_live(row->state) || row->is_appended ||
        tails_find(mend->tails, row->number))
        return ERR_OK;
    TRY(tails_add(mend->tails, row->number, &tail));
    tail->id = row->id;
    tail->project = row->project;
    cut_to_stored(tail, row);
    uint64_t hold = ledger_hold(&mend->tails->ledger, store_absorbed_lsn(mend->store) + 1);
    enum err err = fail(mend, tail, row, &hold);
    if (err != ERR_OK) {
        ledger_release(&mend->tails->ledger, &hold);
        tail_free(tail);
    }
    return err;
}

void mend_expect(const struct store *store, struct journal_recovery *found)
{
    if (found->last_lsn >= store_closed_lsn(store))
        return;
    found->corrupt_batches++;
    found->missing_batches++;
    found->torn_batches = 0; /* that was it */
}

enum err mend_run(struct tails *tails, struct store *store, uint64_t *failed)
{
    struct mend mend = {.tails = tails, .store = store};
    struct block_codec *codec;
    TRY(block_codec_new(1, &codec));
    enum err err = mend_tails(&mend, codec);
    block_codec_free(codec);
    if (err == ERR_OK)
        err = store_list(store, 0, NULL, SIZE_MAX, adopt, &mend);
    *failed = mend.failed;
    return err;
}
