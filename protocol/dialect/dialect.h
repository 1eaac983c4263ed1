/* dialect — one provider wire format a file, behind one table.
 *
 * A dialect says how a response is framed, and reads each event for what the accounts and the honest end need: usage, finish
 * reason, terminator, error. It never changes a byte of what the caller receives.
 *
 *   POST /v1/chat/completions   openai_chat        data: {chunk} … data: [DONE]
 *   POST /v1/completions        openai_chat        the same framing
 *   POST /v1/responses          openai_responses   event: response.completed | .incomplete | .failed
 *   POST /v1/messages           anthropic          event: message_stop
 *   POST /v1/embeddings, …      opaque             HTTP's own framing is the terminator
 *
 *   thread  any · no state outside struct dialect_reading                                                          */
#ifndef TOKENLOG_PROTOCOL_DIALECT_DIALECT_H
#define TOKENLOG_PROTOCOL_DIALECT_DIALECT_H

#include "protocol/data/row.h"

/* What has been learnt of one response so far; embedded in the producer. Init by dialect_reading_init. */
struct dialect_reading {
    struct usage usage;
    char finish_reason[64];
    char error[256];       /* the provider's own message of an error event; empty if none */
    bool is_terminated;    /* the terminator was seen: the response is complete */
    bool is_failed;        /* an error event was seen */
    bool hides_usage;      /* usage was asked for on the caller's behalf: the usage-only chunk is an aside */
};
void dialect_reading_init(struct dialect_reading *reading);

enum dialect_verdict {
    DIALECT_EVENT, /* goes to the caller */
    DIALECT_ASIDE, /* recorded beside the stream, without a number, never shown to the caller */
};

struct dialect {
    const char *name;
    /* read_event — one SSE block. Cheap on ordinary chunks (looks for the few byte patterns that can matter, then parses). */
    enum dialect_verdict (*read_event)(struct dialect_reading *reading, struct slice block);
    /* read_body — a whole non-streamed body, once, at its end (JSON with usage); may be called with a part if the body was too large: then it does nothing. */
    void (*read_body)(struct dialect_reading *reading, struct slice body);
    /* is_terminator_residue — whether bytes without their blank line at a clean end of the transfer are the terminator all the same (`data: [DONE]` and EOF). NULL: never. */
    bool (*is_terminator_residue)(struct slice residue);
    /* ask_usage — whether a request for usage can be spliced into a streamed request of this dialect, and how: see dialect_request. */
    bool asks_usage;
    /* How errors look to a caller of this dialect: appended JSON. `type` e.g. "invalid_request_error"; code stable; param may be NULL. */
    enum err (*write_error)(struct buf *out, int status, const char *code, struct slice message, const char *param);
};

/* dialect_for_path — the allow-list of inference calls: exact paths (without query). ERR_NOTFOUND: not an inference call.
 *   /v1/chat/completions /v1/completions /v1/embeddings /v1/responses /v1/messages /v1/moderations /v1/images/generations
 *   /v1/audio/speech /v1/rerank  — never files, fine-tuning, batches or organisation calls. */
enum err dialect_for_path(struct slice path, const struct dialect **out) NODISCARD;
enum err dialect_by_name(struct slice name, const struct dialect **out) NODISCARD;
/* dialect_write_error — by name of the caller's path family; openai's shape where there is no dialect (NULL). */
enum err dialect_write_error(const struct dialect *dialect, struct buf *out, int status, const char *code, struct slice message, const char *param) NODISCARD;

/* A request, read for what routing needs, and rewritten for the provider by splices only. */
struct dialect_request {
    struct slice model_raw;  /* the JSON string span of "model" in the body; SLICE_NONE if absent */
    char model[256];         /* decoded */
    bool is_streamed;        /* "stream": true */
    bool has_usage_asked;    /* the caller asked for usage itself */
};
/* dialect_read_request — answers ERR_INVALID with *why (static, says what to do) and *param. Body: a JSON object, UTF-8. */
enum err dialect_read_request(const struct dialect *dialect, struct slice body, struct dialect_request *out, const char **why, const char **param) NODISCARD;
/* dialect_write_request — the body to send, appended to `out`: `model` in place of the caller's (if not empty), stream_options.include_usage
 * added where the dialect asks for usage, the request is streamed and the caller did not ask (then *hides_usage becomes true). All other bytes as they were. */
enum err dialect_write_request(const struct dialect *dialect, struct slice body, const struct dialect_request *request, struct slice model, bool ask_usage, struct buf *out, bool *hides_usage) NODISCARD;

#endif
