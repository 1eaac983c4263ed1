/* tail — see tail.h for the picture of a tail's blocks, and storage.h for what is promised. Here:
 * the tails, their row versions, what a commit brings, and which list a tail is in on its way to
 * the store. tail_block.c has the blocks, tail_write.c what comes in.
 *
 * Invariants:
 *   shipped_events ≤ durable_events ≤ journalled_events ≤ events
 *   the last `queued_frames` frames of the blocks are not journalled, all others are
 *   a live tail's newest durable row holds its stretch of the journal, shipped or not: the journal
 *   names each live stream, but one that has been reopened and not written to (reopen.h). An ended tail's does until all of the tail is shipped: whatever replay
 *   finds of a stream, it finds its row too                                                     */
#include "storage/tail.h"

#include <stdlib.h>

#include "storage/tail_block.h"
#include "storage/tail_write.h"

/* The tails. */

void tails_init(struct tails *tails, const struct storage_host *host, bool is_memory)
{
    *tails = (struct tails){.host = host,
        .is_memory = is_memory,
        .share_bytes = BULK_SHARE_BYTES,
        .queue_bytes_max = WRITE_QUEUE_BYTES_MAX};
    map_init(&tails->by_number);
    list_init(&tails->changed);
    list_init(&tails->writing);
    list_init(&tails->aging);
    list_init(&tails->ready);
    list_init(&tails->live);
    list_init(&tails->leaving);
}

void tails_deinit(struct tails *tails)
{
    struct map_node *next;
    for (struct map_node *node = map_walk(&tails->by_number, NULL); node; node = next) {
        next = map_walk(&tails->by_number, node);
        tail_free(CONTAINER_OF(node, struct tail, by_number));
    }
    map_deinit(&tails->by_number);
    ledger_deinit(&tails->ledger);
}

static uint64_t hash_number(uint64_t number)
{
    return map_hash(slice_of(&number, sizeof number));
}

struct tail *tails_find(const struct tails *tails, uint64_t number)
{
    struct map_node *node = map_first(&tails->by_number, hash_number(number));
    for (; node; node = map_next(node)) {
        struct tail *tail = CONTAINER_OF(node, struct tail, by_number);
        if (tail->number == number)
            return tail;
    }
    return NULL;
}

enum err tails_add(struct tails *tails, uint64_t number, struct tail **out)
{
    struct tail *tail = aligned_alloc(alignof(struct tail), sizeof *tail);
    if (!tail)
        return fault(ERR_NOMEM, "tail");
    *tail = (struct tail){.tails = tails, .number = number, .next_capacity = BLOCK_CAPACITY_MIN};
    list_init(&tail->changed);
    list_init(&tail->writing);
    list_init(&tail->ship);
    list_init(&tail->live);
    list_init(&tail->versions);
    list_init(&tail->body);
    list_init(&tail->asides);
    tail->body_next = &tail->body;
    enum err err = map_insert(&tails->by_number, &tail->by_number, hash_number(number));
    if (err != ERR_OK) {
        free(tail);
        return err;
    }
    *out = tail;
    return ERR_OK;
}

static void free_items(struct list *items)
{
    struct list *node;
    while ((node = list_pop(items)))
        archive_item_free(CONTAINER_OF(node, struct archive_item, node));
}

struct tail *tail_free(struct tail *tail)
{
    if (!tail)
        return NULL;
    struct ledger *ledger = &tail->tails->ledger;
    tail_drop_queued_body(tail);
    tail_drop_blocks(tail, tail->block_count);
    ledger_release(ledger, &tail->body_hold);
    ledger_release(ledger, &tail->asides_hold);
    ledger_release(ledger, &tail->forward_hold);
    struct list *node;
    while ((node = list_pop(&tail->versions))) {
        struct row_version *version = CONTAINER_OF(node, struct row_version, node);
        ledger_release(ledger, &version->hold);
        row_version_free(version);
    }
    free_items(&tail->body);
    free_items(&tail->asides);
    list_unlink(&tail->changed);
    list_unlink(&tail->writing);
    list_unlink(&tail->ship);
    list_unlink(&tail->live);
    map_remove(&tail->tails->by_number, &tail->by_number);
    free(tail->blocks);
    free(tail);
    return NULL;
}

/* Row versions. */

