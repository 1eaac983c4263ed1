/* producer_request — what is sent to the provider: the caller's request, less the fields that may not
 * cross, with the provider's address and credentials. */
#include "server/stream/producer_state.h"

#include <string.h>

#include "protocol/base/own.h"
#include "server/io/upload.h"

static enum err add_header(struct run *run, size_t *count, struct slice name, struct slice value)
{
    if (*count == PRODUCER_HEADERS_MAX)
        return ERR_LIMIT;
    run->headers[(*count)++] =
        (const char *)run->header_text.size; /* an offset, until the text stops moving */
    TRY(buf_append(&run->header_text, name));
    TRY(buf_append_text(&run->header_text, ": "));
    TRY(buf_append(&run->header_text, value));
    return buf_append_byte(&run->header_text, 0);
}

static enum err add_line(struct run *run, size_t *count, const char *line)
{
    const char *colon = strchr(line, ':');
    ASSERT(colon);
    return add_header(
        run, count, slice_of(line, (size_t)(colon - line)), slice_trim(slice_text(colon + 1)));
}

/* The caller's own copy would stand beside ours, and the provider might heed that one. */
static bool is_among(const char *const *lines, struct slice name)
{
    for (; lines && *lines; lines++)
        if (slice_equal_nocase(name, slice_of(*lines, strcspn(*lines, ":"))))
            return true;
    return false;
}

static enum err build_headers(struct run *run, const struct producer_request *request)
{
    size_t count = 0;
    struct slice type =
        request->content_type ? slice_text(request->content_type) : SLICE("application/json");
    if (type.size)
        TRY(add_header(run, &count, SLICE("Content-Type"), type));
    for (const char *const *line = request->credentials; line && *line; line++)
        TRY(add_line(run, &count, *line));
    for (size_t i = 0; i < request->headers->count; i++) {
        struct header field = request->headers->items[i];
        if (slice_equal_nocase(field.name, SLICE("content-type")) ||
            is_among(request->credentials, field.name) ||
            !header_crosses_to_provider(field.name, request->headers))
            continue;
        TRY(add_header(run, &count, field.name, field.value));
    }
    for (size_t i = 0; i < count; i++)
        run->headers[i] = (const char *)run->header_text.data + (size_t)run->headers[i];
    run->headers[count] = NULL;
    return ERR_OK;
}

enum err run_build_request(struct run *run, const struct producer_request *request)
{
    const char *method = request->method ? request->method : "POST";
    if (strlen(method) >= sizeof run->method)
        return ERR_LIMIT;
    memcpy(run->method, method, strlen(method) + 1);
    buf_init(&run->url, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&run->header_text, HTTP_HEAD_BYTES_MAX * 2);
    buf_init(&run->request_body, request->body.size);
    TRY(buf_append_text(&run->url, request->url));
    TRY(buf_append_byte(&run->url, 0));
    TRY(buf_append(&run->request_body, request->body));
    run->upload = request->upload ? upload_ref(request->upload) : NULL;
    if (request->ca_file && strlen(request->ca_file) < sizeof run->ca_file)
        memcpy(run->ca_file, request->ca_file, strlen(request->ca_file) + 1);
    return build_headers(run, request);
}
