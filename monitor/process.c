#include "monitor/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    STAT_TEXT = 1024,
    STAT_START = 22, /* fields of /proc/<pid>/stat, counted from 1 */
    STAT_VSIZE = 23,
    STAT_RSS = 24
};

/* A numeric field of /proc/self/stat. The program's name, in parentheses, may hold anything. */
static double stat_field(int wanted)
{
    char text[STAT_TEXT];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return 0;
    const size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < wanted; field++)
        at = strchr(at + 1, ' ');
    return at ? strtod(at, NULL) : 0;
}

double cp_process_cpu_seconds(const cp_watch_view *view)
{
    (void)view;
    struct timespec used;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0
               ? (double)used.tv_sec + (double)used.tv_nsec / 1e9
               : 0;
}

double cp_process_resident_bytes(const cp_watch_view *view)
{
    (void)view;
    return stat_field(STAT_RSS) * (double)sysconf(_SC_PAGESIZE);
}

double cp_process_virtual_bytes(const cp_watch_view *view)
{
    (void)view;
    return stat_field(STAT_VSIZE);
}

double cp_process_start_seconds(const cp_watch_view *view)
{
    const double boot = (double)view->real_minus_boot_ns / 1e9;
    return boot + stat_field(STAT_START) / (double)sysconf(_SC_CLK_TCK);
}

double cp_process_open_fds(const cp_watch_view *view)
{
    (void)view;
    DIR *dir = opendir("/proc/self/fd");
    double count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

double cp_process_max_fds(const cp_watch_view *view)
{
    (void)view;
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}
