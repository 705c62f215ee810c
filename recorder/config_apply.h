/* What a configuration means to the floors below: the region's tables, the sink. */
#ifndef CP_RECORDER_CONFIG_APPLY_H
#define CP_RECORDER_CONFIG_APPLY_H

#include "recorder/config/config.h"
#include "shm/region.h"

/* Owns the region that config describes, as cp_region_own. */
int cp_config_own_region(const cp_config *config, cp_region_owner *owner, cp_error *err);

/* Fills sink with pointers into config; instance is left NULL. */
void cp_config_sink(const cp_config *config, cp_sink_config *sink);

#endif
