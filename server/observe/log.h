/* log — diagnostics: one JSON line an event on standard error; never the journal. Never holds prompts, answers or keys.
 *
 *   LOG(log, LOG_INFO, "stream_ended", LOG_ID("stream", &id), LOG_TEXT("state", name), LOG_NUMBER("events", n));
 *   {"time":"2026-01-01T00:00:00.000Z","level":"info","event":"stream_ended","stream":"…","state":"completed","events":12}
 *
 *   thread  any (one write(2) a line); a repeated event past LOG_BURST_PER_SECOND a second is counted and summed up instead */
#ifndef TOKENLOG_SERVER_OBSERVE_LOG_H
#define TOKENLOG_SERVER_OBSERVE_LOG_H

#include "protocol/base/id.h"

enum { LOG_BURST_PER_SECOND = 200, LOG_LINE_BYTES_MAX = 4096 };
enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_kind { LOG_KIND_TEXT, LOG_KIND_NUMBER, LOG_KIND_ID };
struct log_field { const char *name; enum log_kind kind; struct slice text; int64_t number; const struct id *id; };

#define LOG_TEXT(name_, value)   ((struct log_field){.name = (name_), .kind = LOG_KIND_TEXT, .text = slice_text(value)})
#define LOG_SLICE(name_, value)  ((struct log_field){.name = (name_), .kind = LOG_KIND_TEXT, .text = (value)})
#define LOG_NUMBER(name_, value) ((struct log_field){.name = (name_), .kind = LOG_KIND_NUMBER, .number = (int64_t)(value)})
#define LOG_ID(name_, value)     ((struct log_field){.name = (name_), .kind = LOG_KIND_ID, .id = (value)})
#define LOG(log, level, event, ...)                                                                \
    log_write((log), (level), (event), (const struct log_field[]){{0}, ##__VA_ARGS__},             \
        sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field)) /* fields[0] is a filler */

struct log;
enum err log_new(int fd, enum log_level level, struct log **out) NODISCARD;
struct log *log_free(struct log *log);
void log_write(struct log *log, enum log_level level, const char *event, const struct log_field *fields, size_t count);
enum err log_level_parse(struct slice name, enum log_level *out) NODISCARD;

#endif
