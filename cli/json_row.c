#include "cli/json_row.h"

#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "cli/fields.h"

enum {
    NESTING = 8
}; /* object, array and some more, so that the message is about the column and not about depth */

int cp_json_row_init(cp_json_row *json, const cp_table *table, bool skip_unknown, cp_error *err)
{
    memset(json, 0, sizeof *json);
    json->table = table;
    json->skip_unknown = skip_unknown;
    json->tokener = json_tokener_new_ex(NESTING);
    if (!json->tokener)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the JSON parser");
    json_tokener_set_flags(json->tokener, JSON_TOKENER_STRICT);
    return CP_OK;
}

void cp_json_row_free(cp_json_row *json)
{
    if (json->tokener)
        json_tokener_free(json->tokener);
    json->tokener = NULL;
    cp_json_scan_free(&json->scan);
}

static int line_parse(cp_json_row *json, const char *line, size_t len, json_object **out, cp_error *err)
{
    const char *nul = memchr(line, '\0', len);
    if (nul)
        return cp_error_set(err, CP_E_PARSE, "byte %zu is a NUL; this is not JSON text",
                            (size_t)(nul - line) + 1);
    size_t blank = 0;
    while (blank < len && strchr(" \t\r", line[blank]))
        blank++;
    if (blank == len || line[blank] != '{')
        return cp_error_set(err, CP_E_PARSE,
                            "not JSON: a row is an object on a line, {\"column\": value, …}");
    if (cp_json_scan_line(&json->scan, line, len) < 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a line of %zu bytes", len);
    if (json->scan.len > INT_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "the line has %zu bytes", len);
    json_tokener_reset(json->tokener);
    *out = json_tokener_parse_ex(json->tokener, json->scan.text, (int)json->scan.len);
    const enum json_tokener_error code = json_tokener_get_error(json->tokener);
    if (code == json_tokener_success)
        return CP_OK;
    if (code == json_tokener_continue)
        return cp_error_set(err, CP_E_PARSE,
                            "the line ends inside the JSON object; a row stands on one line");
    const size_t at =
        cp_json_scan_origin(&json->scan, line, len, json_tokener_get_parse_end(json->tokener)) + 1;
    return cp_error_set(err, CP_E_PARSE, "byte %zu: not JSON: %s", at, json_tokener_error_desc(code));
}

typedef struct scalar_text {
    const char *text; /* NULL for a null */
    size_t len;
} scalar_text;

/* The text of a scalar; false for an object or array. Numbers are strings by now. */
static bool scalar_get(json_object *value, scalar_text *out)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        *out = (scalar_text){0};
        return true;
    case json_type_object:
    case json_type_array:
        return false;
    case json_type_string:
        *out = (scalar_text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
        return true;
    default: /* true and false; and json-c lets NaN and Infinity through, which ClickHouse reads too */
        out->text = json_object_get_string(value);
        out->len = out->text ? strlen(out->text) : 0;
        return true;
    }
}

static int nested(const cp_row *row, uint32_t column, const char *what, cp_error *err)
{
    const cp_column *c = &row->table->columns[column];
    return cp_error_set(err, CP_E_PARSE, "column '%s' (%s): %s does not fit; %s", c->name, c->type.text, what,
                        c->type.array ? "an array of plain values is expected" : "a plain value is expected");
}

static int array_set(cp_row *row, uint32_t column, json_object *value, cp_error *err)
{
    if (!row->table->columns[column].type.array)
        return nested(row, column, "an array", err);
    const size_t count = json_object_array_length(value);
    cp_row_array array;
    if (count > UINT32_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "an array of %zu elements", count);
    int rc = cp_row_array_begin(&array, row, column, (uint32_t)count, err);
    for (size_t i = 0; i < count && rc == CP_OK; i++) {
        scalar_text element;
        if (!scalar_get(json_object_array_get_idx(value, i), &element))
            return nested(row, column, "an array or object inside the array", err);
        rc = cp_row_array_add(&array, element.text, element.len, !element.text, err);
    }
    return rc == CP_OK ? cp_row_array_end(&array, err) : rc;
}

static int value_set(cp_row *row, uint32_t column, json_object *value, cp_error *err)
{
    scalar_text scalar;
    if (json_object_get_type(value) == json_type_array)
        return array_set(row, column, value, err);
    if (!scalar_get(value, &scalar))
        return nested(row, column, "an object", err);
    if (!scalar.text)
        return cp_row_set_null(row, column, err);
    return cp_row_set_text(row, column, scalar.text, scalar.len, err);
}

