/* See metric.h. The order is that of /metrics: what one looks at first comes first. */
#include "monitor/metric.h"

#include "base/clock.h"
#include "monitor/process.h"
#include "monitor/sample.h"

/* ---- of the recorder ------------------------------------------------------------------------------------------- */

/* 0 without a region. */
#define RECORDER_FIELD(function, expression)                                                                 \
    static double function(const cp_watch_view *view)                                                        \
    {                                                                                                        \
        return view->present ? (double)(expression) : 0;                                                     \
    }

/* Of the control file's header, which the recorder writes meanwhile. */
#define HEADER(field) __atomic_load_n(&view->observer->control.header->field, __ATOMIC_RELAXED)

static double boot_to_unix(const cp_watch_view *view, uint64_t boot_ns)
{
    return boot_ns == 0 ? 0 : (double)(boot_ns + view->real_minus_boot_ns) / CP_NS_PER_S;
}

/* The day's figure is of an earlier day until the recorder sends again. */
static bool sent_is_of_today(const cp_watch_view *view)
{
    const uint64_t today =
        (view->taken_ns + view->real_minus_boot_ns) / CP_NS_PER_S / ((uint64_t)24 * 60 * 60);
    return HEADER(sent_day) == today;
}

RECORDER_FIELD(region_present, view->present)
RECORDER_FIELD(recorder_up, view->observer->recorder_alive)
RECORDER_FIELD(healthy, view->health.sound)
RECORDER_FIELD(heartbeat, boot_to_unix(view, HEADER(heartbeat_ns)))
RECORDER_FIELD(sink_state, HEADER(sink_state))
RECORDER_FIELD(reload_time, (double)HEADER(reload_ns) / CP_NS_PER_S)
RECORDER_FIELD(mode, HEADER(mode))
RECORDER_FIELD(sent_today, sent_is_of_today(view) ? HEADER(sent_bytes) : 0)
RECORDER_FIELD(sent_limit, HEADER(sent_limit))
RECORDER_FIELD(commands_obeyed, HEADER(commands))
RECORDER_FIELD(commands_refused, HEADER(commands_refused))
RECORDER_FIELD(chunks, HEADER(chunk_count))
RECORDER_FIELD(chunks_free, HEADER(chunks_free))
RECORDER_FIELD(drain_turns, HEADER(drain_turns))
RECORDER_FIELD(drain_work_turns, HEADER(drain_work_turns))

/* All 0 without a canary. */
RECORDER_FIELD(canary_interval, (double)view->canary.interval_ns / CP_NS_PER_S)
RECORDER_FIELD(canary_limit, (double)view->canary.limit_ns / CP_NS_PER_S)
RECORDER_FIELD(canary_lag, (double)view->canary.lag_ns / CP_NS_PER_S)
RECORDER_FIELD(canary_arrived, view->canary.interval_ns ? boot_to_unix(view, view->canary.arrived_ns) : 0)

/* The configuration that a recorder starts with is valid: only a refused reload makes it 0. */
static double reload_successful(const cp_watch_view *view)
{
    return !view->present || HEADER(reload_result) != CP_RELOAD_REFUSED;
}

static double wal_size(const cp_watch_view *view)
{
    double sum = 0;
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++)
        sum += (double)view->tables[i].measures.log_bytes;
    return sum;
}

/* ---- of a table ------------------------------------------------------------------------------------------------ */

#define TABLE_FIELD(function, expression)                                                                    \
    static double function(const cp_watch_view *view, uint32_t index)                                        \
    {                                                                                                        \
        const cp_table_view *table = &view->observer->tables[index];                                         \
        return (double)(expression);                                                                         \
    }

