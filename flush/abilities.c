#include "flush/abilities.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/backoff.h"
#include "flush/error_class.h"
#include "flush/url.h"

/* What an insert would like to be set. Every batch must stay one block, be stored before it is acknowledged, be known
 * by its token, and fail rather than be converted. */
typedef struct wish {
    const char *name;
    const char *value; /* NULL: only its existence matters here */
} wish;

static const wish wishes[] = {
    {"insert_deduplication_token", NULL},
    {"use_query_cache", NULL},
    {"async_insert", "0"},
    {"insert_deduplicate", "1"},
    {"insert_distributed_sync", "1"}, /* a Distributed table answers when its shards have the rows */
    {"deduplicate_insert", "enable"},
    {"deduplicate_blocks_in_dependent_materialized_views", "1"},
    {"max_insert_block_size", "1048449"},
    {"min_insert_block_size_rows", "0"},
    {"min_insert_block_size_bytes", "0"},
    {"max_insert_threads", "1"},
    {"send_progress_in_http_headers", "0"},
    {"input_format_native_allow_types_conversion", "0"},
    {"input_format_null_as_default", "0"},
};

enum {
    WISH_COUNT = sizeof wishes / sizeof wishes[0],
    WISH_TOKEN = 0,
    WISH_QUERY_CACHE = 1,
    ZSTD_SINCE_MAJOR = 21,   /* 21.1 surely decompresses Content-Encoding: zstd; 20.x only in part */
    PROBE_REPLY = 64 * 1024, /* one short line a table or setting */
    SETTINGS_ROOM = 1024,    /* all wishes as URL text */
    VERSION_ROOM = 64,
    SQL_ROOM = 256 * 1024, /* names of CP_MAX_SINK_TABLES tables, escaped */
    URL_ROOM = 1200,
    FIELD_VIEWS = 3 /* of a table's line */
};

typedef enum probe_step { STEP_SERVER, STEP_WINDOW, STEP_TABLES, STEP_GROUPS, STEP_COUNT } probe_step;

typedef struct known_table {
    char *literal; /* 'database.table' quoted for SQL */
    _Atomic int guarantee;
    cp_counting counting;
    bool replicated;
    bool views;
    uint64_t group;
} known_table;

struct cp_abilities {
    const cp_sink_config *config;
    const char *base;
    cp_http_exchange *exchange;
    char url[URL_ROOM];
    bool known;
    bool wanted; /* a probe is */
    bool probing;
    probe_step step;
    uint32_t failures;
    uint32_t lists; /* of tables, that came or were refused */
    uint64_t retry_at;
    uint32_t known_wishes; /* a bit each */
    unsigned major;
    unsigned long default_window;
    char version[VERSION_ROOM];
    char settings[SETTINGS_ROOM];
    char *sql;
    uint32_t table_count;
    known_table tables[CP_MAX_SINK_TABLES];
};

/* ---- creating ------------------------------------------------------------------------------------------------- */

static bool url_set(cp_abilities *abilities)
{
    const int length =
        snprintf(abilities->url, sizeof abilities->url, "%s/?wait_end_of_query=1", abilities->base);
    return length > 0 && (size_t)length < sizeof abilities->url;
}

int cp_abilities_create(cp_abilities **out, cp_http *http, const cp_sink_config *config, const char *base)
{
    *out = NULL;
    cp_abilities *abilities = calloc(1, sizeof *abilities);
    if (!abilities)
        return CP_E_NOMEM;
    abilities->config = config;
    abilities->base = base;
    abilities->wanted = true;
    abilities->sql = malloc(SQL_ROOM);
    abilities->exchange = cp_http_exchange_create(http, PROBE_REPLY, abilities);
    if (!abilities->sql || !abilities->exchange || !url_set(abilities)) {
        cp_abilities_free(abilities);
        return CP_E_NOMEM;
    }
    *out = abilities;
    return CP_OK;
}

void cp_abilities_free(cp_abilities *abilities)
{
    if (!abilities)
        return;
    cp_http_exchange_free(abilities->exchange);
    for (uint32_t i = 0; i < abilities->table_count; i++)
        free(abilities->tables[i].literal);
    free(abilities->sql);
    free(abilities);
}

static char *literal_append(char *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            *to++ = '\\';
        *to++ = *text;
    }
    return to;
}

int cp_abilities_add_table(cp_abilities *abilities, const char *database, const char *table)
{
    char *literal = malloc(2 * (strlen(database) + strlen(table)) + 4);
    if (!literal || abilities->table_count == CP_MAX_SINK_TABLES) {
        free(literal);
        return CP_E_NOMEM;
    }
    char *to = literal;
    *to++ = '\'';
    to = literal_append(to, database);
    *to++ = '.';
    to = literal_append(to, table);
    *to++ = '\'';
    *to = '\0';
    abilities->tables[abilities->table_count++].literal = literal;
    return CP_OK;
}

