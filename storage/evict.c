/* evict — see evict.h. IDs are by time, and rows lie by project, then by ID. Each project is walked
 * from `after` on for a while; the oldest candidates of all are kept, sorted:
 *
 *     project 1   after ──▶ x  c  x  c  c | horizon of 1: it was not walked to its end
 *     project 2   after ──▶ c  x  x  x  x  c  end
 *                                         ▲ the lowest horizon: what lies above it is not taken,
 *                                           since another project may have older ones            */
#include "storage/evict.h"

#include <string.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"
#include "storage/listing.h"

struct search {
    struct view *view;
    const struct id *after;
    struct store_expired *out;
    size_t count, found;
    struct id horizon; /* nothing above it is known to be oldest */
    bool has_horizon;
};

static int order(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES);
}

static void lower_horizon(struct search *search, const struct id *id)
{
    if (search->has_horizon && order(&search->horizon, id) <= 0)
        return;
    search->horizon = *id;
    search->has_horizon = true;
}

/* A row that cannot be read is for verify to report, not ours to remove. */
static bool may_go(struct slice value)
{
    struct slice content;
    struct row row;
    if (value_open(value, &content) != ERR_OK || row_decode(content, &row) != ERR_OK)
        return false;
    return !stream_state_is_live(row.state) && row.state != STREAM_DELETED && !row.is_held;
}

/* Into its place, if it is among the oldest. What falls off the end is above the horizon. */
static void keep(struct search *search, uint32_t project, const struct id *id)
{
    size_t at = search->found;
    while (at > 0 && order(&search->out[at - 1].id, id) > 0)
        at--;
    if (at == search->count)
        return;
    size_t last = search->found < search->count ? search->found : search->count - 1;
    memmove(&search->out[at + 1], &search->out[at], (last - at) * sizeof search->out[0]);
    search->out[at] = (struct store_expired){.project = project, .id = *id};
    search->found = last + 1;
}

static enum err look(struct search *search, struct walk *walk)
{
    uint32_t project;
    struct id id;
    enum err err = ERR_OK;
    for (size_t looked = 0; err == ERR_OK; err = walk_next(walk)) {
        if (!schema_row_read(walk->key, &project, &id))
            return fault(ERR_CORRUPT, "a row's key of %zu bytes", walk->key.size);
        if (order(&id, search->after) <= 0)
            continue;
        if (may_go(walk->value))
            keep(search, project, &id);
        if (++looked == EVICT_LOOK_ROWS) {
            lower_horizon(search, &id);
            return ERR_OK;
        }
    }
    return err;
}

static enum err look_at_project(void *context, uint32_t project, struct slice name)
{
    (void)name;
    struct search *search = context;
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(search->view, TABLE_ROWS, schema_rows(project), &walk));
    enum err err = walk_from(&walk, schema_row(project, search->after));
    if (err == ERR_OK)
        err = look(search, &walk);
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err evict_find(struct view *view, struct id *after, struct store_expired *out, size_t count,
    size_t *found, bool *is_end)
{
    struct search search = {.view = view, .after = after, .out = out, .count = count};
    ASSERT(count > 0);
    TRY(listing_projects(view, look_at_project, &search));
    if (search.found == count)
        lower_horizon(&search, &out[count - 1].id);
    while (search.found > 0 && search.has_horizon &&
           order(&out[search.found - 1].id, &search.horizon) > 0)
        search.found--;
    *found = search.found;
    *is_end = !search.has_horizon;
    if (search.has_horizon)
        *after = search.horizon;
    return ERR_OK;
}
