/* The simulation of the whole recorder, as a program.
 *
 *     simulate [--seconds N] [--seed S] [--trace] [--worlds N] [--without PROTECTION | --mutations]
 *
 * World after world, each of a seed of its own that follows from the first, each in a process of its own; totals at the end. Exit
 * status 1 and the world's seed when a promise is broken: --seed S --trace then shows it, step by step. Without options,
 * CP_SECONDS (default 8) and CP_SEED (default 1: what ran once runs again) say how long and from where. --mutations takes each protection away in turn (mutation.h): exit
 * status 1 when one is not missed. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/simulate/mutation.h"
#include "tests/simulate/world.h"

enum { SECONDS = 8, SEED = 1, WORLD_LONGEST_S = 120, MUTATION_S = 60 };

typedef struct options {
    uint64_t seed;
    uint64_t seconds;
    uint64_t worlds; /* at most */
    bool trace;
    bool mutations;
    const sim_mutation *without;
} options;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __real_prctl(int option, ...);

/* Of the real host. */
static uint64_t real_ns(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CP_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t number_of(const char *text, uint64_t otherwise)
{
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int usage(void)
{
    fprintf(stderr, "usage: simulate [--seconds N] [--seed S] [--trace] [--worlds N] [--without PROTECTION | "
                    "--mutations]\n");
    for (const sim_mutation *at = sim_mutations; at->name; at++)
        fprintf(stderr, "  --without %-12s %s\n", at->name, at->what);
    return 64;
}

static bool options_read(options *to, int argc, char **argv)
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'S'},
                                          {"worlds", required_argument, NULL, 'w'},
                                          {"without", required_argument, NULL, 'm'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"mutations", no_argument, NULL, 'M'},
                                          {0}};
    for (int at; (at = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (at == 's')
            to->seconds = number_of(optarg, to->seconds);
        else if (at == 'S')
            to->seed = number_of(optarg, to->seed);
        else if (at == 'w')
            to->worlds = number_of(optarg, to->worlds);
        else if (at == 't')
            to->trace = true;
        else if (at == 'M')
            to->mutations = true;
        else if (at != 'm' || !(to->without = sim_mutation_find(optarg)))
            return false;
    }
    return optind == argc;
}

static void world_run(const options *from, uint64_t seed, sim_world_result *result)
{
    sim_mutation_now = from->without;
    const sim_world_options world = {.seed = seed,
                                     .ddl_dir = SIMULATE_DDL,
                                     .trace = from->trace,
                                     .unsafe = from->without ? from->without->unsafe : 0,
                                     .forgetful = from->without && from->without->forgetful};
    sim_world_run(&world, result);
}

/* In a process of its own: one that crashes, or does not end, fails by itself. */
static void world_run_apart(const options *from, uint64_t seed, sim_world_result *result)
{
    int status = 0;
    memset(result, 0, sizeof *result);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        __real_prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(WORLD_LONGEST_S);
        world_run(from, seed, result);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status == 0)
        return;
    sim_world_remove(child);
    result->failed = true;
    snprintf(result->text, sizeof result->text, "the world's process ended by %s %d",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void add(sim_world_result *to, const sim_world_result *from)
{
    /* All numbers but the verdict. */
    uint64_t *sum = (uint64_t *)(void *)to;
    const uint64_t *one = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < offsetof(sim_world_result, failed) / sizeof(uint64_t); i++)
        sum[i] += one[i];
}

