/* The keys of the configuration: one list from which the file's keys, the environment's variables,
 * suggestions, defaults, ranges and `coldpath check --origin` come. deploy/coldpath.yaml shows every one (a
 * test sees to it). */
#ifndef CP_RECORDER_CONFIG_KEY_H
#define CP_RECORDER_CONFIG_KEY_H

#include "recorder/config/value.h"

typedef enum cp_config_key_id {
    CP_KEY_NAMESPACE,
    CP_KEY_MODE,
    CP_KEY_REGION_DIR,
    CP_KEY_REGION_MODE,
    CP_KEY_REGION_GROUP,
    CP_KEY_DRAIN_CPU,
    CP_KEY_FLUSH_CPU,
    CP_KEY_POLL,
    CP_KEY_MEMORY_LIMIT,
    CP_KEY_STOP_TIMEOUT,
    CP_KEY_CONFINE,
    CP_KEY_CONTROL_GROUP,
    CP_KEY_LOG_LEVEL,
    CP_KEY_URL,
    CP_KEY_ABANDONED,
    CP_KEY_FAILBACK_AFTER,
    CP_KEY_USER,
    CP_KEY_PASSWORD,
    CP_KEY_PASSWORD_FILE,
    CP_KEY_DATABASE,
    CP_KEY_CA_FILE,
    CP_KEY_COMPRESSION,
    CP_KEY_COMPRESSION_LEVEL,
    CP_KEY_CONNECT_TIMEOUT,
    CP_KEY_REQUEST_TIMEOUT,
    CP_KEY_STALL_TIMEOUT,
    CP_KEY_RETRY_MIN,
    CP_KEY_RETRY_MAX,
    CP_KEY_SCHEMA_DIR,
    CP_KEY_SCHEMA_SET,
    CP_KEY_STAMP_SOURCE,
    CP_KEY_STAMP_ENVIRONMENT,
    CP_KEY_WAL_DIR,
    CP_KEY_WAL_BACKEND,
    CP_KEY_WAL_SYNC,
    CP_KEY_WAL_SEGMENT_SIZE,
    CP_KEY_WAL_KEEP,
    CP_KEY_MONITOR_LISTEN,
    CP_KEY_MONITOR_CERTIFICATE_FILE,
    CP_KEY_MONITOR_KEY_FILE,
    CP_KEY_MONITOR_TOKEN_FILE,
    CP_KEY_MONITOR_HEALTH_OPEN,
    CP_KEY_MONITOR_UNPROTECTED,
    CP_KEY_CANARY_INTERVAL,
    CP_KEY_CANARY_LIMIT,
    CP_KEY_QUARANTINE_DIR,
    CP_KEY_QUARANTINE_LIMIT,
    CP_KEY_TRASH_KEEP,
    CP_KEY_DAILY_BYTES,
    CP_KEY_COUNT
} cp_config_key_id;

/* Keys of one table: under tables.<name> and under table_defaults. */
typedef enum cp_config_table_key_id {
    CP_TKEY_CLASS,
    CP_TKEY_DDL,
    CP_TKEY_VERSION_OF,
    CP_TKEY_RING_SIZE,
    CP_TKEY_SLOTS,
    CP_TKEY_ROW_MAX,
    CP_TKEY_WAL_LIMIT,
    CP_TKEY_UNIQUE_KEY,
    CP_TKEY_UNIQUE_WINDOW,
    CP_TKEY_FLUSH_ROWS,
    CP_TKEY_FLUSH_INTERVAL,
    CP_TKEY_FLUSH_BYTES,
    CP_TKEY_FLUSH_MAX_ROWS,
    CP_TKEY_FLUSH_MAX_BYTES,
    CP_TKEY_EARLY_RELEASE,
    CP_TKEY_EARLY_UP,
    CP_TKEY_EARLY_DOWN,
    CP_TKEY_RUNGS,
    CP_TKEY_PRESSURE_KEY,
    CP_TKEY_PRESSURE_VALUE,
    CP_TKEY_MAX_KEYS,
    CP_TKEY_DWELL,
    CP_TKEY_CALM,
    CP_TKEY_INTERVAL_MIN,
    CP_TKEY_INTERVAL_MAX,
    CP_TKEY_SUPPRESS, /* the first of CP_RKEY_COUNT; likewise the next two */
    CP_TKEY_CONFLATE = CP_TKEY_SUPPRESS + 5,
    CP_TKEY_DROP = CP_TKEY_CONFLATE + 5,
    CP_TKEY_COUNT = CP_TKEY_DROP + 5
} cp_config_table_key_id;

/* Keys of one rung of the pressure ladder, behind CP_TKEY_SUPPRESS … */
typedef enum cp_config_rung_key {
    CP_RKEY_RING_UP,
    CP_RKEY_RING_DOWN,
    CP_RKEY_POOL_UP,
    CP_RKEY_POOL_DOWN,
    CP_RKEY_OUTAGE,
    CP_RKEY_COUNT
} cp_config_rung_key;

enum { CP_CLASS_LOSSY, CP_CLASS_CRITICAL }; /* indexes of the choices of class */

extern const cp_config_key cp_config_keys[CP_KEY_COUNT];
extern const cp_config_key cp_config_table_keys[CP_TKEY_COUNT];

/* What a dotted path means in a list of keys: a key (its index), a section above keys (CP_CONFIG_SECTION), or
 * nothing (CP_CONFIG_UNKNOWN). */
enum { CP_CONFIG_SECTION = -1, CP_CONFIG_UNKNOWN = -2 };
int cp_config_key_find(const cp_config_key *keys, int count, const char *path);

/* What probably was meant by the unknown child name under section ("" at the top): a sibling, or the same
 * word in another place ("flush.rows"). Writes it to out; false when nothing is near. extra: further names at
 * the top. */
bool cp_config_key_suggest(const cp_config_key *keys, int count, const char *section, const char *name,
                           const char *const *extra, char *out, size_t size);

/* The default of a table's key: by class where it differs. Never NULL except for ddl. */
const char *cp_config_table_fallback(cp_config_table_key_id id, bool critical);

#endif
