/* scrub — see scrub.h. Tables are walked one after another, round after round, in slices: each is a
 * read transaction of its own that notes what is damaged, and ends before a writing one marks it.
 *
 *     slice   walk on from `last` until the budget is spent ─▶ findings ─▶ mark ─▶ found()
 *
 *   budget   bytes_per_s × time since the last step, at most one slice's worth; an entry costs what
 *            its value has, and a little for itself
 *   news     what no round before has told; so that a log is not filled with what is known                                         */
#include "storage/scrub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/table.h"

enum {
    SCRUB_FINDINGS_MAX = 64, /* of one slice; it ends when they are used up */
    ENTRY_COST_BYTES = 64,
    SCRUB_WAIT_NS = 100 * 1000 * 1000,
    NS_PER_S = 1000 * 1000 * 1000,
};
/* From the start of one round to that of the next, at least. */
#define SCRUB_ROUND_NS (3600ll * NS_PER_S)

struct finding {
    enum table table;
    struct schema_key key;
};

struct scrub {
    struct store *store;
    uint64_t bytes_per_s;
    void (*found)(void *context, const struct id *id, const char *what, bool is_news);
    void *context;
    enum table table;       /* where it stands */
    int64_t round_ns;       /* the round that is under way, or waited for, begins then */
    struct schema_key last; /* the last entry that was checked; size 0: none of this table */
    int64_t last_ns;
    uint64_t budget;
    struct finding findings[SCRUB_FINDINGS_MAX];
    size_t finding_count;
    struct scrub_status status;
};

enum err scrub_new(struct store *store, uint64_t bytes_per_s,
    void (*found)(void *context, const struct id *id, const char *what, bool is_news),
    void *context, struct scrub **out)
{
    ASSERT(bytes_per_s > 0 && found);
    struct scrub *scrub = calloc(1, sizeof *scrub);
    if (!scrub)
        return fault(ERR_NOMEM, "a scrubber");
    scrub->store = store;
    scrub->bytes_per_s = bytes_per_s;
    scrub->found = found;
    scrub->context = context;
    *out = scrub;
    return ERR_OK;
}

struct scrub *scrub_free(struct scrub *scrub)
{
    free(scrub);
    return NULL;
}

static bool is_first_round(const struct scrub *scrub)
{
    return scrub->status.rounds == 0;
}

/* ---- A slice ---- */

static void note(struct scrub *scrub, const struct walk *walk)
{
    struct finding *finding = &scrub->findings[scrub->finding_count++];
    finding->table = walk->table;
    finding->key.size =
        walk->key.size < sizeof finding->key.bytes ? walk->key.size : sizeof finding->key.bytes;
    memcpy(finding->key.bytes, walk->key.data, finding->key.size);
}

static void check(struct scrub *scrub, const struct walk *walk)
{
    struct slice content;
    struct row row;
    uint64_t cost = walk->value.size + ENTRY_COST_BYTES;
    bool is_whole = walk->table == TABLE_EXPIRY || value_open(walk->value, &content) == ERR_OK;
    if (is_whole && walk->table == TABLE_ROWS) {
        is_whole = row_decode(content, &row) == ERR_OK;
        if (is_whole && row.damage.size && is_first_round(scrub))
            scrub->status.damaged++; /* found by an earlier run */
    }
    if (!is_whole)
        note(scrub, walk);
    scrub->budget -= cost < scrub->budget ? cost : scrub->budget;
    scrub->status.bytes += walk->value.size;
    scrub->status.values++;
}

static enum err walk_on(struct walk *walk, const struct schema_key *last)
{
    if (last->size == 0)
        return walk_first(walk);
    TRY(walk_from(walk, *last));
    return slice_equal(walk->key, schema_key_slice(last)) ? walk_next(walk) : ERR_OK;
}

/* ERR_NOTFOUND: the table's end was reached. */
static enum err check_some(struct scrub *scrub, struct view *view)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(view, scrub->table, (struct schema_key){.size = 0}, &walk));
    TRY(walk_on(&walk, &scrub->last));
    for (;;) {
        check(scrub, &walk);
        if (walk.key.size <= sizeof scrub->last.bytes) {
            scrub->last.size = walk.key.size;
            memcpy(scrub->last.bytes, walk.key.data, walk.key.size);
        }
        if (scrub->budget == 0 || scrub->finding_count == SCRUB_FINDINGS_MAX)
            return ERR_OK;
        TRY(walk_next(&walk));
    }
}

