/* CRC32C (Castagnoli), the checksum of everything in the log: ISA-L's, which takes the processor's instructions where it
 * finds them (PCLMULQDQ, SSE4.2) and a table otherwise. Continues from `crc`; a fresh one starts from 0. Check value:
 * cp_crc32c(0, "123456789", 9) = 0xe3069283 (RFC 3720, appendix B.4). */
#ifndef CP_WAL_CRC32C_H
#define CP_WAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t cp_crc32c(uint32_t crc, const void *data, size_t size);

#endif
