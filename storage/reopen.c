#include "storage/reopen.h"

void departures_note(struct departures *departures, uint64_t number)
{
    departures->numbers[departures->count++ % DEPARTURES_KEPT] = number;
}

bool departures_conceal(const struct departures *departures, uint64_t count, uint64_t number)
{
    ASSERT(count <= departures->count);
    if (departures->count - count > DEPARTURES_KEPT)
        return true;
    for (; count < departures->count; count++)
        if (departures->numbers[count % DEPARTURES_KEPT] == number)
            return true;
    return false;
}

enum err reopen_tail(struct tails *tails, const struct row *row, struct tail **out)
{
    struct tail *tail;
    struct row_version *version;
    TRY(row_version_new(row, &version));
    enum err err = tails_add(tails, row->number, &tail);
    if (err != ERR_OK) {
        row_version_free(version);
        return err;
    }
    tail->id = row->id;
    tail->project = row->project;
    tail->events = tail->journalled_events = tail->durable_events = row->events;
    tail->shipped_events = row->events;
    tail->bytes = tail->shipped_bytes = row->bytes;
    tail->last_event_ns = row->last_event_ns;
    tail->block_items = 2; /* what was shipped before is not known: worth a merge */
    tail->is_unnamed = true;
    version->is_journalled = version->is_shipped = true;
    tail_add_version(tail, version);
    tail_set_durable(tail, version);
    *out = tail;
    return ERR_OK;
}
