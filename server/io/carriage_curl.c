/* carriage_curl — see carriage_curl.h.
 *
 *   libcurl wants a socket watched ─▶ watch.h ─▶ socket_action
 *   libcurl wants a timer          ─▶ the loop's timer ─▶ socket_action(TIMEOUT)
 *
 * libcurl must not be re-entered from its own callbacks: a transfer that ends is told of by
 * curl_multi_info_read, after each socket_action. */
#include "server/io/carriage_curl.h"

#include <curl/curl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http/bounds.h"
#include "server/io/carriage_plain.h"
#include "server/io/upload.h"
#include "server/io/watch.h"

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";
static const int64_t ns_per_ms = 1000000;

/* libcurl takes 0 for "300 s": this is for ever instead. */
enum { CONNECT_TIMEOUT_MS_MAX = INT_MAX };

struct curls {
    struct loop *loop;
    CURLM *multi;
    char *proxy;
    struct plains *plains;
    struct timer timer;
    struct watches *watches;
    bool is_closing;
    bool has_added; /* since curls_begin */
    CURL *spare[UPSTREAM_HANDLES_KEPT];
    size_t spare_count;
};

/* One that libcurl has open. */
struct curl_socket {
    struct watch watch;
    struct curls *curls;
};

struct curl_carriage {
    struct carriage base;
    struct curls *curls;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *resolve;
    int status;
    bool has_status;   /* its line has come, the blank line has not */
    bool may_learn;    /* where the name leads: on a new connection, a kept one leads to the past */
    bool is_added;     /* to the multi handle */
    bool is_repeated;  /* libcurl wanted to send the request a second time */
    bool is_malformed; /* the head is too large */
    struct buf head;
    char message[CURL_ERROR_SIZE];
};

static void multi_timer_fired(struct timer *timer);
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *pointer);
static int watch_timer(CURLM *multi, long timeout_ms, void *context);
static void socket_ready(struct watch *watch, short events);
static void drive(struct curls *curls, curl_socket_t socket, int events);

static const struct watch_owner watch_owner = {.ready = socket_ready};

/* ---- the multi handle ------------------------------------------------------------------------ */

static void set_multi_options(struct curls *curls)
{
    CURLM *multi = curls->multi;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, curls);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, watch_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, curls);
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)UPSTREAM_CONNECTIONS_KEPT);
    (void)curl_multi_setopt(
        multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)UPSTREAM_CONNECTIONS_PER_HOST);
}

static enum err curls_open(struct curls *curls, const char *proxy)
{
    curls->proxy = strdup(proxy ? proxy : ""); /* "" also shuts out the environment's */
    curls->multi = curl_multi_init();
    if (!curls->proxy || !curls->multi)
        return fault(ERR_NOMEM, "libcurl");
    set_multi_options(curls);
    return watches_new(curls->loop, &watch_owner, &curls->watches);
}

enum err curls_new(struct loop *loop, const char *proxy, struct plains *plains, struct curls **out)
{
    struct curls *curls = calloc(1, sizeof *curls);
    if (!curls)
        return fault(ERR_NOMEM, "libcurl");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* counted; thread-safe since 7.84 */
        free(curls);
        return fault(ERR_NOMEM, "libcurl");
    }
    curls->loop = loop;
    curls->plains = plains;
    curls->timer.fire = multi_timer_fired;
    enum err err = curls_open(curls, proxy);
    if (err != ERR_OK) {
        curls_free(curls);
        return err;
    }
    *out = curls;
    return ERR_OK;
}

