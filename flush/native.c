#include "flush/native.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "flush/native_column.h"

enum { BLOCK_HEADER_MAX = 2 * CP_LEB128_MAX };

struct cp_native {
    const cp_table *table;
    cp_native_rows step;
    uint8_t header[BLOCK_HEADER_MAX];
    uint32_t column_count;
    cp_native_column columns[];
};

/* Where sections are collected: counted first, then filled. */
typedef struct section_list {
    cp_section *sections;
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes;
} section_list;

int cp_native_create(cp_native **out, const cp_table *table, cp_error *err)
{
    *out = NULL;
    cp_native *native = calloc(1, sizeof *native + table->column_count * sizeof native->columns[0]);
    if (!native)
        return cp_error_set(err, CP_E_NOMEM, "table %s: no memory for its encoder", table->name);
    native->table = table;
    native->column_count = table->column_count;
    for (uint32_t i = 0; i < table->column_count; i++) {
        const int rc = cp_native_column_init(&native->columns[i], &table->columns[i], err);
        if (rc < 0) {
            cp_native_free(native);
            return cp_error_prefix(err, "table %s", table->name);
        }
    }
    *out = native;
    return CP_OK;
}

void cp_native_free(cp_native *native)
{
    if (!native)
        return;
    for (uint32_t i = 0; i < native->column_count; i++) {
        free(native->columns[i].head);
        free(native->columns[i].stamp);
    }
    free(native);
}

int cp_native_stamp(cp_native *native, const char *column, const char *text)
{
    const int at = text ? cp_table_find(native->table, column, strlen(column)) : -1;
    if (at < 0)
        return CP_OK;
    cp_native_column *stamped = &native->columns[at];
    const cp_type *type = &stamped->column->type;
    if (type->kind != CP_STRING || !type->low_cardinality || type->nullable || type->array)
        return CP_OK;
    free(stamped->stamp);
    stamped->stamp = (uint8_t *)strdup(text);
    stamped->stamp_length = (uint32_t)strlen(text);
    return stamped->stamp ? CP_OK : CP_E_NOMEM;
}

static void section_add(section_list *list, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    assert(list->count < list->capacity);
    list->sections[list->count++] = (cp_section){data, size};
    list->bytes += size;
}

static void section_add_stream(section_list *list, const cp_stream *stream)
{
    for (const cp_segment *segment = stream->first; segment; segment = segment->next)
        section_add(list, segment->bytes, segment->used);
}

static int encode_chunk(cp_native *native, const cp_chunk *chunk)
{
    cp_native_rows *step = &native->step;
    step->chunk = chunk;
    step->limit = chunk->data + chunk->byte_count;
    for (uint32_t first = 0; first < chunk->row_count; first += CP_NATIVE_STEP) {
        const uint32_t left = chunk->row_count - first;
        step->first = first;
        step->count = left < CP_NATIVE_STEP ? left : CP_NATIVE_STEP;
        for (uint32_t i = 0; i < step->count; i++)
            step->rows[i] = cp_chunk_row(chunk, first + i);
        for (uint32_t c = 0; c < native->column_count; c++) {
            if (cp_native_column_append(&native->columns[c], step) < 0)
                return CP_E_TOO_BIG;
        }
    }
    return CP_OK;
}

/* Ends all streams and lists the block's sections in order. */
static int block_finish(cp_native *native, cp_arena *arena, uint64_t rows, section_list *list)
{
    list->capacity = 1;
    for (uint32_t c = 0; c < native->column_count; c++)
        list->capacity += cp_native_column_finish(&native->columns[c]);
    list->sections = cp_arena_take(arena, list->capacity * sizeof *list->sections);
    if (!list->sections)
        return CP_E_TOO_BIG;
    uint8_t *end = cp_leb128_put(native->header, native->column_count);
    end = cp_leb128_put(end, rows);
    section_add(list, native->header, (size_t)(end - native->header));
    for (uint32_t c = 0; c < native->column_count; c++) {
        const cp_native_column *column = &native->columns[c];
        section_add(list, column->head, column->head_size);
        section_add_stream(list, &column->offsets);
        section_add_stream(list, &column->nulls);
        if (column->dictionary_size) {
            section_add(list, column->dictionary_head, sizeof column->dictionary_head);
            section_add_stream(list, &column->dictionary.values);
            section_add(list, column->keys_head, sizeof column->keys_head);
        }
        section_add_stream(list, &column->values);
    }
    return CP_OK;
}

int cp_native_encode(cp_native *native, cp_arena *arena, cp_chunk *const *chunks, uint32_t count,
                     uint64_t limit, cp_native_block *block)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++)
        rows += chunks[i]->row_count;
    if (rows == 0)
        return CP_E_INVAL;
    if (rows > UINT32_MAX)
        return CP_E_TOO_BIG;
    cp_arena_reset(arena);
    for (uint32_t c = 0; c < native->column_count; c++) {
        if (cp_native_column_begin(&native->columns[c], arena) < 0)
            return CP_E_TOO_BIG;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (encode_chunk(native, chunks[i]) < 0)
            return CP_E_TOO_BIG;
    }
    section_list list = {0};
    if (block_finish(native, arena, rows, &list) < 0 || list.bytes > limit)
        return CP_E_TOO_BIG;
    *block = (cp_native_block){
        .sections = list.sections, .section_count = list.count, .rows = (uint32_t)rows, .bytes = list.bytes};
    return CP_OK;
}

uint64_t cp_native_row_bytes(const cp_native *native, const uint8_t *row)
{
    uint64_t bytes = 0;
    for (uint32_t c = 0; c < native->column_count; c++)
        bytes += cp_native_column_row_bytes(&native->columns[c], row);
    return bytes;
}