static void next_table(struct scrub *scrub)
{
    scrub->last.size = 0;
    scrub->table = (enum table)(scrub->table + 1);
    if (scrub->table < TABLE_COUNT)
        return;
    scrub->table = (enum table)0;
    scrub->status.rounds++;
    scrub->round_ns += SCRUB_ROUND_NS; /* a small store is not gone over again and again */
    scrub->budget = 0;
}

static enum err read_slice(struct scrub *scrub)
{
    struct view *view;
    TRY(view_begin(store_tables(scrub->store), false, &view));
    enum err err = check_some(scrub, view);
    view_abort(view);
    return err;
}

/* ---- What was found ---- */

static void describe(const struct finding *finding, char *what, size_t size)
{
    uint32_t project, part;
    uint64_t number, seq;
    const char *table = schema_table_name(finding->table);
    if (schema_block_read(schema_key_slice(&finding->key), &project, &number, &seq, &part))
        (void)snprintf(what, size, "%s from %" PRIu64 ".%" PRIu32 " on", table, seq, part);
    else
        (void)snprintf(what, size, "an entry of the table %s", table);
}

static enum err mark(struct scrub *scrub, uint32_t project, uint64_t number, const char *what,
    struct id *id, bool *is_news)
{
    struct store_txn *txn;
    TRY(store_begin(scrub->store, &txn));
    enum err err = store_mark_damage(txn, project, number, slice_text(what), id, is_news);
    if (err != ERR_OK || !*is_news) {
        store_abort(txn);
        return err;
    }
    return store_commit(txn, 0);
}

/* Of a row it is known whose it is, but there is nothing left to mark. */
static enum err tell(struct scrub *scrub, const struct finding *finding)
{
    char what[DAMAGE_TEXT_BYTES];
    struct slice key = schema_key_slice(&finding->key);
    struct id id;
    bool is_news = is_first_round(scrub);
    uint32_t project, part;
    uint64_t number, seq;
    enum err err = ERR_NOTFOUND;
    describe(finding, what, sizeof what);
    if (finding->table == TABLE_ROWS && schema_row_read(key, &project, &id))
        err = ERR_OK;
    else if (schema_block_read(key, &project, &number, &seq, &part))
        err = mark(scrub, project, number, what, &id, &is_news);
    if (err != ERR_OK && err != ERR_NOTFOUND)
        return err;
    if (is_news)
        scrub->status.damaged++;
    scrub->found(scrub->context, err == ERR_OK ? &id : NULL, what, is_news);
    return ERR_OK;
}

static enum err tell_all(struct scrub *scrub)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < scrub->finding_count && err == ERR_OK; i++)
        err = tell(scrub, &scrub->findings[i]);
    scrub->finding_count = 0;
    return err;
}

/* ---- Steps ---- */

static void earn(struct scrub *scrub, int64_t now_ns)
{
    int64_t passed_ns = scrub->last_ns ? now_ns - scrub->last_ns : SCRUB_WAIT_NS;
    scrub->last_ns = now_ns;
    if (scrub->round_ns == 0)
        scrub->round_ns = now_ns;
    if (passed_ns <= 0 || now_ns < scrub->round_ns)
        return;
    if (scrub->table == 0 && scrub->last.size == 0)
        scrub->round_ns = now_ns; /* the next one may begin so much later */
    uint64_t passed_us = passed_ns < NS_PER_S ? (uint64_t)passed_ns / 1000 : 1000000;
    scrub->budget += scrub->bytes_per_s / 1000000 * passed_us +
                     scrub->bytes_per_s % 1000000 * passed_us / 1000000;
    if (scrub->budget > SCRUB_STEP_BYTES)
        scrub->budget = SCRUB_STEP_BYTES;
}

enum err scrub_step(struct scrub *scrub, int64_t now_ns)
{
    earn(scrub, now_ns);
    while (scrub->budget > 0) {
        enum err err = read_slice(scrub);
        if (err != ERR_OK)
            next_table(scrub);
        if (err == ERR_OK || err == ERR_NOTFOUND)
            err = tell_all(scrub);
        TRY(err);
    }
    return ERR_OK;
}

int64_t scrub_wait_ns(const struct scrub *scrub)
{
    (void)scrub;
    return SCRUB_WAIT_NS;
}

void scrub_status(const struct scrub *scrub, struct scrub_status *out)
{
    *out = scrub->status;
}
