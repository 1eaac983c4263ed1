/* server_rig — a server without its listener and its providers: a real loop, a real storage on a
 * simulated disk, the hub, and transfers that the test feeds (upstream_fake).
 *
 *   rig_turn   one turn of the loop; the disk then completes what it was given, unless is_disk_held
 *   RIG_UNTIL  turns until a claim holds; the test fails if it never does
 *
 * The loop's clock is the real one; nothing here depends on how long anything takes. */
#ifndef TOKENLOG_TESTS_SERVER_STREAM_SERVER_RIG_H
#define TOKENLOG_TESTS_SERVER_STREAM_SERVER_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/stream/producer.h"
#include "server/stream/reader.h"
#include "tests/server/stream/upstream_fake.h"
#include "tests/sim/disk_sim.h"

/* How the fake provider is told who calls. */
#define RIG_CREDENTIALS                                                                            \
    (const char *const[])                                                                          \
    {                                                                                              \
        "Authorization: Bearer secret", NULL                                                       \
    }

enum {
    RIG_TURNS_MAX = 20000,                 /* of about a millisecond: then it hangs */
    RIG_QUEUE_BYTES_MAX = 4 * BATCH_BYTES, /* what storage takes, as it is filled often */
    /* Of an event that a full queue refuses, and that goes to the journal in several commits. */
    RIG_LARGE_BYTES = BULK_SHARE_BYTES + FRAME_BYTES_MAX,
};

struct rig {
    struct loop *loop;
    struct metrics *metrics;
    struct log *log;
    int log_fd;
    struct disk *disk;
    bool is_disk_held;
    bool is_memory;
    char path[64];
    struct storage_host host;
    struct storage *storage;
    int64_t streams_max;
    struct hub *hub;
    struct upstreams *upstreams;
    struct producer_config producer;
    struct provider_config provider;
    struct project project;
    struct timer tick, storage_timer;
    pthread_mutex_t lock;
    struct task *first_task, **last_task; /* posted by storage's threads */
    uint64_t gone_count;                  /* tails that storage let go of */
};

struct rig *rig_new(void);
/* rig_drain — as a server's end: live streams are interrupted, all is archived. rig_free drains. */
void rig_drain(struct rig *rig);
struct rig *rig_free(struct rig *rig);
struct rig *rig_abandon(struct rig *rig); /* without a drain, as by SIGKILL */
/* rig_reopen — the storage and the hub end and begin anew, as after SIGKILL (is_kill) or a stop. */
void rig_reopen(struct rig *rig, bool is_kill);

void rig_turn(struct rig *rig);
void rig_turns(struct rig *rig, int count);
#define RIG_UNTIL(rig, claim)                                                                      \
    do {                                                                                           \
        for (int turns_ = 0; !(claim) && turns_ < RIG_TURNS_MAX; turns_++)                         \
            rig_turn(rig);                                                                         \
        assert_true(claim);                                                                        \
    } while (0)

/* rig_row — of a new stream; `key` may be "". rig_create — with a body of `body_bytes`. */
struct row rig_row(struct rig *rig, const char *key);
struct stream *rig_create(struct rig *rig, const char *key, size_t body_bytes);
/* rig_generate — a new stream and its producer: a streamed chat completion. */
struct stream *rig_generate(struct rig *rig, const char *key);
/* rig_generate_translated — the same, of a call to `path` that is translated. */
struct stream *rig_generate_translated(
    struct rig *rig, const char *path, const struct producer_translate *translate);
/* rig_end_tail — end a stream that has no producer. */
void rig_end_tail(struct rig *rig, struct stream *stream, enum stream_state state);
/* rig_fill_queue — with the disk held: storage takes no large event more, and is not paused. */
struct stream *rig_fill_queue(struct rig *rig);

/* rig_find — hub_open, awaited: the stream (a reference), or NULL and what was answered. */
struct stream *rig_find(struct rig *rig, const struct id *id, enum err *err);
/* rig_settle — until nothing of the stream is in memory but the hub's references. */
void rig_settle(struct rig *rig, const struct stream *stream);

/* A reader that takes all it gets. */
struct rig_reader {
    struct rig *rig;
    struct reader *reader;
    struct buf bytes;
    uint64_t events, wakes;
    enum err err; /* the last peek's */
};
void rig_reader_open(
    struct rig *rig, struct stream *stream, uint64_t from, bool follow, struct rig_reader *out);
void rig_reader_pull(struct rig_reader *reader); /* also called by its wake */
void rig_reader_close(struct rig_reader *reader);

#endif
