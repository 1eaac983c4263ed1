/* continuation — a response whose provider died in its middle, gone on with by another one: what the
 * caller is told is one well-formed response of its dialect.
 *
 *     recorded events ─▶ continuation_take ─▶ what was said, and how far the caller was told
 *                            │
 *                            ├─ continuation_can ─▶ whether and how it can be gone on with
 *                            ├─ continuation_request ─▶ what to ask the next provider
 *                            └─ continuation_begin ─▶ a translation (translate.h): the next provider's
 *                                                     frames become the events that follow
 *
 * The recorded events are those the caller was shown, in its dialect, whoever wrote them: a provider
 * that speaks it, or a translation. So it is made when the death has come; a healthy stream pays nothing.
 *
 * What is asked: the caller's request, then what was said as the assistant's turn, which the model is to
 * go on with: by prefill, where it goes on with an assistant's message that comes last, else by a
 * user's message after it. Nothing is sent twice of what the dialect cannot take back: reasoning that is
 * not sealed by the target's own dialect is left out. Where nothing was said yet, it is the caller's
 * request and no more.
 *
 *     white space at the end of the text is not sent (Anthropic takes none there); if the next text begins
 *     with it, that is not shown again
 *     whole tool calls   stand in the turn; their results are not known, and are given as such: therefore by message.
 *                        A tool that had to be called was: the choice is then the model's. Where one
 *                        call at a time is allowed, no further one is
 *     JSON as the form of the answer, by a schema or without: refused once text was shown. No provider
 *                        would hold the second half to it
 *     the limit of tokens   less what is known to be used; never less than the budget of thinking needs
 *     stop sequences     as they were: one that the seam would cut in two is not seen
 *     usage              at the end the sum of what both said: the prompt counts twice, and the first's words
 *                        only as far as it had said their number. What each used is the producer's to keep
 *     IDs, model, created   of the response those that the caller was told first
 *     a provider's switches for prefill (continue_final_message, prefix)   are not sent
 *
 *   thread  one at a time                                                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_CONTINUATION_H
#define TOKENLOG_PROTOCOL_DIALECT_CONTINUATION_H

#include "protocol/dialect/translate.h"

/* How a user's message asks for it, unless it is configured otherwise. */
#define CONTINUATION_MESSAGE                                                                       \
    "Your answer was cut off by a broken connection. Go on exactly where it breaks off, in the "   \
    "middle of a word if need be: repeat nothing, and say nothing about the interruption."

/* continuation_codec — by its name, of a dialect that callers speak and whose responses can be gone on with.
 *   answers  ERR_NOTFOUND there is none */
enum err continuation_codec(struct slice dialect, const struct codec **out) NODISCARD;

struct continuation;
/* continuation_new — `caller` is continuation_codec's; the context is the response's, as for
 * translation_new, and is copied.
 *   faults ERR_NOMEM */
enum err continuation_new(const struct codec *caller, const struct sequence_context *context,
    struct continuation **out) NODISCARD;
struct continuation *continuation_free(struct continuation *continuation); /* NULL is taken; NULL */

/* continuation_take — the recorded events, SSE blocks, from the first one on, in order.
 *   answers  ERR_LIMIT more was said than is kept (fold.h) · faults ERR_NOMEM */
enum err continuation_take(struct continuation *continuation, struct slice event) NODISCARD;

enum continuation_way {
    CONTINUATION_CANNOT, /* fail honestly */
    CONTINUATION_ASKS,   /* another provider can be asked to go on */
    CONTINUATION_ENDS,   /* all was said, its finish too: only the terminator is missing */
};
/* continuation_can — the way, once all events were taken; where there is none, *why has a sentence, which
 * is valid as long as the continuation. `holds_tools`: calls were shown only once whole (hold.h), so
 * that one which still seems under way is whole. */
enum continuation_way continuation_can(
    const struct continuation *continuation, bool holds_tools, const char **why);

/* continuation_end — the terminator; of CONTINUATION_ENDS.
 *   answers, faults  as translation_event */
enum err continuation_end(struct continuation *continuation, struct buf *out) NODISCARD;

enum continuation_by {
    CONTINUATION_AUTO,    /* by prefill, if `takes_prefill` */
    CONTINUATION_PREFILL, /* also where it is not known whether the model takes it */
    CONTINUATION_MESSAGE_ONLY,
};
struct continuation_ask {
    struct slice body; /* the caller's request, as it came */
    const struct translate_target *target;
    bool takes_prefill;
    enum continuation_by by;
    struct slice message; /* of the user; empty: CONTINUATION_MESSAGE */
};
/* continuation_request — what to send, as translate_request; of CONTINUATION_ASKS. Prefill is not used
 * where it cannot be: after a tool call, with reasoning, or where a tool has to be called.
 *   answers, faults  as translate_request: ERR_INVALID also for what the header says is refused */
enum err continuation_request(const struct continuation *continuation, const struct codec *provider,
    const struct continuation_ask *ask, struct translated_request *out,
    struct neutral_report *report) NODISCARD;

/* continuation_begin — the translation of the response to that. Its first bytes come with the first
 * frame that says something to the caller: until then nothing was shown. What the continuation holds is
 * used up: to ask a third provider, make another from the recorded events.
 *   answers  ERR_LIMIT · faults ERR_NOMEM */
enum err continuation_begin(struct continuation *continuation, const struct codec *provider,
    struct translation **out) NODISCARD;

#endif
