/* sequence — the neutral events of one response, put in order as a dialect's reader finds them.
 *
 * A reader says what it saw (text, a tool call, a finish reason); what has to stand between (the
 * end of the part before, a start that the provider left out) is added here, so that a writer can
 * rely on the order drawn in neutral.h. The events of a frame are taken, then cleared, before the
 * next frame.
 *
 * Errors stick, as with a json_writer: check `err` once, after the frame.
 *   ERR_LIMIT the frame says more than NEUTRAL_FRAME_BYTES_MAX can hold · fault ERR_NOMEM
 *
 *   thread  one at a time                                                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_SEQUENCE_H
#define TOKENLOG_PROTOCOL_DIALECT_SEQUENCE_H

#include "protocol/dialect/neutral.h"

/* What a response is translated with besides its own bytes: the same every time it is replayed. */
struct sequence_context {
    struct slice stream_id;   /* text; the IDs we make are derived from it (without its dashes) */
    int64_t created_s;        /* Unix time of the request, for providers that say none */
    struct slice model;       /* as the caller named it, for providers that say none */
    bool includes_usage;      /* neutral_request.includes_usage */
    struct slice response_id; /* as the caller was told it already: of a response that goes on
                               * (continuation.h); empty: it is made of stream_id */
};

struct sequence {
    const struct sequence_context *context; /* borrowed; outlives it */
    struct neutral_event *events;           /* of this frame; texts from the frame or the arena */
    size_t count, capacity;
    struct arena arena; /* for decoded texts; cleared with the events */
    enum err err;
    struct neutral_usage usage; /* so far */
    bool is_started, is_open, is_finished, is_over;
    enum neutral_part_kind open; /* while is_open */
    uint32_t tool_calls;         /* begun so far */
    bool has_content;            /* something of the part that is open, or was last, was said */
    /* Of a response that goes on, by sequence_resume: */
    bool goes_on; /* the open part was begun before, and nothing was added to it yet */
    struct neutral_usage before; /* what was used until then: events say the sum */
    struct slice repeated;       /* white space that the text ended in: not said a second time */
};

void sequence_init(struct sequence *sequence, const struct sequence_context *context);
void sequence_deinit(struct sequence *sequence);
void sequence_clear(struct sequence *sequence);

/* sequence_resume — at the start: a response goes on that another reader's sequence `before` told
 * of. There is no further START; a TEXT that was open stays open for the first words that follow;
 * tool calls are counted on; usage is the sum. `repeated` is borrowed: what the text ended in; if the text
 * that follows begins so, that much of it is dropped.
 *     `before` is not over, and nothing but a TEXT is open in it */
void sequence_resume(
    struct sequence *sequence, const struct sequence *before, struct slice repeated);

/* sequence_start — more than one changes nothing. Left out: ids and models stay empty. */
void sequence_start(
    struct sequence *sequence, struct slice id, struct slice model, int64_t created_s);
/* sequence_open — begins a TEXT, REFUSAL or REASONING part; the one before ends. */
void sequence_open(struct sequence *sequence, enum neutral_part_kind kind);
/* sequence_text — more of such a part, which is begun if none of its kind is open. An empty text
 * changes nothing. */
void sequence_text(struct sequence *sequence, enum neutral_part_kind kind, struct slice text);
/* sequence_tool_call — begins one; without an ID it gets "call_<stream id>_<n>".
 * sequence_call_id — that ID, for the next call: where something before it has to name it.
 * sequence_arguments — more of the open one's. A call that ends without any has the arguments {}:
 * callers parse them. */
void sequence_tool_call(struct sequence *sequence, struct slice id, struct slice name);
struct slice sequence_call_id(struct sequence *sequence);
void sequence_arguments(struct sequence *sequence, struct slice text);
/* sequence_seal — of the open REASONING part, which is begun if none is open.
 * sequence_redacted — a whole part of nothing but its seal. */
void sequence_seal(
    struct sequence *sequence, struct slice format, struct slice id, struct slice opaque);
void sequence_redacted(
    struct sequence *sequence, struct slice format, struct slice id, struct slice opaque);
void sequence_close(struct sequence *sequence); /* the open part, if one is */
/* sequence_usage — counts are cumulative: the larger of two is the later one, -1 says nothing. */
void sequence_usage(struct sequence *sequence, const struct neutral_usage *usage);
/* sequence_finish — the first one counts. STOP after a tool call is TOOL_CALLS: some providers say
 * so. `stop` is the sequence that was met, or empty. */
void sequence_finish(struct sequence *sequence, enum neutral_finish finish, struct slice stop);
/* sequence_done — the terminator. sequence_error — instead of one. What comes later is nothing. */
void sequence_done(struct sequence *sequence);
void sequence_error(struct sequence *sequence, int status, struct slice code, struct slice message);
/* sequence_cannot — an error of ours: the provider said what cannot be translated; `what` names it.
 * A stream that leaves something out must not end as if it were whole. */
void sequence_cannot(struct sequence *sequence, const char *what, struct slice name);

#endif
