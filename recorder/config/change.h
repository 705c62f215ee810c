/* What is different in a configuration read anew, key by key, and whether a recorder that runs takes it over.
 *
 *   key.live    compared with what was applied last    changed: applied, without a restart
 *   others      compared with what it started with     changed: needs a restart, until then the old value holds
 *
 * flush.max_bytes is live as far as the memory taken at the start goes. Tables that come, go, or have other columns need a
 * restart. */
#ifndef CP_RECORDER_CONFIG_CHANGE_H
#define CP_RECORDER_CONFIG_CHANGE_H

#include "recorder/config/config.h"

/* Called for each key that changed, "clickhouse.url" or "tables.quotes.flush.rows"; live: applied without a restart. */
typedef void cp_config_change_sink(void *ctx, const char *path, bool live);

/* started: what the recorder was started with; applied: what it took over last (started, when nothing yet). */
void cp_config_compare(const cp_config *started, const cp_config *applied, const cp_config *fresh,
                       cp_config_change_sink *sink, void *ctx);

/* The policy of table index of started under fresh, within the memory that was taken at the start. False: fresh has no such
 * table. */
bool cp_config_batch_policy(const cp_config *started, uint32_t index, const cp_config *fresh,
                            cp_batch_policy *policy);

#endif
