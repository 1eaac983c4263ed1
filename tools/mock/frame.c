/* frame — the size of an event is known before it is written, so that its chunk's header comes
 * first. */
#include "tools/mock/frame.h"

#include <string.h>

#include "tools/mock/message.h"

#define EVENT_FIELD "event: "
#define DATA_FIELD  "data: "

const char *frame_content_type(const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_SSE: return "text/event-stream; charset=utf-8";
    case FRAME_LINES: return "application/x-ndjson";
    case FRAME_MESSAGES: return "application/vnd.amazon.eventstream";
    }
    ASSERT(false);
    return NULL;
}

const char *frame_line_end(const struct frame *frame)
{
    if (frame->kind == FRAME_LINES)
        return frame->sse == SSE_CRLF ? "\r\n" : "\n";
    switch (frame->sse) {
    case SSE_CRLF: return "\r\n";
    case SSE_CR: return "\r";
    case SSE_LF:
    case SSE_BOM: return "\n";
    }
    ASSERT(false);
    return NULL;
}

enum err frame_put(const struct frame *frame, struct slice bytes, struct buf *out)
{
    if (!frame->is_chunked)
        return buf_append(out, bytes);
    TRY(buf_printf(out, "%zx\r\n", bytes.size));
    TRY(buf_append(out, bytes));
    return buf_append_text(out, "\r\n");
}

size_t frame_event_size(const struct frame *frame, const char *name, size_t data_size)
{
    if (frame->kind == FRAME_MESSAGES)
        return message_size(name, data_size);
    size_t line_end = strlen(frame_line_end(frame));
    if (frame->kind == FRAME_LINES)
        return data_size + line_end;
    size_t size = strlen(DATA_FIELD) + data_size + 2 * line_end;
    return name ? size + strlen(EVENT_FIELD) + strlen(name) + line_end : size;
}

static enum err put_event(const struct frame *frame, const char *name, struct slice data,
    struct buf *out, size_t *data_at)
{
    const char *line_end = frame_line_end(frame);
    if (name)
        TRY(buf_printf(out, EVENT_FIELD "%s%s", name, line_end));
    TRY(buf_append_text(out, DATA_FIELD));
    if (data_at)
        *data_at = out->size;
    TRY(buf_append(out, data));
    return buf_printf(out, "%s%s", line_end, line_end);
}

static enum err put_line(
    const struct frame *frame, struct slice data, struct buf *out, size_t *data_at)
{
    if (data_at)
        *data_at = out->size;
    TRY(buf_append(out, data));
    return buf_append_text(out, frame_line_end(frame));
}

enum err frame_event(const struct frame *frame, const char *name, struct slice data,
    struct buf *out, size_t *data_at)
{
    if (frame->is_chunked)
        TRY(buf_printf(out, "%zx\r\n", frame_event_size(frame, name, data.size)));
    switch (frame->kind) {
    case FRAME_SSE: TRY(put_event(frame, name, data, out, data_at)); break;
    case FRAME_LINES: TRY(put_line(frame, data, out, data_at)); break;
    case FRAME_MESSAGES: TRY(message_put(name, data, out, data_at)); break;
    }
    return frame->is_chunked ? buf_append_text(out, "\r\n") : ERR_OK;
}

void frame_mend(const struct frame *frame, struct buf *event)
{
    size_t before = 0, after = 0;
    if (frame->kind != FRAME_MESSAGES)
        return;
    if (frame->is_chunked) {
        before = (size_t)slice_find_byte(buf_slice(event), '\n') + 1;
        after = strlen("\r\n");
    }
    message_seal(event->data + before, event->size - before - after);
}

enum err frame_end(const struct frame *frame, struct buf *out)
{
    return frame->is_chunked ? buf_append_text(out, "0\r\n\r\n") : ERR_OK;
}
