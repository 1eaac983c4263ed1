#include "server/run/runbook.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"

enum { STEP_LINE_BYTES = 80 }; /* of a step's record but its name and its key, about */

void runbook_init(struct runbook *book)
{
    *book = (struct runbook){0};
    map_init(&book->steps_by_name);
    map_init(&book->checkpoints_by_name);
    list_init(&book->steps);
    list_init(&book->checkpoints);
}

static void checkpoint_free(struct runbook *book, struct run_checkpoint *checkpoint)
{
    list_unlink(&checkpoint->node);
    map_remove(&book->checkpoints_by_name, &checkpoint->by_name);
    book->live_bytes -= checkpoint->event_bytes;
    book->bytes -= sizeof *checkpoint + checkpoint->name.size + checkpoint->content_type.size +
                   checkpoint->offsets.size;
    free(checkpoint);
}

void runbook_deinit(struct runbook *book)
{
    struct list *node;
    while ((node = list_pop(&book->steps)))
        free(CONTAINER_OF(node, struct run_step, node));
    while (!list_is_empty(&book->checkpoints))
        checkpoint_free(book, CONTAINER_OF(book->checkpoints.next, struct run_checkpoint, node));
    map_deinit(&book->steps_by_name);
    map_deinit(&book->checkpoints_by_name);
    free((void *)(uintptr_t)book->forked_from.data);
}

struct run_step *runbook_step(const struct runbook *book, struct slice name)
{
    struct map_node *node = map_first(&book->steps_by_name, map_hash(name));
    for (; node; node = map_next(node)) {
        struct run_step *step = CONTAINER_OF(node, struct run_step, by_name);
        if (slice_equal(step->name, name))
            return step;
    }
    return NULL;
}

struct run_checkpoint *runbook_checkpoint(const struct runbook *book, struct slice name)
{
    if (slice_equal(name, SLICE("latest")))
        return list_is_empty(&book->checkpoints)
                   ? NULL
                   : CONTAINER_OF(book->checkpoints.prev, struct run_checkpoint, node);
    struct map_node *node = map_first(&book->checkpoints_by_name, map_hash(name));
    for (; node; node = map_next(node)) {
        struct run_checkpoint *checkpoint = CONTAINER_OF(node, struct run_checkpoint, by_name);
        if (slice_equal(checkpoint->name, name))
            return checkpoint;
    }
    return NULL;
}

/* ── records ────────────────────────────────────────────────────────────────────────────────── */

