/* translate — a request or a response of one dialect as one of another.
 *
 * Where caller and provider speak the same dialect nothing of this is used: bytes are passed on as
 * they are (dialect.h). Otherwise:
 *
 *     caller's body ──▶ read ──▶ neutral request ──▶ write ──▶ provider's body, path, headers
 *     provider's frame ──▶ read ──▶ 0…n neutral events ──▶ write ──▶ 0…n frames for the caller
 *
 * What the provider's dialect has no words for is refused, by its path in the caller's body and
 * with a reason, and never dropped unsaid; mere hints (a cache marker, an image's level of detail)
 * are left out and listed. README.md has the table.
 *
 * How a producer uses it. Once, before it dispatches:
 *
 *     translate_request(caller, provider, body, &target, &sent, &report)
 *         ERR_INVALID: 400 with report.path as `param` and report.why; nothing was dispatched
 *     send sent.body to sent.path with sent.headers; head field Tokenlog-Left-Out: report.left_out
 *
 * then for the response, between the splitter of the provider's framing and that of the caller's:
 *
 *     bytes ▶ split as translate_framing_of(provider) ─┬▶ raw frame: tail_aside, for audit
 *                                                      └▶ translation_event ▶ bytes in SSE
 *          ▶ sse_split ▶ the *caller's* dialect->read_event ▶ tail: the stream of record
 *     at a clean end of the transfer: what is left without its blank line is a frame too if the
 *          *provider's* dialect->is_terminator_residue says so; then translation_end, the same way
 *
 * The stream of record is what the caller received. The caller's dialect reads usage, terminator
 * and errors from it exactly as in a pass-through; so the usage chunk of Chat Completions is always
 * written, and the producer sets reading.hides_usage unless sent.includes_usage. A provider's frame
 * that says nothing to the caller (a ping) gives no bytes; it is in the asides all the same.
 *
 * The same context and the same frames give the same bytes, on every replay.
 *
 * A response that is not streamed: translation_body, whole. An error status: translation_failure.
 *
 *   thread  a translation: one at a time; else any                                               */
#ifndef TOKENLOG_PROTOCOL_DIALECT_TRANSLATE_H
#define TOKENLOG_PROTOCOL_DIALECT_TRANSLATE_H

#include "protocol/dialect/dialect.h"
#include "protocol/dialect/neutral.h"
#include "protocol/dialect/sequence.h"

struct codec;
/* translate_codec — of a dialect by name, as in dialect_by_name.
 *   answers  ERR_NOTFOUND it is passed through only
 * translate_takes_calls, translate_asks — whether callers may speak it, and providers.
 * translate_framing_of — how a provider's streamed response is cut into frames. */
enum err translate_codec(struct slice dialect, const struct codec **out) NODISCARD;
bool translate_takes_calls(const struct codec *codec);
bool translate_asks(const struct codec *codec);
/* translate_prefix — what its own calls stand behind where a provider's address says nothing else: "/v1beta".
 * NULL: callers speak it, and its calls have the paths of theirs. */
const char *translate_prefix(const struct codec *codec);
enum framing translate_framing_of(const struct codec *codec);
const char *translate_content_type(const struct codec *codec); /* of its streamed responses */
/* translate_dialect — that the codec is of. */
const struct dialect *translate_dialect(const struct codec *codec);
/* translate_is_spoken — whether the dialect of that name is one of both callers and providers. */
bool translate_is_spoken(struct slice dialect);

/* ---- requests ---- */

/* What the catalogue knows of the model that will be asked. */
struct translate_target {
    struct slice model;        /* the provider's name for it */
    int64_t output_tokens_max; /* 0: unknown. For dialects that insist on a limit, where the caller
                                * gave none; if unknown, TRANSLATE_OUTPUT_TOKENS */
    bool takes_effort;         /* Anthropic: the model takes output_config.effort and adaptive
                                * thinking, Gemini: thinkingLevel; else a budget of tokens is
                                * computed */
    bool takes_reasoning;      /* Chat Completions: reasoning_content may be sent back, Cohere:
                                * thinking */
    bool takes_max_tokens;     /* Chat Completions: max_tokens, not max_completion_tokens */
};
enum { TRANSLATE_OUTPUT_TOKENS = 4096 /* every model of such a dialect can write that much */ };

struct translated_request {
    struct buf body;
    struct buf path;     /* of OpenAI's and Anthropic's from /v1 on; of others behind the provider's
                          * dialect_prefix: /chat, /models/MODEL:streamGenerateContent?alt=sse */
    const char *headers; /* static: "name: value\r\n" each, besides content-type and credentials */
    bool is_streamed, includes_usage; /* as the caller asked */
};
void translated_request_init(struct translated_request *request, size_t body_bytes_max);
void translated_request_deinit(struct translated_request *request);

/* translate_request
 *   answers  ERR_INVALID the report names the path and says why; nothing of it was sent
 *            ERR_LIMIT   the body to send, or what it is read into, is past its bound
 *   faults   ERR_NOMEM                                                                           */
enum err translate_request(const struct codec *caller, const struct codec *provider,
    struct slice body, const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report) NODISCARD;

/* ---- responses ---- */

struct translation;
/* translation_new — one response. The context's slices are copied.
 *   faults ERR_NOMEM */
enum err translation_new(const struct codec *provider, const struct codec *caller,
    const struct sequence_context *context, struct translation **out) NODISCARD;
struct translation *translation_free(struct translation *translation); /* NULL is taken; NULL */

/* translation_event — one whole frame of the provider's; the caller's frames are appended to `out`.
 * After the terminator, or an error, frames give nothing.
 *   answers  ERR_LIMIT a bound was passed, or `out` is full: end the stream as failed
 *   faults   ERR_NOMEM
 * translation_end — a clean end of the transfer. A provider that ends by its framing has its
 * terminator written here; of one that should have sent its own, nothing is written: the stream
 * stays cut short. */
enum err translation_event(
    struct translation *translation, struct slice frame, struct buf *out) NODISCARD;
enum err translation_end(struct translation *translation, struct buf *out) NODISCARD;

/* translate_follow — where the answer is to be had, of a provider that answers a request (status 2xx, a
 * JSON body) by its place. The URL is appended; to `cancel` that which is asked, by POST, to end the answer: nothing
 * if there is none, or it does not fit.
 *   answers  ERR_NOTFOUND the body is the answer
 *            ERR_AGAIN    the place is to be asked again and again, until its body is the answer
 *            ERR_LIMIT    the URL is too long · faults ERR_NOMEM
 * translate_follows — whether the provider's dialect has such answers.
 * translate_whole_event — a streamed answer that came whole, as a body: as an SSE block, appended. */
bool translate_follows(const struct codec *provider);
enum err translate_follow(const struct codec *provider, struct slice body, bool is_streamed,
    struct buf *url, struct buf *cancel) NODISCARD;
enum err translate_whole_event(
    const struct codec *provider, struct slice body, struct buf *out) NODISCARD;

/* translation_body — a response with status 200 that was not streamed. *status is 200, or that of
 * the error that is in the body. One that is not of the provider's dialect: 502.
 * translation_failure — a response with another status, streamed or not: its error in the caller's
 * shape. With which status it goes to the caller is the producer's business.
 *   answers, faults  as translation_event */
enum err translation_body(
    struct translation *translation, struct slice body, struct buf *out, int *status) NODISCARD;
enum err translation_failure(
    struct translation *translation, int status, struct slice body, struct buf *out) NODISCARD;

/* translation_usage — so far, with what struct usage has no place for; borrowed. */
const struct neutral_usage *translation_usage(const struct translation *translation);

#endif
