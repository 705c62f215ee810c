/* See retention.h. */
#include "cli/maintain/retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "cli/table_choice.h"
#include "schema/expression.h"
#include "schema/sql_write.h"

static char *stream_end(FILE *out, char **text)
{
    if (fclose(out) == 0)
        return *text;
    free(*text);
    return NULL;
}

static void table_write(FILE *out, const cp_retention *r)
{
    cp_sql_write_name(out, r->database);
    putc('.', out);
    cp_sql_write_name(out, cp_table_target(r->table->table));
}

/* id, rows, end, expired, soon; for one partition only, if it is given. */
static char *partitions_sql(const cp_retention *r, const char *only)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fprintf(out,
            "SELECT _partition_id AS id, count(), toString(max(%s)), max(%s) <= now(), max(%s) <= now() + "
            "toIntervalDay(%d) "
            "FROM ",
            r->ttl, r->ttl, r->ttl, CP_ROLLUP_AHEAD_DAYS);
    table_write(out, r);
    if (only) {
        fputs(" WHERE _partition_id = ", out);
        cp_sql_write_text(out, only);
    }
    fputs(" GROUP BY id ORDER BY id FORMAT TSVRaw", out);
    return stream_end(out, &text);
}

/* In a cluster: of one replica of each shard, and the most parts that one server has. */
static char *parts_sql(const cp_retention *r)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("SELECT id, max(parts), sum(bytes) FROM (SELECT hostName() AS host, partition_id AS id, count() AS "
          "parts, "
          "sum(bytes_on_disk) AS bytes FROM ",
          out);
    if (r->cluster) {
        fputs("cluster(", out);
        cp_sql_write_text(out, r->cluster);
        fputs(", system.parts)", out);
    } else {
        fputs("system.parts", out);
    }
    fputs(" WHERE active AND database = ", out);
    cp_sql_write_text(out, r->database);
    char name[CP_MAX_NAME + sizeof "_local"];
    snprintf(name, sizeof name, "%s%s", cp_table_target(r->table->table), r->cluster ? "_local" : "");
    fputs(" AND table = ", out);
    cp_sql_write_text(out, name);
    fputs(" GROUP BY host, id) GROUP BY id FORMAT TSVRaw", out);
    return stream_end(out, &text);
}

/* Runs sql and hands every line, cut at its tabs, to take. */
typedef int take_line(cp_retention *r, char **fields, size_t count, cp_error *err);

enum { MAX_FIELDS = 8 };

static int lines_run(cp_retention *r, const cp_sink_config *sink, char *sql, size_t fields, take_line *take,
                     cp_error *err)
{
    char *answer = NULL;
    char *save = NULL;
    int rc = sql ? cp_query_text(sink, r->database, sql, &answer, err)
                 : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    for (char *line = answer ? strtok_r(answer, "\n", &save) : NULL; line && rc == CP_OK;
         line = strtok_r(NULL, "\n", &save)) {
        char *field[MAX_FIELDS] = {0};
        size_t count = 0;
        while (line && count < MAX_FIELDS)
            field[count++] = strsep(&line, "\t");
        rc = count == fields && !line
                 ? take(r, field, count, err)
                 : cp_error_set(err, CP_E_SERVER, "ClickHouse's answer about partitions is none");
    }
    free(answer);
    return rc;
}

static int partition_take(cp_retention *r, char **fields, size_t count, cp_error *err)
{
    (void)count;
    if (strlen(fields[0]) >= CP_PARTITION_ID)
        return cp_error_set(err, CP_E_TOO_BIG, "partition %.40s… has an id of over %d bytes", fields[0],
                            CP_PARTITION_ID - 1);
    cp_partition *grown = reallocarray(r->partitions, r->count + 1, sizeof *grown);
    if (!grown)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a list of partitions");
    r->partitions = grown;
    cp_partition *p = &grown[r->count++];
    *p = (cp_partition){.rows = strtoull(fields[1], NULL, 10)};
    snprintf(p->id, sizeof p->id, "%s", fields[0]);
    snprintf(p->ends, sizeof p->ends, "%.63s", fields[2]);
    const bool expired = strcmp(fields[3], "1") == 0;
    const bool soon = strcmp(fields[4], "1") == 0;
    p->fate = expired ? CP_FATE_DROP : soon && r->rollup.target ? CP_FATE_ROLL_UP : CP_FATE_KEEP;
    return CP_OK;
}

static int parts_take(cp_retention *r, char **fields, size_t count, cp_error *err)
{
    (void)count;
    (void)err;
    const uint64_t parts = strtoull(fields[1], NULL, 10);
    r->parts_most = parts > r->parts_most ? parts : r->parts_most;
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->partitions[i].id, fields[0]) != 0)
            continue;
        r->partitions[i].parts = parts;
        r->partitions[i].bytes = strtoull(fields[2], NULL, 10);
    }
    return CP_OK;
}

/* How many rows of every partition the roll-up's target stands for. */
static char *held_sql(const cp_retention *r)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("SELECT _partition_id AS id, sum(ticks) FROM ", out);
    cp_sql_write_name(out, r->database);
    putc('.', out);
    cp_sql_write_name(out, r->rollup.target);
    fputs(" GROUP BY id FORMAT TSVRaw", out);
    return stream_end(out, &text);
}

