/* desk — every path to an answer. An inference request is checked in the order a provider does it:
 * key, body, model; then the model's name may reject it (fail=, status=), and only what is left is
 * a generation. */
#include "tools/mock/desk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "tools/mock/blob.h"
#include "tools/mock/bounds.h"
#include "tools/mock/call.h"
#include "tools/mock/escape.h"

/* An answer that is JSON of known size. */
struct reply {
    unsigned status;
    uint64_t retry_after_s; /* 0: no header */
    struct slice body;
    bool keeps_alive;
};

static const char *reason(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Payload Too Large";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Status";
    }
}

static enum err put_reply(const struct reply *reply, struct buf *out)
{
    TRY(buf_printf(out,
        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
        reply->status, reason(reply->status), reply->body.size));
    if (reply->retry_after_s)
        TRY(buf_printf(out, "Retry-After: %" PRIu64 "\r\n", reply->retry_after_s));
    TRY(buf_printf(out, "Connection: %s\r\n\r\n", reply->keeps_alive ? "keep-alive" : "close"));
    return buf_append(out, reply->body);
}

static enum err put_error(
    const struct shape *shape, struct reply reply, const char *message, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf body;
    CLEANUP(buf_deinit) struct buf escaped;
    buf_init(&body, WRITE_BYTES_MAX);
    buf_init(&escaped, WRITE_BYTES_MAX);
    TRY(escape_json(slice_text(message), &escaped));
    TRY(shape_error(shape, reply.status, buf_slice(&escaped), &body));
    reply.body = buf_slice(&body);
    return put_reply(&reply, out);
}

enum err desk_init(struct desk *desk, const char *require_key)
{
    *desk = (struct desk){.stats = stats_new(), .require_key = require_key};
    return desk->stats ? ERR_OK : fault(ERR_NOMEM, "the counters");
}

void desk_deinit(struct desk *desk)
{
    backgrounds_deinit(&desk->backgrounds);
    predictions_deinit(&desk->predictions);
    desk->last = request_free(desk->last);
    desk->stats = stats_free(desk->stats);
}

enum err desk_refuse(unsigned status, const char *message, struct buf *out)
{
    return put_error(NULL, (struct reply){.status = status}, message, out);
}

/* ---- control ---- */

static enum err render_headers(const struct request *request, struct buf *out)
{
    for (size_t i = 0; i < request_header_count(request); i++) {
        struct slice name, value;
        request_header_at(request, i, &name, &value);
        TRY(buf_append_text(out, i ? "," : ""));
        size_t at = out->size;
        TRY(escape_json_quoted(name, out));
        for (; at < out->size; at++) /* names are compared in lower case */
            if (out->data[at] >= 'A' && out->data[at] <= 'Z')
                out->data[at] = (uint8_t)(out->data[at] + 'a' - 'A');
        TRY(buf_append_byte(out, ':'));
        TRY(escape_json_quoted(value, out));
    }
    return ERR_OK;
}

static enum err render_body(struct slice body, struct buf *out)
{
    if (slice_is_utf8(body)) {
        TRY(buf_append_text(out, "\"body\":"));
        return escape_json_quoted(body, out);
    }
    TRY(buf_append_text(out, "\"body\":null,\"body_base64\":\""));
    TRY(base64_encode(body, out));
    return buf_append_byte(out, '"');
}

static enum err render_last(const struct request *last, struct buf *out)
{
    if (!last)
        return buf_append_text(out, "null\n");
    TRY(buf_printf(out, "{\"method\":\"%s\",\"path\":", request_method(last)));
    TRY(escape_json_quoted(request_target(last), out));
    TRY(buf_append_text(out, ",\"headers\":{"));
    TRY(render_headers(last, out));
    TRY(buf_append_text(out, "},"));
    TRY(render_body(request_body(last), out));
    return buf_append_text(out, "}\n");
}

static enum err control_body(
    struct desk *desk, const struct request *request, struct slice path, struct buf *out)
{
    bool is_get = strcmp(request_method(request), "GET") == 0;
    bool is_post = strcmp(request_method(request), "POST") == 0;
    if (is_get && slice_equal(path, SLICE("/mock/stats")))
        return stats_render(desk->stats, out);
    if (is_get && slice_equal(path, SLICE("/mock/last")))
        return render_last(desk->last, out);
    if (!is_post || !slice_equal(path, SLICE("/mock/reset")))
        return ERR_NOTFOUND;
    stats_reset(desk->stats);
    desk->last = request_free(desk->last);
    return buf_append_text(out, "{}\n");
}

