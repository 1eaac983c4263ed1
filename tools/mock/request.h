/* request — one HTTP/1 request, read from bytes (llhttp inside, strict). Chunked bodies are read
 * like counted ones. A body that is a blob (blob.h) may have any size. */
#ifndef TOKENLOG_TOOLS_MOCK_REQUEST_H
#define TOKENLOG_TOOLS_MOCK_REQUEST_H

#include "protocol/base/slice.h"

struct request;

struct request *request_new(void); /* NULL: out of memory */
struct request *request_free(struct request *request);

/* request_feed — more bytes of the connection. After ERR_OK the request is whole and takes no more;
 * `*used` bytes were its own, the others belong to the next one.
 *   answers  ERR_AGAIN it needs more · ERR_INVALID it is no HTTP · ERR_LIMIT head or body beyond
 *            bounds.h
 *   faults   ERR_NOMEM */
enum err request_feed(struct request *request, struct slice bytes, size_t *used) NODISCARD;
/* request_wants_continue — true once, when the head is read and asks for `100 Continue`. */
bool request_wants_continue(struct request *request);

/* Of a whole request; all borrowed from it. */
const char *request_method(const struct request *request);
struct slice request_target(const struct request *request); /* with the query */
struct slice request_path(const struct request *request);   /* without it */
/* Of a blob (blob.h) so much as is kept. */
struct slice request_body(const struct request *request);
bool request_is_blob(const struct request *request);
uint64_t request_body_bytes(const struct request *request); /* all of it */
/* request_body_digest — of a blob: the SHA-256 as text. Once. */
enum { REQUEST_DIGEST_BYTES = 65 };
void request_body_digest(struct request *request, char out[REQUEST_DIGEST_BYTES]);
size_t request_header_count(const struct request *request);
void request_header_at(
    const struct request *request, size_t index, struct slice *name, struct slice *value);
/* request_header — the first of that name in any case; SLICE_NONE when there is none. */
struct slice request_header(const struct request *request, const char *name);
bool request_keeps_alive(const struct request *request);
bool request_is_http10(const struct request *request);

#endif
