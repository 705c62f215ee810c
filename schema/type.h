/* Column types: ClickHouse's scalar types, and what Nullable, LowCardinality and Array make of them.
 *
 * A type is at most   Array( LowCardinality|plain ( Nullable? ( kind )))   — one array level, as market
 * tables need.
 *
 * In a row (see table.h) a value is stored as ClickHouse's Native format stores it, little-endian, except:
 *
 *   kind                    in the row                     in Native
 *   String                  cp_ref into the tail           LEB128 length, bytes
 *   UUID                    16 bytes in reading order      each 8-byte half reversed
 *   Nullable(T)             T, and a flag byte (1 = NULL)  flag map, then values
 *   LowCardinality(T)       T                              dictionary and keys
 *   Array(T)                cp_ref (length in elements)    offsets, then flat values
 *
 * Everything else is the same bytes on both sides: (U)Int, Float, Bool 0/1, Date u16 days, Date32 i32 days,
 * DateTime u32 s, DateTime64(p) i64 ticks of 10^-p s, Decimal i32/i64/i128 scaled by 10^S, Enum8/16 i8/i16,
 * FixedString N bytes, IPv4 u32 (host order), IPv6 16 bytes (network order). */
#ifndef CP_SCHEMA_TYPE_H
#define CP_SCHEMA_TYPE_H

#include <coldpath/row.h> /* cp_ref, cp_i128 */
#include <stdbool.h>
#include <stdint.h>

enum {
    CP_MAX_TYPE_TEXT = 4096,      /* a type as text; only a long Enum comes near */
    CP_MAX_ENUM_ITEMS = 256,      /* names of one Enum */
    CP_MAX_FIXED_STRING = 4096,   /* N of FixedString(N) */
    CP_MAX_DECIMAL_PRECISION = 38 /* Decimal128; Decimal256 is refused with a message */
};

typedef enum cp_kind {
    CP_INT8,
    CP_INT16,
    CP_INT32,
    CP_INT64,
    CP_UINT8,
    CP_UINT16,
    CP_UINT32,
    CP_UINT64,
    CP_FLOAT32,
    CP_FLOAT64,
    CP_BOOL,
    CP_DATE,
    CP_DATE32,
    CP_DATETIME,
    CP_DATETIME64,
    CP_STRING,
    CP_FIXED_STRING,
    CP_ENUM8,
    CP_ENUM16,
    CP_UUID,
    CP_DECIMAL32,
    CP_DECIMAL64,
    CP_DECIMAL128,
    CP_IPV4,
    CP_IPV6,
    CP_KIND_COUNT
} cp_kind;

typedef struct cp_enum_item {
    int16_t value;
    char *name; /* owned by the table */
} cp_enum_item;

typedef struct cp_type {
    cp_kind kind;
    bool array;
    bool low_cardinality;
    bool nullable;     /* of the value, or of each element of an array */
    uint8_t precision; /* DateTime64: digits of the second; Decimal: P */
    uint8_t scale;     /* Decimal: S */
    uint32_t
        value_size; /* bytes of one value in a row: a String's is sizeof(cp_ref), FixedString(N)'s is N */
    uint32_t value_align;
    uint32_t enum_count;
    cp_enum_item *enum_items; /* in the order of the declaration */
    char *timezone;           /* DateTime, DateTime64: the name given, or NULL */
    char *text;               /* the exact spelling of system.columns: "LowCardinality(String)" */
} cp_type;

#endif
