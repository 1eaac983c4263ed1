/* tokens — the check of what arrives: a body's bytes in, events out, each token's number verified.
 *
 * Event 0 of a recorded chat stream is the one before the first token, so event e holds token e - 1;
 * the text of token i is ` g<generation>t<i>` (tools/mock/README.md). A body fed whole or in any
 * pieces gives the same result. JSON is not parsed: a token stands where the last one stood, or is
 * searched for.
 *
 *   owns    at most one line that is not complete yet
 *   thread  one                                                                                   */
#ifndef TOKENLOG_TOOLS_BENCH_TOKENS_H
#define TOKENLOG_TOOLS_BENCH_TOKENS_H

#include "protocol/base/slice.h"

struct tokens {
    uint64_t next_event; /* index of the event that comes next = events received so far */
    uint64_t next_token;
    uint64_t generation; /* 0: not seen yet */
    bool has_data;       /* of the event that is being read */
    bool is_own_end;     /* it is tokenlog.end: not counted */
    bool is_done;        /* the provider's terminator was read */
    bool is_ended;       /* tokenlog.end was */
    size_t place;        /* in its line, of the last token */
    const char *problem; /* the first thing that was wrong, or NULL; then nothing more is read */
    struct buf rest;     /* of a line whose end has not come yet */
};

/* tokens_begin — a stream read from event `first_event` on. */
void tokens_begin(struct tokens *tokens, uint64_t first_event);
/* tokens_resume — the same stream goes on in another response: what was read of an event is
 * forgotten. */
void tokens_resume(struct tokens *tokens);
void tokens_deinit(struct tokens *tokens);
/* tokens_feed — `token` is called for each one that is right, once, in order. */
void tokens_feed(struct tokens *tokens, struct slice body,
    void (*token)(void *context, uint64_t index), void *context);

#endif
