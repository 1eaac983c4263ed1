/* transfer — see transfer.h.
 *
 *   libcurl wants a socket watched ─▶ watch.h ─▶ socket_action
 *   libcurl wants a timer          ─▶ the loop's timer ─▶ socket_action(TIMEOUT)
 *
 * libcurl must not be re-entered from its own callbacks: start, resume and cancel only mark the
 * transfer, and a task of the loop does the work. A transfer's phases and what bounds each:
 *
 *   QUEUED ─▶ CONNECTING ──prereq──▶ DISPATCHED ──head──▶ FLOWING ──▶ ended
 *             libcurl's timer        first-byte timer     idle timer                           */
#include "server/io/transfer.h"

#include <curl/curl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "server/io/upload.h"
#include "server/io/watch.h"

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";
static const int64_t ns_per_ms = 1000000;

/* libcurl takes 0 for "300 s": this is for ever instead. */
enum { CONNECT_TIMEOUT_MS_MAX = INT_MAX };

enum phase { QUEUED, CONNECTING, DISPATCHED, FLOWING };

struct transfers {
    struct loop *loop;
    CURLM *multi;
    char *proxy;
    struct timer timer;
    struct task task; /* works on `marked` */
    bool is_queued;   /* the task */
    bool is_closing;
    struct list open;   /* of transfer.node: all */
    struct list marked; /* of transfer.mark: to start, resume or cancel */
    struct watches *watches;
    CURL *spare[UPSTREAM_HANDLES_KEPT];
    size_t spare_count;
};

struct transfer {
    struct transfers *transfers;
    struct list node;
    struct list mark;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *resolve;
    const struct upstream_owner *owner;
    void *context;
    struct upload *upload; /* NULL: the body was whole from the start */
    void (*room)(void *context);
    void *room_context;
    enum phase phase;
    struct timer timer; /* first byte, then idle */
    int64_t activity_ns;
    int64_t first_byte_ns; /* the timeouts; 0: none */
    int64_t idle_ns;
    int status;
    bool has_status; /* its line has come, the blank line has not */
    bool is_added;   /* to the multi handle */
    bool is_resumed;
    bool is_paused;
    bool is_fed;     /* transfer_feed was called */
    bool is_starved; /* the upload had nothing: libcurl does not ask for more */
    bool is_held;    /* the idle timeout stands still */
    bool is_canceled;
    bool is_repeated;  /* libcurl wanted to send the request a second time */
    bool is_malformed; /* the head is too large */
    struct buf head;
    char message[CURL_ERROR_SIZE];
};

static void transfers_run(struct task *task);
static void multi_timer_fired(struct timer *timer);
static void transfer_timer_fired(struct timer *timer);
static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *pointer);
static int watch_timer(CURLM *multi, long timeout_ms, void *context);
static void socket_ready(void *pointer, int socket, short events);
static const struct watch_owner watch_owner = {socket_ready};
static void drive(struct transfers *transfers, curl_socket_t socket, int events);

/* ---- the multi handle ------------------------------------------------------------------------ */

static void set_multi_options(struct transfers *transfers)
{
    CURLM *multi = transfers->multi;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transfers);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, watch_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transfers);
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)UPSTREAM_CONNECTIONS_KEPT);
    (void)curl_multi_setopt(
        multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)UPSTREAM_CONNECTIONS_PER_HOST);
}

enum err transfers_new(struct loop *loop, const char *proxy, struct transfers **out)
{
    struct transfers *transfers = calloc(1, sizeof *transfers);
    if (!transfers)
        return fault(ERR_NOMEM, "transfers");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* counted; thread-safe since 7.84 */
        free(transfers);
        return fault(ERR_NOMEM, "libcurl");
    }
    transfers->loop = loop;
    transfers->task.run = transfers_run;
    transfers->timer.fire = multi_timer_fired;
    list_init(&transfers->open);
    list_init(&transfers->marked);
    transfers->proxy = strdup(proxy ? proxy : ""); /* "" also shuts out the environment's */
    transfers->multi = curl_multi_init();
    enum err err = transfers->proxy && transfers->multi
                       ? watches_new(loop, &watch_owner, &transfers->watches)
                       : fault(ERR_NOMEM, "transfers");
    if (err != ERR_OK) {
        transfers_free(transfers);
        return err;
    }
    set_multi_options(transfers);
    *out = transfers;
    return ERR_OK;
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

static void socket_ready(void *pointer, int socket, short events)
{
    drive(pointer, socket, select_bits(events));
}