static void report(const sim_world_result *sum, uint64_t worlds, uint64_t took_ns)
{
    const double minutes = (double)took_ns / 60e9;
    printf("%" PRIu64 " worlds, %" PRIu64 " steps, %" PRIu64
           " simulated seconds in %.1f s: %.2f million a minute\n",
           worlds, sum->steps, sum->seconds, (double)took_ns / 1e9, (double)sum->seconds / 1e6 / minutes);
    printf("recorder: %" PRIu64 " lives, %" PRIu64 " kills and %" PRIu64 " power failures (%" PRIu64
           " of both inside a step), %" PRIu64 " stops, %" PRIu64 " starts refused, %" PRIu64
           " regions remade, %" PRIu64 " reloads (%" PRIu64 " refused), %" PRIu64 " flushes, %" PRIu64
           " commands, %" PRIu64 " replays\n",
           sum->life.lives, sum->life.kills, sum->life.power_failures, sum->life.kills_inside,
           sum->life.stops, sum->life.refused_starts, sum->life.remade, sum->life.reloads,
           sum->life.reloads_refused, sum->life.flushes, sum->steer.commands, sum->steer.replays);
    printf("rows: %" PRIu64 " put, %" PRIu64 " refused by full rings, %" PRIu64 " stored, %" PRIu64
           " quarantined, %" PRIu64 " set aside in %" PRIu64 " batches, %" PRIu64 " put again, %" PRIu64
           " rightly missing; 0 lost, 0 twice, order kept\n",
           sum->rows.put, sum->rows.full, sum->rows.stored, sum->rows.quarantined, sum->rows.set_aside,
           sum->aside.batches, sum->rows.repeated, sum->rows.missing);
    printf("network: %" PRIu64 " messages, %" PRIu64 " lost before and %" PRIu64
           " replies after the sink, %" PRIu64 " taken without a sender; sink: %" PRIu64 " inserts, %" PRIu64
           " stored, %" PRIu64 " repeated, %" PRIu64 " refused, %" PRIu64 " failed, %" PRIu64
           " counts, %" PRIu64 " deaths\n",
           sum->network.messages, sum->network.lost_before, sum->network.lost_after, sum->network.late,
           sum->sink.inserts, sum->sink.stored, sum->sink.repeated, sum->sink.refused, sum->sink.failed,
           sum->sink.counts, sum->sink.deaths);
}

static int worlds_run(const options *from, sim_world_result *one)
{
    sim_world_result sum = {0};
    const uint64_t began = real_ns();
    uint64_t worlds = 0;
    printf("CP_SEED=%" PRIu64 "\n", from->seed);
    do {
        const uint64_t seed = from->seed + worlds++;
        world_run_apart(from, seed, one);
        add(&sum, one);
        if (one->failed) {
            printf("VIOLATION in world %" PRIu64 ", step %" PRIu64 ": %s\nrepeat with --seed %" PRIu64
                   " --trace\n",
                   seed, one->steps, one->text, seed);
            return 1;
        }
    } while (worlds < from->worlds && real_ns() - began < from->seconds * CP_NS_PER_S);
    report(&sum, worlds, real_ns() - began);
    return 0;
}

/* Worlds without one protection, until one is found wanting. */
static bool mutation_missed(const options *from, sim_world_result *one)
{
    const uint64_t began = real_ns();
    uint64_t worlds = 0;
    one->failed = false;
    while (!one->failed && real_ns() - began < MUTATION_S * (uint64_t)CP_NS_PER_S)
        world_run_apart(from, from->seed + worlds++, one);
    printf("without %s: %s after %" PRIu64 " worlds: %s\n", from->without->name,
           one->failed ? "violation" : "NO VIOLATION", worlds, one->failed ? one->text : from->without->what);
    return one->failed;
}

static int mutations_run(const options *from, sim_world_result *one)
{
    options without = *from;
    unsigned unnoticed = 0;
    printf("CP_SEED=%" PRIu64 "\n", from->seed);
    for (without.without = sim_mutations; without.without->name; without.without++)
        unnoticed += !mutation_missed(&without, one);
    return unnoticed ? 1 : 0;
}

int main(int argc, char **argv)
{
    options from = {.seed = number_of(getenv("CP_SEED"), SEED),
                    .seconds = number_of(getenv("CP_SECONDS"), SECONDS),
                    .worlds = UINT64_MAX};
    if (!options_read(&from, argc, argv))
        return usage();
    if (from.trace) {
        static sim_world_result result;
        world_run(&from, from.seed, &result);
        printf("%s\n", result.failed ? result.text : "no violation");
        return result.failed;
    }
    sim_world_result *one =
        mmap(NULL, sizeof *one, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (one == MAP_FAILED)
        return 1;
    return from.mutations ? mutations_run(&from, one) : worlds_run(&from, one);
}