/* The column of the name that stands at place in the line, or -1. */
static int column_find(cp_json_row *json, uint32_t place, const char *name)
{
    const cp_table *table = json->table;
    if (place < json->order_count && strcmp(table->columns[json->order[place]].name, name) == 0)
        return json->order[place];
    const int column = cp_table_find(table, name, strlen(name));
    if (column < 0 || table->columns[column].provenance != CP_PROV_NONE)
        return -1;
    if (place < CP_MAX_COLUMNS && place <= json->order_count) {
        json->order[place] = (uint16_t)column;
        json->order_count = place == json->order_count ? place + 1 : json->order_count;
    }
    return column;
}

/* A null that stands for the column's default. */
static bool is_default(const cp_json_row *json, uint32_t column, json_object *value)
{
    const cp_type *type = &json->table->columns[column].type;
    return json->defaults_for_null && !value && (!type->nullable || type->array);
}

typedef struct json_line {
    const char *text;
    size_t len;
} json_line;

/* An object or array as the line has it: the value of the member at place. */
static int raw_set(json_line line, uint32_t place, cp_row *row, uint32_t column, cp_error *err)
{
    size_t at = 0;
    size_t size = 0;
    for (uint32_t i = 0; i <= place; i++)
        (void)cp_json_scan_name(line.text, line.len, &at, &size);
    const char *value = cp_json_scan_value(line.text, line.len, at, &size);
    return cp_row_set_text(row, column, value, size, err);
}

/* What does not fit a column as it is, but has a form in it; in_line: the places of members are those of the line. */
static int adapted_set(json_line line, bool in_line, uint32_t place, json_object *value, cp_row *row,
                       uint32_t column, cp_error *err)
{
    const cp_type *type = &row->table->columns[column].type;
    const enum json_type given = json_object_get_type(value);
    const bool nests = given == json_type_object || given == json_type_array;
    if (nests && in_line && !type->array && type->kind == CP_STRING)
        return raw_set(line, place, row, column, err);
    if (given == json_type_boolean && !type->array && type->kind <= CP_FLOAT64)
        return cp_row_set_text(row, column, json_object_get_boolean(value) ? "1" : "0", 1, err);
    return value_set(row, column, value, err);
}

static int object_set(cp_json_row *json, json_object *object, json_line line, cp_row *row, cp_error *err)
{
    struct json_object_iterator it = json_object_iter_begin(object);
    const struct json_object_iterator end = json_object_iter_end(object);
    /* Of two members of one name json-c keeps one: their places are then not those of the line. */
    const bool in_line = json->scan.members == (size_t)json_object_object_length(object);
    const bool sized = json->sized_digits && in_line;
    for (uint32_t place = 0; !json_object_iter_equal(&it, &end); place++) {
        const char *name = json_object_iter_peek_name(&it);
        const int column = column_find(json, place, name);
        int rc = CP_OK;
        json_object *value = json_object_iter_peek_value(&it);
        row->sized_digits = sized && cp_json_scan_is_string(&json->scan, place);
        if (column >= 0 && !is_default(json, (uint32_t)column, value))
            rc = json->adapts ? adapted_set(line, in_line, place, value, row, (uint32_t)column, err)
                              : value_set(row, (uint32_t)column, value, err);
        else if (column < 0 && !json->skip_unknown)
            rc = cp_unknown_column(json->table, name, strlen(name), err);
        if (rc < 0)
            return rc;
        json_object_iter_next(&it);
    }
    return CP_OK;
}

/* The line has fewer different names than members: names the column that stands twice. CP_OK when it is none, but
 * something that is skipped. */
static int duplicate_find(cp_json_row *json, const char *line, size_t len, cp_error *err)
{
    uint64_t seen[CP_MAX_COLUMNS / 64] = {0};
    size_t at = 0;
    size_t size;
    const char *raw;
    while ((raw = cp_json_scan_name(line, len, &at, &size))) {
        json_tokener_reset(json->tokener);
        json_object *name = json_tokener_parse_ex(json->tokener, raw, (int)size);
        const char *text = json_object_get_string(name);
        const int column = text ? cp_table_find(json->table, text, strlen(text)) : -1;
        json_object_put(name);
        if (column < 0)
            continue;
        const uint64_t bit = UINT64_C(1) << (column % 64);
        if (seen[column / 64] & bit)
            return cp_error_set(err, CP_E_PARSE, "column '%s' stands twice in the object, at byte %zu again",
                                json->table->columns[column].name, (size_t)(raw - line) + 1);
        seen[column / 64] |= bit;
    }
    return CP_OK;
}

int cp_json_row_parse(cp_json_row *json, const char *line, size_t len, cp_row *row, cp_error *err)
{
    json_object *object = NULL;
    int rc = line_parse(json, line, len, &object, err);
    if (rc == CP_OK && json->scan.members != (size_t)json_object_object_length(object))
        rc = duplicate_find(json, line, len, err);
    if (rc == CP_OK)
        rc = object_set(json, object, (json_line){line, len}, row, err);
    json_object_put(object);
    return rc;
}
