#include "cli/json_row.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
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
    if (len > INT_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "the line has %zu bytes", len);
    json_tokener_reset(json->tokener);
    *out = json_tokener_parse_ex(json->tokener, line, (int)len);
    const enum json_tokener_error code = json_tokener_get_error(json->tokener);
    const size_t at = json_tokener_get_parse_end(json->tokener) + 1;
    if (code == json_tokener_continue)
        return cp_error_set(err, CP_E_PARSE,
                            "the line ends inside the JSON object; a row stands on one line");
    if (code == json_tokener_error_parse_number)
        return cp_error_set(err, CP_E_PARSE,
                            "byte %zu: a number that is malformed or over 64 bits; long ones go in quotes",
                            at);
    if (code != json_tokener_success)
        return cp_error_set(err, CP_E_PARSE, "byte %zu: not JSON: %s", at, json_tokener_error_desc(code));
    return CP_OK;
}

typedef struct scalar_text {
    const char *text; /* NULL for a null */
    size_t len;
    bool extreme; /* the lowest or highest of 64 bits, which json-c also makes of what lies beyond */
    char number[32];
} scalar_text;

/* The text of a scalar; false for an object or array. */
static bool scalar_get(json_object *value, scalar_text *out)
{
    int64_t number;
    out->extreme = false;
    switch (json_object_get_type(value)) {
    case json_type_null:
        out->text = NULL;
        out->len = 0;
        return true;
    case json_type_boolean:
        out->text = json_object_get_boolean(value) ? "true" : "false";
        break;
    case json_type_int:
        number = json_object_get_int64(value);
        if (number == INT64_MAX) /* that, or more */
            snprintf(out->number, sizeof out->number, "%" PRIu64, json_object_get_uint64(value));
        else
            snprintf(out->number, sizeof out->number, "%" PRId64, number);
        out->text = out->number;
        out->extreme =
            number == INT64_MIN || (number == INT64_MAX && json_object_get_uint64(value) == UINT64_MAX);
        break;
    case json_type_double: /* the parser keeps the text as userdata */
        out->text = json_object_get_userdata(value);
        if (!out->text)
            out->text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
        break;
    case json_type_string:
        out->text = json_object_get_string(value);
        out->len = (size_t)json_object_get_string_len(value);
        return true;
    default:
        return false;
    }
    out->len = strlen(out->text);
    return true;
}

static int nested(const cp_row *row, uint32_t column, const char *what, cp_error *err)
{
    const cp_column *c = &row->table->columns[column];
    return cp_error_set(err, CP_E_PARSE, "column '%s' (%s): %s does not fit; %s", c->name, c->type.text, what,
                        c->type.array ? "an array of plain values is expected" : "a plain value is expected");
}

/* Whether a whole number of the line, outside strings, is beyond 64 bits. */
static bool line_has_long_number(const char *line, size_t len)
{
    static const char highest[] = "18446744073709551615";
    static const char lowest[] = "9223372036854775808";
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string && line[i] == '\\')
            i++;
        else if (line[i] == '"')
            in_string = !in_string;
        if (in_string || i >= len || line[i] < '0' || line[i] > '9')
            continue;
        const size_t begin = i;
        while (i < len && line[i] >= '0' && line[i] <= '9')
            i++;
        const char *limit = begin > 0 && line[begin - 1] == '-' ? lowest : highest;
        const size_t digits = i - begin;
        const bool whole = i == len || !strchr(".eE", line[i]);
        const bool fraction = begin > 0 && strchr(".+", line[begin - 1]);
        if (whole && !fraction &&
            (digits > strlen(limit) || (digits == strlen(limit) && memcmp(line + begin, limit, digits) > 0)))
            return true;
        i--;
    }
    return false;
}

static int array_set(cp_json_row *json, cp_row *row, uint32_t column, json_object *value, cp_error *err)
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
        json->extreme |= element.extreme;
        rc = cp_row_array_add(&array, element.text, element.len, !element.text, err);
    }
    return rc == CP_OK ? cp_row_array_end(&array, err) : rc;
}

static int value_set(cp_json_row *json, cp_row *row, uint32_t column, json_object *value, cp_error *err)
{
    scalar_text scalar;
    if (json_object_get_type(value) == json_type_array)
        return array_set(json, row, column, value, err);
    if (!scalar_get(value, &scalar))
        return nested(row, column, "an object", err);
    json->extreme |= scalar.extreme;
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

static int object_set(cp_json_row *json, json_object *object, cp_row *row, cp_error *err)
{
    struct json_object_iterator it = json_object_iter_begin(object);
    const struct json_object_iterator end = json_object_iter_end(object);
    for (uint32_t place = 0; !json_object_iter_equal(&it, &end); place++) {
        const char *name = json_object_iter_peek_name(&it);
        const int column = column_find(json, place, name);
        int rc = CP_OK;
        if (column >= 0)
            rc = value_set(json, row, (uint32_t)column, json_object_iter_peek_value(&it), err);
        else if (!json->skip_unknown)
            rc = cp_unknown_column(json->table, name, strlen(name), err);
        if (rc < 0)
            return rc;
        json_object_iter_next(&it);
    }
    return CP_OK;
}

int cp_json_row_parse(cp_json_row *json, const char *line, size_t len, cp_row *row, cp_error *err)
{
    json_object *object = NULL;
    json->extreme = false;
    int rc = line_parse(json, line, len, &object, err);
    if (rc == CP_OK)
        rc = object_set(json, object, row, err);
    json_object_put(object);
    if (json->extreme && line_has_long_number(line, len))
        return cp_error_set(err, CP_E_PARSE, "a whole number is beyond 64 bits; long ones go in quotes");
    return rc;
}
