#include "flush/native_column.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    SHORT_COPY = 16, /* strings up to here are copied as one 16-byte move, if both sides have the room */
    UUID_SIZE = 16,
    KEY_SIZE = 4 /* of a LowCardinality key while encoding */
};

/* LowCardinality, per block: the dictionary comes with the block and is complete (SerializationLowCardinality.cpp:
 * HasAdditionalKeysBit | NeedUpdateDictionary); the low byte is the width of the keys. */
static const uint64_t LC_VERSION = 1;
static const uint64_t LC_FLAGS = 0x600;

static bool column_is_string(const cp_native_column *column)
{
    return column->column->type.kind == CP_STRING;
}

static bool column_is_uuid(const cp_native_column *column)
{
    return column->column->type.kind == CP_UUID;
}

int cp_native_column_init(cp_native_column *column, const cp_column *declared, cp_error *err)
{
    const cp_type *type = &declared->type;
    if (type->low_cardinality && type->kind == CP_UUID)
        return cp_error_set(err, CP_E_UNSUPPORTED, "column %s: %s is not supported; use UUID", declared->name,
                            type->text);
    const size_t name = strlen(declared->name);
    const size_t text = strlen(type->text);
    column->column = declared;
    column->value_size = type->value_size;
    column->head = malloc(name + text + (size_t)2 * CP_LEB128_MAX + sizeof LC_VERSION);
    if (!column->head)
        return cp_error_set(err, CP_E_NOMEM, "column %s: out of memory", declared->name);
    uint8_t *to = cp_leb128_put(column->head, name);
    memcpy(to, declared->name, name);
    to = cp_leb128_put(to + name, text);
    memcpy(to, type->text, text);
    to += text;
    if (type->low_cardinality) {
        memcpy(to, &LC_VERSION, sizeof LC_VERSION);
        to += sizeof LC_VERSION;
    }
    column->head_size = (uint32_t)(to - column->head);
    return CP_OK;
}

int cp_native_column_begin(cp_native_column *column, cp_arena *arena)
{
    cp_stream_begin(&column->offsets, arena);
    cp_stream_begin(&column->nulls, arena);
    cp_stream_begin(&column->values, arena);
    column->elements = 0;
    column->dictionary_size = 0;
    if (!column->column->type.low_cardinality)
        return CP_OK;
    return cp_dictionary_begin(&column->dictionary, arena, column->column->type.nullable,
                               column_is_string(column) ? 0 : column->value_size);
}

/* ---- single values -------------------------------------------------------------------------------------------- */

static inline cp_ref ref_at(const uint8_t *at)
{
    cp_ref ref;
    memcpy(&ref, at, sizeof ref);
    return ref;
}

static inline void uuid_copy(uint8_t *to, const uint8_t *from)
{
    uint64_t half[2];
    memcpy(half, from, sizeof half);
    half[0] = __builtin_bswap64(half[0]);
    half[1] = __builtin_bswap64(half[1]);
    memcpy(to, half, sizeof half);
}

/* Length and bytes of one string. to has SHORT_COPY bytes of room beyond the string. */
static inline uint8_t *string_put(uint8_t *to, const uint8_t *from, uint32_t length, const uint8_t *limit)
{
    if (length < 0x80)
        *to++ = (uint8_t)length;
    else
        to = cp_leb128_put(to, length);
    if (length <= SHORT_COPY && limit - from >= SHORT_COPY)
        memcpy(to, from, SHORT_COPY);
    else
        memcpy(to, from, length);
    return to + length;
}

/* The key of the value (or cp_ref) at `at`. */
static inline uint32_t lc_key(cp_native_column *column, const uint8_t *row, const uint8_t *at, bool string,
                              const uint8_t *limit)
{
    if (!string)
        return cp_dictionary_key(&column->dictionary, at, column->value_size, limit);
    const cp_ref ref = ref_at(at);
    if (ref.length == 0 && column->stamp)
        return cp_dictionary_key(&column->dictionary, column->stamp, column->stamp_length,
                                 column->stamp + column->stamp_length);
    return cp_dictionary_key(&column->dictionary, ref.length ? row + ref.offset : row, ref.length, limit);
}

/* ---- columns of scalars --------------------------------------------------------------------------------------- */

