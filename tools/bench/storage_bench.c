/* storage_bench — the journal alone: events of many streams, made durable through the ring, through
 * plain blocking calls, and, to compare, by a plain pwritev + fdatasync loop on the same disk.
 *
 *     due events ─▶ journal_append ─▶ commit ─▶ durable        ring, plain
 *               └─▶ a file that grows: pwritev ─▶ fdatasync     append
 *
 * Event e of a paced run is due at start + e / rate, whatever happened to the others; its latency is
 * the time from then until it is durable. An unpaced run appends whenever there is room. The store
 * is left out: what is durable counts as absorbed, so that the ring's slots go round.            */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "server/io/disk.h"
#include "server/io/loop.h"
#include "storage/journal.h"
#include "tools/bench/histogram.h"
#include "tools/bench/watch.h"

enum {
    PATH_BYTES = 512,
    PAYLOAD_BYTES_MAX = 65536,
    APPEND_EVENTS_MAX = 512,  /* of one pwritev: IOV_MAX is 1024 */
    APPEND_HEADER_BYTES = 24, /* what a simple log would need per event */
    PACE_NS = 1000000,        /* due events are looked for so often */
    PREPARE_PAUSE_NS = 2000000,
};

enum backend { BACKEND_RING, BACKEND_PLAIN, BACKEND_APPEND };

/* Of the whole device, others' writes included; zeros where it does not tell. */
struct device_counts {
    uint64_t written_bytes, flushes;
};

struct bench {
    /* What is asked for. */
    enum backend backend;
    const char *data;
    uint64_t streams, payload_bytes;
    double rate; /* events per second in all; 0: unpaced */
    int64_t spacing_ns, duration_ns;

    char path[PATH_BYTES]; /* of this run, inside `data` */
    uint8_t *payload;
    int64_t start_ns, end_ns, cpu_us; /* cpu_us: until `finish` the count at the start */
    struct device_counts before, after;
    uint64_t appended, durable, commits, bytes;
    struct histogram latency, commit;

    struct disk *disk;
    struct journal *journal;
    struct loop *loop;
    struct timer pace, wake;
    int64_t wake_ns; /* plain: asked for by the journal; 0: not */
    pthread_t preparer;
    atomic_bool is_over;
    enum err failure;
};

static struct device_counts device_counts(const char *path)
{
    struct stat status;
    char name[PATH_BYTES];
    unsigned long long field[17] = {0};
    int count = 0;
    if (stat(path, &status) != 0)
        return (struct device_counts){0};
    (void)snprintf(
        name, sizeof name, "/sys/dev/block/%u:%u/stat", major(status.st_dev), minor(status.st_dev));
    FILE *file = fopen(name, "re");
    while (file && count < 17 && fscanf(file, "%llu", &field[count]) == 1)
        count++;
    if (file)
        (void)fclose(file);
    return (struct device_counts){.written_bytes = field[6] * 512, .flushes = field[15]};
}

/* begin, finish — the bounds of what is measured: opening, prefilling and closing are not. */
static void begin(struct bench *bench)
{
    bench->before = device_counts(bench->path);
    bench->cpu_us = watch_own_cpu_us();
    bench->start_ns = watch_now_ns();
    bench->end_ns = bench->start_ns + bench->duration_ns;
}

static void finish(struct bench *bench)
{
    bench->end_ns = watch_now_ns();
    bench->cpu_us = watch_own_cpu_us() - bench->cpu_us;
    bench->after = device_counts(bench->path);
}

static int64_t event_due_ns(const struct bench *bench, uint64_t event)
{
    return bench->start_ns + (int64_t)((double)event * 1e9 / bench->rate);
}

static void now_durable(struct bench *bench, uint64_t count)
{
    int64_t now_ns = watch_now_ns();
    while (bench->rate > 0 && bench->durable < count)
        histogram_add(&bench->latency, now_ns - event_due_ns(bench, bench->durable++), 1);
    bench->durable = count;
}

/* feed — append what is due, or what there is room for. */
static bool append_one(struct bench *bench)
{
    struct journal_status status;
    uint64_t lsn;
    struct record record = {.type = RECORD_EVENT,
        .flags = RECORD_LAST,
        .number = bench->appended % bench->streams + 1,
        .seq = bench->appended / bench->streams,
        .time_ns = watch_now_ns(),
        .payload = {bench->payload, bench->payload_bytes}};
    journal_status(bench->journal, &status);
    if (status.backlog_bytes >= JOURNAL_BACKLOG_PAUSE_BYTES)
        return false;
    if (journal_append(bench->journal, &record, &lsn) != ERR_OK)
        return false;
    bench->appended++;
    return true;
}

