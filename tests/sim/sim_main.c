/* tokenlog_sim — runs seeds of the simulation; prints those that fail, and exits 1 if any did.
 *
 *   tokenlog_sim [--seeds N] [--from S] [--forever] [--twice] [--cuts N] [--failures N] [--plain-store]
 *                [--lying-disk] [--lying-store] [--verbose]
 *
 *   --seeds 100  how many, from --from 1 on          --forever  until stopped
 *   --twice      each seed two times: both runs must see the same
 *   --cuts N     at each N-th operation on the store's file the process ends, in all the ways there
 *                are, each in a process of its own. --failures N  each N-th operation fails, in a run
 *                of its own. Without either such things happen by chance
 *   --plain-store nothing happens to the store's file
 *   --lying-disk, --lying-store  acknowledge what they lose: exits 0 if the checker notices
 *   --verbose    what storage logs; for one seed                                               */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/history.h"

struct options {
    uint64_t seeds, from;
    uint64_t fail_every;
    bool is_endless, is_twice;
    struct history_options history;
};

static volatile uint64_t seed_now; /* for the handler of what kills us */

static void say_seed(int signal_number)
{
    char text[32];
    char *at = text + sizeof text;
    *--at = '\n';
    for (uint64_t seed = seed_now; at > text && (seed > 0 || at == text + sizeof text - 1);
         seed /= 10)
        *--at = (char)('0' + seed % 10);
    if (write(STDERR_FILENO, "died in seed ", 13) < 0 ||
        write(STDERR_FILENO, at, (size_t)(text + sizeof text - at)) < 0)
        _exit(3);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"seeds", required_argument, NULL, 'n'},
        {"from", required_argument, NULL, 's'}, {"forever", no_argument, NULL, 'f'},
        {"twice", no_argument, NULL, 't'}, {"lying-disk", no_argument, NULL, 'l'},
        {"lying-store", no_argument, NULL, 'L'}, {"plain-store", no_argument, NULL, 'p'},
        {"cuts", required_argument, NULL, 'c'}, {"failures", required_argument, NULL, 'F'},
        {"verbose", no_argument, NULL, 'v'}, {0}};
    *options = (struct options){.seeds = 100, .from = 1};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'n': options->seeds = strtoull(optarg, NULL, 10); break;
        case 's': options->from = strtoull(optarg, NULL, 10); break;
        case 'f': options->is_endless = true; break;
        case 't': options->is_twice = true; break;
        case 'l': options->history.has_lying_disk = true; break;
        case 'L': options->history.has_lying_store = true; break;
        case 'p': options->history.is_store_plain = true; break;
        case 'c': options->history.cut_every = strtoull(optarg, NULL, 10); break;
        case 'F': options->fail_every = strtoull(optarg, NULL, 10); break;
        case 'v': options->history.is_verbose = true; break;
        default: return false;
        }
    }
    return optind == argc;
}

/* Every so many-th operation on the store's file fails, until a run has fewer. */
static uint64_t run_failing(const struct options *options, uint64_t seed)
{
    static const int errors[] = {EIO, ENOSPC};
    struct history_options history = options->history;
    uint64_t problems = 0;
    for (int i = 0; i < 2; i++) {
        struct history_result result = {.operations = UINT64_MAX};
        history.fail_error = errors[i];
        for (history.fail_nth = 1 + seed % options->fail_every;
             history.fail_nth <= result.operations; history.fail_nth += options->fail_every) {
            result = history_run(seed, &history);
            if (result.problems)
                printf("FAILED seed %" PRIu64 ", operation %" PRIu64
                       " on the store's file fails (%s)\n",
                    seed, history.fail_nth, strerror(errors[i]));
            problems += result.problems;
        }
    }
    return problems;
}

static bool run(const struct options *options, uint64_t seed, struct history_result *sum)
{
    seed_now = seed;
    struct history_result result = history_run(seed, &options->history);
    if (options->is_twice && history_run(seed, &options->history).trace != result.trace) {
        fprintf(stderr, "seed %" PRIu64 ": two runs differ\n", seed);
        result.problems++;
    }
    if (options->fail_every)
        result.problems += run_failing(options, seed);
    sum->steps += result.steps;
    sum->streams += result.streams;
    sum->crashes += result.crashes;
    sum->operations += result.operations;
    sum->ends += result.ends;
    if (result.problems)
        printf("FAILED seed %" PRIu64 "\n", seed);
    (void)fflush(stdout);
    return result.problems == 0;
}

/* A file that has lost its pages can be the end of whoever reads it: in a process of its own. */
static bool run_lying(const struct options *options, uint64_t seed, struct history_result *sum)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run(options, seed, sum) ? 0 : 1);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    sum->operations++;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct history_result sum = {0};
    uint64_t failed = 0, seed;
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: tokenlog_sim [--seeds N] [--from S] [--forever] [--twice] "
                        "[--cuts N] [--failures N] [--plain-store] [--lying-disk] [--lying-store] "
                        "[--verbose]\n");
        return 2;
    }
    (void)signal(SIGABRT, say_seed);
    (void)signal(SIGSEGV, say_seed);
    for (seed = options.from; options.is_endless || seed - options.from < options.seeds; seed++)
        failed += !(options.history.has_lying_store ? run_lying : run)(&options, seed, &sum);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " steps, %" PRIu64 " streams, %" PRIu64
           " crashes, %" PRIu64 " operations on the store's file, %" PRIu64 " of them ended\n",
        seed - options.from, failed, sum.steps, sum.streams, sum.crashes, sum.operations, sum.ends);
    bool is_lying = options.history.has_lying_disk || options.history.has_lying_store;
    return (failed > 0) == is_lying && sum.operations > 0 ? 0 : 1;
}
