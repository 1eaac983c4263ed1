/* directory — the data directory: it is made where there is none, and one process has it at a time.
 *
 *   thread  loop */
#ifndef TOKENLOG_STORAGE_DIRECTORY_H
#define TOKENLOG_STORAGE_DIRECTORY_H

#include "protocol/base/err.h"

/* directory_take — *lock_fd is the caller's; closing it gives the directory back. *is_open_to_others: who
 *   else is on the machine may read it.
 *   answers  ERR_BUSY another process has it: *holder_pid, if that is asked for (NULL: it is not); 0: unknown
 *   faults   ERR_IO, ERR_FULL */
enum err directory_take(
    const char *path, bool *is_open_to_others, int *holder_pid, int *lock_fd) NODISCARD;

#endif
