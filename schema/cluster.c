/* See cluster.h. The declared text is kept, with its comments, indexes and what else the descriptor does not hold; only the
 * name, the engine and one setting are exchanged in it. */
#include "schema/cluster.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/ddl_lexer.h"
#include "schema/expression.h"
#include "schema/sql_write.h"

static const char plain_window[] = "non_replicated_deduplication_window";
static const char replicated_window[] = "replicated_deduplication_window";

void cp_cluster_write_name(FILE *out, const char *database, const char *table, const char *cluster)
{
    char name[CP_MAX_NAME + sizeof "_local"];
    snprintf(name, sizeof name, "%s%s", table, cluster ? "_local" : "");
    cp_sql_write_name(out, database);
    putc('.', out);
    cp_sql_write_name(out, name);
}

void cp_cluster_write_replica(FILE *out, const char *database, const char *table)
{
    char path[2 * CP_MAX_NAME + 64];
    snprintf(path, sizeof path, "/clickhouse/tables/{shard}/%s/%s_local", database, table);
    cp_sql_write_text(out, path);
    fputs(", '{replica}'", out);
}

const char *cp_cluster_setting_name(const char *setting, const char *engine)
{
    const bool replicated = strncmp(engine, "Replicated", strlen("Replicated")) == 0;
    return replicated && strcmp(setting, plain_window) == 0 ? replicated_window : setting;
}

/* Goes over the head, CREATE TABLE [IF NOT EXISTS] [database.]name [UUID '…'] [ON CLUSTER x], to the first column. */
static void head_skip(cp_ddl *ddl)
{
    while (ddl->tok.kind != CP_DDL_END && !cp_ddl_is_punct(ddl, '('))
        cp_ddl_next(ddl);
}

/* The engine at tok: writes what stands before its arguments' end in its replicated form; *at: what has been copied. */
static void engine_write(cp_ddl *ddl, const char *database, const char *table, FILE *out, size_t *at)
{
    cp_ddl_accept_punct(ddl, '=');
    const cp_ddl_token name = ddl->tok;
    const char *text = ddl->text;
    fwrite(text + *at, 1, name.begin - *at, out);
    *at = name.begin;
    const size_t prefix = strlen("Replicated");
    if (name.end - name.begin >= prefix && strncmp(text + name.begin, "Replicated", prefix) == 0)
        return;
    cp_ddl_next(ddl);
    fprintf(out, "Replicated%.*s(", (int)(name.end - name.begin), text + name.begin);
    cp_cluster_write_replica(out, database, table);
    *at = name.end;
    if (!cp_ddl_is_punct(ddl, '(')) {
        putc(')', out);
        return;
    }
    *at = ddl->tok.end;
    const cp_ddl_token next = cp_ddl_peek(ddl);
    if (!(next.kind == CP_DDL_PUNCT && text[next.begin] == ')'))
        fputs(", ", out);
}

/* Whether an engine is named behind the columns, which ddl stands at. */
static bool engine_is_named(cp_ddl ddl)
{
    int depth = 0;
    for (; ddl.tok.kind != CP_DDL_END; cp_ddl_next(&ddl)) {
        depth += cp_ddl_is_punct(&ddl, '(') - cp_ddl_is_punct(&ddl, ')');
        if (depth == 0 && cp_ddl_is(&ddl, "ENGINE"))
            return true;
    }
    return false;
}

