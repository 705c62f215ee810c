/* One value from text, into the bytes that it has in a row. Private to schema/; users call cp_row_set_text.
 *
 * These functions return NULL when the value is good, else a constant phrase that goes on after the value
 * itself in a message: "'300' is out of range: 0 to 255". *out is written only when the value is good. Text
 * need not end with NUL, is strict (no blanks around) and may be any bytes. No function here depends on the
 * process's locale or time zone. */
#ifndef CP_SCHEMA_VALUE_H
#define CP_SCHEMA_VALUE_H

#include <stddef.h>

#include "schema/type.h"

/* Any kind but String: type->value_size bytes at out. Array, Nullable and LowCardinality are the caller's. */
const char *cp_value_parse(const cp_type *type, const char *text, size_t len, void *out);

/* Float32, Float64 (value_float.c). */
const char *cp_value_parse_float(const cp_type *type, const char *text, size_t len, void *out);

/* Decimal (value_decimal.c). */
const char *cp_value_parse_decimal(const cp_type *type, const char *text, size_t len, void *out);

/* Likewise as ClickHouse does: with an exponent, and digits behind the scale are cut off, not rounded. */
const char *cp_value_cut_decimal(const cp_type *type, const char *text, size_t len, void *out);

/* Date, Date32, DateTime, DateTime64 (value_time.c). */
const char *cp_value_parse_time(const cp_type *type, const char *text, size_t len, void *out);

/* UUID, IPv4, IPv6 (value_address.c). */
const char *cp_value_parse_address(const cp_type *type, const char *text, size_t len, void *out);

typedef enum cp_digits { CP_DIGITS_OK, CP_DIGITS_NONE, CP_DIGITS_RANGE } cp_digits;

/* A whole number with an optional sign: CP_DIGITS_NONE when text is anything else, CP_DIGITS_RANGE when it is
 * outside [min, max]. min ≤ 0 ≤ max. The 64-bit pattern of the value goes to *out. */
cp_digits cp_digits_parse(const char *text, size_t len, int64_t min, uint64_t max, uint64_t *out);

#endif
