/* storage_archive — a store as it is after weeks: built quickly, then read and opened.
 *
 *   read     events of finished streams out of the store: warm, and with cold caches, where what
 *            counts is how often the device is asked
 *   restart  until storage_open returns, with a store of --gigabytes and the journal at its cap
 *   recover  of that, the journal's scan, beside reading the same files from end to end
 *
 * Each prints its own report.
 *   faults  what storage/store.h and storage/storage.h answer */
#ifndef TOKENLOG_TOOLS_BENCH_STORAGE_ARCHIVE_H
#define TOKENLOG_TOOLS_BENCH_STORAGE_ARCHIVE_H

#include "tools/bench/storage_run.h"

enum err archive_run_read(struct storage_run *run) NODISCARD;
enum err archive_run_restart(struct storage_run *run) NODISCARD;
enum err archive_run_recover(struct storage_run *run) NODISCARD;

#endif
