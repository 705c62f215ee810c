#include "tests/simulate/world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simulate/aside.h"
#include "tests/simulate/host.h"
#include "tests/simulate/producer.h"
#include "tests/simulate/steer.h"
#include "tests/simulate/thread.h"

enum {
    STEPS_LEAST = 2000, /* of a world, in which things fail */
    STEPS_MOST = 60 * 1000,
    CLIMATE_MOST = 2000,     /* steps of one climate */
    FAIR_STEPS = 400 * 1000, /* within which all has to arrive, */
    FAIR_S = 1200,           /*   and so many seconds: the longest pause between two attempts is 40 s */
    FAIR_ASKED = 500,
    DAY_S = 24 * 3600,
    LAG_S = 60,       /* of a replica, at most */
    DOWN_S = 600,     /* the longest time without a recorder */
    RESTART_MS = 100, /* the shortest: systemd's */
    MENDED = 300,     /* permille of refused starts */
    LEAPS = 31        /* doublings of a microsecond: from the next thread's turn to a night without any */
};

/* What is likely for a while; permille of steps. */
typedef struct climate {
    uint64_t leap_ns; /* the longest that time passes at once */
    unsigned passes;  /* time, though something could be done */
    unsigned puts;
    unsigned poison;  /* of rows */
    unsigned signals; /* parts of a million from here on */
    unsigned replays; /* begun or ended */
    unsigned kills;
    unsigned traps; /* armed kills */
    unsigned power;
    uint64_t steps; /* until the next one */
} climate;

static climate now;
static uint64_t rises_ns; /* when the recorder is started again */

/* ---- climate ---- */

static unsigned now_and_then(unsigned chance, unsigned most)
{
    return sim_luck(chance) ? 1 + (unsigned)sim_pick(most) : 0;
}

/* On the way to a server. With several of them it is worth being away. */
static void weather_change(sim_weather *weather)
{
    const unsigned likely = sim_life_sinks() > 1 ? 3 : 1;
    memset(weather, 0, sizeof *weather);
    weather->latency_ns = (uint64_t)CP_NS_PER_MS << sim_pick(8);
    weather->refused = sim_luck(70 * likely);
    weather->unreachable = sim_luck(40 * likely);
    if (sim_luck(400))
        return;
    weather->reset_before = now_and_then(400, 200);
    weather->garbled = now_and_then(200, 100);
    weather->stalled = now_and_then(150, 100);
    weather->reset_after = now_and_then(400, 300);
    weather->cut = now_and_then(300, 200);
    weather->silent = now_and_then(250, 150);
    weather->slow = now_and_then(300, 300);
}

static void server_change(sim_trouble *server, bool constrained)
{
    const bool forgets = server->forgets;
    memset(server, 0, sizeof *server);
    server->forgets = forgets;
    server->constrained = constrained;
    server->lag_ns = sim_span((uint64_t)LAG_S * CP_NS_PER_S);
    server->think_ns = (uint64_t)CP_NS_PER_MS << sim_pick(8);
    if (sim_luck(400))
        return;
    for (int i = 0; i < SIM_TABLES; i++)
        server->missing[i] = sim_luck(60);
    server->error = now_and_then(400, 300);
    server->unsure = now_and_then(250, 200);
    server->too_big = now_and_then(250, 200);
    server->dies = now_and_then(250, 150);
    server->cannot_count = now_and_then(200, 300);
}

static void servers_change(void)
{
    /* A message on its way, and its retry, must not meet different constraints: docs/guarantees.md names that gap. */
    const bool constrained = sim_network_next_ns() == UINT64_MAX ? sim_luck(600) : sim_server[0].constrained;
    for (int i = 0; i < SIM_SINKS; i++) {
        weather_change(&sim_network[i]);
        server_change(&sim_server[i], constrained);
    }
}

static void disks_change(void)
{
    sim_faults faults = {0};
    if (sim_luck(200))
        faults = (sim_faults){.short_write = 150, .busy = 150};
    else if (sim_luck(200))
        faults = (sim_faults){.write_error = 40, .sync_error = 40, .no_space = 200};
    else if (sim_luck(100))
        faults = (sim_faults){.no_space = 1000};
    else if (sim_luck(100))
        faults = (sim_faults){.sync_error = 250};
    sim_life_disks(&faults);
}