static void feed(struct bench *bench)
{
    int64_t now_ns = watch_now_ns();
    if (now_ns >= bench->end_ns)
        return;
    uint64_t until = UINT64_MAX;
    if (bench->rate > 0)
        until = (uint64_t)((double)(now_ns - bench->start_ns) * bench->rate / 1e9);
    while (bench->appended < until && append_one(bench))
        ;
}

/* The journal's owner. */

static void on_committed(void *context, uint64_t durable_lsn)
{
    struct bench *bench = context;
    now_durable(bench, durable_lsn);
    journal_absorbed(bench->journal, durable_lsn);
}

static void on_stuck(void *context, enum err err)
{
    struct bench *bench = context;
    bench->failure = err;
    if (bench->loop)
        loop_stop(bench->loop);
}

static void on_wake_at(void *context, int64_t monotonic_ns)
{
    struct bench *bench = context;
    bench->wake_ns = monotonic_ns;
    if (bench->loop)
        timer_set(bench->loop, &bench->wake, monotonic_ns);
}

static int64_t on_now(void *context)
{
    (void)context;
    return watch_now_ns();
}

static void on_observe(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes)
{
    struct bench *bench = context;
    (void)records;
    bench->commits++;
    bench->bytes += bytes;
    histogram_add(&bench->commit, latency_ns, 1);
}

static enum err on_replay(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record, (void)lsn; /* the folder is new: there is nothing */
    return ERR_OK;
}

/* prepare_slots — the archiver's share of the journal's work. */
static void *prepare_slots(void *context)
{
    struct bench *bench = context;
    struct timespec pause = {.tv_nsec = PREPARE_PAUSE_NS};
    while (!atomic_load(&bench->is_over))
        if (!journal_prepare(bench->journal))
            (void)nanosleep(&pause, NULL);
    return NULL;
}

static enum err open_journal(struct bench *bench)
{
    struct journal_recovery found;
    struct journal_config config = {.disk = bench->disk,
        .path = bench->path,
        .segment_bytes = SEGMENT_BYTES_DEFAULT,
        .segment_count = SEGMENT_COUNT_DEFAULT,
        .commit_spacing_ns = bench->spacing_ns,
        .committed = on_committed,
        .stuck = on_stuck,
        .wake_at = on_wake_at,
        .now_ns = on_now,
        .context = bench};
    TRY(journal_open(&config, 0, on_replay, &found, &bench->journal));
    journal_observe(bench->journal, on_observe, bench);
    while (journal_prepare(bench->journal))
        ;
    if (pthread_create(&bench->preparer, NULL, prepare_slots, bench) != 0)
        return fault(ERR_NOMEM, "no thread");
    return ERR_OK;
}

static void close_journal(struct bench *bench)
{
    atomic_store(&bench->is_over, true);
    (void)pthread_join(bench->preparer, NULL);
    bench->journal = journal_close(bench->journal);
}

/* Through the ring. */

static void on_turn_end(void *context)
{
    struct bench *bench = context;
    if (bench->rate == 0)
        feed(bench);
    journal_tick(bench->journal);
    if (watch_now_ns() >= bench->end_ns && journal_is_idle(bench->journal))
        loop_stop(bench->loop);
}

static void on_pace(struct timer *timer)
{
    struct bench *bench = (struct bench *)((char *)timer - offsetof(struct bench, pace));
    feed(bench);
    timer_set(bench->loop, timer, watch_now_ns() + PACE_NS);
}

static void on_wake(struct timer *timer)
{
    (void)timer; /* the turn's end ticks the journal */
}

static enum err run_ring(struct bench *bench)
{
    TRY(loop_new(&bench->loop));
    TRY(disk_ring_new(bench->loop, &bench->disk));
    TRY(open_journal(bench));
    bench->pace.fire = on_pace;
    bench->wake.fire = on_wake;
    begin(bench);
    timer_set(bench->loop, &bench->pace, bench->start_ns);
    loop_on_turn_end(bench->loop, on_turn_end, bench);
    loop_run(bench->loop);
    finish(bench);
    timer_cancel(bench->loop, &bench->pace);
    timer_cancel(bench->loop, &bench->wake);
    close_journal(bench);
    bench->disk = disk_ring_free(bench->disk);
    bench->loop = loop_free(bench->loop);
    return bench->failure;
}

/* Through blocking calls. */

