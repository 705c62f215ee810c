/* A sequence lock without fences (which ThreadSanitizer does not know): every data word is release-stored behind the odd
 * sequence number and acquire-loaded before the number is read again. Cf. Boehm, "Can seqlocks get along with
 * programming language memory models?", 2012. */
#include "shm/ack.h"

#include "base/failpoint.h"

enum { ACK_READ_TRIES = 1000 };

static uint64_t load(const uint64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *to, uint64_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static void ack_copy(const cp_abi_ack *ack, cp_abi_ack *copy)
{
    copy->fault = __atomic_load_n(&ack->fault, __ATOMIC_ACQUIRE);
    copy->epoch = load(&ack->epoch);
    copy->consumed = load(&ack->consumed);
    copy->durable = load(&ack->durable);
    copy->delivered = load(&ack->delivered);
    copy->consumed_rows = load(&ack->consumed_rows);
    copy->delivered_rows = load(&ack->delivered_rows);
    copy->rejected_rows = load(&ack->rejected_rows);
    copy->suppressed_rows = load(&ack->suppressed_rows);
    copy->dropped_rows = load(&ack->dropped_rows);
    copy->quarantined_rows = load(&ack->quarantined_rows);
    copy->held_rows = load(&ack->held_rows);
    copy->given_up_rows = load(&ack->given_up_rows);
    copy->doubtful_rows = load(&ack->doubtful_rows);
}

bool cp_ack_read(const cp_abi_ack *ack, cp_abi_ack *copy)
{
    for (int i = 0; i < ACK_READ_TRIES; i++) {
        const uint32_t before = __atomic_load_n(&ack->sequence, __ATOMIC_ACQUIRE);
        ack_copy(ack, copy);
        copy->sequence = __atomic_load_n(&ack->sequence, __ATOMIC_RELAXED);
        if (copy->sequence == before && before % 2 == 0)
            return true;
    }
    return false;
}

void cp_ack_write(cp_abi_ack *ack, const cp_abi_ack *state)
{
    /* Odd already: a recorder was killed in here. Its successor goes on from the next even number. */
    const uint32_t sequence = __atomic_load_n(&ack->sequence, __ATOMIC_RELAXED) | 1u;
    __atomic_store_n(&ack->sequence, sequence, __ATOMIC_RELAXED);
    __atomic_store_n(&ack->fault, state->fault, __ATOMIC_RELEASE);
    store(&ack->epoch, state->epoch);
    store(&ack->durable, state->durable);
    store(&ack->delivered, state->delivered);
    store(&ack->consumed_rows, state->consumed_rows);
    store(&ack->delivered_rows, state->delivered_rows);
    store(&ack->rejected_rows, state->rejected_rows);
    store(&ack->suppressed_rows, state->suppressed_rows);
    store(&ack->dropped_rows, state->dropped_rows);
    store(&ack->quarantined_rows, state->quarantined_rows);
    store(&ack->held_rows, state->held_rows);
    store(&ack->given_up_rows, state->given_up_rows);
    store(&ack->doubtful_rows, state->doubtful_rows);
    cp_failpoint(CP_FP_LANE_ACK_HALF);
    store(&ack->consumed, state->consumed); /* what put looks at: before it, space is free */
    __atomic_store_n(&ack->sequence, sequence + 1, __ATOMIC_RELEASE);
}
