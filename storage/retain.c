/* retain — see retain.h.
 *
 *             wall − monotonic gains > CLOCK_STEP_NS
 *   trusting ─────────────────────────────────────────▶ paused
 *            ◀─────────────────────────────────────────
 *             it is back, or CLOCK_TRUST_NS have passed
 *
 * Size knows no clock: the oldest go while the store uses more than it may, paused or not. */
#include "storage/retain.h"

void retain_init(
    struct retain *retain, struct store *store, int64_t step_ns, int64_t tombstone_ttl_s)
{
    *retain =
        (struct retain){.store = store, .step_ns = step_ns, .tombstone_ttl_s = tombstone_ttl_s};
}

bool retain_watch(struct retain *retain, int64_t now_ns, int64_t wall_ns)
{
    int64_t gap_ns = wall_ns - now_ns;
    bool was_paused = retain->is_paused;
    bool is_ahead = retain->has_gap && gap_ns - retain->gap_ns > CLOCK_STEP_NS;
    if (is_ahead && !was_paused)
        retain->paused_at_ns = now_ns;
    retain->is_paused = is_ahead && (!was_paused || now_ns - retain->paused_at_ns < CLOCK_TRUST_NS);
    if (!retain->is_paused) {
        retain->gap_ns = gap_ns; /* drift, and steps back, are followed */
        retain->has_gap = true;
    }
    return retain->is_paused != was_paused;
}

void retain_limit(struct retain *retain, uint64_t bytes_max)
{
    retain->bytes_max = bytes_max;
}

/* ---- Removing ---- */

/* What one step removes, and why. */
struct removal {
    struct store_expired streams[RETENTION_STEP_STREAMS];
    size_t count;
    struct slice reason;
    int64_t wall_ns;
    uint64_t *counter;
};

static enum err remove_one(struct retain *retain, struct store_txn *txn,
    const struct removal *removal, const struct store_expired *stream, size_t *values_left)
{
    if (stream->is_tombstone)
        return store_drop_row(txn, stream->project, &stream->id);
    struct store_deletion deletion = {.project = stream->project,
        .id = stream->id,
        .reason = removal->reason,
        .now_ns = removal->wall_ns,
        .tombstone_ttl_s = retain->tombstone_ttl_s};
    return store_delete(txn, &deletion, values_left);
}

/* ERR_AGAIN of one: the budget was spent, which is well; the rest is for the next step. */
static enum err remove_all(
    struct retain *retain, struct store_txn *txn, const struct removal *removal, uint64_t *removed)
{
    size_t values_left = RETENTION_STEP_VALUES;
    for (size_t i = 0; i < removal->count; i++) {
        const struct store_expired *stream = &removal->streams[i];
        enum err err = remove_one(retain, txn, removal, stream, &values_left);
        if (err == ERR_AGAIN)
            return ERR_OK;
        if (err == ERR_NOTFOUND || err == ERR_DENIED) /* removed or held by request meanwhile */
            continue;
        TRY(err);
        *removed += stream->is_tombstone ? 0 : 1;
    }
    return ERR_OK;
}

static enum err remove_step(struct retain *retain, const struct removal *removal)
{
    struct store_txn *txn;
    uint64_t removed = 0;
    TRY(store_begin(retain->store, &txn));
    enum err err = remove_all(retain, txn, removal, &removed);
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    TRY(store_commit(txn, 0));
    *removal->counter += removed;
    return ERR_OK;
}

static enum err expire(struct retain *retain, int64_t wall_ns, bool *did_work)
{
    struct removal removal = {
        .reason = SLICE("expired"), .wall_ns = wall_ns, .counter = &retain->expired};
    TRY(store_expired(
        retain->store, wall_ns, removal.streams, RETENTION_STEP_STREAMS, &removal.count));
    *did_work = removal.count > 0;
    return removal.count ? remove_step(retain, &removal) : ERR_OK;
}

static bool is_too_large(const struct retain *retain)
{
    struct store_size size;
    if (retain->bytes_max == 0)
        return false;
    store_size(retain->store, &size);
    return size.used_bytes > retain->bytes_max;
}

/* A stream whose removal is cut short by the budget is finished by the next expire. */
static enum err evict(struct retain *retain, int64_t wall_ns, bool *did_work)
{
    bool is_end;
    struct removal removal = {
        .reason = SLICE("evicted"), .wall_ns = wall_ns, .counter = &retain->evicted};
    if (!is_too_large(retain))
        return ERR_OK;
    TRY(store_oldest(retain->store, &retain->evicted_to, removal.streams, EVICT_STEP_STREAMS,
        &removal.count, &is_end));
    if (removal.count)
        TRY(remove_step(retain, &removal));
    *did_work = removal.count > 0 || !is_end;
    if (is_end) /* what was live or held may have changed */
        retain->evicted_to = (struct id){0};
    return ERR_OK;
}

enum err retain_step(struct retain *retain, int64_t now_ns, int64_t wall_ns, bool *did_work)
{
    *did_work = false;
    if (now_ns < retain->next_ns)
        return ERR_OK;
    retain->next_ns = now_ns + retain->step_ns;
    if (!retain->is_paused)
        TRY(expire(retain, wall_ns, did_work));
    if (!*did_work)
        TRY(evict(retain, wall_ns, did_work));
    if (*did_work)
        retain->next_ns = now_ns; /* until a look finds nothing */
    return ERR_OK;
}
