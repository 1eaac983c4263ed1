/* overload — a limit that nothing comes near grows by a half a second until it is none. */
#include "server/policy/overload.h"

enum {
    AVERAGE_OF = 8,       /* probes, or so: 80 ms */
    DISK_OF = 16384,      /* commits in which a disk that has become slower is believed, or so */
    LESS_OF = 16,         /* the limit moves by one part in so many: */
    MORE_OF = 8,          /* up more quickly, for too low a limit refuses what there is room for */
    STEP_PROBES = 25,     /* and so often: what it did last time shows by then */
    FELT_OF_THE_MAX = 2,  /* below one part in so many of the bound there is room for more */
    LIMIT_SEEN = 1 << 20, /* generations; a limit beyond is none */
};

void overload_init(struct overload *overload, int64_t lag_max_ns)
{
    *overload =
        (struct overload){.lag_max_ns = lag_max_ns, .limit = UINT64_MAX, .disk_ns = INT64_MAX};
}

void overload_note_commit(struct overload *overload, int64_t latency_ns)
{
    overload->commit_ns = latency_ns;
    if (latency_ns < overload->disk_ns)
        overload->disk_ns = latency_ns;
    else
        overload->disk_ns += (latency_ns - overload->disk_ns) / DISK_OF;
}

/* How much longer the last commit took than one has to. */
static int64_t commit_lag_ns(const struct overload *overload)
{
    return overload->commit_ns > overload->disk_ns ? overload->commit_ns - overload->disk_ns : 0;
}

void overload_forget(struct overload *overload)
{
    overload->limit = UINT64_MAX;
    overload->lag_ns = overload->commit_ns = 0;
}

static void set_limit(struct overload *overload, uint64_t limit)
{
    overload->probes = 0;
    if (limit > LIMIT_SEEN)
        overload->limit = UINT64_MAX;
    else
        overload->limit = limit > OVERLOAD_LIVE_MIN ? limit : OVERLOAD_LIVE_MIN;
}

void overload_note(struct overload *overload, int64_t lag_ns, uint64_t live)
{
    bool has_limit = overload->limit != UINT64_MAX;
    overload->lag_ns += (lag_ns + commit_lag_ns(overload) - overload->lag_ns) / AVERAGE_OF;
    if (overload->lag_max_ns == 0)
        return;
    bool is_behind = overload->lag_ns > overload->lag_max_ns;
    bool has_room = overload->lag_ns < overload->lag_max_ns / FELT_OF_THE_MAX;
    if (!has_limit && is_behind)
        set_limit(overload, live);
    if (!has_limit || ++overload->probes < STEP_PROBES)
        return;
    if (is_behind)
        set_limit(overload, overload->limit - overload->limit / LESS_OF);
    else if (has_room)
        set_limit(overload, overload->limit + overload->limit / MORE_OF);
}

bool overload_admits(const struct overload *overload, uint64_t live)
{
    return live < overload->limit;
}
