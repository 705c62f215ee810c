/* See drift.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "schema/cluster.h"
#include "schema/drift_private.h"
#include "schema/expression.h"
#include "schema/sql_write.h"

cp_drift *cp_drift_add(cp_drifts *drifts, const char *what, const char *object, const char *column)
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

char *cp_drift_copy(cp_comparison *c, const char *text)
{
    char *out = text ? strdup(text) : NULL;
    c->drifts->no_memory = c->drifts->no_memory || (text && !out);
    return out;
}

char *cp_drift_format(cp_comparison *c, const char *fmt, ...)
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

bool cp_alter_begin(cp_comparison *c, cp_alter *alter)
{
    *alter = (cp_alter){0};
    alter->out = open_memstream(&alter->text, &alter->len);
    if (!alter->out) {
        c->drifts->no_memory = true;
        return false;
    }
    fputs("ALTER TABLE ", alter->out);
    cp_sql_write_name(alter->out, c->target->database);
    putc('.', alter->out);
    cp_sql_write_name(alter->out, c->object);
    if (c->target->cluster) {
        fputs(" ON CLUSTER ", alter->out);
        cp_sql_write_name(alter->out, c->target->cluster);
    }
    putc(' ', alter->out);
    return true;
}

char *cp_alter_end(cp_comparison *c, cp_alter *alter)
{
    if (fclose(alter->out) == 0)
        return alter->text;
    c->drifts->no_memory = true;
    free(alter->text);
    return NULL;
}

/* The plan for what ClickHouse cannot change in place. */
static char *move_plan(cp_comparison *c)
{
    return cp_drift_format(
        c,
        "refused: ClickHouse cannot change it in a table that holds rows. Plan: stop coldpathd; RENAME "
        "TABLE %s.%s TO %s.%s_old; `coldpath schema apply`; INSERT INTO %s SELECT … FROM %s_old; "
        "start coldpathd; drop %s_old when the copy is proven; or correct the declaration",
        c->target->database, c->object, c->target->database, c->object, c->object, c->object, c->object);
}

static void fixed_compare(cp_comparison *c, const char *what, const char *declared, const char *held)
{
    if (cp_expression_equal(declared, held))
        return;
    cp_drift *drift = cp_drift_add(c->drifts, what, c->object, NULL);
    drift->declared = cp_drift_copy(c, declared);
    drift->server = cp_drift_copy(c, held);
    drift->remedy = move_plan(c);
}

/* The engine without what a cluster adds to it: Replicated or Shared in front, path and replica among the arguments. */
static char *engine_bare(cp_comparison *c, const char *engine)
{
    static const char *const prefixes[] = {"Replicated", "Shared"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const size_t len = strlen(prefixes[i]);
        if (strncmp(engine, prefixes[i], len) == 0 && engine[len]) {
            const size_t name = strcspn(engine + len, " (");
            return cp_drift_format(c, "%.*s", (int)name, engine + len);
        }
    }
    return cp_drift_copy(c, engine);
}

static void engine_compare(cp_comparison *c)
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
bool cp_ttl_keeps_more(const char *declared, const char *held)
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

static void ttl_compare(cp_comparison *c)
{
    const char *declared = c->declared->ttl;
    const char *held = c->server->ttl;
    if (cp_expression_equal(declared, held))
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "TTL", c->object, NULL);
    drift->declared = cp_drift_copy(c, declared);
    drift->server = cp_drift_copy(c, held);
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    if (declared)
        fprintf(s.out, "MODIFY TTL %s", declared);
    else
        fputs("REMOVE TTL", s.out);
    char *text = cp_alter_end(c, &s);
    if (cp_ttl_keeps_more(declared, held)) {
        drift->statement = text;
        drift->remedy =
            cp_drift_copy(c, "`coldpath schema apply` changes it; no row goes sooner than before");
        return;
    }
    drift->remedy = cp_drift_format(
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

/* What a table keeps from its creation on. */
static bool setting_is_fixed(const char *name)
{
    static const char *const fixed[] = {"index_granularity", "index_granularity_bytes",
                                        "enable_mixed_granularity_parts", "table_disk"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (strcmp(name, fixed[i]) == 0)
            return true;
    }
    return false;
}

static void setting_differs(cp_comparison *c, const char *name, const char *value, const char *held)
{
    cp_drift *drift = cp_drift_add(c->drifts, "setting", c->object, name);
    drift->declared = cp_drift_copy(c, value);
    drift->server = cp_drift_copy(c, held);
    if (setting_is_fixed(name)) {
        drift->remedy = move_plan(c);
        return;
    }
    drift->remedy = cp_drift_copy(c, "`coldpath schema apply` changes it");
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    fprintf(s.out, "MODIFY SETTING %s = %s", name, value);
    drift->statement = cp_alter_end(c, &s);
}

static void setting_not_declared(cp_comparison *c, const cp_setting *held)
{
    if (strcmp(held->name, "index_granularity") == 0 && strcmp(held->value, "8192") == 0)
        return; /* the server's default, which it writes out */
    cp_drift *drift = cp_drift_add(c->drifts, "setting not declared", c->object, held->name);
    drift->server = cp_drift_copy(c, held->value);
    drift->remedy = cp_drift_format(
        c,
        "refused: somebody set it on purpose. Declare it under SETTINGS, or take it away by hand: "
        "ALTER TABLE %s.%s RESET SETTING %s",
        c->target->database, c->object, held->name);
}

static void settings_compare(cp_comparison *c)
{
    for (uint32_t i = 0; i < c->declared->setting_count; i++) {
        const char *name = cp_cluster_setting_name(c->declared->settings[i].name, c->server->engine);
        const char *value = c->declared->settings[i].value;
        const char *held = setting_find(c->server, name);
        const bool by_default = !held && strcmp(name, "index_granularity") == 0 && strcmp(value, "8192") == 0;
        if (!by_default && !cp_expression_equal(value, held))
            setting_differs(c, name, value, held);
    }
    for (uint32_t i = 0; i < c->server->setting_count; i++) {
        const cp_setting *held = &c->server->settings[i];
        bool declared = false;
        for (uint32_t d = 0; d < c->declared->setting_count && !declared; d++)
            declared = strcmp(cp_cluster_setting_name(c->declared->settings[d].name, c->server->engine),
                              held->name) == 0;
        if (!declared)
            setting_not_declared(c, held);
    }
}

static void comment_compare(cp_comparison *c)
{
    const char *declared = c->declared->comment ? c->declared->comment : "";
    if (strcmp(declared, c->server->comment ? c->server->comment : "") == 0)
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "comment", c->object, NULL);
    drift->declared = cp_drift_copy(c, c->declared->comment);
    drift->server = cp_drift_copy(c, c->server->comment);
    drift->remedy = cp_drift_copy(c, "`coldpath schema apply` changes it");
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    fputs("MODIFY COMMENT ", s.out);
    cp_sql_write_text(s.out, declared);
    drift->statement = cp_alter_end(c, &s);
}

