/* See drift.h. */
#include "schema/drift.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/cluster.h"
#include "schema/expression.h"
#include "schema/sql_write.h"
#include "schema/widen.h"

/* One comparison under way. */
typedef struct comparison {
    cp_drifts *drifts;
    const cp_drift_target *target;
    const cp_table *declared;
    const cp_table *server;
} comparison;

static cp_drift *drift_add(cp_drifts *drifts, const char *what, const char *object, const char *column)
{
    static cp_drift spare; /* written to, never read, when there is no memory */
    if (drifts->count == drifts->capacity) {
        const uint32_t capacity = drifts->capacity ? 2 * drifts->capacity : 16;
        cp_drift *items = reallocarray(drifts->items, capacity, sizeof *items);
        if (!items) {
            drifts->no_memory = true;
            spare = (cp_drift){0};
            return &spare;
        }
        drifts->items = items;
        drifts->capacity = capacity;
    }
    cp_drift *drift = &drifts->items[drifts->count++];
    *drift = (cp_drift){.what = what, .object = strdup(object), .column = column ? strdup(column) : NULL};
    drifts->no_memory = drifts->no_memory || !drift->object || (column && !drift->column);
    return drift;
}

static char *copy(comparison *c, const char *text)
{
    char *out = text ? strdup(text) : NULL;
    c->drifts->no_memory = c->drifts->no_memory || (text && !out);
    return out;
}

CP_PRINTF(2, 3) static char *format(comparison *c, const char *fmt, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&out, fmt, args) < 0)
        out = NULL;
    va_end(args);
    c->drifts->no_memory = c->drifts->no_memory || !out;
    return out;
}

/* "ALTER TABLE `db`.`t` ON CLUSTER `c` ", begun in a stream that statement_end ends. */
typedef struct statement {
    FILE *out;
    char *text;
    size_t len;
} statement;

static void table_name_write(FILE *out, const comparison *c, bool front)
{
    cp_cluster_write_name(out, c->target->database, c->declared->name, front ? NULL : c->target->cluster);
    if (c->target->cluster) {
        fputs(" ON CLUSTER ", out);
        cp_sql_write_name(out, c->target->cluster);
    }
}

static bool alter_begin(comparison *c, statement *s, bool front)
{
    *s = (statement){0};
    s->out = open_memstream(&s->text, &s->len);
    if (!s->out) {
        c->drifts->no_memory = true;
        return false;
    }
    fputs("ALTER TABLE ", s->out);
    table_name_write(s->out, c, front);
    putc(' ', s->out);
    return true;
}

static char *statement_end(comparison *c, statement *s)
{
    if (fclose(s->out) == 0)
        return s->text;
    c->drifts->no_memory = true;
    free(s->text);
    return NULL;
}

/* ---- columns ------------------------------------------------------------------------------------------------ */

static char *column_add_statement(comparison *c, uint32_t i, bool front)
{
    const cp_column *column = &c->declared->columns[i];
    statement s;
    if (!alter_begin(c, &s, front))
        return NULL;
    fputs("ADD COLUMN ", s.out);
    if (front)
        cp_sql_write_column(s.out, &(cp_column){.name = column->name,
                                                .type = column->type,
                                                .default_expr = column->default_expr,
                                                .comment = column->comment});
    else
        cp_sql_write_column(s.out, column);
    if (i == 0) {
        fputs(" FIRST", s.out);
    } else {
        fputs(" AFTER ", s.out);
        cp_sql_write_name(s.out, c->declared->columns[i - 1].name);
    }
    return statement_end(c, &s);
}

static void column_missing(comparison *c, uint32_t i)
{
    const cp_column *column = &c->declared->columns[i];
    cp_drift *drift = drift_add(c->drifts, "column missing", c->declared->name, column->name);
    drift->declared = copy(c, column->type.text);
    drift->statement = column_add_statement(c, i, false);
    if (c->target->cluster)
        drift->second = column_add_statement(c, i, true);
    drift->remedy = format(c, "`coldpath schema apply` adds it; rows already stored read as %s",
                           column->default_expr ? "its default" : "empty, zero or NULL");
}

static void column_extra(comparison *c, const cp_column *column)
{
    cp_drift *drift = drift_add(c->drifts, "column not declared", c->declared->name, column->name);
    drift->server = copy(c, column->type.text);
    drift->remedy =
        format(c,
               "declare it in the CREATE TABLE, where rows can then fill it, or drop it by hand, with "
               "what it holds: ALTER TABLE %s.%s DROP COLUMN %s",
               c->target->database, c->declared->name, column->name);
}