static int held_take(cp_retention *r, char **fields, size_t count, cp_error *err)
{
    (void)count;
    (void)err;
    for (size_t i = 0; i < r->count; i++) {
        cp_partition *p = &r->partitions[i];
        if (strcmp(p->id, fields[0]) == 0)
            p->rolled_up = strtoull(fields[1], NULL, 10) >= p->rows;
    }
    return CP_OK;
}

/* What is to be rolled up, unless the target stands for all of it already. */
static int rollups_check(cp_retention *r, const cp_sink_config *sink, cp_error *err)
{
    const int rc = r->rollup.target ? lines_run(r, sink, held_sql(r), 2, held_take, err) : CP_OK;
    for (size_t i = 0; i < r->count && r->rollup.target; i++) {
        cp_partition *p = &r->partitions[i];
        if (p->fate == CP_FATE_ROLL_UP && p->rolled_up)
            p->fate = CP_FATE_KEEP;
        if (p->fate == CP_FATE_DROP && !p->rolled_up)
            p->fate = CP_FATE_ROLL_UP_AND_DROP;
    }
    return rc;
}

int cp_retention_load(cp_retention *retention, const cp_config *config, const cp_table_config *table,
                      const char *cluster, const cp_sink_config *sink, cp_error *err)
{
    uint64_t seconds = 0;
    *retention = (cp_retention){
        .table = table, .database = cp_table_database(config, table->table), .cluster = cluster};
    char *front = cp_ttl_split(table->table->ttl, &seconds);
    if (front && !(retention->ttl = cp_expression_canonical(table->table->ttl))) {
        free(front);
        return cp_error_set(err, CP_E_NOMEM, "no memory for a TTL");
    }
    free(front);
    int rc = cp_rollup_load(&retention->rollup, config, cp_table_target(table->table), cluster, err);
    if (rc == CP_OK && retention->ttl)
        rc = lines_run(retention, sink, partitions_sql(retention, NULL), 5, partition_take, err);
    if (rc == CP_OK)
        rc = lines_run(retention, sink, parts_sql(retention), 3, parts_take, err);
    if (rc == CP_OK)
        rc = rollups_check(retention, sink, err);
    return rc;
}

int cp_retention_clock(const cp_sink_config *sink, cp_error *err)
{
    uint64_t theirs = 0;
    const int rc = cp_query_number(sink, NULL, "SELECT toUInt32(now()) FORMAT TSV", &theirs, err);
    if (rc < 0)
        return rc;
    const int64_t apart = (int64_t)theirs - (int64_t)time(NULL);
    if (apart <= CP_CLOCK_APART_SECONDS && apart >= -CP_CLOCK_APART_SECONDS)
        return CP_OK;
    return cp_error_set(
        err, CP_E_SERVER,
        "ClickHouse's clock is %" PRId64
        " s %s this host's: one of the two is wrong, and what is over cannot be told; nothing is "
        "dropped",
        apart < 0 ? -apart : apart, apart < 0 ? "behind" : "ahead of");
}

/* Just before it is dropped: as many rows as when it was looked at, and all of them over. */
static int still_expired(const cp_retention *r, const cp_partition *p, const cp_sink_config *sink,
                         cp_error *err)
{
    cp_retention now = {.table = r->table, .database = r->database, .cluster = r->cluster};
    int rc = lines_run(&now, sink, partitions_sql(r, p->id), 5, partition_take, err);
    if (rc == CP_OK &&
        (now.count != 1 || now.partitions[0].rows != p->rows || now.partitions[0].fate != CP_FATE_DROP))
        rc = cp_error_set(err, CP_E_BUSY,
                          "rows came or went while it was looked at; it is kept, run maintain again");
    free(now.partitions);
    return rc;
}

static int partition_drop(const cp_retention *r, const cp_partition *p, const cp_sink_config *sink,
                          cp_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = still_expired(r, p, sink, err);
    FILE *out = rc == CP_OK ? open_memstream(&text, &len) : NULL;
    if (!out)
        return rc == CP_OK ? cp_error_set(err, CP_E_NOMEM, "no memory for a statement") : rc;
    cp_partition_drop_write(out, r->database, cp_table_target(r->table->table), r->cluster, p->id);
    char *sql = stream_end(out, &text);
    rc = sql ? cp_query_run(sink, r->database, sql, NULL, NULL, err)
             : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    return rc;
}

int cp_retention_do(const cp_retention *retention, cp_partition *partition, const cp_sink_config *sink,
                    cp_error *err)
{
    int rc = CP_OK;
    if (partition->fate == CP_FATE_ROLL_UP || partition->fate == CP_FATE_ROLL_UP_AND_DROP)
        rc =
            cp_rollup_run(&retention->rollup, sink, retention->database, partition->id, partition->rows, err);
    if (rc == CP_OK && (partition->fate == CP_FATE_DROP || partition->fate == CP_FATE_ROLL_UP_AND_DROP))
        rc = partition_drop(retention, partition, sink, err);
    partition->done = rc == CP_OK;
    return rc < 0 ? cp_error_prefix(err, "table %s, partition %s", retention->table->name, partition->id)
                  : CP_OK;
}

void cp_retention_free(cp_retention *retention)
{
    cp_rollup_free(&retention->rollup);
    free(retention->ttl);
    free(retention->partitions);
    *retention = (cp_retention){0};
}
