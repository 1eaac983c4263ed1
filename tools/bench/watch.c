/* watch — reads proc(5) and cgroups(7). */
#include "tools/bench/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_BYTES = 512,
    TEXT_BYTES = 4096, /* a stat line is about 350, cpu.stat about 300 */
};

/* read_text — the file's beginning as a string; empty if it cannot be read. */
static void read_text(const char *path, char text[static TEXT_BYTES])
{
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, TEXT_BYTES - 1, file) : 0;
    text[size] = '\0';
    if (file)
        (void)fclose(file);
}

static int64_t ticks_us(long long ticks)
{
    return ticks * 1000000 / sysconf(_SC_CLK_TCK);
}

static int64_t process_cpu_us(int pid)
{
    char path[PATH_BYTES], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_text(path, text);
    const char *field = strrchr(text, ')'); /* the name may hold anything */
    if (!field)
        return 0;
    field += 1;
    long long user = 0, kernel = 0;
    for (int i = 3; i < 14 && field; i++) /* field 3 follows the name; 14 and 15 are the times */
        field = strchr(field + 1, ' ');
    if (!field || sscanf(field, "%lld %lld", &user, &kernel) != 2)
        return 0;
    return ticks_us(user + kernel);
}

static int64_t process_resident_bytes(int pid)
{
    char path[PATH_BYTES], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/statm", pid);
    read_text(path, text);
    long long total = 0, resident = 0;
    if (sscanf(text, "%lld %lld", &total, &resident) != 2)
        return 0;
    return resident * sysconf(_SC_PAGESIZE);
}

static int64_t group_cpu_us(const char *group)
{
    char path[PATH_BYTES], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "%s/cpu.stat", group);
    read_text(path, text);
    long long us = 0;
    const char *field = strstr(text, "usage_usec ");
    return field && sscanf(field, "usage_usec %lld", &us) == 1 ? us : 0;
}

int64_t watch_cpu_us(const struct watch *watch)
{
    if (watch->group)
        return group_cpu_us(watch->group);
    int64_t sum = 0;
    for (size_t i = 0; i < watch->pid_count; i++)
        sum += process_cpu_us(watch->pids[i]);
    return sum;
}

int64_t watch_resident_bytes(const struct watch *watch)
{
    int64_t sum = 0;
    for (size_t i = 0; i < watch->pid_count; i++)
        sum += process_resident_bytes(watch->pids[i]);
    return sum;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t watch_own_cpu_us(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000;
}

int64_t watch_thread_cpu_us(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1000;
}

int64_t watch_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
