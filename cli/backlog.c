#include "cli/backlog.h"

#include "base/clock.h"

static bool is_behind(const cp_table_view *table)
{
    return table->entry->critical && table->in_log >= CP_BACKLOG_ROWS;
}

void cp_backlog_note(cp_backlog_mark *mark, const cp_observer *observer)
{
    mark->at_ns = cp_boottime_ns();
    mark->any = false;
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        const cp_table_view *table = &observer->tables[i];
        mark->tables[i].put = table->produced;
        mark->tables[i].delivered = table->delivered;
        mark->any = mark->any || (observer->recorder_alive && is_behind(table));
    }
}

bool cp_backlog_stands(const cp_backlog_mark *mark, const cp_observer *observer)
{
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        const cp_table_view *table = &observer->tables[i];
        if (is_behind(table) && table->delivered == mark->tables[i].delivered &&
            table->counters.retry_at_ns == 0)
            return true;
    }
    return false;
}

void cp_backlog_judge(const cp_backlog_mark *mark, const cp_observer *observer, uint32_t index,
                      uint64_t now_ns, cp_backlog *backlog)
{
    const cp_table_view *table = &observer->tables[index];
    const double seconds = now_ns > mark->at_ns ? (double)(now_ns - mark->at_ns) / CP_NS_PER_S : 0;
    *backlog = (cp_backlog){.behind = is_behind(table), .rows = table->in_log, .seconds_left = -1};
    if (!backlog->behind || seconds <= 0)
        return;
    /* Both only grow, except when the region was made anew between the looks. */
    if (table->produced >= mark->tables[index].put)
        backlog->put_per_s = (double)(table->produced - mark->tables[index].put) / seconds;
    if (table->delivered >= mark->tables[index].delivered)
        backlog->delivered_per_s = (double)(table->delivered - mark->tables[index].delivered) / seconds;
    const double shrinks = backlog->delivered_per_s - backlog->put_per_s;
    if (shrinks > 0)
        backlog->seconds_left = (double)backlog->rows / shrinks;
}
