/* The status document: /api/v1/status and /api/v1/history, as JSON. docs/operations.md describes it; schema_version counts changes
 * that a reader would notice. */
#ifndef CP_MONITOR_STATUS_H
#define CP_MONITOR_STATUS_H

#include <json-c/json_types.h>

#include "monitor/watch.h"

enum { CP_STATUS_SCHEMA_VERSION = 1 };

/* Everything about the region as of the view. The text is the caller's to free; NULL: no memory. */
char *cp_status_document(const cp_watch_view *view);

/* The canary's counters, as here and in `coldpath status --json`; the caller's. NULL, which json-c takes for null: there is no canary,
 * or no memory. */
json_object *cp_status_canary(const cp_canary_view *canary);

/* The seconds that the watch remembers, table by table. While the view is taken. The text is the caller's to free; NULL: no memory. */
char *cp_status_history(const cp_watch *watch, const cp_watch_view *view);

#endif
