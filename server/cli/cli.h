/* cli — the subcommands that look at recordings: what they share, and their table.
 *
 * A command reads its arguments by cli_parse, does its work, prints to `out`, says what went wrong
 * on `err`, and returns an exit code that scripts can use.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_CLI_H
#define TOKENLOG_SERVER_CLI_CLI_H

#include <stdio.h>

#include "protocol/base/id.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* it did not work, or findings */
    CLI_USAGE = 2,       /* the arguments */
    CLI_NOT_FOUND = 3,   /* no such stream */
    CLI_UNREACHABLE = 4, /* no server answers, or another process holds the data directory */
    CLI_GO_ON = -1,      /* cli_parse: no exit yet */
};

enum {
    CLI_POSITIONALS_MAX = 2,
    CLI_BODY_BYTES_MAX = 64 * 1024 * 1024, /* of an answer: LIST_PAGE_MAX rows of ROW_BYTES_MAX,
                                              and what escapes make of them */
    CLI_TEXT_BYTES_MAX = 64 * 1024,        /* of a path, a sentence, a help text */
};

/* What a command works with; the program's own, or a test's. Text is borrowed. */
struct cli {
    FILE *out, *err;
    char **environment;
    const char *command; /* for messages: "ls" */
    /* The common flags. */
    const char *server; /* NULL: not given; see source.h for where a command then looks */
    const char *key;    /* NULL: none */
    const char *ca;     /* NULL: the system's */
    const char *data;   /* NULL: not given */
    bool is_json;
};

struct cli_command {
    const char *name;
    const char *arguments; /* "ID" */
    const char *summary;   /* one line */
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* A flag of one command: exactly one of text, number and is_on is set. */
struct cli_option {
    const char *name;       /* "limit", without dashes */
    const char *value_name; /* "N"; NULL for a switch */
    const char *help;
    const char **text;
    uint64_t *number;
    uint64_t number_max;
    bool *is_on;
};

/* What a command says of itself; the common flags are added. */
struct cli_usage {
    const char *synopsis;    /* "ls [flags]" */
    const char *description; /* whole lines, each ended */
    const struct cli_option *options;
    size_t option_count;
    size_t positional_count; /* all required */
    bool is_local; /* works on --data alone: --server, --key and --ca are no flags of it */
};

/* cli_run — find the command of that name and run it; prints the table where there is none.
 *   argv     begins with the subcommand's name
 *   returns  the exit code, also for output that could not be written */
int cli_run(struct cli *cli, int argc, char **argv);
/* cli_commands — the table printed: what `tokenlog help` shows. */
void cli_print_commands(FILE *out);

/* cli_parse — CLI_GO_ON; or an exit code, and what there was to say has been said (--help,
 * errors). */
int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv,
    const char *positionals[CLI_POSITIONALS_MAX]);

/* cli_fail — "tokenlog ls: …" on err; returns `code`, so that `return cli_fail(…)` reads well. */
int cli_fail(const struct cli *cli, int code, const char *format, ...) PRINTF(3, 4);
/* cli_fault — the same for a fault: its text and origin. Returns CLI_FAILED. */
int cli_fault(const struct cli *cli, enum err err);
/* cli_read_id — CLI_GO_ON, or CLI_USAGE and it has been said. */
int cli_read_id(const struct cli *cli, const char *text, struct id *out);
/* cli_environment — a variable's value; NULL if unset or empty. */
const char *cli_environment(const struct cli *cli, const char *name);
/* cli_write — to `out`, control characters as they are; false once nobody takes it any more. */
bool cli_write(const struct cli *cli, struct slice bytes);
bool cli_flush(const struct cli *cli);
/* cli_print_json — a server's or our own JSON, and one line end. Returns CLI_OK. */
int cli_print_json(const struct cli *cli, const struct buf *json);

/* The commands, a file each. */
int command_ls(struct cli *cli, int argc, char **argv);
int command_show(struct cli *cli, int argc, char **argv);
int command_tail(struct cli *cli, int argc, char **argv);
int command_replay(struct cli *cli, int argc, char **argv);
int command_stop(struct cli *cli, int argc, char **argv);
int command_rm(struct cli *cli, int argc, char **argv);
int command_verify(struct cli *cli, int argc, char **argv);
int command_audit(struct cli *cli, int argc, char **argv);
int command_backup(struct cli *cli, int argc, char **argv);
int command_restore(struct cli *cli, int argc, char **argv);
int command_compact(struct cli *cli, int argc, char **argv);
int command_export(struct cli *cli, int argc, char **argv);
int command_import(struct cli *cli, int argc, char **argv);
int command_reload(struct cli *cli, int argc, char **argv);
int command_key(struct cli *cli, int argc, char **argv);

#endif
