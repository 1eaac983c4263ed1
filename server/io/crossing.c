/* crossing — see crossing.h.
 *
 * The word's bit POSTED is set by the tell that posts the task, and cleared, with all the others, by
 * the open of that run: posts and opens match one to one. So when the sender's last word has been
 * opened the task is in nobody's queue.
 *
 *   word     tell: or (bits | POSTED) ─▶ was POSTED clear? post      open: exchange 0
 *   newest   a stack: put pushes, take takes all and turns it round
 *   emptied  a stack too: the core pushes, the far side takes all when it has none left           */
#include "server/io/crossing.h"

#include <stdlib.h>

struct crossing {
    struct loop *core;
    struct loop *far;
    struct parcel *kept; /* the far thread's */
    struct parcel *_Atomic emptied;
};

enum err crossing_new(struct loop *core, struct loop *far, struct crossing **out)
{
    struct crossing *crossing = calloc(1, sizeof *crossing);
    if (!crossing)
        return fault(ERR_NOMEM, "crossing");
    crossing->core = core;
    crossing->far = far;
    *out = crossing;
    return ERR_OK;
}

static void free_parcels(struct parcel *parcel)
{
    while (parcel) {
        struct parcel *next = parcel->next;
        free(parcel);
        parcel = next;
    }
}

struct crossing *crossing_free(struct crossing *crossing)
{
    if (!crossing)
        return NULL;
    free_parcels(crossing->kept);
    free_parcels(atomic_load_explicit(&crossing->emptied, memory_order_acquire));
    free(crossing);
    return NULL;
}

struct loop *crossing_core(const struct crossing *crossing)
{
    return crossing->core;
}

struct loop *crossing_far(const struct crossing *crossing)
{
    return crossing->far;
}

/* ---- parcels --------------------------------------------------------------------------------- */

static void push(struct parcel *_Atomic *stack, struct parcel *parcel)
{
    struct parcel *newest = atomic_load_explicit(stack, memory_order_relaxed);
    do
        parcel->next = newest;
    while (!atomic_compare_exchange_weak_explicit(
        stack, &newest, parcel, memory_order_release, memory_order_relaxed));
}

/* What came back beyond PARCELS_KEPT, after a time of many, goes. */
static void trim(struct parcel *parcel)
{
    for (size_t count = 1; parcel; parcel = parcel->next, count++)
        if (count == PARCELS_KEPT) {
            free_parcels(parcel->next);
            parcel->next = NULL;
        }
}

struct parcel *parcel_take(struct crossing *crossing)
{
    if (!crossing->kept) {
        crossing->kept = atomic_exchange_explicit(&crossing->emptied, NULL, memory_order_acquire);
        trim(crossing->kept);
    }
    struct parcel *parcel = crossing->kept;
    if (parcel)
        crossing->kept = parcel->next;
    else if (!(parcel = malloc(sizeof *parcel)))
        return NULL;
    parcel->next = NULL;
    parcel->size = 0;
    return parcel;
}

void parcel_give(struct crossing *crossing, struct parcel *parcel)
{
    push(&crossing->emptied, parcel);
}

/* ---- mailboxes ------------------------------------------------------------------------------- */

void mailbox_init(struct mailbox *mailbox, struct loop *loop, void (*run)(struct task *task))
{
    mailbox->loop = loop;
    mailbox->task.run = run;
}

void mailbox_put(struct mailbox *mailbox, struct parcel *parcel)
{
    push(&mailbox->newest, parcel);
}

void mailbox_tell(struct mailbox *mailbox, unsigned bits)
{
    unsigned before =
        atomic_fetch_or_explicit(&mailbox->word, bits | MAILBOX_POSTED, memory_order_acq_rel);
    if (!(before & MAILBOX_POSTED))
        loop_post(mailbox->loop, &mailbox->task);
}

unsigned mailbox_open(struct mailbox *mailbox)
{
    unsigned word = atomic_exchange_explicit(&mailbox->word, 0, memory_order_acq_rel);
    ASSERT(word & MAILBOX_POSTED);
    return word & ~(unsigned)MAILBOX_POSTED;
}

struct parcel *mailbox_take(struct mailbox *mailbox)
{
    struct parcel *newest = NULL, *oldest = NULL;
    if (atomic_load_explicit(&mailbox->newest, memory_order_relaxed))
        newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    while (newest) {
        struct parcel *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool mailbox_is_posted(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->word, memory_order_acquire) & MAILBOX_POSTED;
}
