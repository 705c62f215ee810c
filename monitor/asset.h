/* The files of the page, in the program: monitor/page/, and the charting library where the build could get it. Made by
 * cmake/assets.cmake. */
#ifndef CP_MONITOR_ASSET_H
#define CP_MONITOR_ASSET_H

#include <stddef.h>

typedef struct cp_asset {
    const char *path; /* "/page.css" */
    const char *type; /* Content-Type */
    const unsigned char *bytes;
    const size_t *size;
} cp_asset;

/* Ended by an entry whose path is NULL. */
extern const cp_asset cp_assets[];

#endif
