/* background — a ring of them by generation: the oldest makes room. */
#include "tools/mock/background.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PLACE      "/v1/responses/"
#define NAME       "resp_mock"
#define CANCEL_END "/cancel"

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

bool background_is_place(struct slice path)
{
    return slice_has_prefix(path, SLICE(PLACE));
}

enum err background_find(const struct backgrounds *backgrounds, struct slice path,
    struct background **out, bool *is_cancel)
{
    struct slice place = SLICE(PLACE NAME), end = SLICE(CANCEL_END);
    uint64_t generation;
    if (!slice_has_prefix(path, place))
        return ERR_NOTFOUND;
    struct slice name = slice_sub(path, place.size, path.size);
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
    const struct answer *answer = &background->order.answer;
    return buf_printf(out,
        "{\"id\":\"" NAME "%08" PRIu64 "\",\"object\":\"response\",\"created_at\":%" PRId64
        ",\"status\":\"%s\",\"background\":true,\"error\":null,\"incomplete_details\":null,"
        "\"model\":\"%.*s\",\"output\":[],\"usage\":null,\"metadata\":{}}\n",
        answer->generation, answer->created_s,
        background->is_cancelled ? "cancelled" : "in_progress", SLICE_PRINT(answer->model));
}