TABLE_FIELD(usage, table->usage_permille / 1000.0)
TABLE_FIELD(usage_peak, table->counters.peak_usage_permille / 1000.0)
TABLE_FIELD(produced, table->produced)
TABLE_FIELD(drained, table->counters.drained_rows)
TABLE_FIELD(delivered, table->delivered)
TABLE_FIELD(suppressed, table->suppressed)
TABLE_FIELD(quarantined, table->quarantined)
TABLE_FIELD(lost, table->dropped + table->given_up)
TABLE_FIELD(doubtful, table->doubtful)
TABLE_FIELD(unkeyed, table->counters.unkeyed_rows)
TABLE_FIELD(duplicate, table->counters.duplicate_rows)
TABLE_FIELD(in_ring, table->in_ring)
TABLE_FIELD(in_log, table->in_log)
TABLE_FIELD(at_risk, table->at_risk)
TABLE_FIELD(queued, table->counters.queued_rows)
TABLE_FIELD(in_flight, table->counters.in_flight_rows)
TABLE_FIELD(balanced, table->balanced)
TABLE_FIELD(pressure, table->pressure)
TABLE_FIELD(producers, table->producers)
TABLE_FIELD(broken_rings, table->broken_rings)
TABLE_FIELD(attempts, table->counters.insert_attempts)
TABLE_FIELD(batches, table->counters.delivered_batches)
TABLE_FIELD(body_bytes, table->counters.delivered_body_bytes)
TABLE_FIELD(retrying, table->counters.retry_at_ns != 0)
TABLE_FIELD(guarantee, table->counters.guarantee)
TABLE_FIELD(last_insert, (double)table->counters.last_insert_ns / CP_NS_PER_S)
TABLE_FIELD(pool_waits, table->counters.pool_waits)
TABLE_FIELD(parked, table->counters.parked_since_ns != 0)
TABLE_FIELD(paused, table->counters.paused_since_ns != 0)
TABLE_FIELD(pressure_changes, table->counters.pressure_changes)

#define MEASURE_FIELD(function, field)                                                                       \
    static double function(const cp_watch_view *view, uint32_t index)                                        \
    {                                                                                                        \
        return (double)view->tables[index].measures.field;                                                   \
    }

MEASURE_FIELD(wal_table_size, log_bytes)
MEASURE_FIELD(wal_limit, log_limit)
MEASURE_FIELD(wal_state, log_state)

/* Rows before `consumed` of a critical table are in its log, or were. */
static double wal_durable(const cp_watch_view *view, uint32_t index)
{
    const cp_table_view *table = &view->observer->tables[index];
    uint64_t rows = 0;
    for (uint32_t slot = 0; table->entry->critical && slot < table->entry->slots; slot++)
        rows += table->rings[slot].ack.consumed_rows;
    return (double)rows;
}