static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *pointer)
{
    (void)easy;
    struct transfers *transfers = context;
    struct watch *watch = pointer;
    if (what == CURL_POLL_REMOVE) {
        (void)curl_multi_assign(transfers->multi, socket, NULL);
        watch_remove(watch);
        return 0;
    }
    if (!watch) {
        if (!(watch = watch_new(transfers->watches, socket, transfers)))
            return -1; /* libcurl then fails the transfer */
        (void)curl_multi_assign(transfers->multi, socket, watch);
    }
    short events =
        (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
    return watch_want(watch, events) == ERR_OK ? 0 : -1;
}

static int watch_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct transfers *transfers = context;
    if (timeout_ms < 0 || transfers->is_closing)
        timer_cancel(transfers->loop, &transfers->timer);
    else
        timer_set(transfers->loop, &transfers->timer,
            loop_now_ns(transfers->loop) + (int64_t)timeout_ms * ns_per_ms);
    return 0;
}

static void multi_timer_fired(struct timer *timer)
{
    drive(CONTAINER_OF(timer, struct transfers, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static enum upstream_end classify(const struct transfer *transfer, CURLcode code)
{
    if (transfer->is_canceled)
        return UPSTREAM_CANCELED;
    if (transfer->upload && upload_was_cut(transfer->upload))
        return UPSTREAM_CUT;
    if (transfer->is_malformed)
        return UPSTREAM_MALFORMED;
    if (code == CURLE_OK)
        return transfer->phase == FLOWING ? UPSTREAM_COMPLETE : UPSTREAM_MALFORMED;
    if (transfer->phase < DISPATCHED)
        return code == CURLE_OPERATION_TIMEDOUT ? UPSTREAM_TIMEOUT_CONNECT : UPSTREAM_REFUSED;
    switch ((int)code) { /* the rest of libcurl's list: what became of the request is not known */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* "Received HTTP/0.9 when not allowed" */
        return UPSTREAM_MALFORMED;
    case CURLE_RECV_ERROR: /* 7.88 says so of bad chunking too; only the text tells */
        return strstr(transfer->message, "chunked-encoding") ? UPSTREAM_MALFORMED : UPSTREAM_RESET;
    default: return UPSTREAM_RESET;
    }
}

static void transfer_free(struct transfer *transfer)
{
    struct transfers *transfers = transfer->transfers;
    timer_cancel(transfers->loop, &transfer->timer);
    list_unlink(&transfer->node);
    list_unlink(&transfer->mark);
    if (transfer->is_added)
        (void)curl_multi_remove_handle(transfers->multi, transfer->easy);
    if (transfer->easy && transfers->spare_count < UPSTREAM_HANDLES_KEPT) {
        curl_easy_reset(transfer->easy);
        transfers->spare[transfers->spare_count++] = transfer->easy;
    } else {
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->resolve);
    buf_deinit(&transfer->head);
    free(transfer);
}

/* Not from inside libcurl. */
static void finish(struct transfer *transfer, enum upstream_end how, const char *message)
{
    timer_cancel(transfer->transfers->loop, &transfer->timer);
    list_unlink(&transfer->mark);
    if (transfer->is_added) /* nothing more may be delivered */
        (void)curl_multi_remove_handle(transfer->transfers->multi, transfer->easy);
    transfer->is_added = false;
    transfer->owner->ended(transfer->context, how, message);
    transfer_free(transfer);
}

static void finish_code(struct transfer *transfer, CURLcode code)
{
    const char *message = transfer->message[0] ? transfer->message : curl_easy_strerror(code);
    if (transfer->upload && upload_was_cut(transfer->upload))
        message = "the caller went before all of the request's body was here";
    else if (transfer->is_repeated)
        message = "the kept connection was closed before it answered";
    else if (transfer->is_malformed)
        message = "the response head is too large";
    finish(transfer, classify(transfer, code), code == CURLE_OK ? "" : message);
}

static void drive(struct transfers *transfers, curl_socket_t socket, int events)
{
    int running, left;
    CURLMsg *message;
    (void)curl_multi_socket_action(transfers->multi, socket, events, &running);
    while ((message = curl_multi_info_read(transfers->multi, &left))) {
        struct transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* gone once the handle is removed */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        finish_code(transfer, code);
    }
}

/* ---- timeouts -------------------------------------------------------------------------------- */

static bool is_uploading(const struct transfer *transfer)
{
    return transfer->phase == DISPATCHED && transfer->upload && !upload_is_taken(transfer->upload);
}

static int64_t timeout_ns(const struct transfer *transfer)
{
    return is_uploading(transfer)          ? transfer->idle_ns
           : transfer->phase == DISPATCHED ? transfer->first_byte_ns
           : transfer->phase == FLOWING    ? transfer->idle_ns
                                           : 0;
}

static void note_activity(struct transfer *transfer)
{
    transfer->activity_ns = loop_now_ns(transfer->transfers->loop);
}

static void begin_timeout(struct transfer *transfer)
{
    note_activity(transfer);
    timer_cancel(transfer->transfers->loop, &transfer->timer);
    int64_t limit_ns = timeout_ns(transfer);
    if (limit_ns > 0)
        timer_set(transfer->transfers->loop, &transfer->timer, transfer->activity_ns + limit_ns);
}

static void set_phase(struct transfer *transfer, enum phase phase)
{
    ASSERT(phase == transfer->phase + 1);
    transfer->phase = phase;
    begin_timeout(transfer);
}

/* Set once a phase, not once a byte: it looks at what came meanwhile when it fires. */
static void transfer_timer_fired(struct timer *timer)
{
    struct transfer *transfer = CONTAINER_OF(timer, struct transfer, timer);
    if (transfer->is_paused || transfer->is_held ||
        (transfer->is_starved && is_uploading(transfer)))
        note_activity(transfer);
    int64_t due_ns = transfer->activity_ns + timeout_ns(transfer);
    if (due_ns > loop_now_ns(transfer->transfers->loop))
        timer_set(transfer->transfers->loop, timer, due_ns);
    else if (transfer->is_canceled)
        return; /* `ended` is on its way */
    else if (is_uploading(transfer))
        finish(transfer, UPSTREAM_TIMEOUT_IDLE, "the provider took no more of the request's body");
    else if (transfer->phase == DISPATCHED)
        finish(transfer, UPSTREAM_TIMEOUT_FIRST_BYTE, "no response head in time");
    else
        finish(transfer, UPSTREAM_TIMEOUT_IDLE, "the response stalled");
}

/* ---- libcurl's callbacks --------------------------------------------------------------------- */

/* Connected, about to send. A second time: libcurl found a kept connection closed and would send
 * the request again, which nobody has allowed. */
static int before_request(
    void *context, char *address, char *local_address, int port, int local_port)
{
    (void)address;
    (void)local_address;
    (void)port;
    (void)local_port;
    struct transfer *transfer = context;
    if (transfer->phase >= DISPATCHED) {
        transfer->is_repeated = true;
        return CURL_PREREQFUNC_ABORT;
    }
    set_phase(transfer, DISPATCHED);
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

static void end_head(struct transfer *transfer)
{
    transfer->has_status = false;
    if (transfer->status < 200 && transfer->status != 101)
        return; /* RFC 9110 §15.2: the final response follows */
    set_phase(transfer, FLOWING);
    if (!transfer->is_canceled)
        transfer->owner->head(transfer->context, transfer->status, buf_slice(&transfer->head));
    buf_deinit(&transfer->head);
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct slice line = slice_of(data, size * count);
    if (transfer->phase != DISPATCHED)
        return line.size; /* trailers */
    if (!transfer->has_status) {
        transfer->has_status = true;
        transfer->status = parse_status(line);
        buf_clear(&transfer->head);
    } else if (is_blank(line)) {
        end_head(transfer);
    } else if (buf_append(&transfer->head, line) != ERR_OK) {
        transfer->is_malformed = true;
        return 0;
    }
    return line.size;
}

static size_t take_data(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct slice bytes = slice_of(data, size * count);
    note_activity(transfer);
    if (transfer->is_canceled)
        return bytes.size;
    enum err err = transfer->owner->data(transfer->context, bytes);
    if (err == ERR_AGAIN && !transfer->is_canceled) {
        transfer->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (err != ERR_OK)
        transfer_cancel(transfer);
    return bytes.size;
}

/* More of the request's body, for libcurl to send. */
static size_t give_upload(char *out, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t given = 0;
    bool wants_room;
    enum err err = upload_take(transfer->upload, (uint8_t *)out, size * count, &given, &wants_room);
    if (wants_room && transfer->room)
        transfer->room(transfer->room_context);
    else if (wants_room)
        upload_tell_room(transfer->upload);
    if (err == ERR_CANCELED)
        return CURL_READFUNC_ABORT;
    if (err ==
        ERR_AGAIN) { /* only unpause() ends it: libcurl may ask all the same, and stays paused */
        transfer->is_starved = true;
        return CURL_READFUNC_PAUSE;
    }
    if (upload_is_taken(transfer->upload) && transfer->phase == DISPATCHED)
        begin_timeout(transfer); /* from now on, for the response's first byte */
    note_activity(transfer);
    return given;
}

/* ---- starting -------------------------------------------------------------------------------- */

static enum err check_header(const char *header)
{
    if (strlen(header) > UPSTREAM_HEADER_BYTES_MAX)
        return ERR_LIMIT;
    return strchr(header, ':') && !strpbrk(header, "\r\n") ? ERR_OK : ERR_INVALID;
}

enum err transfer_check(const struct upstream_request *request)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        if (i == UPSTREAM_HEADERS_MAX)
            return ERR_LIMIT;
        TRY(check_header(request->headers[i]));
    }
    return ERR_OK;
}

/* A header that libcurl would not send as it is written: "Name:" means "leave it out", "Name;" is
 * an empty one (CURLOPT_HTTPHEADER). */
static enum err add_header(struct transfer *transfer, const char *header)
{
    char *copy = NULL;
    const char *colon = strchr(header, ':');
    if (slice_trim(slice_text(colon + 1)).size == 0) {
        copy = strndup(header, (size_t)(colon - header) + 1);
        if (!copy)
            return fault(ERR_NOMEM, "header");
        copy[colon - header] = ';';
    }
    struct curl_slist *list = curl_slist_append(transfer->headers, copy ? copy : header);
    free(copy);
    if (!list)
        return fault(ERR_NOMEM, "header");
    transfer->headers = list;
    return ERR_OK;
}

static bool has_header(const struct upstream_request *request, struct slice name)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        struct slice header = slice_text(request->headers[i]);
        if (slice_equal_nocase(slice_sub(header, 0, name.size), name))
            return true;
    }
    return false;
}

static enum err add_plain(struct transfer *transfer, const char *line)
{
    struct curl_slist *list = curl_slist_append(transfer->headers, line);
    if (!list)
        return fault(ERR_NOMEM, "header");
    transfer->headers = list;
    return ERR_OK;
}

static enum err set_headers(struct transfer *transfer, const struct upstream_request *request)
{
    TRY(transfer_check(request));
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        TRY(add_header(transfer, request->headers[i]));
    TRY(add_plain(transfer, "Expect:"));
    if (!has_header(request, SLICE("Content-Type:")))
        TRY(add_plain(transfer, "Content-Type:")); /* or libcurl calls it a form */
    if (!has_header(request, SLICE("Accept-Encoding:")))
        TRY(add_plain(transfer, "Accept-Encoding: identity"));
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

static void set_callbacks(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_data);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_upload);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
}

