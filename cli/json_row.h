/* One line of JSONEachRow into a row, by json-c.
 *
 * Numbers reach the column as they were written, digit by digit, whatever their length (json_scan.h), so that Decimal
 * and the integers of 64 bits and more stay exact. A column that stands twice is an error. Names are looked up once: the
 * columns of the line before are tried first, as lines of one producer name them in one order. */
#ifndef CP_CLI_JSON_ROW_H
#define CP_CLI_JSON_ROW_H

#include <json-c/json.h>

#include "cli/json_scan.h"
#include "schema/row.h"

typedef struct cp_json_row {
    const cp_table *table;
    bool skip_unknown;
    /* Null in a column that is not Nullable gives its default, as ClickHouse has it; set after init. */
    bool defaults_for_null;
    /* True and false in a number column are 1 and 0, and an object or array in a String column is the text it stands in, as
     * ClickHouse has it; set after init. */
    bool adapts;
    json_tokener *tokener;
    bool sized_digits; /* times that are strings of digits alone: cp_row.sized_digits; numbers stay counts */
    cp_json_scan scan; /* of the line under way */
    uint32_t order_count;
    uint16_t order[CP_MAX_COLUMNS]; /* columns in the order of the line before */
} cp_json_row;

int cp_json_row_init(cp_json_row *json, const cp_table *table, bool skip_unknown, cp_error *err);
void cp_json_row_free(cp_json_row *json);

/* Sets the columns of row (begun) from a line without its newline. CP_E_PARSE, CP_E_SCHEMA (a name that is no
 * column), CP_E_TOO_BIG, CP_E_NOMEM. */
int cp_json_row_parse(cp_json_row *json, const char *line, size_t len, cp_row *row, cp_error *err);

#endif
