/* See pressure.h. */
#include "recorder/config/pressure.h"

#include <string.h>

#include "recorder/config/check.h"

enum { PERMILLE_OF_PERCENT = 10, REMEDY_ROOM = 160 };

static uint64_t number_of(const cp_config_layers *layers, uint32_t table, int id)
{
    uint64_t number = 0;
    cp_config_layers_table_value(layers, table, (cp_config_table_key_id)id, &number);
    return number;
}

static uint32_t permille_of(const cp_config_layers *layers, uint32_t table, int id)
{
    return (uint32_t)number_of(layers, table, id) * PERMILLE_OF_PERCENT;
}

/* The first of a rung's keys. */
static int rung_keys(int rung)
{
    return CP_TKEY_SUPPRESS + (rung - CP_RUNG_SUPPRESS) * CP_RKEY_COUNT;
}

void cp_config_pressure_fill(cp_pressure_config *out, const cp_config_layers *layers, uint32_t table)
{
    const uint64_t rungs = number_of(layers, table, CP_TKEY_RUNGS);
    *out = (cp_pressure_config){.max_keys = (uint32_t)number_of(layers, table, CP_TKEY_MAX_KEYS)};
    out->ladder = (cp_ladder_policy){
        .early_release = number_of(layers, table, CP_TKEY_EARLY_RELEASE) != 0,
        .kept_up = permille_of(layers, table, CP_TKEY_EARLY_UP),
        .kept_down = permille_of(layers, table, CP_TKEY_EARLY_DOWN),
        .dwell_ns = number_of(layers, table, CP_TKEY_DWELL),
        .calm_ns = number_of(layers, table, CP_TKEY_CALM),
        .interval_min_ns = number_of(layers, table, CP_TKEY_INTERVAL_MIN),
        .interval_max_ns = number_of(layers, table, CP_TKEY_INTERVAL_MAX),
    };
    for (int rung = CP_RUNG_SUPPRESS; rung < CP_RUNG_COUNT; rung++) {
        const int first = rung_keys(rung);
        out->ladder.rungs[rung] = (cp_rung_policy){
            .enabled = (rungs >> (rung - CP_RUNG_SUPPRESS) & 1u) != 0,
            .ring_up = permille_of(layers, table, first + CP_RKEY_RING_UP),
            .ring_down = permille_of(layers, table, first + CP_RKEY_RING_DOWN),
            .pool_up = permille_of(layers, table, first + CP_RKEY_POOL_UP),
            .pool_down = permille_of(layers, table, first + CP_RKEY_POOL_DOWN),
            .outage_ns = number_of(layers, table, first + CP_RKEY_OUTAGE),
        };
    }
}

/* ---- checking -------------------------------------------------------------------------------------------------- */

static const cp_config_place *place_of(const cp_config_layers *layers, uint32_t table, int id)
{
    uint64_t unused;
    return cp_config_table_place(
        layers, table, cp_config_layers_table_value(layers, table, (cp_config_table_key_id)id, &unused));
}

/* low < high (or equal, where that makes sense), or a problem at the one that was given. */
static void check_marks(cp_config_layers *layers, uint32_t table, int low, int high, bool equal_is_good)
{
    char a[32], b[32];
    uint64_t low_number, high_number;
    const cp_config_value *low_value =
        cp_config_layers_table_value(layers, table, (cp_config_table_key_id)low, &low_number);
    const cp_config_value *high_value =
        cp_config_layers_table_value(layers, table, (cp_config_table_key_id)high, &high_number);
    if (low_number < high_number || (equal_is_good && low_number == high_number))
        return;
    cp_config_value_format(&cp_config_table_keys[low], low_number, a, sizeof a);
    cp_config_value_format(&cp_config_table_keys[high], high_number, b, sizeof b);
    cp_config_problem_add(&layers->problems,
                          cp_config_table_place(layers, table, low_value ? low_value : high_value),
                          "lower the first, or raise the second", "table %s: %s %s is %s %s %s",
                          layers->tables[table].name, cp_config_table_keys[low].path, a,
                          equal_is_good ? "more than" : "not below", cp_config_table_keys[high].path, b);
}

/* descriptor: to suggest another column from, or NULL. */
static void refuse_column(cp_config_layers *layers, uint32_t table, int id, const cp_table *descriptor,
                          const char *name, size_t len, const char *what)
{
    char shown[80], remedy[REMEDY_ROOM] = "";
    const char *near = descriptor ? cp_table_suggest(descriptor, name, len) : NULL;
    if (near)
        snprintf(remedy, sizeof remedy, "did you mean \"%s\"?", near);
    cp_config_problem_add(&layers->problems, place_of(layers, table, id), remedy, "table %s: %s: %s \"%s\"",
                          layers->tables[table].name, cp_config_table_keys[id].path, what,
                          cp_config_quote(shown, sizeof shown, name, len));
}

