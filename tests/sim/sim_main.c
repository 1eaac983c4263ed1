/* tokenlog_sim — runs seeds of the simulation; prints those that fail, and exits 1 if any did.
 *
 *   tokenlog_sim [--seeds N] [--from S] [--forever] [--twice] [--lying-disk] [--verbose]
 *
 *   --seeds 100  how many, from --from 1 on          --forever  until stopped
 *   --twice      each seed two times: both runs must see the same
 *   --lying-disk the disk acknowledges what it loses: exits 0 if the checker notices
 *   --verbose    what storage logs; for one seed                                               */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/history.h"

struct options {
    uint64_t seeds, from;
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
        {"verbose", no_argument, NULL, 'v'}, {0}};
    *options = (struct options){.seeds = 100, .from = 1};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'n': options->seeds = strtoull(optarg, NULL, 10); break;
        case 's': options->from = strtoull(optarg, NULL, 10); break;
        case 'f': options->is_endless = true; break;
        case 't': options->is_twice = true; break;
        case 'l': options->history.has_lying_disk = true; break;
        case 'v': options->history.is_verbose = true; break;
        default: return false;
        }
    }
    return optind == argc;
}

static bool run(const struct options *options, uint64_t seed, struct history_result *sum)
{
    seed_now = seed;
    struct history_result result = history_run(seed, &options->history);
    if (options->is_twice && history_run(seed, &options->history).trace != result.trace) {
        fprintf(stderr, "seed %" PRIu64 ": two runs differ\n", seed);
        result.problems++;
    }
    sum->steps += result.steps;
    sum->streams += result.streams;
    sum->crashes += result.crashes;
    if (result.problems)
        printf("FAILED seed %" PRIu64 "\n", seed);
    (void)fflush(stdout);
    return result.problems == 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct history_result sum = {0};
    uint64_t failed = 0, seed;
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: tokenlog_sim [--seeds N] [--from S] [--forever] [--twice] "
                        "[--lying-disk] [--verbose]\n");
        return 2;
    }
    (void)signal(SIGABRT, say_seed);
    (void)signal(SIGSEGV, say_seed);
    for (seed = options.from; options.is_endless || seed - options.from < options.seeds; seed++)
        failed += !run(&options, seed, &sum);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " steps, %" PRIu64 " streams, %" PRIu64
           " crashes\n",
        seed - options.from, failed, sum.steps, sum.streams, sum.crashes);
    return (failed > 0) == options.history.has_lying_disk ? 0 : 1;
}
