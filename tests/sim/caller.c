/* caller — see caller.h. */
#include "tests/sim/caller.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/generation.h"

void caller_leave(struct caller *caller)
{
    caller->reader = reader_close(caller->reader);
    buf_deinit(&caller->event);
}

void callers_leave(struct history *history)
{
    for (int i = 0; i < READERS_MAX; i++)
        if (history->callers[i].reader)
            caller_leave(&history->callers[i]);
    for (int i = 0; i < MODEL_STREAMS_MAX; i++)
        if (history->deletes[i].stream)
            history->deletes[i].stream = stream_unref(history->deletes[i].stream);
}

static void caller_woken(void *context)
{
    ((struct caller *)context)->is_woken = true;
}

static void caller_take(struct caller *caller, const struct reader_view *view)
{
    struct model *model = &caller->history->model;
    for (uint32_t i = view->index; i < view->end; i++) {
        ASSERT(buf_append(&caller->event, block_frame(view->block, i)) == ERR_OK);
        if (view->block->frames[i].flags & FRAME_MORE)
            continue;
        if (block_seq(view->block, i) != caller->seq)
            model_problem(model, caller->tag, "event %" PRIu64 " after %" PRIu64,
                block_seq(view->block, i), caller->seq);
        model_saw_event(model, caller->tag, caller->seq++, buf_slice(&caller->event));
        buf_clear(&caller->event);
    }
}

static void caller_ended(struct caller *caller, enum err err)
{
    struct history *history = caller->history;
    struct model *model = &history->model;
    const struct stream *stream = reader_stream(caller->reader);
    const struct model_stream *known = &model->streams[caller->tag];
    bool may_be_gone =
        known->is_delete_asked || known->ttl_s > 0 || model->may_evict || model->is_rotten;
    if (err == ERR_CLOSED && caller->follows && !stream_is_deleted(stream) &&
        (!stream_has_ended(stream) || caller->seq != stream_watermark(stream)))
        model_problem(model, caller->tag, "a reader was told the end at %" PRIu64, caller->seq);
    if (err != ERR_CLOSED && !(err == ERR_FULL && history->is_stuck) &&
        !(err_is_fault(err) && history->store.is_stopped) && !(err == ERR_NOTFOUND && may_be_gone))
        model_problem(model, caller->tag, "a reader at %" PRIu64 " of %" PRIu64 " got %s",
            caller->seq, known->visible, err_name(err));
    caller_leave(caller);
}

void caller_pull(struct caller *caller, uint64_t views)
{
    struct reader_view view;
    for (; views > 0; views--) {
        enum err err = reader_peek(caller->reader, &view);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) {
            caller_ended(caller, err);
            return;
        }
        caller_take(caller, &view);
        reader_take(caller->reader, view.end);
    }
}

static struct caller *caller_free_place(struct history *history)
{
    for (int i = 0; i < READERS_MAX; i++)
        if (!history->callers[i].reader)
            return &history->callers[i];
    return NULL;
}

/* Takes over the reference. */
struct caller *caller_attach(
    struct history *history, struct stream *stream, uint64_t from, bool follows)
{
    struct caller *caller = caller_free_place(history);
    if (!caller) {
        stream_unref(stream);
        return NULL;
    }
    *caller = (struct caller){.history = history,
        .tag = model_tag(&stream_row(stream)->id),
        .seq = from,
        .follows = follows};
    bool is_past = from > stream_watermark(stream);
    enum err err = reader_new(stream, from, follows, caller_woken, caller, &caller->reader);
    if ((err == ERR_LIMIT) != is_past)
        model_problem(
            &history->model, caller->tag, "attaching at %" PRIu64 ": %s", from, err_name(err));
    if (err != ERR_OK) {
        stream_unref(stream);
        return NULL;
    }
    buf_init(&caller->event, MODEL_EVENT_BYTES_MAX);
    return caller;
}

/* ---- finding, and what is then done ---------------------------------------------------------- */

struct errand {
    struct hub_lookup lookup;
    struct history *history;
    enum intent intent;
    uint32_t tag; /* but CLAIM */
    int key;      /* CLAIM */
    bool *is_done;
};

static void delete_asked(struct storage_query *query, enum err err)
{
    struct deleting *deleting = query->owner;
    struct row row;
    deleting->is_asking = false;
    bool is_buried = err == ERR_OK && row_decode(buf_slice(&query->bytes), &row) == ERR_OK &&
                     row.state == STREAM_DELETED;
    buf_deinit(&query->bytes);
    if (!is_buried || deleting->history->is_dead)
        return;
    deleting->history->model.streams[deleting->tag].is_delete_durable = true;
    deleting->stream = stream_unref(deleting->stream);
}

