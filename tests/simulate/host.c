#include "tests/simulate/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "tests/simulate/rows.h"

enum { LOOK_NS = 40 /* a look at the clock takes as long */ };

static const uint64_t first_boot_ns = 1000 * (uint64_t)CP_NS_PER_S;  /* of the boot-time clock: not 0 */
static const uint64_t epoch_ns = 1780000000 * (uint64_t)CP_NS_PER_S; /* of the real-time clock: in 2026 */

sim_host sim;

void sim_host_begin(uint64_t seed, bool tracing)
{
    memset(&sim, 0, sizeof sim);
    sim.rng.state = seed;
    sim.tracing = tracing;
    sim_host_boot();
}

void sim_host_boot(void)
{
    sim.booted_ns = sim.now_ns;
    sim.boot_id = sim_random(&sim.rng);
}

static void line_write(const char *fmt, va_list args)
{
    printf("%14.6f #%-9llu ", (double)sim.now_ns / CP_NS_PER_S, (unsigned long long)sim.steps);
    vprintf(fmt, args);
    putchar('\n');
}

void sim_trace(const char *fmt, ...)
{
    if (!sim.tracing)
        return;
    va_list args;
    va_start(args, fmt);
    line_write(fmt, args);
    va_end(args);
}

void sim_fail(const char *fmt, ...)
{
    va_list args;
    if (sim.failed)
        return;
    va_start(args, fmt);
    vsnprintf(sim.text, sizeof sim.text, fmt, args);
    va_end(args);
    sim.failed = true;
    sim_trace("VIOLATION: %s", sim.text);
}

uint64_t sim_pick(uint64_t limit)
{
    return sim_below(&sim.rng, limit);
}

bool sim_luck(unsigned permille)
{
    return sim_chance(&sim.rng, permille);
}

uint64_t sim_span(uint64_t most_ns)
{
    unsigned doublings = 1;
    while (doublings < 63 && most_ns >> doublings)
        doublings++;
    const uint64_t scale = UINT64_C(1) << sim_pick(doublings);
    const uint64_t span = scale + sim_pick(scale);
    return span < most_ns ? span : most_ns;
}

/* ---- what the product asks of the host ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *out);
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
void __wrap_cp_log(cp_log_level level, const char *msg, const char *fmt, ...) CP_PRINTF(3, 4);

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    sim.now_ns += LOOK_NS;
    uint64_t ns = sim.now_ns - sim.booted_ns + first_boot_ns;
    if (id == CLOCK_REALTIME)
        ns = epoch_ns + sim.now_ns + (uint64_t)sim.wall_ns;
    *out = (struct timespec){.tv_sec = (time_t)(ns / CP_NS_PER_S), .tv_nsec = (long)(ns % CP_NS_PER_S)};
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        const uint64_t word = sim_random(&sim.rng);
        memcpy((char *)out + at, &word, size - at < sizeof word ? size - at : sizeof word);
    }
    return (ssize_t)size;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
    char id[64];
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") != 0)
        return __real_fopen(path, mode);
    snprintf(id, sizeof id, "%08x-%04x-4000-8000-000000000000\n", (unsigned)(sim.boot_id >> 32),
             (unsigned)(sim.boot_id & 0xffff));
    FILE *file = fmemopen(NULL, sizeof id, "w+");
    if (file) {
        fputs(id, file);
        rewind(file);
    }
    return file;
}

/* The log's lines are part of the trace; two of them say in which order rows may arrive from now on. */
void __wrap_cp_log(cp_log_level level, const char *msg, const char *fmt, ...)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const bool ahead = strcmp(msg, "new rows go before the backlog") == 0;
    const bool over = strcmp(msg, "the backlog is delivered") == 0;
    if (!sim.tracing && !ahead && !over)
        return;
    const int saved = errno;
    char text[CP_LOG_LINE] = "";
    va_list args;
    va_start(args, fmt);
    if (fmt)
        vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (ahead || over)
        sim_rows_order(text, ahead);
    sim_trace("recorder: %s: %s %s", levels[level], msg, text);
    errno = saved;
}
