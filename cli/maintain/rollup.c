/* See rollup.h. */
#include "cli/maintain/rollup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "schema/cluster.h"
#include "schema/ddl_parser.h"
#include "schema/sql_write.h"
#include "schema/text_file.h"

static const char placeholder[] = "{partition:String}";

/* INSERT INTO target … SELECT …, one statement. */
static int rollup_parse(cp_rollup *rollup, const char *path, const char *text, size_t len, cp_error *err)
{
    static const char *const no_stops[] = {NULL};
    cp_ddl ddl;
    cp_ddl_init(&ddl, path, text, len, err);
    const size_t begin = ddl.tok.begin;
    if (!cp_ddl_accept(&ddl, "INSERT") || !cp_ddl_accept(&ddl, "INTO"))
        return cp_ddl_fail(&ddl, ddl.tok, CP_E_PARSE, "expected INSERT INTO and a table");
    if (cp_ddl_parse_name(&ddl, "the table to roll up into", &rollup->target) < 0)
        return ddl.failed;
    rollup->select = ddl.tok.begin - begin;
    if (text[ddl.tok.begin] == '(') { /* the columns */
        const char *end = memchr(text + ddl.tok.begin, ')', len - ddl.tok.begin);
        rollup->select = end ? (size_t)(end + 1 - text) - begin : rollup->select;
    }
    if (cp_ddl_parse_expression(&ddl, "the roll-up", no_stops, true, NULL) < 0)
        return ddl.failed;
    rollup->text = cp_ddl_slice(&ddl, begin, ddl.prev_end);
    while (cp_ddl_accept_punct(&ddl, ';'))
        ;
    if (ddl.tok.kind != CP_DDL_END)
        return cp_ddl_fail(&ddl, ddl.tok, CP_E_PARSE, "expected one statement only");
    const char *first = rollup->text ? strstr(rollup->text + rollup->select, placeholder) : NULL;
    if (!first || strstr(first + 1, placeholder))
        return cp_ddl_fail(&ddl, (cp_ddl_token){.begin = begin, .end = begin}, CP_E_PARSE,
                           "the roll-up has to name its partition once: WHERE _partition_id = %s",
                           placeholder);
    return ddl.failed;
}

