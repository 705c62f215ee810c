#include "recorder/ship_targets.h"

#include <stdlib.h>

#include "shm/ack.h"

typedef struct ship_target {
    uint64_t position;
    bool readable;
} ship_target;

struct cp_ship_targets {
    uint32_t count;
    ship_target rings[]; /* in the order of the acknowledgements */
};

cp_ship_targets *cp_ship_targets_note(const cp_control *control, const cp_drain *drain)
{
    cp_ship_targets *targets = calloc(1, sizeof *targets + control->ring_count * sizeof *targets->rings);
    if (!targets)
        return NULL;
    targets->count = control->ring_count;
    for (uint32_t i = 0; i < targets->count; i++)
        targets->rings[i].readable = cp_drain_published(drain, i, &targets->rings[i].position);
    return targets;
}

static bool table_reached(const cp_ship_targets *targets, const cp_control *control, uint32_t table,
                          const cp_gate *gate)
{
    const cp_abi_table *entry = &control->directory[table];
    const bool sends = cp_gate_sends(gate, entry->critical) &&
                       __atomic_load_n(&control->counters[table].paused_since_ns, __ATOMIC_RELAXED) == 0;
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        const ship_target *target = &targets->rings[entry->first_ring + slot];
        cp_abi_ack ack;
        cp_ack_read(&control->acks[entry->first_ring + slot], &ack);
        const uint64_t reached = sends ? ack.delivered : entry->critical ? ack.durable : target->position;
        if (target->readable && ack.fault == CP_RING_SOUND && (int64_t)(reached - target->position) < 0)
            return false;
    }
    return true;
}

bool cp_ship_targets_reached(const cp_ship_targets *targets, const cp_control *control, const cp_gate *gate)
{
    for (uint32_t i = 0; i < control->table_count; i++) {
        if (!table_reached(targets, control, i, gate))
            return false;
    }
    return true;
}
