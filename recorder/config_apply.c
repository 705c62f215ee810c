#include "recorder/config_apply.h"

#include <stdlib.h>

#include "base/error.h"

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

void cp_config_sink(const cp_config *config, cp_sink_config *sink)
{
    *sink = (cp_sink_config){
        .url = config->url,
        .user = config->user,
        .password = config->password,
        .database = config->database,
        .ca_file = config->ca_file,
        .compression = config->compression,
        .compression_level = config->compression_level,
        .connect_timeout_ms = config->connect_timeout_ms,
        .request_timeout_ms = config->request_timeout_ms,
        .retry_min_ms = config->retry_min_ms,
        .retry_max_ms = config->retry_max_ms,
        .quarantine_dir = config->quarantine_dir,
        .quarantine_limit = config->quarantine_limit,
    };
}
