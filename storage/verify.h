/* verify — walk all tables and check everything that is known to hold between them.
 *
 *   thread  any; each step is a view of its own, so that a running server is not held up         */
#ifndef TOKENLOG_STORAGE_VERIFY_H
#define TOKENLOG_STORAGE_VERIFY_H

#include "storage/table.h"

struct verify_sink {
    void (*report)(void *context, const struct id *id, const char *what); /* id may be NULL */
    void (*progress)(void *context, uint64_t done, uint64_t total);       /* or NULL */
    void *context;
};

/* verify_tables — as store_verify; ERR_CORRUPT: a table cannot be walked */
enum err verify_tables(struct tables *tables, const struct verify_sink *sink) NODISCARD;

#endif