static bool column_in_key(const cp_table *table, const char *name)
{
    return cp_expression_names(table->order_by, name) || cp_expression_names(table->partition_by, name) ||
           cp_expression_names(table->primary_key, name) || cp_expression_names(table->sample_by, name);
}

static void column_type(comparison *c, const cp_column *column, const cp_column *held)
{
    if (strcmp(column->type.text, held->type.text) == 0)
        return;
    cp_drift *drift = drift_add(c->drifts, "type", c->declared->name, column->name);
    drift->declared = copy(c, column->type.text);
    drift->server = copy(c, held->type.text);
    const char *loss = cp_type_loss(&held->type, &column->type);
    if (!loss && column_in_key(c->server, column->name))
        loss = "the column is part of a key, by which the rows are sorted";
    if (loss) {
        drift->remedy = format(
            c,
            "refused: %s. Plan: add a column of the new type under another name, let the producers fill "
            "it, copy what is to be kept (ALTER TABLE … UPDATE), then drop the old one; or correct "
            "the declaration",
            loss);
        return;
    }
    for (int front = 0; front <= (c->target->cluster != NULL); front++) {
        statement s;
        if (!alter_begin(c, &s, front))
            return;
        fputs("MODIFY COLUMN ", s.out);
        cp_sql_write_name(s.out, column->name);
        fprintf(s.out, " %s", column->type.text);
        if (!front && column->codec) /* the old one may not be for the new type */
            fprintf(s.out, " CODEC(%s)", column->codec);
        *(front ? &drift->second : &drift->statement) = statement_end(c, &s);
    }
    drift->remedy = copy(c, "`coldpath schema apply` changes it; every stored value stays what it is");
}

/* An attribute of a column that says nothing about what is stored. attribute: "DEFAULT", "CODEC". */
static void column_attribute(comparison *c, const cp_column *column, const char *attribute,
                             const char *declared, const char *held)
{
    const bool codec = strcmp(attribute, "CODEC") == 0;
    cp_drift *drift = drift_add(c->drifts, codec ? "codec" : "default", c->declared->name, column->name);
    drift->declared = copy(c, declared);
    drift->server = copy(c, held);
    statement s;
    if (!alter_begin(c, &s, false))
        return;
    fputs("MODIFY COLUMN ", s.out);
    cp_sql_write_name(s.out, column->name);
    if (!declared)
        fprintf(s.out, " REMOVE %s", attribute);
    else if (codec)
        fprintf(s.out, " CODEC(%s)", declared);
    else
        fprintf(s.out, " DEFAULT %s", declared);
    drift->statement = statement_end(c, &s);
    drift->remedy = copy(c, codec ? "`coldpath schema apply` changes it, for parts written from then on"
                                  : "`coldpath schema apply` changes it, for rows inserted from then on");
}

static void column_comment(comparison *c, const cp_column *column, const cp_column *held)
{
    if (strcmp(column->comment ? column->comment : "", held->comment ? held->comment : "") == 0)
        return;
    cp_drift *drift = drift_add(c->drifts, "comment", c->declared->name, column->name);
    drift->declared = copy(c, column->comment);
    drift->server = copy(c, held->comment);
    drift->remedy = copy(c, "`coldpath schema apply` changes it");
    statement s;
    if (!alter_begin(c, &s, false))
        return;
    fputs("COMMENT COLUMN ", s.out);
    cp_sql_write_name(s.out, column->name);
    putc(' ', s.out);
    cp_sql_write_text(s.out, column->comment ? column->comment : "");
    drift->statement = statement_end(c, &s);
}

static void columns_compare(comparison *c)
{
    const cp_table *declared = c->declared;
    for (uint32_t i = 0; i < declared->column_count; i++) {
        const cp_column *column = &declared->columns[i];
        const int at = cp_table_find(c->server, column->name, strlen(column->name));
        if (at < 0) {
            column_missing(c, i);
            continue;
        }
        const cp_column *held = &c->server->columns[at];
        column_type(c, column, held);
        if (!cp_default_equal(column->default_expr, held->default_expr))
            column_attribute(c, column, "DEFAULT", column->default_expr, held->default_expr);
        if (!cp_codec_equal(column->codec, held->codec))
            column_attribute(c, column, "CODEC", column->codec, held->codec);
        column_comment(c, column, held);
    }
    for (uint32_t i = 0; i < c->server->column_count; i++) {
        const cp_column *held = &c->server->columns[i];
        if (cp_table_find(declared, held->name, strlen(held->name)) < 0)
            column_extra(c, held);
    }
}

