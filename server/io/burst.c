/* burst — see burst.h. */
#include "server/io/burst.h"

#include <string.h>
#include <sys/uio.h>

struct burst *burst_new(struct loop *loop)
{
    struct burst *burst = loop_block_take(loop);
    if (burst) /* the arrays are filled as they are used */
        memset(burst, 0, offsetof(struct burst, vectors));
    return burst;
}

struct burst *burst_free(struct loop *loop, struct burst *burst)
{
    if (!burst)
        return NULL;
    for (size_t i = 0; i < burst->count; i++)
        if (burst->segments[i].release)
            burst->segments[i].release(burst->segments[i].owner);
    loop_block_give(loop, burst);
    return NULL;
}

static void add_segment(
    struct burst *burst, struct slice bytes, void (*release)(void *owner), void *owner)
{
    burst->vectors[burst->count] = (struct iovec){(void *)(uintptr_t)bytes.data, bytes.size};
    burst->segments[burst->count] = (struct segment){release, owner};
    burst->count++;
    burst->size += bytes.size;
}

enum err burst_push(
    struct burst *burst, struct slice bytes, void (*release)(void *owner), void *owner)
{
    size_t segments;
    if (bytes.size > burst_room(burst, &segments) || segments == 0)
        return ERR_LIMIT;
    if (bytes.size > 0)
        add_segment(burst, bytes, release, owner);
    else if (release)
        release(owner);
    return ERR_OK;
}

/* Whether the scratch that is free begins where the last segment ends. */
static bool extends_scratch(const struct burst *burst)
{
    if (burst->count == 0)
        return false;
    const struct iovec *last = &burst->vectors[burst->count - 1];
    return (uint8_t *)last->iov_base + last->iov_len == burst->scratch + burst->scratch_size &&
           !burst->segments[burst->count - 1].release;
}

enum err burst_push_copy(struct burst *burst, struct slice bytes)
{
    size_t segments;
    bool extends = extends_scratch(burst);
    if (bytes.size > burst_room(burst, &segments) || (segments == 0 && !extends) ||
        bytes.size > sizeof burst->scratch - burst->scratch_size)
        return ERR_LIMIT;
    if (bytes.size == 0)
        return ERR_OK;
    uint8_t *copy = burst->scratch + burst->scratch_size;
    memcpy(copy, bytes.data, bytes.size);
    burst->scratch_size += bytes.size;
    if (extends) {
        burst->vectors[burst->count - 1].iov_len += bytes.size;
        burst->size += bytes.size;
    } else {
        add_segment(burst, slice_of(copy, bytes.size), NULL, NULL);
    }
    return ERR_OK;
}

size_t burst_room(const struct burst *burst, size_t *segments)
{
    if (segments)
        *segments = CONN_SEGMENTS_MAX - burst->count;
    return CONN_SEND_BYTES_MAX - burst->size;
}

void burst_advance(struct burst *burst, size_t size)
{
    while (burst->done < burst->count) {
        struct iovec *vector = &burst->vectors[burst->done];
        if (size < vector->iov_len) {
            vector->iov_base = (uint8_t *)vector->iov_base + size;
            vector->iov_len -= size;
            return;
        }
        size -= vector->iov_len;
        burst->done++;
    }
    ASSERT(size == 0);
}
