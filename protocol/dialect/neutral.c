/* neutral — reports and seals. */
#include "protocol/dialect/neutral.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- reports ---- */

void neutral_report_init(struct neutral_report *report)
{
    *report = (struct neutral_report){0};
    buf_init(&report->left_out, NEUTRAL_LEFT_OUT_BYTES_MAX);
}

void neutral_report_deinit(struct neutral_report *report)
{
    buf_deinit(&report->left_out);
}

enum err neutral_refuse(struct neutral_report *report, struct slice path, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    (void)snprintf(report->path, sizeof report->path, "%.*s", SLICE_PRINT(path));
    (void)vsnprintf(report->why, sizeof report->why, why, arguments);
    va_end(arguments);
    return ERR_INVALID;
}

static bool ends_with(struct slice text, struct slice end)
{
    return text.size >= end.size &&
           slice_equal(slice_sub(text, text.size - end.size, end.size), end);
}

void neutral_leave_out(struct neutral_report *report, struct slice path)
{
    const struct slice cut = SLICE("…");
    struct buf *list = &report->left_out;
    if (ends_with(buf_slice(list), path) || ends_with(buf_slice(list), cut))
        return;
    struct slice separator = list->size ? SLICE(", ") : SLICE_NONE;
    bool fits = list->size + separator.size + path.size + 2 + cut.size <= list->size_max;
    enum err err = buf_append(list, separator);
    if (err == ERR_OK)
        err = buf_append(list, fits ? path : cut);
    (void)err; /* the list is for people: without memory for it the request still goes on */
}

/* ---- seals ---- */

enum err neutral_seal_write(
    struct buf *out, const char *own, struct slice format, struct slice id, struct slice opaque)
{
    if (!slice_equal(format, slice_text(own))) {
        TRY(buf_append(out, format));
        TRY(buf_append_byte(out, ':'));
        TRY(buf_append(out, id));
        TRY(buf_append_byte(out, ':'));
    }
    return buf_append(out, opaque);
}

static struct slice after(struct slice text, size_t size)
{
    return slice_sub(text, size, text.size - size);
}

/* A format's name has no character that base64 lacks, but ends in a colon, which base64 lacks. */
void neutral_seal_read(struct slice text, const char *own, struct slice *format, struct slice *id,
    struct slice *opaque)
{
    ptrdiff_t first = slice_find_byte(text, ':');
    struct slice rest = first < 0 ? SLICE_NONE : after(text, (size_t)first + 1);
    ptrdiff_t second = slice_find_byte(rest, ':');
    bool is_tagged = first > 0 && second >= 0;
    *format = is_tagged ? slice_sub(text, 0, (size_t)first) : slice_text(own);
    *id = is_tagged ? slice_sub(rest, 0, (size_t)second) : SLICE_NONE;
    *opaque = is_tagged ? after(rest, (size_t)second + 1) : text;
}

/* ---- requests ---- */

bool neutral_is_system(const struct neutral_message *message)
{
    return message && (message->role == NEUTRAL_SYSTEM || message->role == NEUTRAL_DEVELOPER);
}

void neutral_request_init(struct neutral_request *request)
{
    *request = (struct neutral_request){.reasoning.budget = -1};
    request->messages_end = (void **)&request->messages;
    request->tools_end = (void **)&request->tools;
    request->stops_end = (void **)&request->stops;
    arena_init(&request->arena, NEUTRAL_REQUEST_BYTES_MAX);
}

void neutral_request_deinit(struct neutral_request *request)
{
    arena_deinit(&request->arena);
}
