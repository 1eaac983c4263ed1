/* neutral — what the dialects have in common: a request, and a response as a sequence of events.
 *
 * A dialect is translated into this model and out of it, never into another dialect. It is the
 * union of what the dialects can say, not their intersection: whoever writes a dialect refuses, by
 * name, what that dialect has no words for.
 *
 * Slices in these structs are borrowed: from the text that was read, or from the arena of the
 * struct that they were read into. Raw JSON (numbers, schemas, arguments) is kept as text, so that
 * no digit is lost.
 *
 *   thread  one at a time; no state but the structs                                              */
#ifndef TOKENLOG_PROTOCOL_DIALECT_NEUTRAL_H
#define TOKENLOG_PROTOCOL_DIALECT_NEUTRAL_H

#include "protocol/data/row.h"
#include "protocol/dialect/arena.h"

enum {
    NEUTRAL_REQUEST_BYTES_MAX = 64 << 20, /* what a request may take besides its own text */
    NEUTRAL_FRAME_BYTES_MAX = 8 << 20,    /* what the events of one frame, or one body, may take */
    NEUTRAL_PATH_BYTES = 256,             /* of a JSON path, with its NUL; a longer one is cut */
    NEUTRAL_WHY_BYTES = 256,              /* of a sentence, with its NUL */
    NEUTRAL_LEFT_OUT_BYTES_MAX = 2048,    /* the list of what was left out; fits a header field */
};

/* ---- refusals ---- */

/* What came of translating a request, for the answer to the caller. */
struct neutral_report {
    char path[NEUTRAL_PATH_BYTES]; /* what is refused, in the caller's body: "tools[2].type" */
    char why[NEUTRAL_WHY_BYTES];   /* a sentence about it */
    struct buf left_out; /* paths, ", " between them, of hints that the provider's dialect has no
                          * word for and that change no meaning; for Tokenlog-Left-Out. Cut short
                          * by "…" */
};
void neutral_report_init(struct neutral_report *report);
void neutral_report_deinit(struct neutral_report *report);
/* neutral_refuse — returns ERR_INVALID, for `return neutral_refuse(…)`.
 * neutral_leave_out — notes a path once. */
enum err neutral_refuse(struct neutral_report *report, struct slice path, const char *why, ...)
    PRINTF(3, 4);
void neutral_leave_out(struct neutral_report *report, struct slice path);

/* ---- parts ---- */

enum neutral_part_kind {
    NEUTRAL_TEXT,
    NEUTRAL_REASONING,
    NEUTRAL_TOOL_CALL,
    NEUTRAL_REFUSAL,     /* the model's words for not answering */
    NEUTRAL_IMAGE,       /* requests only */
    NEUTRAL_TOOL_RESULT, /* requests only */
};

struct neutral_part {
    struct neutral_part *next;
    enum neutral_part_kind kind;
    struct slice path; /* where it stands in the caller's body */
    struct slice text; /* TEXT, REFUSAL, REASONING: decoded. TOOL_CALL: the arguments, JSON text as
                        * the model wrote it: not always valid, empty for none */
    struct slice id;   /* TOOL_CALL; TOOL_RESULT: of its call; REASONING: of the item, or empty */
    struct slice name; /* TOOL_CALL */
    struct neutral_part *content;       /* TOOL_RESULT: TEXT and IMAGE parts */
    bool is_error;                      /* TOOL_RESULT */
    struct slice url, media_type, data; /* IMAGE: a URL; or base64 and its type */
    struct slice detail;                /* IMAGE: "low", "high", "auto" or empty */
    struct slice format, opaque;        /* REASONING: see neutral_seal */
    bool is_redacted;                   /* REASONING: only `opaque`, never any text */
    struct slice cache;                 /* raw JSON: Anthropic's cache_control, or empty */
};

/* Reasoning is sealed by whoever made it: a signature, or the whole of it encrypted. It means
 * something only to the dialect it came from (`format`), and must come back to it unchanged. In a
 * dialect with a single place for such a thing it stands as "format:id:opaque". */
#define NEUTRAL_FORMAT_ANTHROPIC "anthropic-claude-v1"
#define NEUTRAL_FORMAT_RESPONSES "openai-responses-v1"
/* neutral_seal_write — appends `opaque` as it is where `own` is its format, else with its tag.
 * neutral_seal_read — the inverse: of a text without a tag the format is `own`. */
enum err neutral_seal_write(struct buf *out, const char *own, struct slice format, struct slice id,
    struct slice opaque) NODISCARD;
void neutral_seal_read(struct slice text, const char *own, struct slice *format, struct slice *id,
    struct slice *opaque);

/* ---- requests ---- */

enum neutral_role { NEUTRAL_SYSTEM, NEUTRAL_DEVELOPER, NEUTRAL_USER, NEUTRAL_ASSISTANT };

/* Tool results are parts of user messages. Messages of one role may follow one another: they mean
 * the same as one message of their parts. */
struct neutral_message {
    struct neutral_message *next;
    enum neutral_role role;
    struct slice path;
    struct neutral_part *parts;
};
/* neutral_is_system — whether the message is the system's or the developer's; not if there is none. */
bool neutral_is_system(const struct neutral_message *message);

