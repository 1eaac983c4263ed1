/* The gateway is an intermediary that speaks for itself on both sides. A field crosses unless it
 * belongs to one connection, to one of the two parties' relation with us, or to us:
 *
 *   caller ──request──▶ tokenlog ──request──▶ provider        TO_PROVIDER: stopped on this way
 *   caller ◀─response── tokenlog ◀─response── provider        TO_CALLER:   stopped on this way  */
#include "protocol/http/header.h"

enum { TO_PROVIDER = 1, TO_CALLER = 2, BOTH = TO_PROVIDER | TO_CALLER };

/* A name that ends in '*' stands for all names with that beginning. */
static const struct stopped {
    struct slice name;
    int ways;
} stopped[] = {
    /* Hop-by-hop: they speak of one connection (RFC 9110 §7.6.1). What Connection names is stopped
     * too, by name_is_in_connection(). */
    {SLICE("Connection"), BOTH},
    {SLICE("Keep-Alive"), BOTH},
    {SLICE("Proxy-*"), BOTH},
    {SLICE("TE"), BOTH},
    {SLICE("Trailer"), BOTH},
    {SLICE("Transfer-Encoding"), BOTH},
    {SLICE("Upgrade"), BOTH},
    /* Framing and coding: each side's message has its own. */
    {SLICE("Host"), TO_PROVIDER},
    {SLICE("Content-Length"), BOTH},
    {SLICE("Expect"), TO_PROVIDER},          /* answered by us */
    {SLICE("Accept-Encoding"), TO_PROVIDER}, /* we ask for identity: events are split and stored */
    /* The caller's credentials are for us; the provider gets its own key. */
    {SLICE("Authorization"), TO_PROVIDER},
    {SLICE("X-Api-Key"), TO_PROVIDER},
    {SLICE("Api-Key"), TO_PROVIDER},
    {SLICE("X-Goog-Api-Key"), TO_PROVIDER},
    {SLICE("Xi-Api-Key"), TO_PROVIDER},
    {SLICE("Cookie"), TO_PROVIDER},
    /* Who the caller is and where it comes from is not the provider's to know. */
    {SLICE("Forwarded"), TO_PROVIDER},
    {SLICE("X-Forwarded-*"), TO_PROVIDER},
    {SLICE("X-Real-IP"), TO_PROVIDER},
    {SLICE("Via"), TO_PROVIDER},
    {SLICE("Origin"), TO_PROVIDER},
    {SLICE("Referer"), TO_PROVIDER},
    {SLICE("Sec-*"), TO_PROVIDER},
    /* Spoken to us: naming and resuming streams is what tokenlog does. */
    {SLICE("Idempotency-Key"), TO_PROVIDER},
    {SLICE("Last-Event-ID"), TO_PROVIDER},
    {SLICE("Tokenlog-*"), BOTH},
    /* Likewise, in Cloudflare's words; a gateway of theirs that we ask is asked in ours. */
    {SLICE("Cf-Aig-*"), BOTH},
    {SLICE("Cf-Consn-*"), TO_PROVIDER},
    /* …and in those of Durable Streams' proxy protocol. */
    {SLICE("Upstream-*"), TO_PROVIDER},
    /* Spoken by the provider's site to its own clients; ours is another site. */
    {SLICE("Set-Cookie"), TO_CALLER},
    {SLICE("Alt-Svc"), TO_CALLER},
    {SLICE("Strict-Transport-Security"), TO_CALLER},
    {SLICE("Access-Control-*"), TO_CALLER}, /* CORS is this server's decision */
    /* Written by us. */
    {SLICE("Server"), TO_CALLER},
    {SLICE("Date"), TO_CALLER},
};

struct slice headers_get(const struct headers *headers, const char *name)
{
    struct slice wanted = slice_text(name);
    for (size_t i = 0; i < headers->count; i++)
        if (slice_equal_nocase(headers->items[i].name, wanted))
            return headers->items[i].value;
    return SLICE_NONE;
}

size_t headers_count(const struct headers *headers, const char *name)
{
    struct slice wanted = slice_text(name);
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++)
        count += slice_equal_nocase(headers->items[i].name, wanted);
    return count;
}

static bool list_has_token(struct slice list, struct slice token)
{
    while (list.size) {
        ptrdiff_t comma = slice_find_byte(list, ',');
        size_t size = comma < 0 ? list.size : (size_t)comma;
        struct slice element = slice_trim(slice_sub(list, 0, size));
        if (element.size && slice_equal_nocase(element, token)) /* "a,,b" has no empty token */
            return true;
        list = slice_sub(list, size + 1, list.size);
    }
    return false;
}

static bool has_token(const struct headers *headers, struct slice name, struct slice token)
{
    for (size_t i = 0; i < headers->count; i++)
        if (slice_equal_nocase(headers->items[i].name, name) &&
            list_has_token(headers->items[i].value, token))
            return true;
    return false;
}

bool headers_has_token(const struct headers *headers, const char *name, const char *token)
{
    return has_token(headers, slice_text(name), slice_text(token));
}

static bool name_matches(struct slice name, struct slice pattern)
{
    size_t size = pattern.size - 1;
    if (pattern.data[size] != '*')
        return slice_equal_nocase(name, pattern);
    return name.size >= size &&
           slice_equal_nocase(slice_sub(name, 0, size), slice_sub(pattern, 0, size));
}

static bool is_stopped(struct slice name, int way)
{
    for (size_t i = 0; i < sizeof stopped / sizeof *stopped; i++)
        if ((stopped[i].ways & way) && name_matches(name, stopped[i].name))
            return true;
    return false;
}

static bool name_is_in_connection(struct slice name, const struct headers *all)
{
    return has_token(all, SLICE("Connection"), name);
}

/* A Content-Encoding of identity says nothing and is not registered for responses (RFC 9110
 * §8.4.1); any other describes bytes that are passed on as they came. */
static bool is_identity_coding(struct slice name, const struct headers *all)
{
    return slice_equal_nocase(name, SLICE("Content-Encoding")) &&
           slice_equal_nocase(headers_get(all, "Content-Encoding"), SLICE("identity"));
}

bool header_crosses_to_provider(struct slice name, const struct headers *all)
{
    return !is_stopped(name, TO_PROVIDER) && !name_is_in_connection(name, all);
}

bool header_crosses_to_caller(struct slice name, const struct headers *all)
{
    return !is_stopped(name, TO_CALLER) && !name_is_in_connection(name, all) &&
           !is_identity_coding(name, all);
}

/* A bit for each of the 64 bytes from `64 * index` on. */
static const uint64_t tokens[] = {
    0x03ff6cfa00000000, /* !  #$%&'  *+  -.  0-9 */
    0x57ffffffc7fffffe, /* A-Z  ^_`a-z  |  ~ */
    0,
    0,
};

bool byte_is_token(uint8_t byte)
{
    return tokens[byte / 64] >> (byte % 64) & 1;
}

/* No early end: the compiler so takes many bytes at a time. */
bool header_is_clean(struct header header)
{
    bool is_clean = header.name.size > 0;
    for (size_t i = 0; i < header.name.size; i++)
        is_clean &= byte_is_token(header.name.data[i]);
    for (size_t i = 0; i < header.value.size; i++) {
        uint8_t byte = header.value.data[i];
        is_clean &= (byte >= 0x20 || byte == '\t') & (byte != 0x7f);
    }
    return is_clean;
}