static void create_write(const cp_table *table, const char *database, const char *cluster, FILE *out)
{
    const char *text = table->create;
    cp_ddl ddl;
    cp_error err = {0};
    cp_ddl_init(&ddl, "declaration", text, strlen(text), &err);
    head_skip(&ddl);
    fputs("CREATE TABLE IF NOT EXISTS ", out);
    cp_cluster_write_name(out, database, table->name, cluster);
    if (cluster) {
        fputs(" ON CLUSTER ", out);
        cp_sql_write_name(out, cluster);
    }
    putc('\n', out);
    size_t at = ddl.tok.begin;
    int depth = 0;
    bool named = engine_is_named(ddl);
    while (cluster && ddl.tok.kind != CP_DDL_END) {
        depth += cp_ddl_is_punct(&ddl, '(') - cp_ddl_is_punct(&ddl, ')');
        if (depth == 0 && cp_ddl_is(&ddl, plain_window)) {
            fwrite(text + at, 1, ddl.tok.begin - at, out);
            fputs(replicated_window, out);
            at = ddl.tok.end;
        }
        if (depth == 0 && !named &&
            cp_ddl_is_punct(&ddl, ')')) { /* ClickHouse's default would be no replicated one */
            fwrite(text + at, 1, ddl.tok.end - at, out);
            fprintf(out, "\nENGINE = Replicated%s(", table->engine);
            cp_cluster_write_replica(out, database, table->name);
            putc(')', out);
            at = ddl.tok.end;
            named = true;
        }
        if (depth == 0 && cp_ddl_accept(&ddl, "ENGINE"))
            engine_write(&ddl, database, table->name, out, &at);
        else
            cp_ddl_next(&ddl);
    }
    fputs(text + at, out);
}

char *cp_cluster_create(const cp_table *table, const char *database, const char *cluster)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    create_write(table, database, cluster, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static bool is_time(cp_kind kind)
{
    return kind == CP_DATE || kind == CP_DATE32 || kind == CP_DATETIME || kind == CP_DATETIME64;
}

/* The first column of the order key that is no time, else its first; NULL when it names none. */
static const cp_column *key_column(const cp_table *table)
{
    const cp_column *first = NULL;
    cp_ddl ddl;
    cp_error err = {0};
    const char *key = table->order_by ? table->order_by : "";
    cp_ddl_init(&ddl, "key", key, strlen(key), &err);
    for (; ddl.tok.kind != CP_DDL_END; cp_ddl_next(&ddl)) {
        if (ddl.tok.kind != CP_DDL_WORD && ddl.tok.kind != CP_DDL_QUOTED)
            continue;
        char *word = cp_ddl_decode(&ddl, ddl.tok);
        const int at = word ? cp_table_find(table, word, strlen(word)) : -1;
        free(word);
        if (at < 0)
            continue;
        if (!is_time(table->columns[at].type.kind))
            return &table->columns[at];
        first = first ? first : &table->columns[at];
    }
    return first;
}

char *cp_cluster_shard_key(const cp_table *table)
{
    const cp_column *column = key_column(table);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("cityHash64(", out);
    cp_sql_write_name(out, column ? column->name : table->columns[0].name);
    putc(')', out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

char *cp_cluster_engine(const cp_table *table, const char *database, const char *cluster)
{
    char *text = NULL;
    size_t len = 0;
    char *key = cp_cluster_shard_key(table);
    FILE *out = key ? open_memstream(&text, &len) : NULL;
    if (!out) {
        free(key);
        return NULL;
    }
    char local[CP_MAX_NAME + sizeof "_local"];
    snprintf(local, sizeof local, "%s_local", table->name);
    fputs("Distributed(", out);
    cp_sql_write_text(out, cluster);
    fputs(", ", out);
    cp_sql_write_text(out, database);
    fputs(", ", out);
    cp_sql_write_text(out, local);
    fprintf(out, ", %s)", key);
    free(key);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

char *cp_cluster_distributed(const cp_table *table, const char *database, const char *cluster)
{
    char *text = NULL;
    size_t len = 0;
    char *engine = cp_cluster_engine(table, database, cluster);
    FILE *out = engine ? open_memstream(&text, &len) : NULL;
    if (!out) {
        free(engine);
        return NULL;
    }
    fputs("CREATE TABLE IF NOT EXISTS ", out);
    cp_cluster_write_name(out, database, table->name, NULL);
    fputs(" ON CLUSTER ", out);
    cp_sql_write_name(out, cluster);
    fputs(" AS ", out);
    cp_cluster_write_name(out, database, table->name, cluster);
    fprintf(out, "\nENGINE = %s", engine);
    free(engine);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