int cp_rollup_load(cp_rollup *rollup, const cp_config *config, const char *table, const char *cluster,
                   cp_error *err)
{
    char *path = NULL;
    char *text = NULL;
    size_t len = 0;
    *rollup = (cp_rollup){.cluster = cluster};
    if (asprintf(&path, "%s%s%s/rollups/%s.sql", config->schema_dir, config->schema_set ? "/" : "",
                 config->schema_set ? config->schema_set : "", table) < 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a path");
    int rc = cp_text_file_read(path, "roll-up", &text, &len, err);
    if (rc == CP_E_ABSENT)
        rc = CP_OK;
    else if (rc == CP_OK)
        rc = rollup_parse(rollup, path, text, len, err);
    free(text);
    free(path);
    return rc;
}

void cp_partition_drop_write(FILE *out, const char *database, const char *table, const char *cluster,
                             const char *partition)
{
    fputs("ALTER TABLE ", out);
    cp_cluster_write_name(out, database, table, cluster);
    if (cluster) {
        fputs(" ON CLUSTER ", out);
        cp_sql_write_name(out, cluster);
    }
    fputs(" DROP PARTITION ID ", out);
    cp_sql_write_text(out, partition);
}

/* The bars that the target has and the partition, rolled up now, would not give again in full. key: the target's. */
static void lost_write(FILE *out, const cp_rollup *rollup, const char *database, const char *partition,
                       const char *key)
{
    const char *select = rollup->text + rollup->select;
    const char *at = strstr(select, placeholder);
    fprintf(out,
            "SELECT count() FROM (SELECT sum(t) AS d FROM (SELECT tuple(%s) AS k, toInt64(ticks) AS t FROM (",
            key);
    fwrite(select, 1, (size_t)(at - select), out);
    cp_sql_write_text(out, partition);
    fputs(at + strlen(placeholder), out);
    fprintf(out, ") UNION ALL SELECT tuple(%s) AS k, -toInt64(ticks) AS t FROM ", key);
    cp_cluster_write_name(out, database, rollup->target, NULL);
    fputs(" WHERE _partition_id = ", out);
    cp_sql_write_text(out, partition);
    fputs(") GROUP BY k) WHERE d < 0", out);
}

typedef enum rollup_step { STEP_COUNT_TICKS, STEP_TAKE_BACK, STEP_MAKE } rollup_step;

/* malloc'd. */
static char *statement(const cp_rollup *rollup, const char *database, const char *partition, rollup_step step)
{
    char *text = NULL;
    size_t len = 0;
    const char *at = strstr(rollup->text, placeholder);
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    switch (step) {
    case STEP_COUNT_TICKS:
        fputs("SELECT sum(ticks) FROM ", out);
        cp_cluster_write_name(out, database, rollup->target, NULL);
        fputs(" WHERE _partition_id = ", out);
        cp_sql_write_text(out, partition);
        break;
    case STEP_TAKE_BACK:
        cp_partition_drop_write(out, database, rollup->target, rollup->cluster, partition);
        break;
    case STEP_MAKE:
        fwrite(rollup->text, 1, (size_t)(at - rollup->text), out);
        cp_sql_write_text(out, partition);
        fputs(at + strlen(placeholder), out);
        break;
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* Rows of the partition that the target stands for (sum of ticks). */
static int rows_held(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                     const char *partition, uint64_t *ticks, cp_error *err)
{
    char *sql = statement(rollup, database, partition, STEP_COUNT_TICKS);
    const int rc = sql ? cp_query_number(sink, database, sql, ticks, err)
                       : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    return rc;
}

static int run(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
               const char *partition, rollup_step step, cp_error *err)
{
    char *sql = statement(rollup, database, partition, step);
    int rc = CP_OK;
    if (!sql)
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    else if (step == STEP_MAKE && rollup->cluster) /* what is counted next is to be on its shards */
        rc = cp_query_insert(sink, database, sql, err);
    else
        rc = cp_query_run(sink, database, sql, NULL, NULL, err);
    free(sql);
    return rc;
}

/* What the server says of the target: `what` out of a system table, where `name` is its name; malloc'd. */
static int target_ask(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                      const char *what, const char *name, char **key, cp_error *err)
{
    char *sql = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&sql, &len);
    if (!out)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    fprintf(out, "SELECT %s WHERE database = ", what);
    cp_sql_write_text(out, database);
    fprintf(out, " AND %s = concat(", name);
    cp_sql_write_text(out, rollup->target);
    fprintf(out, ", '%s') FORMAT TSVRaw", rollup->cluster ? "_local" : "");
    const int closed = fclose(out);
    const int rc = closed == 0 ? cp_query_text(sink, database, sql, key, err)
                               : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    if (rc == CP_OK)
        (*key)[strcspn(*key, "\n")] = '\0';
    return rc;
}

/* Whether what the target has of the partition may be made anew: rows that are in it, but no longer in the partition, since it was
 * dropped or the server removed them, would go for good. */
static int take_back_check(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                           const char *partition, cp_error *err)
{
    char *key = NULL;
    char *sql = NULL;
    size_t len = 0;
    uint64_t lost = 0;
    int rc = target_ask(rollup, sink, database, "sorting_key FROM system.tables", "name", &key, err);
    FILE *out = rc == CP_OK ? open_memstream(&sql, &len) : NULL;
    if (out)
        lost_write(out, rollup, database, partition, key);
    if (rc == CP_OK && (!out || fclose(out) != 0))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    if (rc == CP_OK)
        rc = cp_query_number(sink, database, sql, &lost, err);
    if (rc == CP_OK && lost > 0)
        rc = cp_error_set(
            err, CP_E_INVAL,
            "%" PRIu64 " bars of %s are of rows that the partition no longer has, made anew they would be "
            "lost; bars and partition are kept. Add the rows that came later to the bars by hand",
            lost, rollup->target);
    free(sql);
    free(key);
    return rc;
}

/* True when the key is a tuple's parts in parentheses: what stands for them takes them one by one. */
static bool key_is_tuple(const char *key)
{
    uint32_t depth = 0;
    char quote = '\0';
    for (const char *at = key; *key == '(' && *at; at++) {
        if (quote && *at == '\\' && at[1])
            at++;
        else if (quote)
            quote = *at == quote ? '\0' : quote;
        else if (*at == '\'' || *at == '`' || *at == '"')
            quote = *at;
        else if (*at == '(')
            depth++;
        else if (*at == ')' && --depth == 0)
            return at[1] == '\0';
    }
    return false;
}

/* The bars that would come into other partitions of the target than the source's. key: the target's PARTITION BY; casts: its
 * columns, as the target has them. */
static void elsewhere_write(FILE *out, const cp_rollup *rollup, const char *partition, const char *key,
                            const char *casts)
{
    const char *select = rollup->text + rollup->select;
    const char *at = strstr(select, placeholder);
    fprintf(out, "SELECT count() FROM (SELECT *%s%s%s FROM (", *casts ? " REPLACE (" : "", casts,
            *casts ? ")" : "");
    fwrite(select, 1, (size_t)(at - select), out);
    cp_sql_write_text(out, partition);
    fprintf(out, "%s)) WHERE ", at + strlen(placeholder));
    if (*key == '\0')
        fputs("'all'", out);
    else
        fprintf(out, "partitionId%s%s%s", key_is_tuple(key) ? "" : "(", key, key_is_tuple(key) ? "" : ")");
    fputs(" != ", out);
    cp_sql_write_text(out, partition);
}

static int elsewhere_count(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                           const char *partition, uint64_t *bars, char **key, cp_error *err)
{
    char *casts = NULL;
    char *sql = NULL;
    size_t len = 0;
    int rc = target_ask(rollup, sink, database, "partition_key FROM system.tables", "name", key, err);
    if (rc == CP_OK)
        rc = target_ask(
            rollup, sink, database,
            "arrayStringConcat(groupArray(concat('CAST(`', replaceAll(name, '`', '\\\\`'), '` AS ', "
            "type, ') AS `', replaceAll(name, '`', '\\\\`'), '`')), ', ') FROM (SELECT * FROM "
            "system.columns WHERE is_in_partition_key)",
            "table", &casts, err);
    FILE *out = rc == CP_OK ? open_memstream(&sql, &len) : NULL;
    if (out)
        elsewhere_write(out, rollup, partition, *key, casts);
    if (rc == CP_OK && (!out || fclose(out) != 0))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    if (rc == CP_OK)
        rc = cp_query_number(sink, database, sql, bars, err);
    free(casts);
    free(sql);
    return rc;
}

/* Whether a partition of the source becomes one of the target: of others nobody could say what they stand for. Not looked at on
 * servers of before 21, which have no word for a row's partition. */
static int partition_check(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                           const char *partition, cp_error *err)
{
    uint64_t able = 0;
    uint64_t bars = 0;
    char *key = NULL;
    int rc = cp_query_number(sink, database,
                             "SELECT count() FROM system.functions WHERE name = 'partitionId'", &able, err);
    if (rc == CP_OK && able)
        rc = elsewhere_count(rollup, sink, database, partition, &bars, &key, err);
    if (rc == CP_OK && bars > 0)
        rc = cp_error_set(err, CP_E_INVAL,
                          "%" PRIu64 " bars of partition %s would come into other partitions of %s, which is "
                          "PARTITION BY %s; nothing was rolled up. Give it the partition ids of the source: "
                          "the same PARTITION BY, over the column that its time becomes",
                          bars, partition, rollup->target, *key ? key : "tuple()");
    free(key);
    return rc;
}

int cp_rollup_run(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                  const char *partition, uint64_t rows, cp_error *err)
{
    uint64_t held = 0;
    int rc = partition_check(rollup, sink, database, partition, err);
    if (rc == CP_OK)
        rc = rows_held(rollup, sink, database, partition, &held, err);
    if (rc == CP_OK && held > 0)
        rc = take_back_check(rollup, sink, database, partition, err);
    if (rc == CP_OK && held > 0) /* of a run that was broken off, or before late rows came */
        rc = run(rollup, sink, database, partition, STEP_TAKE_BACK, err);
    if (rc == CP_OK)
        rc = run(rollup, sink, database, partition, STEP_MAKE, err);
    if (rc == CP_OK)
        rc = rows_held(rollup, sink, database, partition, &held, err);
    if (rc == CP_OK && held < rows)
        rc = cp_error_set(err, CP_E_SERVER,
                          "%s stands for %" PRIu64 " of the partition's %" PRIu64
                          " rows after the roll-up; the partition is kept",
                          rollup->target, held, rows);
    return rc;
}

void cp_rollup_free(cp_rollup *rollup)
{
    free(rollup->target);
    free(rollup->text);
    *rollup = (cp_rollup){0};
}
