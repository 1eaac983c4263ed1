/* dialect — the first byte picks a dialect and what the rest is: a request, or a response. A
 * request that is taken is rewritten to one that is taken; a response teaches only well-formed
 * words. */
#include "protocol/base/own.h"
#include "protocol/dialect/dialect.h"

#include "tests/fuzz/fuzz.h"

enum {
    DIALECTS = 4, /* by the low bits of a choice */
    IS_REQUEST = 4,
    NAMES_MODEL = 8,
    ASKS_USAGE = 16,
    HIDES_USAGE = 32,
    IS_NATIVE = 64, /* then one that callers speak on a provider's native paths only */
    NATIVE_DIALECTS = 4,
    IS_PREDICTION = 128, /* likewise */
    PREDICTION_DIALECTS = 2,
    IS_INTERACTION = IS_NATIVE | IS_PREDICTION,
};

static const struct dialect *pick(uint8_t choice)
{
    static const char *const names[DIALECTS] = {
        "openai_chat", "openai_responses", "anthropic", "opaque"};
    static const char *const natives[NATIVE_DIALECTS] = {"gemini", "cohere", "ollama", "bedrock"};
    static const char *const predictions[PREDICTION_DIALECTS] = {"replicate", "cog"};
    const struct dialect *dialect = NULL;
    bool is_interaction = (choice & IS_INTERACTION) == IS_INTERACTION;
    const char *name = is_interaction           ? "gemini_interactions"
                       : choice & IS_PREDICTION ? predictions[choice % PREDICTION_DIALECTS]
                       : choice & IS_NATIVE     ? natives[choice % NATIVE_DIALECTS]
                                                : names[choice % DIALECTS];
    ASSERT(dialect_by_name(slice_text(name), &dialect) == ERR_OK);
    return dialect;
}

static void check_request(const struct dialect *dialect, uint8_t choice, struct slice body)
{
    CLEANUP(buf_deinit) struct buf out;
    struct dialect_request request, rewritten;
    const char *why, *param;
    bool hides_usage;
    struct slice model = choice & NAMES_MODEL ? SLICE("other/\"model\"") : SLICE_NONE;
    buf_init(&out, body.size + 1024);
    if (dialect_read_request(dialect, body, &request, &why, &param) != ERR_OK)
        return;
    ASSERT(dialect_write_request(
               dialect, body, &request, model, choice & ASKS_USAGE, &out, &hides_usage) == ERR_OK);
    enum err err = dialect_read_request(dialect, buf_slice(&out), &rewritten, &why, &param);
    bool has_members_added = out.size > body.size; /* one more may pass JSON_MEMBERS_MAX */
    ASSERT(err == ERR_OK || has_members_added);
    if (err != ERR_OK)
        return;
    ASSERT(rewritten.is_streamed == request.is_streamed);
    ASSERT(strcmp(rewritten.model, model.size ? "other/\"model\"" : request.model) == 0);
    ASSERT(rewritten.has_usage_asked == (request.has_usage_asked || hides_usage));
}

static void check_reading(const struct dialect_reading *reading)
{
    ASSERT(memchr(reading->error, 0, sizeof reading->error));
    ASSERT(memchr(reading->finish_reason, 0, sizeof reading->finish_reason));
    ASSERT(memchr(reading->id, 0, sizeof reading->id));
    ASSERT(slice_is_utf8(slice_text(reading->error)));
    ASSERT(slice_is_utf8(slice_text(reading->finish_reason)));
}

static void check_cursor(const struct dialect *dialect, struct slice event)
{
    CLEANUP(buf_deinit) struct buf cursor;
    buf_init(&cursor, DIALECT_CURSOR_BYTES_MAX);
    if (dialect->again && dialect->again->cursor(event, &cursor) == ERR_OK)
        ASSERT(cursor.size > 0);
}

static void check_response(const struct dialect *dialect, uint8_t choice, struct slice body)
{
    struct dialect_reading reading;
    struct frame_splitter splitter = {.framing = dialect->framing};
    size_t end;
    dialect_reading_init(&reading);
    dialect->read_body(&reading, body);
    check_reading(&reading);
    dialect_reading_init(&reading);
    reading.hides_usage = choice & HIDES_USAGE;
    while (frame_split(&splitter, body, &end) == ERR_OK) {
        (void)dialect->read_event(&reading, slice_sub(body, 0, end));
        check_cursor(dialect, slice_sub(body, 0, end));
        body = slice_sub(body, end, body.size);
    }
    (void)dialect->is_terminator_residue(body);
    check_reading(&reading);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct slice body = {data + 1, size - 1};
    if (data[0] & IS_REQUEST)
        check_request(pick(data[0]), data[0], body);
    else
        check_response(pick(data[0]), data[0], body);
    return 0;
}
