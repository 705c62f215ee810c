/* Indexes, constraints and projections. Those that are missing or different can be made, as they hold nothing of their own;
 * parts written before get them by MATERIALIZE. What is not declared somebody made on purpose: a person decides. */
#include <stdlib.h>
#include <string.h>

#include "schema/drift_private.h"
#include "schema/expression.h"
#include "schema/sql_write.h"

static const struct {
    const char *word;
    const char *missing;
    const char *differs;
    const char *extra;
} kinds[] = {{"INDEX", "index missing", "index", "index not declared"},
             {"CONSTRAINT", "constraint missing", "constraint", "constraint not declared"},
             {"PROJECTION", "projection missing", "projection", "projection not declared"}};

static const cp_entry *entry_find(const cp_table *table, const cp_entry *like)
{
    for (uint32_t i = 0; i < table->entry_count; i++) {
        if (table->entries[i].kind == like->kind && strcmp(table->entries[i].name, like->name) == 0)
            return &table->entries[i];
    }
    return NULL;
}

/* An index without a GRANULARITY has 1, which servers write out. */
static bool entry_equal(cp_comparison *c, const cp_entry *declared, const cp_entry *held)
{
    if (cp_expression_equal(declared->text, held->text))
        return true;
    if (declared->kind != CP_ENTRY_INDEX)
        return false;
    char *text = cp_drift_format(c, "%s GRANULARITY 1", declared->text);
    const bool equal = text && cp_expression_equal(text, held->text);
    free(text);
    return equal;
}

static void entry_differs(cp_comparison *c, const cp_entry *declared, const cp_entry *held)
{
    const char *word = kinds[declared->kind].word;
    cp_drift *drift =
        cp_drift_add(c->drifts, held ? kinds[declared->kind].differs : kinds[declared->kind].missing,
                     c->object, declared->name);
    drift->declared = cp_drift_copy(c, declared->text);
    drift->server = held ? cp_drift_copy(c, held->text) : NULL;
    if (declared->kind == CP_ENTRY_CONSTRAINT)
        drift->remedy = cp_drift_copy(c, "`coldpath schema apply` sets it, for rows inserted from then on");
    else
        drift->remedy =
            cp_drift_format(c,
                            "`coldpath schema apply` makes it, for parts written from then on; older "
                            "ones: ALTER TABLE %s.%s MATERIALIZE %s %s",
                            c->target->database, c->object, word, declared->name);
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    if (held) {
        fprintf(s.out, "DROP %s %s", word, c->target->conditional ? "IF EXISTS " : "");
        cp_sql_write_name(s.out, declared->name);
        fputs(", ", s.out);
    }
    fprintf(s.out, "ADD %s %s", word, !held && c->target->conditional ? "IF NOT EXISTS " : "");
    cp_sql_write_name(s.out, declared->name);
    fprintf(s.out, " %s", declared->text);
    drift->statement = cp_alter_end(c, &s);
}

void cp_drift_entries(cp_comparison *c)
{
    for (uint32_t i = 0; i < c->declared->entry_count; i++) {
        const cp_entry *declared = &c->declared->entries[i];
        const cp_entry *held = entry_find(c->server, declared);
        if (!held || !entry_equal(c, declared, held))
            entry_differs(c, declared, held);
    }
    for (uint32_t i = 0; i < c->server->entry_count; i++) {
        const cp_entry *held = &c->server->entries[i];
        if (entry_find(c->declared, held))
            continue;
        cp_drift *drift = cp_drift_add(c->drifts, kinds[held->kind].extra, c->object, held->name);
        drift->server = cp_drift_copy(c, held->text);
        drift->remedy =
            cp_drift_format(c,
                            "refused: somebody made it on purpose. Declare it in the CREATE TABLE, or "
                            "drop it by hand: ALTER TABLE %s.%s DROP %s %s",
                            c->target->database, c->object, kinds[held->kind].word, held->name);
    }
}
