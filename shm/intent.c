#include "shm/intent.h"

#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "shm/ack.h"

static void intent_set(cp_abi_intent *intent, cp_intent_state state)
{
    __atomic_store_n(&intent->state, (uint32_t)state, __ATOMIC_RELEASE);
}

void cp_intent_begin(cp_abi_intent *intent, const char *token, uint64_t rows, const cp_abi_intent_span *spans,
                     uint32_t count)
{
    /* An exchange, since what follows a release store may pass it: an ENDED intent would get this one's token. */
    (void)__atomic_exchange_n(&intent->state, (uint32_t)CP_INTENT_NONE, __ATOMIC_ACQ_REL);
    intent->span_count = count;
    intent->rows = rows;
    intent->piece_first = intent->piece_rows = 0;
    snprintf(intent->token, sizeof intent->token, "%s", token);
    cp_failpoint(CP_FP_LANE_FILLING);
    memcpy(intent->spans, spans, count * sizeof *spans);
    intent_set(intent, CP_INTENT_SENDING);
}

void cp_intent_aim(cp_abi_intent *intent, uint64_t endpoint, uint64_t group)
{
    __atomic_store_n(&intent->group, group, __ATOMIC_RELEASE);
    __atomic_store_n(&intent->endpoint, endpoint, __ATOMIC_RELEASE);
}

typedef union piece_word {
    struct {
        uint32_t first;
        uint32_t rows;
    } piece;
    uint64_t word;
} piece_word;
_Static_assert(offsetof(cp_abi_intent, piece_rows) == offsetof(cp_abi_intent, piece_first) + 4 &&
                   offsetof(cp_abi_intent, piece_first) % 8 == 0,
               "one store writes both");

void cp_intent_piece(cp_abi_intent *intent, uint32_t first, uint32_t rows)
{
    const piece_word piece = {.piece = {first, rows}};
    __atomic_store_n((uint64_t *)(void *)&intent->piece_first, piece.word, __ATOMIC_RELEASE);
}

void cp_intent_recount(cp_abi_intent *intent, const cp_abi_intent_span *spans, uint32_t count)
{
    memcpy(intent->spans, spans, count * sizeof *spans);
}

void cp_intent_delivered(cp_abi_intent *intent)
{
    intent_set(intent, CP_INTENT_DELIVERED);
}

void cp_intent_end(cp_abi_intent *intent)
{
    intent_set(intent, CP_INTENT_ENDED);
}

static bool span_is_sane(const cp_control *control, uint32_t table, const cp_abi_intent *intent,
                         uint32_t index)
{
    const cp_abi_intent_span *span = &intent->spans[index];
    const cp_abi_table *entry = &control->directory[table];
    if (span->slot >= entry->slots)
        return false;
    /* A batch out of a critical table's log, or of rows that were taken out early, may hold more than its ring did at a time. */
    if (!entry->critical && intent->state == CP_INTENT_SENDING && span->end - span->begin > entry->ring_size)
        return false;
    for (uint32_t i = 0; i < index; i++) {
        if (intent->spans[i].slot == span->slot)
            return false;
    }
    /* While it is being sent, nothing of it has been given back. */
    cp_abi_ack ack;
    cp_ack_read(cp_control_ack(control, table, span->slot), &ack);
    return ack.epoch == span->epoch && (intent->state == CP_INTENT_DELIVERED || ack.consumed == span->begin);
}

bool cp_intent_load(const cp_control *control, uint32_t table, cp_abi_intent *copy)
{
    cp_abi_intent *intent = &control->intents[table];
    const uint32_t state = __atomic_load_n(&intent->state, __ATOMIC_ACQUIRE);
    if (state == CP_INTENT_NONE || state == CP_INTENT_ENDED)
        return false;
    *copy = *intent;
    copy->state = state;
    bool sane = state <= CP_INTENT_DELIVERED && copy->span_count <= CP_REGION_MAX_SLOTS &&
                memchr(copy->token, '\0', sizeof copy->token) &&
                (copy->piece_rows == 0 ||
                 (copy->piece_first <= copy->rows && copy->piece_rows <= copy->rows - copy->piece_first));
    for (uint32_t i = 0; sane && i < copy->span_count; i++)
        sane = span_is_sane(control, table, copy, i);
    if (!sane)
        cp_intent_end(intent);
    return sane;
}
