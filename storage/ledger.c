/* ledger — see the header for the picture. Invariants:
 *
 *   entries are in LSN order, all of them above durable_lsn once ledger_pop has said false;
 *   stretches oldest…newest are in LSN order, and none before `oldest` is held;
 *   what ledger_absorbed answers never goes back.                                             */
#include "storage/ledger.h"

#include <stdlib.h>

enum {
    LEDGER_ENTRIES_MIN = 1024, /* records of a busy commit; doubles, bounded by the batch buffers */
    LEDGER_AHEAD = 4,       /* entries: their owners are fetched while those before them are told */
    LEDGER_AHEAD_LINES = 3, /* of an owner: what each event touches of a tail */
};

#define STRETCH(ledger, number) (&(ledger)->stretches[(number) % LEDGER_STRETCHES_MAX])

static void ledger_turn(struct ledger *ledger);

void ledger_init(struct ledger *ledger, uint64_t absorbed_lsn, uint64_t stretch_bytes)
{
    *ledger = (struct ledger){.stretch_bytes = stretch_bytes, .oldest = 1, .newest = 1};
    ledger->appended_lsn = ledger->durable_lsn = absorbed_lsn;
    STRETCH(ledger, 1)->first_lsn = absorbed_lsn + 1;
}

void ledger_start(struct ledger *ledger, struct journal *journal, uint64_t last_lsn)
{
    ASSERT(!ledger->journal && journal);
    ledger->journal = journal;
    if (last_lsn > ledger->appended_lsn)
        ledger->appended_lsn = last_lsn;
    ledger->durable_lsn = ledger->appended_lsn;
    ledger_turn(ledger);
}

void ledger_deinit(struct ledger *ledger)
{
    free(ledger->entries);
    ledger->entries = NULL;
}

/* The ring doubles; its entries are laid out anew from 0. */
static enum err ledger_room(struct ledger *ledger, size_t entries)
{
    size_t capacity = ledger->capacity ? ledger->capacity : LEDGER_ENTRIES_MIN;
    while (ledger->count + entries > capacity)
        capacity *= 2;
    if (capacity == ledger->capacity)
        return ERR_OK;
    struct ledger_entry *moved = malloc(capacity * sizeof *moved);
    if (!moved)
        return fault(ERR_NOMEM, "ledger of %zu records", capacity);
    for (size_t i = 0; i < ledger->count; i++)
        moved[i] = ledger->entries[(ledger->first + i) & (ledger->capacity - 1)];
    free(ledger->entries);
    ledger->entries = moved;
    ledger->capacity = capacity;
    ledger->first = 0;
    return ERR_OK;
}

enum err ledger_append(struct ledger *ledger, const struct record *record, enum ledger_kind kind,
    void *owner, uint64_t *lsn)
{
    ASSERT(ledger->journal);
    TRY(ledger_room(ledger, 1));
    if (ledger->newest_bytes >= ledger->stretch_bytes)
        ledger_turn(ledger);
    TRY(journal_append(ledger->journal, record, lsn));
    ASSERT(*lsn > ledger->appended_lsn);
    ledger->appended_lsn = *lsn;
    ledger->newest_bytes += record->payload.size + RECORD_OVERHEAD_BYTES_MAX;
    size_t at = (ledger->first + ledger->count++) & (ledger->capacity - 1);
    ledger->entries[at] = (struct ledger_entry){*lsn, owner, kind};
    return ERR_OK;
}

enum err ledger_reserve(struct ledger *ledger, size_t bytes, size_t records)
{
    TRY(ledger_room(ledger, records));
    return journal_reserve(ledger->journal, bytes, records);
}

void ledger_committed(struct ledger *ledger, uint64_t durable_lsn)
{
    ASSERT(durable_lsn >= ledger->durable_lsn);
    ledger->durable_lsn = durable_lsn;
    ledger->newest_bytes += DISK_ALIGN; /* what a commit is padded to */
}

/* Whoever the owner is, its memory is far away. */
static void fetch_ahead(const struct ledger *ledger)
{
    if (ledger->count <= LEDGER_AHEAD)
        return;
    size_t ahead = (ledger->first + LEDGER_AHEAD) & (ledger->capacity - 1);
    const char *owner = ledger->entries[ahead].owner;
    for (int line = 0; line < LEDGER_AHEAD_LINES; line++)
        __builtin_prefetch(owner + (ptrdiff_t)line * CACHE_LINE_BYTES);
}

bool ledger_pop(struct ledger *ledger, struct ledger_entry *out)
{
    if (ledger->count == 0 || ledger->entries[ledger->first].lsn > ledger->durable_lsn)
        return false;
    fetch_ahead(ledger);
    *out = ledger->entries[ledger->first];
    ledger->first = (ledger->first + 1) & (ledger->capacity - 1);
    ledger->count--;
    return true;
}

/* Nearly always the newest stretch, or the one before it. */
uint64_t ledger_hold(struct ledger *ledger, uint64_t lsn)
{
    uint64_t number = ledger->newest;
    while (number > ledger->oldest && STRETCH(ledger, number)->first_lsn > lsn)
        number--;
    ASSERT(STRETCH(ledger, number)->first_lsn <= lsn);
    STRETCH(ledger, number)->holds++;
    return number;
}

void ledger_release(struct ledger *ledger, uint64_t *hold)
{
    if (*hold == 0)
        return;
    ASSERT(*hold >= ledger->oldest && *hold <= ledger->newest);
    ASSERT(STRETCH(ledger, *hold)->holds > 0);
    STRETCH(ledger, *hold)->holds--;
    *hold = 0;
}

/* The newest stretch ends where the journal does now; without a stretch left, it goes on. */
static void ledger_turn(struct ledger *ledger)
{
    bool is_empty = ledger->appended_lsn < STRETCH(ledger, ledger->newest)->first_lsn;
    if (is_empty || ledger->newest - ledger->oldest + 1 == LEDGER_STRETCHES_MAX)
        return;
    ledger->newest++;
    ledger->newest_bytes = 0;
    STRETCH(ledger, ledger->newest)->first_lsn = ledger->appended_lsn + 1;
    STRETCH(ledger, ledger->newest)->holds = 0;
}

/* A newest stretch that nobody holds begins anew, behind what it had. What was let go of before it
 * was durable (the rest of a deleted stream's body) does not count yet. */
uint64_t ledger_absorbed(struct ledger *ledger)
{
    while (ledger->oldest < ledger->newest && STRETCH(ledger, ledger->oldest)->holds == 0)
        ledger->oldest++;
    if (STRETCH(ledger, ledger->oldest)->holds == 0)
        STRETCH(ledger, ledger->oldest)->first_lsn = ledger->appended_lsn + 1;
    uint64_t absorbed = STRETCH(ledger, ledger->oldest)->first_lsn - 1;
    return absorbed < ledger->durable_lsn ? absorbed : ledger->durable_lsn;
}
