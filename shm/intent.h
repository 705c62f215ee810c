/* The intent of a table's batch under way, in the control file: written by the recorder, read by its successor. See abi.h
 * for the states and why. */
#ifndef CP_SHM_INTENT_H
#define CP_SHM_INTENT_H

#include <stdbool.h>

#include "shm/control.h"

/* Fills the intent and makes it SENDING. spans: count of them, complete. The intent must be open to a new one: cp_intent_is_open. */
void cp_intent_begin(cp_abi_intent *intent, const char *token, uint64_t rows, const cp_abi_intent_span *spans,
                     uint32_t count);

/* Where the batch is sent; before cp_intent_begin, or when that changes before it is sent again. */
void cp_intent_aim(cp_abi_intent *intent, uint64_t endpoint, uint64_t group);

/* True when no batch stands in it. */
static inline bool cp_intent_is_open(const cp_abi_intent *intent)
{
    const uint32_t state = __atomic_load_n(&intent->state, __ATOMIC_ACQUIRE);
    return state == CP_INTENT_NONE || state == CP_INTENT_ENDED;
}

/* The batch goes in pieces, and this one is about to be sent: one store, so that a successor finds this piece or the one before. */
void cp_intent_piece(cp_abi_intent *intent, uint32_t first, uint32_t rows);

/* Of a SENDING intent: what the spans' numbers have become while pieces were settled. Places stay as they are. */
void cp_intent_recount(cp_abi_intent *intent, const cp_abi_intent_span *spans, uint32_t count);

/* ClickHouse has acknowledged: SENDING becomes DELIVERED. */
void cp_intent_delivered(cp_abi_intent *intent);

/* The acknowledgements are moved: ENDED. */
void cp_intent_end(cp_abi_intent *intent);

/* Copies what a predecessor left into private memory and checks it against the table's geometry and acknowledgements.
 * False when there is none, or it makes no sense (then it is ended). */
bool cp_intent_load(const cp_control *control, uint32_t table, cp_abi_intent *copy);

#endif