struct curls *curls_free(struct curls *curls)
{
    if (!curls)
        return NULL;
    curls->is_closing = true;
    for (size_t i = 0; i < curls->spare_count; i++)
        curl_easy_cleanup(curls->spare[i]);
    if (curls->multi)
        (void)curl_multi_cleanup(curls->multi);
    timer_cancel(curls->loop, &curls->timer);
    watches_free(curls->watches);
    free(curls->proxy);
    free(curls);
    curl_global_cleanup();
    return NULL;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int select_bits(short events)
{
    int bits = 0;
    if (events & (POLLIN | POLLHUP))
        bits |= CURL_CSELECT_IN;
    if (events & POLLOUT)
        bits |= CURL_CSELECT_OUT;
    if (events & POLLERR)
        bits |= CURL_CSELECT_ERR;
    return bits;
}

static void socket_ready(struct watch *watch, short events)
{
    struct curl_socket *socket = CONTAINER_OF(watch, struct curl_socket, watch);
    drive(socket->curls, watch->socket, select_bits(events));
}

static void forget_socket(struct curls *curls, curl_socket_t fd, struct curl_socket *socket)
{
    (void)curl_multi_assign(curls->multi, fd, NULL);
    if (socket)
        watch_remove(&socket->watch);
    free(socket);
}

/* libcurl fails the transfer if this is not 0. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *pointer)
{
    (void)easy;
    struct curls *curls = context;
    struct curl_socket *socket = pointer;
    if (what == CURL_POLL_REMOVE) {
        forget_socket(curls, fd, socket);
        return 0;
    }
    if (!socket) {
        if (!(socket = calloc(1, sizeof *socket)))
            return -1;
        socket->curls = curls;
        watch_init(&socket->watch, curls->watches, fd);
        (void)curl_multi_assign(curls->multi, fd, socket);
    }
    short events =
        (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
    return watch_want(&socket->watch, events) == ERR_OK ? 0 : -1;
}

static int watch_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct curls *curls = context;
    if (timeout_ms < 0 || curls->is_closing)
        timer_cancel(curls->loop, &curls->timer);
    else
        timer_set(
            curls->loop, &curls->timer, loop_now_ns(curls->loop) + (int64_t)timeout_ms * ns_per_ms);
    return 0;
}

static void multi_timer_fired(struct timer *timer)
{
    drive(CONTAINER_OF(timer, struct curls, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static enum upstream_end classify(const struct curl_carriage *carriage, CURLcode code)
{
    enum phase phase = transfer_phase(carriage->base.transfer);
    if (carriage->is_malformed)
        return UPSTREAM_MALFORMED;
    if (code == CURLE_OK)
        return phase == TRANSFER_FLOWING ? UPSTREAM_COMPLETE : UPSTREAM_MALFORMED;
    if (phase < TRANSFER_DISPATCHED)
        return code == CURLE_OPERATION_TIMEDOUT ? UPSTREAM_TIMEOUT_CONNECT : UPSTREAM_REFUSED;
    switch ((int)code) { /* the rest of libcurl's list: what became of the request is not known */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* "Received HTTP/0.9 when not allowed" */
        return UPSTREAM_MALFORMED;
    case CURLE_RECV_ERROR: /* 7.88 says so of bad chunking too; only the text tells */
        return strstr(carriage->message, "chunked-encoding") ? UPSTREAM_MALFORMED : UPSTREAM_RESET;
    default: return UPSTREAM_RESET;
    }
}

static void remove_handle(struct curl_carriage *carriage)
{
    if (carriage->is_added)
        (void)curl_multi_remove_handle(carriage->curls->multi, carriage->easy);
    carriage->is_added = false;
}

static void drop(struct carriage *base)
{
    struct curl_carriage *carriage = CONTAINER_OF(base, struct curl_carriage, base);
    struct curls *curls = carriage->curls;
    remove_handle(carriage);
    if (carriage->easy && curls->spare_count < UPSTREAM_HANDLES_KEPT) {
        curl_easy_reset(carriage->easy);
        curls->spare[curls->spare_count++] = carriage->easy;
    } else {
        curl_easy_cleanup(carriage->easy);
    }
    curl_slist_free_all(carriage->headers);
    curl_slist_free_all(carriage->resolve);
    buf_deinit(&carriage->head);
    free(carriage);
}

static void end(struct curl_carriage *carriage, CURLcode code)
{
    const char *message = carriage->message[0] ? carriage->message : curl_easy_strerror(code);
    if (carriage->is_repeated)
        message = "the kept connection was closed before it answered";
    else if (carriage->is_malformed)
        message = "the response head is too large";
    remove_handle(carriage);
    transfer_ends(
        carriage->base.transfer, classify(carriage, code), code == CURLE_OK ? "" : message);
}

static void drive(struct curls *curls, curl_socket_t socket, int events)
{
    int running, left;
    CURLMsg *message;
    (void)curl_multi_socket_action(curls->multi, socket, events, &running);
    while ((message = curl_multi_info_read(curls->multi, &left))) {
        struct curl_carriage *carriage = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* gone once the handle is removed */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&carriage);
        end(carriage, code);
    }
}

/* ---- libcurl's callbacks --------------------------------------------------------------------- */

