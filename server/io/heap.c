/* heap — see heap.h. glibc can do this only from the program's start (glibc.malloc.hugetlb), and then
 * takes 4 MiB more at rest. */
#include "server/io/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    KEPT_BYTES_MAX = 2 * HEAP_BYTES - 1, /* more at the heap's end goes back to the kernel */
    MAPPED_BYTES_MIN = 1024 * 1024, /* what does not fit there is mapped by itself from here on */
    MAPPED_COUNT_MAX = 65536,       /* malloc's own */
};

/* One block at the heap's end, given back at once: malloc keeps it, and the advice stays with its
 * addresses. A malloc that takes no options is not glibc's, but a sanitizer's. */
void heap_use_large_pages(void)
{
    if (mallopt(M_TRIM_THRESHOLD, KEPT_BYTES_MAX) != 1 || mallopt(M_MMAP_MAX, 0) != 1)
        return;
    uint8_t *block = malloc(HEAP_BYTES);
    if (block) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), before = page - (uintptr_t)block % page;
        (void)madvise(block + before, (HEAP_BYTES - before) / page * page, MADV_HUGEPAGE);
        free(block);
    }
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    (void)mallopt(M_MMAP_MAX, MAPPED_COUNT_MAX);
}
