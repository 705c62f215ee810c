#include "feeds/pacer.h"

#include "base/clock.h"

enum { NOT_WORTH_SLEEPING_NS = 60 * 1000 }; /* the kernel's default timer slack is 50 µs */

void cp_pacer_init(cp_pacer *pacer, double speed, int64_t max_gap_ns)
{
    *pacer = (cp_pacer){.speed = speed, .max_gap_ns = max_gap_ns};
}

static int64_t paced_due(const cp_pacer *pacer, int64_t recorded_ns)
{
    return pacer->real_start + (int64_t)((double)(recorded_ns - pacer->recorded_start) / pacer->speed);
}

int64_t cp_pacer_due(cp_pacer *pacer, int64_t recorded_ns, int64_t now_ns)
{
    if (pacer->speed <= 0)
        return now_ns;
    if (!pacer->started) {
        pacer->started = true;
        pacer->real_start = now_ns;
        pacer->recorded_start = pacer->recorded_last = recorded_ns;
        return now_ns;
    }
    const int64_t last = pacer->recorded_last;
    if (recorded_ns < last - CP_PACER_BACK_NS) { /* another capture: it follows at once */
        pacer->real_start = paced_due(pacer, last);
        pacer->recorded_start = pacer->recorded_last = recorded_ns;
    } else if (recorded_ns - last > pacer->max_gap_ns) { /* silence: shortened */
        pacer->real_start = paced_due(pacer, last + pacer->max_gap_ns);
        pacer->recorded_start = pacer->recorded_last = recorded_ns;
    } else if (recorded_ns > last) {
        pacer->recorded_last = recorded_ns;
    }
    return paced_due(pacer, recorded_ns);
}

void cp_sleep_until(int64_t due_ns, const volatile sig_atomic_t *stop)
{
    const struct timespec due = {.tv_sec = due_ns / CP_NS_PER_S, .tv_nsec = due_ns % CP_NS_PER_S};
    while (!*stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) != 0) {
    }
}

void cp_pacer_wait(cp_pacer *pacer, int64_t recorded_ns, const volatile sig_atomic_t *stop)
{
    if (pacer->speed <= 0)
        return;
    const int64_t now = (int64_t)cp_clock_ns_(CLOCK_MONOTONIC);
    const int64_t due = cp_pacer_due(pacer, recorded_ns, now);
    if (due - now > NOT_WORTH_SLEEPING_NS)
        cp_sleep_until(due, stop);
}
