/* sending — the frame of a request's body, as most dialects have it. */
#include "protocol/dialect/sending.h"

struct sending sending_begin(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = {.request = request, .target = target, .report = report};
    json_writer_init(&sending.writer, &out->body);
    json_open(&sending.writer, '{');
    codec_member(&sending.writer, "model", target->model);
    return sending;
}

enum err sending_end(struct sending *sending, struct translated_request *out, const char *path)
{
    json_close(&sending->writer, '}');
    TRY(sending->writer.err);
    return buf_append(&out->path, slice_text(path));
}

void sending_tools(struct sending *sending, sending_write_tool *write_tool)
{
    if (!sending->request->tools)
        return;
    json_key(&sending->writer, "tools");
    json_open(&sending->writer, '[');
    for (const struct neutral_tool *tool = sending->request->tools; tool; tool = tool->next)
        write_tool(sending, tool);
    json_close(&sending->writer, ']');
}

void sending_stream(struct sending *sending)
{
    if (sending->request->is_streamed)
        codec_true_member(&sending->writer, "stream");
}
