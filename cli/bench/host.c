#include "cli/bench/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli.h"

/* Medians of interleaved rounds bear a little of both; beyond these they do not. */
static const double most_steal = 0.02;
static const double most_others = 0.25;

static void text_copy(char to[CP_BENCH_HOST_TEXT], const char *from)
{
    snprintf(to, CP_BENCH_HOST_TEXT, "%s", from);
    to[strcspn(to, "\n")] = '\0';
}

static void look_cpu(cp_bench_host *host)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    text_copy(host->cpu, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        text_copy(host->cpu, colon + 1 + (colon[1] == ' '));
        break;
    }
    if (file)
        fclose(file);
}

static void look_governor(cp_bench_host *host)
{
    char line[CP_BENCH_HOST_TEXT];
    FILE *file = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "re");
    text_copy(host->governor, file && fgets(line, sizeof line, file) ? line : "none");
    if (file)
        fclose(file);
}

/* proc(5): user nice system idle iowait irq softirq steal; guests are counted in user and nice. */
static void look_ticks(cp_bench_host *host)
{
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, COUNT };
    uint64_t ticks[COUNT] = {0};
    host->total_ticks = host->steal_ticks = host->busy_ticks = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file && fscanf(file,
                       "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64,
                       &ticks[USER], &ticks[NICE], &ticks[SYSTEM], &ticks[IDLE], &ticks[IOWAIT], &ticks[IRQ],
                       &ticks[SOFTIRQ], &ticks[STEAL]) == COUNT) {
        for (int i = 0; i < COUNT; i++)
            host->total_ticks += ticks[i];
        host->steal_ticks = ticks[STEAL];
        host->busy_ticks = host->total_ticks - ticks[STEAL] - ticks[IDLE] - ticks[IOWAIT];
    }
    if (file)
        fclose(file);
}

static double usage_s(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) != 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void cp_bench_host_begin(cp_bench_host *host)
{
    struct utsname name;
    memset(host, 0, sizeof *host);
    look_cpu(host);
    look_governor(host);
    text_copy(host->kernel, uname(&name) == 0 ? name.release : "unknown");
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    host->cpus = cpus > 0 ? (uint32_t)cpus : 1;
    look_ticks(host);
    host->own_cpu_s = usage_s(RUSAGE_SELF) + usage_s(RUSAGE_CHILDREN);
}

void cp_bench_host_end(cp_bench_host *host)
{
    const cp_bench_host before = *host;
    look_ticks(host);
    host->own_cpu_s = usage_s(RUSAGE_SELF) + usage_s(RUSAGE_CHILDREN) - before.own_cpu_s;
    host->total_ticks -= before.total_ticks;
    host->steal_ticks -= before.steal_ticks;
    host->busy_ticks -= before.busy_ticks;
    if (host->total_ticks == 0)
        return;
    const double total = (double)host->total_ticks;
    const double busy_s = (double)host->busy_ticks / (double)sysconf(_SC_CLK_TCK);
    const double seconds = total / (double)sysconf(_SC_CLK_TCK) / host->cpus;
    host->steal = (double)host->steal_ticks / total;
    host->others = busy_s > host->own_cpu_s ? (busy_s - host->own_cpu_s) / seconds : 0;
    if (host->steal > most_steal)
        snprintf(
            host->warning, sizeof host->warning,
            "the hypervisor gave %.0f %% of the CPUs' time to others: figures are doubtful; measure again",
            host->steal * 100);
    else if (host->others > most_others)
        snprintf(host->warning, sizeof host->warning,
                 "other processes kept %.1f of %u CPUs busy: figures are doubtful; measure on a quiet host",
                 host->others, host->cpus);
    else if (strcmp(host->governor, "powersave") == 0)
        snprintf(
            host->warning, sizeof host->warning,
            "the clock's governor is powersave: figures are doubtful; cpupower frequency-set -g performance");
}

void cp_bench_host_add(json_object *answer, const cp_bench_host *host)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "cpu", host->cpu);
    cp_json_add_uint(item, "cpus", host->cpus);
    cp_json_add_string(item, "kernel", host->kernel);
    cp_json_add_string(item, "governor", host->governor);
    cp_json_add_double(item, "steal", host->steal);
    cp_json_add_double(item, "busy_cpus_of_others", host->others);
    cp_json_add_string(item, "warning", *host->warning ? host->warning : NULL);
    cp_json_add(answer, "host", item);
}

void cp_bench_host_print(const cp_bench_host *host)
{
    printf("%s, %u CPUs, Linux %s, governor %s; steal %.1f %%, other processes %.2f CPUs\n", host->cpu,
           host->cpus, host->kernel, host->governor, host->steal * 100, host->others);
    if (*host->warning)
        cp_message("bench: %s", host->warning);
}
