/* load_options — getopt_long, and what the mock's model names mean. */
#include "tools/bench/load_options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/slice.h"

static const char HELP[] =
    "tokenlog_load MODE --url http://ADDRESS:PORT [option…]\n"
    "\n"
    "Streams from anything that speaks OpenAI's API in front of the mock provider, checks each\n"
    "token's number and prints what it measured as one JSON object.\n"
    "\n"
    "  stream   clients post streamed completions, one after the other, kept alive\n"
    "  follow   one stream, read by the other clients at /v1/streams/{id}/events\n"
    "  replay   clients read finished streams, recorded first (or what --path names)\n"
    "  resume   clients post, hang up after a random number of events, come back at that offset\n"
    "  idle     as follow; the clients are counted and held, e.g. with rate=0.1\n"
    "\n"
    "  --model NAME        default mock,events=100,rate=50; see tools/mock/README.md\n"
    "  --clients N         default 1\n"
    "  --duration SECONDS  measured, default 3;  --warmup SECONDS before it, default 1\n"
    "  --ramp SECONDS      in which the clients begin, evenly; default: the warm-up\n"
    "  --tick-us N         look at the sockets so often at the most: cheaper by far, and measures "
    "no\n"
    "                      finer; default 0: woken by each arrival\n"
    "  --streams N         replay: recorded streams, default 20\n"
    "  --settle SECONDS    replay: between recording and reading, default 1\n"
    "  --from 0|random     replay: the first event asked for, default 0\n"
    "  --format sse|raw    of readers, default sse\n"
    "  --path PATH         of the POST, default /v1/chat/completions; in replay: GET it instead\n"
    "  --keyed             an Idempotency-Key with each POST\n"
    "  --once              stream: one POST a client\n"
    "  --bearer KEY        an API key\n"
    "  --header 'N: V'     with each POST (repeatable)\n"
    "  --may-refuse        429 and 503 count as refusals; the client asks again after a second\n"
    "  --watch PID         CPU and memory of this process too (repeatable)\n"
    "  --watch-group PATH  CPU of this control group instead\n"
    "  --seed N            of the random choices, default 1\n"
    "  --buckets           histograms in whole\n";

enum {
    OPTION_URL = 256,
    OPTION_MODEL,
    OPTION_CLIENTS,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_RAMP,
    OPTION_TICK,
    OPTION_STREAMS,
    OPTION_SETTLE,
    OPTION_FROM,
    OPTION_FORMAT,
    OPTION_PATH,
    OPTION_KEYED,
    OPTION_ONCE,
    OPTION_BEARER,
    OPTION_HEADER,
    OPTION_MAY_REFUSE,
    OPTION_WATCH,
    OPTION_WATCH_GROUP,
    OPTION_SEED,
    OPTION_BUCKETS,
    OPTION_HELP,
};

static const struct option OPTIONS[] = {
    {"url", required_argument, NULL, OPTION_URL},
    {"model", required_argument, NULL, OPTION_MODEL},
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"ramp", required_argument, NULL, OPTION_RAMP},
    {"tick-us", required_argument, NULL, OPTION_TICK},
    {"streams", required_argument, NULL, OPTION_STREAMS},
    {"settle", required_argument, NULL, OPTION_SETTLE},
    {"from", required_argument, NULL, OPTION_FROM},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"path", required_argument, NULL, OPTION_PATH},
    {"keyed", no_argument, NULL, OPTION_KEYED},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"bearer", required_argument, NULL, OPTION_BEARER},
    {"header", required_argument, NULL, OPTION_HEADER},
    {"may-refuse", no_argument, NULL, OPTION_MAY_REFUSE},
    {"watch", required_argument, NULL, OPTION_WATCH},
    {"watch-group", required_argument, NULL, OPTION_WATCH_GROUP},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"buckets", no_argument, NULL, OPTION_BUCKETS},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "tokenlog_load: %s: %s (--help lists the options)\n", what, value);
    exit(2);
}

static uint64_t read_count(const char *text, uint64_t min, uint64_t max)
{
    uint64_t value;
    if (slice_u64(slice_text(text), &value) != ERR_OK || value < min || value > max)
        refuse("not a number in range", text);
    return value;
}

static int64_t read_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0 && seconds <= 3600))
        refuse("not a number of seconds", text);
    return (int64_t)(seconds * 1e9);
}

static bool read_choice(const char *text, const char *no, const char *yes)
{
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
        refuse("not one of the choices", text);
    return strcmp(text, yes) == 0;
}

