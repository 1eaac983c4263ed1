/* signed_url — see the header. */
#include "server/policy/signed_url.h"

#include "protocol/base/own.h"
#include "protocol/http/url.h"

void signed_url_secret(const uint8_t seed[ED25519_BYTES], uint8_t out[SHA256_BYTES])
{
    hmac_sha256(slice_of(seed, ED25519_BYTES), SLICE("tokenlog signed URLs"), out);
}

static void sign(const uint8_t secret[SHA256_BYTES], struct slice id, struct slice project,
    struct slice expires, uint8_t out[SHA256_BYTES])
{
    const struct slice parts[] = {id, project, expires};
    uint8_t digest[SHA256_BYTES];
    sha256_parts(parts, sizeof parts / sizeof *parts, digest);
    hmac_sha256(slice_of(secret, SHA256_BYTES), slice_of(digest, sizeof digest), out);
}

enum err signed_url_write(const uint8_t secret[SHA256_BYTES], struct slice id, struct slice project,
    int64_t expires_s, struct buf *out)
{
    uint8_t signature[SHA256_BYTES];
    char hex[SHA256_BYTES * 2 + 1];
    size_t begin = out->size + sizeof "expires=" - 1;
    TRY(buf_printf(out, "expires=%lld", (long long)expires_s));
    sign(secret, id, project, slice_sub(buf_slice(out), begin, out->size), signature);
    hex_encode(slice_of(signature, sizeof signature), hex);
    TRY(buf_append_text(out, "&project="));
    TRY(percent_encode(project, out));
    return buf_printf(out, "&signature=%s", hex);
}

/* ERR_INVALID: one is missing, or there twice, or is no such thing. */
static enum err read_query(struct slice query, struct slice *expires, uint64_t *expires_s,
    struct slice *project, uint8_t signature[SHA256_BYTES])
{
    struct slice hex;
    enum err err = query_get(query, "signature", &hex);
    if (err)
        return err;
    bool is_whole = query_get(query, "expires", expires) == ERR_OK &&
                    slice_u64(*expires, expires_s) == ERR_OK &&
                    query_get(query, "project", project) == ERR_OK &&
                    hex_decode(hex, signature, SHA256_BYTES) == ERR_OK;
    return is_whole ? ERR_OK : ERR_INVALID;
}

enum err signed_url_check(const uint8_t secret[SHA256_BYTES], struct slice id, struct slice query,
    int64_t now_s, struct buf *project)
{
    struct slice expires, raw;
    uint64_t expires_s;
    uint8_t told[SHA256_BYTES], expected[SHA256_BYTES];
    size_t begin = project->size;
    TRY(read_query(query, &expires, &expires_s, &raw, told));
    if (percent_decode(raw, true, project))
        return ERR_INVALID;
    sign(secret, id, slice_sub(buf_slice(project), begin, project->size), expires, expected);
    if (!equal_constant_time(told, expected, SHA256_BYTES))
        return ERR_INVALID;
    return now_s < 0 || (uint64_t)now_s >= expires_s ? ERR_CLOSED : ERR_OK;
}
