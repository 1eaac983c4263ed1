/* nearest — the distance of Levenshtein, one row at a time, given up once it is past the bound. */
#include "server/route/nearest.h"

enum { COMPARED_BYTES_MAX = 128 /* of a name; longer ones are no slips of each other */ };

void nearest_init(struct nearest *nearest, struct slice wanted)
{
    *nearest = (struct nearest){.wanted = slice_sub(wanted, 0, COMPARED_BYTES_MAX)};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned less = a < b ? a : b;
    return less < c ? less : c;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* NEAREST_DISTANCE_MAX + 1 stands for all that is further. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned row[COMPARED_BYTES_MAX + 1];
    size_t difference = a.size > b.size ? a.size - b.size : b.size - a.size;
    if (difference > NEAREST_DISTANCE_MAX || b.size > COMPARED_BYTES_MAX)
        return NEAREST_DISTANCE_MAX + 1;
    for (size_t j = 0; j <= b.size; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; i < a.size; i++) {
        unsigned diagonal = row[0], best = row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < b.size; j++) {
            unsigned change = diagonal + (lower(a.data[i]) != lower(b.data[j]));
            diagonal = row[j + 1];
            row[j + 1] = least(change, row[j] + 1, row[j + 1] + 1);
            best = row[j + 1] < best ? row[j + 1] : best;
        }
        if (best > NEAREST_DISTANCE_MAX)
            return best;
    }
    return row[b.size];
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    unsigned far = distance(nearest->wanted, slice_text(name));
    size_t at = nearest->count;
    if (far > NEAREST_DISTANCE_MAX || far >= nearest->wanted.size)
        return;
    while (at > 0 && nearest->distances[at - 1] > far)
        at--;
    if (at == NEAREST_COUNT)
        return;
    if (nearest->count < NEAREST_COUNT)
        nearest->count++;
    for (size_t i = nearest->count - 1; i > at; i--) {
        nearest->names[i] = nearest->names[i - 1];
        nearest->distances[i] = nearest->distances[i - 1];
    }
    nearest->names[at] = name;
    nearest->distances[at] = far;
}

enum err nearest_print(const struct nearest *nearest, struct buf *out)
{
    for (size_t i = 0; i < nearest->count; i++) {
        const char *before = i == 0 ? "did you mean " : i + 1 == nearest->count ? " or " : ", ";
        TRY(buf_printf(out, "%s%s", before, nearest->names[i]));
    }
    return nearest->count ? buf_append_byte(out, '?') : ERR_OK;
}
