/* producer_request — what is sent to the provider: the caller's request, less the fields that may not
 * cross, with the provider's address and credentials. */
#include "server/stream/producer_state.h"

#include <string.h>

#include "protocol/base/own.h"

static enum err add_header(
    struct producer *producer, size_t *count, struct slice name, struct slice value)
{
    if (*count == PRODUCER_HEADERS_MAX)
        return ERR_LIMIT;
    producer->headers[(*count)++] =
        (const char *)producer->header_text.size; /* an offset, until the text stops moving */
    TRY(buf_append(&producer->header_text, name));
    TRY(buf_append_text(&producer->header_text, ": "));
    TRY(buf_append(&producer->header_text, value));
    return buf_append_byte(&producer->header_text, 0);
}

static enum err add_line(struct producer *producer, size_t *count, const char *line)
{
    const char *colon = strchr(line, ':');
    ASSERT(colon);
    return add_header(
        producer, count, slice_of(line, (size_t)(colon - line)), slice_trim(slice_text(colon + 1)));
}

/* The caller's own copy would stand beside ours, and the provider might heed that one. */
static bool is_among(const char *const *lines, struct slice name)
{
    for (; lines && *lines; lines++)
        if (slice_equal_nocase(name, slice_of(*lines, strcspn(*lines, ":"))))
            return true;
    return false;
}

static enum err build_headers(struct producer *producer, const struct producer_request *request)
{
    size_t count = 0;
    struct slice type =
        request->content_type ? slice_text(request->content_type) : SLICE("application/json");
    if (type.size)
        TRY(add_header(producer, &count, SLICE("Content-Type"), type));
    for (const char *const *line = request->credentials; line && *line; line++)
        TRY(add_line(producer, &count, *line));
    for (size_t i = 0; i < request->headers->count; i++) {
        struct header field = request->headers->items[i];
        if (slice_equal_nocase(field.name, SLICE("content-type")) ||
            is_among(request->credentials, field.name) ||
            !header_crosses_to_provider(field.name, request->headers))
            continue;
        TRY(add_header(producer, &count, field.name, field.value));
    }
    for (size_t i = 0; i < count; i++)
        producer->headers[i] =
            (const char *)producer->header_text.data + (size_t)producer->headers[i];
    producer->headers[count] = NULL;
    return ERR_OK;
}

enum err producer_build_request(struct producer *producer, const struct producer_request *request)
{
    const char *method = request->method ? request->method : "POST";
    if (strlen(method) >= sizeof producer->method)
        return ERR_LIMIT;
    memcpy(producer->method, method, strlen(method) + 1);
    TRY(buf_append_text(&producer->url, request->url));
    TRY(buf_append_byte(&producer->url, 0));
    TRY(buf_append(&producer->request_body, request->body));
    if (request->ca_file && strlen(request->ca_file) < sizeof producer->ca_file)
        memcpy(producer->ca_file, request->ca_file, strlen(request->ca_file) + 1);
    return build_headers(producer, request);
}
