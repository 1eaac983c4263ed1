/* manifest — what is in an export: FILE.manifest.json, beside FILE.
 *
 *     {"tokenlog_export":1,"tool":"tokenlog 0.1.0","format":"jsonl","filter":{…},"streams":[
 *     {"id":"…","events":12,"bytes":3456,"records":14,"offset":0,"size":5678,"sha256":"…"},
 *     …
 *     ],"totals":{"streams":2,"events":24,"bytes":6912,"size":11356}}
 *
 * It is JSON for everybody, and read line by line by us, so that its size does not matter: laid out
 * otherwise it is refused. While an export is written it is FILE.manifest.json.part. A stream's
 * sha256 is that of its records in FILE without the end record, which holds it too; offset and size
 * are those of all its records, the end included.
 *
 *   thread  one */
#ifndef TOKENLOG_SERVER_CLI_MANIFEST_H
#define TOKENLOG_SERVER_CLI_MANIFEST_H

#include <stdio.h>

#include "protocol/data/transcript.h"

enum { MANIFEST_FILTER_TEXT_BYTES = 512 };

/* What was asked for; an empty text: anything. Times: Unix epoch, 0 = open. */
struct manifest_filter {
    char project[MANIFEST_FILTER_TEXT_BYTES], state[32];
    char metadata[MANIFEST_FILTER_TEXT_BYTES]; /* "name=value" */
    int64_t from_ns, to_ns;
};

struct manifest_entry {
    struct id id;
    uint64_t events, bytes, records, offset, size;
    uint8_t sha256[SHA256_BYTES];
};

struct manifest_totals {
    uint64_t streams, events, bytes, size;
};
void manifest_add(struct manifest_totals *totals, const struct manifest_entry *entry);

/* Writing. faults ERR_IO, ERR_FULL, ERR_NOMEM */
enum err manifest_write_head(
    FILE *file, enum transcript_format format, const struct manifest_filter *filter) NODISCARD;
enum err manifest_write_entry(
    FILE *file, const struct manifest_entry *entry, bool is_first) NODISCARD;
enum err manifest_write_totals(FILE *file, const struct manifest_totals *totals) NODISCARD;

/* Reading. manifest_open — answers ERR_NOTFOUND · faults ERR_IO, ERR_NOMEM, ERR_CORRUPT: it is none
 * manifest_next — answers ERR_CLOSED that was all: *totals is set · faults ERR_CORRUPT, ERR_IO */
struct manifest {
    FILE *file;
    char *line;
    size_t line_capacity;
    enum transcript_format format;
    struct manifest_filter filter;
};
enum err manifest_open(const char *path, struct manifest *out) NODISCARD;
void manifest_close(struct manifest *manifest); /* also one that is all zeros */
enum err manifest_next(struct manifest *manifest, struct manifest_entry *entry,
    struct manifest_totals *totals) NODISCARD;

#endif
