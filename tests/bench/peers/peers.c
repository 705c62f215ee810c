/* Measures every peer in turn, round after round in one process, so that whatever the host does falls on all of them.
 *
 *     peers [--rounds N] [--pace NS] [--cpus P,C] [--only NAME]      one JSON object on standard output
 *
 * Each round and peer: put at a pace, in bursts of 16 for the median (a single put is shorter than the timer's step) and one by
 * one for the tail, both interpolated within the timer's step after a wait of random length (base/put_timer.h); then flat out. The row lies still and the copies go round a ring of 8 MiB. Figures are nanoseconds per put,
 * a list per round; peers.py makes medians and ratios of them. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/put_timer.h"
#include "peer.h"

enum {
    BURST = 16,
    MAX_ROUNDS = 32,
    BURSTS = 4000,
    SINGLES = 100000,
    FLAT_OUT = 300000,
    PINGS = 50000,
    WARM_UP = 2000
};
enum { P50, P99, P999, FLAT, FIGURES };

typedef struct options {
    uint32_t rounds;
    uint64_t pace_ns;
    int producer_cpu;
    int consumer_cpu;
    const char *only;
} options;

static const peer *const peers[] = {&peer_floor, &peer_coldpath, &peer_boost, &peer_boost_lazy,
                                    &peer_ck,    &peer_ck_lazy,  &peer_lttng, &peer_spdlog,
                                    &peer_kafka, &peer_sqlite};
enum { PEERS = sizeof peers / sizeof peers[0] };

static double samples[PEERS][FIGURES][MAX_ROUNDS];
static double pings[MAX_ROUNDS];
static bool usable[PEERS];
static cp_put_timer timer;
static uint32_t scatter;

static void wait_until(uint64_t tick)
{
    while ((int64_t)(cp_put_timer_now() - tick) < 0)
        ;
    cp_put_timer_scatter(&scatter);
}

static uint64_t ticks_per(uint64_t ns)
{
    const uint64_t calibration_ns = 2 * (uint64_t)CP_NS_PER_MS;
    const uint64_t ticks = cp_put_timer_now();
    const uint64_t begin = cp_boottime_ns();
    while (cp_boottime_ns() - begin < calibration_ns)
        ;
    return (cp_put_timer_now() - ticks) * ns / calibration_ns;
}

static void put_surely(const peer *p, const void *row)
{
    while (!p->put(row))
        ;
}

static void measure_paced(const peer *p, const void *row, uint64_t pace, double figures[FIGURES])
{
    cp_put_times times;
    cp_put_timer_init(&timer);
    uint64_t next = cp_put_timer_now();
    for (uint32_t i = 0; i < BURSTS / p->paced_divisor; i++) {
        wait_until(next += pace * BURST);
        const uint64_t begin = cp_put_timer_now();
        for (int k = 0; k < BURST; k++)
            put_surely(p, row);
        cp_put_timer_record(&timer, begin, cp_put_timer_now());
    }
    cp_put_timer_read(&timer, &times);
    figures[P50] = times.p50_ns / BURST;
    cp_put_timer_init(&timer);
    next = cp_put_timer_now();
    for (uint32_t i = 0; i < SINGLES / p->paced_divisor; i++) {
        wait_until(next += pace);
        const uint64_t begin = cp_put_timer_now();
        put_surely(p, row);
        cp_put_timer_record(&timer, begin, cp_put_timer_now());
    }
    cp_put_timer_read(&timer, &times);
    figures[P99] = times.p99_ns;
    figures[P999] = times.p999_ns;
}

static void measure(const options *o, uint32_t index, uint32_t round)
{
    const peer *p = peers[index];
    uint8_t row[PEER_ROW];
    double figures[FIGURES];
    memset(row, 0x41, sizeof row); /* as a double it is a number, as text it is letters */
    for (uint32_t i = 0; i < WARM_UP; i++)
        put_surely(p, row);
    p->settle();
    measure_paced(p, row, ticks_per(o->pace_ns * p->paced_divisor), figures);
    p->settle();
    const uint32_t count = FLAT_OUT / p->paced_divisor;
    const uint64_t start = cp_boottime_ns();
    for (uint32_t i = 0; i < count; i++)
        put_surely(p, row);
    figures[FLAT] = (double)(cp_boottime_ns() - start) / count;
    p->settle();
    for (int f = 0; f < FIGURES; f++)
        samples[index][f][round] = figures[f];
}

