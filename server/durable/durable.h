/* durable — the Durable Streams protocol at /v1/stream/…: its handlers. README.md beside this file says
 * what is served, where it deviates, and what its limits are.
 *
 *   create.c PUT   append.c POST   remove.c DELETE   read.c GET, HEAD   live.c GET ?live=sse
 *   call.c   what they have in common: the name, the look-up, waiting for the disk
 *   entry.c  a stream by its state: closed, deleted, over      course.c  reading through forks
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_DURABLE_DURABLE_H
#define TOKENLOG_SERVER_DURABLE_DURABLE_H

#include "server/api/api.h"

/* `name` is the path behind /v1/stream/, raw. */
api_handler durable_put, durable_post, durable_delete, durable_get;

#endif