/* ---- the table itself ------------------------------------------------------------------------------------------ */

/* What ClickHouse cannot change in place. */
static void fixed_compare(comparison *c, const char *what, const char *declared, const char *held)
{
    if (cp_expression_equal(declared, held))
        return;
    cp_drift *drift = drift_add(c->drifts, what, c->declared->name, NULL);
    drift->declared = copy(c, declared);
    drift->server = copy(c, held);
    drift->remedy = format(
        c,
        "refused: ClickHouse cannot change it in a table that holds rows. Plan: stop coldpathd; RENAME "
        "TABLE %s.%s TO %s.%s_old; `coldpath schema apply`; INSERT INTO %s SELECT … FROM %s_old; "
        "start coldpathd; drop %s_old when the copy is proven; or correct the declaration",
        c->target->database, c->declared->name, c->target->database, c->declared->name, c->declared->name,
        c->declared->name, c->declared->name);
}

/* The engine without what a cluster adds to it: Replicated or Shared in front, path and replica among the arguments. */
static char *engine_bare(comparison *c, const char *engine)
{
    static const char *const prefixes[] = {"Replicated", "Shared"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const size_t len = strlen(prefixes[i]);
        if (strncmp(engine, prefixes[i], len) == 0 && engine[len]) {
            const size_t name = strcspn(engine + len, " (");
            return format(c, "%.*s", (int)name, engine + len);
        }
    }
    return copy(c, engine);
}

static void engine_compare(comparison *c)
{
    char *declared = engine_bare(c, c->declared->engine);
    char *held = engine_bare(c, c->server->engine);
    const bool replicated =
        declared && held &&
        (strcmp(declared, c->declared->engine) != 0 || strcmp(held, c->server->engine) != 0);
    if (declared && replicated)
        declared[strcspn(declared, " (")] = '\0'; /* what stands in the arguments cannot be told apart */
    if (held && replicated)
        held[strcspn(held, " (")] = '\0';
    fixed_compare(c, "engine", declared, held);
    free(declared);
    free(held);
}

/* A longer TTL keeps more; any other change deletes rows sooner or later. */
static bool ttl_keeps_more(const char *declared, const char *held)
{
    if (!declared)
        return true;
    if (!held)
        return false;
    uint64_t wanted = 0;
    uint64_t now = 0;
    char *a = cp_ttl_split(declared, &wanted);
    char *b = cp_ttl_split(held, &now);
    const bool more = a && b && strcmp(a, b) == 0 && wanted >= now;
    free(a);
    free(b);
    return more;
}

static void ttl_compare(comparison *c)
{
    const char *declared = c->declared->ttl;
    const char *held = c->server->ttl;
    if (cp_expression_equal(declared, held))
        return;
    cp_drift *drift = drift_add(c->drifts, "TTL", c->declared->name, NULL);
    drift->declared = copy(c, declared);
    drift->server = copy(c, held);
    statement s;
    if (!alter_begin(c, &s, false))
        return;
    if (declared)
        fprintf(s.out, "MODIFY TTL %s", declared);
    else
        fputs("REMOVE TTL", s.out);
    char *text = statement_end(c, &s);
    if (ttl_keeps_more(declared, held)) {
        drift->statement = text;
        drift->remedy = copy(c, "`coldpath schema apply` changes it; no row goes sooner than before");
        return;
    }
    drift->remedy = format(
        c,
        "refused: rows that the server keeps now would be deleted. Plan: look at what would go, then run "
        "by hand: %s; or correct the declaration",
        text ? text : "ALTER TABLE … MODIFY TTL");
    free(text);
}

static const char *setting_find(const cp_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->setting_count; i++) {
        if (strcmp(table->settings[i].name, name) == 0)
            return table->settings[i].value;
    }
    return NULL;
}

static void settings_compare(comparison *c)
{
    for (uint32_t i = 0; i < c->declared->setting_count; i++) {
        const char *name = cp_cluster_setting_name(c->declared->settings[i].name, c->server->engine);
        const char *value = c->declared->settings[i].value;
        const char *held = setting_find(c->server, name);
        if (cp_expression_equal(value, held))
            continue;
        cp_drift *drift = drift_add(c->drifts, "setting", c->declared->name, name);
        drift->declared = copy(c, value);
        drift->server = copy(c, held);
        drift->remedy = copy(c, "`coldpath schema apply` changes it");
        statement s;
        if (!alter_begin(c, &s, false))
            return;
        fprintf(s.out, "MODIFY SETTING %s = %s", name, value);
        drift->statement = statement_end(c, &s);
    }
}

