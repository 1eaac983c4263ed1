/* suspect — see suspect.h. A ring: | taken, remembered … | taken ▸ waiting … ◂ added |. A stream that
 * is read again and again is so looked at once, not once a reading. */
#include "storage/suspect.h"

#include "protocol/base/err.h"

void suspects_init(struct suspects *suspects)
{
    *suspects = (struct suspects){0};
    (void)pthread_mutex_init(&suspects->lock, NULL);
}

void suspects_deinit(struct suspects *suspects)
{
    (void)pthread_mutex_destroy(&suspects->lock);
}

static bool is_known(const struct suspects *suspects, const struct suspect *suspect)
{
    size_t count = suspects->added < SUSPECTS_MAX ? suspects->added : SUSPECTS_MAX;
    for (size_t i = 0; i < count; i++)
        if (suspects->ring[i].number == suspect->number &&
            suspects->ring[i].project == suspect->project)
            return true;
    return false;
}

bool suspects_add(struct suspects *suspects, const struct suspect *suspect)
{
    (void)pthread_mutex_lock(&suspects->lock);
    ASSERT(suspects->added - suspects->taken <= SUSPECTS_MAX);
    bool is_full = suspects->added - suspects->taken == SUSPECTS_MAX;
    bool is_news = !is_full && !is_known(suspects, suspect);
    if (is_news)
        suspects->ring[suspects->added++ % SUSPECTS_MAX] = *suspect;
    (void)pthread_mutex_unlock(&suspects->lock);
    return is_news;
}

bool suspects_take(struct suspects *suspects, struct suspect *out)
{
    (void)pthread_mutex_lock(&suspects->lock);
    bool has_one = suspects->taken < suspects->added;
    if (has_one)
        *out = suspects->ring[suspects->taken++ % SUSPECTS_MAX];
    (void)pthread_mutex_unlock(&suspects->lock);
    return has_one;
}
