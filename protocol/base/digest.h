/* digest — SHA-256, HMAC, Ed25519 and RSA (OpenSSL), CRC-32C, and the text forms of bytes. */
#ifndef TOKENLOG_PROTOCOL_BASE_DIGEST_H
#define TOKENLOG_PROTOCOL_BASE_DIGEST_H

#include "protocol/base/slice.h"

enum { SHA256_BYTES = 32 };

void sha256(struct slice bytes, uint8_t out[SHA256_BYTES]);
/* sha256_parts — over the parts one after another, each preceded by its size as 8 bytes,
 * little-endian, so that no two lists of parts share a digest by accident. */
void sha256_parts(const struct slice *parts, size_t count, uint8_t out[SHA256_BYTES]);
/* sha256_new — for many digests, or for one of bytes that do not lie in one piece: sha256_begin, any
 * number of sha256_add, sha256_end; then from the beginning again. What a use costs besides the
 * bytes is a fifth of sha256's own.
 *   faults ERR_NOMEM · thread  one at a time */
struct sha256;
enum err sha256_new(struct sha256 **out) NODISCARD;
struct sha256 *sha256_free(struct sha256 *sha); /* NULL is taken; returns NULL */
void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, struct slice bytes);
void sha256_end(struct sha256 *sha, uint8_t out[SHA256_BYTES]);

/* Ed25519 (RFC 8032 §5.1, not prehashed). `seed` is the private key: 32 random bytes.
 *   faults ERR_NOMEM: the library did not do its work. ed25519_verify is false then too. */
enum { ED25519_BYTES = 32 /* of either key */, ED25519_SIGNATURE_BYTES = 64 };
enum err ed25519_public(const uint8_t seed[ED25519_BYTES], uint8_t out[ED25519_BYTES]) NODISCARD;
enum err ed25519_sign(const uint8_t seed[ED25519_BYTES], struct slice message,
    uint8_t out[ED25519_SIGNATURE_BYTES]) NODISCARD;
bool ed25519_verify(const uint8_t public_key[ED25519_BYTES], struct slice message,
    const uint8_t signature[ED25519_SIGNATURE_BYTES]);

/* hmac_sha256 — RFC 2104 over SHA-256. */
void hmac_sha256(struct slice key, struct slice message, uint8_t out[SHA256_BYTES]);
/* rsa_sha256_sign — RSASSA-PKCS1-v1_5 over SHA-256, JWT's RS256 (RFC 7518 §3.3); the signature is
 * appended to `out`. `pem` is a private key, PKCS #8 or PKCS #1, without a passphrase. About 1 ms.
 *   answers  ERR_INVALID it is no RSA private key · buf_append's · faults ERR_NOMEM */
enum err rsa_sha256_sign(struct slice pem, struct slice message, struct buf *out) NODISCARD;

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
