/* storage_run — see storage_run.h. */
#include "tools/bench/storage_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "storage/disk.h"
#include "tools/bench/watch.h"

enum {
    DEVICE_FIELDS = 17, /* of /sys/dev/block/…/stat: 0 reads, 6 sectors written, 15 flushes */
    SECTOR_BYTES = 512,
};

static void count_device(const char *path, struct run_counts *out)
{
    struct stat status;
    char name[RUN_PATH_BYTES];
    unsigned long long field[DEVICE_FIELDS] = {0};
    int count = 0;
    if (stat(path, &status) != 0)
        return;
    (void)snprintf(
        name, sizeof name, "/sys/dev/block/%u:%u/stat", major(status.st_dev), minor(status.st_dev));
    FILE *file = fopen(name, "re");
    while (file && count < DEVICE_FIELDS && fscanf(file, "%llu", &field[count]) == 1)
        count++;
    if (file)
        (void)fclose(file);
    out->device_reads = field[0];
    out->device_written_bytes = field[6] * SECTOR_BYTES;
    out->device_flushes = field[15];
}

static void count_own(struct run_counts *out)
{
    char line[128];
    unsigned long long value;
    FILE *file = fopen("/proc/self/io", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "read_bytes: %llu", &value) == 1)
            out->own_read_bytes = value;
        if (sscanf(line, "write_bytes: %llu", &value) == 1)
            out->own_written_bytes = value;
    }
    if (file)
        (void)fclose(file);
}

void run_count(const char *path, struct run_counts *out)
{
    *out = (struct run_counts){0};
    count_device(path, out);
    count_own(out);
}

enum err run_folder(struct storage_run *run)
{
    int size = snprintf(run->path, sizeof run->path, "%s/storage-bench-XXXXXX", run->data);
    if (size >= (int)sizeof run->path || !mkdtemp(run->path))
        return fault(ERR_IO, "%s: %s", run->path, strerror(errno));
    return ERR_OK;
}

enum err run_fill_slots(
    const struct storage_run *run, uint64_t segment_bytes, uint32_t segment_count)
{
    char name[RUN_PATH_BYTES + 32];
    struct disk *disk = disk_plain_new();
    if (!disk)
        return fault(ERR_NOMEM, "a disk");
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < segment_count && err == ERR_OK; i++) {
        struct disk_file *file = NULL;
        (void)snprintf(name, sizeof name, "%s/journal-%02u", run->path, i);
        err = disk->ops->open(disk, name, segment_bytes, &file);
        if (err == ERR_OK)
            err = disk->ops->prefill(file, segment_bytes);
        disk->ops->close(file);
    }
    disk_plain_free(disk);
    return err;
}

/* Calls `visit` with the path of each file of a folder that holds no others. */
static void each_file(const char *path, void (*visit)(const char *file))
{
    char file[RUN_PATH_BYTES + 256];
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_type != DT_REG)
            continue;
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        visit(file);
    }
    if (folder)
        (void)closedir(folder);
}

static void remove_file(const char *path)
{
    (void)unlink(path);
}

void run_remove_folder(const struct storage_run *run)
{
    each_file(run->path, remove_file);
    if (rmdir(run->path) != 0)
        fprintf(stderr, "storage_bench: %s stays behind: %s\n", run->path, strerror(errno));
}

static void forget_file(const char *path)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) == 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

void run_drop_caches(const char *path)
{
    each_file(path, forget_file);
    CLEANUP(cleanup_close) int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) != 1) /* only root may; the files were forgotten above */
        fprintf(stderr, "storage_bench: the page cache could not be dropped\n");
}

void run_begin(struct storage_run *run)
{
    run_count(run->path, &run->before);
    run->cpu_us = watch_own_cpu_us();
    run->loop_cpu_us = watch_thread_cpu_us();
    run->start_ns = watch_now_ns();
    run->end_ns = run->start_ns + run->duration_ns;
}

void run_finish(struct storage_run *run)
{
    run->end_ns = watch_now_ns();
    run->cpu_us = watch_own_cpu_us() - run->cpu_us;
    run->loop_cpu_us = watch_thread_cpu_us() - run->loop_cpu_us;
    run_count(run->path, &run->after);
}

int64_t run_due_ns(const struct storage_run *run, uint64_t event)
{
    return run->start_ns + (int64_t)((double)event * 1e9 / run->rate);
}

uint64_t run_due_count(const struct storage_run *run)
{
    int64_t past_ns = watch_now_ns() - run->start_ns;
    return run->rate > 0 ? (uint64_t)((double)past_ns * run->rate / 1e9) : UINT64_MAX;
}

void run_durable(struct storage_run *run, uint64_t count)
{
    int64_t now_ns = watch_now_ns();
    while (run->rate > 0 && run->durable < count)
        histogram_add(&run->latency, now_ns - run_due_ns(run, run->durable++), 1);
    run->durable = count;
}

void run_report(const struct storage_run *run)
{
    double seconds = (double)(run->end_ns - run->start_ns) / 1e9;
    double events = run->durable ? (double)run->durable : 1;
    double payload = events * (double)run->payload_bytes;
    const struct run_counts *before = &run->before, *after = &run->after;
    printf("{\"backend\": \"%s\", \"streams\": %llu, \"payload_bytes\": %llu, \"rate\": %.0f,\n"
           " \"seconds\": %.3f, \"events\": %llu, \"events_per_s\": %.0f, \"commits\": %llu,\n"
           " \"cpu_us_per_event\": %.3f, \"loop_cpu_us_per_event\": %.3f, "
           "\"bytes_per_payload_byte\": %.3f,\n"
           " \"own_bytes_per_payload_byte\": %.3f, \"device_bytes_per_payload_byte\": %.3f,\n"
           " \"device_flushes\": %llu,\n \"commit_us\": ",
        run->name, (unsigned long long)run->streams, (unsigned long long)run->payload_bytes,
        run->rate, seconds, (unsigned long long)run->durable, events / seconds,
        (unsigned long long)run->commits, (double)run->cpu_us / events,
        (double)run->loop_cpu_us / events, (double)run->bytes / payload,
        (double)(after->own_written_bytes - before->own_written_bytes) / payload,
        (double)(after->device_written_bytes - before->device_written_bytes) / payload,
        (unsigned long long)(after->device_flushes - before->device_flushes));
    histogram_print(&run->commit, stdout, false);
    printf(",\n \"latency_us\": ");
    histogram_print(&run->latency, stdout, false);
    printf("}\n");
}
