/* codec — how one dialect is read into the neutral model, and written from it.
 *
 * A dialect to be translated is a few files (requests, responses), one line in the table of codec.c,
 * and its golden cases. What is not spoken towards callers has no read_request and no writers; what
 * is not spoken towards providers has no write_request and no readers. README.md has the steps.
 *
 * Internal to protocol/dialect: others call translate.h.                                         */
#ifndef TOKENLOG_PROTOCOL_DIALECT_CODEC_H
#define TOKENLOG_PROTOCOL_DIALECT_CODEC_H

#include "protocol/data/json.h"
#include "protocol/dialect/fold.h"
#include "protocol/dialect/neutral.h"
#include "protocol/dialect/sequence.h"
#include "protocol/dialect/translate.h"

/* codec_read_request — `body` is borrowed by *out, which is as neutral_request_init made it.
 *   answers  ERR_INVALID the report says what and why · ERR_LIMIT · faults ERR_NOMEM
 * codec_write_request — appends the body to out->body and the path (with its query) to out->path,
 * and sets out->headers.
 *   answers  ERR_INVALID the report names, by its path in the caller's body, what the dialect has
 *            no words for · ERR_LIMIT · faults ERR_NOMEM */
typedef enum err codec_read_request(
    struct slice body, struct neutral_request *out, struct neutral_report *report);
typedef enum err codec_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report);

/* codec_write_event — zero or more frames, appended to `out`. `fold` has taken the event already;
 * `state` is the codec's own, `writer_bytes` of it, zeroed at the start of a response.
 *   answers  buf_append's; a part may have been appended
 * codec_write_body — the whole response, from a fold of everything.
 *   answers  also ERR_INVALID the dialect cannot say it: a tool call's arguments that are no JSON
 *            object, where they must be one */
typedef enum err codec_write_event(void *state, const struct neutral_event *event,
    const struct sequence_context *context, const struct fold *fold, struct buf *out);
typedef enum err codec_write_body(
    const struct sequence_context *context, const struct fold *fold, struct buf *out);

enum { CODEC_WRITER_BYTES = 64 /* a writer's state, where it is not known by its type */ };

/* For a response that goes on (continuation.h), after frames that write_event may not have written: the
 * caller's provider may have spoken its dialect.
 * codec_told — a frame that the caller was told: `state` becomes that of a writer that wrote it. `reader`
 * is the state of the dialect's own reader, which has read it; *seen holds what it said, and the fold
 * has taken that.
 * codec_cannot — why write_event could not go on from there, besides what the neutral events show: a
 * static sentence; NULL: it can.
 * codec_go_on — after the last frame: brings what the caller was told to where write_event can go on, a
 * TEXT that is open or nothing; what must be written for that is appended. Only if codec_cannot is
 * silent, no REASONING or REFUSAL is open in *seen, and a TOOL_CALL only if it is whole.
 *   answers  buf_append's, and fold_event's */
typedef enum err codec_told(
    void *state, const void *reader, struct slice frame, struct sequence *seen, struct fold *fold);
typedef const char *codec_cannot(
    const void *state, const struct sequence *seen, const struct fold *fold);
typedef enum err codec_go_on(void *state, const struct sequence_context *context,
    struct sequence *seen, struct fold *fold, struct buf *out);

/* codec_follow — of a provider that answers a request by the place of its answer: see translate_follow. */
typedef enum err codec_follow(
    struct slice body, bool is_streamed, struct buf *url, struct buf *cancel);

/* A reader is told frames and says what it saw to the sequence; it never fails: what is malformed
 * teaches it nothing, what cannot be translated is sequence_cannot. `state` is the codec's own,
 * `reader_bytes` of it, zeroed at the start of a response. */
struct codec_response {
    enum framing framing;
    const char *content_type; /* of a streamed response */
    size_t reader_bytes, writer_bytes;
    /* read_event — one frame as the provider's framing cuts it: an SSE block, a line, a message. */
    void (*read_event)(void *state, struct slice frame, struct sequence *out);
    /* read_end — the transfer ended by HTTP's framing. For dialects without a terminator; else
     * NULL. */
    void (*read_end)(void *state, struct sequence *out);
    /* read_body — a response that was not streamed: all of it, up to DONE. */
    void (*read_body)(struct slice body, struct sequence *out);
    codec_follow *follow;    /* NULL: a response is the answer */
    const char *whole_event; /* with follow: what a stream that came whole, as a body, is told as */

    /* What write_event needs to know of the parts written so far; write_body knows everything. */
    enum fold_depth fold;
    codec_write_event *write_event;
    codec_write_body *write_body;
    /* Of dialects that callers speak. The last two may be NULL: write_event can go on anywhere. */
    codec_told *told;
    codec_cannot *cannot;
    codec_go_on *go_on;
};

/* codec_copy_context — its texts to *names, which it inits; the stream's ID without its dashes.
 *   faults ERR_NOMEM */
enum err codec_copy_context(const struct sequence_context *context, struct buf *names,
    struct sequence_context *out) NODISCARD;

/* What a response that goes on begins with. */
struct codec_resumption {
    const struct codec *caller;
    const struct sequence_context *context; /* copied */
    const struct sequence *seen;            /* as sequence_resume takes it */
    struct slice repeated;                  /* likewise; copied */
    struct slice first;                     /* to be written before what is written next; copied */
    struct fold *fold;                      /* of everything so far; what it holds is taken */
    void **writer;                          /* the state of the caller's writer; taken */
};
/* translation_resume — as translation_new. Nothing is taken unless it succeeds. */
enum err translation_resume(const struct codec *provider, const struct codec_resumption *resumption,
    struct translation **out) NODISCARD;