static void resolve_column(cp_config_layers *layers, uint32_t table, int id, const cp_table *descriptor,
                           const char *name, size_t len, cp_column_list *out)
{
    const int column = cp_table_find(descriptor, name, len);
    if (column < 0 || descriptor->columns[column].provenance != CP_PROV_NONE)
        refuse_column(layers, table, id, descriptor, name, len, "the rows have no column");
    else if (descriptor->columns[column].type.array)
        refuse_column(layers, table, id, NULL, name, len, "an Array cannot be compared, it is column");
    else if (out->count == CP_HASH_COLUMNS)
        refuse_column(layers, table, id, NULL, name, len, "at most 16 columns, the next is");
    else
        out->columns[out->count++] = (uint32_t)column;
}

void cp_config_resolve_columns(cp_config_layers *layers, uint32_t table, cp_config_table_key_id id,
                               const cp_table *descriptor, cp_column_list *out)
{
    uint64_t unused;
    const cp_config_value *value = cp_config_layers_table_value(layers, table, id, &unused);
    out->count = 0;
    for (const char *at = value ? value->text : ""; *at;) {
        at += strspn(at, ", ");
        const size_t len = strcspn(at, ", ");
        if (len)
            resolve_column(layers, table, (int)id, descriptor, at, len, out);
        at += len;
    }
}

static void check_needs(cp_config_layers *layers, uint32_t table, const cp_pressure_config *config)
{
    const cp_rung_policy *rungs = config->ladder.rungs;
    const cp_config_place *place = place_of(layers, table, CP_TKEY_RUNGS);
    const char *name = layers->tables[table].name;
    if (!rungs[CP_RUNG_SUPPRESS].enabled && !rungs[CP_RUNG_CONFLATE].enabled && !rungs[CP_RUNG_DROP].enabled)
        return;
    if (!config->ladder.early_release)
        cp_config_problem_add(&layers->problems, place, "write pressure.early_release: on, or no rungs",
                              "table %s: rungs work on rows that were taken out of their rings early", name);
    if ((rungs[CP_RUNG_SUPPRESS].enabled || rungs[CP_RUNG_CONFLATE].enabled) && config->key.count == 0)
        cp_config_problem_add(&layers->problems, place, "name the columns: pressure: {key: [symbol, venue]}",
                              "table %s: suppress and conflate need pressure.key", name);
    if (rungs[CP_RUNG_SUPPRESS].enabled && config->value.count == 0)
        cp_config_problem_add(&layers->problems, place,
                              "name the columns: pressure: {value: [bid_px, ask_px]}",
                              "table %s: suppress needs pressure.value", name);
}

void cp_config_pressure_check(cp_config_layers *layers, uint32_t table, cp_table_config *config)
{
    const cp_config_value *rungs = &layers->tables[table].values[CP_TKEY_RUNGS];
    if (config->critical) {
        if (rungs->set)
            cp_config_problem_warn(&layers->problems, &rungs->place, "leave it out",
                                   "table %s: pressure.rungs has no effect, critical rows are never shed",
                                   config->name);
        return;
    }
    cp_pressure_config *pressure = &config->pressure;
    const size_t problems = layers->problems.errors;
    cp_config_resolve_columns(layers, table, CP_TKEY_PRESSURE_KEY, config->table, &pressure->key);
    cp_config_resolve_columns(layers, table, CP_TKEY_PRESSURE_VALUE, config->table, &pressure->value);
    if (layers->problems.errors == problems)
        check_needs(layers, table, pressure);
    check_marks(layers, table, CP_TKEY_EARLY_DOWN, CP_TKEY_EARLY_UP, true);
    check_marks(layers, table, CP_TKEY_INTERVAL_MIN, CP_TKEY_INTERVAL_MAX, true);
    for (int rung = CP_RUNG_SUPPRESS; rung < CP_RUNG_COUNT; rung++) {
        const int first = rung_keys(rung);
        check_marks(layers, table, first + CP_RKEY_RING_DOWN, first + CP_RKEY_RING_UP, false);
        check_marks(layers, table, first + CP_RKEY_POOL_DOWN, first + CP_RKEY_POOL_UP, false);
    }
}
