/* digest — SHA-256 (OpenSSL), CRC-32C, and the text forms of bytes. */
#ifndef TOKENLOG_PROTOCOL_BASE_DIGEST_H
#define TOKENLOG_PROTOCOL_BASE_DIGEST_H

#include "protocol/base/slice.h"

enum { SHA256_BYTES = 32 };

void sha256(struct slice bytes, uint8_t out[SHA256_BYTES]);
/* sha256_parts — over the parts one after another, each preceded by its size as 8 bytes,
 * little-endian, so that no two lists of parts share a digest by accident. */
void sha256_parts(const struct slice *parts, size_t count, uint8_t out[SHA256_BYTES]);
/* equal_constant_time — for secrets: takes as long whatever differs. */
bool equal_constant_time(const void *a, const void *b, size_t size);

/* crc32c — Castagnoli (RFC 3720 §B.4), by the SSE4.2 instruction where the CPU has it. `crc`
 * chains: start with 0. */
uint32_t crc32c(uint32_t crc, struct slice bytes);

/* hex_encode — `out` gets 2 × size characters and a NUL. */
void hex_encode(struct slice bytes, char *out);
/* hex_decode — ERR_INVALID unless `text` is exactly 2 × size hex digits. */
enum err hex_decode(struct slice text, uint8_t *out, size_t size) NODISCARD;
/* base64_encode — RFC 4648 §4, padded, appended to `out`, which must have room for one byte more.
 * Answers and faults are buf_append's. */
enum err base64_encode(struct slice bytes, struct buf *out) NODISCARD;

#endif