static void learn(struct curl_carriage *carriage, const char *address, int port)
{
    char *url = NULL;
    if (carriage->may_learn &&
        curl_easy_getinfo(carriage->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url)
        plains_learn(carriage->curls->plains, url, address, (uint16_t)port);
}

/* Connected, about to send. A second time: libcurl found a kept connection closed and would send
 * the request again, which nobody has allowed. */
static int before_request(
    void *context, char *address, char *local_address, int port, int local_port)
{
    (void)local_address;
    (void)local_port;
    struct curl_carriage *carriage = context;
    if (transfer_phase(carriage->base.transfer) >= TRANSFER_DISPATCHED) {
        carriage->is_repeated = true;
        return CURL_PREREQFUNC_ABORT;
    }
    learn(carriage, address, port);
    transfer_dispatches(carriage->base.transfer);
    return CURL_PREREQFUNC_OK;
}

/* "HTTP/1.1 200 OK": RFC 9112 §4, and libcurl's rendering of HTTP/2. */
static int parse_status(struct slice line)
{
    ptrdiff_t space = slice_find_byte(line, ' ');
    uint64_t status;
    if (space < 0 || slice_u64(slice_sub(line, (size_t)space + 1, 3), &status) != ERR_OK)
        return 0;
    return (int)status;
}

static bool is_blank(struct slice line)
{
    return slice_equal(line, SLICE("\r\n")) || slice_equal(line, SLICE("\n"));
}

static void end_head(struct curl_carriage *carriage)
{
    carriage->has_status = false;
    if (carriage->status < 200 && carriage->status != 101)
        return; /* RFC 9110 §15.2: the final response follows */
    transfer_heads(carriage->base.transfer, carriage->status, buf_slice(&carriage->head));
    buf_deinit(&carriage->head);
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct curl_carriage *carriage = context;
    struct slice line = slice_of(data, size * count);
    if (transfer_phase(carriage->base.transfer) != TRANSFER_DISPATCHED)
        return line.size; /* trailers */
    if (!carriage->has_status) {
        carriage->has_status = true;
        carriage->status = parse_status(line);
        buf_clear(&carriage->head);
    } else if (is_blank(line)) {
        end_head(carriage);
    } else if (buf_append(&carriage->head, line) != ERR_OK) {
        carriage->is_malformed = true;
        return 0;
    }
    return line.size;
}

static size_t take_data(char *data, size_t size, size_t count, void *context)
{
    struct curl_carriage *carriage = context;
    enum err err = transfer_takes(carriage->base.transfer, slice_of(data, size * count));
    return err == ERR_AGAIN ? CURL_WRITEFUNC_PAUSE : size * count;
}

/* More of the request's body, for libcurl to send. Only unpause() ends a pause: libcurl may ask all the
 * same, and stays paused. */
static size_t give_upload(char *out, size_t size, size_t count, void *context)
{
    struct curl_carriage *carriage = context;
    size_t given = 0;
    enum err err = transfer_sends(carriage->base.transfer, (uint8_t *)out, size * count, &given);
    if (err == ERR_CANCELED)
        return CURL_READFUNC_ABORT;
    return err == ERR_AGAIN ? CURL_READFUNC_PAUSE : given;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* A header that libcurl would not send as it is written: "Name:" means "leave it out", "Name;" is
 * an empty one (CURLOPT_HTTPHEADER). */
static enum err add_header(struct curl_carriage *carriage, const char *header)
{
    char *copy = NULL;
    const char *colon = strchr(header, ':');
    if (slice_trim(slice_text(colon + 1)).size == 0) {
        copy = strndup(header, (size_t)(colon - header) + 1);
        if (!copy)
            return fault(ERR_NOMEM, "header");
        copy[colon - header] = ';';
    }
    struct curl_slist *list = curl_slist_append(carriage->headers, copy ? copy : header);
    free(copy);
    if (!list)
        return fault(ERR_NOMEM, "header");
    carriage->headers = list;
    return ERR_OK;
}

static enum err add_plain(struct curl_carriage *carriage, const char *line)
{
    struct curl_slist *list = curl_slist_append(carriage->headers, line);
    if (!list)
        return fault(ERR_NOMEM, "header");
    carriage->headers = list;
    return ERR_OK;
}

static enum err set_headers(struct curl_carriage *carriage, const struct upstream_request *request)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        TRY(add_header(carriage, request->headers[i]));
    TRY(add_plain(carriage, "Expect:"));
    if (!request_has_header(request, SLICE("Content-Type:")))
        TRY(add_plain(carriage, "Content-Type:")); /* or libcurl calls it a form */
    if (!request_has_header(request, SLICE("Accept-Encoding:")))
        TRY(add_plain(carriage, "Accept-Encoding: identity"));
    return ERR_OK;
}

static bool is_method(const struct upstream_request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

static void set_upload(CURL *easy, const struct upload *upload)
{
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload_length(upload));
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_method(CURL *easy, const struct upstream_request *request)
{
    if (is_method(request, "HEAD")) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->upload) {
        set_upload(easy, request->upload);
    } else if (request->body.size > 0 || is_method(request, "POST")) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
            request->body.size > 0 ? (const char *)request->body.data : "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_callbacks(struct curl_carriage *carriage)
{
    CURL *easy = carriage->easy;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, carriage);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, carriage->message);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, carriage);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, carriage);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_data);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, carriage);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_upload);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, carriage);
}