#define GATHER(bytes)                                                                                        \
    for (uint32_t i = 0; i < step->count; i++)                                                               \
    memcpy(to + (size_t)i * (bytes), step->rows[i] + offset, (bytes))

/* Collects size bytes at offset of every row. */
static void gather(uint8_t *restrict to, const cp_native_rows *step, uint32_t offset, uint32_t size)
{
    switch (size) {
    case 1:
        GATHER(1);
        break;
    case 2:
        GATHER(2);
        break;
    case 4:
        GATHER(4);
        break;
    case 8:
        GATHER(8);
        break;
    case 16:
        GATHER(16);
        break;
    default:
        GATHER(size);
        break;
    }
}

static int append_fixed(cp_native_column *column, const cp_native_rows *step)
{
    const uint32_t offset = column->column->offset;
    const uint32_t size = column->value_size;
    uint8_t *to = cp_stream_reserve(&column->values, (size_t)step->count * size);
    if (!to)
        return CP_E_TOO_BIG;
    if (column_is_uuid(column)) {
        for (uint32_t i = 0; i < step->count; i++)
            uuid_copy(to + (size_t)i * UUID_SIZE, step->rows[i] + offset);
    } else {
        gather(to, step, offset, size);
    }
    cp_stream_commit(&column->values, to + (size_t)step->count * size);
    return CP_OK;
}

/* The flag map of a Nullable column. Returns it, or NULL when the arena is full. */
static const uint8_t *append_flags(cp_native_column *column, const cp_native_rows *step)
{
    uint8_t *to = cp_stream_reserve(&column->nulls, step->count);
    if (!to)
        return NULL;
    gather(to, step, column->column->null_offset, 1);
    cp_stream_commit(&column->nulls, to + step->count);
    return to;
}

/* What the row holds under a NULL is nobody's business: zeros are sent. */
static void blank_nulls(uint8_t *values, uint32_t size, const uint8_t *flags, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (flags[i])
            memset(values + (size_t)i * size, 0, size);
    }
}

static int append_nullable_fixed(cp_native_column *column, const cp_native_rows *step)
{
    const uint8_t *flags = append_flags(column, step);
    if (!flags || append_fixed(column, step) < 0)
        return CP_E_TOO_BIG;
    const size_t bytes = (size_t)step->count * column->value_size;
    blank_nulls(column->values.at - bytes, column->value_size, flags, step->count);
    return CP_OK;
}

static int append_strings(cp_native_column *column, const cp_native_rows *step, const uint8_t *flags)
{
    const uint32_t offset = column->column->offset;
    uint64_t room = SHORT_COPY + (uint64_t)step->count * CP_LEB128_MAX;
    for (uint32_t i = 0; i < step->count; i++)
        room += flags && flags[i] ? 0 : ref_at(step->rows[i] + offset).length;
    uint8_t *to = cp_stream_reserve(&column->values, room);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < step->count; i++) {
        const cp_ref ref = ref_at(step->rows[i] + offset);
        if (ref.length == 0 || (flags && flags[i]))
            *to++ = 0;
        else
            to = string_put(to, step->rows[i] + ref.offset, ref.length, step->limit);
    }
    cp_stream_commit(&column->values, to);
    return CP_OK;
}

static int append_nullable_strings(cp_native_column *column, const cp_native_rows *step)
{
    const uint8_t *flags = append_flags(column, step);
    return flags ? append_strings(column, step, flags) : CP_E_TOO_BIG;
}

static int append_keys(cp_native_column *column, const cp_native_rows *step)
{
    const cp_column *declared = column->column;
    const bool string = column_is_string(column);
    uint8_t *to = cp_stream_reserve(&column->values, (size_t)step->count * KEY_SIZE);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < step->count; i++) {
        const uint8_t *row = step->rows[i];
        uint32_t key = 0;
        if (!declared->type.nullable || !row[declared->null_offset])
            key = lc_key(column, row, row + declared->offset, string, step->limit);
        if (key == CP_DICTIONARY_FULL)
            return CP_E_TOO_BIG;
        memcpy(to + (size_t)i * KEY_SIZE, &key, KEY_SIZE);
    }
    cp_stream_commit(&column->values, to + (size_t)step->count * KEY_SIZE);
    return CP_OK;
}

