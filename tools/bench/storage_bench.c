/* storage_bench — the storage engine by itself, on a real disk, beside what that disk can do.
 *
 * One figure's run a call, as JSON on standard output; tools/bench/run puts them side by side. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/slice.h"
#include "tools/bench/storage_archive.h"
#include "tools/bench/storage_journal.h"
#include "tools/bench/storage_whole.h"

struct kind {
    const char *name;
    enum err (*run)(struct storage_run *run);
    bool is_load; /* its report is the one of a load */
};

static const struct kind kinds[] = {
    {"ring", journal_run_ring, true},
    {"plain", journal_run_plain, true},
    {"append", journal_run_append, true},
    {"over", journal_run_over, true},
    {"lone", journal_run_lone, false},
    {"whole", whole_run, true},
    {"read", archive_run_read, false},
    {"restart", archive_run_restart, false},
    {"recover", archive_run_recover, false},
};

static _Noreturn void usage(int status)
{
    fputs("tokenlog_storage_bench KIND --data FOLDER [--streams N] [--rate PER_STREAM]\n"
          "    [--payload BYTES] [--seconds N] [--spacing-us N] [--zstd-level N] [--gigabytes N]\n"
          "rate 0: unpaced. Defaults: 1000 streams, 50 events/s each, 300 bytes, 2 s, 1500 us.\n"
          "KIND:\n"
          "  ring    the journal alone, as the server has it   plain  through blocking calls\n"
          "  append  pwritev + fdatasync to a growing file     over   to one written before\n"
          "  lone    one event at a time, beside one durable write of 4 KiB\n"
          "  whole   journal, archiver and store\n"
          "  read    finished streams of 2,000 events, warm and cold (as root: all caches)\n"
          "  recover the journal at its cap                    restart  the same, with a store\n",
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

static void read_option(int option, struct storage_run *run, uint64_t *rate)
{
    switch (option) {
    case 'd': run->data = optarg; break;
    case 's': run->streams = read_count(optarg, 1000000); break;
    case 'r': *rate = read_count(optarg, 1000000); break;
    case 'p': run->payload_bytes = read_count(optarg, RUN_PAYLOAD_BYTES_MAX); break;
    case 't': run->duration_ns = (int64_t)read_count(optarg, 3600) * 1000000000; break;
    case 'g': run->spacing_ns = (int64_t)read_count(optarg, 1000000) * 1000; break;
    case 'z': run->zstd_level = (int)read_count(optarg, 19); break;
    case 'b': run->size_bytes = read_count(optarg, 1000) * 1000000000; break;
    case 'h': usage(0);
    default: usage(2);
    }
}

static void read_options(int argc, char **argv, struct storage_run *run)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
        {"streams", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
        {"payload", required_argument, NULL, 'p'}, {"seconds", required_argument, NULL, 't'},
        {"spacing-us", required_argument, NULL, 'g'}, {"zstd-level", required_argument, NULL, 'z'},
        {"gigabytes", required_argument, NULL, 'b'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t rate = 50;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        read_option(option, run, &rate);
    if (optind + 1 != argc || !run->data || run->streams == 0 || run->payload_bytes == 0)
        usage(2);
    run->rate = (double)(rate * run->streams);
}

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return &kinds[i];
    usage(2);
}

int main(int argc, char **argv)
{
    static struct storage_run run = {.streams = 1000,
        .payload_bytes = 300,
        .duration_ns = 2000000000,
        .spacing_ns = 1500000,
        .size_bytes = 10000000000,
        .zstd_level = 1};
    read_options(argc, argv, &run);
    const struct kind *kind = find_kind(argv[optind]);
    run.name = kind->name;
    enum err err = run_folder(&run);
    if (err == ERR_OK) {
        err = kind->run(&run);
        run_remove_folder(&run);
    }
    if (err != ERR_OK)
        fprintf(stderr, "storage_bench: %s: %s\n", err_text(err), fault_origin());
    else if (kind->is_load)
        run_report(&run);
    return err == ERR_OK ? 0 : 1;
}
