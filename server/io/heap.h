/* heap — the room for streams in large pages. What an event touches lies in a dozen places; in small
 * pages the way to each of them is a walk through the page tables, twice as long in a virtual machine.
 *
 *   thread  the core's, before others allocate
 *   source  Documentation/admin-guide/mm/transhuge.rst; madvise(2), mallopt(3)                 */
#ifndef TOKENLOG_SERVER_IO_HEAP_H
#define TOKENLOG_SERVER_IO_HEAP_H

/* heap_use_large_pages — what this thread allocates from now on; of addresses, HEAP_BYTES. No memory is
 * taken before it is used, but what the program needs at rest should have been allocated: what comes
 * next takes 2 MiB at once. A hint: without it, past it, and where the kernel's large pages are switched
 * off, everything goes on in small ones. */
enum { HEAP_BYTES = 128 * 1024 * 1024 }; /* about 5,000 open streams */
void heap_use_large_pages(void);

#endif
