/* pace — in thousandths and milliseconds: what a person or a script can tell apart. */
#include "server/cli/pace.h"

#include <signal.h>
#include <time.h>

enum { THOUSAND = 1000, DECIMALS_MAX = 3, SPEED_MAX = 1000000, NS_IN_MS = 1000000 };

static const int64_t ns_in_s = 1000000000;

enum err pace_init(struct pace *pace, struct slice speed)
{
    uint64_t whole, fraction = 0;
    ptrdiff_t point = slice_find_byte(speed, '.');
    *pace = (struct pace){0};
    TRY(slice_u64(point < 0 ? speed : slice_sub(speed, 0, (size_t)point), &whole));
    if (point >= 0) {
        struct slice decimals = slice_sub(speed, (size_t)point + 1, speed.size);
        if (decimals.size > DECIMALS_MAX)
            return ERR_INVALID;
        TRY(slice_u64(decimals, &fraction));
        for (size_t i = decimals.size; i < DECIMALS_MAX; i++)
            fraction *= 10;
    }
    if (whole > SPEED_MAX)
        return ERR_INVALID;
    pace->speed_thousandths = whole * THOUSAND + fraction;
    return ERR_OK;
}

int64_t pace_wait_ms(struct pace *pace, int64_t time_ns, int64_t now_ns)
{
    if (pace->speed_thousandths == 0)
        return 0;
    if (!pace->has_begun) {
        pace->has_begun = true;
        pace->start_ns = now_ns;
        pace->first_ns = time_ns;
    }
    if (time_ns <= pace->first_ns)
        return 0;
    uint64_t since_ms = (uint64_t)(time_ns - pace->first_ns) / NS_IN_MS;
    int64_t due_ms = (int64_t)(since_ms * THOUSAND / pace->speed_thousandths);
    int64_t wait_ms = due_ms - (now_ns - pace->start_ns) / NS_IN_MS;
    return wait_ms > 0 ? wait_ms : 0;
}

int64_t pace_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * ns_in_s + now.tv_nsec;
}

bool pace_sleep(int64_t duration_ms)
{
    sigset_t signals;
    struct timespec pause = {
        .tv_sec = duration_ms / THOUSAND, .tv_nsec = duration_ms % THOUSAND * NS_IN_MS};
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    return sigtimedwait(&signals, NULL, &pause) < 0;
}
