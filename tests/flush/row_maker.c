#include "row_maker.h"

#include <arpa/inet.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROW_ROOM = CP_MAX_ROW, LINE_ROOM = 2 * 1024 * 1024 };

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t seed_of_run(void)
{
    const char *text = getenv("CP_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("CP_SEED=%lu\n", (unsigned long)seed);
    return seed;
}

static void out_of_memory(void)
{
    fputs("out of memory\n", stderr);
    abort();
}

cp_chunk *chunk_make(uint32_t bytes, uint32_t rows, uint16_t slot, uint64_t epoch, uint64_t begin)
{
    cp_chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        out_of_memory();
    chunk->slot = slot;
    chunk->epoch = epoch;
    chunk->begin = begin;
    chunk->end = begin;
    chunk->first_seen_ns = 1;
    chunk->data_capacity = bytes;
    chunk->row_capacity = rows;
    chunk->data = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
    chunk->row_at = calloc(rows, sizeof *chunk->row_at);
    if (!chunk->data || !chunk->row_at)
        out_of_memory();
    return chunk;
}

void chunk_free(cp_chunk *chunk)
{
    if (!chunk)
        return;
    free(chunk->data);
    free(chunk->row_at);
    free(chunk);
}

bool chunk_add(cp_chunk *chunk, const void *row, uint32_t size)
{
    const uint32_t record =
        (size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
    if (chunk->row_count == chunk->row_capacity || record > chunk->data_capacity - chunk->byte_count)
        return false;
    uint8_t *to = chunk->data + chunk->byte_count;
    memset(to, 0xee, record);
    memcpy(to, &size, sizeof size);
    memcpy(to + CP_RECORD_HEADER, row, size);
    chunk->row_at[chunk->row_count++] = chunk->byte_count + CP_RECORD_HEADER;
    chunk->byte_count += record;
    chunk->end = chunk->begin + chunk->byte_count;
    return true;
}

/* ---- TSV ------------------------------------------------------------------------------------------------------ */

static void tsv_bytes(row_maker *maker, const void *bytes, size_t size)
{
    if (!maker->with_tsv || size == 0)
        return;
    while (maker->tsv_size + size > maker->tsv_capacity) {
        maker->tsv_capacity = maker->tsv_capacity ? maker->tsv_capacity * 2 : 4096;
        maker->tsv = realloc(maker->tsv, maker->tsv_capacity);
        if (!maker->tsv)
            out_of_memory();
    }
    memcpy(maker->tsv + maker->tsv_size, bytes, size);
    maker->tsv_size += size;
}

static void tsv_text(row_maker *maker, const char *text)
{
    tsv_bytes(maker, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void tsv_print(row_maker *maker, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tsv_text(maker, text);
}

static void tsv_escaped(row_maker *maker, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        static const char from[] = "\t\n\r\b\f\\'";
        static const char to[] = "tnrbf\\'";
        const char *special = bytes[i] ? strchr(from, bytes[i]) : NULL;
        if (bytes[i] == 0) {
            tsv_text(maker, "\\0");
        } else if (special) {
            const char pair[2] = {'\\', to[special - from]};
            tsv_bytes(maker, pair, 2);
        } else {
            tsv_bytes(maker, &bytes[i], 1);
        }
    }
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static uint64_t below(row_maker *maker, uint64_t limit)
{
    return random_next(&maker->random) % limit;
}

/* Mostly anything, now and then an extreme. */
static uint64_t random_bits(row_maker *maker)
{
    static const uint64_t extremes[] = {0,    1,    UINT64_MAX, UINT64_C(1) << 63, INT64_MAX,
                                        0x80, 0x7f, 0x8000,     0x80000000};
    if (below(maker, 4) == 0)
        return extremes[below(maker, sizeof extremes / sizeof extremes[0])];
    return random_next(&maker->random);
}

static void make_integer(row_maker *maker, cp_kind kind, uint8_t *value)
{
    const uint64_t bits = random_bits(maker);
    static const uint8_t sizes[] = {1, 2, 4, 8, 1, 2, 4, 8};
    memcpy(value, &bits, sizes[kind]);
    switch (kind) {
    case CP_INT8:
        tsv_print(maker, "%d", (int8_t)bits);
        break;
    case CP_INT16:
        tsv_print(maker, "%d", (int16_t)bits);
        break;
    case CP_INT32:
        tsv_print(maker, "%d", (int32_t)bits);
        break;
    case CP_INT64:
        tsv_print(maker, "%ld", (int64_t)bits);
        break;
    case CP_UINT8:
        tsv_print(maker, "%u", (uint8_t)bits);
        break;
    case CP_UINT16:
        tsv_print(maker, "%u", (uint16_t)bits);
        break;
    case CP_UINT32:
        tsv_print(maker, "%u", (uint32_t)bits);
        break;
    default:
        tsv_print(maker, "%lu", bits);
        break;
    }
}

static void make_float(row_maker *maker, cp_kind kind, uint8_t *value)
{
    static const double odd[] = {0.0,     -0.0,     1.5,     INFINITY, -INFINITY,
                                 DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324,   NAN};
    double number = (double)(int64_t)random_next(&maker->random) / 1000.0;
    if (below(maker, 4) == 0)
        number = odd[below(maker, sizeof odd / sizeof odd[0])];
    if (kind == CP_FLOAT64) {
        memcpy(value, &number, sizeof number);
    } else {
        if (isfinite(number) && fabs(number) > FLT_MAX)
            number = number > 0 ? FLT_MAX : -FLT_MAX;
        const float single = (float)number;
        memcpy(value, &single, sizeof single);
        number = (double)single;
    }
    tsv_print(maker, isnan(number) ? "nan" : "%.17g", number);
}

/* civil_from_days, by gmtime. */
static void print_day(row_maker *maker, int64_t days)
{
    const time_t seconds = days * 86400;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    tsv_print(maker, "%04d-%02d-%02d", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

static int64_t zone_offset(const cp_type *type)
{
    return type->timezone && strcmp(type->timezone, "Etc/GMT-9") == 0 ? 9 * 3600 : 0;
}

static void print_second(row_maker *maker, int64_t second)
{
    int64_t day = second / 86400;
    if (second % 86400 < 0)
        day--;
    const int64_t rest = second - day * 86400;
    print_day(maker, day);
    tsv_print(maker, " %02d:%02d:%02d", (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
}

static void make_time(row_maker *maker, const cp_type *type, uint8_t *value)
{
    if (type->kind == CP_DATE) {
        const uint16_t days = (uint16_t)random_bits(maker);
        memcpy(value, &days, sizeof days);
        print_day(maker, days);
    } else if (type->kind == CP_DATE32) {
        const int32_t days = (int32_t)below(maker, 25567 + 120530) - 25567; /* 1900-01-01 … 2299-12-31 */
        memcpy(value, &days, sizeof days);
        print_day(maker, days);
    } else if (type->kind == CP_DATETIME) {
        const uint32_t seconds = (uint32_t)random_bits(maker) % (UINT32_MAX - 86400);
        memcpy(value, &seconds, sizeof seconds);
        print_second(maker, (int64_t)seconds + zone_offset(type));
    } else {
        int64_t scale = 1;
        for (unsigned i = 0; i < type->precision; i++)
            scale *= 10;
        const int64_t second = (int64_t)below(maker, UINT64_C(11000000000)) - 2000000000; /* 1906 … 2255 */
        const int64_t fraction = (int64_t)below(maker, (uint64_t)scale);
        const int64_t ticks = second * scale + fraction;
        memcpy(value, &ticks, sizeof ticks);
        print_second(maker, second + zone_offset(type));
        if (type->precision)
            tsv_print(maker, ".%0*ld", type->precision, fraction);
    }
}

static void make_decimal(row_maker *maker, const cp_type *type, uint8_t *value)
{
    unsigned __int128 limit = 1;
    for (unsigned i = 0; i < type->precision; i++)
        limit *= 10;
    unsigned __int128 number =
        ((unsigned __int128)random_next(&maker->random) << 64 | random_next(&maker->random)) % limit;
    const uint64_t what = below(maker, 8);
    number = what == 0 ? 0 : what == 1 ? limit - 1 : what == 2 ? number % 1000 : number;
    const bool negative = number && below(maker, 2);
    const __int128 stored = negative ? -(__int128)number : (__int128)number;
    memcpy(value, &stored, type->value_size);
    char digits[48];
    unsigned at = sizeof digits;
    digits[--at] = '\0';
    for (unsigned i = 0; number || i <= type->scale; i++) {
        if (i == type->scale && i > 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(number % 10));
        number /= 10;
    }
    if (negative)
        digits[--at] = '-';
    tsv_text(maker, digits + at);
}

static void make_special(row_maker *maker, const cp_type *type, uint8_t *value)
{
    char text[64];
    for (unsigned i = 0; i < type->value_size; i++)
        value[i] = (uint8_t)(below(maker, 8) ? random_next(&maker->random) : 0);
    switch (type->kind) {
    case CP_BOOL:
        value[0] &= 1;
        tsv_text(maker, value[0] ? "true" : "false");
        break;
    case CP_FIXED_STRING:
        tsv_escaped(maker, value, type->value_size);
        break;
    case CP_UUID:
        for (unsigned i = 0; i < 16; i++)
            tsv_print(maker, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", value[i]);
        break;
    case CP_IPV4:
        tsv_print(maker, "%u.%u.%u.%u", value[3], value[2], value[1], value[0]);
        break;
    default:
        tsv_text(maker, inet_ntop(AF_INET6, value, text, sizeof text));
        break;
    }
}

static void make_enum(row_maker *maker, const cp_type *type, uint8_t *value)
{
    const cp_enum_item *item = &type->enum_items[below(maker, type->enum_count)];
    memcpy(value, &item->value, type->value_size);
    tsv_escaped(maker, (const uint8_t *)item->name, strlen(item->name));
}

static void make_fixed(row_maker *maker, const cp_type *type, uint8_t *value)
{
    switch (type->kind) {
    case CP_FLOAT32:
    case CP_FLOAT64:
        make_float(maker, type->kind, value);
        break;
    case CP_DATE:
    case CP_DATE32:
    case CP_DATETIME:
    case CP_DATETIME64:
        make_time(maker, type, value);
        break;
    case CP_DECIMAL32:
    case CP_DECIMAL64:
    case CP_DECIMAL128:
        make_decimal(maker, type, value);
        break;
    case CP_ENUM8:
    case CP_ENUM16:
        make_enum(maker, type, value);
        break;
    case CP_BOOL:
    case CP_FIXED_STRING:
    case CP_UUID:
    case CP_IPV4:
    case CP_IPV6:
        make_special(maker, type, value);
        break;
    default:
        make_integer(maker, type->kind, value);
        break;
    }
}

/* Puts a string's bytes at the row's end and its cp_ref at value. */
static void make_string(row_maker *maker, const cp_type *type, uint8_t *row, uint32_t *used, uint8_t *value)
{
    static const uint32_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 127, 128, 129, 300};
    uint64_t seed = random_next(&maker->random);
    uint32_t length = lengths[below(maker, sizeof lengths / sizeof lengths[0])];
    if (type->low_cardinality) {
        seed = below(maker, maker->distinct);
        length = (uint32_t)(seed % 3 ? 4 + seed % 5 : 9 + seed % 20);
        if (seed == 0)
            length = 0;
    } else if (below(maker, 50) == 0 || length > maker->longest) {
        length = maker->longest;
    }
    if (length > ROW_ROOM / 2 - *used)
        length = 0;
    const cp_ref ref = {length ? *used : UINT32_MAX, length}; /* an empty one's offset says nothing */
    memcpy(value, &ref, sizeof ref);
    const uint64_t text = seed;
    for (uint32_t i = 0; i < length; i++)
        row[*used + i] =
            (uint8_t)(i < 4 && type->low_cardinality ? text >> (8 * i) : random_next(&seed) >> 33);
    if (length)
        tsv_escaped(maker, row + ref.offset, length);
    *used += length;
}

static bool needs_quotes(cp_kind kind)
{
    return kind >= CP_DATE && kind != CP_DECIMAL32 && kind != CP_DECIMAL64 && kind != CP_DECIMAL128;
}

static void make_value(row_maker *maker, const cp_type *type, uint8_t *row, uint32_t *used, uint8_t *value)
{
    if (type->kind == CP_STRING)
        make_string(maker, type, row, used, value);
    else
        make_fixed(maker, type, value);
}

static void make_array(row_maker *maker, const cp_type *type, uint8_t *row, uint32_t *used, uint8_t *value)
{
    static const uint32_t counts[] = {0, 0, 1, 2, 3, 7};
    const uint32_t count = counts[below(maker, sizeof counts / sizeof counts[0])];
    *used = (*used + type->value_align - 1) / type->value_align * type->value_align;
    const cp_ref ref = {count ? *used : UINT32_MAX, count};
    memcpy(value, &ref, sizeof ref);
    uint8_t *elements = row + *used;
    uint8_t *flags = elements + (size_t)count * type->value_size;
    *used += count * (type->value_size + type->nullable);
    tsv_text(maker, "[");
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *element = elements + (size_t)i * type->value_size;
        tsv_text(maker, i ? "," : "");
        if (type->nullable)
            flags[i] = below(maker, 3) == 0;
        if (type->nullable && flags[i]) {
            memset(element, 0xff, type->value_size); /* what lies under a NULL must not matter */
            tsv_text(maker, "NULL");
            continue;
        }
        tsv_text(maker, needs_quotes(type->kind) ? "'" : "");
        make_value(maker, type, row, used, element);
        tsv_text(maker, needs_quotes(type->kind) ? "'" : "");
    }
    tsv_text(maker, "]");
}

static void make_column(row_maker *maker, const cp_column *column, uint8_t *row, uint32_t *used)
{
    const cp_type *type = &column->type;
    uint8_t *value = row + column->offset;
    if (strcmp(column->name, "id") == 0) {
        const uint32_t id = (uint32_t)maker->rows;
        memcpy(value, &id, sizeof id);
        tsv_print(maker, "%u", id);
    } else if (type->array) {
        make_array(maker, type, row, used, value);
    } else if (type->nullable && below(maker, 3) == 0) {
        row[column->null_offset] = 1;
        memset(value, 0xff, type->value_size);
        tsv_text(maker, "\\N");
    } else {
        make_value(maker, type, row, used, value);
    }
}

static void make_provenance(row_maker *maker, const cp_chunk *chunk, cp_provenance provenance)
{
    if (provenance == CP_PROV_EPOCH)
        tsv_print(maker, "%lu", chunk->epoch);
    else if (provenance == CP_PROV_SLOT)
        tsv_print(maker, "%u", chunk->slot);
    else
        tsv_print(maker, "%lu", chunk->begin + chunk->byte_count);
}

bool row_make(row_maker *maker, cp_chunk *chunk)
{
    static _Alignas(16) uint8_t row[ROW_ROOM];
    const size_t tsv_before = maker->tsv_size;
    const cp_table *table = maker->table;
    uint32_t used = table->row_size;
    memset(row, 0, table->row_size);
    for (uint32_t i = 0; i < table->column_count; i++) {
        tsv_text(maker, i ? "\t" : "");
        if (table->columns[i].provenance != CP_PROV_NONE)
            make_provenance(maker, chunk, table->columns[i].provenance);
        else
            make_column(maker, &table->columns[i], row, &used);
    }
    tsv_text(maker, "\n");
    if (!chunk_add(chunk, row, used)) {
        maker->tsv_size = tsv_before;
        return false;
    }
    maker->rows++;
    return true;
}