void caller_ask_for_tombstones(struct history *history)
{
    for (uint32_t i = 0; i < history->model.count; i++) {
        struct deleting *deleting = &history->deletes[i];
        if (!deleting->stream || deleting->is_asking)
            continue;
        deleting->query = (struct storage_query){.kind = STORAGE_ROW,
            .project = history->project.number,
            .id = history->model.streams[i].id,
            .done = delete_asked,
            .owner = deleting};
        deleting->is_asking = storage_query(history->storage, &deleting->query) == ERR_OK;
    }
}

static void delete_found(struct history *history, uint32_t tag, struct stream *stream)
{
    struct deleting *deleting = &history->deletes[tag];
    if (stream_is_deleted(stream) || deleting->stream)
        return;
    enum err err = stream_delete(stream, "deleted");
    if (err != ERR_OK)
        return;
    history->model.streams[tag].is_delete_asked = true;
    *deleting = (struct deleting){.history = history, .stream = stream_ref(stream), .tag = tag};
}

static void claimed(struct errand *errand, enum err err, struct stream *stream)
{
    struct history *history = errand->history;
    bool is_over = err == ERR_OK && stream_has_ended(stream) &&
                   (stream_is_deleted(stream) || stream_row(stream)->state != STREAM_COMPLETED);
    if (err == ERR_OK || err == ERR_NOTFOUND)
        model_key(&history->model, errand->key, stream ? &stream_row(stream)->id : NULL);
    if (err == ERR_NOTFOUND || (is_over && one_in(history, 2)))
        generation_begin(history, errand->key, stream);
    else if (stream && !stream_is_deleted(stream))
        (void)caller_attach(history, stream_ref(stream), 0, true);
}

static void found(struct errand *errand, struct stream *stream)
{
    struct history *history = errand->history;
    uint64_t from = below(history, stream_watermark(stream) + 2);
    switch (errand->intent) {
    case CHECK:
        if (!stream_is_deleted(stream))
            (void)caller_attach(history, stream_ref(stream), 0, true);
        break;
    case ATTACH:
        if (!stream_is_deleted(stream))
            (void)caller_attach(history, stream_ref(stream), from, !one_in(history, 3));
        break;
    case STOP:
        history->model.streams[errand->tag].is_stop_asked |=
            stream_stop(stream, "stopped", "a caller asked for it");
        break;
    case DELETE: delete_found(history, errand->tag, stream); break;
    case CLAIM: break;
    }
}

static void errand_done(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct errand *errand = CONTAINER_OF(lookup, struct errand, lookup);
    struct history *history = errand->history;
    if (errand->is_done)
        *errand->is_done = true;
    if (history->is_dead)
        ; /* nobody is told */
    else if (errand->intent == CLAIM)
        claimed(errand, err, stream);
    else if (err == ERR_NOTFOUND)
        model_gone(&history->model, errand->tag, false, loop_wall_ns(history->loop));
    else if (err == ERR_OK) {
        process_look(history, stream);
        found(errand, stream);
    }
    if (stream)
        stream_unref(stream);
    free(errand);
}

static struct errand *errand_new(struct history *history, enum intent intent)
{
    struct errand *errand = calloc(1, sizeof *errand);
    ASSERT(errand);
    errand->history = history;
    errand->intent = intent;
    errand->lookup.done = errand_done;
    return errand;
}

void caller_go(struct history *history, enum intent intent, uint32_t tag, bool *is_done)
{
    struct errand *errand = errand_new(history, intent);
    errand->tag = tag;
    errand->is_done = is_done;
    hub_open(history->hub, &history->project, &history->model.streams[tag].id, &errand->lookup);
}

void caller_claim(struct history *history)
{
    struct errand *errand = errand_new(history, CLAIM);
    errand->key = (int)below(history, KEYS);
    hub_claim(
        history->hub, &history->project, slice_text(generation_keys[errand->key]), &errand->lookup);
}

static void hold_done(void *owner, enum err err)
{
    struct holding *holding = owner;
    struct history *history = holding->history;
    holding->history = NULL;
    if (err == ERR_OK && !history->is_dead)
        history->model.streams[holding->tag].is_held = holding->is_held;
}

void caller_hold(struct history *history, uint32_t tag)
{
    struct model_stream *stream = &history->model.streams[tag];
    struct holding *holding = &history->holds[tag];
    if (holding->history || !stream->is_row_visible || stream->is_delete_asked)
        return;
    *holding = (struct holding){history, tag, !stream->is_held};
    stream->is_held = false; /* neither is promised meanwhile */
    struct storage_amendment amendment = {.project = history->project.number,
        .id = stream->id,
        .number = stream->number,
        .kind = holding->is_held ? AMEND_HOLD : AMEND_RELEASE,
        .done = hold_done,
        .owner = holding};
    if (storage_amend(history->storage, &amendment) != ERR_OK)
        holding->history = NULL;
}
