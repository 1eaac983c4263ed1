/* storage_journal — the journal alone: events of many streams, made durable through the ring or
 * through plain blocking calls; and, to compare, by a plain pwritev + fdatasync loop.
 *
 *     due events ─▶ journal_append ─▶ commit ─▶ durable        ring, plain
 *               └─▶ a file that grows: pwritev ─▶ fdatasync     append
 *               └─▶ a file written before: the same             over
 *
 * The store is left out: what is durable counts as absorbed, so that the ring's slots go round.
 *
 *   faults  ERR_IO, ERR_NOMEM, what storage/journal.h answers                                    */
#ifndef TOKENLOG_TOOLS_BENCH_STORAGE_JOURNAL_H
#define TOKENLOG_TOOLS_BENCH_STORAGE_JOURNAL_H

#include "tools/bench/storage_run.h"

enum err journal_run_ring(struct storage_run *run) NODISCARD;
enum err journal_run_plain(struct storage_run *run) NODISCARD;
enum err journal_run_append(struct storage_run *run) NODISCARD;
enum err journal_run_over(struct storage_run *run) NODISCARD;
/* journal_run_lone — one event, made durable by itself, in turn through the ring, through blocking
 * calls, and as a bare durable write of 4 KiB; prints its own report. */
enum err journal_run_lone(struct storage_run *run) NODISCARD;

#endif
