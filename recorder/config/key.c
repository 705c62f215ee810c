/* See key.h. */
#include "recorder/config/key.h"

#include <stdio.h>
#include <string.h>

#include "flush/flusher.h"
#include "schema/table.h"
#include "wal/log.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MS  UINT64_C(1000000)
#define S   UINT64_C(1000000000)

enum { MAX_CPU = 4095, MAX_ZSTD_LEVEL = 19 };

static const char *const polls[] = {"adaptive", "busy", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const compressions[] = {"none", "zstd", "auto", NULL};
static const char *const backends[] = {"auto", "io_uring", "posix", NULL};    /* as cp_wal_backend */
static const char *const syncs[] = {"auto", "fdatasync", "dsync", NULL};      /* as cp_wal_sync */
static const char *const modes[] = {"direct", "wal_first", "disabled", NULL}; /* as cp_mode */
static const char *const switches[] = {"off", "on", NULL};
static const char *const rungs[] = {"suppress", "conflate", "drop", NULL}; /* as cp_rung, from 1 */
static const char *const classes[] = {"lossy", "critical", NULL};

const cp_config_key cp_config_keys[CP_KEY_COUNT] = {
    [CP_KEY_NAMESPACE] = {.path = "namespace",
                          .kind = CP_CONFIG_NAME,
                          .help = "names the region's directory"},
    [CP_KEY_MODE] = {.path = "mode",
                     .kind = CP_CONFIG_CHOICE,
                     .choices = modes,
                     .fallback = "direct",
                     .live = true,
                     .help =
                         "what is sent: direct all, wal_first critical tables on demand, disabled nothing"},
    [CP_KEY_REGION_DIR] = {.path = "region.dir",
                           .kind = CP_CONFIG_PATH,
                           .fallback = "/dev/shm/coldpath",
                           .help = "the region is <dir>/<namespace>"},
    [CP_KEY_REGION_MODE] = {.path = "region.mode",
                            .kind = CP_CONFIG_MODE,
                            .fallback = "0600",
                            .help = "who may put rows: 0600 this user, 0660 the group, 0666 everyone"},
    [CP_KEY_REGION_GROUP] = {.path = "region.group",
                             .kind = CP_CONFIG_NAME,
                             .help = "group of the region's files, with mode 0660"},
    [CP_KEY_DRAIN_CPU] = {.path = "recorder.drain_cpu",
                          .kind = CP_CONFIG_CPU,
                          .max = MAX_CPU,
                          .fallback = "any",
                          .help = "CPU of the drain thread"},
    [CP_KEY_FLUSH_CPU] = {.path = "recorder.flush_cpu",
                          .kind = CP_CONFIG_CPU,
                          .max = MAX_CPU,
                          .fallback = "any",
                          .help = "CPU of the flusher thread"},
    [CP_KEY_POLL] = {.path = "recorder.poll",
                     .kind = CP_CONFIG_CHOICE,
                     .choices = polls,
                     .fallback = "adaptive",
                     .live = true,
                     .help = "adaptive sleeps when there is nothing to do, busy never"},
    [CP_KEY_MEMORY_LIMIT] = {.path = "recorder.memory_limit",
                             .kind = CP_CONFIG_SIZE,
                             .min = 16 * MIB,
                             .max = 1024 * GIB,
                             .fallback = "128MiB",
                             .help = "memory of the chunk pool"},
    [CP_KEY_STOP_TIMEOUT] = {.path = "recorder.stop_timeout",
                             .kind = CP_CONFIG_DURATION,
                             .max = 3600 * S,
                             .fallback = "10s",
                             .live = true,
                             .help = "how long a stop waits for ClickHouse"},
    [CP_KEY_CONFINE] = {.path = "recorder.confine",
                        .kind = CP_CONFIG_CHOICE,
                        .choices = switches,
                        .fallback = "on",
                        .help = "give up capabilities, core dumps and system calls that are not needed"},
    [CP_KEY_CONTROL_GROUP] = {.path = "recorder.control_group",
                              .kind = CP_CONFIG_NAME,
                              .help = "who may command it beside root and its own user: pause, flush …"},
    [CP_KEY_LOG_LEVEL] = {.path = "log.level",
                          .kind = CP_CONFIG_CHOICE,
                          .choices = levels,
                          .fallback = "info",
                          .live = true,
                          .help = "events below it are not logged"},
    [CP_KEY_URL] = {.path = "clickhouse.url",
                    .kind = CP_CONFIG_URLS,
                    .fallback = "http://127.0.0.1:8123",
                    .live = true,
                    .help = "ClickHouse's HTTP interface; or a list, the preferred one first"},
    [CP_KEY_ABANDONED] = {.path = "clickhouse.abandoned",
                          .kind = CP_CONFIG_URLS,
                          .live = true,
                          .help = "endpoints that will not come back: rows that may be there go elsewhere"},
    [CP_KEY_FAILBACK_AFTER] = {.path = "clickhouse.failback_after",
                               .kind = CP_CONFIG_DURATION,
                               .min = 100 * MS,
                               .max = 24 * (3600 * S),
                               .fallback = "30s",
                               .live = true,
                               .help = "how long a preferred endpoint has to be up before it is used again"},
    [CP_KEY_USER] = {.path = "clickhouse.user",
                     .kind = CP_CONFIG_TEXT,
                     .live = true,
                     .help = "without it, no credentials are sent"},
    [CP_KEY_PASSWORD] = {.path = "clickhouse.password",
                         .kind = CP_CONFIG_TEXT,
                         .secret = true,
                         .live = true,
                         .help = "better in password_file"},
    [CP_KEY_PASSWORD_FILE] = {.path = "clickhouse.password_file",
                              .kind = CP_CONFIG_PATH,
                              .live = true,
                              .help = "its first line is the password"},
    [CP_KEY_DATABASE] = {.path = "clickhouse.database",
                         .kind = CP_CONFIG_NAME,
                         .help = "of tables whose CREATE TABLE names none"},
    [CP_KEY_CA_FILE] = {.path = "clickhouse.ca_file",
                        .kind = CP_CONFIG_PATH,
                        .live = true,
                        .help = "certificates to trust, PEM"},
    [CP_KEY_COMPRESSION] =
        {.path = "clickhouse.compression",
         .kind = CP_CONFIG_CHOICE,
         .choices = compressions,
         .fallback = "zstd",
         .live = true,
         .help = "of what is sent; auto: none or zstd, by what the line and both CPUs are measured to do"},
    [CP_KEY_COMPRESSION_LEVEL] = {.path = "clickhouse.compression_level",
                                  .kind = CP_CONFIG_COUNT,
                                  .min = 1,
                                  .max = MAX_ZSTD_LEVEL,
                                  .fallback = "1",
                                  .live = true,
                                  .help = "zstd level"},
    [CP_KEY_CONNECT_TIMEOUT] = {.path = "clickhouse.connect_timeout",
                                .kind = CP_CONFIG_DURATION,
                                .min = 10 * MS,
                                .max = 600 * S,
                                .fallback = "2s",
                                .live = true,
                                .help = "for one connection"},
    [CP_KEY_REQUEST_TIMEOUT] = {.path = "clickhouse.request_timeout",
                                .kind = CP_CONFIG_DURATION,
                                .min = 100 * MS,
                                .max = 3600 * S,
                                .fallback = "30s",
                                .live = true,
                                .help = "for one insert, with its answer"},
    [CP_KEY_STALL_TIMEOUT] = {.path = "clickhouse.stall_timeout",
                              .kind = CP_CONFIG_DURATION,
                              .min = 100 * MS,
                              .max = 3600 * S,
                              .live = true,
                              .fallback = "10s",
                              .help = "without a byte taken, until an insert is given up and sent again"},
    [CP_KEY_RETRY_MIN] = {.path = "clickhouse.retry_min",
                          .kind = CP_CONFIG_DURATION,
                          .min = 1 * MS,
                          .max = 3600 * S,
                          .fallback = "100ms",
                          .live = true,
                          .help = "pause before the first retry"},
    [CP_KEY_RETRY_MAX] = {.path = "clickhouse.retry_max",
                          .kind = CP_CONFIG_DURATION,
                          .min = 1 * MS,
                          .max = 3600 * S,
                          .fallback = "10s",
                          .live = true,
                          .help = "the pause doubles up to this"},
    [CP_KEY_SCHEMA_DIR] = {.path = "schema.dir",
                           .kind = CP_CONFIG_PATH,
                           .help = "holds <table>.sql; default: the shipped tables"},
    [CP_KEY_SCHEMA_SET] = {.path = "schema.set",
                           .kind = CP_CONFIG_NAME,
                           .help =
                               "its folder with the tables that belong together: dolphin, trading, platform"},
    [CP_KEY_STAMP_SOURCE] = {.path = "stamp.source",
                             .kind = CP_CONFIG_NAME,
                             .help = "what columns called source hold where a row leaves them empty"},
    [CP_KEY_STAMP_ENVIRONMENT] = {.path = "stamp.environment",
                                  .kind = CP_CONFIG_NAME,
                                  .help = "likewise columns called environment: live, paper …"},
    [CP_KEY_WAL_DIR] = {.path = "wal.dir",
                        .kind = CP_CONFIG_PATH,
                        .fallback = "/var/lib/coldpath",
                        .help = "a critical table's log is <dir>/<namespace>/<table>"},
    [CP_KEY_WAL_BACKEND] = {.path = "wal.backend",
                            .kind = CP_CONFIG_CHOICE,
                            .choices = backends,
                            .fallback = "auto",
                            .help = "auto takes io_uring where the kernel lets it"},
    [CP_KEY_WAL_SYNC] = {.path = "wal.sync",
                         .kind = CP_CONFIG_CHOICE,
                         .choices = syncs,
                         .fallback = "auto",
                         .help = "how a write is made durable; auto measures at start"},
    [CP_KEY_WAL_SEGMENT_SIZE] = {.path = "wal.segment_size",
                                 .kind = CP_CONFIG_SIZE2,
                                 .min = 2 * MIB, /* the largest chunk and the headers; powers of two */
                                 .max = CP_WAL_SEGMENT_MAX,
                                 .fallback = "64MiB",
                                 .help = "of one file of a log"},
    [CP_KEY_WAL_KEEP] = {.path = "wal.keep",
                         .kind = CP_CONFIG_DURATION,
                         .max = 30ull * 24 * 3600 * S,
                         .fallback = "0s",
                         .help = "how long delivered rows stay in the logs"},
    [CP_KEY_MONITOR_LISTEN] = {.path = "monitor.listen",
                               .kind = CP_CONFIG_LISTEN,
                               .help = "address:port of metrics and page; without it, coldpathd serves none"},
    [CP_KEY_MONITOR_CERTIFICATE_FILE] = {.path = "monitor.certificate_file",
                                         .kind = CP_CONFIG_PATH,
                                         .help = "PEM, with its chain: the monitor speaks TLS"},
    [CP_KEY_MONITOR_KEY_FILE] = {.path = "monitor.key_file",
                                 .kind = CP_CONFIG_PATH,
                                 .help = "the certificate's key, PEM; others must not be able to read it"},
    [CP_KEY_MONITOR_TOKEN_FILE] =
        {.path = "monitor.token_file",
         .kind = CP_CONFIG_PATH,
         .help = "its first line is what every request has to carry; others must not be able to read it"},
    [CP_KEY_MONITOR_HEALTH_OPEN] = {.path = "monitor.health_open",
                                    .kind = CP_CONFIG_CHOICE,
                                    .choices = switches,
                                    .fallback = "off",
                                    .help = "/healthz answers without the token"},
    [CP_KEY_MONITOR_UNPROTECTED] = {.path = "monitor.unprotected",
                                    .kind = CP_CONFIG_CHOICE,
                                    .choices = switches,
                                    .fallback = "off",
                                    .help = "other hosts may ask without TLS or without a token"},
    [CP_KEY_CANARY_INTERVAL] =
        {.path = "canary.interval",
         .kind = CP_CONFIG_DURATION,
         .min = 100 * MS,
         .max = 3600 * S,
         .fallback = "5s",
         .help = "between rows of the recorder's own, where the table recorder_canary is configured"},
    [CP_KEY_CANARY_LIMIT] = {.path = "canary.limit",
                             .kind = CP_CONFIG_DURATION,
                             .min = 1 * S,
                             .max = 24 * (3600 * S),
                             .fallback = "1m",
                             .help = "without one of them arriving, until the recorder counts as unhealthy"},
    [CP_KEY_QUARANTINE_DIR] = {.path = "quarantine.dir",
                               .kind = CP_CONFIG_PATH,
                               .help =
                                   "refused rows are in <dir>/<namespace>; default: <wal.dir>/quarantine"},
    [CP_KEY_QUARANTINE_LIMIT] = {.path = "quarantine.limit",
                                 .kind = CP_CONFIG_SIZE,
                                 .min = 2 * MIB,
                                 .max = 1024 * GIB,
                                 .live = true,
                                 .fallback = "256MiB",
                                 .help = "of refused rows per table; beyond it the table waits"},
    [CP_KEY_TRASH_KEEP] = {.path = "trash.keep",
                           .kind = CP_CONFIG_DURATION,
                           .max = 3650ull * 24 * 3600 * S,
                           .fallback = "720h",
                           .live = true,
                           .help = "how long what was dropped or purged lies in trash/, at least"},
    [CP_KEY_DAILY_BYTES] = {.path = "limits.daily_bytes",
                            .kind = CP_CONFIG_SIZE,
                            .max = UINT64_C(65536) * GIB,
                            .fallback = "0",
                            .live = true,
                            .help = "bytes sent to ClickHouse per UTC day, about; 0: no limit"},
};

/* The keys of one rung. */
#define RUNG(first, name, up, down)                                                                          \
    [(first) + (int) CP_RKEY_RING_UP] = {.path = "pressure." name ".ring_up",                                \
                                         .kind = CP_CONFIG_PERCENT,                                          \
                                         .min = 1,                                                           \
                                         .max = 100,                                                         \
                                         .fallback = "90%",                                                  \
                                         .help = "of a ring in use"},                                        \
                     [(first) + (int) CP_RKEY_RING_DOWN] = {.path = "pressure." name ".ring_down",           \
                                                            .kind = CP_CONFIG_PERCENT,                       \
                                                            .max = 100,                                      \
                                                            .fallback = "50%",                               \
                                                            .help = "the rung is left below this"},          \
                     [(first) + (int) CP_RKEY_POOL_UP] = {.path = "pressure." name ".pool_up",               \
                                                          .kind = CP_CONFIG_PERCENT,                         \
                                                          .min = 1,                                          \
                                                          .max = 100,                                        \
                                                          .fallback = (up),                                  \
                                                          .help = "of the chunks that the table can have"},  \
                     [(first) + (int) CP_RKEY_POOL_DOWN] = {.path = "pressure." name ".pool_down",           \
                                                            .kind = CP_CONFIG_PERCENT,                       \
                                                            .max = 100,                                      \
                                                            .fallback = (down),                              \
                                                            .help = "the rung is left below this"},          \
                     [(first) + (int) CP_RKEY_OUTAGE] = {                                                    \
                         .path = "pressure." name ".outage",                                                 \
                         .kind = CP_CONFIG_DURATION,                                                         \
                         .max = 24 * (3600 * S),                                                             \
                         .fallback = "0s",                                                                   \
                         .help = "inserts have failed for this long; 0s: no matter how long"}

const cp_config_key cp_config_table_keys[CP_TKEY_COUNT] = {
    [CP_TKEY_CLASS] = {.path = "class",
                       .kind = CP_CONFIG_CHOICE,
                       .choices = classes,
                       .fallback = "lossy",
                       .help = "critical rows are never shed under pressure, lossy ones may be"},
    [CP_TKEY_DDL] = {.path = "ddl", .kind = CP_CONFIG_PATH, .help = "its CREATE TABLE"},
    [CP_TKEY_VERSION_OF] = {.path = "version_of",
                            .kind = CP_CONFIG_NAME,
                            .help = "the table of which it is a later form, with columns added"},
    [CP_TKEY_RING_SIZE] = {.path = "ring_size",
                           .kind = CP_CONFIG_SIZE2,
                           .min = 64 * KIB,
                           .max = 1 * GIB,
                           .fallback = "16MiB",
                           .help = "shared memory of one producer"},
    [CP_TKEY_SLOTS] = {.path = "slots",
                       .kind = CP_CONFIG_COUNT,
                       .min = 1,
                       .max = CP_MAX_TABLE_SLOTS,
                       .fallback = "8",
                       .help = "producers at a time"},
    [CP_TKEY_ROW_MAX] = {.path = "row_max",
                         .kind = CP_CONFIG_SIZE,
                         .min = 64,
                         .max = CP_MAX_ROW,
                         .help = "bytes of the largest row; default: 64KiB, or a quarter of a smaller ring"},
    [CP_TKEY_WAL_LIMIT] = {.path = "wal_limit",
                           .kind = CP_CONFIG_SIZE,
                           .min = 1 * MIB,
                           .max = UINT64_C(65536) * GIB,
                           .fallback = "4GiB",
                           .help = "bytes that a critical table's log may take on disk"},
    [CP_TKEY_UNIQUE_KEY] = {.path = "unique_key",
                            .kind = CP_CONFIG_NAMES,
                            .help = "columns: a critical row that has them as an earlier one is left out"},
    [CP_TKEY_UNIQUE_WINDOW] = {.path = "unique_window",
                               .kind = CP_CONFIG_COUNT,
                               .min = 16,
                               .max = 16 * MIB,
                               .fallback = "65536",
                               .help = "rows whose keys are remembered"},
    [CP_TKEY_FLUSH_ROWS] = {.path = "flush.rows",
                            .kind = CP_CONFIG_COUNT,
                            .min = 1,
                            .max = CP_MAX_BATCH_ROWS,
                            .live = true,
                            .help = "a batch leaves at this many rows"},
    [CP_TKEY_FLUSH_INTERVAL] = {.path = "flush.interval",
                                .kind = CP_CONFIG_DURATION,
                                .min = 1 * MS,
                                .max = 3600 * S,
                                .live = true,
                                .help = "or when its oldest row has waited this long"},
    [CP_TKEY_FLUSH_BYTES] = {.path = "flush.bytes",
                             .kind = CP_CONFIG_SIZE,
                             .min = 1 * KIB,
                             .max = CP_MAX_BATCH_BYTES,
                             .fallback = "4MiB",
                             .live = true,
                             .help = "or at this much row data"},
    [CP_TKEY_FLUSH_MAX_ROWS] = {.path = "flush.max_rows",
                                .kind = CP_CONFIG_COUNT,
                                .min = 1,
                                .max = CP_MAX_BATCH_ROWS,
                                .fallback = "200000",
                                .live = true,
                                .help = "rows of a batch when the table is behind"},
    [CP_TKEY_FLUSH_MAX_BYTES] = {.path = "flush.max_bytes",
                                 .kind = CP_CONFIG_SIZE,
                                 .min = 64 * KIB,
                                 .max = CP_MAX_BATCH_BYTES,
                                 .fallback = "32MiB",
                                 .live = true,
                                 .help = "row data of a batch when the table is behind"},
    [CP_TKEY_EARLY_RELEASE] = {.path = "pressure.early_release",
                               .kind = CP_CONFIG_CHOICE,
                               .choices = switches,
                               .fallback = "on",
                               .help = "take rows out of rings that fill up before they are delivered"},
    [CP_TKEY_EARLY_UP] = {.path = "pressure.early_up",
                          .kind = CP_CONFIG_PERCENT,
                          .min = 1,
                          .max = 100,
                          .fallback = "75%",
                          .help = "of a ring with rows that are not delivered: from then on"},
    [CP_TKEY_EARLY_DOWN] = {.path = "pressure.early_down",
                            .kind = CP_CONFIG_PERCENT,
                            .max = 100,
                            .fallback = "50%",
                            .help = "and until there are fewer than this"},
    [CP_TKEY_RUNGS] = {.path = "pressure.rungs",
                       .kind = CP_CONFIG_NAMES,
                       .choices = rungs,
                       .help = "of the pressure ladder: suppress, conflate, drop; default: none"},
    [CP_TKEY_PRESSURE_KEY] = {.path = "pressure.key",
                              .kind = CP_CONFIG_NAMES,
                              .help = "columns that say of what a row is the state"},
    [CP_TKEY_PRESSURE_VALUE] = {.path = "pressure.value",
                                .kind = CP_CONFIG_NAMES,
                                .help =
                                    "columns of the state: a row whose are as the last one's says nothing"},
    [CP_TKEY_MAX_KEYS] = {.path = "pressure.max_keys",
                          .kind = CP_CONFIG_COUNT,
                          .min = 16,
                          .max = MIB,
                          .fallback = "65536",
                          .help = "keys that are remembered; rows of others pass"},
    [CP_TKEY_DWELL] = {.path = "pressure.dwell",
                       .kind = CP_CONFIG_DURATION,
                       .min = 1 * MS,
                       .max = 3600 * S,
                       .fallback = "250ms",
                       .help = "pressure has to last this long for each rung up"},
    [CP_TKEY_CALM] = {.path = "pressure.calm",
                      .kind = CP_CONFIG_DURATION,
                      .min = 1 * MS,
                      .max = 3600 * S,
                      .fallback = "5s",
                      .help = "and calm this long for each rung down"},
    [CP_TKEY_INTERVAL_MIN] = {.path = "pressure.interval_min",
                              .kind = CP_CONFIG_DURATION,
                              .min = 1 * MS,
                              .max = 3600 * S,
                              .fallback = "100ms",
                              .help = "of conflation: one row per key in it"},
    [CP_TKEY_INTERVAL_MAX] = {.path = "pressure.interval_max",
                              .kind = CP_CONFIG_DURATION,
                              .min = 1 * MS,
                              .max = 3600 * S,
                              .fallback = "10s",
                              .help = "it doubles up to this while pressure stays"},
    RUNG(CP_TKEY_SUPPRESS, "suppress", "50%", "25%"),
    RUNG(CP_TKEY_CONFLATE, "conflate", "65%", "35%"),
    RUNG(CP_TKEY_DROP, "drop", "90%", "60%"),
};

_Static_assert(CP_TKEY_CONFLATE == CP_TKEY_SUPPRESS + (int)CP_RKEY_COUNT, "the keys of one rung");

const char *cp_config_table_fallback(cp_config_table_key_id id, bool critical)
{
    switch (id) {
    case CP_TKEY_FLUSH_ROWS:
        return critical ? "500" : "5000";
    case CP_TKEY_FLUSH_INTERVAL:
        return critical ? "250ms" : "500ms";
    case CP_TKEY_ROW_MAX:
        return "64KiB";
    default:
        return cp_config_table_keys[id].fallback;
    }
}

int cp_config_key_find(const cp_config_key *keys, int count, const char *path)
{
    const size_t len = strlen(path);
    int found = CP_CONFIG_UNKNOWN;
    for (int i = 0; i < count; i++) {
        if (strncmp(keys[i].path, path, len) != 0)
            continue;
        if (keys[i].path[len] == '\0')
            return i;
        if (keys[i].path[len] == '.')
            found = CP_CONFIG_SECTION;
    }
    return found;
}

/* The children of section among the keys, each once, as names; returns how many. buffer holds their bytes. */
static size_t list_children(const cp_config_key *keys, int count, const char *section, char (*buffer)[32],
                            const char **names)
{
    const size_t skip = strlen(section) + (*section ? 1 : 0);
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        if (*section && (strncmp(keys[i].path, section, skip - 1) != 0 || keys[i].path[skip - 1] != '.'))
            continue;
        snprintf(buffer[n], sizeof buffer[n], "%.*s", (int)strcspn(keys[i].path + skip, "."),
                 keys[i].path + skip);
        if (n == 0 || strcmp(buffer[n - 1], buffer[n]) != 0) {
            names[n] = buffer[n];
            n++;
        }
    }
    return n;
}

bool cp_config_key_suggest(const cp_config_key *keys, int count, const char *section, const char *name,
                           const char *const *extra, char *out, size_t size)
{
    char buffer[CP_KEY_COUNT + 1][32];
    const char *names[CP_KEY_COUNT + 8];
    size_t n = list_children(keys, count, section, buffer, names);
    for (; extra && *extra && n < sizeof names / sizeof names[0]; extra++)
        names[n++] = *extra;
    int near = cp_config_nearest(names, n, name, strlen(name));
    if (near >= 0) {
        snprintf(out, size, "%s", names[near]);
        return true;
    }
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(keys[i].path, '.');
        const char *last = dot ? dot + 1 : keys[i].path;
        if (cp_config_nearest(&last, 1, name, strlen(name)) == 0) {
            snprintf(out, size, "%s", keys[i].path);
            return true;
        }
    }
    return false;
}
