/* retry_after — see the header. */
#include "protocol/http/retry_after.h"

#include <string.h>
#include <time.h>

enum { DATE_BYTES = sizeof "Mon, 23 Nov 2026 12:00:30 GMT", NS_PER_MS = 1000000 };

static int64_t bounded(uint64_t count, uint64_t unit_ms)
{
    return count > RETRY_AFTER_MS_MAX / unit_ms ? RETRY_AFTER_MS_MAX : (int64_t)(count * unit_ms);
}

static int64_t date_ms(struct slice text, int64_t wall_ns)
{
    char date[DATE_BYTES];
    struct tm time = {0};
    if (text.size != sizeof date - 1)
        return -1;
    memcpy(date, text.data, text.size);
    date[text.size] = '\0';
    const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &time);
    if (!end || *end)
        return -1;
    int64_t left_ms = (int64_t)timegm(&time) * 1000 - wall_ns / NS_PER_MS;
    return left_ms <= 0 ? 0 : bounded((uint64_t)left_ms, 1);
}

int64_t retry_after_ms(const struct headers *headers, int64_t wall_ns)
{
    uint64_t count;
    if (slice_u64(headers_get(headers, "retry-after-ms"), &count) == ERR_OK)
        return bounded(count, 1);
    struct slice value = headers_get(headers, "Retry-After");
    return slice_u64(value, &count) == ERR_OK ? bounded(count, 1000) : date_ms(value, wall_ns);
}
