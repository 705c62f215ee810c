/* LEB128, the variable-length unsigned integers of ClickHouse's formats (varuint): 7 bits a byte, low ones first, the
 * top bit set on all but the last. */
#ifndef CP_FLUSH_LEB128_H
#define CP_FLUSH_LEB128_H

#include <stdint.h>

enum { CP_LEB128_MAX = 10 }; /* bytes of the longest: 64 bits */

/* Writes value at to (room for CP_LEB128_MAX bytes) and returns the end. */
static inline uint8_t *cp_leb128_put(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* Bytes that a 32-bit value takes. */
static inline uint32_t cp_leb128_size(uint32_t value)
{
    return (38u - (uint32_t)__builtin_clz(value | 1)) / 7u;
}

#endif
