/* behavior — what a model's name asks the mock to do: `mock,key=value,…` after any prefix.
 * README.md has the grammar. */
#ifndef TOKENLOG_TOOLS_MOCK_BEHAVIOR_H
#define TOKENLOG_TOOLS_MOCK_BEHAVIOR_H

#include "protocol/base/slice.h"

enum behavior_fault {
    FAULT_NONE,
    FAULT_REFUSE,      /* RST before any response byte */
    FAULT_STALL,       /* N tokens, then silence */
    FAULT_RESET,       /* N tokens, then RST */
    FAULT_CLOSE,       /* N tokens, then FIN in the middle of the body */
    FAULT_END,         /* N tokens, then the body ends well, without finish or terminator */
    FAULT_TRUNCATE,    /* N tokens and half of the next, then RST */
    FAULT_ERROR,       /* N tokens, an error event, then the body ends well */
    FAULT_GARBAGE,     /* N tokens, then bytes that are no chunk */
    FAULT_FIRST_ERROR, /* an error event before anything else, then the body ends well */
};

enum behavior_sse { SSE_LF, SSE_CRLF, SSE_CR, SSE_BOM /* LF after a byte order mark */ };

struct behavior {
    uint64_t events;        /* tokens */
    uint64_t rate_milli;    /* thousandths of a token per second; 0: as fast as possible */
    uint64_t size_bytes;    /* of a token's SSE event, reached by padding */
    uint64_t text_bytes;    /* of a token's text, reached by filling; 0: the bare token */
    uint64_t ttft_ms;       /* silence before the response's head */
    uint64_t burst;         /* tokens per write */
    uint64_t status;        /* an error answer instead; 0: none */
    uint64_t retry_after_s; /* with status; 0: no header */
    uint64_t fails;         /* so many first requests of this name get a 500 */
    uint64_t cuts;  /* in the background: so many connections meet the fault, at N of their own */
    uint64_t busy;  /* likewise: so many further ones get a 503 */
    uint64_t polls; /* so often a prediction is said not to be done */
    uint64_t fault_at; /* the N of the fault; clipped to `events` */
    enum behavior_fault fault;
    enum behavior_sse sse;
    bool has_tool;        /* tool=1: a call of a tool behind the text */
    bool is_byte_wise;    /* write=1 */
    bool is_close_framed; /* frame=close: the body ends where the connection does */
    bool is_forgotten;    /* forget=1: in the background, and not given out again */
    bool is_dropped;      /* drop=head: FIN before any response byte */
};

/* behavior_parse — a name without the word `mock` gives the defaults; so does plain `mock`.
 *   answers  ERR_INVALID an unknown key or a value out of range: `*wrong` borrows that item from
 *            `model` */
enum err behavior_parse(struct slice model, struct behavior *out, struct slice *wrong) NODISCARD;

#endif
