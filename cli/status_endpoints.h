/* The ClickHouse endpoints, as `coldpath status` shows them: how each does, since when, why, and what to do. */
#ifndef CP_CLI_STATUS_ENDPOINTS_H
#define CP_CLI_STATUS_ENDPOINTS_H

#include <json-c/json_object.h>

#include "shm/control.h"

/* An array, in order of preference; those that are leaving last. */
json_object *cp_status_endpoints_json(const cp_control *control);

/* Prints what belongs behind the state on the line of a single endpoint, or a line for each of several; nothing that is well
 * known already: a single endpoint that is not down. */
void cp_status_endpoints_print(const cp_control *control);

#endif