enum err row_version_new(const struct row *row, struct row_version **out)
{
    struct row_version *version = calloc(1, sizeof *version);
    if (!version)
        return fault(ERR_NOMEM, "row version");
    list_init(&version->node);
    buf_init(&version->bytes, ROW_BYTES_MAX);
    enum err err = row_encode(row, &version->bytes);
    if (err == ERR_OK)
        err = row_decode(buf_slice(&version->bytes), &version->row);
    if (err != ERR_OK) {
        row_version_free(version);
        return err;
    }
    *out = version;
    return ERR_OK;
}

struct row_version *row_version_free(struct row_version *version)
{
    if (!version)
        return NULL;
    ASSERT(list_is_empty(&version->node));
    buf_deinit(&version->bytes);
    free(version);
    return NULL;
}

struct row_version *tail_newest(const struct tail *tail)
{
    return list_is_empty(&tail->versions)
               ? NULL
               : CONTAINER_OF(tail->versions.prev, struct row_version, node);
}

void tail_add_version(struct tail *tail, struct row_version *version)
{
    list_append(&tail->versions, &version->node);
    version->place = ++tail->version_count;
    tail->queued_rows += !version->is_journalled;
    tail->is_closed = !stream_state_is_live(version->row.state);
}

void tail_set_durable(struct tail *tail, struct row_version *version)
{
    tail->durable = version;
    while (tail->versions.next != &version->node) {
        struct list *node = list_pop(&tail->versions);
        struct row_version *old = CONTAINER_OF(node, struct row_version, node);
        ledger_release(&tail->tails->ledger, &old->hold);
        row_version_free(old);
    }
}

/* What a commit brought. */

void tail_set_changed(struct tail *tail)
{
    if (list_is_empty(&tail->changed))
        list_append(&tail->tails->changed, &tail->changed);
}

static void row_is_durable(struct tail *tail)
{
    struct list *node = tail->durable ? tail->durable->node.next : tail->versions.next;
    ASSERT(node != &tail->versions);
    struct row_version *version = CONTAINER_OF(node, struct row_version, node);
    ASSERT(version->is_journalled);
    tail_set_durable(tail, version);
    if (!stream_state_is_live(version->row.state))
        tail_seal(tail);
}

void tail_durable(struct tail *tail, enum ledger_kind kind)
{
    switch (kind) {
    case LEDGER_PART: return;
    case LEDGER_EVENT: tail->durable_events++; break;
    case LEDGER_ROW: row_is_durable(tail); break;
    case LEDGER_FORWARD:
        ledger_release(&tail->tails->ledger, &tail->durable->hold);
        tail->durable->hold = tail->forward_hold;
        tail->forward_hold = 0;
        tail->tails->is_forwarded = true;
        tail_check_leaving(tail);
        return;
    case LEDGER_ASIDE: tail->asides_durable++; break;
    case LEDGER_BODY: tail->body_durable++; break;
    case LEDGER_DELETE: ASSERT(false); /* its owner is no tail */
    }
    ASSERT(tail->durable_events <= tail->journalled_events);
    bool is_visible = kind == LEDGER_EVENT || kind == LEDGER_ROW;
    if (is_visible && !tail->tails->is_memory)
        tail_set_changed(tail);
    tail_check_ready(tail);
}

/* On the way to the store. */

bool tail_is_ended_durably(const struct tail *tail)
{
    return tail->is_closed && tail->durable && !stream_state_is_live(tail->durable->row.state);
}

bool tail_has_unshipped(const struct tail *tail)
{
    size_t blocks = tail->block_count - tail->shipped_blocks - (tail_has_empty_block(tail) ? 1 : 0);
    return blocks > 0 || !list_is_empty(&tail->body) || !list_is_empty(&tail->asides) ||
           !tail_newest(tail)->is_shipped;
}

void tail_set_place(struct tail *tail, enum tail_place place)
{
    struct tails *tails = tail->tails;
    struct list *to[] = {[TAIL_CLEAN] = NULL,
        [TAIL_AGING] = &tails->aging,
        [TAIL_READY] = &tails->ready,
        [TAIL_LEAVING] = &tails->leaving};
    ASSERT(tail->place != TAIL_LEAVING);
    list_unlink(&tail->ship);
    if (to[place])
        list_append(to[place], &tail->ship);
    if (place == TAIL_AGING)
        tail->aging_since_ns = tails->host->now_ns(tails->host->context);
    tail->place = place;
}

