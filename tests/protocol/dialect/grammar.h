/* grammar — whether a text is one well-formed streamed response of a caller's dialect, as its clients
 * rely on it: numbers dense, parts begun and ended in pairs, one beginning, one end. Included by tests. */
#ifndef TOKENLOG_TESTS_PROTOCOL_DIALECT_GRAMMAR_H
#define TOKENLOG_TESTS_PROTOCOL_DIALECT_GRAMMAR_H

#include "protocol/base/own.h"
#include "protocol/http/sse.h"
#include "tests/protocol/dialect/callers.h"

enum { GRAMMAR_TEXT_BYTES_MAX = 1 << 20, GRAMMAR_ITEMS_MAX = 64 };

/* What has been read so far. */
struct grammar {
    int64_t number; /* of the next event, or block, or call */
    int64_t items;  /* begun */
    bool is_open;   /* an item or block is */
    bool has_begun, has_finished, has_ended;
    struct buf id, item_id, text; /* of the response; of the open item, and its deltas */
};

static inline bool is_word(const struct json *value, const char *word)
{
    return slice_equal(json_text(value), slice_text(word));
}

static inline void expect_same(struct buf *known, const struct json *value)
{
    struct slice text = json_text(value);
    assert_true(text.size > 0);
    if (known->size == 0)
        assert_int_equal(buf_append(known, text), ERR_OK);
    if (!slice_equal(buf_slice(known), text))
        fail_msg("%.*s became %.*s", SLICE_PRINT(buf_slice(known)), SLICE_PRINT(text));
}

/* ---- Chat Completions ---- */

static inline void chat_calls(struct grammar *grammar, const struct json *calls)
{
    for (const struct json *call = json_at(calls, 0); call; call = json_next(call)) {
        int64_t index = json_int(json_get(call, "index"), -1);
        if (json_text(json_get(call, "id")).size)
            assert_int_equal(index, grammar->items++);
        else
            assert_int_equal(index, grammar->items - 1);
    }
}

static inline void chat_event(struct grammar *grammar, const struct json *event)
{
    const struct json *choice = json_at(json_get(event, "choices"), 0);
    const struct json *delta = json_get(choice, "delta");
    assert_true(is_word(json_get(event, "object"), "chat.completion.chunk"));
    expect_same(&grammar->id, json_get(event, "id"));
    if (!choice) {
        assert_true(grammar->has_finished);
        return;
    }
    assert_false(grammar->has_finished);
    if (json_text(json_get(delta, "role")).size) {
        assert_false(grammar->has_begun);
        grammar->has_begun = true;
    }
    chat_calls(grammar, json_get(delta, "tool_calls"));
    grammar->has_finished = json_text(json_get(choice, "finish_reason")).size > 0;
}

/* ---- Messages ---- */

static inline void anthropic_event(struct grammar *grammar, const struct json *event)
{
    const struct json *type = json_get(event, "type");
    int64_t index = json_int(json_get(event, "index"), -1);
    if (is_word(type, "ping"))
        return;
    assert_int_equal(grammar->has_begun, !is_word(type, "message_start"));
    assert_false(grammar->has_finished && !is_word(type, "message_stop"));
    if (is_word(type, "message_start")) {
        grammar->has_begun = true;
    } else if (is_word(type, "content_block_start")) {
        assert_false(grammar->is_open);
        assert_int_equal(index, grammar->items++);
        grammar->is_open = true;
    } else if (is_word(type, "content_block_delta")) {
        assert_true(grammar->is_open);
        assert_int_equal(index, grammar->items - 1);
    } else if (is_word(type, "content_block_stop")) {
        assert_true(grammar->is_open);
        assert_int_equal(index, grammar->items - 1);
        grammar->is_open = false;
    } else if (is_word(type, "message_delta")) {
        grammar->has_finished = json_text(json_get(json_get(event, "delta"), "stop_reason")).size;
        assert_false(grammar->is_open && grammar->has_finished); /* counts may come before */
    } else {
        assert_true(is_word(type, "message_stop"));
        assert_true(grammar->has_finished);
        grammar->has_ended = true;
    }
}

/* ---- Responses ---- */

