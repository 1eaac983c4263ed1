/* openai_chat — Chat Completions, and the older Completions, as OpenAI and many others speak them.
 *
 *     data: {"choices":[{"delta":{…},"finish_reason":null}],"usage":null}     any number of these
 *     data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}
 *     data: {"choices":[],"usage":{…}}             only with stream_options.include_usage
 *     data: [DONE]                                 the terminator
 *     data: {"error":{"message":…}}                instead of the rest
 *
 * Nearly all chunks say nothing that matters here, and building a tree for each would cost more
 * than all else that is done with it. So a chunk is first searched for the three keys that matter,
 * with a value other than null. Text cannot fool the search into missing one: a quote inside a
 * string is escaped, so `"usage":` between plain quotes is a key — or else the search finds too
 * much, and the tree decides. (A key written with escapes is missed; no provider does that.)
 *
 *   source  https://platform.openai.com/docs/api-reference/chat-streaming */
#include "protocol/dialect/reading.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "protocol/base/own.h"

enum {
    LANES = 16,            /* bytes that are compared at once */
    FREE_BITS = 'd' ^ 'w', /* in which d, e, f, g, t, u, v, w differ */
};

/* Bit n is set where at[n] is a quote with a key's first letter behind it: e, f, u, and five others
 * (d, g, t, v, w), which come along since the eight differ in three bits only. */
static unsigned candidates(const uint8_t at[LANES + 1])
{
#ifdef __SSE2__
    __m128i quote = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i letter = _mm_loadu_si128((const __m128i *)(const void *)(at + 1));
    letter = _mm_and_si128(letter, _mm_set1_epi8((char)~FREE_BITS));
    return (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(quote, _mm_set1_epi8('"')),
        _mm_cmpeq_epi8(letter, _mm_set1_epi8('d' & ~FREE_BITS))));
#else
    unsigned bits = 0;
    for (unsigned n = 0; n < LANES; n++)
        bits |= (unsigned)(at[n] == '"' && (at[n + 1] & ~FREE_BITS) == ('d' & ~FREE_BITS)) << n;
    return bits;
#endif
}

static size_t skip_space(struct slice json, size_t at)
{
    while (at < json.size && (json.data[at] == ' ' || json.data[at] == '\t' ||
                                 json.data[at] == '\r' || json.data[at] == '\n'))
        at++;
    return at;
}

static struct slice key_for(uint8_t letter)
{
    return letter == 'f'   ? SLICE("\"finish_reason\"")
           : letter == 'u' ? SLICE("\"usage\"")
                           : SLICE("\"error\"");
}

/* Whether the key for the letter after the quote at `at` stands there, and its value is not null.
 * */
static bool key_matters(struct slice json, size_t at)
{
    struct slice key = key_for(json.data[at + 1]);
    if (json.data[at + 1] != key.data[1] || json.size - at < key.size ||
        memcmp(json.data + at, key.data, key.size) != 0)
        return false;
    at = skip_space(json, at + key.size);
    if (at == json.size || json.data[at] != ':')
        return true; /* no member, or none on this side of a cut: let the tree decide */
    at = skip_space(json, at + 1);
    return json.size - at < 4 || memcmp(json.data + at, "null", 4) != 0;
}

static bool lanes_matter(struct slice json, size_t at)
{
    for (unsigned bits = candidates(json.data + at); bits; bits &= bits - 1)
        if (key_matters(json, at + (unsigned)__builtin_ctz(bits)))
            return true;
    return false;
}

static bool chunk_matters(struct slice json)
{
    size_t at = 0;
    for (; json.size - at > LANES; at += LANES)
        if (lanes_matter(json, at))
            return true;
    if (json.size > LANES) /* the last lanes overlap those before them */
        return lanes_matter(json, json.size - LANES - 1);
    for (; at + 1 < json.size; at++)
        if (json.data[at] == '"' && key_matters(json, at))
            return true;
    return false;
}

/* With several choices the first reason to come is kept. */
static void read_choices(struct dialect_reading *reading, const struct json *choices)
{
    for (size_t i = 0; i < json_size(choices) && reading->finish_reason[0] == '\0'; i++)
        reading_finish_reason(reading, json_text(json_get(json_at(choices, i), "finish_reason")));
}

static enum dialect_verdict read_chunk(struct dialect_reading *reading, const struct json *chunk)
{
    const struct json *choices = json_get(chunk, "choices");
    const struct json *usage = json_get(chunk, "usage");
    reading_fail(reading, json_get(chunk, "error"));
    read_choices(reading, choices);
    reading_openai_usage(reading, usage);
    bool is_usage_chunk = json_type(choices) == JSON_ARRAY && json_size(choices) == 0 &&
                          json_type(usage) == JSON_OBJECT;
    return is_usage_chunk && reading->hides_usage ? DIALECT_ASIDE : DIALECT_EVENT;
}

static bool is_done(struct slice data)
{
    return slice_equal(slice_trim(data), SLICE("[DONE]"));
}

/* Not so nearly all events: the data begins with an object, so it is no terminator, and no key that
 * matters is anywhere in the block, which then need not be taken apart. */
static bool chat_teaches(struct slice block)
{
    bool is_object =
        slice_has_prefix(block, SLICE("data: {")) || slice_has_prefix(block, SLICE("data:{"));
    return !is_object || chunk_matters(block);
}

static enum dialect_verdict chat_read_event(struct dialect_reading *reading, struct slice block)
{
    if (!chat_teaches(block))
        return DIALECT_EVENT;
    CLEANUP(buf_deinit) struct buf joined;
    CLEANUP(json_cleanup) struct json *chunk = NULL;
    struct sse_fields fields;
    buf_init(&joined, block.size);
    if (sse_fields(block, &joined, &fields) != ERR_OK || !fields.has_data)
        return DIALECT_EVENT;
    struct slice data = sse_data(&fields, &joined);
    if (is_done(data)) {
        reading->is_terminated = true;
        return DIALECT_EVENT;
    }
    if (!chunk_matters(data) || json_parse(data, &chunk) != ERR_OK)
        return DIALECT_EVENT;
    return read_chunk(reading, chunk);
}

static void chat_read_body(struct dialect_reading *reading, struct slice body)
{
    static const char *const names[] = {"choices", "usage", "error"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct json *members[COUNT];
    if (reading_body_members(body, names, COUNT, members)) {
        read_choices(reading, members[0]);
        reading_openai_usage(reading, members[1]);
        reading_fail(reading, members[2]);
    }
    reading_body_free(members, COUNT);
}

static bool chat_is_terminator_residue(struct slice residue)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    buf_init(&joined, residue.size);
    return sse_fields(residue, &joined, &fields) == ERR_OK && fields.has_data &&
           is_done(sse_data(&fields, &joined));
}

const struct dialect dialect_openai_chat = {
    .name = "openai_chat",
    .has_terminator = true,
    .asks_usage = true,
    .teaches = chat_teaches,
    .read_event = chat_read_event,
    .read_body = chat_read_body,
    .is_terminator_residue = chat_is_terminator_residue,
    .write_error = reading_openai_error,
};