static void set_transport(struct transfer *transfer, const struct upstream_request *request)
{
    CURL *easy = transfer->easy;
    bool is_tls = slice_equal_nocase(slice_sub(slice_text(request->url), 0, 6), SLICE("https:"));
    int64_t connect_ms = request->connect_timeout_ms;
    if (connect_ms <= 0 || connect_ms > CONNECT_TIMEOUT_MS_MAX)
        connect_ms = CONNECT_TIMEOUT_MS_MAX;
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, transfer->transfers->proxy);
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

static enum err transfer_open(struct transfer *transfer, const struct upstream_request *request)
{
    struct transfers *transfers = transfer->transfers;
    transfer->easy =
        transfers->spare_count > 0 ? transfers->spare[--transfers->spare_count] : curl_easy_init();
    if (!transfer->easy)
        return fault(ERR_NOMEM, "libcurl handle");
    TRY(set_headers(transfer, request));
    if (request->resolve && !(transfer->resolve = curl_slist_append(NULL, request->resolve)))
        return fault(ERR_NOMEM, "libcurl handle");
    set_callbacks(transfer);
    set_transport(transfer, request);
    set_method(transfer->easy, request);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_RESOLVE, transfer->resolve);
    if (curl_easy_setopt(transfer->easy, CURLOPT_URL, request->url) != CURLE_OK)
        return fault(ERR_NOMEM, "libcurl handle");
    return ERR_OK;
}

