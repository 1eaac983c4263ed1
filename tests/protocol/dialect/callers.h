/* callers — what the tests of translation with random conversations share: the dialects that callers
 * speak, what a response is told with, and chance that a seed repeats. Included by them. */
#ifndef TOKENLOG_TESTS_PROTOCOL_DIALECT_CALLERS_H
#define TOKENLOG_TESTS_PROTOCOL_DIALECT_CALLERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

static const char *const callers[] = {"openai_chat", "openai_responses", "anthropic"};

static const struct sequence_context context = {
    .stream_id = {(const uint8_t *)"0198c0de000070008000000000000001", 32},
    .created_s = 1767225600,
    .model = {(const uint8_t *)"our-model", 9},
    .includes_usage = true,
};

static inline const struct codec *named(const char *name)
{
    const struct codec *codec = NULL;
    assert_int_equal(translate_codec(slice_text(name), &codec), ERR_OK);
    return codec;
}

/* xorshift64: the state is never 0. */
static inline uint64_t next(uint64_t *chance)
{
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

static inline bool one_in(uint64_t *chance, uint64_t n)
{
    return next(chance) % n == 0;
}

#define PICK(chance, table) ((table)[next(chance) % COUNT_OF(table)])

/* What a model may say for a call's arguments: as it was written, spaces and numbers and all. */
static const char *const arguments[] = {"{}", "{\"a\":1.50}",
    "{\"a\": \"\\u00e9\\n\", \"b\":[1,{}]}", "{\"n\":12345678901234567890,\"t\":true}"};

#endif
