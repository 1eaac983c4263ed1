/* preamble — see the header. The event's name is in its `event:` field, or in its data's "type". */
#include "protocol/dialect/preamble.h"

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/sse.h"

enum { DATA_BYTES_MAX = 64 * 1024 }; /* of an event whose data are several lines */

static bool is_named(struct slice name)
{
    static const char *const names[] = {"message_start", "ping", "response.created",
        "response.queued", "response.in_progress", "message-start"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_equal(name, slice_text(names[i])))
            return true;
    return false;
}

static struct slice type_of(struct slice data)
{
    struct json_span type;
    const char *why;
    size_t at;
    if (json_object_check(data, &why, &at) || json_scan(data, "type", &type) ||
        type.type != JSON_STRING)
        return SLICE_NONE;
    return slice_sub(type.raw, 1, type.raw.size - 2);
}

bool dialect_is_preamble(struct slice block)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    buf_init(&joined, DATA_BYTES_MAX);
    if (sse_fields(sse_without_bom(block), &joined, &fields))
        return false;
    return !fields.has_data ||
           is_named(fields.event.size ? fields.event : type_of(sse_data(&fields, &joined)));
}
