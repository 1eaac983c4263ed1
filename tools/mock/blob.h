/* blob — bytes that are no chat: what is sent to these places is counted and digested while it comes, and
 * what is asked for is made while it goes.
 *
 *   POST /v1/files, /v1/audio/transcriptions, …   ─▶ {"id":"file-…","bytes":N,"sha256":"…",…}
 *   GET  /v1/files/bytes-N/content                ─▶ N bytes
 *
 * Byte i of what is made is that of the pattern at i modulo BLOB_PERIOD: (31 j + j / 251) modulo 256.
 *
 *   thread  any */
#ifndef TOKENLOG_TOOLS_MOCK_BLOB_H
#define TOKENLOG_TOOLS_MOCK_BLOB_H

#include "protocol/base/slice.h"

enum { BLOB_PERIOD = 65521 /* a prime: what is shifted or doubled shows */ };

/* blob_is_place — whether a body that is sent there is one. blob_read — how much is asked for.
 *   answers  ERR_NOTFOUND it is no such place */
bool blob_is_place(const char *method, struct slice path);
enum err blob_read(const char *method, struct slice path, uint64_t *bytes) NODISCARD;
/* blob_make — up to `size` bytes from offset `at` on, appended. */
enum err blob_make(uint64_t at, uint64_t size, struct buf *out) NODISCARD;
/* blob_render — the answer to one that was sent: of files, transcriptions, images and videos alike. */
enum err blob_render(uint64_t bytes, const char *sha256, struct buf *out) NODISCARD;

#endif
