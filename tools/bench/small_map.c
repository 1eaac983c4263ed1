/* small_map — preloaded below valgrind only: refuses to map more than 4 GiB at once, with the error
 * that Linux gives where address space is short, so that the store reserves less (storage/bounds.h,
 * STORE_MAP_BYTES_MIN). valgrind itself answers EINVAL, which nobody expects.
 *
 *   source  mmap(2), ld.so(8)                                                                    */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAP_BYTES_MAX (UINT64_C(1) << 32)

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (size > MAP_BYTES_MAX) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}
