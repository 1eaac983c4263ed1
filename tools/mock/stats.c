/* stats — totals, and a table of models by name. An open generation holds a reference to its
 * model's row; a reset takes every row out of the table, and the last reference frees it. */
#include "tools/mock/stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/map.h"
#include "tools/mock/bounds.h"
#include "tools/mock/escape.h"

struct counts {
    uint64_t requests;
    uint64_t generations;
    uint64_t tokens;
    uint64_t ends[OUTCOME_COUNT];
};

struct stats_model {
    struct map_node node;
    struct counts counts;
    size_t references; /* open generations, and the table */
    size_t name_size;
    uint8_t name[];
};

struct stats {
    struct map models;
    struct counts total;
    uint64_t rejected;
    uint64_t events_sent;
    uint64_t active;
    uint64_t generation; /* the last one given out */
    uint64_t epoch;
};

static struct stats_model *model_of(struct map_node *node)
{
    return CONTAINER_OF(node, struct stats_model, node);
}

static void model_unref(struct stats_model *model)
{
    ASSERT(model->references > 0);
    if (--model->references == 0)
        free(model);
}

static struct stats_model *model_find(const struct stats *stats, struct slice name)
{
    for (struct map_node *node = map_first(&stats->models, map_hash(name)); node;
         node = map_next(node)) {
        struct stats_model *model = model_of(node);
        if (slice_equal(name, slice_of(model->name, model->name_size)))
            return model;
    }
    return NULL;
}

static enum err model_add(struct stats *stats, struct slice name, struct stats_model **out)
{
    struct stats_model *model = calloc(1, sizeof *model + name.size);
    if (!model)
        return fault(ERR_NOMEM, "a model's row");
    model->references = 1;
    model->name_size = name.size;
    memcpy(model->name, name.data, name.size);
    enum err err = map_insert(&stats->models, &model->node, map_hash(name));
    if (err != ERR_OK) {
        free(model);
        return err;
    }
    *out = model;
    return ERR_OK;
}

/* NULL in `out` when the table is full. */
static enum err model_get(struct stats *stats, struct slice name, struct stats_model **out)
{
    *out = model_find(stats, name);
    if (*out || stats->models.count >= MODELS_MAX)
        return ERR_OK;
    return model_add(stats, name, out);
}

struct stats *stats_new(void)
{
    struct stats *stats = calloc(1, sizeof *stats);
    if (stats)
        map_init(&stats->models);
    return stats;
}

struct stats *stats_free(struct stats *stats)
{
    if (!stats)
        return NULL;
    stats_reset(stats);
    map_deinit(&stats->models);
    free(stats);
    return NULL;
}

void stats_request(struct stats *stats)
{
    stats->total.requests++;
}

void stats_rejected(struct stats *stats)
{
    stats->rejected++;
}

enum err stats_attempt(struct stats *stats, struct slice model, uint64_t *before)
{
    struct stats_model *row;
    TRY(model_get(stats, model, &row));
    *before = row ? row->counts.requests++ : UINT64_MAX;
    return ERR_OK;
}

enum err stats_begin(struct stats *stats, struct slice model, struct ticket *out)
{
    struct stats_model *row;
    TRY(model_get(stats, model, &row));
    if (row) {
        row->references++;
        row->counts.generations++;
    }
    stats->total.generations++;
    stats->active++;
    stats->generation++;
    *out = (struct ticket){stats->generation, stats->epoch, row};
    return ERR_OK;
}

void stats_sent(struct stats *stats, const struct ticket *ticket, uint64_t events, uint64_t tokens)
{
    if (ticket->model)
        ticket->model->counts.tokens += tokens;
    if (ticket->generation == 0 || ticket->epoch != stats->epoch)
        return;
    stats->events_sent += events;
    stats->total.tokens += tokens;
}

void stats_end(struct stats *stats, struct ticket *ticket, enum outcome outcome)
{
    if (ticket->generation == 0)
        return;
    ASSERT(stats->active > 0);
    stats->active--;
    if (ticket->epoch == stats->epoch)
        stats->total.ends[outcome]++;
    if (ticket->model) {
        ticket->model->counts.ends[outcome]++;
        model_unref(ticket->model);
    }
    *ticket = (struct ticket){0};
}

void stats_reset(struct stats *stats)
{
    struct map_node *node = map_walk(&stats->models, NULL);
    while (node) {
        struct map_node *next = map_walk(&stats->models, node);
        map_remove(&stats->models, node);
        model_unref(model_of(node));
        node = next;
    }
    stats->total = (struct counts){0};
    stats->rejected = 0;
    stats->events_sent = 0;
    stats->epoch++;
}

static enum err render_counts(const struct counts *counts, struct buf *out)
{
    return buf_printf(out,
        "\"requests\":%" PRIu64 ",\"generations\":%" PRIu64 ",\"tokens\":%" PRIu64
        ",\"completed\":%" PRIu64 ",\"aborted\":%" PRIu64 ",\"failed\":%" PRIu64,
        counts->requests, counts->generations, counts->tokens, counts->ends[OUTCOME_COMPLETED],
        counts->ends[OUTCOME_ABORTED], counts->ends[OUTCOME_FAILED]);
}

enum err stats_render(const struct stats *stats, struct buf *out)
{
    TRY(buf_append_byte(out, '{'));
    TRY(render_counts(&stats->total, out));
    TRY(buf_printf(out,
        ",\"active\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"events_sent\":%" PRIu64
        ",\"by_model\":{",
        stats->active, stats->rejected, stats->events_sent));
    const char *separator = "";
    for (struct map_node *node = map_walk(&stats->models, NULL); node;
         node = map_walk(&stats->models, node)) {
        const struct stats_model *model = model_of(node);
        TRY(buf_append_text(out, separator));
        TRY(escape_json_quoted(slice_of(model->name, model->name_size), out));
        TRY(buf_append_text(out, ":{"));
        TRY(render_counts(&model->counts, out));
        TRY(buf_append_byte(out, '}'));
        separator = ",";
    }
    return buf_append_text(out, "}}\n");
}