static void mark(struct transfer *transfer)
{
    struct transfers *transfers = transfer->transfers;
    if (list_is_empty(&transfer->mark))
        list_append(&transfers->marked, &transfer->mark);
    if (transfers->is_queued)
        return;
    transfers->is_queued = true;
    loop_defer(transfers->loop, &transfers->task);
}

enum err transfer_start(struct transfers *transfers, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct transfer **out)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return fault(ERR_NOMEM, "transfer");
    transfer->transfers = transfers;
    transfer->owner = owner;
    transfer->context = context;
    transfer->upload = request->upload;
    transfer->room = request->room;
    transfer->room_context = request->room_context;
    transfer->timer.fire = transfer_timer_fired;
    transfer->first_byte_ns = request->first_byte_timeout_ms * ns_per_ms;
    transfer->idle_ns = request->idle_timeout_ms * ns_per_ms;
    buf_init(&transfer->head, UPSTREAM_HEAD_BYTES_MAX);
    list_init(&transfer->mark);
    list_init(&transfer->node);
    list_append(&transfers->open, &transfer->node);
    enum err err = transfer_open(transfer, request);
    if (err != ERR_OK) {
        transfer_free(transfer);
        return err;
    }
    mark(transfer);
    *out = transfer;
    return ERR_OK;
}

