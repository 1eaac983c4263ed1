/* load_options — the load generator's command line. */
#ifndef TOKENLOG_TOOLS_BENCH_LOAD_OPTIONS_H
#define TOKENLOG_TOOLS_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/bench/watch.h"

enum mode { MODE_STREAM, MODE_FOLLOW, MODE_REPLAY, MODE_RESUME, MODE_IDLE };

enum {
    CLIENTS_MAX = 60000, /* ports of one address: about 28,000 of them can be had at once */
    STREAMS_MAX = 100000,
    HEADER_BYTES_MAX = 256,
    HEADERS_MAX = 8, /* a gateway may want to be told whom to ask */
};

/* Strings are argv's. Durations in ns. */
struct load_options {
    enum mode mode;
    uint32_t address; /* IPv4, network order */
    uint16_t port;    /* host order */
    char host[32];    /* address:port, for the Host header */
    const char *path; /* of the POST; of replay's GET, when is_path_given */
    bool is_path_given;
    const char *model;
    const char *bearer; /* API key, or NULL */
    const char *headers[HEADERS_MAX];
    size_t header_count;
    uint32_t clients;
    uint32_t streams; /* replay: how many are recorded first */
    int64_t tick_ns;  /* least time between two looks at the sockets; 0: woken by each arrival */
    int64_t ramp_ns, warmup_ns, duration_ns, settle_ns;
    bool is_keyed;       /* an Idempotency-Key with each POST */
    bool is_once;        /* a client posts once, then waits */
    bool may_refuse;     /* 429 and 503 are no failures, but counted as refusals */
    bool is_raw;         /* readers ask for format=raw */
    bool is_from_random; /* replay begins anywhere, not at 0 */
    bool with_buckets;   /* histograms in whole */
    uint64_t seed;
    struct watch watch;

    /* What the model's name says of the mock's schedule. */
    uint64_t events; /* tokens */
    double rate;     /* tokens per second, 0: no schedule */
    int64_t ttft_ns;
    uint64_t burst;
};

/* load_options_read — from the command line. What is wrong is printed, and the program ends: with 2,
 * or 0 after --help. */
void load_options_read(int argc, char **argv, struct load_options *out);

#endif