/* One cache line to another process and back: half of the round trip. */
typedef struct line {
    _Alignas(128) uint64_t value;
} line;
static line *court; /* ping, pong */

static void pong(void)
{
    for (uint64_t seen = 0;;) {
        const uint64_t ping = __atomic_load_n(&court[0].value, __ATOMIC_ACQUIRE);
        if (ping != seen)
            __atomic_store_n(&court[1].value, seen = ping, __ATOMIC_RELEASE);
    }
}

static double measure_ping(int consumer_cpu)
{
    court[0].value = court[1].value = 0;
    const int pid = peer_fork(consumer_cpu, pong);
    uint64_t start = 0;
    for (uint64_t i = 1; pid > 0 && i <= PINGS + WARM_UP; i++) {
        if (i == WARM_UP + 1)
            start = cp_boottime_ns();
        __atomic_store_n(&court[0].value, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&court[1].value, __ATOMIC_ACQUIRE) != i)
            ;
    }
    const uint64_t taken = cp_boottime_ns() - start;
    peer_reap(pid);
    return (double)taken / PINGS / 2;
}

static void print_list(const char *name, const double *list, uint32_t count, const char *end)
{
    printf("\"%s\": [", name);
    for (uint32_t i = 0; i < count; i++)
        printf("%s%.2f", i ? ", " : "", list[i]);
    printf("]%s", end);
}

static void print_all(const options *o)
{
    printf("{\"row_bytes\": %d, \"rounds\": %u, \"pace_ns\": %lu, ", PEER_ROW, o->rounds,
           (unsigned long)o->pace_ns);
    print_list("cache_line_ns", pings, o->rounds, ", \"peers\": [");
    bool first = true;
    for (uint32_t i = 0; i < PEERS; i++) {
        if (!usable[i])
            continue;
        printf("%s\n {\"name\": \"%s\", \"what\": \"%s\", ", first ? "" : ",", peers[i]->name,
               peers[i]->what);
        print_list("p50_ns", samples[i][P50], o->rounds, ", ");
        print_list("p99_ns", samples[i][P99], o->rounds, ", ");
        print_list("p999_ns", samples[i][P999], o->rounds, ", ");
        print_list("flat_out_ns", samples[i][FLAT], o->rounds, "}");
        first = false;
    }
    printf("]}\n");
}

static bool pin_self(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static options options_read(int argc, char **argv)
{
    options o = {.rounds = 5, .pace_ns = 1000, .producer_cpu = 0, .consumer_cpu = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            o.rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--pace") == 0)
            o.pace_ns = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--cpus") == 0)
            sscanf(argv[i + 1], "%d,%d", &o.producer_cpu, &o.consumer_cpu);
        else if (strcmp(argv[i], "--only") == 0)
            o.only = argv[i + 1];
    }
    if (o.rounds == 0 || o.rounds > MAX_ROUNDS)
        o.rounds = MAX_ROUNDS;
    return o;
}

int main(int argc, char **argv)
{
    const options o = options_read(argc, argv);
    court = peer_share(2 * sizeof *court);
    if (!court)
        return 1;
    for (uint32_t round = 0; round < o.rounds; round++) {
        if (!pin_self(o.producer_cpu)) {
            fprintf(stderr, "peers: there is no CPU %d\n", o.producer_cpu);
            return 1;
        }
        pings[round] = measure_ping(o.consumer_cpu);
        for (uint32_t i = 0; i < PEERS; i++) {
            if (o.only && strcmp(o.only, peers[i]->name) != 0)
                continue;
            fprintf(stderr, "round %u of %u: %s\n", round + 1, o.rounds, peers[i]->name);
            if (!peers[i]->open(o.consumer_cpu)) {
                fprintf(stderr, "peers: %s is left out\n", peers[i]->name);
                continue;
            }
            usable[i] = true;
            measure(&o, i, round);
            peers[i]->close();
        }
    }
    print_all(&o);
    return 0;
}
