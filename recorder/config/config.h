/* The configuration of a recorder, read from YAML.
 *
 *   defaults < older recorders' variables (CH_URL …) < file < conf.d/<*>.yaml beside it (by name)
 *            < $CREDENTIALS_DIRECTORY < COLDPATH_SECTION__KEY variables
 *
 * Reading collects every problem before it gives up, each as "file:line:column: …", the line, a caret and,
 * for unknown keys, what was probably meant. Values carry where they came from, for `coldpath check
 * --origin`. Sizes: 64MiB, 512k, 1073741824. Times: 250ms, 1s, 50us, 2m. */
#ifndef CP_RECORDER_CONFIG_H
#define CP_RECORDER_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "flush/flusher.h"
#include "ingest/conflate.h"
#include "ingest/ladder.h"
#include "schema/table.h"
#include "wal/log.h"

enum { CP_MAX_CONFIG_TABLES = CP_MAX_SINK_TABLES, CP_MAX_CONFIG_BYTES = 4 * 1024 * 1024 };

/* What is done with a lossy table's rows under pressure. */
typedef struct cp_pressure_config {
    cp_ladder_policy ladder;
    cp_column_list key; /* empty: nothing is suppressed or conflated */
    cp_column_list value;
    uint32_t max_keys;
} cp_pressure_config;

typedef struct cp_table_config {
    char *name;                /* the key under tables: */
    char *ddl;                 /* path of its CREATE TABLE; default <schema.dir>/<name>.sql */
    cp_table *table;           /* the parsed DDL; its name equals name, its target what it creates */
    char *version_of;          /* the table of which this is a later form, or NULL */
    bool critical;             /* class: critical | lossy */
    uint64_t ring_size;        /* a power of two, 64 KiB … 1 GiB */
    uint32_t slots;            /* producers at a time, 1 … 64 */
    uint32_t row_max;          /* bytes of the largest row; ≤ ring_size / 4 */
    cp_column_list unique_key; /* of a critical table; empty: rows are not compared */
    uint32_t unique_window;    /* rows */
    uint64_t wal_limit;        /* of a critical table's log, bytes */
    cp_batch_policy batch;
    cp_pressure_config pressure;
} cp_table_config;

/* What is sent to ClickHouse. The numbers stand in shared memory (cp_abi_control.mode). */
typedef enum cp_mode {
    CP_MODE_DIRECT = 0,
    CP_MODE_WAL_FIRST = 1, /* critical tables: only while `coldpath replay` asks for it */
    CP_MODE_DISABLED = 2   /* nothing */
} cp_mode;

typedef enum cp_poll_mode { CP_POLL_ADAPTIVE, CP_POLL_BUSY } cp_poll_mode;

typedef struct cp_config {
    char *path;           /* the file read, or NULL for defaults alone */
    char *namespace_name; /* letters, digits, - and _ */
    cp_mode mode;
    char *region_dir;     /* <region.dir>/<namespace> */
    unsigned region_mode; /* of the directory's files for producers: 0600, 0660 or 0666; default 0600 */
    char *region_group;   /* or NULL */
    int drain_cpu;        /* -1: anywhere */
    int flush_cpu;
    cp_poll_mode poll;
    bool confine;          /* recorder/confine.h */
    uint64_t memory_limit; /* bytes of chunk pool */
    uint64_t stop_timeout_ns;
    char *control_group; /* recorder/command_socket.h; or NULL */
    char *log_level;
    char *url;                          /* of the preferred endpoint */
    char *others[CP_MAX_ENDPOINTS - 1]; /* the other ones in order of preference; NULL behind the last */
    char *abandoned[CP_MAX_ENDPOINTS];  /* likewise */
    uint64_t failback_ns;
    char *user;
    char *password; /* from password_file, $COLDPATH_CLICKHOUSE__PASSWORD or $CREDENTIALS_DIRECTORY */
    char *database;
    char *ca_file;
    cp_compression compression;
    int compression_level;
    uint32_t connect_timeout_ms;
    uint32_t request_timeout_ms;
    uint32_t stall_timeout_ms;
    uint32_t retry_min_ms;
    uint32_t retry_max_ms;
    char *schema_dir; /* where CREATE TABLEs are found; see shipped.h */
    char *schema_set; /* its folder with the tables that belong together, or NULL */
    char *wal_dir;    /* <wal.dir>/<namespace> */
    cp_wal_backend wal_backend;
    cp_wal_sync wal_sync;
    uint64_t wal_segment_size;
    uint64_t wal_keep_ns;
    char *monitor_listen;           /* address:port, or NULL: coldpathd serves no metrics */
    char *monitor_certificate_file; /* or NULL; likewise the next two */
    char *monitor_key_file;
    char *monitor_token_file;
    bool monitor_health_open;
    bool monitor_unprotected;
    uint64_t canary_interval_ns; /* recorder/canary.h */
    uint64_t canary_limit_ns;
    char *stamp_source; /* or NULL; likewise stamp_environment */
    char *stamp_environment;
    char *quarantine_dir;      /* <quarantine.dir>/<namespace> */
    uint64_t quarantine_limit; /* bytes, per table */
    uint64_t trash_keep_ns;
    uint64_t daily_bytes; /* sent per UTC day; 0: no limit */
    uint32_t table_count;
    cp_table_config *tables;
    struct cp_config_origins *origins; /* private: where each value came from */
} cp_config;

/* Reads the configuration and the DDL of every table in it. With path NULL: $COLDPATH_CONFIG, else
 * ./coldpath.yaml, else /etc/coldpath/coldpath.yaml. Problems go to diagnostics (a stream, or NULL), one
 * block each; err then gives the first and the count. Errors: CP_E_CONFIG, CP_E_ABSENT (no file), CP_E_PERM,
 * CP_E_IO, CP_E_NOMEM. */
int cp_config_load(cp_config **out, const char *path, FILE *diagnostics, cp_error *err);

/* Whether this table is the latest declaration of its table in ClickHouse: false for one that a later one is a version of. */
bool cp_config_is_latest(const cp_config *config, uint32_t table);

/* Frees it, wiping the password. NULL is allowed. */
void cp_config_free(cp_config *config);

/* Prints every effective value, secrets as "(set)" or "(not set)"; with origin also where each came from. As
 * YAML-like text or one JSON object. */
void cp_config_print(const cp_config *config, FILE *out, bool origin, bool json);

#endif