static inline void responses_item(struct grammar *grammar, const struct json *event, bool is_done)
{
    const struct json *item = json_get(event, "item");
    assert_int_equal(grammar->is_open, is_done);
    if (!is_done) {
        grammar->items++;
        buf_clear(&grammar->item_id);
        buf_clear(&grammar->text);
    }
    grammar->is_open = !is_done;
    assert_int_equal(json_int(json_get(event, "output_index"), -1), grammar->items - 1);
    expect_same(&grammar->item_id, json_get(item, "id"));
    if (is_done && is_word(json_get(item, "type"), "function_call"))
        assert_true(slice_equal(json_text(json_get(item, "arguments")), buf_slice(&grammar->text)));
    if (is_done && is_word(json_get(item, "type"), "message"))
        assert_true(slice_equal(json_text(json_get(json_at(json_get(item, "content"), 0), "text")),
            buf_slice(&grammar->text)));
}

static inline void responses_content(struct grammar *grammar, const struct json *event)
{
    const struct json *delta = json_get(event, "delta"), *type = json_get(event, "type");
    assert_true(grammar->is_open);
    assert_int_equal(json_int(json_get(event, "output_index"), -1), grammar->items - 1);
    expect_same(&grammar->item_id, json_get(event, "item_id"));
    if (delta)
        assert_int_equal(buf_append(&grammar->text, json_text(delta)), ERR_OK);
    if (is_word(type, "response.output_text.done"))
        assert_true(slice_equal(json_text(json_get(event, "text")), buf_slice(&grammar->text)));
    if (is_word(type, "response.function_call_arguments.done"))
        assert_true(
            slice_equal(json_text(json_get(event, "arguments")), buf_slice(&grammar->text)));
}

static inline void responses_event(struct grammar *grammar, const struct json *event)
{
    const struct json *type = json_get(event, "type"), *response = json_get(event, "response");
    assert_int_equal(json_int(json_get(event, "sequence_number"), -1), grammar->number++);
    if (response)
        expect_same(&grammar->id, json_get(response, "id"));
    if (is_word(type, "response.created")) {
        assert_false(grammar->has_begun);
        grammar->has_begun = true;
    }
    assert_true(grammar->has_begun);
    if (is_word(type, "response.output_item.added"))
        responses_item(grammar, event, false);
    else if (is_word(type, "response.output_item.done"))
        responses_item(grammar, event, true);
    else if (json_get(event, "item_id"))
        responses_content(grammar, event);
    if (is_word(type, "response.completed") || is_word(type, "response.incomplete")) {
        assert_false(grammar->is_open);
        assert_int_equal(json_size(json_get(response, "output")), grammar->items);
        grammar->has_ended = true;
    }
}

/* ---- all ---- */

static inline void grammar_block(struct grammar *grammar, const char *dialect, struct slice block)
{
    CLEANUP(buf_deinit) struct buf joined;
    struct sse_fields fields;
    struct json *event;
    buf_init(&joined, block.size);
    assert_false(grammar->has_ended);
    assert_int_equal(sse_fields(block, &joined, &fields), ERR_OK);
    struct slice data = sse_data(&fields, &joined);
    if (slice_equal(data, SLICE("[DONE]"))) {
        assert_true(slice_equal(slice_text(dialect), SLICE("openai_chat")));
        assert_true(grammar->has_finished);
        grammar->has_ended = true;
        return;
    }
    assert_int_equal(json_parse(data, &event), ERR_OK);
    if (slice_equal(slice_text(dialect), SLICE("openai_chat")))
        chat_event(grammar, event);
    else if (slice_equal(slice_text(dialect), SLICE("anthropic")))
        anthropic_event(grammar, event);
    else
        responses_event(grammar, event);
    (void)json_free(event);
}

/* check_grammar — of a whole response: it has its end. */
static inline void check_grammar(const char *dialect, struct slice text)
{
    struct grammar grammar = {0};
    struct sse_splitter splitter = {0};
    size_t end;
    buf_init(&grammar.id, 256);
    buf_init(&grammar.item_id, 256);
    buf_init(&grammar.text, GRAMMAR_TEXT_BYTES_MAX);
    while (sse_split(&splitter, text, &end) == ERR_OK) {
        grammar_block(&grammar, dialect, slice_sub(text, 0, end));
        text = slice_sub(text, end, text.size - end);
    }
    assert_true(text.size == 0 && grammar.has_ended);
    buf_deinit(&grammar.id);
    buf_deinit(&grammar.item_id);
    buf_deinit(&grammar.text);
}

#endif
