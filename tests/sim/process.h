/* process — the process of a history: storage and the streams above it on the simulated disk, and how
 * it starts, takes a turn, and dies. What it knows of itself lies open to the other parts of the
 * history: callers (caller.h), providers (generation.h), fate (history.c).
 *
 * While the archiver is in the middle of writing the store's file the loop goes on, as it does beside
 * a real archiver's thread: what the journal has on the disk may be newer than the transaction. */
#ifndef TOKENLOG_TESTS_SIM_PROCESS_H
#define TOKENLOG_TESTS_SIM_PROCESS_H

#include "server/stream/producer.h"
#include "server/stream/reader.h"
#include "tests/server/stream/upstream_fake.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/file_sim.h"
#include "tests/sim/history.h"
#include "tests/sim/loop_sim.h"
#include "tests/sim/model.h"
#include "tests/sim/random.h"

enum {
    READERS_MAX = 24,
    KEYS = 5,
    SETTLE_TURNS_MAX = 4000,
    PATH_BYTES = 64,
    STARTS_MAX = 20,                      /* that fail, one after the other */
    MEMORY_BYTES_MAX = 256 * 1024 * 1024, /* of tails: far above what the few events need */
};

struct caller {
    struct history *history;
    struct reader *reader; /* NULL: free */
    uint32_t tag;
    uint64_t seq;
    bool follows, is_woken;
    struct buf event;
};

/* A delete under way: as the server does, the stream is kept until the store has its tombstone, and
 * the caller is answered then. */
struct deleting {
    struct storage_query query;
    struct history *history;
    struct stream *stream; /* NULL: free */
    uint32_t tag;
    bool is_asking;
};

/* A hold, or its end, on its way to the store. */
struct holding {
    struct history *history; /* NULL: free */
    uint32_t tag;
    bool is_held;
};

/* What is to happen to the store's file, and has. Drawn from a source of its own, so that a history
 * with a plain store is the same as it was before there was any other. */
struct store_fate {
    struct sim_random random;
    bool is_by_chance;   /* else as the options say */
    uint64_t operations; /* so far */
    bool is_stepping;    /* the archiver is at work: the loop may go on beside it */
    bool is_turning;     /* the loop goes on beside it */
    uint64_t cut_in;     /* operations on the file until the process ends in one; 0: never */
    bool is_cut;         /* it has, and has yet to be told */
    bool is_stopped;     /* the archiver is, by a fault: a start is needed */
    struct cuts *cuts;   /* each operation is such an end, in a process of its own; NULL: not */
};

struct history {
    struct model model;
    struct sim_random random;
    struct history_options options;
    bool is_dead, is_stuck, is_disk_held;
    bool may_rot; /* the journal */
    uint64_t crashes;
    struct store_fate store;
    struct loop *loop;
    struct disk *disk;
    struct metrics *metrics;
    struct log *log;
    int log_fd;
    char directory[PATH_BYTES]; /* the working directory, so that every path is the same anywhere */
    struct storage_config config;
    struct storage_host host;
    struct storage *storage;
    struct hub *hub;
    struct upstreams *upstreams;
    struct producer_config producer;
    struct project project;
    struct task *first_task, **last_task;
    struct caller callers[READERS_MAX];
    struct deleting deletes[MODEL_STREAMS_MAX];
    struct holding holds[MODEL_STREAMS_MAX];
};

/* below — 0 … bound - 1. one_in — true once in `count` times. */
uint64_t below(struct history *history, uint64_t bound);
bool one_in(struct history *history, uint64_t count);

/* process_config — what storage is given. process_start — opens storage, again if the process ends
 *   while it does so. process_die — what a dead process held is freed in good order; nothing of it
 *   reaches the disks any more. process_end — in good order. */
void process_config(struct history *history);
void process_start(struct history *history);
void process_die(struct history *history, bool is_power_cut);
void process_end(struct history *history);
/* process_turn — of the loop and the archiver, `by_ns` later. */
void process_turn(struct history *history, int64_t by_ns);
/* process_before_operation — file_sim's `before`. */
void process_before_operation(void *history, enum file_operation operation);
/* process_look — hold what the hub shows of a stream against the model. */
void process_look(void *context, struct stream *stream);

#endif