static int append_provenance(cp_native_column *column, const cp_native_rows *step)
{
    const uint32_t size = column->value_size;
    uint8_t *to = cp_stream_reserve(&column->values, (size_t)step->count * size);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < step->count; i++) {
        switch (column->column->provenance) {
        case CP_PROV_EPOCH:
            memcpy(to, &step->chunk->epoch, sizeof step->chunk->epoch);
            break;
        case CP_PROV_SLOT:
            memcpy(to, &step->chunk->slot, sizeof step->chunk->slot);
            break;
        default: {
            const uint64_t position = cp_chunk_row_position(step->chunk, step->first + i);
            memcpy(to, &position, sizeof position);
            break;
        }
        }
        to += size;
    }
    cp_stream_commit(&column->values, to);
    return CP_OK;
}

/* ---- arrays: a run of elements per row ------------------------------------------------------------------------ */

static int run_fixed(cp_native_column *column, const uint8_t *elements, uint32_t count, const uint8_t *flags)
{
    const size_t bytes = (size_t)count * column->value_size;
    uint8_t *to = cp_stream_reserve(&column->values, bytes);
    if (!to)
        return CP_E_TOO_BIG;
    if (column_is_uuid(column)) {
        for (uint32_t i = 0; i < count; i++)
            uuid_copy(to + (size_t)i * UUID_SIZE, elements + (size_t)i * UUID_SIZE);
    } else {
        memcpy(to, elements, bytes);
    }
    if (flags)
        blank_nulls(to, column->value_size, flags, count);
    cp_stream_commit(&column->values, to + bytes);
    return CP_OK;
}

static int run_strings(cp_native_column *column, const uint8_t *row, const uint8_t *elements, uint32_t count,
                       const uint8_t *flags, const uint8_t *limit)
{
    uint64_t room = SHORT_COPY + (uint64_t)count * CP_LEB128_MAX;
    for (uint32_t i = 0; i < count; i++)
        room += flags && flags[i] ? 0 : ref_at(elements + (size_t)i * sizeof(cp_ref)).length;
    uint8_t *to = cp_stream_reserve(&column->values, room);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < count; i++) {
        const cp_ref ref = ref_at(elements + (size_t)i * sizeof ref);
        if (ref.length == 0 || (flags && flags[i]))
            *to++ = 0;
        else
            to = string_put(to, row + ref.offset, ref.length, limit);
    }
    cp_stream_commit(&column->values, to);
    return CP_OK;
}

static int run_keys(cp_native_column *column, const uint8_t *row, const uint8_t *elements, uint32_t count,
                    const uint8_t *flags, const uint8_t *limit)
{
    const bool string = column_is_string(column);
    uint8_t *to = cp_stream_reserve(&column->values, (size_t)count * KEY_SIZE);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = 0;
        if (!flags || !flags[i])
            key = lc_key(column, row, elements + (size_t)i * column->value_size, string, limit);
        if (key == CP_DICTIONARY_FULL)
            return CP_E_TOO_BIG;
        memcpy(to + (size_t)i * KEY_SIZE, &key, KEY_SIZE);
    }
    cp_stream_commit(&column->values, to + (size_t)count * KEY_SIZE);
    return CP_OK;
}

static int run_append(cp_native_column *column, const uint8_t *row, cp_ref ref, const uint8_t *limit)
{
    const cp_type *type = &column->column->type;
    const uint8_t *elements = row + ref.offset;
    const uint8_t *flags = type->nullable ? elements + (size_t)ref.length * column->value_size : NULL;
    if (type->low_cardinality)
        return run_keys(column, row, elements, ref.length, flags, limit);
    if (flags) {
        uint8_t *to = cp_stream_reserve(&column->nulls, ref.length);
        if (!to)
            return CP_E_TOO_BIG;
        memcpy(to, flags, ref.length);
        cp_stream_commit(&column->nulls, to + ref.length);
    }
    if (type->kind == CP_STRING)
        return run_strings(column, row, elements, ref.length, flags, limit);
    return run_fixed(column, elements, ref.length, flags);
}

static int append_arrays(cp_native_column *column, const cp_native_rows *step)
{
    const uint32_t offset = column->column->offset;
    const size_t bytes = (size_t)step->count * sizeof column->elements;
    uint8_t *to = cp_stream_reserve(&column->offsets, bytes);
    if (!to)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < step->count; i++) {
        const cp_ref ref = ref_at(step->rows[i] + offset);
        column->elements += ref.length;
        memcpy(to + i * sizeof column->elements, &column->elements, sizeof column->elements);
        if (ref.length && run_append(column, step->rows[i], ref, step->limit) < 0)
            return CP_E_TOO_BIG;
    }
    cp_stream_commit(&column->offsets, to + bytes);
    return CP_OK;
}

