/* dialect — one provider wire format a file, behind one table.
 *
 * A dialect says how a response is framed, and reads each event for what the accounts and the
 * honest end need: usage, finish reason, terminator, error. It never changes a byte of what the
 * caller gets.
 *
 *   POST /v1/chat/completions   openai_chat        data: {chunk} … data: [DONE]
 *   POST /v1/completions        openai_chat        the same framing
 *   POST /v1/responses          openai_responses   event: response.completed | response.incomplete
 *   POST /v1/messages           anthropic          event: message_stop
 *   …:streamGenerateContent     gemini             HTTP's own framing, after a finishReason
 *   POST /v1beta/interactions   gemini_interactions   HTTP's own framing, after interaction.completed
 *   POST /v2/chat               cohere             event: message-end
 *   POST /api/chat              ollama             a line with "done": true
 *   POST /model/…/converse-stream   bedrock        the messages messageStop and metadata
 *   GET …/predictions/…         replicate          event: done; a Cog container's: completed
 *   POST /v1/embeddings, …      opaque             HTTP's own framing is the terminator
 *
 *   thread  any · no state outside struct dialect_reading                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_DIALECT_H
#define TOKENLOG_PROTOCOL_DIALECT_DIALECT_H

#include "protocol/data/row.h"
#include "protocol/http/frames.h"

enum {
    DIALECT_FINISH_REASON_BYTES = 64, /* with its NUL; a provider's word is about ten letters */
    DIALECT_ERROR_BYTES = 256,        /* with its NUL; the whole error is in the recorded event */
    DIALECT_MODEL_BYTES = 256,        /* with its NUL; longer names are refused */
    DIALECT_ID_BYTES = 128,           /* with its NUL; longer IDs lead to no stream */
};

/* What has been learnt of one response so far; embedded in the producer. */
struct dialect_reading {
    struct usage usage;                              /* the meaning is row.h's, for every dialect */
    char finish_reason[DIALECT_FINISH_REASON_BYTES]; /* the provider's word; the first of several */
    char error[DIALECT_ERROR_BYTES]; /* the provider's own message, cut to fit; empty if none */
    char id
        [DIALECT_ID_BYTES]; /* of the response, where callers ask for it again by that (Responses) */
    bool is_terminated;     /* the terminator was seen: the response is complete */
    bool is_failed;         /* an error event was seen, or the body is an error */
    bool owes_finish; /* content was seen whose finish reason has not come, of a dialect without a
                       * terminator: a clean end of the transfer would cut it short */
    bool hides_usage; /* usage was asked for on the caller's behalf: its chunk is an aside */
};
void dialect_reading_init(struct dialect_reading *reading);

enum dialect_verdict {
    DIALECT_EVENT, /* goes to the caller */
    DIALECT_ASIDE, /* recorded beside the stream, without a number, never shown to the caller */
};

enum { DIALECT_CURSOR_BYTES_MAX = 1024 }; /* a number, or some 100 bytes of base64 */

/* How a response that the provider keeps is asked for again: GET the place where it was made, a slash, its ID
 * (reading.id), "?stream=true" and, for what comes behind an event, `after` and that event's cursor. POST
 * with "/cancel" behind the ID ends it. */
struct dialect_again {
    const char *after;
    /* cursor — of one event, appended to `out`.  answers ERR_NOTFOUND it has none · buf_append's */
    enum err (*cursor)(struct slice block, struct buf *out);
    bool is_numbered; /* each event has one, a decimal number that rises */
};

