/* frames — the framings side by side. A line needs no state: its end is the one byte LF. */
#include "protocol/http/frames.h"

enum err framing_of_type(struct slice content_type, enum framing *out)
{
    static const struct {
        const char *type;
        enum framing framing;
    } types[] = {
        {"text/event-stream", FRAMING_SSE},
        {"application/x-ndjson", FRAMING_LINES},
        {"application/ndjson", FRAMING_LINES},
        {"application/jsonl", FRAMING_LINES},
        {"application/vnd.amazon.eventstream", FRAMING_EVENT_STREAM},
    };
    ptrdiff_t parameters = slice_find_byte(content_type, ';');
    if (parameters >= 0)
        content_type.size = (size_t)parameters;
    content_type = slice_trim(content_type);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (slice_equal_nocase(content_type, slice_text(types[i].type))) {
            *out = types[i].framing;
            return ERR_OK;
        }
    return ERR_NOTFOUND;
}

static enum err line_split(struct slice fresh, size_t *end)
{
    ptrdiff_t at = slice_find_byte(fresh, '\n');
    if (at < 0)
        return ERR_AGAIN;
    *end = (size_t)at + 1;
    return ERR_OK;
}

enum err frame_split(struct frame_splitter *splitter, struct slice fresh, size_t *end)
{
    switch (splitter->framing) {
    case FRAMING_SSE: return sse_split(&splitter->sse, fresh, end);
    case FRAMING_LINES: return line_split(fresh, end);
    case FRAMING_EVENT_STREAM: return event_stream_split(&splitter->event_stream, fresh, end);
    }
    ASSERT(false);
    return ERR_INVALID;
}

bool frame_split_end(struct frame_splitter *splitter)
{
    return splitter->framing == FRAMING_SSE && sse_split_end(&splitter->sse);
}