static enum err serve_control(struct desk *desk, const struct request *request, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, 4 * (size_t)WRITE_BYTES_MAX); /* the last body, escaped */
    enum err err = control_body(desk, request, request_path(request), &body);
    struct reply reply = {.status = 200, .keeps_alive = request_keeps_alive(request)};
    if (err == ERR_NOTFOUND) {
        reply.status = 404;
        return put_error(NULL, reply, "The mock has no such endpoint.", out);
    }
    TRY(err);
    reply.body = buf_slice(&body);
    return put_reply(&reply, out);
}

/* ---- inference ---- */

/* One inference request on its way through the checks. */
struct visit {
    struct desk *desk;
    const struct request *request; /* = desk->last */
    const struct shape *shape;
    struct call call;
    struct behavior behavior;
    int64_t now_ns;
    struct buf *out;
};

static enum err reject(struct visit *visit, unsigned status, const char *message)
{
    stats_rejected(visit->desk->stats);
    struct reply reply = {.status = status,
        .keeps_alive = request_keeps_alive(visit->request),
        .retry_after_s = status == visit->behavior.status ? visit->behavior.retry_after_s : 0};
    return put_error(visit->shape, reply, message, visit->out);
}

static bool has_key(const struct visit *visit)
{
    if (!visit->desk->require_key)
        return true;
    struct slice wanted = slice_text(visit->desk->require_key);
    struct slice bearer = request_header(visit->request, "authorization");
    if (slice_has_prefix(bearer, SLICE("Bearer ")) &&
        slice_equal(slice_sub(bearer, 7, bearer.size), wanted))
        return true;
    return slice_equal(request_header(visit->request, "x-api-key"), wanted) ||
           slice_equal(request_header(visit->request, "x-goog-api-key"), wanted);
}

/* The whole text, where an event or the answer holds it, must fit a write. */
static bool is_text_too_long(const struct visit *visit)
{
    enum { BARE_TOKEN_BYTES_MAX = 24 };
    if (!shape_has_text(visit->shape) ||
        (shape_streams(visit->shape, visit->call.is_stream) && !shape_repeats_text(visit->shape)))
        return false;
    uint64_t bytes = visit->behavior.text_bytes;
    if (bytes < BARE_TOKEN_BYTES_MAX)
        bytes = BARE_TOKEN_BYTES_MAX;
    return bytes * visit->behavior.events > TEXT_TOTAL_BYTES_MAX;
}

static bool prefers(const struct request *request, const char *how)
{
    return slice_has_prefix(request_header(request, "prefer"), slice_text(how));
}

static enum err put_prediction(
    struct visit *visit, const struct prediction *prediction, unsigned status, const char *state)
{
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, WRITE_BYTES_MAX);
    TRY(prediction_render(prediction, state, &body));
    struct reply reply = {.status = status,
        .body = buf_slice(&body),
        .keeps_alive = request_keeps_alive(visit->request)};
    return put_reply(&reply, visit->out);
}

static enum err read_prediction(struct visit *visit, const struct prediction *prediction,
    bool is_stream, struct desk_answer *answer)
{
    struct stream_order order = prediction_order(prediction);
    order.is_stream = is_stream;
    order.keeps_alive = request_keeps_alive(visit->request);
    order.is_http10 = request_is_http10(visit->request);
    answer->stream = stream_new(&order);
    return answer->stream ? ERR_OK : fault(ERR_NOMEM, "a stream");
}

/* Answered by a place; or by all of it, where the caller waits and the model's name does not say to poll. */
static enum err predict(struct visit *visit, struct stream_order *order, struct desk_answer *answer)
{
    struct prediction *prediction;
    bool is_cog = shape_is_cog(visit->shape); /* has no places */
    order->answer.host = is_cog ? SLICE_NONE : request_header(visit->request, "host");
    TRY(prediction_begin(&visit->desk->predictions, visit->desk->stats, order, &prediction));
    if (prefers(visit->request, "wait") && visit->behavior.polls == 0)
        return read_prediction(visit, prediction, false, answer);
    return put_prediction(visit, prediction, is_cog ? 202 : 201, "starting");
}

static enum err serve_prediction(
    struct visit *visit, struct prediction *prediction, bool is_stream, struct desk_answer *answer)
{
    if (!has_key(visit))
        return reject(visit, 401, "Incorrect API key provided.");
    if (strcmp(request_method(visit->request), "GET") != 0)
        return reject(visit, 405, "Only GET is allowed here.");
    if (!is_stream && !prediction_poll(prediction, visit->now_ns))
        return put_prediction(visit, prediction, 200, "processing");
    return read_prediction(visit, prediction, is_stream, answer);
}

