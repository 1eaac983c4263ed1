/* prediction — a ring of them by generation: the oldest makes room. */
#include "tools/mock/prediction.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PLACE      "/v1/predictions/mock"
#define STREAM_END "/stream"

struct prediction {
    struct stream_order order; /* its ticket is empty */
    uint64_t polls;            /* so many more times it is not done yet */
    uint8_t text[];            /* the model's name, the host */
};

void predictions_deinit(struct predictions *predictions)
{
    for (size_t i = 0; i < PREDICTIONS_MAX; i++)
        free(predictions->held[i]);
    *predictions = (struct predictions){0};
}

static struct slice keep(uint8_t *at, struct slice text)
{
    if (text.size)
        memcpy(at, text.data, text.size);
    return slice_of(at, text.size);
}

static struct prediction *prediction_new(const struct stream_order *order)
{
    struct slice model = order->answer.model, host = order->answer.host;
    struct prediction *one = calloc(1, sizeof *one + model.size + host.size);
    if (!one)
        return NULL;
    one->order = *order;
    one->order.ticket = (struct ticket){0};
    one->order.answer.model = keep(one->text, model);
    one->order.answer.host = keep(one->text + model.size, host);
    one->polls = order->behavior.polls;
    return one;
}

static uint64_t tokens_of(const struct stream_order *order)
{
    switch (order->behavior.fault) {
    case FAULT_ERROR: return order->behavior.fault_at;
    case FAULT_FIRST_ERROR: return 0;
    case FAULT_NONE:
    case FAULT_REFUSE:
    case FAULT_STALL:
    case FAULT_RESET:
    case FAULT_CLOSE:
    case FAULT_END:
    case FAULT_TRUNCATE:
    case FAULT_GARBAGE: break; /* these befall a reading of it */
    }
    return order->answer.events;
}

enum err prediction_begin(struct predictions *predictions, struct stats *stats,
    struct stream_order *order, struct prediction **out)
{
    bool fails = order->answer.is_failure;
    order->answer.generation = order->ticket.generation;
    struct prediction *one = prediction_new(order);
    stats_sent(stats, &order->ticket, 0, tokens_of(order));
    stats_end(stats, &order->ticket, fails ? OUTCOME_FAILED : OUTCOME_COMPLETED);
    if (!one)
        return fault(ERR_NOMEM, "a prediction");
    struct prediction **slot = &predictions->held[one->order.answer.generation % PREDICTIONS_MAX];
    free(*slot);
    *out = *slot = one;
    return ERR_OK;
}

enum err prediction_find(const struct predictions *predictions, struct slice path,
    struct prediction **out, bool *is_stream)
{
    struct slice place = SLICE(PLACE), end = SLICE(STREAM_END);
    if (!slice_has_prefix(path, place))
        return ERR_NOTFOUND;
    struct slice name = slice_sub(path, place.size, path.size);
    bool has_end =
        name.size > end.size && slice_equal(slice_sub(name, name.size - end.size, name.size), end);
    uint64_t generation;
    if (slice_u64(slice_sub(name, 0, name.size - (has_end ? end.size : 0)), &generation) != ERR_OK)
        return ERR_NOTFOUND;
    struct prediction *one = predictions->held[generation % PREDICTIONS_MAX];
    if (!one || one->order.answer.generation != generation)
        return ERR_NOTFOUND;
    *out = one;
    *is_stream = has_end;
    return ERR_OK;
}

struct stream_order prediction_order(const struct prediction *prediction)
{
    return prediction->order;
}

bool prediction_poll(struct prediction *prediction, int64_t now_ns)
{
    if (prediction->polls == 0)
        return stream_end_ns(&prediction->order) <= now_ns;
    prediction->polls--;
    return false;
}

enum err prediction_render(const struct prediction *prediction, const char *status, struct buf *out)
{
    const struct answer *answer = &prediction->order.answer;
    static const char *const places[][2] = {{"get", ""}, {"stream", STREAM_END}};
    TRY(buf_printf(out,
        "{\"id\":\"mock%" PRIu64 "\",\"model\":\"%.*s\",\"version\":\"mock\",\"input\":{},"
        "\"status\":\"%s\",\"output\":null,\"error\":null,\"logs\":\"\",\"metrics\":{},\"urls\":{",
        answer->generation, SLICE_PRINT(answer->model), status));
    for (size_t i = 0; answer->host.size && i < sizeof places / sizeof places[0]; i++)
        TRY(buf_printf(out, "%s\"%s\":\"http://%.*s" PLACE "%" PRIu64 "%s\"", i ? "," : "",
            places[i][0], SLICE_PRINT(answer->host), answer->generation, places[i][1]));
    return buf_append_text(out, "}}");
}
