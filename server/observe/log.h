/* log — diagnostics: one JSON line an event on standard error; never the journal. Never holds
 * prompts, answers or keys.
 *
 *   LOG(log, LOG_INFO, "stream_ended", LOG_ID("stream", &id), LOG_TEXT("state", name),
 *       LOG_NUMBER("events", n));
 *   {"time":"2026-01-01T00:00:00.000Z","level":"info","event":"stream_ended","stream":"…",
 *    "state":"completed","events":12}                                           (on one line)
 *
 * An event that comes more often than LOG_BURST_PER_SECOND in one second is counted instead, and
 * summed up in a line `{"event":"log_suppressed","of":"…","lines":n}` when the second is over.
 * Text longer than LOG_TEXT_BYTES_MAX is cut and ends in …; a field for which a line has no more
 * room is left out, and the line then says "cut":true.
 *
 *   thread  any; one write(2) a line                                                             */
#ifndef TOKENLOG_SERVER_OBSERVE_LOG_H
#define TOKENLOG_SERVER_OBSERVE_LOG_H

#include "protocol/base/id.h"

enum {
    LOG_BURST_PER_SECOND = 200, /* lines of one event: 60 KB/s, what a terminal or journald takes */
    LOG_LINE_BYTES_MAX = 4096,  /* PIPE_BUF: a pipe takes such a line whole, or not at all */
    LOG_TEXT_BYTES_MAX = 1024,  /* of one field: leaves room for the others */
    LOG_EVENTS_MAX = 256,       /* different events that are counted apart; the program has fewer */
};
enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_kind { LOG_KIND_TEXT, LOG_KIND_NUMBER, LOG_KIND_ID };
struct log_field {
    const char *name;
    enum log_kind kind;
    struct slice text;
    int64_t number;
    const struct id *id;
};

#define LOG_TEXT(name_, value)                                                                     \
    ((struct log_field){.name = (name_), .kind = LOG_KIND_TEXT, .text = slice_text(value)})
#define LOG_SLICE(name_, value)                                                                    \
    ((struct log_field){.name = (name_), .kind = LOG_KIND_TEXT, .text = (value)})
#define LOG_NUMBER(name_, value)                                                                   \
    ((struct log_field){.name = (name_), .kind = LOG_KIND_NUMBER, .number = (int64_t)(value)})
#define LOG_ID(name_, value)                                                                       \
    ((struct log_field){.name = (name_), .kind = LOG_KIND_ID, .id = (value)})
#define LOG(log, level, event, ...)                                                                \
    log_write((log), (level), (event), (const struct log_field[]){{0}, ##__VA_ARGS__},             \
        sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field))

struct log;

/* log_new — lines of `level` and graver go to `fd`, which stays the caller's.  faults ERR_NOMEM */
enum err log_new(int fd, enum log_level level, struct log **out) NODISCARD;
struct log *log_free(struct log *log); /* sums up what is still counted; NULL is taken */
/* log_set_clock — Unix time in ns, for simulation and tests; before the first line is written. */
void log_set_clock(struct log *log, int64_t (*wall_ns)(void *context), void *context);

/* log_write — use LOG. fields[0] is a filler and is skipped; `event` is a literal. A line that
 * cannot be written is lost: there is nobody to tell. */
void log_write(struct log *log, enum log_level level, const char *event,
    const struct log_field *fields, size_t count);
/* log_level_parse — "error" …  answers ERR_INVALID */
enum err log_level_parse(struct slice name, enum log_level *out) NODISCARD;

#endif
