/* serve — the server itself: `tokenlog serve`. */
#ifndef TOKENLOG_SERVER_SERVE_H
#define TOKENLOG_SERVER_SERVE_H

/* serve_main — runs until SIGTERM or SIGINT has drained it.
 *
 *   argv     what follows the subcommand: config_load's flags
 *   returns  the exit code: 0 ok · 1 failed · 2 usage or configuration · 4 the data directory is
 *            held by another server */
int serve_main(int argc, char **argv);

#endif
