/* tokens — a line a step:
 *
 *     id: 18⏎                             must be the event's index + 1
 *     data: {…"content":" g7t16"…}⏎       must be token 16 of generation 7
 *     ⏎                                   ends the event                                          */
#include "tools/bench/tokens.h"

#include <string.h>

enum {
    LINE_BYTES_MAX = 1024 * 1024, /* of an event; the mock's are 300 unless asked otherwise */
};

static const struct slice MARK = {(const uint8_t *)"\" g", 3};

void tokens_begin(struct tokens *tokens, uint64_t first_event)
{
    tokens_deinit(tokens);
    *tokens = (struct tokens){.next_event = first_event};
    tokens->next_token = first_event > 0 ? first_event - 1 : 0;
    buf_init(&tokens->rest, LINE_BYTES_MAX);
}

void tokens_resume(struct tokens *tokens)
{
    tokens->has_data = tokens->is_own_end = false;
    uint64_t repeated = tokens->next_event > 0 ? tokens->next_event - 1 : 0;
    if (tokens->next_token > repeated) /* its event had not ended: it comes again */
        tokens->next_token = repeated;
    buf_clear(&tokens->rest);
}

void tokens_deinit(struct tokens *tokens)
{
    buf_deinit(&tokens->rest);
}

/* number — the decimal digits at the front of `text`, taken off it; false: none. */
static bool number(struct slice *text, uint64_t *out)
{
    size_t size = 0;
    uint64_t value = 0;
    while (size < text->size && text->data[size] >= '0' && text->data[size] <= '9')
        value = value * 10 + (uint64_t)(text->data[size++] - '0');
    *text = slice_sub(*text, size, text->size);
    *out = value;
    return size > 0;
}

/* find_token — where the text of the line's token begins; false: it holds none. */
static bool find_token(struct tokens *tokens, struct slice line, struct slice *text)
{
    struct slice here = slice_sub(line, tokens->place, MARK.size);
    if (!slice_equal(here, MARK)) {
        const uint8_t *found = memmem(line.data, line.size, MARK.data, MARK.size);
        if (!found)
            return false;
        tokens->place = (size_t)(found - line.data);
    }
    *text = slice_sub(line, tokens->place + MARK.size, line.size);
    return true;
}

static void read_token(struct tokens *tokens, struct slice text,
    void (*token)(void *context, uint64_t index), void *context)
{
    uint64_t generation, index;
    if (!number(&text, &generation) || text.size == 0 || text.data[0] != 't')
        return; /* some other text */
    text = slice_sub(text, 1, text.size);
    if (!number(&text, &index) || text.size == 0 || (text.data[0] != '"' && text.data[0] != '.'))
        tokens->problem = "a token's text is malformed";
    else if (tokens->generation != 0 && generation != tokens->generation)
        tokens->problem = "tokens of two generations in one stream";
    else if (index != tokens->next_token)
        tokens->problem = index < tokens->next_token ? "a token was doubled" : "a token was lost";
    else if (index + 1 != tokens->next_event)
        tokens->problem = "a token is in another event than it was recorded in";
    if (tokens->problem)
        return;
    tokens->generation = generation;
    tokens->next_token = index + 1;
    token(context, index);
}

static void read_id(struct tokens *tokens, struct slice value)
{
    uint64_t id;
    if (!number(&value, &id) || id != tokens->next_event + 1)
        tokens->problem = "an event's id is not its index + 1";
}

static void end_event(struct tokens *tokens)
{
    if (tokens->is_own_end)
        tokens->is_ended = true;
    else if (tokens->has_data)
        tokens->next_event++;
    tokens->has_data = tokens->is_own_end = false;
}

static void read_line(struct tokens *tokens, struct slice line,
    void (*token)(void *context, uint64_t index), void *context)
{
    struct slice text;
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0) {
        end_event(tokens);
    } else if (slice_has_prefix(line, SLICE("data: "))) {
        tokens->has_data = true;
        if (slice_equal(line, SLICE("data: [DONE]")))
            tokens->is_done = true;
        else if (find_token(tokens, line, &text))
            read_token(tokens, text, token, context);
    } else if (slice_has_prefix(line, SLICE("id: "))) {
        read_id(tokens, slice_sub(line, 4, line.size));
    } else if (slice_equal(line, SLICE("event: tokenlog.end"))) {
        tokens->is_own_end = true;
    }
}

/* finish_line — joins the rest of the last piece with the front of `body`; false: its end is not
 * there yet. */
static bool finish_line(struct tokens *tokens, struct slice *body,
    void (*token)(void *context, uint64_t index), void *context)
{
    ptrdiff_t end = slice_find_byte(*body, '\n');
    size_t size = end < 0 ? body->size : (size_t)end;
    if (buf_append(&tokens->rest, slice_sub(*body, 0, size)) != ERR_OK) {
        tokens->problem = "a line is too long";
        return false;
    }
    if (end < 0)
        return false;
    read_line(tokens, buf_slice(&tokens->rest), token, context);
    buf_clear(&tokens->rest);
    *body = slice_sub(*body, size + 1, body->size);
    return true;
}

void tokens_feed(struct tokens *tokens, struct slice body,
    void (*token)(void *context, uint64_t index), void *context)
{
    if (tokens->problem || (tokens->rest.size > 0 && !finish_line(tokens, &body, token, context)))
        return;
    while (body.size > 0 && !tokens->problem) {
        const uint8_t *end = memchr(body.data, '\n', body.size);
        if (!end) {
            (void)finish_line(tokens, &body, token, context);
            return;
        }
        size_t size = (size_t)(end - body.data);
        read_line(tokens, (struct slice){body.data, size}, token, context);
        body = (struct slice){end + 1, body.size - size - 1};
    }
}