static void nap_until(int64_t until_ns)
{
    int64_t left_ns = until_ns - watch_now_ns();
    struct timespec pause = {.tv_nsec = left_ns < PACE_NS ? left_ns : PACE_NS};
    if (left_ns > 0)
        (void)nanosleep(&pause, NULL);
}

static enum err run_plain(struct bench *bench)
{
    bench->disk = disk_plain_new();
    if (!bench->disk)
        return fault(ERR_NOMEM, "no disk");
    TRY(open_journal(bench));
    begin(bench);
    while (bench->failure == ERR_OK &&
           (watch_now_ns() < bench->end_ns || !journal_is_idle(bench->journal))) {
        uint64_t commits = bench->commits;
        feed(bench);
        bench->wake_ns = 0;
        journal_tick(bench->journal);
        disk_plain_run(bench->disk);
        if (commits == bench->commits)
            nap_until(bench->wake_ns ? bench->wake_ns : watch_now_ns() + PACE_NS);
    }
    finish(bench);
    close_journal(bench);
    bench->disk = disk_plain_free(bench->disk);
    return bench->failure;
}

/* A file that grows, and no journal. */

static enum err append_batch(struct bench *bench, int file, uint64_t count, uint64_t *offset)
{
    static const uint8_t header[APPEND_HEADER_BYTES];
    struct iovec pieces[2 * APPEND_EVENTS_MAX];
    size_t bytes = count * (APPEND_HEADER_BYTES + bench->payload_bytes);
    for (uint64_t i = 0; i < count; i++) {
        pieces[2 * i] = (struct iovec){(void *)header, sizeof header};
        pieces[2 * i + 1] = (struct iovec){bench->payload, bench->payload_bytes};
    }
    ssize_t written = pwritev(file, pieces, (int)(2 * count), (off_t)*offset);
    if (written != (ssize_t)bytes)
        return fault(ERR_IO, "pwritev: %s", written < 0 ? strerror(errno) : "short");
    *offset += bytes;
    bench->appended += count;
    bench->bytes += bytes;
    return ERR_OK;
}

static enum err append_due(struct bench *bench, int file, uint64_t *offset)
{
    int64_t began_ns = watch_now_ns();
    uint64_t due = JOURNAL_BACKLOG_PAUSE_BYTES / bench->payload_bytes;
    if (bench->rate > 0)
        due =
            (uint64_t)((double)(began_ns - bench->start_ns) * bench->rate / 1e9) - bench->appended;
    if (due == 0)
        return ERR_OK;
    for (uint64_t left = due; left > 0;) {
        uint64_t count = left < APPEND_EVENTS_MAX ? left : APPEND_EVENTS_MAX;
        TRY(append_batch(bench, file, count, offset));
        left -= count;
    }
    if (fdatasync(file) != 0)
        return fault(ERR_IO, "fdatasync: %s", strerror(errno));
    bench->commits++;
    histogram_add(&bench->commit, watch_now_ns() - began_ns, 1);
    now_durable(bench, bench->appended);
    return ERR_OK;
}

static enum err run_append(struct bench *bench)
{
    char name[PATH_BYTES + 16];
    uint64_t offset = 0;
    (void)snprintf(name, sizeof name, "%s/log", bench->path);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return fault(ERR_IO, "%s: %s", name, strerror(errno));
    begin(bench);
    enum err err = ERR_OK;
    while (err == ERR_OK && watch_now_ns() < bench->end_ns) {
        int64_t next_ns = watch_now_ns() + bench->spacing_ns;
        err = append_due(bench, file, &offset);
        if (bench->rate > 0)
            nap_until(next_ns);
    }
    finish(bench);
    (void)close(file);
    return err;
}

static void remove_folder(const char *path)
{
    char name[PATH_BYTES + 32];
    for (unsigned i = 0; i < SEGMENT_COUNT_MAX; i++) {
        (void)snprintf(name, sizeof name, "%s/journal-%02u", path, i);
        (void)unlink(name);
    }
    (void)snprintf(name, sizeof name, "%s/log", path);
    (void)unlink(name);
    if (rmdir(path) != 0)
        fprintf(stderr, "storage_bench: %s stays behind: %s\n", path, strerror(errno));
}

/* The command line, and the report. */

static const char *backend_name(enum backend backend)
{
    switch (backend) {
    case BACKEND_RING: return "ring";
    case BACKEND_PLAIN: return "plain";
    case BACKEND_APPEND: return "append";
    }
    return "";
}

