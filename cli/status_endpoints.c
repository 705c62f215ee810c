#include "cli/status_endpoints.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "monitor/health.h"

/* A copy with texts that end. */
static bool entry_read(const cp_control *control, uint32_t index, cp_abi_endpoint *out)
{
    if (!control->endpoints || control->endpoints[index].role == CP_ENDPOINT_NONE)
        return false;
    *out = control->endpoints[index];
    out->url[sizeof out->url - 1] = out->reason[sizeof out->reason - 1] = '\0';
    return true;
}

static uint64_t age_ns(const cp_abi_endpoint *entry)
{
    const uint64_t now_ns = cp_realtime_ns();
    return now_ns > entry->since_ns ? now_ns - entry->since_ns : 0;
}

static const char *role_name(uint32_t role)
{
    static const char *const names[] = {"none", "standby", "chosen", "leaving"};
    return role < sizeof names / sizeof names[0] ? names[role] : "unknown";
}

json_object *cp_status_endpoints_json(const cp_control *control)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < CP_ABI_ENDPOINTS; i++) {
        cp_abi_endpoint entry;
        if (!entry_read(control, i, &entry))
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "url", entry.url);
        cp_json_add_string(item, "role", role_name(entry.role));
        cp_json_add_string(item, "state", cp_sink_state_name(entry.state));
        cp_json_add_double(item, "state_s", (double)age_ns(&entry) / 1e9);
        cp_json_add_string(item, "reason", entry.reason[0] ? entry.reason : NULL);
        cp_json_add_uint(item, "chosen", entry.chosen);
        cp_json_add_uint(item, "rows_held", entry.held_rows);
        cp_json_add_uint(item, "batches_held", entry.held_batches);
        json_object_array_add(list, item);
    }
    return list;
}

static void entry_print(const cp_abi_endpoint *entry)
{
    char text[CP_HUMAN_TEXT];
    printf(" for %s%s%s", cp_human_ns(text, age_ns(entry)), entry->reason[0] ? ": " : "", entry->reason);
    if (entry->held_batches)
        printf("; %s rows in %u batches may be there already and wait for it",
               cp_human_count(text, entry->held_rows), entry->held_batches);
}

void cp_status_endpoints_print(const cp_control *control)
{
    cp_abi_endpoint entry;
    uint32_t count = 0;
    for (uint32_t i = 0; i < CP_ABI_ENDPOINTS; i++)
        count += entry_read(control, i, &entry);
    for (uint32_t i = 0; i < CP_ABI_ENDPOINTS; i++) {
        if (!entry_read(control, i, &entry))
            continue;
        if (count > 1)
            printf("\n  %-8s  %s %s", role_name(entry.role), entry.url, cp_sink_state_name(entry.state));
        if (count > 1 || entry.state == CP_SINK_DOWN)
            entry_print(&entry);
    }
    putchar('\n');
}
