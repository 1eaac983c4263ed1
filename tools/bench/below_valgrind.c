/* below_valgrind — preloaded into a server below valgrind, and nowhere else: what valgrind lacks.
 *
 *   mmap   more than 4 GiB at once are refused with the error that Linux gives where address space is
 *          short, so that the store reserves less (storage/bounds.h, STORE_MAP_BYTES_MIN). valgrind
 *          itself answers EINVAL, which nobody expects.
 *   enter  valgrind runs one thread at a time and lets the next one run when a system call may block;
 *          it does not know that of io_uring_enter(2). So the loop submits, waits in ppoll(2) on its
 *          ring, and collects: else the archiver runs when the loop happens to give way.
 *
 *   source  mmap(2), ld.so(8), io_uring_enter(2): the ring's descriptor can be polled               */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
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

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **first,
    unsigned count, struct __kernel_timespec *timeout, sigset_t *signals)
{
    (void)count; /* what comes first ends the wait: the worst case is what is measured */
    int result = io_uring_submit(ring);
    if (result < 0)
        return result;
    struct pollfd readable = {.fd = ring->ring_fd, .events = POLLIN};
    struct timespec left = {timeout->tv_sec, timeout->tv_nsec};
    if (io_uring_cq_ready(ring) == 0)
        (void)ppoll(&readable, 1, &left, signals);
    result = io_uring_get_events(ring);
    *first = NULL; /* the loop looks at the queue itself */
    return result;
}