struct neutral_tool {
    struct neutral_tool *next;
    struct slice path, name, description;
    struct slice schema; /* raw JSON; empty: takes nothing */
    struct slice strict; /* raw true or false, or empty */
    struct slice cache;  /* as a part's */
};

enum neutral_choice {
    NEUTRAL_CHOICE_UNSAID,
    NEUTRAL_CHOICE_AUTO,
    NEUTRAL_CHOICE_NONE,
    NEUTRAL_CHOICE_ANY, /* some tool must be called */
    NEUTRAL_CHOICE_NAMED,
};

enum neutral_response_format { NEUTRAL_FORMAT_TEXT, NEUTRAL_FORMAT_JSON, NEUTRAL_FORMAT_SCHEMA };

/* Options that are one JSON value each, passed on as they were written. */
enum neutral_option {
    NEUTRAL_OUTPUT_TOKENS, /* the most to generate */
    NEUTRAL_TEMPERATURE,
    NEUTRAL_TOP_P,
    NEUTRAL_TOP_K,
    NEUTRAL_SEED,
    NEUTRAL_FREQUENCY_PENALTY,
    NEUTRAL_PRESENCE_PENALTY,
    NEUTRAL_VERBOSITY, /* a string */
    NEUTRAL_USER_ID,   /* a string: who asks, for the provider's abuse checks */
    NEUTRAL_OPTIONS,   /* how many there are */
};

struct neutral_value {
    struct slice raw;  /* JSON text; empty: not said */
    struct slice path; /* in the caller's body */
};

struct neutral_stop {
    struct neutral_stop *next;
    struct slice text;
};

struct neutral_request {
    struct arena arena;
    struct slice model; /* as the caller named it */
    bool is_streamed;
    bool
        includes_usage; /* the caller wants usage in the stream, where that is a matter of asking */
    struct neutral_message *messages;
    struct neutral_tool *tools;
    struct neutral_stop *stops;
    void **messages_end, **tools_end, **stops_end; /* where the next of each is linked */
    struct slice stops_path;
    struct {
        enum neutral_choice kind;
        struct slice name, path;
        struct neutral_value parallel; /* true or false: whether several calls at once may come */
    } choice;
    struct {
        enum neutral_response_format kind;
        struct slice path, name, description, schema; /* of NEUTRAL_FORMAT_SCHEMA; raw schema */
        struct slice strict;                          /* raw */
    } format;
    struct {
        struct slice effort;  /* "none" "minimal" "low" "medium" "high" "xhigh" "max", or empty */
        int64_t budget;       /* tokens; -1: not said */
        bool is_adaptive;     /* the model decides how much */
        struct slice summary; /* "auto" "concise" "detailed": what to show of it; empty: not said */
        struct slice path;
    } reasoning;
    struct neutral_value options[NEUTRAL_OPTIONS];
};

/* neutral_request_init — it must not be moved afterwards. */
void neutral_request_init(struct neutral_request *request);
void neutral_request_deinit(struct neutral_request *request);

/* ---- responses ---- */

/* A response, streamed or whole, is the sequence
 *
 *     START ( BEGIN (DELTA | SEAL)* END | USAGE )* FINISH USAGE* DONE
 *
 * which may break off anywhere, or end in ERROR. One part is open at a time. Usage is cumulative:
 * the last one counts. neutral_sequence keeps to this order whatever the provider sent. */
enum neutral_event_kind {
    NEUTRAL_START, /* id, model (either may be empty), created_s (0: not said) */
    NEUTRAL_BEGIN, /* part; TOOL_CALL: id, name. A redacted REASONING: text, format, id; then END */
    NEUTRAL_DELTA, /* part, text; of a TOOL_CALL a piece of its arguments */
    NEUTRAL_SEAL,  /* of a REASONING part: text (opaque), format, id */
    NEUTRAL_END,   /* part */
    NEUTRAL_USAGE, /* usage */
    NEUTRAL_FINISH, /* finish; text: the stop sequence that was met, or empty */
    NEUTRAL_DONE,   /* the provider's terminator: the response is whole */
    NEUTRAL_ERROR,  /* error */
};

enum neutral_finish {
    NEUTRAL_STOP,
    NEUTRAL_STOP_SEQUENCE,
    NEUTRAL_LENGTH,
    NEUTRAL_TOOL_CALLS,
    NEUTRAL_CONTENT_FILTER, /* also a refusal */
};

/* The counts mean what row.h says; cache_write is the part of input that was written to a cache.
 * -1: not said. */
struct neutral_usage {
    struct usage counts;
    int64_t cache_write;
};
#define NEUTRAL_USAGE_UNKNOWN ((struct neutral_usage){USAGE_UNKNOWN, -1})

struct neutral_error {
    int status;                 /* HTTP's word for it; of an error in a stream, what it would be */
    struct slice code, message; /* the provider's; may be empty */
};

struct neutral_event {
    enum neutral_event_kind kind;
    enum neutral_part_kind part;
    bool is_redacted;
    struct slice id, name, model, text, format;
    int64_t created_s;
    enum neutral_finish finish;
    struct neutral_usage usage;
    struct neutral_error error;
};

#endif
