/* heap_test — what is allocated after the advice lies in pages that the kernel was advised about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/io/heap.h"

enum { PIECES = 64, PIECE_BYTES = 64 * 1024, LINE_BYTES = 512 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_glibc = false;
#else
static const bool is_glibc = true;
#endif

/* Whether the mapping of `address` has the flag hg (proc_pid_smaps(5)). */
static bool is_advised(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    char line[LINE_BYTES];
    bool is_here = false, is_advised = false;
    while (fgets(line, sizeof line, file)) {
        uintptr_t from, end;
        if (sscanf(line, "%lx-%lx ", &from, &end) == 2)
            is_here = (uintptr_t)address >= from && (uintptr_t)address < end;
        else if (is_here && strncmp(line, "VmFlags:", 8) == 0)
            is_advised = strstr(line, " hg") != NULL;
    }
    (void)fclose(file);
    return is_advised;
}

static bool has_large_pages(void)
{
    return access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
}

/* Of PIECES that are allocated and freed; one may lie across the beginning of what was advised. */
static unsigned count_advised(void)
{
    unsigned advised = 0;
    void *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = malloc(PIECE_BYTES);
        assert_non_null(pieces[i]);
        advised += is_advised(pieces[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        free(pieces[i]);
    return advised;
}

static void what_comes_after_is_advised(void **state)
{
    (void)state;
    heap_use_large_pages();
    unsigned at_first = count_advised(), again = count_advised();
    if (!is_glibc || !has_large_pages())
        skip();
    assert_true(at_first >= PIECES - 1);
    assert_true(again >= PIECES - 1); /* what was freed was not given back to the kernel */
}

static void more_than_the_room_is_mapped_by_itself(void **state)
{
    (void)state;
    heap_use_large_pages();
    void *large = malloc(2 * (size_t)HEAP_BYTES);
    assert_non_null(large);
    assert_false(is_advised(large));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_after_is_advised),
        cmocka_unit_test(more_than_the_room_is_mapped_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