int cp_abilities_add_tables_of(cp_abilities *abilities, const cp_abilities *other)
{
    for (uint32_t i = 0; i < other->table_count; i++) {
        char *literal = strdup(other->tables[i].literal);
        if (!literal)
            return CP_E_NOMEM;
        abilities->tables[abilities->table_count++].literal = literal;
    }
    return CP_OK;
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static void sql_server(cp_abilities *abilities)
{
    size_t used =
        (size_t)snprintf(abilities->sql, SQL_ROOM,
                         "SELECT version() UNION ALL SELECT name FROM system.settings WHERE name IN (");
    for (unsigned i = 0; i < WISH_COUNT; i++)
        used +=
            (size_t)snprintf(abilities->sql + used, SQL_ROOM - used, "%s'%s'", i ? "," : "", wishes[i].name);
    snprintf(abilities->sql + used, SQL_ROOM - used, ") FORMAT TabSeparated");
}

static void sql_of_tables(cp_abilities *abilities, const char *tail)
{
    static const char head[] = "SELECT indexOf([";
    size_t used = (size_t)snprintf(abilities->sql, SQL_ROOM, "%s", head);
    for (uint32_t i = 0; i < abilities->table_count; i++) {
        const char *literal = abilities->tables[i].literal;
        if (strlen(literal) + strlen(tail) + 3 > SQL_ROOM - used)
            break; /* the guarantee of the tables left out stays unknown */
        used += (size_t)snprintf(abilities->sql + used, SQL_ROOM - used, "%s%s", i ? "," : "", literal);
    }
    snprintf(abilities->sql + used, SQL_ROOM - used, "%s", tail);
}

static int step_start(cp_abilities *abilities)
{
    switch (abilities->step) {
    case STEP_SERVER:
        sql_server(abilities);
        break;
    case STEP_WINDOW:
        snprintf(abilities->sql, SQL_ROOM,
                 "SELECT value FROM system.merge_tree_settings WHERE name = "
                 "'non_replicated_deduplication_window' FORMAT TabSeparated");
        break;
    case STEP_TABLES:
        sql_of_tables(abilities, "], concat(database, '.', name)) AS i, engine, extract(engine_full, "
                                 "'non_replicated_deduplication_window = ([0-9]+)'), "
                                 "length(dependencies_table) FROM system.tables "
                                 "WHERE i > 0 FORMAT TabSeparated");
        break;
    default:
        sql_of_tables(abilities, "], concat(database, '.', table)) AS i, cityHash64(zookeeper_path) "
                                 "FROM system.replicas WHERE i > 0 FORMAT TabSeparated");
        break;
    }
    return cp_http_start(abilities->exchange, abilities->url, abilities->sql, strlen(abilities->sql), false);
}

uint64_t cp_abilities_step(cp_abilities *abilities, uint64_t now_ns)
{
    if (abilities->probing || !abilities->wanted)
        return UINT64_MAX;
    if (now_ns < abilities->retry_at)
        return abilities->retry_at;
    abilities->step = STEP_SERVER;
    if (step_start(abilities) < 0) {
        abilities->retry_at = now_ns + (uint64_t)abilities->config->retry_max_ms * CP_NS_PER_MS;
        return abilities->retry_at;
    }
    abilities->probing = true;
    return UINT64_MAX;
}

/* ---- understanding -------------------------------------------------------------------------------------------- */

static void settings_build(cp_abilities *abilities)
{
    cp_url url;
    cp_url_begin(&url, abilities->settings, sizeof abilities->settings);
    for (unsigned i = 0; i < WISH_COUNT; i++) {
        if (!wishes[i].value || !(abilities->known_wishes & 1U << i))
            continue;
        cp_url_add(&url, "&");
        cp_url_add(&url, wishes[i].name);
        cp_url_add(&url, "=");
        cp_url_add(&url, wishes[i].value);
    }
}

/* Lines in any order: names of settings, and the version, which begins with a digit. False when there is none. */
static bool take_server(cp_abilities *abilities, const char *body)
{
    bool version = false;
    uint32_t known_wishes = 0;
    for (const char *line = body; *line;) {
        const size_t length = strcspn(line, "\n");
        if (*line >= '0' && *line <= '9') {
            snprintf(abilities->version, sizeof abilities->version, "%.*s",
                     (int)(length < VERSION_ROOM ? length : VERSION_ROOM - 1), line);
            abilities->major = (unsigned)strtoul(line, NULL, 10);
            version = true;
        }
        for (unsigned i = 0; i < WISH_COUNT; i++) {
            if (strlen(wishes[i].name) == length && memcmp(wishes[i].name, line, length) == 0)
                known_wishes |= 1U << i;
        }
        line += length + (line[length] == '\n');
    }
    if (version) {
        abilities->known_wishes = known_wishes;
        settings_build(abilities);
    }
    return version;
}

static cp_guarantee guarantee_of(const cp_abilities *abilities, const char *engine, const char *window)
{
    if (!cp_abilities_has_token(abilities))
        return CP_AT_LEAST_ONCE;
    if (strncmp(engine, "Replicated", 10) == 0 || strncmp(engine, "Shared", 6) == 0)
        return CP_EXACTLY_ONCE;
    const unsigned long length = window[0] ? strtoul(window, NULL, 10) : abilities->default_window;
    return strstr(engine, "MergeTree") && length > 0 ? CP_EXACTLY_ONCE : CP_AT_LEAST_ONCE;
}

static cp_counting counting_of(const char *engine)
{
    if (strcmp(engine, "MergeTree") == 0)
        return CP_COUNTING_FINAL;
    if (strcmp(engine, "ReplicatedMergeTree") == 0 || strcmp(engine, "SharedMergeTree") == 0)
        return CP_COUNTING_LAGS;
    return CP_COUNTING_NOT;
}

/* The line's index-th field, from 0 on; the line's end when it has none. */
static const char *field_of(const char *line, unsigned index)
{
    const char *at = line;
    for (; index > 0 && *(at += strcspn(at, "\t\n")) == '\t'; index--)
        at++;
    return index == 0 ? at : line + strcspn(line, "\n");
}

static void take_tables(cp_abilities *abilities, const char *body)
{
    for (uint32_t i = 0; i < abilities->table_count; i++) {
        atomic_store_explicit(&abilities->tables[i].guarantee, CP_GUARANTEE_UNKNOWN, memory_order_relaxed);
        abilities->tables[i].replicated = abilities->tables[i].views = false;
    }
    for (const char *line = body; *line;) {
        unsigned index = 0;
        char engine[64] = "";
        char window[24] = "";
        const int fields = sscanf(line, "%9u\t%63[^\t\n]\t%23[0-9]", &index, engine, window);
        if (fields >= 2 && index >= 1 && index <= abilities->table_count) {
            known_table *table = &abilities->tables[index - 1];
            atomic_store_explicit(&table->guarantee, guarantee_of(abilities, engine, window),
                                  memory_order_relaxed);
            table->counting = counting_of(engine);
            table->replicated = strncmp(engine, "Replicated", 10) == 0;
            table->views = strtoul(field_of(line, FIELD_VIEWS), NULL, 10) > 0;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

/* body "": the server does not say. */
static void take_groups(cp_abilities *abilities, const char *body)
{
    for (uint32_t i = 0; i < abilities->table_count; i++)
        abilities->tables[i].group = 0;
    for (const char *line = body; *line;) {
        unsigned index = 0;
        unsigned long group = 0;
        if (sscanf(line, "%9u\t%20lu", &index, &group) == 2 && index >= 1 && index <= abilities->table_count)
            abilities->tables[index - 1].group = group;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

static bool any_replicated(const cp_abilities *abilities)
{
    bool any = false;
    for (uint32_t i = 0; i < abilities->table_count; i++)
        any = any || abilities->tables[i].replicated;
    return any;
}

static cp_probe_result probe_failed(cp_abilities *abilities, const cp_http_reply *reply, uint64_t now_ns)
{
    const cp_error_class answer = cp_error_classify(reply);
    /* A good answer to another question: no ClickHouse. */
    const cp_error_class class = answer == CP_CLASS_OK ? CP_CLASS_PARK_ENDPOINT : answer;
    abilities->probing = false;
    abilities->known = false;
    abilities->failures++;
    const uint64_t wait = cp_backoff_ns(abilities->config, abilities->failures, cp_error_class_parks(class));
    abilities->retry_at = now_ns + wait;
    char text[512];
    char quoted[600];
    char remedy[CP_ERROR_REMEDY_TEXT];
    cp_http_reply_text(reply, text, sizeof text);
    cp_log(CP_LOG_WARN, "ClickHouse does not answer",
           "url=%s attempt=%u class=%s code=%d retry_in_ms=%lu error=%s%s", abilities->base,
           abilities->failures, cp_error_class_name(class), reply->exception_code,
           (unsigned long)(wait / CP_NS_PER_MS), cp_log_quote(quoted, sizeof quoted, text),
           cp_error_remedy_field(remedy, sizeof remedy, reply));
    return CP_PROBE_FAILED;
}

static cp_probe_result probe_done(cp_abilities *abilities)
{
    abilities->probing = false;
    if (!abilities->known)
        cp_log(CP_LOG_INFO, "ClickHouse answers", "url=%s version=%s tokens=%s zstd=%s", abilities->base,
               abilities->version, cp_abilities_has_token(abilities) ? "yes" : "no",
               cp_abilities_has_zstd(abilities) ? "yes" : "no");
    abilities->known = true;
    abilities->wanted = false;
    abilities->failures = 0;
    abilities->retry_at = 0;
    return CP_PROBE_DONE;
}

cp_probe_result cp_abilities_reply(cp_abilities *abilities, const cp_http_reply *reply, uint64_t now_ns)
{
    /* A part of the settings would be taken for all of them, and batches be sent without their tokens. */
    const bool good = reply->net == 0 && reply->status == 200 && !reply->exception_header &&
                      reply->exception_code == 0 && reply->whole && !reply->cut;
    if (abilities->step == STEP_SERVER && (!good || !take_server(abilities, reply->body)))
        return probe_failed(abilities, reply, now_ns);
    if (abilities->step == STEP_WINDOW && good)
        abilities->default_window = strtoul(reply->body, NULL, 10);
    abilities->lists += abilities->step == STEP_TABLES && reply->net == 0;
    if (abilities->step == STEP_TABLES && good)
        take_tables(abilities, reply->body);
    if (abilities->step == STEP_GROUPS)
        take_groups(abilities, good ? reply->body : "");
    if (reply->net != 0)
        return probe_failed(abilities, reply, now_ns);
    abilities->step++;
    if (abilities->step == STEP_GROUPS && !any_replicated(abilities)) {
        take_groups(abilities, "");
        abilities->step++;
    }
    if (abilities->step == STEP_COUNT || step_start(abilities) < 0)
        return probe_done(abilities);
    return CP_PROBE_GOING_ON;
}

/* ---- state ---------------------------------------------------------------------------------------------------- */

void cp_abilities_suspect(cp_abilities *abilities)
{
    abilities->known = false;
    abilities->wanted = true;
}

void cp_abilities_set_base(cp_abilities *abilities, const char *base)
{
    abilities->base = base;
}

void cp_abilities_forget(cp_abilities *abilities)
{
    cp_http_cancel(abilities->exchange);
    abilities->probing = false;
    abilities->failures = 0;
    abilities->retry_at = 0;
    cp_abilities_suspect(abilities);
}

void cp_abilities_refresh(cp_abilities *abilities)
{
    abilities->wanted = true;
}

void cp_abilities_ask_now(cp_abilities *abilities)
{
    abilities->retry_at = 0;
}

bool cp_abilities_known(const cp_abilities *abilities)
{
    return abilities->known;
}

bool cp_abilities_owns(const cp_abilities *abilities, const cp_http_exchange *exchange)
{
    return exchange == abilities->exchange;
}

uint64_t cp_abilities_retry_ns(const cp_abilities *abilities)
{
    return abilities->retry_at;
}

uint32_t cp_abilities_failures(const cp_abilities *abilities)
{
    return abilities->failures;
}

const char *cp_abilities_settings(const cp_abilities *abilities)
{
    return abilities->settings;
}

const char *cp_abilities_count_settings(const cp_abilities *abilities)
{
    return abilities->known_wishes & 1U << WISH_QUERY_CACHE
               ? "&read_overflow_mode=throw&timeout_overflow_mode=throw&use_query_cache=0"
               : "&read_overflow_mode=throw&timeout_overflow_mode=throw";
}

bool cp_abilities_has_token(const cp_abilities *abilities)
{
    return (abilities->known_wishes & 1U << WISH_TOKEN) != 0;
}

bool cp_abilities_has_zstd(const cp_abilities *abilities)
{
    return abilities->major >= ZSTD_SINCE_MAJOR;
}

cp_guarantee cp_abilities_guarantee(const cp_abilities *abilities, uint32_t table)
{
    if (table >= abilities->table_count)
        return CP_GUARANTEE_UNKNOWN;
    return (cp_guarantee)atomic_load_explicit(&abilities->tables[table].guarantee, memory_order_relaxed);
}

bool cp_abilities_has_views(const cp_abilities *abilities, uint32_t table)
{
    return table < abilities->table_count && abilities->tables[table].views;
}

uint32_t cp_abilities_lists(const cp_abilities *abilities)
{
    return abilities->lists;
}

cp_counting cp_abilities_counting(const cp_abilities *abilities, uint32_t table)
{
    return table < abilities->table_count ? abilities->tables[table].counting : CP_COUNTING_NOT;
}

uint64_t cp_abilities_group(const cp_abilities *abilities, uint32_t table)
{
    return table < abilities->table_count ? abilities->tables[table].group : 0;
}
