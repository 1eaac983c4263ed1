/* course — see course.h.
 *
 *   at ──▶ whose event is it? ──(a fork's that is not its own: its source is opened)──▶ a reader of that
 *    ▲                                                                                  stream, up to
 *    └───────────────────────────── the end of that stretch ◀─────────────────────── where the fork begins
 */
#include "server/durable/course.h"

#include <stdlib.h>

#include "server/durable/entry.h"

struct course {
    struct stream *stream;
    struct stream_watcher watcher;
    void (*wake)(void *context);
    void *context;
    uint64_t at;
    struct reader *reader;
    uint64_t end; /* of the reader's stretch */
    uint32_t index;
    bool is_last; /* of an event: what was peeked at */
    /* The way to the stream that has the next event. */
    struct stream *found;
    uint64_t limit; /* events of it that belong to this course */
    struct hub_lookup lookup;
    bool is_opening, is_inside, is_closed;
    enum err err;
};

static void watcher_wake(struct stream_watcher *watcher)
{
    struct course *course = CONTAINER_OF(watcher, struct course, watcher);
    course->wake(course->context);
}

static void reader_wake(void *context)
{
    struct course *course = context;
    course->wake(course->context);
}

enum err course_new(struct stream *stream, uint64_t at, void (*wake)(void *context), void *context,
    struct course **out)
{
    struct course *course = calloc(1, sizeof *course);
    if (!course)
        return fault(ERR_NOMEM, "course");
    course->stream = stream;
    course->at = at;
    course->wake = wake;
    course->context = context;
    course->watcher.wake = watcher_wake;
    stream_watch(stream, &course->watcher);
    *out = course;
    return ERR_OK;
}

static void course_free(struct course *course)
{
    stream_unref(course->found);
    free(course);
}

struct course *course_close(struct course *course)
{
    if (!course)
        return NULL;
    reader_close(course->reader);
    stream_unwatch(course->stream, &course->watcher);
    stream_unref(course->stream);
    course->is_closed = true;
    if (!course->is_opening)
        course_free(course);
    return NULL;
}

struct stream *course_stream(const struct course *course)
{
    return course->stream;
}

uint64_t course_at(const struct course *course)
{
    return course->at;
}

void course_park(struct course *course)
{
    course->watcher.is_parked = true;
}

/* ── whose event is it? ─────────────────────────────────────────────────────────────────────── */

static void source_opened(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct course *course = CONTAINER_OF(lookup, struct course, lookup);
    course->is_opening = false;
    if (!err && stream_is_deleted(stream))
        err = ERR_NOTFOUND;
    if (err)
        stream = stream_unref(stream);
    course->err = err;
    course->found = stream;
    if (course->is_closed)
        course_free(course);
    else if (!course->is_inside)
        course->wake(course->context);
}

/* One step from a fork to its source. */
static enum err step_to_source(struct course *course, const struct id *source, uint64_t inherited)
{
    if (course->limit > inherited)
        course->limit = inherited;
    course->found = stream_unref(course->found);
    course->lookup.done = source_opened;
    course->is_opening = course->is_inside = true;
    hub_open(stream_hub(course->stream), stream_project(course->stream), source, &course->lookup);
    course->is_inside = false;
    return course->is_opening ? ERR_AGAIN : course->err;
}

static enum err begin_stretch(struct course *course, uint64_t inherited)
{
    uint64_t end = inherited + stream_watermark(course->found);
    course->end = end < course->limit ? end : course->limit;
    if (course->at >= course->end) /* a source that has less than was inherited */
        return fault(ERR_CORRUPT, "a fork's source ends before it");
    TRY(reader_new(
        course->found, course->at - inherited, false, reader_wake, course, &course->reader));
    course->found = NULL;
    return ERR_OK;
}

static enum err find_stretch(struct course *course)
{
    if (!course->found) {
        course->found = stream_ref(course->stream);
        course->limit = UINT64_MAX;
    }
    for (;;) {
        struct id source;
        uint64_t inherited;
        TRY(entry_origin(course->found, &source, &inherited));
        if (course->at >= inherited)
            return begin_stretch(course, inherited);
        TRY(step_to_source(course, &source, inherited));
    }
}

/* ── frames ─────────────────────────────────────────────────────────────────────────────────── */

static enum err prepare(struct course *course)
{
    if (course->reader && course->at < course->end)
        return ERR_OK;
    course->reader = reader_close(course->reader);
    if (course->at >= entry_tail_visible(course->stream))
        return ERR_CLOSED;
    return find_stretch(course);
}

enum err course_peek(struct course *course, struct slice *bytes, bool *is_last)
{
    struct reader_view view;
    if (course->err)
        return course->err;
    if (course->is_opening)
        return ERR_AGAIN;
    TRY(prepare(course));
    enum err err = reader_peek(course->reader, &view);
    if (err == ERR_CLOSED) /* its stretch is not yet at its end */
        return fault(ERR_CORRUPT, "events are missing that a stream is to have");
    TRY(err);
    *bytes = block_frame(view.block, view.index);
    *is_last = course->is_last = !(view.block->frames[view.index].flags & FRAME_MORE);
    course->index = view.index;
    return ERR_OK;
}

void course_take(struct course *course)
{
    reader_take(course->reader, course->index + 1);
    course->at += course->is_last;
}
