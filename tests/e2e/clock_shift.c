/* clock_shift — LD_PRELOADed by a test: the wall clock, $CLOCK_SHIFT_S seconds on. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *out)
{
    long result = syscall(SYS_clock_gettime, clock, out);
    const char *shift = getenv("CLOCK_SHIFT_S");
    if (result == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += strtol(shift, NULL, 10);
    return (int)result;
}