/* What stands behind the '?' of a request for a response that is kept. */
static enum err read_from(struct slice target, uint64_t *out)
{
    static const char *const names[] = {"starting_after=", "last_event_id=mock%2B%2F%3D"};
    *out = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ptrdiff_t at = slice_find(target, slice_text(names[i]));
        if (at < 0)
            continue;
        struct slice number = slice_sub(target, (size_t)at + strlen(names[i]), target.size);
        ptrdiff_t end = slice_find_byte(number, '&');
        TRY(slice_u64(slice_sub(number, 0, end < 0 ? number.size : (size_t)end), out));
        ++*out;
    }
    return slice_find(target, SLICE("stream=true")) < 0 ? ERR_INVALID : ERR_OK;
}

static enum err end_background(struct visit *visit, struct background *background)
{
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, WRITE_BYTES_MAX);
    background_cancel(background);
    TRY(background_render(background, &body));
    const struct reply reply = {.status = 200,
        .body = buf_slice(&body),
        .keeps_alive = request_keeps_alive(visit->request)};
    return put_reply(&reply, visit->out);
}

static enum err serve_background(struct visit *visit, struct desk_answer *answer)
{
    struct background *background;
    bool is_cancel;
    uint64_t from;
    const char *method = request_method(visit->request);
    if (!has_key(visit))
        return reject(visit, 401, "Incorrect API key provided.");
    if (background_find(&visit->desk->backgrounds, request_path(visit->request), &background,
            &is_cancel) != ERR_OK)
        return reject(visit, 404, "There is no such response.");
    if (strcmp(method, is_cancel ? "POST" : "GET") != 0)
        return reject(visit, 405, "This method is not allowed here.");
    if (is_cancel)
        return end_background(visit, background);
    if (read_from(request_target(visit->request), &from))
        return reject(visit, 400, "The mock gives it out with stream=true&starting_after=N only.");
    if (background_is_busy(background))
        return reject(visit, 503, "The mock was asked to be busy.");
    struct stream_order order = background_read(background, from);
    order.keeps_alive = request_keeps_alive(visit->request);
    order.is_http10 = request_is_http10(visit->request);
    answer->stream = stream_new(&order);
    return answer->stream ? ERR_OK : fault(ERR_NOMEM, "a stream");
}

static enum err generate(struct visit *visit, struct desk_answer *answer)
{
    CLEANUP(buf_deinit) struct buf model;
    buf_init(&model, (size_t)MODEL_BYTES_MAX * 8); /* escaping makes six bytes of one at most */
    TRY(escape_json(buf_slice(&visit->call.model), &model));
    struct stream_order order = {
        .shape = visit->shape,
        .behavior = visit->behavior,
        .answer = {.created_s = (int64_t)time(NULL),
            .model = buf_slice(&model),
            .prompt_tokens = visit->call.prompt_tokens,
            .events = visit->behavior.events,
            .text_bytes = visit->behavior.text_bytes,
            .inputs = visit->call.inputs,
            .has_tool = visit->behavior.has_tool,
            .has_usage = visit->call.has_usage,
            .is_failure =
                visit->behavior.fault == FAULT_ERROR || visit->behavior.fault == FAULT_FIRST_ERROR},
        .now_ns = visit->now_ns,
        .is_stream = visit->call.is_stream,
        .keeps_alive = request_keeps_alive(visit->request),
        .is_http10 = request_is_http10(visit->request),
    };
    TRY(stats_begin(visit->desk->stats, buf_slice(&visit->call.model), &order.ticket));
    order.answer.generation = order.ticket.generation;
    if (visit->call.is_background && order.is_stream && shape_is_kept(visit->shape))
        TRY(background_begin(&visit->desk->backgrounds, visit->desk->stats, &order));
    if (shape_is_elsewhere(visit->shape) ||
        (shape_is_cog(visit->shape) && prefers(visit->request, "respond-async")))
        return predict(visit, &order, answer);
    answer->stream = stream_new(&order);
    if (answer->stream)
        return ERR_OK;
    stats_end(visit->desk->stats, &order.ticket, OUTCOME_FAILED);
    return fault(ERR_NOMEM, "a stream");
}

