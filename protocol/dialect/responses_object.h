/* responses_object — the object of a response of OpenAI's Responses API, so far: what GET
 * /v1/responses/{id} shows, folded from the recorded events of its stream.
 *
 *     response.created, .queued, .in_progress, …   {"response": {…}}     the object, without its output
 *     response.output_item.added                   {"output_index", "item"}       an item begins
 *     response.content_part.added, ….delta, .done  {"output_index", …}            what it has so far
 *     response.output_item.done                    {"output_index", "item"}       the item, in full
 *     response.completed | .incomplete | .failed   {"response": {…}}     the object, in full: the last
 *     error                                        {"code", "message"}            why it ends
 *
 * It is made of the provider's own JSON, spliced: nothing that an item holds is lost because it is not
 * known here (hosted tools, annotations), and numbers keep their digits.
 *
 *   thread  one at a time
 *   source  openai-python src/openai/types/responses at e43b4224 (2026-08-21)                     */
#ifndef TOKENLOG_PROTOCOL_DIALECT_RESPONSES_OBJECT_H
#define TOKENLOG_PROTOCOL_DIALECT_RESPONSES_OBJECT_H

#include "protocol/base/slice.h"

enum {
    RESPONSES_ITEMS_MAX = 1024, /* of one output; the largest that we have seen have dozens */
    RESPONSES_PARTS_MAX = 1024, /* of one item, likewise */
};

struct responses_item;

struct responses_object {
    struct buf base;  /* the newest `response`, raw; empty: none came */
    struct buf error; /* of an error event: {"code", "message"}; empty: none came */
    struct responses_item *items;
    size_t item_count;
    size_t bytes_max, bytes; /* of all texts kept */
    bool is_final;           /* `base` is the object in full */
};

/* responses_object_init — `bytes_max` bounds what is kept. */
void responses_object_init(struct responses_object *object, size_t bytes_max);
void responses_object_deinit(struct responses_object *object);

/* responses_object_event — one SSE block, in order. What is malformed or unknown adds nothing.
 *   answers  ERR_LIMIT a bound above, or `bytes_max`, is passed · faults ERR_NOMEM */
enum err responses_object_event(struct responses_object *object, struct slice block) NODISCARD;

/* What the recording's row says of it. */
struct responses_state {
    struct slice id;      /* as the caller knows it */
    const char *status;   /* of a response that is not final; NULL: as the newest `response` says */
    struct slice code;    /* why it has failed, where no event says; empty: it has not */
    struct slice message; /* likewise, for people */
    struct slice model;   /* for a response whose first event did not come */
    int64_t created_s;    /* likewise; Unix time */
    bool is_over;         /* nothing more will come: an item that was begun is incomplete */
};
/* responses_object_write — the JSON object, appended to `out`.
 *   answers  buf_append's; a part may have been appended */
enum err responses_object_write(const struct responses_object *object,
    const struct responses_state *state, struct buf *out) NODISCARD;

/* responses_sequence_number — of one event; ERR_NOTFOUND: it has none. */
enum err responses_sequence_number(struct slice block, uint64_t *out) NODISCARD;

#endif
