/* storage_text — see storage_text.h. A pool of events is made once; a stream takes every k-th of it,
 * from a place of its own on, so that no two streams say the same for long. */
#include "tools/bench/storage_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_EVENTS = 8192,
    WORDS = 4096,
    WORD_LETTERS_MIN = 2,
    WORD_LETTERS_SPREAD = 7,
    WORD_BYTES_MAX = 16,
};

struct text_pool {
    size_t size;
    uint64_t random;
    uint8_t events[]; /* POOL_EVENTS of `size` bytes */
};

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(uint64_t *random, uint64_t below)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* Word `rank` always reads the same; low ranks are drawn more often (Zipf's law, about). */
static int make_word(struct text_pool *pool, char word[WORD_BYTES_MAX])
{
    static const char letters[] = "etaoinshrdlucmfwypvbgk";
    uint64_t rank = WORDS >> draw(&pool->random, 12);
    uint64_t of_word = rank ? draw(&pool->random, rank) : 0;
    int count = WORD_LETTERS_MIN + (int)draw(&of_word, WORD_LETTERS_SPREAD), size = 0;
    word[size++] = ' ';
    while (size <= count)
        word[size++] = letters[draw(&of_word, sizeof letters - 1)];
    word[size] = '\0';
    return size;
}

static void make_event(struct text_pool *pool, uint8_t *out)
{
    char word[WORD_BYTES_MAX], event[512];
    (void)make_word(pool, word);
    int size = snprintf(event, sizeof event,
        "data: "
        "{\"id\":\"chatcmpl-Cf7Gq2LrV8xWn0\",\"object\":\"chat.completion.chunk\",\"created\":"
        "1763869331,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_560af6e559\",\"choices\":[{\"index\":0,\"delta\":"
        "{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
        word);
    for (size_t at = 0; at < pool->size; at += (size_t)size)
        memcpy(out + at, event, pool->size - at < (size_t)size ? pool->size - at : (size_t)size);
    if (pool->size < (size_t)size) /* a short one is the part that differs, and its end */
        memcpy(out, strstr(event, "\"delta\""), pool->size < 60 ? pool->size : 60);
}

enum err text_pool_new(size_t size, struct text_pool **out)
{
    struct text_pool *pool = calloc(1, sizeof *pool + POOL_EVENTS * size);
    if (!pool)
        return fault(ERR_NOMEM, "events");
    pool->size = size;
    pool->random = 7;
    for (size_t i = 0; i < POOL_EVENTS; i++)
        make_event(pool, pool->events + i * size);
    *out = pool;
    return ERR_OK;
}

struct text_pool *text_pool_free(struct text_pool *pool)
{
    free(pool);
    return NULL;
}

struct slice text_event(const struct text_pool *pool, uint64_t stream, uint64_t seq)
{
    uint64_t stride = 2 * (stream % 1021) + 1; /* odd: it comes to each of them */
    return slice_of(
        pool->events + (stream * 977 + seq * stride) % POOL_EVENTS * pool->size, pool->size);
}
