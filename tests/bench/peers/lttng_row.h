#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER coldpath_peers

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "tests/bench/peers/lttng_row.h"

#if !defined(LTTNG_ROW_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_ROW_H

#include <lttng/tracepoint.h>
#include <stdint.h>

LTTNG_UST_TRACEPOINT_EVENT(coldpath_peers, row, LTTNG_UST_TP_ARGS(const uint8_t *, bytes),
                           LTTNG_UST_TP_FIELDS(lttng_ust_field_array(uint8_t, bytes, bytes, 120)))

#endif

#include <lttng/tracepoint-event.h>