int cp_native_column_append(cp_native_column *column, const cp_native_rows *step)
{
    const cp_type *type = &column->column->type;
    if (column->column->provenance != CP_PROV_NONE)
        return append_provenance(column, step);
    if (type->array)
        return append_arrays(column, step);
    if (type->low_cardinality)
        return append_keys(column, step);
    if (type->kind == CP_STRING)
        return type->nullable ? append_nullable_strings(column, step) : append_strings(column, step, NULL);
    return type->nullable ? append_nullable_fixed(column, step) : append_fixed(column, step);
}

/* ---- the end of a block --------------------------------------------------------------------------------------- */

/* Rewrites u32 keys in place as width-byte keys; the reader stays ahead of the writer. */
static void keys_narrow(cp_stream *keys, uint32_t width)
{
    for (cp_segment *segment = keys->first; segment; segment = segment->next) {
        const size_t count = segment->used / KEY_SIZE;
        for (size_t i = 0; i < count; i++) {
            uint32_t key;
            memcpy(&key, segment->bytes + i * KEY_SIZE, KEY_SIZE);
            if (width == 1) {
                segment->bytes[i] = (uint8_t)key;
            } else {
                const uint16_t narrow = (uint16_t)key;
                memcpy(segment->bytes + i * sizeof narrow, &narrow, sizeof narrow);
            }
        }
        segment->used = count * width;
    }
}

/* Returns the sections of the dictionary. A column without any element (empty arrays only) sends none at all. */
static uint32_t dictionary_finish(cp_native_column *column, size_t key_bytes)
{
    if (key_bytes == 0)
        return 0;
    const uint64_t size = column->dictionary.count;
    const uint64_t keys = key_bytes / KEY_SIZE;
    const uint64_t width_code = size <= 0x100 ? 0 : size <= 0x10000 ? 1 : 2; /* u8, u16, u32 */
    if (width_code < 2)
        keys_narrow(&column->values, 1U << width_code);
    const uint64_t flags = LC_FLAGS | width_code;
    memcpy(column->dictionary_head, &flags, sizeof flags);
    memcpy(column->dictionary_head + sizeof flags, &size, sizeof size);
    memcpy(column->keys_head, &keys, sizeof keys);
    column->dictionary_size = column->dictionary.count;
    uint32_t segments = 0;
    cp_stream_close(&column->dictionary.values, &segments);
    return segments + 2;
}

uint32_t cp_native_column_finish(cp_native_column *column)
{
    uint32_t offsets = 0;
    uint32_t nulls = 0;
    uint32_t values = 0;
    cp_stream_close(&column->offsets, &offsets);
    cp_stream_close(&column->nulls, &nulls);
    const size_t value_bytes = cp_stream_close(&column->values, &values);
    uint32_t sections = 1 + offsets + nulls + values;
    if (column->column->type.low_cardinality)
        sections += dictionary_finish(column, value_bytes);
    return sections;
}

uint64_t cp_native_column_row_bytes(const cp_native_column *column, const uint8_t *row)
{
    const cp_type *type = &column->column->type;
    const uint64_t each = (type->kind == CP_STRING ? CP_LEB128_MAX : column->value_size) +
                          (type->low_cardinality ? KEY_SIZE : 0) + type->nullable;
    if (column->column->provenance != CP_PROV_NONE || (!type->array && type->kind != CP_STRING))
        return each;
    const cp_ref ref = ref_at(row + column->column->offset);
    if (!type->array)
        return type->nullable && row[column->column->null_offset] ? each : each + ref.length;
    uint64_t bytes = sizeof column->elements + each * ref.length;
    const uint8_t *elements = row + ref.offset;
    const uint8_t *flags = type->nullable ? elements + (size_t)ref.length * sizeof ref : NULL;
    for (uint32_t i = 0; type->kind == CP_STRING && i < ref.length; i++)
        bytes += flags && flags[i] ? 0 : ref_at(elements + (size_t)i * sizeof ref).length;
    return bytes;
}