static void climate_change(void)
{
    now = (climate){
        .leap_ns = (uint64_t)CP_NS_PER_US << sim_pick(LEAPS),
        .passes = (unsigned)sim_pick(60),
        .puts = sim_luck(150) ? 0 : (unsigned)sim_pick(400),
        .poison = now_and_then(300, sim_luck(200) ? 800 : 30),
        .signals = now_and_then(400, 1500),
        .replays = now_and_then(500, 3000),
        .kills = now_and_then(300, 3000),
        .traps = now_and_then(400, 4000),
        .power = now_and_then(150, 800),
        .steps = 1 + sim_pick(CLIMATE_MOST),
    };
    if (sim_luck(100))
        sim.wall_ns += (int64_t)sim_span(86400 * (uint64_t)CP_NS_PER_S) * (sim_luck(500) ? 1 : -1);
    servers_change();
    disks_change();
}

static void climate_fair(void)
{
    const sim_trouble stays = {.forgets = sim_server[0].forgets, .constrained = sim_server[0].constrained};
    now = (climate){.leap_ns = CP_NS_PER_S, .steps = UINT64_MAX};
    memset(sim_network, 0, sizeof sim_network);
    for (int i = 0; i < SIM_SINKS; i++) {
        sim_network[i].latency_ns = CP_NS_PER_MS;
        sim_server[i] = stays;
    }
    sim_life_disks(&(sim_faults){0});
    sim_life_disarm();
}

/* ---- steps ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* To when something happens, and, as hosts are, some time beyond it. */
static void time_pass(void)
{
    uint64_t next = earlier(sim_threads_next_ns(), sim_network_next_ns());
    if (!sim_life_is_on())
        next = earlier(next, rises_ns);
    const uint64_t leap = sim_span(now.leap_ns);
    if (next == UINT64_MAX || next <= sim.now_ns)
        sim.now_ns += leap;
    else
        sim.now_ns = next + (sim_luck(500) ? leap : 0);
}

static bool one_in_a_million(unsigned parts)
{
    return parts && sim_pick(1000 * 1000) < parts;
}

static void signal_send(void)
{
    switch (sim_pick(8)) {
    case 0:
    case 1:
        sim_life_ask_flush();
        break;
    case 2:
    case 3:
        sim_life_ask_reload();
        break;
    case 4:
    case 5:
    case 6:
        sim_life_ask_command();
        break;
    default:
        sim_life_ask_stop();
        break;
    }
}

/* Something from outside; true when it did. */
static bool intrude(void)
{
    if (one_in_a_million(now.signals))
        signal_send();
    else if (one_in_a_million(now.replays))
        sim_steer_replay(sim_luck(500));
    else if (one_in_a_million(now.kills))
        sim_life_kill();
    else if (one_in_a_million(now.traps))
        sim_life_arm();
    else if (one_in_a_million(now.power))
        sim_life_power_failure();
    else
        return false;
    return true;
}

static void step(void)
{
    int ready[SIM_THREADS];
    if (!sim_life_is_on() && sim.now_ns >= rises_ns)
        sim_life_start();
    if (sim_life_is_on() && intrude())
        return;
    const int count = sim_threads_ready(ready);
    if (sim_luck(now.puts) && sim_producers_step(now.poison))
        return;
    if (sim_luck(now.passes))
        time_pass();
    else if (sim_luck(300) && sim_network_step())
        return;
    else if (count > 0)
        sim_thread_run(ready[sim_pick((uint64_t)count)]);
    else if (!sim_network_step())
        time_pass();
}

/* A step, and what follows from it. */
static void step_and_look(void)
{
    const bool was_on = sim_life_is_on();
    const uint64_t refused = sim_life_total.refused_starts;
    sim.steps++;
    step();
    sim_life_look();
    if (sim_life_total.refused_starts > refused && sim_luck(MENDED))
        disks_change(); /* who sees that it does not start looks at its disk */
    if (was_on && !sim_life_is_on())
        rises_ns =
            sim.now_ns + RESTART_MS * (uint64_t)CP_NS_PER_MS + sim_span(DOWN_S * (uint64_t)CP_NS_PER_S);
    const cp_control *control = sim_life_control();
    if (control)
        sim_rows_check(control);
}

static void foul_weather(uint64_t steps)
{
    while (sim.steps < steps && !sim.failed && sim_rows_room(64)) {
        if (now.steps-- == 0)
            climate_change();
        step_and_look();
    }
}