static void report(const struct bench *bench)
{
    double seconds = (double)(bench->end_ns - bench->start_ns) / 1e9;
    double events = bench->durable ? (double)bench->durable : 1;
    double payload = events * (double)bench->payload_bytes;
    printf("{\"backend\": \"%s\", \"streams\": %llu, \"payload_bytes\": %llu, \"rate\": %.0f,\n"
           " \"seconds\": %.3f, \"events\": %llu, \"events_per_s\": %.0f, \"commits\": %llu,\n"
           " \"cpu_us_per_event\": %.3f, \"bytes_per_payload_byte\": %.3f,\n"
           " \"device_bytes_per_payload_byte\": %.3f, \"device_flushes\": %llu,\n \"commit_us\": ",
        backend_name(bench->backend), (unsigned long long)bench->streams,
        (unsigned long long)bench->payload_bytes, bench->rate, seconds,
        (unsigned long long)bench->durable, events / seconds, (unsigned long long)bench->commits,
        (double)bench->cpu_us / events, (double)bench->bytes / payload,
        (double)(bench->after.written_bytes - bench->before.written_bytes) / payload,
        (unsigned long long)(bench->after.flushes - bench->before.flushes));
    histogram_print(&bench->commit, stdout, false);
    printf(",\n \"latency_us\": ");
    histogram_print(&bench->latency, stdout, false);
    printf("}\n");
}

static _Noreturn void usage(int status)
{
    fputs(
        "tokenlog_storage_bench ring|plain|append --data FOLDER [--streams N] [--rate PER_STREAM]\n"
        "    [--payload BYTES] [--seconds N] [--spacing-us N]\n"
        "rate 0: unpaced. Defaults: 1000 streams, 50 events/s each, 300 bytes, 2 s, 1500 us.\n",
        status ? stderr : stdout);
    exit(status);
}

static uint64_t read_count(const char *text, uint64_t max)
{
    uint64_t value;
    if (slice_u64(slice_text(text), &value) != ERR_OK || value > max)
        usage(2);
    return value;
}

static void read_backend(const char *text, struct bench *bench)
{
    for (int i = BACKEND_RING; i <= BACKEND_APPEND; i++) {
        bench->backend = (enum backend)i;
        if (strcmp(text, backend_name(bench->backend)) == 0)
            return;
    }
    usage(2);
}

static void read_options(int argc, char **argv, struct bench *bench)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
        {"streams", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
        {"payload", required_argument, NULL, 'p'}, {"seconds", required_argument, NULL, 't'},
        {"spacing-us", required_argument, NULL, 'g'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t rate = 50;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd': bench->data = optarg; break;
        case 's': bench->streams = read_count(optarg, 1000000); break;
        case 'r': rate = read_count(optarg, 1000000); break;
        case 'p': bench->payload_bytes = read_count(optarg, PAYLOAD_BYTES_MAX); break;
        case 't': bench->duration_ns = (int64_t)read_count(optarg, 3600) * 1000000000; break;
        case 'g': bench->spacing_ns = (int64_t)read_count(optarg, 1000000) * 1000; break;
        case 'h': usage(0);
        default: usage(2);
        }
    }
    if (optind + 1 != argc || !bench->data || bench->streams == 0 || bench->payload_bytes == 0)
        usage(2);
    read_backend(argv[optind], bench);
    bench->rate = (double)(rate * bench->streams);
}

/* fill — a chunk of chat, so that nothing on the way can do it cheaper than real ones. */
static void fill(uint8_t *payload, size_t size)
{
    static const char chunk[] =
        "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\","
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]} ";
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)chunk[i % (sizeof chunk - 1)];
}

static enum err run(struct bench *bench)
{
    switch (bench->backend) {
    case BACKEND_RING: return run_ring(bench);
    case BACKEND_PLAIN: return run_plain(bench);
    case BACKEND_APPEND: return run_append(bench);
    }
    return ERR_INVALID;
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .streams = 1000, .payload_bytes = 300, .duration_ns = 2000000000, .spacing_ns = 1500000};
    read_options(argc, argv, &bench);
    (void)snprintf(bench.path, sizeof bench.path, "%s/storage-bench-XXXXXX", bench.data);
    bench.payload = malloc(bench.payload_bytes);
    if (!bench.payload || !mkdtemp(bench.path)) {
        fprintf(stderr, "storage_bench: %s: %s\n", bench.path, strerror(errno));
        return 1;
    }
    fill(bench.payload, bench.payload_bytes);
    enum err err = run(&bench);
    if (err == ERR_OK)
        report(&bench);
    else
        fprintf(stderr, "storage_bench: %s: %s\n", err_text(err), fault_origin());
    remove_folder(bench.path);
    free(bench.payload);
    return err == ERR_OK ? 0 : 1;
}