static void comment_compare(comparison *c)
{
    const char *declared = c->declared->comment ? c->declared->comment : "";
    if (strcmp(declared, c->server->comment ? c->server->comment : "") == 0)
        return;
    cp_drift *drift = drift_add(c->drifts, "comment", c->declared->name, NULL);
    drift->declared = copy(c, c->declared->comment);
    drift->server = copy(c, c->server->comment);
    drift->remedy = copy(c, "`coldpath schema apply` changes it");
    statement s;
    if (!alter_begin(c, &s, false))
        return;
    fputs("MODIFY COMMENT ", s.out);
    cp_sql_write_text(s.out, declared);
    drift->statement = statement_end(c, &s);
}

static void table_missing(comparison *c)
{
    cp_drift *drift = drift_add(c->drifts, "table missing", c->declared->name, NULL);
    drift->statement = cp_cluster_create(c->declared, c->target->database, c->target->cluster);
    if (c->target->cluster)
        drift->second = cp_cluster_distributed(c->declared, c->target->database, c->target->cluster);
    c->drifts->no_memory =
        c->drifts->no_memory || !drift->statement || (c->target->cluster && !drift->second);
    drift->remedy = copy(c, "`coldpath schema apply` creates it");
}

void cp_drift_table(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                    const cp_table *server)
{
    comparison c = {.drifts = drifts, .target = target, .declared = declared, .server = server};
    if (!server) {
        table_missing(&c);
        return;
    }
    engine_compare(&c);
    fixed_compare(&c, "PARTITION BY", declared->partition_by, server->partition_by);
    fixed_compare(&c, "ORDER BY", declared->order_by, server->order_by);
    if (declared->primary_key && !cp_expression_equal(declared->primary_key, declared->order_by))
        fixed_compare(&c, "PRIMARY KEY", declared->primary_key, server->primary_key);
    else if (server->primary_key)
        fixed_compare(&c, "PRIMARY KEY", declared->order_by, server->primary_key);
    fixed_compare(&c, "SAMPLE BY", declared->sample_by, server->sample_by);
    columns_compare(&c);
    ttl_compare(&c);
    settings_compare(&c);
    comment_compare(&c);
}

void cp_drift_front(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared)
{
    comparison c = {.drifts = drifts, .target = target, .declared = declared};
    cp_drift *drift = drift_add(drifts, "Distributed table missing", declared->name, NULL);
    drift->statement = cp_cluster_distributed(declared, target->database, target->cluster);
    drifts->no_memory = drifts->no_memory || !drift->statement;
    drift->remedy = copy(&c, "`coldpath schema apply` creates it");
}

void cp_drift_view(cp_drifts *drifts, const cp_drift_target *target, const cp_view *declared,
                   const char *server)
{
    if (server && strstr(server, declared->mark))
        return;
    cp_drift *drift = drift_add(drifts, server ? "view differs" : "view missing", declared->name, NULL);
    const char *remedy =
        server ? "`coldpath schema apply` replaces it" : "`coldpath schema apply` creates it";
    drift->statement = cp_view_statement(declared, target->database, target->cluster, server != NULL);
    drift->remedy = strdup(remedy);
    drifts->no_memory = drifts->no_memory || !drift->statement || !drift->remedy;
}

void cp_drift_unreadable(cp_drifts *drifts, const char *object, const char *why)
{
    cp_drift *drift = drift_add(drifts, "cannot be compared", object, NULL);
    if (asprintf(&drift->remedy, "refused: %s", why) < 0) {
        drift->remedy = NULL;
        drifts->no_memory = true;
    }
}

uint32_t cp_drifts_refused(const cp_drifts *drifts)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < drifts->count; i++)
        refused += drifts->items[i].statement == NULL;
    return refused;
}

void cp_drifts_clear(cp_drifts *drifts)
{
    for (uint32_t i = 0; i < drifts->count; i++) {
        cp_drift *drift = &drifts->items[i];
        char *const texts[] = {drift->object,    drift->column, drift->declared, drift->server,
                               drift->statement, drift->second, drift->remedy};
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            free(texts[t]);
    }
    free(drifts->items);
    *drifts = (cp_drifts){0};
}
