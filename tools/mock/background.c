/* background — a ring of them by generation: the oldest makes room. */
#include "tools/mock/background.h"

#include <stdlib.h>
#include <string.h>

#define CANCEL_END "/cancel"

/* Where they are, and how their IDs begin. */
static const struct {
    const char *path, *name;
} places[] = {{"/v1/responses/", "resp_mock"}, {"/v1beta/interactions/", "v1_mock"}};
enum { PLACES = sizeof places / sizeof places[0] };

struct background {
    struct stream_order order; /* its ticket is empty */
    uint64_t readings;         /* begun */
    uint64_t puts_off;         /* so many readings more */
    bool is_cancelled;
    uint8_t model[];
};

void backgrounds_deinit(struct backgrounds *backgrounds)
{
    for (size_t i = 0; i < BACKGROUNDS_MAX; i++)
        free(backgrounds->held[i]);
    *backgrounds = (struct backgrounds){0};
}

enum err background_begin(
    struct backgrounds *backgrounds, struct stats *stats, struct stream_order *order)
{
    struct slice model = order->answer.model;
    uint64_t generation = order->ticket.generation;
    struct background *one = calloc(1, sizeof *one + model.size);
    stats_sent(stats, &order->ticket, 0, order->answer.events);
    stats_end(stats, &order->ticket, OUTCOME_COMPLETED);
    if (!one)
        return fault(ERR_NOMEM, "a response in the background");
    order->ticket = (struct ticket){0};
    order->answer.generation = generation;
    order->answer.is_background = true;
    one->order = *order;
    one->puts_off = order->behavior.busy;
    memcpy(one->model, model.data, model.size);
    one->order.answer.model = slice_of(one->model, model.size);
    struct background **slot = &backgrounds->held[generation % BACKGROUNDS_MAX];
    free(*slot);
    *slot = one;
    *order = background_read(one, 0);
    return ERR_OK;
}

/* The ID in a path of one, and what follows it.  answers ERR_NOTFOUND */
static enum err find_name(struct slice path, struct slice *name)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct slice place = slice_text(places[i].path), begin = slice_text(places[i].name);
        if (!slice_has_prefix(path, place))
            continue;
        struct slice rest = slice_sub(path, place.size, path.size);
        bool is_ours = slice_has_prefix(rest, begin);
        *name = is_ours ? slice_sub(rest, begin.size, rest.size) : SLICE_NONE;
        return ERR_OK;
    }
    return ERR_NOTFOUND;
}

bool background_is_place(struct slice path)
{
    struct slice name;
    return find_name(path, &name) == ERR_OK;
}

enum err background_find(const struct backgrounds *backgrounds, struct slice path,
    struct background **out, bool *is_cancel)
{
    struct slice name, end = SLICE(CANCEL_END);
    uint64_t generation;
    TRY(find_name(path, &name));
    bool has_end =
        name.size > end.size && slice_equal(slice_sub(name, name.size - end.size, name.size), end);
    if (slice_u64(slice_sub(name, 0, name.size - (has_end ? end.size : 0)), &generation))
        return ERR_NOTFOUND;
    struct background *one = backgrounds->held[generation % BACKGROUNDS_MAX];
    if (!one || one->order.answer.generation != generation || one->order.behavior.is_forgotten)
        return ERR_NOTFOUND;
    *out = one;
    *is_cancel = has_end;
    return ERR_OK;
}

bool background_is_busy(struct background *background)
{
    if (background->puts_off == 0)
        return false;
    background->puts_off--;
    return true;
}

struct stream_order background_read(struct background *background, uint64_t from)
{
    struct stream_order order = background->order;
    order.from = from;
    if (background->readings++ >= order.behavior.cuts)
        order.behavior.fault = FAULT_NONE;
    if (background->is_cancelled)
        order.behavior = (struct behavior){.fault = FAULT_END, .burst = 1};
    return order;
}

void background_cancel(struct background *background)
{
    background->is_cancelled = true;
}

enum err background_render(const struct background *background, struct buf *out)
{
    return buf_printf(out, "{\"status\":\"%s\",\"background\":true,\"model\":\"%.*s\"}\n",
        background->is_cancelled ? "cancelled" : "in_progress",
        SLICE_PRINT(background->order.answer.model));
}
