/* The environment as a source of values.
 *
 *   COLDPATH_CLICKHOUSE__URL, COLDPATH_TABLES__QUOTES__FLUSH__ROWS    over the files: path in capitals, "__"
 * for "." COLDPATH_REGION_DIR                                               region.dir, which producers read
 * as well $CREDENTIALS_DIRECTORY/clickhouse_password                        systemd's LoadCredential=, over
 * the files CH_URL, CH_USER, CH_PASS, CH_DB, CH_BATCH_SIZE,                   under the files: what older
 * recorders read, so CH_FLUSH_INTERVAL_S, HFT_CLICKHOUSE_HOST                          that a minimal file
 * does for a first move */
#ifndef CP_RECORDER_CONFIG_ENV_H
#define CP_RECORDER_CONFIG_ENV_H

#include "recorder/config/layer.h"

/* Both: CP_OK, also with problems; CP_E_NOMEM. environment is as environ(7). */
int cp_config_env_apply_older(cp_config_layers *layers, char *const *environment);
int cp_config_env_apply(cp_config_layers *layers, char *const *environment);

#endif
