#include "recorder/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "shm/lock.h"

enum {
    LOOK_EVERY_MS = 20, /* at the lock and the date: a system call each */
    WARN_PERCENT = 90,  /* of the day's budget */
    DAY_S = 24 * 3600
};

static uint64_t today(void)
{
    return cp_realtime_ns() / CP_NS_PER_S / DAY_S;
}

static void budget_show(cp_gate *gate)
{
    const uint64_t limit = atomic_load_explicit(&gate->daily_bytes, memory_order_relaxed);
    const uint64_t sent = gate->header->sent_bytes;
    const bool spent = limit > 0 && sent >= limit;
    const bool near = limit > 0 && sent / WARN_PERCENT >= limit / 100;
    if (near && !gate->warned)
        cp_log(CP_LOG_WARN, "the day's budget is nearly spent",
               "sent=%llu limit=%llu remedy=\"raise limits.daily_bytes, coldpath reload\"",
               (unsigned long long)sent, (unsigned long long)limit);
    if (spent && !atomic_load_explicit(&gate->spent, memory_order_relaxed))
        cp_log(
            CP_LOG_ERROR, "the day's budget is spent",
            "sent=%llu limit=%llu until=\"midnight UTC\" consequence=\"nothing is sent: critical tables go "
            "on logging, lossy ones wait in their rings and are shed as pressure: says\" remedy=\"raise "
            "limits.daily_bytes, coldpath reload\"",
            (unsigned long long)sent, (unsigned long long)limit);
    else if (!spent && atomic_load_explicit(&gate->spent, memory_order_relaxed))
        cp_log(CP_LOG_INFO, "there is a budget again", "sent=%llu limit=%llu", (unsigned long long)sent,
               (unsigned long long)limit);
    gate->warned = near;
    atomic_store_explicit(&gate->spent, spent, memory_order_relaxed);
}

static void look(cp_gate *gate)
{
    cp_abi_control *header = gate->header;
    const bool replaying = gate->replay_fd >= 0 && cp_lock_held(gate->replay_fd);
    const uint64_t day = today();
    if (replaying != atomic_load_explicit(&gate->replaying, memory_order_relaxed))
        cp_log(CP_LOG_INFO, replaying ? "replay is asked for" : "replay is no longer asked for", "mode=%u",
               atomic_load_explicit(&gate->mode, memory_order_relaxed));
    atomic_store_explicit(&gate->replaying, replaying, memory_order_relaxed);
    if (header->sent_day != day) {
        __atomic_store_n(&header->sent_bytes, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&header->sent_day, day, __ATOMIC_RELEASE);
    }
    budget_show(gate);
}

void cp_gate_configure(cp_gate *gate, const cp_config *config)
{
    atomic_store_explicit(&gate->mode, (uint32_t)config->mode, memory_order_relaxed);
    atomic_store_explicit(&gate->daily_bytes, config->daily_bytes, memory_order_relaxed);
    __atomic_store_n(&gate->header->mode, (uint32_t)config->mode, __ATOMIC_RELAXED);
    __atomic_store_n(&gate->header->sent_limit, config->daily_bytes, __ATOMIC_RELAXED);
}

int cp_gate_open(cp_gate *gate, const cp_config *config, const cp_region_owner *region, cp_error *err)
{
    char path[CP_MAX_REGION_PATH + sizeof CP_REPLAY_LOCK];
    *gate = (cp_gate){.header = region->control.header, .replay_fd = -1};
    cp_gate_configure(gate, config);
    snprintf(path, sizeof path, "%s/%s", region->dir, CP_REPLAY_LOCK);
    gate->replay_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (gate->replay_fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    look(gate);
    return CP_OK;
}

bool cp_gate_sends(const cp_gate *gate, bool critical)
{
    const uint32_t mode = atomic_load_explicit(&gate->mode, memory_order_relaxed);
    if (atomic_load_explicit(&gate->spent, memory_order_relaxed) || mode == CP_MODE_DISABLED)
        return false;
    return mode == CP_MODE_DIRECT || !critical ||
           atomic_load_explicit(&gate->replaying, memory_order_relaxed);
}

bool cp_gate_lets(cp_gate *gate, bool critical)
{
    const uint64_t now = cp_boottime_ns();
    if (now - gate->looked_ns >= LOOK_EVERY_MS * (uint64_t)CP_NS_PER_MS) {
        gate->looked_ns = now;
        look(gate);
    }
    return cp_gate_sends(gate, critical);
}

void cp_gate_sent(cp_gate *gate, uint64_t bytes)
{
    __atomic_store_n(&gate->header->sent_bytes, gate->header->sent_bytes + bytes, __ATOMIC_RELAXED);
    budget_show(gate);
}

void cp_gate_close(cp_gate *gate)
{
    if (gate->replay_fd >= 0)
        close(gate->replay_fd);
    gate->replay_fd = -1;
}
