/* log — a line is built in the one buffer, under the one lock, and leaves by one write.
 *
 * Each event has a tally of the present second. Past the burst its lines are only counted; the next
 * line of any event in a later second first sums up what was counted. */
#include "server/observe/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/data/json.h"

struct tally {
    const char *event;
    uint64_t lines, suppressed; /* in the present second */
};

struct log {
    pthread_mutex_t lock;
    int fd;
    enum log_level level;
    int64_t (*wall_ns)(void *context);
    void *context;
    struct buf line;
    int64_t second; /* that the tallies are of */
    size_t tally_count;
    struct tally tallies[LOG_EVENTS_MAX];
};

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARNING] = "warning",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};

enum { TAIL_BYTES = sizeof ",\"cut\":true}\n", NS_PER_S = 1000000000, NS_PER_MS = 1000000 };

static int64_t real_wall_ns(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

enum err log_new(int fd, enum log_level level, struct log **out)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return fault(ERR_NOMEM, "log");
    buf_init(&log->line, LOG_LINE_BYTES_MAX);
    uint8_t *room; /* all of it now: a line never has to wait for memory */
    if (buf_reserve(&log->line, LOG_LINE_BYTES_MAX, &room) != ERR_OK) {
        free(log);
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&log->lock, NULL);
    log->fd = fd;
    log->level = level;
    log->wall_ns = real_wall_ns;
    *out = log;
    return ERR_OK;
}

void log_set_clock(struct log *log, int64_t (*wall_ns)(void *context), void *context)
{
    log->wall_ns = wall_ns;
    log->context = context;
}

enum err log_level_parse(struct slice name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (slice_equal(name, slice_text(level_names[i]))) {
            *out = (enum log_level)i;
            return ERR_OK;
        }
    return ERR_INVALID;
}

/* ——— one line ——— */

static enum err put_time(struct buf *line, int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm utc;
    char text[sizeof "2026-01-01T00:00:00"];
    ASSERT(gmtime_r(&seconds, &utc) != NULL);
    if (strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        return ERR_INVALID;
    return buf_printf(
        line, "{\"time\":\"%s.%03" PRId64 "Z\"", text, wall_ns % NS_PER_S / NS_PER_MS);
}

/* Text, cut between characters where it is too long. */
static enum err put_text(struct buf *line, struct slice text)
{
    if (text.size <= LOG_TEXT_BYTES_MAX)
        return json_write_text(line, text);
    size_t size = LOG_TEXT_BYTES_MAX;
    while (size > 0 && (text.data[size] & 0xC0) == 0x80)
        size--;
    TRY(json_write_text(line, slice_sub(text, 0, size)));
    line->size--; /* the closing quote comes after the mark */
    return buf_append_text(line, "…\"");
}

static enum err put_field(struct buf *line, const struct log_field *field)
{
    char id[ID_TEXT_BYTES];
    TRY(buf_printf(line, ",\"%s\":", field->name));
    switch (field->kind) {
    case LOG_KIND_TEXT: return put_text(line, field->text);
    case LOG_KIND_NUMBER: return buf_printf(line, "%" PRId64, field->number);
    case LOG_KIND_ID:
        if (!field->id)
            return buf_append_text(line, "null");
        id_format(field->id, id);
        return buf_printf(line, "\"%s\"", id);
    }
    return ERR_OK;
}

static void send_line(struct log *log)
{
    struct slice left = buf_slice(&log->line);
    while (left.size) {
        ssize_t sent = write(log->fd, left.data, left.size);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        left = slice_sub(left, (size_t)sent, left.size);
    }
}

static void put_line(struct log *log, int64_t wall_ns, enum log_level level, const char *event,
    const struct log_field *fields, size_t count)
{
    struct buf *line = &log->line;
    bool is_cut = false;
    buf_clear(line);
    line->size_max = LOG_LINE_BYTES_MAX - TAIL_BYTES;
    if (put_time(line, wall_ns) != ERR_OK ||
        buf_printf(line, ",\"level\":\"%s\",\"event\":\"%s\"", level_names[level], event) != ERR_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        size_t before = line->size;
        if (put_field(line, &fields[i]) == ERR_OK)
            continue;
        line->size = before;
        is_cut = true;
    }
    line->size_max = LOG_LINE_BYTES_MAX;
    if (buf_append_text(line, is_cut ? ",\"cut\":true}\n" : "}\n") == ERR_OK)
        send_line(log);
}

/* ——— bursts ——— */

/* A new second: what was counted is summed up, and counting begins anew. */
static void begin_second(struct log *log, int64_t wall_ns)
{
    for (size_t i = 0; i < log->tally_count; i++) {
        struct tally *tally = &log->tallies[i];
        const struct log_field fields[] = {
            LOG_TEXT("of", tally->event), LOG_NUMBER("lines", tally->suppressed)};
        if (tally->suppressed)
            put_line(log, wall_ns, LOG_WARNING, "log_suppressed", fields, 2);
        tally->lines = tally->suppressed = 0;
    }
    log->second = wall_ns / NS_PER_S;
}

/* The event's tally; the last one is shared by all that find no room. */
static struct tally *tally_of(struct log *log, const char *event)
{
    for (size_t i = 0; i < log->tally_count; i++)
        if (strcmp(log->tallies[i].event, event) == 0)
            return &log->tallies[i];
    if (log->tally_count == LOG_EVENTS_MAX)
        return &log->tallies[LOG_EVENTS_MAX - 1];
    struct tally *tally = &log->tallies[log->tally_count++];
    *tally = (struct tally){.event = event};
    return tally;
}

void log_write(struct log *log, enum log_level level, const char *event,
    const struct log_field *fields, size_t count)
{
    ASSERT(count >= 1); /* the filler */
    if (!log || level > log->level)
        return;
    (void)pthread_mutex_lock(&log->lock);
    int64_t wall_ns = log->wall_ns(log->context);
    if (wall_ns / NS_PER_S != log->second)
        begin_second(log, wall_ns);
    struct tally *tally = tally_of(log, event);
    if (tally->lines < LOG_BURST_PER_SECOND) {
        tally->lines++;
        put_line(log, wall_ns, level, event, fields + 1, count - 1);
    } else {
        tally->suppressed++;
    }
    (void)pthread_mutex_unlock(&log->lock);
}

struct log *log_free(struct log *log)
{
    if (!log)
        return NULL;
    begin_second(log, log->wall_ns(log->context));
    (void)pthread_mutex_destroy(&log->lock);
    buf_deinit(&log->line);
    free(log);
    return NULL;
}