static void stuck(const cp_control *control)
{
    const sim_ring *ring = control ? sim_rows_unsettled(control) : NULL;
    if (!ring)
        sim_fail("stuck: nothing fails any more, and %s", !sim_life_is_on()      ? "there is no recorder"
                                                          : sim_aside_is_empty() ? "a log is not delivered"
                                                                                 : "a batch is set aside");
    else
        sim_fail("stuck: nothing fails any more, and not all has arrived: of %s, slot %u, %u of %u rows are "
                 "settled; consumed %llu, delivered %llu",
                 sim_tables[ring->table].name, ring->slot, ring->settled, ring->count,
                 (unsigned long long)ring->ack.consumed, (unsigned long long)ring->ack.delivered);
}

/* Nothing keeps the recorder from sending: no constraint, command, missing replay or spent budget. */
static void fair_gates(const cp_control *control)
{
    for (int i = 0; i < SIM_SINKS; i++)
        sim_server[i].constrained &= sim_network_next_ns() != UINT64_MAX;
    (void)sim_steer_replay(true);
    if (sim.steps % FAIR_ASKED == 0) /* again for a recorder that has started meanwhile */
        sim_life_ask_fair();
    if (control && control->header->sent_limit && control->header->sent_bytes >= control->header->sent_limit)
        sim.wall_ns += DAY_S * (int64_t)CP_NS_PER_S;
}

/* Everything arrives. */
static void fair_weather(void)
{
    const uint64_t began = sim.now_ns;
    const uint64_t last = sim.steps + FAIR_STEPS;
    climate_fair();
    rises_ns = earlier(rises_ns, sim.now_ns + RESTART_MS * (uint64_t)CP_NS_PER_MS);
    while (!sim.failed) {
        const cp_control *control = sim_life_control();
        fair_gates(control);
        if (control && sim_life_logs_empty() && !sim_rows_unsettled(control) && sim_aside_is_empty())
            break;
        if (sim.steps > last || sim.now_ns - began > FAIR_S * (uint64_t)CP_NS_PER_S)
            stuck(control);
        step_and_look();
    }
    sim_life_ask_stop();
    while (!sim.failed && sim_life_is_on()) {
        step_and_look();
        if (sim.steps > last)
            sim_fail("stuck: the recorder does not stop");
    }
}

/* ---- a world ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void sim_world_dir(char dir[SIM_WORLD_DIR], int process)
{
    snprintf(dir, SIM_WORLD_DIR, "/dev/shm/coldpath-simulate-%d", process);
}

void sim_world_remove(int process)
{
    char dir[SIM_WORLD_DIR];
    sim_world_dir(dir, process);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void result_make(sim_world_result *result)
{
    *result = (sim_world_result){.steps = sim.steps,
                                 .seconds = sim.now_ns / CP_NS_PER_S,
                                 .rows = sim_total,
                                 .life = sim_life_total,
                                 .network = sim_network_total,
                                 .sink = sim_sink_total,
                                 .aside = sim_aside_total,
                                 .steer = sim_steer_total,
                                 .failed = sim.failed};
    memcpy(result->text, sim.text, sizeof result->text);
}

void sim_world_run(const sim_world_options *options, sim_world_result *result)
{
    char dir[SIM_WORLD_DIR];
    sim_world_dir(dir, getpid());
    sim_world_remove(getpid()); /* of one that had the same number, and was killed */
    if (mkdir(dir, 0700) < 0)
        abort();
    sim_host_begin(options->seed, options->trace);
    sim_rows_begin();
    sim_network_begin();
    sim_sink_begin();
    sim_aside_begin();
    sim_steer_begin();
    for (int i = 0; i < SIM_SINKS; i++)
        sim_server[i].forgets = options->forgetful;
    sim_life_begin(dir, options->ddl_dir, options->unsafe);
    sim_producers_begin(sim_life_region());
    memset(&now, 0, sizeof now);
    rises_ns = 0;
    foul_weather(STEPS_LEAST + sim_pick(STEPS_MOST));
    fair_weather();
    if (!sim.failed)
        sim_rows_check_end(sim_life_control());
    if (sim_life_is_on())
        sim_life_kill();
    sim_producers_kill();
    sim_steer_replay(false);
    sim_life_end();
    sim_network_end();
    result_make(result);
    sim_rows_end();
    sim_world_remove(getpid());
}
