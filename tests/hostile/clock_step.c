/* Preloaded into a program, lets a test step its wall clock: CLOCK_REALTIME is what the kernel says plus the nanoseconds that the
 * file $CLOCK_STEP_FILE holds, eight bytes, mapped. Other clocks are the kernel's: nobody can step those. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t *step;

__attribute__((constructor)) static void clock_step_open(void)
{
    const char *path = getenv("CLOCK_STEP_FILE");
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    const void *mapped = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, fd, 0);
    step = mapped == MAP_FAILED ? NULL : mapped;
    close(fd);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
    static const int64_t second = 1000000000;
    const int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (rc == 0 && clock == CLOCK_REALTIME && step) {
        const int64_t ns = now->tv_nsec + __atomic_load_n(step, __ATOMIC_RELAXED) % second;
        now->tv_sec += __atomic_load_n(step, __ATOMIC_RELAXED) / second + (ns >= second) - (ns < 0);
        now->tv_nsec = (ns + second) % second;
    }
    return rc;
}
