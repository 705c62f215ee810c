#include "recorder/steering.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

static void counter_up(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* ---- one table -------------------------------------------------------------------------------------------------- */

static bool table_pause(const cp_steering *steering, uint32_t table, bool pause)
{
    uint64_t *since = &steering->parts.control->counters[table].paused_since_ns;
    const bool changes = (*since != 0) != pause;
    if (changes)
        __atomic_store_n(since, pause ? cp_realtime_ns() : 0, __ATOMIC_RELAXED);
    return changes;
}

static int table_degrade(const cp_steering *steering, uint32_t table, uint32_t level, bool *changed,
                         cp_error *err)
{
    cp_ladder_lane *ladder = steering->parts.ladders[table];
    if (!ladder)
        return cp_error_set(
            err, CP_E_INVAL,
            "table %s is of class critical: it has no pressure ladder, its rows are never shed",
            steering->parts.config->tables[table].name);
    return cp_ladder_lane_force(ladder, level, changed, err);
}

static int table_rotate(const cp_steering *steering, uint32_t table, bool *changed, cp_error *err)
{
    if (!steering->parts.logs[table])
        return cp_error_set(err, CP_E_INVAL, "table %s is of class lossy: it has no log",
                            steering->parts.config->tables[table].name);
    cp_log_lane_rotate(steering->parts.logs[table]);
    *changed = true;
    return CP_OK;
}

static int table_obey(const cp_steering *steering, const cp_command *command, uint32_t table, bool *changed,
                      cp_error *err)
{
    switch (command->kind) {
    case CP_COMMAND_PAUSE:
    case CP_COMMAND_RESUME:
        *changed = table_pause(steering, table, command->kind == CP_COMMAND_PAUSE);
        return CP_OK;
    case CP_COMMAND_DEGRADE:
        return table_degrade(steering, table, command->level, changed, err);
    case CP_COMMAND_ROTATE:
        return table_rotate(steering, table, changed, err);
    default:
        return cp_error_set(err, CP_E_UNSUPPORTED, "%s is not for tables", cp_command_name(command->kind));
    }
}

/* ---- which tables ----------------------------------------------------------------------------------------------- */

/* Of a command for all tables, those it makes sense for. */
static bool table_is_meant(const cp_steering *steering, const cp_command *command, uint32_t table)
{
    if (command->table[0])
        return strcmp(steering->parts.config->tables[table].name, command->table) == 0;
    return command->kind != CP_COMMAND_ROTATE || steering->parts.logs[table];
}

static int tables_obey(const cp_steering *steering, const cp_command *command, cp_command_reply *reply,
                       cp_error *err)
{
    int rc = CP_OK;
    if (command->kind == CP_COMMAND_DEGRADE && !command->table[0])
        return cp_error_set(err, CP_E_INVAL, "of which table?");
    for (uint32_t i = 0; rc == CP_OK && i < steering->parts.config->table_count; i++) {
        bool changed = false;
        if (!table_is_meant(steering, command, i))
            continue;
        rc = table_obey(steering, command, i, &changed, err);
        reply->tables++;
        reply->changed += changed;
    }
    if (rc == CP_OK && reply->tables == 0)
        rc = command->table[0]
                 ? cp_error_set(err, CP_E_INVAL, "the recorder has no table '%s'", command->table)
                 : cp_error_set(err, CP_E_INVAL, "there is no table that has a log");
    cp_flusher_wake(steering->parts.flusher);
    return rc;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static void on_command(void *ctx, const cp_command *command, const cp_command_peer *peer,
                       cp_command_reply *reply)
{
    cp_steering *steering = ctx;
    cp_abi_control *header = steering->parts.control->header;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    int rc = CP_OK;
    cp_log(CP_LOG_INFO, "command", "command=%s table=%s level=%u peer_uid=%u peer_pid=%d",
           cp_command_name(command->kind), command->table[0] ? command->table : "-", command->level,
           (unsigned)peer->uid, (int)peer->pid);
    if (command->kind == CP_COMMAND_FLUSH)
        cp_recorder_flush(steering->recorder);
    else if (command->kind == CP_COMMAND_RELOAD)
        cp_reload_run(steering->reload);
    else
        rc = tables_obey(steering, command, reply, &err);
    reply->code = rc;
    snprintf(reply->text, sizeof reply->text, "%s", err.text);
    counter_up(rc == CP_OK ? &header->commands : &header->commands_refused);
    if (rc < 0)
        cp_log(CP_LOG_WARN, "command not possible", "command=%s table=%s peer_uid=%u peer_pid=%d error=%s",
               cp_command_name(command->kind), command->table[0] ? command->table : "-", (unsigned)peer->uid,
               (int)peer->pid, cp_log_quote(quoted, sizeof quoted, err.text));
}

static void on_turned_away(void *ctx, const cp_command_peer *peer, const cp_error *reason)
{
    const cp_steering *steering = ctx;
    char quoted[CP_ERROR_TEXT + 64];
    counter_up(&steering->parts.control->header->commands_refused);
    cp_log(CP_LOG_WARN, "command refused", "peer_uid=%u peer_pid=%d error=%s", (unsigned)peer->uid,
           (int)peer->pid, cp_log_quote(quoted, sizeof quoted, reason->text));
}

void cp_steering_init(cp_steering *steering, cp_recorder *recorder, cp_reload *reload)
{
    *steering = (cp_steering){recorder, reload, cp_recorder_take_apart(recorder)};
    for (uint32_t i = 0; i < steering->parts.config->table_count; i++) {
        const char *name = steering->parts.config->tables[i].name;
        if (steering->parts.control->counters[i].paused_since_ns != 0)
            cp_log(CP_LOG_WARN, "the table is paused", "table=%s remedy=\"coldpath resume %s\"", name, name);
    }
}

cp_command_events cp_steering_events(cp_steering *steering)
{
    return (cp_command_events){steering, on_command, on_turned_away};
}
