/* openai — choices of tools, formats of answers, addresses of images: read and written. */
#include "protocol/dialect/openai.h"

/* ---- reading ---- */

enum err openai_read_image_address(struct walk *walk, struct json_span value, void *into)
{
    struct slice url;
    TRY(walk_text(walk, value, &url));
    return walk_data_url(walk, url, into);
}

enum err openai_read_choice(struct walk *walk, struct json_span value,
    const struct openai_object *named, struct neutral_request *request)
{
    static const char *const words[] = {[NEUTRAL_CHOICE_AUTO] = "auto",
        [NEUTRAL_CHOICE_NONE] = "none",
        [NEUTRAL_CHOICE_ANY] = "required"};
    size_t word;
    TRY(walk_path(walk, &request->choice.path));
    if (value.type == JSON_OBJECT) {
        request->choice.kind = NEUTRAL_CHOICE_NAMED;
        TRY(walk_object(walk, value, named->members, named->count, request));
        return request->choice.name.size ? ERR_OK : walk_missing(walk, named->needed);
    }
    TRY(walk_word(walk, value, words, COUNT_OF(words),
        "it must be auto, none, required, or name a function", &word));
    request->choice.kind = (enum neutral_choice)word;
    return ERR_OK;
}

enum err openai_read_format(struct walk *walk, struct json_span value,
    const struct openai_object *format, struct neutral_request *request)
{
    TRY(walk_path(walk, &request->format.path));
    TRY(walk_object(walk, value, format->members, format->count, request));
    bool lacks_schema =
        request->format.kind == NEUTRAL_FORMAT_SCHEMA && request->format.schema.size == 0;
    return lacks_schema ? walk_missing(walk, format->needed) : ERR_OK;
}

enum err openai_read_format_type(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {[NEUTRAL_FORMAT_TEXT] = "text",
        [NEUTRAL_FORMAT_JSON] = "json_object",
        [NEUTRAL_FORMAT_SCHEMA] = "json_schema"};
    struct neutral_request *request = into;
    size_t word;
    TRY(walk_word(
        walk, value, words, COUNT_OF(words), "it must be text, json_object or json_schema", &word));
    request->format.kind = (enum neutral_response_format)word;
    return ERR_OK;
}

/* ---- writing ---- */

static void write_named(struct json_writer *writer, struct slice name, const char *nest)
{
    json_key(writer, "tool_choice");
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function"));
    if (nest) {
        json_key(writer, nest);
        json_open(writer, '{');
    }
    codec_member(writer, "name", name);
    if (nest)
        json_close(writer, '}');
    json_close(writer, '}');
}

void openai_write_choice(struct sending *sending, const char *nest)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    switch (request->choice.kind) {
    case NEUTRAL_CHOICE_UNSAID: break;
    case NEUTRAL_CHOICE_AUTO: codec_member(writer, "tool_choice", SLICE("auto")); break;
    case NEUTRAL_CHOICE_NONE: codec_member(writer, "tool_choice", SLICE("none")); break;
    case NEUTRAL_CHOICE_ANY: codec_member(writer, "tool_choice", SLICE("required")); break;
    case NEUTRAL_CHOICE_NAMED: write_named(writer, request->choice.name, nest); break;
    }
    codec_raw_member(writer, "parallel_tool_calls", request->choice.parallel.raw);
}

void openai_write_schema(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice name = request->format.name;
    codec_member(writer, "name", name.size ? name : SLICE("response"));
    if (request->format.description.size)
        codec_member(writer, "description", request->format.description);
    codec_raw_member(writer, "schema", request->format.schema);
    codec_raw_member(writer, "strict", request->format.strict);
}
