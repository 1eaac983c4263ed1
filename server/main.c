/* main — the program: the subcommand decides who goes on. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/cli/cli.h"
#include "server/serve.h"

static int help(struct cli *cli, const char *command)
{
    char *words[] = {(char *)command, (char *)"--help"};
    if (!command) {
        cli_print_commands(cli->out);
        return CLI_OK;
    }
    if (strcmp(command, "serve") == 0)
        return serve_main(1, words + 1);
    return cli_run(cli, 2, words);
}

int main(int argc, char **argv)
{
    struct cli cli = {.out = stdout, .err = stderr, .environment = environ};
    (void)signal(SIGPIPE, SIG_IGN); /* a peer or a pipe that is gone is an error of the write */
    if (argc < 2) {
        cli_print_commands(stderr);
        return CLI_USAGE;
    }
    const char *command = argv[1];
    if (strcmp(command, "serve") == 0)
        return serve_main(argc - 2, argv + 2);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
        return puts("tokenlog " TOKENLOG_VERSION) < 0 ? CLI_FAILED : CLI_OK;
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0)
        return help(&cli, argc > 2 ? argv[2] : NULL);
    return cli_run(&cli, argc - 1, argv + 1);
}
