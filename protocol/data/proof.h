/* proof — what the audit log gives away, as JSON, and its checking without the log: signed heads,
 * proofs of streams, proofs that one head's tree is the beginning of another's.
 *
 *   head         {"object":"audit.head","store":…,"project":…,"size":…,"root":…,"time_ns":"…",
 *                 "key":…,"signature":…}
 *   consistency  {"object":"audit.consistency","old_size":…,"size":…,"path":[…]}
 *   proof        {"object":"audit.proof","stream":ID,"index":…,"ended_ns":"…","digest":…,
 *                 "path":[…],"statement":…,"record":…,"deletion":null|{…},"head":{…},
 *                 "events":[…],"asides":[…],"body":…}         the last line only if asked for
 *
 * Bytes are hexadecimal; times are decimal strings, since they do not fit a double. An Ed25519
 * signature is over
 *
 *   "tokenlog head 1" ‖ 0 ‖ store 16 ‖ size u64 ‖ time u64 ‖ root 32 ‖ project's name
 *
 *   thread  any; no state                                                                       */
#ifndef TOKENLOG_PROTOCOL_DATA_PROOF_H
#define TOKENLOG_PROTOCOL_DATA_PROOF_H

#include "protocol/data/chain.h"
#include "protocol/data/json.h"

enum {
    HEAD_STORE_BYTES = 16,
    HEAD_PROJECT_BYTES_MAX = 64,
    PROOF_BYTES_MAX = 512 * 1024 * 1024, /* of one event or body carried along: none is as large */
};

struct head {
    uint8_t store[HEAD_STORE_BYTES];
    struct slice project; /* its name; borrowed */
    uint64_t size;
    struct digest root;
    int64_t time_ns; /* when it was signed */
    uint8_t key[ED25519_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
};
/* head_sign — fills in key and signature. faults ed25519_sign's */
enum err head_sign(struct head *head, const uint8_t seed[ED25519_BYTES]) NODISCARD;
bool head_check(const struct head *head); /* the signature is of its own key */
void head_write(struct json_writer *writer, const struct head *head);
/* head_read — answers ERR_INVALID: it is none. `project` is borrowed from `json`. */
enum err head_read(const struct json *json, struct head *out) NODISCARD;

void path_write(struct json_writer *writer, const struct merkle_path *path);    /* an array */
enum err path_read(const struct json *json, struct merkle_path *out) NODISCARD; /* ERR_INVALID */

/* A leaf and its way to the root. */
struct proof_leaf {
    struct leaf leaf;
    uint64_t index;
    struct merkle_path path;
};
struct proof {
    struct proof_leaf finished;
    struct head head;
    bool has_statement, has_deletion; /* a deleted stream's statement is gone */
    struct statement statement;
    struct proof_leaf deletion;
    struct slice reason; /* of the deletion; empty if it is not known any more */
    struct slice record; /* statement_record's; empty if it is gone. Borrowed */
};
/* proof_write — an object left open: what it carries besides is the caller's, and json_close. */
void proof_write(struct json_writer *writer, const struct proof *proof);
void proof_write_frame(struct json_writer *writer, const struct chain_frame *frame);

/* proof_check — everything that can be checked without the log.
 *   record   gets what `out->row` points to
 *   out      filled in as far as it could be read; slices are borrowed from `json` and `record`
 *   why      of ERR_INVALID: a static sentence
 *   answers  ERR_INVALID it proves nothing · faults ERR_NOMEM                                  */
struct proof_result {
    struct proof proof;
    bool has_row, has_events, has_asides, has_body; /* it carried them, and they fit */
    struct row row;
    uint64_t events;
};
enum err proof_check(const struct json *json, struct buf *record, struct proof_result *out,
    const char **why) NODISCARD;

#endif
