/* load — the load generator: runs one crowd, prints what it measured. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/crowd.h"

static double per(double sum, uint64_t count)
{
    return count ? sum / (double)count : 0;
}

static void print_times(const struct crowd_results *results, bool with_buckets)
{
    const struct {
        const char *name;
        const struct histogram *histogram;
    } rows[] = {
        {"first_token_us", &results->first_token},
        {"first_replayed_us", &results->first_replayed},
        {"lateness_us", &results->lateness},
        {"pace_us", &results->pace},
        {"stream_us", &results->stream},
        {"refused_us", &results->refused},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf(",\n \"%s\": ", rows[i].name);
        histogram_print(rows[i].histogram, stdout, with_buckets);
    }
}

static void print_failures(const struct crowd_results *results)
{
    uint64_t sum = 0;
    printf(",\n \"errors\": {");
    for (int i = 0; i < FAILURE_COUNT; i++) {
        sum += results->failures[i];
        printf("\"%s\": %llu, ", failure_name((enum failure)i),
            (unsigned long long)results->failures[i]);
    }
    printf("\"all\": %llu}", (unsigned long long)sum);
    if (results->first_problem)
        printf(",\n \"first_problem\": \"%s (%s, status %d)\"", results->first_problem,
            results->is_first_of_reader ? "GET" : "POST", results->first_status);
}

static void print_results(const struct load_options *options, const struct crowd_results *results)
{
    double seconds = (double)results->window_ns / 1e9;
    printf("{\"model\": \"%s\", \"clients\": %u, \"seconds\": %.3f, \"attached\": %u,\n"
           " \"events\": %llu, \"events_per_s\": %.1f, \"body_bytes\": %llu, \"mb_per_s\": %.2f,\n"
           " \"responses\": %llu, \"hang_ups\": %llu, \"refused\": %llu, "
           "\"load_cpu_us_per_event\": %.3f",
        options->model, options->clients, seconds, results->attached,
        (unsigned long long)results->tokens, per((double)results->tokens, 1) / seconds,
        (unsigned long long)results->body_bytes, (double)results->body_bytes / 1e6 / seconds,
        (unsigned long long)results->responses, (unsigned long long)results->hang_ups,
        (unsigned long long)results->refused.count,
        per((double)results->own_cpu_us, results->tokens));
    if (options->watch.pid_count > 0 || options->watch.group)
        printf(",\n \"server_cpu_us_per_event\": %.3f, \"server_cpu_share\": %.3f,"
               " \"resident_before_bytes\": %lld, \"resident_after_bytes\": %lld",
            per((double)results->watched_cpu_us, results->tokens),
            (double)results->watched_cpu_us / 1e6 / seconds,
            (long long)results->resident_before_bytes, (long long)results->resident_after_bytes);
    print_times(results, options->with_buckets);
    print_failures(results);
    printf("}\n");
}

int main(int argc, char **argv)
{
    struct load_options options;
    (void)signal(SIGPIPE, SIG_IGN);
    load_options_read(argc, argv, &options);
    struct crowd_results *results = malloc(sizeof *results);
    if (!results || !crowd_run(&options, results)) {
        free(results);
        return 1;
    }
    print_results(&options, results);
    free(results);
    return fflush(stdout) == 0 ? 0 : 1;
}
