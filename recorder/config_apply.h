/* What a configuration means to the floors below: the region's tables, the sink. */
#ifndef CP_RECORDER_CONFIG_APPLY_H
#define CP_RECORDER_CONFIG_APPLY_H

#include "recorder/config/config.h"
#include "shm/region.h"

/* Owns the region that config describes, as cp_region_own. */
int cp_config_own_region(const cp_config *config, cp_region_owner *owner, cp_error *err);

/* Bytes of memory that a recorder with this configuration takes at most, rings (shared memory) apart: chunk pool, batches and
 * their encoding, logs, connections. Taken as it is needed, and mostly given back. */
uint64_t cp_config_memory(const cp_config *config);

/* Fills sink with pointers into config; instance is left NULL. */
void cp_config_sink(const cp_config *config, cp_sink_config *sink);

#endif
