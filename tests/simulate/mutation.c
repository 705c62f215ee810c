#include "tests/simulate/mutation.h"

#include <stddef.h>
#include <string.h>

#include "flush/delivery_private.h"
#include "flush/doubt.h"
#include "flush/error_class.h"
#include "flush/quarantine.h"
#include "ingest/unique.h"
#include "recorder/lane.h"
#include "shm/intent.h"
#include "tests/simulate/host.h"
#include "tests/simulate/rows.h"
#include "wal/format.h"

const sim_mutation sim_mutations[] = {
    {"tokens", "ClickHouse drops what it has already", 0, true},
    {"intent", "a batch of a lossy table is announced before it is sent", 0, false},
    {"resume", "a successor takes up the batch that was under way", 0, false},
    {"reply", "only a whole reply acknowledges", 0, false},
    {"count", "what is in doubt is counted", 0, false},
    {"sync", "a row is durable when it is synced, not when it is written", CP_UNSAFE_ACK_WRITTEN, false},
    {"checkpoint", "a batch out of the log stands in the checkpoint before it is sent", CP_UNSAFE_INTENT,
     false},
    {"quarantine", "a refused row counts as settled when it is in the quarantine", 0, false},
    {"endpoint", "what may have been stored at an endpoint is sent there, and nowhere else", 0, false},
    {"tied", "what is under way follows to another endpoint only when it is surely not stored", 0, false},
    {"unanswered", "what libcurl has sent once more by itself may have been stored the first time", 0, false},
    {"aside", "a batch is set aside durably before ring and log go on", 0, false},
    {"keys", "a row that may be lost with its host stands for no other that has its key", 0, false},
    {NULL, NULL, 0, false},
};

const sim_mutation *sim_mutation_now;

const sim_mutation *sim_mutation_find(const char *name)
{
    for (const sim_mutation *at = sim_mutations; at->name; at++) {
        if (strcmp(at->name, name) == 0)
            return at;
    }
    return NULL;
}

bool sim_mutation_is(const char *name)
{
    return sim_mutation_now && strcmp(sim_mutation_now->name, name) == 0;
}

/* ---- the calls ---- */

void __real_cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch);
void __wrap_cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch);
bool __real_cp_intent_load(const cp_control *control, uint32_t table, cp_abi_intent *copy);
bool __wrap_cp_intent_load(const cp_control *control, uint32_t table, cp_abi_intent *copy);
cp_error_class __real_cp_error_classify(const cp_http_reply *reply);
cp_error_class __wrap_cp_error_classify(const cp_http_reply *reply);
bool __real_cp_doubt_countable(const cp_table *table);
void __real_cp_delivery_reply(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns);
void __wrap_cp_delivery_reply(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns);

void __wrap_cp_delivery_reply(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    cp_http_reply seen = *reply;
    seen.unanswered &= !sim_mutation_is("unanswered");
    __real_cp_delivery_reply(delivery, &seen, now_ns);
}

bool __wrap_cp_doubt_countable(const cp_table *table);

void __wrap_cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch)
{
    if (!sim_mutation_is("intent"))
        __real_cp_lane_prepare(lane, batch);
}

bool __wrap_cp_intent_load(const cp_control *control, uint32_t table, cp_abi_intent *copy)
{
    if (!sim_mutation_is("resume"))
        return __real_cp_intent_load(control, table, copy);
    cp_intent_end(&control->intents[table]);
    return false;
}

cp_error_class __wrap_cp_error_classify(const cp_http_reply *reply)
{
    const cp_error_class class = __real_cp_error_classify(reply);
    return class == CP_CLASS_IN_DOUBT && sim_mutation_is("reply") ? CP_CLASS_OK : class;
}

bool __wrap_cp_doubt_countable(const cp_table *table)
{
    return !sim_mutation_is("count") && __real_cp_doubt_countable(table);
}

void __real_cp_unique_forget(cp_unique *unique, uint64_t epoch, uint64_t from);
void __wrap_cp_unique_forget(cp_unique *unique, uint64_t epoch, uint64_t from);

void __wrap_cp_unique_forget(cp_unique *unique, uint64_t epoch, uint64_t from)
{
    if (!sim_mutation_is("keys"))
        __real_cp_unique_forget(unique, epoch, from);
}

/* ---- endpoints ---- */

cp_endpoint *__real_cp_endpoints_find(cp_endpoints *endpoints, uint64_t id);
cp_endpoint *__wrap_cp_endpoints_find(cp_endpoints *endpoints, uint64_t id);
void __real_cp_delivery_aim_(cp_delivery *delivery);
void __wrap_cp_delivery_aim_(cp_delivery *delivery);

cp_endpoint *__wrap_cp_endpoints_find(cp_endpoints *endpoints, uint64_t id)
{
    cp_endpoint *at = __real_cp_endpoints_find(endpoints, id);
    return at && sim_mutation_is("endpoint") ? cp_endpoints_chosen(endpoints) : at;
}

void __wrap_cp_delivery_aim_(cp_delivery *delivery)
{
    delivery->tied &= !sim_mutation_is("tied");
    __real_cp_delivery_aim_(delivery);
}

/* ---- the quarantine: the model learns here which rows are in it ---- */

enum { REFUSED_MOST = 4096 /* at a time: the recorder's groups are smaller */ };

static struct {
    uint64_t epoch, position;
    uint32_t slot;
} refused[REFUSED_MOST];
static uint32_t refused_count;

int __real_cp_quarantine_begin(cp_quarantine *quarantine, cp_error *err);
int __wrap_cp_quarantine_begin(cp_quarantine *quarantine, cp_error *err);
int __real_cp_quarantine_add(cp_quarantine *quarantine, const cp_quarantine_row *row, cp_error *err);
int __wrap_cp_quarantine_add(cp_quarantine *quarantine, const cp_quarantine_row *row, cp_error *err);
int __real_cp_quarantine_commit(cp_quarantine *quarantine, cp_error *err);
int __wrap_cp_quarantine_commit(cp_quarantine *quarantine, cp_error *err);

int __wrap_cp_quarantine_begin(cp_quarantine *quarantine, cp_error *err)
{
    refused_count = 0;
    return __real_cp_quarantine_begin(quarantine, err);
}

int __wrap_cp_quarantine_add(cp_quarantine *quarantine, const cp_quarantine_row *row, cp_error *err)
{
    if (refused_count == REFUSED_MOST)
        sim_fail("more than %d rows go to the quarantine together", REFUSED_MOST);
    else {
        refused[refused_count].epoch = row->epoch;
        refused[refused_count].position = row->position;
        refused[refused_count++].slot = row->slot;
    }
    return __real_cp_quarantine_add(quarantine, row, err);
}

int __wrap_cp_quarantine_commit(cp_quarantine *quarantine, cp_error *err)
{
    if (sim_mutation_is("quarantine")) {
        cp_quarantine_abort(quarantine);
        return CP_OK;
    }
    const int rc = __real_cp_quarantine_commit(quarantine, err);
    uint32_t table = 0;
    while (table < SIM_TABLES && strcmp(sim_tables[table].name, quarantine->table) != 0)
        table++;
    for (uint32_t i = 0; rc == CP_OK && i < refused_count; i++)
        sim_row_quarantined(table, refused[i].slot, refused[i].epoch, refused[i].position);
    return rc;
}
