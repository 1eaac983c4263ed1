/* fold — a list of parts that grows, each with its own buffers. */
#include "protocol/dialect/fold.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES_MAX = 4096 /* of an ID, a name, an error's message: longer ones are refused */ };

void fold_init(struct fold *fold, enum fold_depth depth)
{
    *fold = (struct fold){.depth = depth, .usage = NEUTRAL_USAGE_UNKNOWN};
    buf_init(&fold->id, WORD_BYTES_MAX);
    buf_init(&fold->model, WORD_BYTES_MAX);
    buf_init(&fold->stop, WORD_BYTES_MAX);
    buf_init(&fold->error_code, WORD_BYTES_MAX);
    buf_init(&fold->error_message, NEUTRAL_FRAME_BYTES_MAX);
    buf_init(&fold->told.items, FOLD_BYTES_MAX);
    buf_init(&fold->told.open_id, WORD_BYTES_MAX);
}

static void part_deinit(struct fold_part *part)
{
    buf_deinit(&part->text);
    buf_deinit(&part->id);
    buf_deinit(&part->name);
    buf_deinit(&part->format);
    buf_deinit(&part->opaque);
}

void fold_deinit(struct fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        part_deinit(&fold->parts[i]);
    free(fold->parts);
    buf_deinit(&fold->id);
    buf_deinit(&fold->model);
    buf_deinit(&fold->stop);
    buf_deinit(&fold->error_code);
    buf_deinit(&fold->error_message);
    buf_deinit(&fold->told.items);
    buf_deinit(&fold->told.open_id);
}

static enum err set(struct buf *out, struct slice text)
{
    buf_clear(out);
    return buf_append(out, text);
}

static enum err grow(struct fold *fold)
{
    size_t capacity = fold->capacity ? 2 * fold->capacity : 4;
    if (capacity > FOLD_PARTS_MAX)
        return ERR_LIMIT;
    struct fold_part *parts = realloc(fold->parts, capacity * sizeof *parts);
    if (!parts)
        return fault(ERR_NOMEM, "%zu parts of a response", capacity);
    fold->parts = parts;
    fold->capacity = capacity;
    return ERR_OK;
}

static bool keeps(const struct fold *fold, enum neutral_part_kind kind)
{
    return fold->depth == FOLD_EVERYTHING ||
           (fold->depth == FOLD_REASONING && kind == NEUTRAL_REASONING);
}

static struct fold_part *last(struct fold *fold)
{
    ASSERT(fold->count > 0); /* a sequence begins a part before it says more of it */
    return &fold->parts[fold->count - 1];
}

static enum err append(struct fold *fold, struct buf *out, struct slice text)
{
    if (text.size > FOLD_BYTES_MAX - fold->bytes)
        return ERR_LIMIT;
    TRY(buf_append(out, text));
    fold->bytes += text.size;
    return ERR_OK;
}

static enum err seal(struct fold *fold, const struct neutral_event *event)
{
    struct fold_part *part = last(fold);
    TRY(set(&part->format, event->format));
    TRY(set(&part->id, event->id));
    buf_clear(&part->opaque);
    return append(fold, &part->opaque, event->text);
}

static enum err begin(struct fold *fold, const struct neutral_event *event)
{
    if (fold->depth == FOLD_REASONING && fold->count > 0) {
        part_deinit(&fold->parts[--fold->count]);
        fold->bytes = 0;
    }
    if (fold->count == fold->capacity)
        TRY(grow(fold));
    struct fold_part *part = &fold->parts[fold->count++];
    *part = (struct fold_part){.kind = event->part, .is_redacted = event->is_redacted};
    buf_init(&part->text, FOLD_BYTES_MAX);
    buf_init(&part->id, WORD_BYTES_MAX);
    buf_init(&part->name, WORD_BYTES_MAX);
    buf_init(&part->format, WORD_BYTES_MAX);
    buf_init(&part->opaque, FOLD_BYTES_MAX);
    if (event->is_redacted)
        return seal(fold, event);
    TRY(set(&part->id, event->id));
    return set(&part->name, event->name);
}

static enum err start(struct fold *fold, const struct neutral_event *event)
{
    fold->is_started = true;
    fold->created_s = event->created_s;
    TRY(set(&fold->id, event->id));
    return set(&fold->model, event->model);
}

static enum err fail(struct fold *fold, const struct neutral_error *error)
{
    fold->is_failed = true;
    fold->status = error->status;
    TRY(set(&fold->error_code, error->code));
    return set(&fold->error_message, error->message);
}

enum err fold_event(struct fold *fold, const struct neutral_event *event)
{
    switch (event->kind) {
    case NEUTRAL_START: return start(fold, event);
    case NEUTRAL_BEGIN: return keeps(fold, event->part) ? begin(fold, event) : ERR_OK;
    case NEUTRAL_DELTA:
        return keeps(fold, event->part) ? append(fold, &last(fold)->text, event->text) : ERR_OK;
    case NEUTRAL_SEAL: return keeps(fold, event->part) ? seal(fold, event) : ERR_OK;
    case NEUTRAL_END: return ERR_OK;
    case NEUTRAL_USAGE: fold->usage = event->usage; return ERR_OK;
    case NEUTRAL_FINISH:
        fold->is_finished = true;
        fold->finish = event->finish;
        return set(&fold->stop, event->text);
    case NEUTRAL_DONE: fold->is_done = true; return ERR_OK;
    case NEUTRAL_ERROR: return fail(fold, &event->error);
    }
    return ERR_OK;
}

const struct fold_part *fold_last(const struct fold *fold)
{
    return fold->count > 0 ? &fold->parts[fold->count - 1] : NULL;
}
