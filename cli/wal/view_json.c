#include "cli/wal/view_json.h"

#include "base/clock.h"
#include "cli/cli.h"

static void add_range(json_object *item, const cp_wal_fault *fault)
{
    cp_json_add_uint(item, "lo", fault->lo);
    cp_json_add_uint(item, "hi", fault->hi);
}

json_object *cp_wal_faults_json(const cp_wal_view *view)
{
    json_object *array = json_object_new_array();
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++) {
        const cp_wal_fault *fault = &view->faults[n];
        json_object *item = json_object_new_object();
        char name[CP_WAL_SEGMENT_NAME];
        cp_wal_segment_name(name, fault->slot);
        cp_json_add_uint(item, "segment", fault->segment_id);
        cp_json_add_string(item, "file", fault->file ? name : NULL);
        cp_json_add_uint(item, "offset", fault->offset);
        add_range(item, fault);
        cp_json_add_bool(item, "delivered", fault->delivered);
        cp_json_add_string(item, "what", fault->text);
        json_object_array_add(array, item);
    }
    return array;
}

static json_object *segments_json(const cp_wal_view *view)
{
    json_object *array = json_object_new_array();
    for (uint32_t n = 0; n < view->segment_count; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        json_object *item = json_object_new_object();
        char name[CP_WAL_SEGMENT_NAME];
        cp_wal_segment_name(name, segment->slot);
        cp_json_add_string(item, "file", segment->state == CP_WAL_VIEW_MISSING ? NULL : name);
        cp_json_add_string(item, "state", cp_wal_view_state_name(segment->state));
        cp_json_add_uint(item, "id", segment->origin.id);
        cp_json_add_uint(item, "epoch", segment->epoch);
        cp_json_add_uint(item, "base_lsn", segment->origin.base_lsn);
        cp_json_add_uint(item, "end_lsn", segment->end_lsn);
        cp_json_add_uint(item, "bytes", segment->bytes);
        cp_json_add_bool(item, "repaired", segment->repaired);
        cp_json_add_bool(item, "scanned", segment->scanned);
        cp_json_add_uint(item, "records", segment->records);
        cp_json_add_uint(item, "rows", segment->rows);
        json_object_array_add(array, item);
    }
    return array;
}

static json_object *rings_json(const cp_wal_view *view)
{
    json_object *array = json_object_new_array();
    for (uint32_t slot = 0; slot < CP_WAL_RINGS; slot++) {
        const cp_wal_ring *ring = &view->rings[slot];
        if (ring->lsn == 0)
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_uint(item, "slot", slot);
        cp_json_add_uint(item, "epoch", ring->epoch);
        cp_json_add_uint(item, "end", ring->end);
        cp_json_add_uint(item, "lsn", ring->lsn);
        json_object_array_add(array, item);
    }
    return array;
}

static json_object *intents_json(const cp_wal_view *view)
{
    json_object *array = json_object_new_array();
    for (uint32_t n = 0; n < view->checkpoint.intent_count; n++) {
        const cp_wal_intent *intent = &view->checkpoint.intents[n];
        json_object *item = json_object_new_object();
        cp_json_add_uint(item, "lo", intent->lo);
        cp_json_add_uint(item, "hi", intent->hi);
        cp_json_add_uint(item, "rows", intent->rows);
        if (intent->piece_rows) {
            cp_json_add_uint(item, "piece_first", intent->piece_first);
            cp_json_add_uint(item, "piece_rows", intent->piece_rows);
        }
        /* Without a token: delivered, ahead of a backlog. */
        cp_json_add_string(item, "token", intent->token[0] ? intent->token : NULL);
        json_object_array_add(array, item);
    }
    return array;
}

cp_wal_sums cp_wal_view_sum(const cp_wal_view *view)
{
    cp_wal_sums sums = {0};
    for (uint32_t n = 0; n < view->segment_count; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        sums.records += segment->waiting_records;
        sums.rows += segment->waiting_rows;
        sums.bytes += segment->waiting_bytes;
        sums.scanned += segment->records;
        sums.used += segment->state == CP_WAL_VIEW_SEALED || segment->state == CP_WAL_VIEW_NEWEST;
        if (segment->waiting_since_ns && (sums.since_ns == 0 || segment->waiting_since_ns < sums.since_ns))
            sums.since_ns = segment->waiting_since_ns;
    }
    return sums;
}

double cp_wal_waited_s(const cp_wal_sums *sums)
{
    const uint64_t now = cp_realtime_ns();
    return sums->since_ns && now > sums->since_ns ? (double)(now - sums->since_ns) / 1e9 : 0;
}

json_object *cp_wal_view_json(const cp_table_config *table, const cp_wal_view *view)
{
    const cp_wal_sums sums = cp_wal_view_sum(view);
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", table->name);
    cp_json_add_string(item, "dir", view->dir);
    cp_json_add_bool(item, "in_use", view->in_use);
    cp_json_add_uint(item, "holder_pid", (uint64_t)view->holder);
    cp_json_add_uint(item, "bytes", view->bytes);
    cp_json_add_uint(item, "limit", table->wal_limit);
    cp_json_add_uint(item, "oldest_lsn", view->oldest_lsn);
    cp_json_add_uint(item, "delivered_lsn", view->delivered_lsn);
    cp_json_add_uint(item, "acknowledged_lsn", view->durable_lsn);
    cp_json_add_uint(item, "end_lsn", view->end_lsn);
    cp_json_add_uint(item, "waiting_records", sums.records);
    cp_json_add_uint(item, "waiting_rows", sums.rows);
    cp_json_add_uint(item, "waiting_bytes", sums.bytes);
    cp_json_add_double(item, "oldest_waiting_s", cp_wal_waited_s(&sums));
    cp_json_add_uint(item, "records_verified", sums.scanned);
    json_object *checkpoint = json_object_new_object();
    cp_json_add_bool(checkpoint, "lost", view->checkpoint_lost);
    cp_json_add_bool(checkpoint, "a_sound", view->checkpoint_sound[0]);
    cp_json_add_bool(checkpoint, "b_sound", view->checkpoint_sound[1]);
    cp_json_add_uint(checkpoint, "generation", view->checkpoint.generation);
    cp_json_add_uint(checkpoint, "durable_lsn", view->checkpoint.durable_lsn);
    cp_json_add(checkpoint, "intents", intents_json(view));
    cp_json_add(item, "checkpoint", checkpoint);
    cp_json_add(item, "rings", rings_json(view));
    cp_json_add(item, "segments", segments_json(view));
    cp_json_add(item, "faults", cp_wal_faults_json(view));
    cp_json_add_uint(item, "fault_count", view->fault_count);
    cp_json_add_uint(item, "lost_records", cp_wal_view_lost(view));
    return item;
}
