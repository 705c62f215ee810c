#include "wal/crc32c.h"

#include <isa-l/crc.h>

enum { CRC_STRIDE = 1 << 30 }; /* ISA-L takes lengths as int */

uint32_t cp_crc32c(uint32_t crc, const void *data, size_t size)
{
    /* The library reads only, but its prototype does not say so. */
    union {
        const void *in;
        unsigned char *out;
    } bytes = {.in = data};
    crc = ~crc;
    while (size > 0) {
        const int part = size > CRC_STRIDE ? CRC_STRIDE : (int)size;
        crc = crc32_iscsi(bytes.out, part, crc);
        bytes.out += part;
        size -= (size_t)part;
    }
    return ~crc;
}
