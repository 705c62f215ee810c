#include "recorder/given_up.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "wal/reader.h"

/* True when the ledger has the record already: it went ahead of the backlog, or its batch was counted by a recorder that died
 * before the checkpoint knew. */
static bool record_settled(const cp_wal *wal, const cp_lane *lane, uint64_t lsn)
{
    const cp_wal_intent *intents = NULL;
    const uint32_t count = cp_wal_intents(wal, &intents);
    for (uint32_t i = 0; i < count; i++) {
        if (lsn >= intents[i].lo && lsn <= intents[i].hi &&
            (intents[i].token[0] == '\0' || cp_lane_was_counted(lane, intents[i].token)))
            return true;
    }
    return false;
}

/* Rows of undelivered records, by ring. */
static int rows_count(cp_wal *wal, const cp_lane *lane, const cp_chunk *into,
                      uint64_t rows[CP_REGION_MAX_SLOTS], cp_error *err)
{
    cp_wal_reader *reader = NULL;
    int rc = cp_wal_reader_create(&reader, wal, cp_wal_delivered(wal) + 1, err);
    while (rc == CP_OK) {
        cp_chunk chunk = *into;
        uint64_t lsn = 0;
        rc = cp_wal_reader_next(reader, &chunk, &lsn, err);
        if (rc == CP_OK && chunk.byte_count > 0 && chunk.slot < lane->entry->slots &&
            chunk.epoch == lane->states[chunk.slot].epoch && !record_settled(wal, lane, lsn))
            rows[chunk.slot] += chunk.row_count + chunk.rejected;
    }
    cp_wal_reader_free(reader);
    return rc == CP_E_ABSENT ? CP_OK : rc; /* nothing more */
}

void cp_given_up_book(cp_wal *wal, cp_lane *lane, const cp_chunk *into)
{
    uint64_t in_log[CP_REGION_MAX_SLOTS] = {0};
    cp_error err = {0};
    if (!cp_wal_repaired(wal))
        return;
    const int rc = rows_count(wal, lane, into, in_log, &err);
    if (rc < 0) {
        char quoted[CP_ERROR_TEXT + 64];
        cp_log(CP_LOG_WARN, "rows of a damaged log that were given up cannot be counted yet",
               "table=%s error=%s remedy=\"coldpath wal verify; counted at the next start\"",
               lane->entry->name, cp_log_quote(quoted, sizeof quoted, err.text));
    }
    for (uint32_t slot = 0; rc == CP_OK && slot < lane->entry->slots; slot++) {
        const cp_abi_ack *state = &lane->states[slot];
        const uint64_t waiting = state->consumed_rows - cp_ack_settled_rows(state);
        if (waiting <= in_log[slot])
            continue;
        cp_log(
            CP_LOG_WARN, "rows of a log were given up",
            "table=%s slot=%u rows=%llu remedy=\"the files are kept in the log's directory, in damaged/, or "
            "purged ones in trash/\"",
            lane->entry->name, slot, (unsigned long long)(waiting - in_log[slot]));
        cp_lane_give_up(lane, slot, waiting - in_log[slot]);
    }
}