void transfer_resume(struct transfer *transfer)
{
    transfer->is_resumed = true;
    mark(transfer);
}

void transfer_feed(struct transfer *transfer)
{
    transfer->is_fed = true;
    mark(transfer);
}

void transfer_cancel(struct transfer *transfer)
{
    transfer->is_canceled = true;
    mark(transfer);
}

void transfer_hold(struct transfer *transfer, bool is_held)
{
    if (transfer->is_held && !is_held)
        note_activity(transfer);
    transfer->is_held = is_held;
}

/* ---- the task -------------------------------------------------------------------------------- */

static void add(struct transfer *transfer)
{
    set_phase(transfer, CONNECTING);
    CURLMcode code = curl_multi_add_handle(transfer->transfers->multi, transfer->easy);
    if (code == CURLM_OK)
        transfer->is_added = true;
    else
        finish(transfer, UPSTREAM_REFUSED, curl_multi_strerror(code));
}

/* Either way goes on where it may. */
static void unpause(struct transfer *transfer)
{
    bool is_resumed = transfer->is_resumed && transfer->is_paused;
    bool is_fed = transfer->is_fed && transfer->is_starved;
    transfer->is_resumed = transfer->is_fed = false;
    if (!is_resumed && !is_fed)
        return;
    transfer->is_paused &= !is_resumed;
    transfer->is_starved &= !is_fed;
    note_activity(transfer);
    (void)curl_easy_pause(transfer->easy, /* may deliver, and so pause again */
        (transfer->is_paused ? CURLPAUSE_RECV : 0) | (transfer->is_starved ? CURLPAUSE_SEND : 0));
}

static void transfers_run(struct task *task)
{
    struct transfers *transfers = CONTAINER_OF(task, struct transfers, task);
    transfers->is_queued = false;
    if (transfers->is_closing) {
        free(transfers);
        return;
    }
    struct list marked;
    list_init(&marked);
    list_move(&marked, &transfers->marked); /* what is marked from now on is for the next run */
    struct list *node;
    while ((node = list_pop(&marked))) {
        struct transfer *transfer = CONTAINER_OF(node, struct transfer, mark);
        if (transfer->is_canceled)
            finish(transfer, UPSTREAM_CANCELED, "canceled");
        else if (transfer->phase == QUEUED)
            add(transfer);
        else if (transfer->is_resumed || transfer->is_fed)
            unpause(transfer);
    }
    drive(transfers, CURL_SOCKET_TIMEOUT, 0); /* begin what was added in this turn */
}

/* ---- freeing --------------------------------------------------------------------------------- */

struct transfers *transfers_free(struct transfers *transfers)
{
    if (!transfers)
        return NULL;
    transfers->is_closing = true;
    struct list *node;
    while ((node = list_pop(&transfers->open)))
        transfer_free(CONTAINER_OF(node, struct transfer, node));
    for (size_t i = 0; i < transfers->spare_count; i++)
        curl_easy_cleanup(transfers->spare[i]);
    if (transfers->multi)
        (void)curl_multi_cleanup(transfers->multi);
    timer_cancel(transfers->loop, &transfers->timer);
    watches_free(transfers->watches);
    free(transfers->proxy);
    if (!transfers->is_queued) /* else the loop still holds the task, which frees it */
        free(transfers);
    curl_global_cleanup();
    return NULL;
}
