/* place — see the header. Public suffixes of two labels (co.uk) are not known here: who has such a domain
 * can name a neighbour's, but has had the secret already. */
#include "protocol/http/place.h"

#include <string.h>

#include "protocol/http/url.h"

struct place {
    struct slice scheme, authority;
};

static struct place place_of(struct slice url)
{
    struct place place = {0};
    ptrdiff_t end = slice_find(url, SLICE("://"));
    if (end < 0)
        return place;
    place.scheme = slice_sub(url, 0, (size_t)end);
    struct slice rest = slice_sub(url, (size_t)end + 3, url.size);
    size_t size = 0;
    while (size < rest.size && !memchr("/?#", rest.data[size], 3))
        size++;
    place.authority = slice_sub(rest, 0, size);
    return place;
}

/* "replicate.com" of "api.replicate.com"; empty where there is a port, or an address in numbers. */
static struct slice domain_of(struct slice authority)
{
    size_t dots = 0;
    for (size_t i = authority.size; i > 0; i--) {
        uint8_t byte = authority.data[i - 1];
        if (byte == '.' && ++dots == 2)
            return slice_sub(authority, i, authority.size);
        if (dots == 0 && memchr(":]0123456789", byte, 12))
            return SLICE_NONE;
    }
    return dots == 1 ? authority : SLICE_NONE;
}

static bool is_http(struct slice scheme)
{
    return slice_equal_nocase(scheme, SLICE("http")) || slice_equal_nocase(scheme, SLICE("https"));
}

bool place_is_own(struct slice known, struct slice url)
{
    struct place own = place_of(known), there = place_of(url);
    if (!is_http(there.scheme) || !slice_equal_nocase(own.scheme, there.scheme) ||
        !authority_is_valid(there.authority))
        return false;
    if (slice_equal_nocase(own.authority, there.authority))
        return true;
    struct slice domain = domain_of(own.authority);
    return there.scheme.size == strlen("https") && domain.size &&
           slice_equal_nocase(domain, domain_of(there.authority));
}
