/* call — what an inference request's JSON body asks for (cJSON inside). */
#ifndef TOKENLOG_TOOLS_MOCK_CALL_H
#define TOKENLOG_TOOLS_MOCK_CALL_H

#include "protocol/base/slice.h"

struct call {
    struct buf model;               /* its name, not empty */
    uint64_t prompt_tokens;         /* a quarter of the body's bytes, at least 1 */
    uint64_t inputs;                /* strings to embed; 1 where `input` is no array */
    bool is_stream, refuses_stream; /* "stream": true, false */
    bool is_background;             /* "background": true */
    bool has_usage;                 /* stream_options.include_usage */
};

/* call_parse — `model`: its name, where it is not in the body; else SLICE_NONE.
 *   answers ERR_INVALID: no JSON object with a "model" of 1 … MODEL_BYTES_MAX bytes ·
 * faults ERR_NOMEM
 *   owns  the caller deinits `out` after ERR_OK */
enum err call_parse(struct slice body, struct slice model, struct call *out) NODISCARD;
void call_deinit(struct call *call);

#endif