static void set_transport(struct curl_carriage *carriage, const struct upstream_request *request)
{
    CURL *easy = carriage->easy;
    bool is_tls = slice_equal_nocase(slice_sub(slice_text(request->url), 0, 6), SLICE("https:"));
    int64_t connect_ms = request->connect_timeout_ms;
    if (connect_ms <= 0 || connect_ms > CONNECT_TIMEOUT_MS_MAX)
        connect_ms = CONNECT_TIMEOUT_MS_MAX;
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, carriage->curls->proxy);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a cancel must not wait for a name */
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)UPSTREAM_BUFFER_BYTES);
    (void)curl_easy_setopt(
        easy, CURLOPT_CAINFO, request->ca_file ? request->ca_file : system_ca_file);
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    /* h2c would be of no use (its reuse is broken in 7.88), and only delays the first requests. */
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
        is_tls ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PIPEWAIT, is_tls ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
}

static enum err open_handle(struct curl_carriage *carriage, const struct upstream_request *request)
{
    struct curls *curls = carriage->curls;
    carriage->easy = curls->spare_count > 0 ? curls->spare[--curls->spare_count] : curl_easy_init();
    if (!carriage->easy)
        return fault(ERR_NOMEM, "libcurl handle");
    TRY(set_headers(carriage, request));
    if (request->resolve && !(carriage->resolve = curl_slist_append(NULL, request->resolve)))
        return fault(ERR_NOMEM, "libcurl handle");
    set_callbacks(carriage);
    set_transport(carriage, request);
    set_method(carriage->easy, request);
    if (carriage->may_learn)
        (void)curl_easy_setopt(carriage->easy, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(carriage->easy, CURLOPT_HTTPHEADER, carriage->headers);
    (void)curl_easy_setopt(carriage->easy, CURLOPT_RESOLVE, carriage->resolve);
    if (curl_easy_setopt(carriage->easy, CURLOPT_URL, request->url) != CURLE_OK)
        return fault(ERR_NOMEM, "libcurl handle");
    return ERR_OK;
}

/* libcurl sets out in curls_begin. */
static void begin(struct carriage *base)
{
    struct curl_carriage *carriage = CONTAINER_OF(base, struct curl_carriage, base);
    CURLMcode code = curl_multi_add_handle(carriage->curls->multi, carriage->easy);
    if (code == CURLM_OK)
        carriage->is_added = carriage->curls->has_added = true;
    else
        transfer_ends(base->transfer, UPSTREAM_REFUSED, curl_multi_strerror(code));
}

/* May deliver, and so pause again. */
static void unpause(struct carriage *base, bool may_receive, bool may_send)
{
    struct curl_carriage *carriage = CONTAINER_OF(base, struct curl_carriage, base);
    carriage->curls->has_added = true;
    (void)curl_easy_pause(
        carriage->easy, (may_receive ? 0 : CURLPAUSE_RECV) | (may_send ? 0 : CURLPAUSE_SEND));
}

static const struct carriage_kind kind = {begin, unpause, drop, .times_connect = true};

enum err curl_open(struct curls *curls, struct transfer *transfer,
    const struct upstream_request *request, struct carriage **out)
{
    struct curl_carriage *carriage = calloc(1, sizeof *carriage);
    if (!carriage)
        return fault(ERR_NOMEM, "transfer");
    carriage->base = (struct carriage){&kind, transfer};
    carriage->curls = curls;
    carriage->may_learn = curls->plains && !request->resolve && plain_may_learn(request->url);
    buf_init(&carriage->head, REPLY_HEAD_BYTES_MAX);
    enum err err = open_handle(carriage, request);
    if (err != ERR_OK) {
        drop(&carriage->base);
        return err;
    }
    *out = &carriage->base;
    return ERR_OK;
}

void curls_begin(struct curls *curls)
{
    if (curls->has_added)
        drive(curls, CURL_SOCKET_TIMEOUT, 0);
    curls->has_added = false;
}