static double oldest_unshipped(const cp_watch_view *view, uint32_t index)
{
    const uint64_t oldest = cp_watch_oldest_ns(view, index);
    const uint64_t paused = view->observer->tables[index].counters.paused_since_ns; /* real time */
    return oldest == CP_WATCH_AGE_UNKNOWN ? (double)paused / CP_NS_PER_S : boot_to_unix(view, oldest);
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

#define OF_RECORDER(metric, kind, function, text)                                                            \
    {                                                                                                        \
        .name = (metric), .type = (kind), .labels = "", .help = (text), .global = (function)                 \
    }
#define OF_TABLE(metric, kind, function, text)                                                               \
    {                                                                                                        \
        .name = (metric), .type = (kind), .labels = "table", .help = (text), .table = (function)             \
    }
#define OF_TIMES(metric, field, first, last, text)                                                           \
    {                                                                                                        \
        .name = (metric), .type = CP_METRIC_HISTOGRAM, .labels = "table, le", .help = (text), .histogram = { \
            offsetof(cp_abi_measures, field),                                                                \
            1e-6,                                                                                            \
            (first),                                                                                         \
            (last),                                                                                          \
            true,                                                                                            \
            false                                                                                            \
        }                                                                                                    \
    }

const cp_metric cp_metrics[] = {
    OF_RECORDER("recorder_up", CP_METRIC_GAUGE, recorder_up,
                "1 while coldpathd holds the region, 0 when no recorder runs"),
    OF_RECORDER("recorder_region_present", CP_METRIC_GAUGE, region_present,
                "1 when the region is there and readable"),
    OF_RECORDER("recorder_healthy", CP_METRIC_GAUGE, healthy, "1 when /readyz would say so"),
    OF_RECORDER("recorder_heartbeat_timestamp_seconds", CP_METRIC_GAUGE, heartbeat,
                "When the drain thread last turned, Unix time; 0 before the first time"),
    OF_RECORDER("recorder_sink_state", CP_METRIC_GAUGE, sink_state,
                "ClickHouse: 0 not asked yet, 1 healthy, 2 down, 3 degraded: some rows are not taken, or not "
                "at once"),
    {.name = "recorder_endpoint_state",
     .type = CP_METRIC_GAUGE,
     .labels = "endpoint",
     .help = "A ClickHouse endpoint, as recorder_sink_state",
     .samples = cp_sample_endpoint_states},
    {.name = "recorder_endpoint_chosen",
     .type = CP_METRIC_GAUGE,
     .labels = "endpoint",
     .help = "1 for the endpoint that new batches go to",
     .samples = cp_sample_endpoint_chosen},
    {.name = "recorder_endpoint_chosen_total",
     .type = CP_METRIC_COUNTER,
     .labels = "endpoint",
     .help = "How often an endpoint was chosen for new batches",
     .samples = cp_sample_endpoint_switches},
    {.name = "recorder_endpoint_held_rows",
     .type = CP_METRIC_GAUGE,
     .labels = "endpoint",
     .help = "Rows set aside: they may have been stored at an endpoint that does not answer, and wait for it",
     .samples = cp_sample_endpoint_held},
    OF_TABLE("recorder_queue_usage", CP_METRIC_GAUGE, usage, "How full the table's fullest ring is, 0 to 1"),
    OF_TABLE("recorder_queue_peak_usage", CP_METRIC_GAUGE, usage_peak,
             "The fullest a ring of the table has been, as the drain thread saw it, 0 to 1"),
    {.name = "recorder_insert_latency_ms",
     .type = CP_METRIC_SUMMARY,
     .labels = "table, quantile",
     .help = "Acknowledged inserts of the last minute, in milliseconds; NaN when there was none",
     .samples = cp_sample_insert_latency},
    OF_RECORDER("recorder_wal_size_bytes", CP_METRIC_GAUGE, wal_size,
                "Bytes on disk of all critical tables' logs"),
    OF_TABLE("recorder_dropped_rows_total", CP_METRIC_COUNTER, lost,
             "Rows that were taken from their producer and are lost: dropped under pressure, or given up "
             "with a damaged log; what rules leave out, or what waits in quarantine, is not among them"),
    OF_TABLE(
        "recorder_doubtful_rows_total", CP_METRIC_COUNTER, doubtful,
        "Of the dropped rows those in a batch under way when a recorder was killed: they may have arrived"),
    OF_TABLE("recorder_produced_rows_total", CP_METRIC_COUNTER, produced, "Rows put by producers"),
    OF_TABLE("recorder_drained_rows_total", CP_METRIC_COUNTER, drained,
             "Rows copied out of rings; counts again what a restart copies again"),
    OF_TABLE("recorder_wal_durable_rows_total", CP_METRIC_COUNTER, wal_durable,
             "Rows of critical tables that became durable in the log"),
    OF_TABLE("recorder_delivered_rows_total", CP_METRIC_COUNTER, delivered,
             "Rows that ClickHouse acknowledged"),
    OF_TABLE("recorder_downsampled_rows_total", CP_METRIC_COUNTER, suppressed,
             "Rows left out on purpose, by the table's pressure rules"),
    OF_TABLE("recorder_quarantined_rows_total", CP_METRIC_COUNTER, quarantined,
             "Rows that ClickHouse refuses one by one, kept in the quarantine file"),
    {.name = "recorder_discards_total",
     .type = CP_METRIC_COUNTER,
     .labels = "table, reason",
     .help =
         "Rows that did not go to ClickHouse, by reason; ring_full and too_big are puts that were refused",
     .samples = cp_sample_discards},
    OF_TABLE("recorder_duplicate_rows_total", CP_METRIC_COUNTER, duplicate,
             "Rows left out by unique_key, of the rejected ones; counts again what a restart copies again"),
    OF_TABLE("recorder_ring_rows", CP_METRIC_GAUGE, in_ring, "Rows in the table's rings"),
    OF_TABLE("recorder_wal_rows", CP_METRIC_GAUGE, in_log, "Rows durable in the log and not yet delivered"),
    OF_TABLE("recorder_at_risk_rows", CP_METRIC_GAUGE, at_risk,
             "Rows taken out of rings early, under pressure: lost if the recorder is killed now"),
    OF_TABLE("recorder_queued_rows", CP_METRIC_GAUGE, queued, "Rows copied out that wait for a batch"),
    OF_TABLE("recorder_in_flight_rows", CP_METRIC_GAUGE, in_flight, "Rows in the batch that is being sent"),
    OF_TABLE("recorder_ledger_balanced", CP_METRIC_GAUGE, balanced,
             "1 when every row put is accounted for; the rows in the rings are counted every few seconds"),
    OF_TABLE(
        "recorder_oldest_unshipped_timestamp_seconds", CP_METRIC_GAUGE, oldest_unshipped,
        "When the oldest row that waits was first seen, Unix time; 0 when none waits; of a paused table, at "
        "the earliest when it was paused"),
    OF_TABLE("recorder_last_insert_timestamp_seconds", CP_METRIC_GAUGE, last_insert,
             "When ClickHouse last acknowledged an insert, Unix time; 0 before the first"),
    OF_TIMES("recorder_insert_duration_seconds", insert_us, 9, 27,
             "Acknowledged inserts, first byte to acknowledgement"),
    OF_TIMES("recorder_wal_sync_duration_seconds", sync_us, 5, 25,
             "Writes of the log, from handing one to the kernel until the recorder sees it durable"),
    OF_TIMES("recorder_put_to_durable_seconds", put_durable_us, 5, 27,
             "From put to durable in the log, of the oldest row of each record; an upper bound, no put is "
             "measured"),
    {.name = "recorder_batch_rows",
     .type = CP_METRIC_HISTOGRAM,
     .labels = "table, le",
     .help = "Rows of acknowledged inserts",
     .histogram = {offsetof(cp_abi_measures, batch_rows), 1, 1, 20, true, true}},
    OF_RECORDER("recorder_canary_interval_seconds", CP_METRIC_GAUGE, canary_interval,
                "How often the recorder puts a canary row of its own; 0: it does not, and what follows is 0"),
    OF_RECORDER("recorder_canary_limit_seconds", CP_METRIC_GAUGE, canary_limit,
                "How old the last canary row that arrived may become (canary.limit)"),
    OF_RECORDER("recorder_canary_arrived_timestamp_seconds", CP_METRIC_GAUGE, canary_arrived,
                "When the last canary row that ClickHouse has was put, Unix time; before the first, when the "
                "recorder began"),
    OF_RECORDER("recorder_canary_lag_seconds", CP_METRIC_GAUGE, canary_lag,
                "From put to ClickHouse, of the last canary row; of the oldest one under way so far, when "
                "that is longer"),
    {.name = "recorder_canary_duration_seconds",
     .type = CP_METRIC_HISTOGRAM,
     .labels = "stage, le",
     .help = "Canary rows, from put to each stage: durable in the log (of a lossy table: delivered), "
             "delivered to ClickHouse",
     .samples = cp_sample_canary_times},
    {.name = "recorder_canary_rows_total",
     .type = CP_METRIC_COUNTER,
     .labels = "stage",
     .help = "Canary rows that reached a stage; lost ones were dropped or quarantined, refused ones found no "
             "room",
     .samples = cp_sample_canary_rows},
    OF_TABLE("recorder_pressure_level", CP_METRIC_GAUGE, pressure,
             "The table's rung of the pressure ladder; 0 when everything is recorded"),
    OF_TABLE("recorder_pressure_changes_total", CP_METRIC_COUNTER, pressure_changes,
             "How often the table went to another rung"),
    OF_TABLE("recorder_unkeyed_rows_total", CP_METRIC_COUNTER, unkeyed,
             "Rows recorded in full on rungs 1 and 2 because the table of keys was full"),
    {.name = "recorder_pressure_seconds_total",
     .type = CP_METRIC_COUNTER,
     .labels = "table, level",
     .help = "Time spent on each rung of the pressure ladder",
     .samples = cp_sample_pressure_seconds},
    OF_TABLE("recorder_producers", CP_METRIC_GAUGE, producers, "Producers that hold a ring of the table now"),
    {.name = "recorder_producer_up",
     .type = CP_METRIC_GAUGE,
     .labels = "table, slot, producer",
     .help = "1 while the last producer of the slot lives",
     .samples = cp_sample_producers},
    OF_TABLE("recorder_rings_broken", CP_METRIC_GAUGE, broken_rings,
             "Rings that broke the protocol and are no longer read"),
    OF_TABLE("recorder_insert_attempts_total", CP_METRIC_COUNTER, attempts, "Inserts sent, retries included"),
    {.name = "recorder_insert_errors_total",
     .type = CP_METRIC_COUNTER,
     .labels = "table, class",
     .help = "Inserts that failed: net without an answer, server with one",
     .samples = cp_sample_insert_errors},
    OF_TABLE("recorder_insert_retrying", CP_METRIC_GAUGE, retrying,
             "1 while a failed insert waits to be sent again"),
    OF_TABLE("recorder_parked", CP_METRIC_GAUGE, parked,
             "1 while the table is parked: ClickHouse refuses it in a way that only a person can mend"),
    OF_TABLE("recorder_paused", CP_METRIC_GAUGE, paused,
             "1 while coldpath pause holds the table's rows back from ClickHouse"),
    OF_TABLE("recorder_delivery_guarantee", CP_METRIC_GAUGE, guarantee,
             "0 not known yet, 1 at least once, 2 exactly once"),
    OF_TABLE("recorder_delivered_batches_total", CP_METRIC_COUNTER, batches,
             "Inserts that ClickHouse acknowledged"),
    OF_TABLE("recorder_sent_bytes_total", CP_METRIC_COUNTER, body_bytes,
             "Bytes of acknowledged inserts, as sent, compressed"),
    OF_RECORDER("recorder_mode", CP_METRIC_GAUGE, mode,
                "What is sent to ClickHouse: 0 direct, all; 1 wal_first, logs while coldpath replay runs; 2 "
                "disabled"),
    OF_RECORDER("recorder_sent_day_bytes", CP_METRIC_GAUGE, sent_today,
                "Bytes of inserts sent since midnight UTC, each attempt"),
    OF_RECORDER("recorder_sent_day_limit_bytes", CP_METRIC_GAUGE, sent_limit,
                "What may be sent in a day; 0 without a limit"),
    OF_RECORDER("recorder_commands_total", CP_METRIC_COUNTER, commands_obeyed,
                "Commands obeyed that came by the control socket: pause, flush, reload and so on"),
    OF_RECORDER("recorder_commands_refused_total", CP_METRIC_COUNTER, commands_refused,
                "Commands not obeyed: from somebody who may not, not understood, or not possible"),
    OF_TABLE("recorder_wal_table_size_bytes", CP_METRIC_GAUGE, wal_table_size,
             "Bytes on disk of the table's log"),
    OF_TABLE("recorder_wal_limit_bytes", CP_METRIC_GAUGE, wal_limit,
             "What the table's log may grow to; 0 without a log"),
    OF_TABLE("recorder_wal_state", CP_METRIC_GAUGE, wal_state,
             "The table's log: 0 none, 1 takes rows, 2 full (limit or disk), 3 cannot be written"),
    OF_RECORDER("recorder_config_last_reload_successful", CP_METRIC_GAUGE, reload_successful,
                "0 when the configuration was read anew and refused, 1 otherwise"),
    OF_RECORDER(
        "recorder_config_last_reload_timestamp_seconds", CP_METRIC_GAUGE, reload_time,
        "When the configuration was last read anew, Unix time; 0 when it has not been since the start"),
    OF_RECORDER("recorder_chunks", CP_METRIC_GAUGE, chunks, "Chunks of the recorder's pool"),
    OF_RECORDER("recorder_chunks_free", CP_METRIC_GAUGE, chunks_free, "Chunks of the pool that are free"),
    OF_TABLE("recorder_pool_waits_total", CP_METRIC_COUNTER, pool_waits,
             "Visits of the drain thread cut short because no chunk was free"),
    OF_RECORDER("recorder_drain_turns_total", CP_METRIC_COUNTER, drain_turns, "Turns of the drain thread"),
    OF_RECORDER("recorder_drain_work_turns_total", CP_METRIC_COUNTER, drain_work_turns,
                "Turns of the drain thread that found something to do"),
    {.name = "recorder_build_info",
     .type = CP_METRIC_GAUGE,
     .labels = "version, abi",
     .help = "The version of the program that answers; always 1",
     .samples = cp_sample_build},
    OF_RECORDER("process_cpu_seconds_total", CP_METRIC_COUNTER, cp_process_cpu_seconds,
                "Processor time of the process that answers"),
    OF_RECORDER("process_resident_memory_bytes", CP_METRIC_GAUGE, cp_process_resident_bytes,
                "Resident memory of the process that answers, shared memory it touched included"),
    OF_RECORDER("process_virtual_memory_bytes", CP_METRIC_GAUGE, cp_process_virtual_bytes,
                "Address space of the process that answers"),
    OF_RECORDER("process_start_time_seconds", CP_METRIC_GAUGE, cp_process_start_seconds,
                "When the process that answers started, Unix time"),
    OF_RECORDER("process_open_fds", CP_METRIC_GAUGE, cp_process_open_fds, "File descriptors in use"),
    OF_RECORDER("process_max_fds", CP_METRIC_GAUGE, cp_process_max_fds, "File descriptors allowed"),
    {.name = NULL},
};
