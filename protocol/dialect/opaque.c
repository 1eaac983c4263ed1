/* opaque — bodies that are passed on unread but for their usage: embeddings, moderations, images,
 * speech, ranking. They are complete when HTTP's framing says so. */
#include "protocol/dialect/reading.h"

static enum dialect_verdict opaque_read_event(struct dialect_reading *reading, struct slice block)
{
    (void)reading;
    (void)block;
    return DIALECT_EVENT;
}

static void opaque_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"usage", "error"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        reading_openai_usage(reading, members[0]);
        reading_fail(reading, members[1]);
    }
    reading_body_free(members, COUNT);
}

static bool opaque_is_terminator_residue(struct slice residue)
{
    (void)residue;
    return false;
}

const struct dialect dialect_opaque = {
    .name = "opaque",
    .has_terminator = false,
    .read_event = opaque_read_event,
    .read_body = opaque_read_body,
    .is_terminator_residue = opaque_is_terminator_residue,
    .write_error = reading_openai_error,
};
