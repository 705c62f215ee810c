/* What the kernel says about this host, several times a second: memory, load, traffic of one network interface, and how
 * busy each processor was since the sample before.
 *
 *   /proc/meminfo  MemTotal, MemAvailable        /proc/net/dev  bytes received and sent per interface
 *   /proc/loadavg  three averages                /proc/stat     ticks per processor: busy = all − idle − iowait
 *
 * See proc(5). The files are opened once and read again from their beginning. One thread uses a sampler. */
#ifndef CP_FEEDS_PROC_SAMPLER_H
#define CP_FEEDS_PROC_SAMPLER_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CP_PROC_CPUS = 1024, /* further processors are left out */
    CP_PROC_IFACE = 16   /* IFNAMSIZ */
};

typedef struct cp_proc_sample {
    double mem_used_gb; /* 10^9 bytes: total − available */
    double mem_available_gb;
    double mem_pct;
    double load[3];
    double net_rx_mb_s; /* 10^6 bytes a second since the sample before; 0 in the first */
    double net_tx_mb_s;
    char iface[CP_PROC_IFACE]; /* "" when there is none */
    uint32_t cpu_count;
    float cpu_busy_pct[CP_PROC_CPUS]; /* since the sample before; in the first, since boot */
} cp_proc_sample;

typedef struct cp_proc_sampler cp_proc_sampler;

/* proc: "/proc". iface: the interface to watch, or NULL for the one with the most traffic since boot, loopback only if
 * there is no other. Errors: CP_E_ABSENT (no such interface; a file is not there), CP_E_PERM, CP_E_IO, CP_E_NOMEM. */
int cp_proc_sampler_open(cp_proc_sampler **out, const char *proc, const char *iface, cp_error *err);

/* Takes a sample; now_ns is the boot-time clock. Errors: CP_E_IO, CP_E_CORRUPT (a file that does not look like proc(5)
 * says). */
int cp_proc_sampler_take(cp_proc_sampler *sampler, uint64_t now_ns, cp_proc_sample *sample, cp_error *err);

void cp_proc_sampler_close(cp_proc_sampler *sampler);

#endif
