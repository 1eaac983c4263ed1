/* reading — a GET of a stream: where from, how, and the place it has come to; shared by read.c (answers that
 * end: catch-up and long-poll) and live.c (SSE).
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_READING_H
#define TOKENLOG_SERVER_DURABLE_READING_H

#include "protocol/http/sse_writer.h"
#include "server/durable/call.h"
#include "server/durable/course.h"

enum reading_mode { READ_CATCH_UP, READ_LONG_POLL, READ_LIVE };

struct reading {
    struct call call;
    enum reading_mode mode;
    bool has_offset, is_now;
    uint64_t from;
    uint64_t cursor; /* of the answer */
    bool is_json;
    struct course *course;
    struct timer timer; /* long-poll: its end; live: likewise */
    struct buf text;    /* what is gathered, or being sent */
    /* Catch-up and long-poll. */
    uint64_t end;      /* `text` has the events before it */
    size_t end_size;   /* …in so many bytes */
    bool is_large;     /* one event is sent as it is read: more than `text` is to hold */
    bool is_answering; /* a head was written */
    /* Live. */
    struct sse_writer sse;
    bool is_open;   /* a data event is begun */
    bool is_whole;  /* …and holds whole events */
    bool is_over;   /* its time is */
    bool is_ending; /* the last control event is written */
    size_t sent;    /* of `text` */
    size_t pushed;  /* …by the send under way */
    bool has_told;  /* the last control event said what still holds */
};

/* reading_is_closed — nothing comes after what is visible. reading_is_gone — it was deleted. */
bool reading_is_closed(const struct reading *reading);
bool reading_is_gone(const struct reading *reading);
/* reading_type — the media type of what is read. A recording is bytes, whatever they are: by text/event-stream
 * a client of this protocol knows ?live=sse, and by application/json messages. */
struct slice reading_type(const struct reading *reading);
/* live_start — answers by SSE from reading->from on, and ends the call at its time. */
void live_start(struct reading *reading);

#endif
