#include "tests/simulate/steer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recorder/gate.h"
#include "recorder/steering.h"
#include "shm/lock.h"
#include "tests/simulate/host.h"
#include "tests/simulate/life.h"
#include "tests/simulate/rows.h"

enum { ASKED_MOST = 4, PATH = 512, RUNGS = 4 };

sim_steer_totals sim_steer_total;

static struct {
    cp_command commands[ASKED_MOST]; /* not obeyed yet */
    uint32_t count;
    int replay; /* its lock's file; -1: there is none */
} the = {.replay = -1};

void sim_steer_begin(void)
{
    memset(&sim_steer_total, 0, sizeof sim_steer_total);
    the.count = 0;
    the.replay = -1;
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static void ask(cp_command_kind kind, const char *table, uint32_t level)
{
    if (the.count == ASKED_MOST || !cp_command_make(&the.commands[the.count], kind, table))
        return;
    the.commands[the.count++].level = level;
}

void sim_steer_ask(void)
{
    static const cp_command_kind kinds[] = {CP_COMMAND_FLUSH,  CP_COMMAND_PAUSE,   CP_COMMAND_RESUME,
                                            CP_COMMAND_RESUME, CP_COMMAND_DEGRADE, CP_COMMAND_DEGRADE,
                                            CP_COMMAND_ROTATE};
    const cp_command_kind kind = kinds[sim_pick(sizeof kinds / sizeof kinds[0])];
    const char *table = sim_tables[sim_pick(SIM_TABLES)].name;
    if (kind == CP_COMMAND_DEGRADE)
        ask(kind, table, sim_luck(500) ? CP_COMMAND_AUTO : (uint32_t)sim_pick(RUNGS));
    else
        ask(kind, kind == CP_COMMAND_FLUSH || sim_luck(400) ? NULL : table, 0);
}

void sim_steer_ask_back(void)
{
    the.count = 0;
    ask(CP_COMMAND_RESUME, NULL, 0);
    for (uint32_t i = 0; i < SIM_TABLES; i++) {
        if (sim_tables[i].sheds)
            ask(CP_COMMAND_DEGRADE, sim_tables[i].name, CP_COMMAND_AUTO);
    }
}

bool sim_steer_is_asked(void)
{
    return the.count > 0;
}

void sim_steer_obey(cp_recorder *recorder)
{
    cp_steering steering;
    if (the.count == 0)
        return;
    cp_steering_init(&steering, recorder, NULL);
    const cp_command_events events = cp_steering_events(&steering);
    for (uint32_t i = 0; i < the.count; i++) {
        const cp_command_peer peer = {0};
        cp_command_reply reply = {.code = CP_OK};
        events.obey(events.ctx, &the.commands[i], &peer, &reply);
        sim_steer_total.commands++;
        sim_steer_total.commands_refused += reply.code < 0;
    }
    the.count = 0;
}

/* ---- replay ----------------------------------------------------------------------------------------------------- */

bool sim_steer_replay(bool on)
{
    char path[PATH];
    if (the.replay >= 0 && !on) {
        close(the.replay);
        the.replay = -1;
        sim_trace("replay: ends");
    }
    if (!on || the.replay >= 0)
        return true;
    snprintf(path, sizeof path, "%s/" CP_REPLAY_LOCK, sim_life_region());
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false; /* no recorder has made it yet */
    if (cp_lock_take(file) < 0) {
        close(file);
        return false;
    }
    the.replay = file;
    sim_steer_total.replays++;
    sim_trace("replay: begins");
    return true;
}
