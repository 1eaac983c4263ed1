/* watch — CPU time and memory of the server that is measured: of a control group (version 2) if one
 * is given, which counts in µs whatever runs in it, else of processes with all their threads, kernel
 * workers of their rings included (in ticks of 10 ms).
 *
 *   thread  any                                          source  proc(5), cgroups(7)           */
#ifndef TOKENLOG_TOOLS_BENCH_WATCH_H
#define TOKENLOG_TOOLS_BENCH_WATCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    WATCH_PIDS_MAX = 16, /* a server with its workers */
};

struct watch {
    int pids[WATCH_PIDS_MAX];
    size_t pid_count;
    const char *group; /* its folder under /sys/fs/cgroup, or NULL; borrowed */
};

/* What cannot be read counts as 0. */
int64_t watch_cpu_us(const struct watch *watch);
int64_t watch_resident_bytes(const struct watch *watch); /* of the processes */
int64_t watch_own_cpu_us(void);                          /* this process */
int64_t watch_thread_cpu_us(void);                       /* this thread */
int64_t watch_now_ns(void);                              /* monotonic */

#endif
