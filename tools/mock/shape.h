/* shape — the wire formats of the endpoints: what their events, whole answers and errors look like.
 *
 *   source  OpenAI API reference (chat, completions, embeddings, responses) and Anthropic API
 *           reference (messages, streaming), as of 2025; others in their files */
#ifndef TOKENLOG_TOOLS_MOCK_SHAPE_H
#define TOKENLOG_TOOLS_MOCK_SHAPE_H

#include "protocol/base/slice.h"
#include "tools/mock/frame.h"

struct shape;

/* What one answer says. */
struct answer {
    uint64_t generation;
    int64_t created_s;  /* Unix time */
    struct slice model; /* inside of a JSON string; borrowed */
    struct slice host;  /* ours, as the caller calls it; borrowed, and for predictions only */
    uint64_t prompt_tokens;
    uint64_t events;
    uint64_t text_bytes; /* of one token's text; 0: no filling */
    uint64_t inputs;     /* embeddings */
    bool has_usage;      /* a usage event was asked for */
    bool is_background;  /* it was asked for so */
    bool has_tool;       /* a call of a tool follows the text */
    bool is_failure;     /* of a prediction: it tells of one */
    unsigned piece;      /* of its arguments: which one is to be printed */
};

/* Where the bytes that differ between two tokens lie in the data of an event. */
struct token_spot {
    size_t index_at;         /* the token's index, in the text */
    size_t sequence_at;      /* a number of the event; SIZE_MAX where the shape has none */
    uint64_t sequence_first; /* that of token 0 */
    size_t pad_at;           /* where padding goes; behind the others; SIZE_MAX: nowhere */
    char pad;
};

const struct shape *shape_find(struct slice path); /* NULL: no inference endpoint */
bool shape_has_text(const struct shape *shape);
enum frame_kind shape_frames(const struct shape *shape); /* of its streams */
/* shape_streams — whether it answers with a stream, where the body asks for one or not.
 * shape_asks — whether a body that says nothing of it asks for one. */
bool shape_streams(const struct shape *shape, bool is_asked);
bool shape_asks(const struct shape *shape);
/* shape_model — the model's name in the path, decoded.  answers ERR_NOTFOUND it is in the body */
enum err shape_model(const struct shape *shape, struct slice path, struct buf *out) NODISCARD;
/* shape_repeats_text — some of the stream's events hold the whole text. */
bool shape_repeats_text(const struct shape *shape);
bool shape_is_anthropic(const struct shape *shape);
bool shape_is_kept(const struct shape *shape); /* where it is asked for in the background */
/* shape_is_elsewhere — it is answered by a place (prediction.h).
 * shape_is_cog — a stream is asked for by the field Accept. */
bool shape_is_elsewhere(const struct shape *shape);
bool shape_is_cog(const struct shape *shape);

/* shape_prelude, shape_tail — the events before the first and after the last token, but for the first
 * `skip` of them; `*count` is increased by each. */
enum err shape_prelude(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, uint64_t skip, struct buf *out, uint64_t *count) NODISCARD;
enum err shape_tail(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, uint64_t skip, struct buf *out, uint64_t *count) NODISCARD;
/* shape_token — the data of token `index`, not padded. Its text is " g<generation>t<index>", filled
 * with '.'. */
enum err shape_token(const struct shape *shape, const struct answer *answer, uint64_t index,
    struct buf *out, struct token_spot *spot) NODISCARD;
const char *shape_token_event(const struct shape *shape); /* the event's name; NULL for none */
/* shape_token_sequence — of those that are kept: the number of token `index`. */
uint64_t shape_token_sequence(uint64_t index);
/* shape_whole — the JSON of the answer that is no stream. */
enum err shape_whole(
    const struct shape *shape, const struct answer *answer, struct buf *out) NODISCARD;
/* shape_error — the JSON of an error answer; `shape` may be NULL (OpenAI's then). `message` goes
 * inside a JSON string. */
enum err shape_error(
    const struct shape *shape, unsigned status, struct slice message, struct buf *out) NODISCARD;
/* shape_error_event — an error in the midst of a stream, after `index` tokens. */
enum err shape_error_event(const struct shape *shape, const struct frame *frame, uint64_t index,
    struct buf *out) NODISCARD;

#endif
