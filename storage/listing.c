/* listing — see listing.h. Rows lie by project, then by ID, which is by time. One project is a walk
 * backwards; all projects are as many walks, of which the one that stands on the newest ID is read
 * and moved on. */
#include "storage/listing.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/bounds.h"

enum err listing_projects(struct view *view,
    enum err (*visit)(void *context, uint32_t number, struct slice name), void *context)
{
    CLEANUP(walk_end) struct walk walk = {0};
    TRY(walk_begin(view, TABLE_META, schema_meta(META_PROJECT), &walk));
    enum err err;
    for (err = walk_first(&walk); err == ERR_OK; err = walk_next(&walk)) {
        uint32_t number;
        struct slice name;
        if (!schema_project_read(walk.key, &number))
            return fault(ERR_CORRUPT, "a project's key of %zu bytes", walk.key.size);
        TRY(value_open(walk.value, &name));
        TRY(visit(context, number, name));
    }
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* One project's rows: the walk stands on the next to be given, while there is one. */
struct lane {
    struct walk walk;
    bool has_row;
};

struct lanes {
    struct view *view;
    const struct id *before;
    struct lane *lanes;
    size_t count;
};

static void lanes_deinit(struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        walk_end(&lanes->lanes[i].walk);
    free(lanes->lanes);
}

/* ERR_NOTFOUND, of a walk at its end, is not an error here. */
static enum err lane_settle(struct lane *lane, enum err err)
{
    lane->has_row = err == ERR_OK;
    return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err lane_start(struct lane *lane, uint32_t project, const struct id *before)
{
    if (!before)
        return lane_settle(lane, walk_last(&lane->walk));
    struct schema_key key = schema_row(project, before);
    enum err err = walk_upto(&lane->walk, key);
    if (err == ERR_OK && slice_equal(lane->walk.key, schema_key_slice(&key)))
        err = walk_previous(&lane->walk);
    return lane_settle(lane, err);
}

static enum err lanes_add(void *context, uint32_t project, struct slice name)
{
    (void)name;
    struct lanes *lanes = context;
    if (lanes->count == LIST_PROJECTS_MAX)
        return ERR_LIMIT;
    struct lane *grown = realloc(lanes->lanes, (lanes->count + 1) * sizeof *grown);
    if (!grown)
        return fault(ERR_NOMEM, "a listing");
    lanes->lanes = grown;
    struct lane *lane = &grown[lanes->count];
    TRY(walk_begin(lanes->view, TABLE_ROWS, schema_rows(project), &lane->walk));
    lanes->count++;
    return lane_start(lane, project, lanes->before);
}

static struct lane *lanes_newest(const struct lanes *lanes)
{
    struct lane *newest = NULL;
    uint32_t project;
    struct id id, newest_id = {0};
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->lanes[i];
        if (!lane->has_row || !schema_row_read(lane->walk.key, &project, &id))
            continue;
        if (!newest || memcmp(id.bytes, newest_id.bytes, ID_BYTES) > 0) {
            newest = lane;
            newest_id = id;
        }
    }
    return newest;
}

static enum err lane_visit(const struct lane *lane, const struct listing_visit *visit)
{
    struct slice content;
    struct row row;
    TRY(value_open(lane->walk.value, &content));
    TRY(row_decode(content, &row));
    return visit->visit(visit->context, &row);
}

enum err listing_rows(
    struct view *view, uint32_t project, const struct id *before, const struct listing_visit *visit)
{
    CLEANUP(lanes_deinit) struct lanes lanes = {.view = view, .before = before};
    if (project)
        TRY(lanes_add(&lanes, project, SLICE_NONE));
    else
        TRY(listing_projects(view, lanes_add, &lanes));
    for (size_t looked = 0; looked < visit->rows_max; looked++) {
        struct lane *lane = lanes_newest(&lanes);
        if (!lane)
            return ERR_OK;
        enum err err = lane_visit(lane, visit);
        if (err == ERR_CLOSED)
            return ERR_OK;
        TRY(err);
        TRY(lane_settle(lane, walk_previous(&lane->walk)));
    }
    return ERR_OK;
}
