/* model — what the simulation knows of each stream without asking the code: what the provider gave,
 * what was asked of it, and what has been shown of it. Whatever the code shows is held against that.
 *
 *   bytes      event n of a stream is the provider's n-th, for every reader, before and after crashes
 *   visible    what was shown once is shown ever after: events, the row, the end, a delete
 *   ends       completed: its terminator is the last event · failed: the provider failed, or the disk
 *              · stopped: somebody asked · interrupted: the process ended, or was told to
 *   holds      what is held is there, whatever its age and size
 *   keys       a key leads to the newest attempt that was visible, and is free only before the first
 *
 * A bit that flips in the journal may take back what was not in the store yet; the streams must then
 * still be dense, of the right bytes, and honest about their end: `is_rotten`.               */
#ifndef TOKENLOG_TESTS_SIM_MODEL_H
#define TOKENLOG_TESTS_SIM_MODEL_H

#include "protocol/data/row.h"

enum { MODEL_STREAMS_MAX = 64, MODEL_EVENTS_MAX = 64, MODEL_EVENT_BYTES_MAX = 200 * 1024 };
enum model_kind { MODEL_CHUNK, MODEL_DONE, MODEL_ERROR };

struct model_stream {
    struct id id;
    uint64_t number;
    int key; /* -1: none */
    int64_t ttl_s, began_ns;
    /* The provider. */
    enum model_kind kinds[MODEL_EVENTS_MAX];
    uint64_t given;   /* events sent, wholly */
    size_t cut_bytes; /* of the next one */
    bool has_head, has_done, has_failed;
    /* What was asked. */
    bool is_stop_asked, is_delete_asked, is_delete_durable;
    bool is_held; /* durably, and nobody has asked for its release */
    /* What was shown. */
    bool is_row_visible;
    uint64_t visible;
    enum stream_state ended; /* STREAM_ACCEPTED: not yet */
    uint64_t ended_events;
    int64_t ended_ns;
};

struct model {
    uint64_t seed, step;
    struct model_stream streams[MODEL_STREAMS_MAX];
    uint32_t count;
    bool is_rotten;       /* a bit of the journal has flipped */
    bool was_interrupted; /* by a crash, or the end */
    bool was_stuck;       /* the disk failed for good */
    bool may_evict;       /* the oldest go when there is too much */
    uint64_t problems;
    uint64_t trace; /* a digest of all that was seen, to compare two runs of a seed */
};

/* model_event — the bytes of the provider's event, in a buffer of the caller's. */
struct slice model_event(
    const struct model *model, uint32_t tag, uint64_t seq, uint8_t out[MODEL_EVENT_BYTES_MAX]);
uint32_t model_tag(const struct id *id); /* of a stream: its index, which is in its ID */
void model_problem(struct model *model, uint32_t tag, const char *format, ...) PRINTF(3, 4);
void model_note(struct model *model, uint64_t what); /* into the trace */

/* model_saw_event — a reader got it. model_saw — a look at the stream: its watermark and its visible
 * row (NULL: none yet). model_gone — it was looked for, and not found, or found deleted. model_key —
 * what a claim answered: the stream, or NULL. */
void model_saw_event(struct model *model, uint32_t tag, uint64_t seq, struct slice bytes);
void model_saw(struct model *model, uint32_t tag, uint64_t watermark, const struct row *row);
void model_gone(struct model *model, uint32_t tag, bool is_deleted, int64_t wall_ns);
void model_key(struct model *model, int key, const struct id *found);

#endif
