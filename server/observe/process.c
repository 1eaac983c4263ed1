/* process — /proc/self/stat gives the times and the memory:
 *
 *     pid (name, may hold anything) state … utime(14) stime(15) … starttime(22) vsize(23) rss(24)
 *
 * Times are in clock ticks, starttime since boot; /proc/stat's btime is the boot, in Unix time. */
#include "server/observe/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "protocol/base/own.h"

enum { PROC_TEXT_BYTES = 64 * 1024 /* of /proc/stat: btime follows a line for each CPU */ };

struct process_stat {
    uint64_t user_ticks, system_ticks, start_ticks, virtual_bytes, resident_pages;
};

/* The start of a file, as text; false if it cannot be read. */
static bool read_text(const char *path, char *out, size_t size)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 1;
    while (fd >= 0 && got > 0 && used < size - 1) {
        got = read(fd, out + used, size - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    out[used] = '\0';
    return used > 0;
}

static bool read_stat(struct process_stat *out)
{
    char text[4096];
    if (!read_text("/proc/self/stat", text, sizeof text))
        return false;
    const char *after_name = strrchr(text, ')');
    return after_name && sscanf(after_name,
                             ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                             " %*d %*d %*d %*d %*d %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
                             &out->user_ticks, &out->system_ticks, &out->start_ticks,
                             &out->virtual_bytes, &out->resident_pages) == 5;
}

static bool read_boot_time(uint64_t *out)
{
    char *text = malloc(PROC_TEXT_BYTES);
    bool is_read = text && read_text("/proc/stat", text, PROC_TEXT_BYTES);
    const char *line = is_read ? strstr(text, "\nbtime ") : NULL;
    bool is_found = line && sscanf(line, "\nbtime %" SCNu64, out) == 1;
    free(text);
    return is_found;
}

/* Since Linux 6.2 the folder's size is the number of files in it; before, they have to be
 * counted. */
static bool count_files(uint64_t *out)
{
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        *out = (uint64_t)folder.st_size;
        return true;
    }
    DIR *files = opendir("/proc/self/fd");
    if (!files)
        return false;
    *out = 0;
    while (readdir(files))
        (*out)++;
    *out -= *out < 3 ? *out : 3; /* . and .. and the folder's own */
    (void)closedir(files);
    return true;
}

static enum err print_value(struct buf *out, const char *name, const char *kind, uint64_t value)
{
    return buf_printf(out, "# TYPE %s %s\n%s %" PRIu64 "\n", name, kind, name, value);
}

/* Ticks as seconds with two decimals: there are 100 a second wherever Linux runs. */
static enum err print_ticks(
    struct buf *out, const char *name, const char *kind, uint64_t seconds, uint64_t ticks)
{
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    seconds += ticks / per_second;
    return buf_printf(out, "# TYPE %s %s\n%s %" PRIu64 ".%02" PRIu64 "\n", name, kind, name,
        seconds, ticks % per_second * 100 / per_second);
}

static enum err print_stat(struct buf *out)
{
    struct process_stat stat;
    uint64_t boot_time;
    if (!read_stat(&stat))
        return ERR_OK;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    TRY(print_ticks(
        out, "process_cpu_seconds_total", "counter", 0, stat.user_ticks + stat.system_ticks));
    TRY(print_value(
        out, "process_resident_memory_bytes", "gauge", stat.resident_pages * page_bytes));
    TRY(print_value(out, "process_virtual_memory_bytes", "gauge", stat.virtual_bytes));
    if (!read_boot_time(&boot_time))
        return ERR_OK;
    return print_ticks(out, "process_start_time_seconds", "gauge", boot_time, stat.start_ticks);
}

enum err process_print(struct buf *out)
{
    struct rlimit limit;
    uint64_t files;
    TRY(print_stat(out));
    if (count_files(&files))
        TRY(print_value(out, "process_open_fds", "gauge", files));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        TRY(print_value(out, "process_max_fds", "gauge", limit.rlim_cur));
    return ERR_OK;
}
