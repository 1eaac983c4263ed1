/* retelling — random responses, told as a provider tells them, streamed and whole: each dialect of
 * callers hears the same, byte for byte, as if the neutral events had been written in it directly.
 * Included by the tests of dialects that only providers speak: there is no way back to compare with.
 *
 * Such a test brings a `struct provider`, whose generator writes its frames and the neutral events
 * side by side.                                                                                  */
#ifndef TOKENLOG_TESTS_PROTOCOL_DIALECT_RETELLING_H
#define TOKENLOG_TESTS_PROTOCOL_DIALECT_RETELLING_H

#include "protocol/base/own.h"
#include "tests/protocol/dialect/callers.h"

enum { CASES = 200, OUT_BYTES_MAX = 1 << 20, PARTS_MAX = 6 };

static const char *const texts[] = {"a", "word \"quoted\" \\ ", "\n\n", "é日本😀", "\t\x01\x7f",
    "data: [DONE]\n\n", "{\"x\":", "</s>'"};

/* Both tellings: the provider's frames, or its body, and the neutral events. */
struct telling {
    struct json_writer writer;
    struct buf chunks;
    struct sequence sequence;
    bool is_streamed;
    int64_t output; /* tokens so far, where the provider counts them as it goes */
};

struct provider {
    const char *dialect;
    void (*some_response)(struct telling *telling, uint64_t *chance);
};

static inline void telling_init(
    struct telling *telling, const struct provider *provider, bool is_streamed, uint64_t seed)
{
    uint64_t chance = seed * 0x9e3779b97f4a7c15u | 1;
    *telling = (struct telling){.is_streamed = is_streamed};
    buf_init(&telling->chunks, OUT_BYTES_MAX);
    sequence_init(&telling->sequence, &context);
    provider->some_response(telling, &chance);
}

static inline void telling_deinit(struct telling *telling)
{
    buf_deinit(&telling->chunks);
    sequence_deinit(&telling->sequence);
}

/* ---- both, in a caller's dialect ---- */

static inline void write_directly(
    const struct codec *caller, const struct telling *telling, struct buf *out)
{
    CLEANUP(fold_deinit) struct fold fold;
    uint8_t state[512] = {0};
    assert_true(caller->response->writer_bytes <= sizeof state);
    fold_init(&fold, telling->is_streamed ? caller->response->fold : FOLD_EVERYTHING);
    for (size_t i = 0; i < telling->sequence.count; i++) {
        assert_int_equal(fold_event(&fold, &telling->sequence.events[i]), ERR_OK);
        if (telling->is_streamed)
            assert_int_equal(caller->response->write_event(
                                 state, &telling->sequence.events[i], &context, &fold, out),
                ERR_OK);
    }
    if (!telling->is_streamed)
        assert_int_equal(caller->response->write_body(&context, &fold, out), ERR_OK);
}

static inline void write_translated(const struct codec *provider, const struct codec *caller,
    const struct telling *telling, struct buf *out)
{
    struct translation *translation;
    struct frame_splitter splitter = {.framing = provider->response->framing};
    struct slice rest = buf_slice(&telling->chunks);
    size_t end;
    int status = 200;
    assert_int_equal(translation_new(provider, caller, &context, &translation), ERR_OK);
    while (telling->is_streamed && frame_split(&splitter, rest, &end) == ERR_OK) {
        assert_int_equal(translation_event(translation, slice_sub(rest, 0, end), out), ERR_OK);
        rest = slice_sub(rest, end, rest.size);
    }
    if (telling->is_streamed)
        assert_int_equal(translation_end(translation, out), ERR_OK);
    else
        assert_int_equal(translation_body(translation, rest, out, &status), ERR_OK);
    assert_int_equal(status, 200);
    (void)translation_free(translation);
}

static inline void check(
    const struct provider *provider, const char *caller, bool is_streamed, uint64_t seed)
{
    CLEANUP(telling_deinit) struct telling telling;
    CLEANUP(buf_deinit) struct buf direct, translated;
    buf_init(&direct, OUT_BYTES_MAX);
    buf_init(&translated, OUT_BYTES_MAX);
    telling_init(&telling, provider, is_streamed, seed);
    write_directly(named(caller), &telling, &direct);
    write_translated(named(provider->dialect), named(caller), &telling, &translated);
    if (!slice_equal(buf_slice(&direct), buf_slice(&translated)))
        fail_msg("%s, seed %llu\n%.*s\n%.*s\n%.*s", caller, (unsigned long long)seed,
            SLICE_PRINT(buf_slice(&telling.chunks)), SLICE_PRINT(buf_slice(&direct)),
            SLICE_PRINT(buf_slice(&translated)));
}

/* All callers, and all seeds. */
static inline void check_all(const struct provider *provider, bool is_streamed)
{
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        for (uint64_t seed = 1; seed <= CASES; seed++)
            check(provider, callers[i], is_streamed, seed);
}

#endif
