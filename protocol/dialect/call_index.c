/* call_index — see the header. Requests hold thousands of calls, and whoever writes them chooses
 * their IDs: hence no search along the list. */
#include "protocol/dialect/call_index.h"

struct named {
    struct map_node node; /* first */
    const struct neutral_part *part;
};

void call_index_init(struct call_index *index)
{
    map_init(&index->map);
    arena_init(&index->arena, NEUTRAL_REQUEST_BYTES_MAX);
}

void call_index_deinit(struct call_index *index)
{
    map_deinit(&index->map);
    arena_deinit(&index->arena);
}

static struct named *find(const struct call_index *index, struct slice id)
{
    struct map_node *node = map_first(&index->map, map_hash(id));
    for (; node; node = map_next(node))
        if (slice_equal(((struct named *)node)->part->id, id))
            return (struct named *)node;
    return NULL;
}

enum err call_index_note(struct call_index *index, const struct neutral_part *part)
{
    struct named *named = find(index, part->id);
    void *taken;
    if (!named) {
        TRY(arena_take(&index->arena, sizeof *named, &taken));
        named = taken;
        named->part = part;
        TRY(map_insert(&index->map, &named->node, map_hash(part->id)));
    }
    named->part = part;
    return ERR_OK;
}

const struct neutral_part *call_index_find(const struct call_index *index, struct slice id)
{
    const struct named *named = find(index, id);
    return named ? named->part : NULL;
}