static void read_url(const char *text, struct load_options *out)
{
    char address[16] = "", rest[2] = "";
    unsigned port = 0;
    struct in_addr parsed;
    int fields = sscanf(text, "http://%15[0-9.]:%5u%1s", address, &port, rest);
    if (fields != 2 && !(fields == 3 && rest[0] == '/'))
        refuse("not http://ADDRESS:PORT", text);
    if (inet_pton(AF_INET, address, &parsed) != 1 || port == 0 || port > UINT16_MAX)
        refuse("not an IPv4 address and port", text);
    out->address = parsed.s_addr;
    out->port = (uint16_t)port;
    (void)snprintf(out->host, sizeof out->host, "%s:%u", address, port);
}

static enum mode read_mode(const char *text)
{
    static const char *const names[] = {"stream", "follow", "replay", "resume", "idle"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum mode)i;
    refuse("no such mode", text);
}

static double model_value(const char *model, const char *key, double otherwise)
{
    const char *at = strstr(model, key);
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static void read_schedule(struct load_options *out)
{
    out->events = (uint64_t)model_value(out->model, ",events=", 20);
    out->rate = model_value(out->model, ",rate=", 0);
    out->ttft_ns = (int64_t)(model_value(out->model, ",ttft=", 0) * 1e6);
    out->burst = (uint64_t)model_value(out->model, ",burst=", 1);
    if (out->burst == 0)
        out->burst = 1;
}

static void add_watched(const char *text, struct watch *watch)
{
    if (watch->pid_count == WATCH_PIDS_MAX)
        refuse("too many processes to watch", text);
    watch->pids[watch->pid_count++] = (int)read_count(text, 1, INT32_MAX);
}

static void add_header(const char *text, struct load_options *out)
{
    if (out->header_count == HEADERS_MAX || strlen(text) > HEADER_BYTES_MAX)
        refuse("too many headers, or too long", text);
    out->headers[out->header_count++] = text;
}

static void read_option(int option, const char *value, struct load_options *out)
{
    switch (option) {
    case OPTION_URL: read_url(value, out); break;
    case OPTION_MODEL: out->model = value; break;
    case OPTION_CLIENTS: out->clients = (uint32_t)read_count(value, 1, CLIENTS_MAX); break;
    case OPTION_DURATION: out->duration_ns = read_seconds(value); break;
    case OPTION_WARMUP: out->warmup_ns = read_seconds(value); break;
    case OPTION_RAMP: out->ramp_ns = read_seconds(value); break;
    case OPTION_TICK: out->tick_ns = (int64_t)read_count(value, 0, 100000) * 1000; break;
    case OPTION_STREAMS: out->streams = (uint32_t)read_count(value, 1, STREAMS_MAX); break;
    case OPTION_SETTLE: out->settle_ns = read_seconds(value); break;
    case OPTION_FROM: out->is_from_random = read_choice(value, "0", "random"); break;
    case OPTION_FORMAT: out->is_raw = read_choice(value, "sse", "raw"); break;
    case OPTION_PATH: out->path = value, out->is_path_given = true; break;
    case OPTION_KEYED: out->is_keyed = true; break;
    case OPTION_ONCE: out->is_once = true; break;
    case OPTION_BEARER: out->bearer = value; break;
    case OPTION_HEADER: add_header(value, out); break;
    case OPTION_MAY_REFUSE: out->may_refuse = true; break;
    case OPTION_WATCH: add_watched(value, &out->watch); break;
    case OPTION_WATCH_GROUP: out->watch.group = value; break;
    case OPTION_SEED: out->seed = read_count(value, 0, UINT64_MAX); break;
    case OPTION_BUCKETS: out->with_buckets = true; break;
    case OPTION_HELP: exit(fputs(HELP, stdout) < 0 ? 1 : 0);
    default: exit(2); /* getopt_long has said why */
    }
}

void load_options_read(int argc, char **argv, struct load_options *out)
{
    *out = (struct load_options){.path = "/v1/chat/completions",
        .model = "mock,events=100,rate=50",
        .clients = 1,
        .streams = 20,
        .ramp_ns = -1,
        .warmup_ns = 1000000000,
        .duration_ns = 3000000000,
        .settle_ns = 1000000000,
        .seed = 1};
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
        read_option(option, optarg, out);
    if (optind + 1 != argc)
        refuse("one mode is needed", optind < argc ? argv[optind + 1] : "none given");
    out->mode = read_mode(argv[optind]);
    if (out->port == 0)
        refuse("--url is needed", "none given");
    if ((out->mode == MODE_FOLLOW || out->mode == MODE_IDLE) && out->clients < 2)
        refuse("--clients", "one posts, so a reader needs at least 2");
    if (out->ramp_ns < 0)
        out->ramp_ns = out->warmup_ns;
    read_schedule(out);
}
