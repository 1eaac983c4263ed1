/* bounds — the limits of runs, with unit and reason. */
#ifndef TOKENLOG_SERVER_RUN_BOUNDS_H
#define TOKENLOG_SERVER_RUN_BOUNDS_H

enum {
    RUN_NAME_BYTES_MAX = 128,               /* of a run, a step, a checkpoint */
    RUN_STEPS_MAX = 10000,                  /* of one run: some 4 MiB in memory */
    RUN_CHECKPOINTS_MAX = 10000,            /* likewise, without their bytes */
    RUN_BLOB_BYTES_MAX = 1024 * 1024,       /* of a checkpoint: a state, not a store of files */
    RUN_OFFSETS_BYTES_MAX = 4096,           /* Tokenlog-Offsets: about 80 streams */
    RUN_TYPE_BYTES_MAX = 256,               /* of a checkpoint's Content-Type */
    RUN_METADATA_BYTES_MAX = 4096,          /* it stands in the row */
    RUN_LINE_BYTES_MAX = 8 * 1024 * 1024,   /* of a record but its blob: a fork of a full run */
    RUNS_KEPT_MAX = 1024,                   /* in memory, and… */
    RUNS_KEPT_BYTES_MAX = 64 * 1024 * 1024, /* …of all of them, while nobody has to do with them */
    RUN_KEY_BYTES = 4 + 64,                 /* "run-", and a SHA-256 in hexadecimal */

    /* A journal is written anew when more of it counts no more than does count, and so much: about one
     * byte is copied for each that was written, and reading a run never takes long for what is over. */
    RUN_REWRITE_BYTES_MIN = 4 * 1024 * 1024,
    /* Read and written of it before others have a turn. */
    RUN_REWRITE_SHARE_BYTES = 256 * 1024,
    /* While storage has more than it can take it rests so long. */
    RUN_REWRITE_YIELD_MS = 50,
    /* What a crash left unfinished of it goes so long after its last record. */
    RUN_REWRITE_TTL_S = 600,
};

#endif
