#include "protocol/base/digest.h"

#include <endian.h>
#include <limits.h>
#include <nmmintrin.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const EVP_MD *method; /* constant from its fetching on */

static void fetch_method(void)
{
    method = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* Fetched once: that takes the library's locks, and costs more than the digest of an event. */
static const EVP_MD *sha256_method(void)
{
    int ok = pthread_once(&once, fetch_method);
    ASSERT(ok == 0 && method);
    return method;
}

void sha256(struct slice bytes, uint8_t out[SHA256_BYTES])
{
    unsigned size = 0;
    int ok = EVP_Digest(bytes.data, bytes.size, out, &size, sha256_method(), NULL);
    ASSERT(ok == 1 && size == SHA256_BYTES);
}

void sha256_parts(const struct slice *parts, size_t count, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ASSERT(context);
    int ok = EVP_DigestInit_ex2(context, sha256_method(), NULL);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = htole64(parts[i].size);
        ok &= EVP_DigestUpdate(context, &size, sizeof size);
        ok &= EVP_DigestUpdate(context, parts[i].data, parts[i].size);
    }
    unsigned size = 0;
    ok &= EVP_DigestFinal_ex(context, out, &size);
    EVP_MD_CTX_free(context);
    ASSERT(ok == 1 && size == SHA256_BYTES);
}

/* ---- Incremental SHA-256 ---- */

struct sha256 {
    EVP_MD_CTX *context;
};

enum err sha256_new(struct sha256 **out)
{
    struct sha256 *sha = calloc(1, sizeof *sha);
    if (sha)
        sha->context = EVP_MD_CTX_new();
    if (!sha || !sha->context || EVP_DigestInit_ex2(sha->context, sha256_method(), NULL) != 1) {
        sha256_free(sha);
        return fault(ERR_NOMEM, "a SHA-256 context");
    }
    *out = sha;
    return ERR_OK;
}

struct sha256 *sha256_free(struct sha256 *sha)
{
    if (!sha)
        return NULL;
    EVP_MD_CTX_free(sha->context);
    free(sha);
    return NULL;
}

void sha256_begin(struct sha256 *sha)
{
    int ok = EVP_DigestInit_ex2(sha->context, NULL, NULL);
    ASSERT(ok == 1);
}

void sha256_add(struct sha256 *sha, struct slice bytes)
{
    int ok = EVP_DigestUpdate(sha->context, bytes.data, bytes.size);
    ASSERT(ok == 1);
}

void sha256_end(struct sha256 *sha, uint8_t out[SHA256_BYTES])
{
    unsigned size = 0;
    int ok = EVP_DigestFinal_ex(sha->context, out, &size);
    ASSERT(ok == 1 && size == SHA256_BYTES);
}

/* ---- Ed25519 ---- */

enum err ed25519_public(const uint8_t seed[ED25519_BYTES], uint8_t out[ED25519_BYTES])
{
    size_t size = ED25519_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_BYTES);
    bool is_done = key && EVP_PKEY_get_raw_public_key(key, out, &size) == 1;
    EVP_PKEY_free(key);
    return is_done ? ERR_OK : fault(ERR_NOMEM, "an Ed25519 key");
}

enum err ed25519_sign(
    const uint8_t seed[ED25519_BYTES], struct slice message, uint8_t out[ED25519_SIGNATURE_BYTES])
{
    size_t size = ED25519_SIGNATURE_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestSign(context, out, &size, message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_done ? ERR_OK : fault(ERR_NOMEM, "an Ed25519 signature");
}

bool ed25519_verify(const uint8_t public_key[ED25519_BYTES], struct slice message,
    const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_valid = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestVerify(context, signature, ED25519_SIGNATURE_BYTES, message.data,
                        message.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_valid;
}

/* ---- HMAC and RSA ---- */

void hmac_sha256(struct slice key, struct slice message, uint8_t out[SHA256_BYTES])
{
    size_t size = 0;
    const uint8_t *ok = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.data, key.size,
        message.data, message.size, out, SHA256_BYTES, &size);
    ASSERT(ok && size == SHA256_BYTES);
}

/* A key that asks for a passphrase is refused, instead of asking the terminal for it. */
static int no_passphrase(char *text, int size, int is_writing, void *context)
{
    (void)text, (void)size, (void)is_writing, (void)context;
    return -1;
}

static EVP_PKEY *read_private_key(struct slice pem)
{
    BIO *bio = pem.size <= INT_MAX ? BIO_new_mem_buf(pem.data, (int)pem.size) : NULL;
    if (!bio)
        return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return key;
}

static enum err rsa_sign(EVP_PKEY *key, EVP_MD_CTX *context, struct slice message, struct buf *out)
{
    uint8_t *room;
    size_t size = 0;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return ERR_INVALID;
    if (EVP_DigestSignInit(context, NULL, sha256_method(), NULL, key) != 1 ||
        EVP_DigestSign(context, NULL, &size, message.data, message.size) != 1)
        return ERR_INVALID;
    TRY(buf_reserve(out, size, &room));
    if (EVP_DigestSign(context, room, &size, message.data, message.size) != 1)
        return ERR_INVALID;
    buf_commit(out, size);
    return ERR_OK;
}

enum err rsa_sha256_sign(struct slice pem, struct slice message, struct buf *out)
{
    EVP_PKEY *key = read_private_key(pem);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    enum err err = ERR_INVALID;
    if (!context)
        err = fault(ERR_NOMEM, "a signature");
    else if (key)
        err = rsa_sign(key, context, message, out);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return err;
}

bool equal_constant_time(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

/* The reflected polynomial, one bit at a time: only for CPUs without SSE4.2, where a table would be
 * premature. */
static uint32_t crc32c_plain(uint32_t crc, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
    }
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct slice bytes)
{
    uint64_t wide = crc;
    size_t i = 0;
    for (; i + 8 <= bytes.size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + i, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; i < bytes.size; i++)
        crc = _mm_crc32_u8(crc, bytes.data[i]);
    return crc;
}

uint32_t crc32c(uint32_t crc, struct slice bytes)
{
    crc = ~crc;
    crc = __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes) : crc32c_plain(crc, bytes);
    return ~crc;
}

void hex_encode(struct slice bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        *out++ = digits[bytes.data[i] >> 4];
        *out++ = digits[bytes.data[i] & 15];
    }
    *out = 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err hex_decode(struct slice text, uint8_t *out, size_t size)
{
    if (text.size != size * 2)
        return ERR_INVALID;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return ERR_OK;
}

/* EVP_EncodeBlock() counts in int; a multiple of 3, so that only the last part is padded. */
enum { BASE64_STEP_BYTES = 3 * 1024 * 1024 };

enum err base64_encode(struct slice bytes, struct buf *out)
{
    uint8_t *at;
    size_t size = (bytes.size + 2) / 3 * 4;
    TRY(buf_reserve(out, size + 1, &at)); /* + 1: EVP_EncodeBlock ends with a NUL */
    for (size_t from = 0; from < bytes.size; from += BASE64_STEP_BYTES) {
        struct slice part = slice_sub(bytes, from, BASE64_STEP_BYTES);
        int written = EVP_EncodeBlock(at, part.data, (int)part.size);
        ASSERT(written >= 0 && (size_t)written == (part.size + 2) / 3 * 4);
        at += written;
    }
    buf_commit(out, size);
    return ERR_OK;
}
