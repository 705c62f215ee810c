/* See change.h. */
#include "recorder/config/change.h"

#include <stdio.h>
#include <string.h>

#include "recorder/config/item.h"

enum { PATH_ROOM = CP_MAX_NAME + 64 };

typedef struct comparison {
    const cp_config *started;
    const cp_config *applied;
    const cp_config *fresh;
    cp_config_change_sink *sink;
    void *ctx;
} comparison;

/* The index of the table of that name, or -1. */
static int table_find(const cp_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (strcmp(config->tables[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

bool cp_config_batch_policy(const cp_config *started, uint32_t index, const cp_config *fresh,
                            cp_batch_policy *policy)
{
    const uint64_t room = started->tables[index].batch.max_bytes;
    const int found = table_find(fresh, started->tables[index].name);
    if (found < 0)
        return false;
    *policy = fresh->tables[found].batch;
    if (policy->max_bytes > room)
        policy->max_bytes = room;
    if (policy->bytes > policy->max_bytes)
        policy->bytes = policy->max_bytes;
    return true;
}

static bool texts_differ(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

static bool items_differ(const cp_config_item *a, const cp_config_item *b)
{
    return a->present != b->present || strcmp(a->text, b->text) != 0;
}

static void compare_globals(const comparison *of)
{
    cp_config_item before;
    cp_config_item after;
    for (int id = 0; id < CP_KEY_COUNT; id++) {
        const cp_config_key *key = &cp_config_keys[id];
        const cp_config *base = key->live ? of->applied : of->started;
        cp_config_item_global(&before, base, (cp_config_key_id)id);
        cp_config_item_global(&after, of->fresh, (cp_config_key_id)id);
        if (id == CP_KEY_PASSWORD ? texts_differ(base->password, of->fresh->password) /* from wherever */
                                  : items_differ(&before, &after))
            of->sink(of->ctx, key->path, key->live);
    }
}

static void compare_table(const comparison *of, uint32_t started, uint32_t fresh)
{
    cp_config_item before;
    cp_config_item after;
    const char *name = of->started->tables[started].name;
    const int found = table_find(of->applied, name);
    for (int id = 0; id < CP_TKEY_COUNT; id++) {
        char path[PATH_ROOM];
        const cp_config_key *key = &cp_config_table_keys[id];
        const bool applied = key->live && found >= 0;
        bool live = key->live;
        cp_config_item_table(&before, applied ? of->applied : of->started,
                             applied ? (uint32_t)found : started, (cp_config_table_key_id)id);
        cp_config_item_table(&after, of->fresh, fresh, (cp_config_table_key_id)id);
        bool differs = items_differ(&before, &after);
        if (id == CP_TKEY_DDL)
            differs |= of->started->tables[started].table->schema_hash !=
                       of->fresh->tables[fresh].table->schema_hash;
        if (id == CP_TKEY_FLUSH_MAX_BYTES &&
            of->fresh->tables[fresh].batch.max_bytes > of->started->tables[started].batch.max_bytes) {
            differs = true;
            live = false;
        }
        snprintf(path, sizeof path, "tables.%s.%s", name, key->path);
        if (differs)
            of->sink(of->ctx, path, live);
    }
}

/* Tables of one that the other has not. */
static void tell_lonely(const comparison *of, const cp_config *one, const cp_config *other)
{
    char path[PATH_ROOM];
    for (uint32_t i = 0; i < one->table_count; i++) {
        snprintf(path, sizeof path, "tables.%s", one->tables[i].name);
        if (table_find(other, one->tables[i].name) < 0)
            of->sink(of->ctx, path, false);
    }
}

void cp_config_compare(const cp_config *started, const cp_config *applied, const cp_config *fresh,
                       cp_config_change_sink *sink, void *ctx)
{
    const comparison of = {started, applied, fresh, sink, ctx};
    compare_globals(&of);
    for (uint32_t i = 0; i < started->table_count; i++) {
        const int found = table_find(fresh, started->tables[i].name);
        if (found >= 0)
            compare_table(&of, i, (uint32_t)found);
    }
    tell_lonely(&of, started, fresh);
    tell_lonely(&of, fresh, started);
}
