/* fold — what a sequence of neutral events adds up to: a response that was not streamed, or what a
 * writer of streamed events has to repeat in full (the `done` events of OpenAI Responses).
 *
 *   thread  one at a time                                                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_FOLD_H
#define TOKENLOG_PROTOCOL_DIALECT_FOLD_H

#include "protocol/dialect/neutral.h"

enum {
    FOLD_PARTS_MAX = 4096,     /* parts of one response; models stop far below */
    FOLD_BYTES_MAX = 32 << 20, /* their texts together; a response is seldom above 1 MiB */
};

/* How much of the content is kept. Usage, finish and the names are always. */
enum fold_depth {
    FOLD_NOTHING,
    FOLD_REASONING, /* the reasoning part that is open, or was last */
    FOLD_EVERYTHING,
};

struct fold_part {
    enum neutral_part_kind kind;
    bool is_redacted;
    struct buf text; /* of a TOOL_CALL its arguments */
    struct buf id, name, format, opaque;
};

struct fold {
    enum fold_depth depth;
    struct buf id, model, stop, error_code, error_message;
    int64_t created_s;
    struct fold_part *parts; /* the open one is the last */
    size_t count, capacity;
    size_t bytes; /* kept in texts */
    struct neutral_usage usage;
    enum neutral_finish finish;
    bool is_started, is_finished, is_done, is_failed;
    int status; /* of the error, if is_failed */
    /* Of a response that goes on (continuation.h), where its dialect repeats itself: the items that the
     * caller was told whole, as they were told. */
    struct {
        struct buf items;   /* raw JSON, "," between them */
        int64_t count;      /* of them */
        size_t parts;       /* the first of `parts` are in them */
        struct buf open_id; /* of the item that was open then; empty: none was */
    } told;
};

void fold_init(struct fold *fold, enum fold_depth depth);
void fold_deinit(struct fold *fold);
/* fold_event — answers ERR_LIMIT a bound above · faults ERR_NOMEM */
enum err fold_event(struct fold *fold, const struct neutral_event *event) NODISCARD;
/* fold_last — the part that is open, or was last; NULL if none is kept. */
const struct fold_part *fold_last(const struct fold *fold);

#endif
