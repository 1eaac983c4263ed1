/* sigv4 — see the header.
 *
 *   canonical request  METHOD \n path, each segment encoded \n query, sorted \n headers \n names \n hash
 *   string to sign     AWS4-HMAC-SHA256 \n date \n scope \n hash of that
 *   key                HMAC(HMAC(HMAC(HMAC("AWS4" + secret, day), region), service), "aws4_request") */
#include "server/route/sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "protocol/http/url.h"

enum { DAY_BYTES = 8, TEXT_BYTES_MAX = 256 * 1024, PARAMETERS_MAX = HTTP_QUERY_COUNT_MAX };

static void hash_hex(struct slice bytes, char out[SHA256_BYTES * 2 + 1])
{
    uint8_t digest[SHA256_BYTES];
    sha256(bytes, digest);
    hex_encode(slice_of(digest, sizeof digest), out);
}

static enum err append_path(struct buf *text, struct slice path)
{
    while (path.size) {
        ptrdiff_t slash = slice_find_byte(path, '/');
        size_t size = slash < 0 ? path.size : (size_t)slash;
        TRY(percent_encode(slice_sub(path, 0, size), text));
        if (slash >= 0)
            TRY(buf_append_byte(text, '/'));
        path = slice_sub(path, size + 1, path.size);
    }
    return ERR_OK;
}

struct parameter {
    struct slice name, value;
};

static int compare(struct slice a, struct slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_name(const void *a, const void *b)
{
    const struct parameter *first = a, *second = b;
    int order = compare(first->name, second->name);
    return order ? order : compare(first->value, second->value);
}

/* Names and values are sent percent-encoded already. */
static enum err append_query(struct buf *text, struct slice query)
{
    struct parameter all[PARAMETERS_MAX];
    size_t count = 0;
    while (count < PARAMETERS_MAX && query_next(&query, &all[count].name, &all[count].value))
        count++;
    qsort(all, count, sizeof *all, by_name);
    for (size_t i = 0; i < count; i++)
        TRY(buf_printf(text, "%s%.*s=%.*s", i ? "&" : "", SLICE_PRINT(all[i].name),
            SLICE_PRINT(all[i].value)));
    return ERR_OK;
}

static struct slice signed_names(const struct sigv4_request *request)
{
    return request->token.size ? SLICE("host;x-amz-content-sha256;x-amz-date;x-amz-security-token")
                               : SLICE("host;x-amz-content-sha256;x-amz-date");
}

static enum err canonical(
    const struct sigv4_request *request, const struct sigv4 *signature, struct buf *text)
{
    TRY(buf_printf(text, "%.*s\n", SLICE_PRINT(request->method)));
    TRY(append_path(text, request->path));
    TRY(buf_append_byte(text, '\n'));
    TRY(append_query(text, request->query));
    TRY(buf_printf(text, "\nhost:%.*s\nx-amz-content-sha256:%s\nx-amz-date:%s\n",
        SLICE_PRINT(request->host), signature->body_hash, signature->date));
    if (request->token.size)
        TRY(buf_printf(text, "x-amz-security-token:%.*s\n", SLICE_PRINT(request->token)));
    return buf_printf(text, "\n%.*s\n%s", SLICE_PRINT(signed_names(request)), signature->body_hash);
}

static enum err derive_key(
    const struct sigv4_request *request, struct slice day, uint8_t out[SHA256_BYTES])
{
    CLEANUP(buf_deinit) struct buf secret;
    buf_init(&secret, TEXT_BYTES_MAX);
    TRY(buf_append(&secret, SLICE("AWS4")));
    TRY(buf_append(&secret, request->secret));
    struct slice key = slice_of(out, SHA256_BYTES);
    hmac_sha256(buf_slice(&secret), day, out);
    hmac_sha256(key, request->region, out);
    hmac_sha256(key, request->service, out);
    hmac_sha256(key, SLICE("aws4_request"), out);
    return ERR_OK;
}

static enum err make_date(int64_t wall_s, char out[SIGV4_DATE_BYTES])
{
    struct tm utc;
    time_t seconds = (time_t)wall_s;
    if (!gmtime_r(&seconds, &utc) ||
        strftime(out, SIGV4_DATE_BYTES, "%Y%m%dT%H%M%SZ", &utc) != SIGV4_DATE_BYTES - 1)
        return ERR_INVALID;
    return ERR_OK;
}

enum err sigv4_sign(
    const struct sigv4_request *request, struct sigv4 *out, struct buf *authorization)
{
    CLEANUP(buf_deinit) struct buf text;
    uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
    char hash[SHA256_BYTES * 2 + 1];
    buf_init(&text, TEXT_BYTES_MAX);
    TRY(make_date(request->wall_s, out->date));
    hash_hex(request->body, out->body_hash);
    TRY(canonical(request, out, &text));
    hash_hex(buf_slice(&text), hash);
    struct slice day = slice_of(out->date, DAY_BYTES);
    buf_clear(&text);
    TRY(buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.*s/%.*s/%.*s/aws4_request\n%s", out->date,
        SLICE_PRINT(day), SLICE_PRINT(request->region), SLICE_PRINT(request->service), hash));
    TRY(derive_key(request, day, key));
    hmac_sha256(slice_of(key, sizeof key), buf_slice(&text), mac);
    hex_encode(slice_of(mac, sizeof mac), hash);
    return buf_printf(authorization,
        "AWS4-HMAC-SHA256 Credential=%.*s/%.*s/%.*s/%.*s/aws4_request, SignedHeaders=%.*s, "
        "Signature=%s",
        SLICE_PRINT(request->id), SLICE_PRINT(day), SLICE_PRINT(request->region),
        SLICE_PRINT(request->service), SLICE_PRINT(signed_names(request)), hash);
}
