/* Dates and times as people and other programs write them, brought to the one form that value_time.c reads:
 *
 *     2026/6/1 9:05    20260611T100000Z    11 Jun 2026 10:00 +0200    Thu, 11 Jun 2026 10:00:00 GMT    Jun 11, 2026 5:00 PM
 *     11/06/2026 10:00 (day first)         1781172000    1781172000.25    1781172000123 (by its size: s, ms, µs, ns)
 *
 * as ClickHouse's date_time_input_format=best_effort. More digits of a second than the column has are cut off, and of a time for
 * a Date its time of day. For `coldpath put --best-effort`; everything else reads strictly. Private to schema/. */
#ifndef CP_SCHEMA_BEST_EFFORT_H
#define CP_SCHEMA_BEST_EFFORT_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/type.h"

enum { CP_BEST_EFFORT_TEXT = 64 };

/* Writes the strict form of text, for a value of type, to out and returns its length; 0 when it is no date or time. */
size_t cp_best_effort_time(const cp_type *type, const char *text, size_t len, char out[CP_BEST_EFFORT_TEXT]);

#endif
