/* storage_run — one measured run of storage_bench: what was asked for, the clocks and counters at its
 * two ends, and what came of it.
 *
 * Event e of a paced run belongs to stream e mod N and is due at start + e / rate, whatever became
 * of the others; its latency is the time from then until it is durable.
 *
 *   thread  one */
#ifndef TOKENLOG_TOOLS_BENCH_STORAGE_RUN_H
#define TOKENLOG_TOOLS_BENCH_STORAGE_RUN_H

#include "protocol/base/err.h"
#include "tools/bench/histogram.h"

enum {
    RUN_PATH_BYTES = 512,
    RUN_PAYLOAD_BYTES_MAX = 65536,
    RUN_PACE_NS = 1000000, /* due events are looked for so often */
};

/* `device`: of the whole device, others' writes included; zeros where it does not tell. `own`: what
 * this process gave to it, directly or by dirtying pages (proc(5), io). */
struct run_counts {
    uint64_t device_written_bytes, device_flushes, device_reads;
    uint64_t own_written_bytes, own_read_bytes;
};

struct storage_run {
    const char *name; /* of what is measured */
    const char *data; /* a folder on the disk that is measured */
    uint64_t streams, payload_bytes;
    double rate; /* events per second in all; 0: unpaced */
    int64_t spacing_ns, duration_ns;
    uint64_t size_bytes; /* of what is to be built, where something is */
    int zstd_level;

    char path[RUN_PATH_BYTES]; /* of this run, inside `data`; made by run_folder */
    int64_t start_ns, end_ns;
    int64_t cpu_us,
        loop_cpu_us; /* all threads, this one; until run_finish the counts at the start */
    struct run_counts before, after;
    uint64_t appended, durable, commits, bytes;
    struct histogram latency, commit;
};

/* run_folder — make an empty folder. run_remove_folder — with the files in it.
 * run_fill_slots — the journal's slots, as they are when the ring has been round: making them is not
 * what is measured.
 *   faults ERR_IO, ERR_NOMEM */
enum err run_folder(struct storage_run *run) NODISCARD;
enum err run_fill_slots(
    const struct storage_run *run, uint64_t segment_bytes, uint32_t segment_count) NODISCARD;
void run_remove_folder(const struct storage_run *run);
/* run_begin, run_finish — the bounds of what is measured: opening and closing are not. */
void run_begin(struct storage_run *run);
void run_finish(struct storage_run *run);

void run_count(const char *path, struct run_counts *out);
int64_t run_due_ns(const struct storage_run *run, uint64_t event);
uint64_t run_due_count(const struct storage_run *run); /* events due by now; all, if unpaced */
/* run_durable — the first `count` events of all are. */
void run_durable(struct storage_run *run, uint64_t count);
/* run_report — as JSON, with what is common to all kinds of load. */
void run_report(const struct storage_run *run);
/* run_drop_caches — of this folder's files, and of all where we may: what is read next is cold. */
void run_drop_caches(const char *path);

#endif