/* The texts lie behind the struct, in its allocation. */
static struct slice keep(uint8_t **at, struct slice text)
{
    struct slice kept = {*at, text.size};
    if (text.size)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

static enum err add_step(
    struct runbook *book, struct slice name, struct slice key, bool is_inherited)
{
    if (runbook_step(book, name))
        return ERR_OK;
    size_t bytes = sizeof(struct run_step) + name.size + key.size;
    struct run_step *step = calloc(1, bytes);
    if (!step)
        return fault(ERR_NOMEM, "a run's step");
    uint8_t *at = (uint8_t *)(step + 1);
    step->name = keep(&at, name);
    step->key = keep(&at, key);
    step->is_inherited = is_inherited;
    enum err err = map_insert(&book->steps_by_name, &step->by_name, map_hash(name));
    if (err) {
        free(step);
        return err;
    }
    list_append(&book->steps, &step->node);
    book->bytes += bytes;
    book->live_bytes += STEP_LINE_BYTES + name.size + key.size;
    return ERR_OK;
}

static enum err put_checkpoint(struct runbook *book, const struct run_record *record, uint64_t seq)
{
    struct slice name = record->name, type = record->content_type, offsets = record->offsets;
    size_t bytes = sizeof(struct run_checkpoint) + name.size + type.size + offsets.size;
    struct run_checkpoint *checkpoint = calloc(1, bytes);
    if (!checkpoint)
        return fault(ERR_NOMEM, "a run's checkpoint");
    uint8_t *at = (uint8_t *)(checkpoint + 1);
    checkpoint->name = keep(&at, name);
    checkpoint->content_type = keep(&at, type);
    checkpoint->offsets = keep(&at, offsets);
    checkpoint->id = record->id;
    checkpoint->version = record->version;
    checkpoint->seq = seq;
    checkpoint->size = record->blob.size;
    checkpoint->event_bytes = record->event_bytes;
    checkpoint->at_ms = record->at_ms;
    struct run_checkpoint *older = runbook_checkpoint(book, name);
    enum err err = map_insert(&book->checkpoints_by_name, &checkpoint->by_name, map_hash(name));
    if (err) {
        free(checkpoint);
        return err;
    }
    if (older)
        checkpoint_free(book, older);
    list_append(&book->checkpoints, &checkpoint->node);
    book->bytes += bytes;
    book->version = record->version;
    book->live_bytes += record->event_bytes;
    return ERR_OK;
}

static enum err set_origin(struct runbook *book, struct slice from, struct slice at)
{
    uint8_t *text = malloc(from.size + at.size);
    if (!text)
        return fault(ERR_NOMEM, "a run's origin");
    free((void *)(uintptr_t)book->forked_from.data);
    book->forked_from = keep(&text, from);
    book->forked_at = keep(&text, at);
    return ERR_OK;
}

/* Those of a fork are all inherited; a head says which. */
static enum err add_steps(struct runbook *book, const struct run_record *record)
{
    const struct json *step = json_at(record->steps_read, 0);
    for (; step; step = json_next(step)) {
        struct slice name = json_text(json_get(step, "step")),
                     key = json_text(json_get(step, "key"));
        int64_t replays = json_int(json_get(step, "replays"), 0);
        bool is_inherited = json_bool(json_get(step, "inherited"), record->type == RUN_FORK);
        if (name.size == 0 || key.size == 0)
            continue;
        TRY(add_step(book, name, key, is_inherited));
        runbook_step(book, name)->replays += (uint64_t)replays;
    }
    return ERR_OK;
}

static enum err begin_with(struct runbook *book, const struct run_record *record)
{
    if (record->version > book->version)
        book->version = record->version;
    if (record->from.size)
        TRY(set_origin(book, record->from, record->at));
    return add_steps(book, record);
}

enum err runbook_apply(struct runbook *book, const struct run_record *record, uint64_t seq)
{
    struct run_checkpoint *checkpoint;
    struct run_step *step;
    book->recorded_bytes += record->event_bytes;
    switch (record->type) {
    case RUN_STEP: return add_step(book, record->step, record->key, false);
    case RUN_REPLAY:
        if ((step = runbook_step(book, record->step)))
            step->replays++;
        return ERR_OK;
    case RUN_CHECKPOINT: return put_checkpoint(book, record, seq);
    case RUN_DELETE:
        if ((checkpoint = runbook_checkpoint(book, record->name)))
            checkpoint_free(book, checkpoint);
        return ERR_OK;
    case RUN_FORK:
    case RUN_HEAD: return begin_with(book, record);
    }
    return ERR_OK;
}

void runbook_moved(struct runbook *book, uint64_t recorded_bytes)
{
    LIST_FOREACH (node, &book->checkpoints) {
        struct run_checkpoint *checkpoint = CONTAINER_OF(node, struct run_checkpoint, node);
        checkpoint->seq = checkpoint->moved_to;
    }
    book->recorded_bytes = recorded_bytes;
}

/* ── forks and keys ─────────────────────────────────────────────────────────────────────────── */

/* Up to and with `last`, or all. */
static enum err write_steps(
    const struct runbook *book, const struct run_step *last, bool is_head, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '[');
    LIST_FOREACH (node, &book->steps) {
        const struct run_step *step = CONTAINER_OF(node, struct run_step, node);
        json_open(&writer, '{');
        json_key(&writer, "step");
        json_string(&writer, step->name);
        json_key(&writer, "key");
        json_string(&writer, step->key);
        if (is_head) {
            json_key(&writer, "replays");
            json_unsigned(&writer, step->replays);
            json_key(&writer, "inherited");
            json_boolean(&writer, step->is_inherited);
        }
        json_close(&writer, '}');
        if (step == last)
            break;
    }
    json_close(&writer, ']');
    return writer.err;
}

enum err runbook_head_steps(const struct runbook *book, struct buf *out)
{
    return write_steps(book, NULL, true, out);
}

enum err runbook_fork_steps(const struct runbook *book, struct slice at, struct buf *out)
{
    const struct run_step *last = runbook_step(book, at);
    return last ? write_steps(book, last, false, out) : ERR_NOTFOUND;
}

void run_key(const struct id *run, struct slice step, char out[RUN_KEY_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];
    struct slice parts[] = {id_slice(run), step};
    sha256_parts(parts, 2, digest);
    memcpy(out, "run-", 4);
    hex_encode(slice_of(digest, sizeof digest), out + 4);
}