struct codec {
    const char *name; /* the dialect's, as in dialect_by_name */
    codec_read_request *read_request;
    codec_write_request *write_request;
    const struct codec_response *response;
    const char *prefix; /* translate_prefix */
};

/* ---- what writers share ---- */

/* codec_open_event — begins an SSE block whose data is one JSON object, which is left open in
 * *writer; `event` may be NULL. codec_open_typed_event — the same name is its first member, "type".
 * codec_close_event — closes the object, and the block. */
void codec_open_event(struct json_writer *writer, struct buf *out, const char *event);
void codec_open_typed_event(struct json_writer *writer, struct buf *out, const char *event);
void codec_close_event(struct json_writer *writer);
void codec_member(struct json_writer *writer, const char *name, struct slice text);
void codec_raw_member(struct json_writer *writer, const char *name, struct slice raw); /* if any */
void codec_count_member(struct json_writer *writer, const char *name, int64_t count);  /* -1: 0 */
void codec_true_member(struct json_writer *writer, const char *name);
/* codec_write_flat_error — {"<name>": message, "code": code}, appended: the shape of those whose errors have
 * no place for a status or a parameter; the message names that.   answers buf_append's */
enum err codec_write_flat_error(
    struct buf *out, const char *name, struct slice message, const char *code) NODISCARD;
/* codec_id — `prefix` and the stream's ID; with n >= 0, "_" and n, else it is the response's: of one
 * that goes on the ID that it has. As a value. */
void codec_id(struct json_writer *writer, const char *prefix,
    const struct sequence_context *context, int64_t n);
/* codec_image_address — an image's URL, or one of its data: as a value. */
void codec_image_address(struct json_writer *writer, const struct neutral_part *image);
/* codec_stops — the stop sequences as an array of that name, if there are any. */
void codec_stops(
    struct json_writer *writer, const char *name, const struct neutral_request *request);
/* codec_write_error — as dialect_write_error, with the provider's own code where it is a short
 * word. */
enum err codec_write_error(
    const char *dialect, struct buf *out, const struct neutral_error *error) NODISCARD;
/* codec_leave_out — notes the path of a member of what has `path`. codec_leave_out_cache — of the
 * hint `cache` there, if there is one: for dialects that have no word for it. */
void codec_leave_out(struct neutral_report *report, struct slice path, const char *member);
void codec_leave_out_cache(struct neutral_report *report, struct slice path, struct slice cache);
/* codec_schema — of a tool's arguments; where it has none, one of no arguments. */
struct slice codec_schema(const struct neutral_tool *tool);

/* codec_effort — the word for how much to reason, from a budget if need be; empty: not said.
 * codec_budget — the tokens for it, where the whole answer may have `limit`; -1: not said.
 *     minimal, low 1024 · medium 4096 · high 16384 · xhigh, max 32768, at most half the limit
 *     up to 2048 low · up to 8192 medium · beyond high
 * codec_output_limit — the tokens that the whole answer may have: the caller's limit, the model's, or
 * else `otherwise`. */
struct slice codec_effort(const struct neutral_request *request);
int64_t codec_budget(const struct neutral_request *request, int64_t limit);
int64_t codec_output_limit(const struct neutral_request *request,
    const struct translate_target *target, int64_t otherwise);

/* How a dialect names the options of a request; NULL: it has no word for that one. */
struct codec_option {
    enum neutral_option option;
    const char *name;
    const char *why;    /* without a name: the sentence of the refusal… */
    const char *unless; /* …unless the value is this JSON text */
};
/* codec_options — writes those that were said.  answers ERR_INVALID refused */
enum err codec_options(struct json_writer *writer, const struct neutral_request *request,
    const struct codec_option *options, size_t count, struct neutral_report *report) NODISCARD;

/* ---- what readers share ---- */

/* codec_event — the data of an SSE block, whatever they are, and its name; several lines of them are joined
 * in the arena. False: it has none.
 * codec_frame — the same, if it is a JSON object; then *event is its name. What is
 * cut or broken JSON cannot be translated: that is said to `out`. */
bool codec_event(struct slice block, struct slice *event, struct slice *data, struct sequence *out);
bool codec_frame(struct slice block, struct slice *event, struct slice *data, struct sequence *out);
/* codec_is_object — the text is one valid JSON object in UTF-8: before codec_scan of what came in
 * another framing. Of a member that appears twice the later one counts. */
bool codec_is_object(struct slice text);
/* codec_scan — json_scan_all of a span; nothing is found in what is no object. */
void codec_scan(
    struct json_span object, const char *const *names, size_t count, struct json_span *out);
/* codec_text — decoded; SLICE_NONE if it is no string. codec_count — -1 if it is no
 * count, or past 2^53. */
struct slice codec_text(struct json_span span, struct sequence *sequence);
int64_t codec_count(struct json_span span);
/* codec_has_items — whether it is an array or an object with something in it.
 * codec_each — calls `read` for each item of an array of a frame; other types have none. */
bool codec_has_items(struct json_span span);
typedef void codec_read_item(struct json_span item, size_t index, void *into);
void codec_each(struct json_span array, codec_read_item *read, void *into);
/* codec_openai_usage — either of OpenAI's two shapes. */
void codec_openai_usage(struct json_span usage, struct sequence *out);
/* codec_error — an OpenAI-shaped {message, type, code} in a stream: the status follows from its
 * type or code. codec_status_of — of such a word; 500 for unknown ones. */
void codec_error(struct json_span error, struct sequence *out);
int codec_status_of(struct slice word);

#endif
