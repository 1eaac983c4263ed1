/* shape_parts — what an endpoint's file says of its wire format; for shape.c. */
#ifndef TOKENLOG_TOOLS_MOCK_SHAPE_PARTS_H
#define TOKENLOG_TOOLS_MOCK_SHAPE_PARTS_H

#include "tools/mock/shape.h"

/* The data of one token's event, and of any other, or a whole answer.  answers buf_append's */
typedef enum err token_fn(
    const struct answer *answer, uint64_t index, struct buf *out, struct token_spot *spot);
typedef enum err whole_fn(const struct answer *answer, struct buf *out);

enum line_when { ALWAYS, IF_USAGE, IF_TOOL, IF_TOOL_BY_PIECES /* one event for each */ };

/* One event of a prelude or tail. */
struct line {
    const char *event; /* NULL: no name */
    whole_fn *data;
    enum line_when when;
};

enum { LINES_MAX = 8 };

/* Whose errors it has. */
enum family {
    FAMILY_OPENAI,
    FAMILY_RESPONSES,
    FAMILY_ANTHROPIC,
    FAMILY_GEMINI,
    FAMILY_COHERE,
    FAMILY_OLLAMA,
    FAMILY_BEDROCK,
    FAMILY_REPLICATE,
    FAMILY_COG,
};
enum streams { STREAMS_IF_ASKED, STREAMS_ALWAYS, STREAMS_NEVER, STREAMS_UNLESS_REFUSED };

struct shape {
    const char *path;
    const char *method; /* …path, the model's name, and this; NULL: the name is in the body */
    const char *known_model; /* the name where there is none; else NULL */
    enum family family;
    enum streams streams;
    enum frame_kind frames;
    const char *token_event;
    token_fn *token; /* NULL: it gives no text */
    whole_fn *whole;
    struct line prelude[LINES_MAX];
    struct line tail[LINES_MAX];
    bool repeats_text;
    bool is_elsewhere;
    bool is_kept; /* in the background, if asked: background.h */
};

extern const struct shape shape_chat, shape_completions, shape_embeddings, shape_responses,
    shape_messages, shape_gemini, shape_gemini_stream, shape_cohere, shape_ollama, shape_bedrock,
    shape_bedrock_stream, shape_replicate, shape_cog, shape_cog_named, shape_interactions;

#define SHAPE_EVENT_ID     "mock+/=" /* and the number of the event: opaque to who asks */
#define SHAPE_FAIL_MESSAGE "The mock was asked to fail here."

/* shape_text — a token's text; its index begins at *index_at, unless that is NULL.
 * shape_whole_text — that of all tokens.   answers buf_append's */
enum err shape_text(
    const struct answer *answer, uint64_t index, struct buf *out, size_t *index_at) NODISCARD;
enum err shape_whole_text(const struct answer *answer, struct buf *out) NODISCARD;

#endif
