#include "cli/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

enum { SHOWN_NAME = 96 }; /* bytes of a name or value shown in a message */

void cp_fields_clear(cp_fields *fields)
{
    fields->used = 0;
    fields->count = 0;
    fields->too_many = false;
}

void cp_fields_free(cp_fields *fields)
{
    free(fields->bytes);
    fields->bytes = NULL;
    fields->capacity = 0;
}

int cp_fields_reserve(cp_fields *fields, size_t size)
{
    if (fields->used + size <= fields->capacity)
        return CP_OK;
    size_t capacity = fields->capacity ? fields->capacity : 4096;
    while (capacity < fields->used + size)
        capacity *= 2;
    char *bytes = realloc(fields->bytes, capacity);
    if (!bytes)
        return CP_E_NOMEM;
    fields->bytes = bytes;
    fields->capacity = capacity;
    return CP_OK;
}

void cp_fields_add(cp_fields *fields, size_t offset, bool null, bool empty)
{
    if (fields->count == CP_MAX_FIELDS) {
        fields->too_many = true;
        return;
    }
    fields->field[fields->count++] =
        (cp_field){.offset = offset, .len = fields->used - offset, .null = null, .empty = empty};
}

void cp_column_map_from_table(cp_column_map *map, const cp_table *table)
{
    map->table = table;
    map->count = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance == CP_PROV_NONE)
            map->column[map->count++] = (int)i;
    }
}

int cp_unknown_column(const cp_table *table, const char *name, size_t len, cp_error *err)
{
    char text[CP_MAX_NAME + 1];
    char quoted[SHOWN_NAME];
    const size_t shown = len < sizeof text ? len : sizeof text - 1;
    memcpy(text, name, shown);
    text[shown] = '\0';
    cp_log_quote(quoted, sizeof quoted, text);
    const char *meant = cp_table_suggest(table, name, len);
    if (meant)
        return cp_error_set(err, CP_E_SCHEMA, "table '%s' has no column %s; did you mean '%s'?", table->name,
                            quoted, meant);
    return cp_error_set(err, CP_E_SCHEMA, "table '%s' has no column %s; `coldpath schema show %s` lists them",
                        table->name, quoted, table->name);
}

static int map_field(cp_column_map *map, const char *name, size_t len, bool skip_unknown, cp_error *err)
{
    const int column = cp_table_find(map->table, name, len);
    const bool known = column >= 0 && map->table->columns[column].provenance == CP_PROV_NONE;
    if (!known && !skip_unknown)
        return cp_unknown_column(map->table, name, len, err);
    for (uint32_t i = 0; known && i < map->count; i++) {
        if (map->column[i] == column)
            return cp_error_set(err, CP_E_SCHEMA, "column '%s' stands twice in the header",
                                map->table->columns[column].name);
    }
    map->column[map->count++] = known ? column : -1;
    return CP_OK;
}

int cp_column_map_from_header(cp_column_map *map, const cp_table *table, const cp_fields *header,
                              bool skip_unknown, cp_error *err)
{
    map->table = table;
    map->count = 0;
    if (header->too_many)
        return cp_error_set(err, CP_E_TOO_BIG, "the header has more than %d names", CP_MAX_FIELDS);
    for (uint32_t i = 0; i < header->count; i++) {
        const cp_field *field = &header->field[i];
        const int rc = map_field(map, header->bytes + field->offset, field->len, skip_unknown, err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        if (map->column[i] >= 0)
            return CP_OK;
    }
    return cp_error_set(err, CP_E_PARSE,
                        "it names no column of table %s; is it the right file, and the right format?",
                        table->name);
}

static int count_mismatch(const cp_fields *fields, const cp_column_map *map, bool line_ended, cp_error *err)
{
    const char *cut =
        !line_ended && fields->count < map->count ? "; the line has no newline: was it cut?" : "";
    const uint32_t missing = fields->count < map->count ? fields->count : map->count;
    if (fields->count < map->count && map->column[missing] >= 0)
        return cp_error_set(err, CP_E_PARSE,
                            "%u fields where %u are expected: from column '%s' on they are missing%s",
                            fields->count, map->count, map->table->columns[map->column[missing]].name, cut);
    return cp_error_set(err, CP_E_PARSE, "%s%u fields where %u are expected%s",
                        fields->too_many ? "over " : "", fields->count, map->count, cut);
}

int cp_fields_to_row(const cp_fields *fields, const cp_column_map *map, cp_row *row, bool line_ended,
                     cp_error *err)
{
    if (fields->count != map->count || fields->too_many)
        return count_mismatch(fields, map, line_ended, err);
    for (uint32_t i = 0; i < map->count; i++) {
        const cp_field *field = &fields->field[i];
        if (map->column[i] < 0 || field->empty)
            continue;
        const uint32_t column = (uint32_t)map->column[i];
        const int rc = field->null
                           ? cp_row_set_null(row, column, err)
                           : cp_row_set_text(row, column, fields->bytes + field->offset, field->len, err);
        if (rc < 0)
            return rc;
    }
    return CP_OK;
}