static enum err serve_call(struct visit *visit, struct desk_answer *answer)
{
    struct slice wrong;
    uint64_t before;
    struct slice model = buf_slice(&visit->call.model);
    if (behavior_parse(model, &visit->behavior, &wrong) != ERR_OK) {
        char message[256];
        (void)snprintf(message, sizeof message, "The mock cannot do \"%.*s\".",
            wrong.size > 128 ? 128 : (int)wrong.size, (const char *)wrong.data);
        return reject(visit, 400, message);
    }
    if (is_text_too_long(visit))
        return reject(visit, 400, "The mock's whole answer would be too long; ask for a stream.");
    TRY(stats_attempt(visit->desk->stats, model, &before));
    if (before < visit->behavior.fails)
        return reject(visit, 500, "The mock was asked to fail at first.");
    if (visit->behavior.status)
        return reject(visit, (unsigned)visit->behavior.status, "The mock was asked to fail.");
    return generate(visit, answer);
}

static enum err serve_inference(struct visit *visit, struct desk_answer *answer)
{
    if (!has_key(visit))
        return reject(visit, 401, "Incorrect API key provided.");
    CLEANUP(buf_deinit) struct buf model; /* in the path */
    buf_init(&model, MODEL_BYTES_MAX);
    enum err err = shape_model(visit->shape, request_path(visit->request), &model);
    if (err == ERR_LIMIT)
        return reject(visit, 400, "The model's name is too long.");
    err = call_parse(request_body(visit->request), buf_slice(&model), &visit->call);
    if (err == ERR_INVALID)
        return reject(visit, 400, "The body must be a JSON object with a \"model\".");
    TRY(err);
    visit->call.is_stream |= shape_asks(visit->shape) && !visit->call.refuses_stream;
    if (shape_is_cog(visit->shape))
        visit->call.is_stream =
            slice_equal(request_header(visit->request, "accept"), SLICE("text/event-stream"));
    err = serve_call(visit, answer);
    call_deinit(&visit->call);
    return err;
}

/* ---- blobs ---- */

static enum err take_blob(struct visit *visit, struct request *request)
{
    char digest[REQUEST_DIGEST_BYTES];
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, WRITE_BYTES_MAX);
    if (!has_key(visit))
        return reject(visit, 401, "Incorrect API key provided.");
    request_body_digest(request, digest);
    TRY(blob_render(request_body_bytes(request), digest, &body));
    const struct reply reply = {
        .status = 200, .body = buf_slice(&body), .keeps_alive = request_keeps_alive(request)};
    return put_reply(&reply, visit->out);
}

static enum err give_blob(struct visit *visit, uint64_t bytes, struct desk_answer *answer)
{
    if (!has_key(visit))
        return reject(visit, 401, "Incorrect API key provided.");
    answer->blob_bytes = bytes;
    return buf_printf(visit->out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        "Content-Length: %" PRIu64 "\r\nConnection: %s\r\n\r\n",
        bytes, request_keeps_alive(visit->request) ? "keep-alive" : "close");
}

enum err desk_serve(struct desk *desk, struct request **request, int64_t now_ns, struct buf *out,
    struct desk_answer *answer)
{
    stats_request(desk->stats);
    struct visit visit = {.desk = desk,
        .request = *request,
        .shape = shape_find(request_path(*request)),
        .now_ns = now_ns,
        .out = out};
    struct prediction *prediction;
    bool is_stream;
    *answer = (struct desk_answer){.closes = !request_keeps_alive(*request)};
    if (prediction_find(&desk->predictions, request_path(*request), &prediction, &is_stream) ==
        ERR_OK) {
        visit.shape = prediction_order(prediction).shape;
        return serve_prediction(&visit, prediction, is_stream, answer);
    }
    if (background_is_place(request_path(*request))) {
        request_free(desk->last);
        visit.request = desk->last = MOVE(*request);
        return serve_background(&visit, answer);
    }
    uint64_t bytes;
    if (request_is_blob(*request)) {
        request_free(desk->last);
        visit.request = desk->last = MOVE(*request);
        return take_blob(&visit, desk->last);
    }
    if (blob_read(request_method(*request), request_path(*request), &bytes) == ERR_OK)
        return give_blob(&visit, bytes, answer);
    if (!visit.shape)
        return serve_control(desk, *request, out);
    if (strcmp(request_method(*request), "POST") != 0)
        return reject(&visit, 405, "Only POST is allowed here.");
    request_free(desk->last);
    desk->last = MOVE(*request);
    return serve_inference(&visit, answer);
}
