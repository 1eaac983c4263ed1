/* storage_whole — the storage engine as the server has it, without HTTP: streams are created, grow by
 * events that become visible when durable, end, and are archived meanwhile, merged and put into the
 * audit log.
 *
 *     due events ─▶ tail_append ─▶ journal ─▶ watermark          measured: due → visible, commits
 *                       └────────▶ archiver ─▶ LMDB              measured: all CPU, all bytes written
 *
 * Counted is until the last event of the last stream is archived, so that no cost stays out.
 *
 *   faults  what storage/storage.h answers */
#ifndef TOKENLOG_TOOLS_BENCH_STORAGE_WHOLE_H
#define TOKENLOG_TOOLS_BENCH_STORAGE_WHOLE_H

#include "tools/bench/storage_run.h"

enum err whole_run(struct storage_run *run) NODISCARD;

#endif
