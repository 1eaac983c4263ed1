/* main — the mock provider's command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/mock/provider.h"

static const char help[] =
    "mock_provider - a fake OpenAI and Anthropic provider for tests and benchmarks\n"
    "\n"
    "  mock_provider [--listen ADDRESS:PORT] [--require-key KEY] [--tls-cert PEM --tls-key PEM]\n"
    "\n"
    "  --listen ADDRESS:PORT  IPv4; port 0 picks a free one (default 127.0.0.1:0)\n"
    "  --require-key KEY      401 without `Authorization: Bearer KEY` or `x-api-key: KEY`\n"
    "  --tls-cert, --tls-key  serve HTTPS with this certificate chain and key\n"
    "  --help                 this text\n"
    "\n"
    "Prints `listening ADDRESS:PORT` when ready; SIGTERM ends it. What a call gets is in its\n"
    "model's name, e.g. \"mock,events=200,rate=50,fault=reset@20\": see tools/mock/README.md.\n"
    "Counters: GET /mock/stats, GET /mock/last, POST /mock/reset.\n";

enum { EXIT_USAGE = 2 };

static int usage(void)
{
    (void)fputs("mock_provider: wrong arguments; see --help\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {
        {"listen", required_argument, NULL, 'l'},
        {"require-key", required_argument, NULL, 'r'},
        {"tls-cert", required_argument, NULL, 'c'},
        {"tls-key", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct provider_options options = {.listen = "127.0.0.1:0"};
    int flag;
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1) {
        switch (flag) {
        case 'l': options.listen = optarg; break;
        case 'r': options.require_key = optarg; break;
        case 'c': options.certificate = optarg; break;
        case 'k': options.key = optarg; break;
        case 'h': return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        default: return usage();
        }
    }
    if (optind != argc || !options.certificate != !options.key)
        return usage();
    enum err err = provider_run(&options);
    if (err == ERR_OK)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "mock_provider: %s: %s\n", err_text(err),
        err_is_fault(err) ? fault_origin() : options.listen);
    return EXIT_FAILURE;
}
