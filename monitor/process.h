/* The process_ metrics that Prometheus's client libraries agree on, of the calling process, out of /proc/self. What cannot be read
 * is 0. The view is not used: these are metric functions (metric.h). */
#ifndef CP_MONITOR_PROCESS_H
#define CP_MONITOR_PROCESS_H

#include "monitor/watch.h"

double cp_process_cpu_seconds(const cp_watch_view *view);
double cp_process_resident_bytes(const cp_watch_view *view);
double cp_process_virtual_bytes(const cp_watch_view *view);
double cp_process_start_seconds(const cp_watch_view *view);
double cp_process_open_fds(const cp_watch_view *view);
double cp_process_max_fds(const cp_watch_view *view);

#endif
