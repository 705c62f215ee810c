/* `coldpath tables`: the tables of the region and their geometry. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "shm/control.h"

static void tables_text(const cp_control *control)
{
    cp_text_table *text =
        cp_text_table_new("table\tclass\trow bytes\tlargest row\tring\tslots\tschema hash", "llrrrrl");
    for (uint32_t i = 0; i < control->table_count; i++) {
        const cp_abi_table *table = &control->directory[i];
        char ring[CP_HUMAN_TEXT];
        cp_text_table_row(text, "%s\t%s\t%u\t%u\t%s\t%u\t%016" PRIx64, table->name,
                          table->critical ? "critical" : "lossy", table->row_size, table->row_max,
                          cp_human_bytes(ring, table->ring_size), table->slots, table->schema_hash);
    }
    cp_text_table_print(text, stdout);
}

static int tables_json(const cp_control *control, const char *path)
{
    json_object *answer = cp_json_begin("tables");
    json_object *tables = json_object_new_array();
    cp_json_add_string(answer, "region", path);
    for (uint32_t i = 0; i < control->table_count; i++) {
        const cp_abi_table *table = &control->directory[i];
        char hash[20];
        snprintf(hash, sizeof hash, "%016" PRIx64, table->schema_hash);
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "table", table->name);
        cp_json_add_string(item, "class", table->critical ? "critical" : "lossy");
        cp_json_add_uint(item, "row_bytes", table->row_size);
        cp_json_add_uint(item, "row_max", table->row_max);
        cp_json_add_uint(item, "ring_bytes", table->ring_size);
        cp_json_add_uint(item, "slots", table->slots);
        cp_json_add_string(item, "schema_hash", hash);
        json_object_array_add(tables, item);
    }
    cp_json_add(answer, "tables", tables);
    return cp_json_end(answer);
}

int cp_verb_tables(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = cp_common_parse_only, .doc = "Lists the tables of the region.", .children = children};
    cp_common common = {0};
    cp_error err = {0};
    char path[PATH_MAX];
    cp_control control = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &common);
    int rc = cp_place_region(&common, path, &err);
    if (rc == CP_OK)
        rc = cp_control_open(&control, path, false, &err);
    if (rc != CP_OK)
        return cp_fail(&err);
    int status = CP_EXIT_OK;
    if (common.json)
        status = tables_json(&control, path);
    else
        tables_text(&control);
    cp_control_close(&control);
    return status == CP_EXIT_OK ? cp_output_finish() : status;
}