static cp_comparison comparison(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                                const cp_table *server, bool front)
{
    cp_comparison c = {
        .drifts = drifts, .target = target, .declared = declared, .server = server, .front = front};
    snprintf(c.object, sizeof c.object, "%s%s", declared->name, target->cluster && !front ? "_local" : "");
    return c;
}

static void table_missing(cp_comparison *c)
{
    const cp_drift_target *target = c->target;
    cp_drift *drift = cp_drift_add(c->drifts, "table missing", c->object, NULL);
    drift->statement = c->front ? cp_cluster_distributed(c->declared, target->database, target->cluster)
                                : cp_cluster_create(c->declared, target->database, target->cluster);
    drift->remedy = cp_drift_copy(c, "`coldpath schema apply` creates it");
    c->drifts->no_memory = c->drifts->no_memory || !drift->statement;
}

void cp_drift_table(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                    const cp_table *server)
{
    cp_comparison c = comparison(drifts, target, declared, server, false);
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
    cp_drift_columns(&c);
    cp_drift_entries(&c);
    ttl_compare(&c);
    settings_compare(&c);
    comment_compare(&c);
}

void cp_drift_front(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                    const cp_table *server)
{
    cp_comparison c = comparison(drifts, target, declared, server, true);
    if (!server) {
        table_missing(&c);
        return;
    }
    char *engine = cp_cluster_engine(declared, target->database, target->cluster);
    if (!engine || !cp_expression_equal(engine, server->engine)) {
        cp_drift *drift = cp_drift_add(drifts, "engine", c.object, NULL);
        drift->declared = cp_drift_copy(&c, engine);
        drift->server = cp_drift_copy(&c, server->engine);
        drift->remedy = cp_drift_format(
            &c,
            "refused: a Distributed table cannot be changed. It holds no rows but those on their way: SYSTEM "
            "FLUSH "
            "DISTRIBUTED %s.%s and DROP TABLE it ON CLUSTER; `coldpath schema apply` makes it anew",
            target->database, c.object);
    }
    free(engine);
    cp_drift_columns(&c);
}

void cp_drift_view(cp_drifts *drifts, const cp_drift_target *target, const cp_view *declared,
                   const char *server)
{
    if (server && strstr(server, declared->mark))
        return;
    cp_drift *drift = cp_drift_add(drifts, server ? "view differs" : "view missing", declared->name, NULL);
    const char *remedy =
        server ? "`coldpath schema apply` replaces it" : "`coldpath schema apply` creates it";
    drift->statement = cp_view_statement(declared, target->database, target->cluster, server != NULL);
    drift->remedy = strdup(remedy);
    drifts->no_memory = drifts->no_memory || !drift->statement || !drift->remedy;
}

void cp_drift_unreadable(cp_drifts *drifts, const char *object, const char *why)
{
    cp_drift *drift = cp_drift_add(drifts, "cannot be compared", object, NULL);
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

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static void drift_clear(cp_drift *drift)
{
    char *const texts[] = {drift->object, drift->column,    drift->declared,
                           drift->server, drift->statement, drift->remedy};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        free(texts[t]);
}

void cp_drifts_unify(cp_drifts *drifts)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < drifts->count; i++) {
        cp_drift *drift = &drifts->items[i];
        bool again = false;
        for (uint32_t k = 0; k < kept && !again; k++) {
            const cp_drift *before = &drifts->items[k];
            again = strcmp(before->what, drift->what) == 0 && same_text(before->object, drift->object) &&
                    same_text(before->column, drift->column) &&
                    (drift->statement ? same_text(before->statement, drift->statement)
                                      : !before->statement && same_text(before->server, drift->server));
        }
        if (again)
            drift_clear(drift);
        else
            drifts->items[kept++] = *drift;
    }
    drifts->count = kept;
}

void cp_drifts_cut(cp_drifts *drifts, uint32_t count)
{
    while (drifts->count > count)
        drift_clear(&drifts->items[--drifts->count]);
}

void cp_drifts_clear(cp_drifts *drifts)
{
    cp_drifts_cut(drifts, 0);
    free(drifts->items);
    *drifts = (cp_drifts){0};
}
