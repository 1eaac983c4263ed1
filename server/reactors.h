/* reactors — the threads that do I/O beside the core: made with the server, accept with it, end with
 * it. With `reactors: 1` there are none, and nothing in here does anything.
 *
 *   thread  the core's */
#ifndef TOKENLOG_SERVER_REACTORS_H
#define TOKENLOG_SERVER_REACTORS_H

#include "server/config/config.h"
#include "server/http/exchange.h"
#include "server/io/listener.h"
#include "server/io/upstream.h"

struct reactors;

struct reactors_config {
    const struct config *config;
    struct loop *core;
    struct listener *first; /* the core's, open */
    struct upstreams *upstreams;
    struct exchanges *exchanges;
    struct metrics *metrics;
    struct log *log;
};

/* reactors_new — the threads, their listeners, their part of the upstreams. Where the machine has no
 * room for all, the log says so and there are fewer. Everything is borrowed. Faults ERR_NOMEM. */
enum err reactors_new(const struct reactors_config *config, struct reactors **out) NODISCARD;
void reactors_accept(struct reactors *reactors);
void reactors_refuse(struct reactors *reactors); /* NULL is taken, as below */
/* reactors_stop — the exchanges are closed; before upstreams_free. reactors_free — after the core's
 * loop is freed. */
void reactors_stop(struct reactors *reactors);
struct reactors *reactors_free(struct reactors *reactors);
/* reactors_count — the core included. reactors_memory_bytes — what the others may need. */
size_t reactors_count(const struct reactors *reactors);
int64_t reactors_memory_bytes(const struct reactors *reactors);
/* reactors_measure — into the metrics. */
void reactors_measure(const struct reactors *reactors);

#endif
