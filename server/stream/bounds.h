/* bounds — the limits of streams in memory, with unit and reason. */
#ifndef TOKENLOG_SERVER_STREAM_BOUNDS_H
#define TOKENLOG_SERVER_STREAM_BOUNDS_H

enum {
    EVENT_BYTES_MAX = 64 * 1024 * 1024, /* one provider frame: an image as base64 is 20–30 MB */
    BODY_KEPT_BYTES_MAX = 1024 * 1024,  /* of a non-streamed body, kept to read its usage */
    TRANSLATED_BODY_BYTES_MAX =
        8 * 1024 * 1024, /* of a non-streamed body, kept to be translated: text, not images */
    RUN_DELIVER_BYTES_MAX = TRANSLATED_BODY_BYTES_MAX + 1024, /* such a body, or an event of it */
    TRANSLATED_BYTES_MAX = 64 * 1024 * 1024, /* of what is made of a frame or such a body */
    HEAD_KEPT_BYTES_MAX = 8 * 1024,          /* of a provider's response head, kept in the row */
    CONTENT_TYPE_BYTES_MAX = 256,            /* of its media type */
    ROW_END_BYTES_MAX = 2 * 1024, /* of a row: all but head, path, metadata, key and model */
    PRODUCER_LINGER_MS = 5000,    /* after the terminator, for the transfer to end by itself */
    PRODUCER_HEADERS_MAX = 176, /* fields sent to a provider: a caller's 100, and the outbound's */
    PRODUCER_METHOD_BYTES = 32, /* of a method and its NUL; the longest registered one has 17 */
    PRODUCER_RETRY_MS =
        50, /* what storage did not take is offered again, if nothing else says so */
    STREAM_TOUCHED_MAX = 3, /* addresses: as deep as an event goes to one who watches */
    APPENDED_OPEN_MAX =
        100000, /* streams that clients write, in memory at a time: 2 to 20 KiB each (row, writer's
                 * state), and what of them is not archived */
    SWEEP_MS = 1000,         /* between looks at which open streams of clients are over… */
    SWEEP_AGAIN_MS = 50,     /* …and when there were more than… */
    SWEEP_STREAMS_MAX = 256, /* …so many, which are looked at one after another */
    PRODUCER_HELD_MAX = 2,   /* attempts under way before one has proved good: one, and its hedge */
    PRODUCER_PAUSE_STEP_MS = 500, /* of a wait between attempts: then it is looked at again */
    HOLD_BYTES_MAX = 256 * 1024,  /* of a response that has yet to prove good; then it passes */
    FOLLOW_MS = 500,              /* between looks at a place where an answer will be… */
    FOLLOW_FAILURES_MAX =
        5,               /* …of which so many in a row may fail, each wait twice the last: 15 s */
    HOLD_MS = 1000,      /* after a first event that says nothing: an error follows at once */
    HOLD_ERROR_MS = 250, /* for the body of an error, before the next attempt */
    KEPT_TRIES_MAX = 16, /* to get at a response again that the provider keeps: a minute in all */
    KEPT_WAIT_MS = 100,  /* before the first of them; doubled each time, up to… */
    KEPT_WAIT_MS_MAX = 5000,
    KEPT_RETRY_AFTER_MS_MAX = 60000, /* of a Retry-After that is waited for */
    CURSOR_SINCE_MAX =
        256, /* events behind the last that the rest can be asked for by; 8 bytes each */
    KEPT_LOOK_BACK = 64, /* events of a recording in which the last cursor is looked for first */
    CLAIM_WAITERS_MAX = 10000, /* requests with one key that wait for one look-up */
    DUPLICATES_MAX = 10000, /* requests without a key that are known, each with its row in memory */
    DUPLICATES_TIDIED = 4,  /* of them that are looked at when another one comes */
    TOUCH_DIVISOR = 16,     /* a reading is noted when this part of a sliding life has passed */
};

#endif
