/* bounds — the limits of Durable Streams, with unit and reason. */
#ifndef TOKENLOG_SERVER_DURABLE_BOUNDS_H
#define TOKENLOG_SERVER_DURABLE_BOUNDS_H

enum {
    /* Of one catch-up answer, about: whole events, at least one. What a caller who reads from the start
     * costs in memory, until it is sent. */
    READ_BYTES_MAX = 256 * 1024,
    /* Of one event of SSE, about: small appends that are there already go together. */
    LIVE_BATCH_BYTES = 32 * 1024,
    /* An SSE answer ends after so long, so that CDNs can collapse callers; and up to so much later, so
     * that those who came together do not come back together. */
    LIVE_SECONDS = 60,
    LIVE_JITTER_MS = 5000,
    /* Forks of forks: a reading looks at each on its way to the first. */
    FORK_DEPTH_MAX = 64,
    /* Times that a creation finds a name taken by what is on its way out, before it gives up. */
    CREATION_TRIES = 3,
    /* What could not be written of a source's forks is tried again after so long. */
    RELEASE_RETRY_MS = 20,
    /* A control event: two numbers, an offset, two words. */
    CONTROL_BYTES_MAX = 256,
};

#endif