void tail_touch(struct tail *tail)
{
    if (tail->place == TAIL_CLEAN)
        tail_set_place(tail, TAIL_AGING);
}

void tail_make_ready(struct tail *tail)
{
    if (tail->place == TAIL_READY)
        return;
    for (size_t i = tail->shipped_blocks; i < tail->block_count; i++)
        tail->tails->ready_bytes += tail_block_at(tail, i)->block->size;
    if (tail_is_ended_durably(tail))
        tail->tails->is_ended_ready = true;
    tail_set_place(tail, TAIL_READY);
}

/* Whether its full blocks fill a stored value: then they go before they are old. */
static bool has_much(const struct tail *tail)
{
    uint64_t worth_bytes = tail->shipped_bytes + SHIP_STREAM_BYTES;
    if (tail->bytes < worth_bytes || (tail->open && tail->open->first_offset < worth_bytes))
        return false;
    size_t full = tail->block_count - (tail->open ? 1 : 0);
    return full > tail->shipped_blocks && tail_block_is_shippable(tail, full - 1);
}

void tail_check_ready(struct tail *tail)
{
    if (tail->place == TAIL_READY || tail->is_finished)
        return;
    bool is_old = tail->is_aged && tail->shipped_blocks < tail->block_count &&
                  tail_block_is_shippable(tail, tail->shipped_blocks);
    if (is_old || has_much(tail) || tail_is_ended_durably(tail))
        tail_make_ready(tail);
}

/* All of it is durable and in the store, and no record or shipment of it is on its way. */
static bool is_at_rest(const struct tail *tail)
{
    return tail->durable && tail->durable == tail_newest(tail) &&
           tail->durable_events == tail->events && tail->flights == 0 && !tail->forward_hold &&
           !tail_has_unshipped(tail);
}

void tail_check_leaving(struct tail *tail)
{
    if (!tail->is_unwanted || tail->is_closed || tail->place == TAIL_LEAVING || !is_at_rest(tail))
        return;
    tail_seal(tail);
    tail_set_place(tail, TAIL_LEAVING);
}

void tail_set_wanted(struct tail *tail, bool is_wanted)
{
    ASSERT(tail_row(tail)->is_appended);
    tail->is_unwanted = !is_wanted;
    if (is_wanted && tail->place == TAIL_LEAVING && !tail->is_closed) {
        list_unlink(&tail->ship);
        tail->place = TAIL_CLEAN;
    }
    tail_check_leaving(tail);
}

/* Looking. */

static uint64_t visible_events(const struct tail *tail)
{
    return tail->tails->is_memory ? tail->events : tail->durable_events;
}

static const struct row_version *visible_row(const struct tail *tail)
{
    return tail->tails->is_memory ? tail_newest(tail) : tail->durable;
}

const struct row *tail_row(const struct tail *tail)
{
    return &tail_newest(tail)->row;
}

bool tail_is_row_durable(const struct tail *tail)
{
    return visible_row(tail) == tail_newest(tail);
}

const struct row *tail_durable_row(const struct tail *tail)
{
    const struct row_version *version = visible_row(tail);
    return version ? &version->row : NULL;
}

uint64_t tail_events(const struct tail *tail)
{
    return tail->events;
}

int64_t tail_last_event_ns(const struct tail *tail)
{
    return tail->last_event_ns;
}

uint64_t tail_watermark(const struct tail *tail)
{
    return visible_events(tail);
}

struct tail_mark tail_given(const struct tail *tail)
{
    return (struct tail_mark){tail->events, tail->version_count};
}

bool tail_shows(const struct tail *tail, struct tail_mark mark)
{
    const struct row_version *version = visible_row(tail);
    return visible_events(tail) >= mark.events && version && version->place >= mark.rows;
}

bool tail_has_ended(const struct tail *tail)
{
    const struct row_version *version = tail->is_closed ? visible_row(tail) : NULL;
    return version && !stream_state_is_live(version->row.state);
}

void tail_set_owner(struct tail *tail, void *owner)
{
    tail->owner = owner;
}

bool tail_is_outdone(const struct tail *tail)
{
    return tail->is_outdone;
}

void *tail_owner(const struct tail *tail)
{
    return tail->owner;
}
