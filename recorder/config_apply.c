#include "recorder/config_apply.h"

#include <stdlib.h>

#include "base/error.h"
#include "ingest/unique.h"
#include "recorder/log_lane.h"

enum {
    PROGRAM_BYTES = 32 * 1024 * 1024, /* code, libraries, stacks, what does not grow */
    CONNECTION_BYTES = 1024 * 1024,   /* of one table: libcurl's buffers, URL, reply */
    LOG_BYTES = 24 * 1024 * 1024      /* of one log: frames, the windows of two readers, checkpoint */
};

int cp_config_own_region(const cp_config *config, cp_region_owner *owner, cp_error *err)
{
    cp_control_table *tables = calloc(config->table_count + 1u, sizeof *tables);
    if (!tables)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u tables", config->table_count);
    for (uint32_t i = 0; i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        tables[i] = (cp_control_table){
            .table = table->table,
            .ring_size = table->ring_size,
            .slots = table->slots,
            .row_max = table->row_max,
            .critical = table->critical,
        };
    }
    const cp_region_spec spec = {
        .dir = config->region_dir,
        .namespace_name = config->namespace_name,
        .group = config->region_group,
        .file_mode = config->region_mode,
        .tables = tables,
        .table_count = config->table_count,
    };
    const int rc = cp_region_own(owner, &spec, err);
    free(tables);
    return rc;
}

uint64_t cp_config_memory(const cp_config *config)
{
    uint64_t bytes = (uint64_t)PROGRAM_BYTES + config->memory_limit;
    uint64_t encoding = 0;
    uint64_t ahead = 0;
    uint64_t reading = 0;
    for (uint32_t i = 0; i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        uint64_t own;
        uint64_t shared;
        cp_flusher_memory(&table->batch, table->table, &own, &shared);
        bytes += own + CONNECTION_BYTES;
        encoding = shared > encoding ? shared : encoding;
        ahead = !table->critical && own > ahead ? own : ahead;
        if (!table->critical)
            continue;
        bytes += LOG_BYTES;
        if (table->unique_key.count)
            bytes += cp_unique_memory(table->unique_window);
        const uint64_t batch = table->batch.max_bytes + CP_LOG_CHUNK_MAX;
        reading = batch > reading ? batch : reading;
    }
    return bytes + encoding + ahead + reading + reading / CP_LOG_RECORD_MIN * sizeof(uint32_t);
}

/* Where bytes are counted by the day, none are spent on trying whether plain bodies are faster. */
static cp_compression compression_of(const cp_config *config)
{
    return config->compression == CP_COMPRESS_AUTO && config->daily_bytes ? CP_COMPRESS_ZSTD
                                                                          : config->compression;
}

void cp_config_sink(const cp_config *config, cp_sink_config *sink)
{
    *sink = (cp_sink_config){
        .url = config->url,
        .user = config->user,
        .password = config->password,
        .database = config->database,
        .ca_file = config->ca_file,
        .compression = compression_of(config),
        .compression_level = config->compression_level,
        .connect_timeout_ms = config->connect_timeout_ms,
        .request_timeout_ms = config->request_timeout_ms,
        .stall_timeout_ms = config->stall_timeout_ms,
        .retry_min_ms = config->retry_min_ms,
        .retry_max_ms = config->retry_max_ms,
        .stamp_source = config->stamp_source,
        .stamp_environment = config->stamp_environment,
        .quarantine_dir = config->quarantine_dir,
        .quarantine_limit = config->quarantine_limit,
        .failback_ns = config->failback_ns,
    };
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS - 1; i++)
        sink->others[i] = config->others[i];
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS; i++)
        sink->abandoned[i] = config->abandoned[i];
}
