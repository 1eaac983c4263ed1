/* load — see load.h. */
#include "server/io/load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SCHEDSTAT_BYTES = 64 /* three decimal numbers: "ran waited slices\n" */ };

/* What the thread would have had with a processor of its own. */
static int64_t wanted_ns(const struct load *load)
{
    char text[SCHEDSTAT_BYTES], *end;
    ssize_t size = load->file < 0 ? -1 : pread(load->file, text, sizeof text - 1, 0);
    if (size > 0) {
        text[size] = '\0';
        int64_t ran_ns = strtoll(text, &end, 10);
        return ran_ns + strtoll(end, NULL, 10);
    }
    struct timespec ran;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
    return (int64_t)ran.tv_sec * 1000000000 + ran.tv_nsec;
}

void load_init(struct load *load, struct loop *loop, int64_t high_percent)
{
    *load = (struct load){.loop = loop,
        .high_percent = high_percent,
        .file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC),
        .from_ns = loop_now_ns(loop),
        .is_high = high_percent == 0};
    load->wanted_ns = wanted_ns(load);
}

void load_deinit(struct load *load)
{
    if (load->loop && load->file >= 0)
        (void)close(load->file);
    load->loop = NULL;
}

bool load_is_high(struct load *load)
{
    int64_t now_ns = loop_now_ns(load->loop), passed_ns = now_ns - load->from_ns;
    if (load->high_percent == 0 || passed_ns < LOAD_WINDOW_NS)
        return load->is_high;
    int64_t wanted = wanted_ns(load);
    load->is_high = (wanted - load->wanted_ns) >= passed_ns / 100 * load->high_percent;
    load->from_ns = now_ns;
    load->wanted_ns = wanted;
    return load->is_high;
}