struct dialect {
    const char *name;
    enum framing framing; /* of its streamed responses */
    /* NULL, or the dialect whose providers have calls of this one too, at the paths that it speaks. */
    const char *beside;
    /* speaks — whether the call at this path of a provider's own API is of the dialect; NULL: all
     * are. (Others are passed on as opaque bytes.) */
    bool (*speaks)(struct slice path);
    /* Whether a streamed response ends by a terminator of its own, to be seen by read_event; if
     * not, HTTP's framing is its end, unless reading.owes_finish. (A response that is not streamed
     * always ends by HTTP's framing.) */
    bool has_terminator;
    /* Whether usage can be asked for by a splice into a streamed request: dialect_write_request. */
    bool asks_usage;
    /* Whether a request may ask for its answer in the background. */
    bool has_background;
    /* NULL: no response is given out again. */
    const struct dialect_again *again;
    /* teaches — false: read_event would learn nothing from this block, and answer DIALECT_EVENT.
     * Much cheaper; nearly all blocks are such. NULL: it may learn from any. */
    bool (*teaches)(struct slice block);
    /* read_event — one frame: an SSE block, a line, a message. Cheap on ordinary chunks; malformed
     * ones teach it nothing. */
    enum dialect_verdict (*read_event)(struct dialect_reading *reading, struct slice block);
    /* read_body — a whole body that was not streamed, once, at its end. What is no JSON object
     * (audio, or a part of a body that was too large to keep) teaches it nothing. */
    void (*read_body)(struct dialect_reading *reading, struct slice body);
    /* is_terminator_residue — whether bytes without the end of their frame, at a clean end of the
     * transfer, are the terminator all the same (`data: [DONE]` and EOF). Then they are an event:
     * read_event. */
    bool (*is_terminator_residue)(struct slice residue);
    /* write_error — see dialect_write_error. */
    enum err (*write_error)(
        struct buf *out, int status, const char *code, struct slice message, const char *param);
};

/* dialect_for_path — the allow-list of inference calls: exact paths, without the query.
 *     /v1/chat/completions /v1/completions /v1/embeddings /v1/responses /v1/messages
 *     /v1/moderations /v1/images/generations /v1/audio/speech /v1/rerank
 * Never files, fine-tuning, batches or organisation calls.  answers ERR_NOTFOUND
 * dialect_by_name — as kept in a row.  answers ERR_NOTFOUND
 * dialect_of_native — of a call at this path of a provider that speaks the dialect `name`.  answers
 *   ERR_NOTFOUND it is of none that is known */
enum err dialect_for_path(struct slice path, const struct dialect **out) NODISCARD;
enum err dialect_by_name(struct slice name, const struct dialect **out) NODISCARD;
enum err dialect_of_native(
    struct slice name, struct slice path, const struct dialect **out) NODISCARD;

/* dialect_write_error — how an error of ours looks to a caller of the dialect (NULL: OpenAI's
 * shape): JSON, appended to `out`. The type follows from the status; `code` is stable; `param` may
 * be NULL.
 *   answers  buf_append's; a part may have been appended
 *   source   https://platform.openai.com/docs/guides/error-codes
 *            https://docs.anthropic.com/en/api/errors                                            */
enum err dialect_write_error(const struct dialect *dialect, struct buf *out, int status,
    const char *code, struct slice message, const char *param) NODISCARD;

/* A request, read for what routing needs; it is rewritten for the provider by splices only. */
struct dialect_request {
    struct slice model_raw;          /* the span of "model" in the body; SLICE_NONE if absent */
    char model[DIALECT_MODEL_BYTES]; /* decoded; empty if absent */
    bool is_streamed;                /* "stream": true */
    bool has_usage_asked;            /* the caller asked for usage itself */
    bool is_background;              /* "background": true, in a dialect that has it */
    /* The provider is to be asked so, and to store it, even if the caller did not; set before it is written. */
    bool keeps_background;
    bool refuses_store; /* "store": false, likewise: nothing is to be kept there */
};

/* dialect_read_request — the body must be one JSON object in UTF-8; model_raw is borrowed from it.
 *   answers  ERR_INVALID with a static sentence in *why, and in *param the member at fault or NULL
 *   faults   ERR_NOMEM */
enum err dialect_read_request(const struct dialect *dialect, struct slice body,
    struct dialect_request *out, const char **why, const char **param) NODISCARD;

/* dialect_write_request — the body to send, appended to `out`. `model`, if not empty, takes the
 * place of the caller's. With `ask_usage`, stream_options.include_usage becomes true where the
 * dialect can ask, the request is streamed and the caller did not ask; then *hides_usage becomes
 * true, else false. What is asked for in the background becomes streamed, and "background" what
 * keeps_background says: else we are what goes on without the caller. All other bytes stay as they were.
 *   `body` and `request` are as dialect_read_request took and made them
 *   answers  ERR_LIMIT `out` is full (a part may have been appended) · faults ERR_NOMEM */
enum err dialect_write_request(const struct dialect *dialect, struct slice body,
    const struct dialect_request *request, struct slice model, bool ask_usage, struct buf *out,
    bool *hides_usage) NODISCARD;

#endif
