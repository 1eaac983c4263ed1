/* retain — see retain.h.
 *
 *             wall − monotonic gains > CLOCK_STEP_NS
 *   trusting ─────────────────────────────────────────▶ paused
 *            ◀─────────────────────────────────────────
 *             it is back, or CLOCK_TRUST_NS have passed   */
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

static enum err remove_one(struct retain *retain, struct store_txn *txn,
    const struct store_expired *expired, int64_t wall_ns, size_t *values_left)
{
    if (expired->is_tombstone)
        return store_drop_row(txn, expired->project, &expired->id);
    struct store_deletion deletion = {.project = expired->project,
        .id = expired->id,
        .reason = SLICE("expired"),
        .now_ns = wall_ns,
        .tombstone_ttl_s = retain->tombstone_ttl_s};
    return store_delete(txn, &deletion, values_left);
}

/* ERR_AGAIN: the budget was spent, which is well; the rest is for the next step. */
static enum err remove_all(struct retain *retain, struct store_txn *txn,
    const struct store_expired *expired, size_t count, int64_t wall_ns)
{
    size_t values_left = RETENTION_STEP_VALUES;
    for (size_t i = 0; i < count; i++) {
        enum err err = remove_one(retain, txn, &expired[i], wall_ns, &values_left);
        if (err == ERR_AGAIN)
            return ERR_OK;
        if (err == ERR_NOTFOUND) /* removed by request meanwhile */
            continue;
        TRY(err);
        retain->expired += expired[i].is_tombstone ? 0 : 1;
    }
    return ERR_OK;
}

static enum err remove_step(
    struct retain *retain, const struct store_expired *expired, size_t count, int64_t wall_ns)
{
    struct store_txn *txn;
    TRY(store_begin(retain->store, &txn));
    enum err err = remove_all(retain, txn, expired, count, wall_ns);
    if (err != ERR_OK) {
        store_abort(txn);
        return err;
    }
    return store_commit(txn, 0);
}

enum err retain_step(struct retain *retain, int64_t now_ns, int64_t wall_ns, bool *did_work)
{
    struct store_expired expired[RETENTION_STEP_STREAMS];
    size_t count;
    *did_work = false;
    if (retain->is_paused || now_ns < retain->next_ns)
        return ERR_OK;
    retain->next_ns = now_ns + retain->step_ns;
    TRY(store_expired(retain->store, wall_ns, expired, RETENTION_STEP_STREAMS, &count));
    if (count == 0)
        return ERR_OK;
    TRY(remove_step(retain, expired, count, wall_ns));
    retain->next_ns = now_ns; /* until a look finds nothing */
    *did_work = true;
    return ERR_OK;
}
