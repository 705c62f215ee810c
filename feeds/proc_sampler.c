#include "feeds/proc_sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

enum { FILE_MEMINFO, FILE_LOADAVG, FILE_NET, FILE_STAT, FILE_COUNT };

static const char *const file_names[FILE_COUNT] = {"meminfo", "loadavg", "net/dev", "stat"};

enum {
    TEXT_MAX = 256 * 1024, /* more than 1024 processors' lines; what follows them is not needed */
    CPU_FIELDS = 8,        /* user nice system idle iowait irq softirq steal; guest is inside user */
    CPU_IDLE = 3,
    CPU_IOWAIT = 4,
    NET_TX_FIELD = 8 /* bytes sent, behind the eight figures of receiving */
};

typedef struct cpu_ticks {
    uint64_t busy;
    uint64_t all;
} cpu_ticks;

struct cp_proc_sampler {
    int fds[FILE_COUNT];
    char iface[CP_PROC_IFACE];
    bool first;
    uint64_t last_ns;
    uint64_t net_rx;
    uint64_t net_tx;
    cpu_ticks cpus[CP_PROC_CPUS];
    char text[TEXT_MAX + 1];
};

/* Reads a file from its beginning into sampler->text. */
static int file_read(cp_proc_sampler *sampler, int file, cp_error *err)
{
    size_t used = 0;
    while (used < TEXT_MAX) {
        const ssize_t got = pread(sampler->fds[file], sampler->text + used, TEXT_MAX - used, (off_t)used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cp_error_errno(err, CP_E_IO, errno, "cannot read /proc/%s", file_names[file]);
        if (got == 0)
            break;
        used += (size_t)got;
    }
    sampler->text[used] = '\0';
    return CP_OK;
}

static int odd_file(int file, cp_error *err)
{
    return cp_error_set(err, CP_E_CORRUPT, "/proc/%s does not look as proc(5) says", file_names[file]);
}

/* The number behind a label at the beginning of a line; false when there is none. */
static bool labelled_number(const char *text, const char *label, uint64_t *out)
{
    const size_t len = strlen(label);
    while (text) {
        if (strncmp(text, label, len) == 0) {
            char *end;
            *out = strtoull(text + len, &end, 10);
            return end != text + len;
        }
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return false;
}

static int memory_take(cp_proc_sampler *sampler, cp_proc_sample *sample, cp_error *err)
{
    uint64_t total = 0;
    uint64_t available = 0;
    const int rc = file_read(sampler, FILE_MEMINFO, err);
    if (rc < 0)
        return rc;
    if (!labelled_number(sampler->text, "MemTotal:", &total) || total == 0 ||
        !labelled_number(sampler->text, "MemAvailable:", &available))
        return odd_file(FILE_MEMINFO, err);
    const uint64_t used = total > available ? total - available : 0;
    sample->mem_used_gb = (double)used * 1024 / 1e9;
    sample->mem_available_gb = (double)available * 1024 / 1e9;
    sample->mem_pct = 100.0 * (double)used / (double)total;
    return CP_OK;
}

static int load_take(cp_proc_sampler *sampler, cp_proc_sample *sample, cp_error *err)
{
    const int rc = file_read(sampler, FILE_LOADAVG, err);
    if (rc < 0)
        return rc;
    char *p = sampler->text;
    for (int i = 0; i < 3; i++) {
        char *end;
        sample->load[i] = strtod(p, &end);
        if (end == p)
            return odd_file(FILE_LOADAVG, err);
        p = end;
    }
    return CP_OK;
}

typedef struct net_line {
    char iface[CP_PROC_IFACE];
    uint64_t rx;
    uint64_t tx;
} net_line;

/* Parses "  eth0: 123 …" and moves *text behind it. False at the end; lines of another form are skipped. */
static bool net_next(const char **text, net_line *line)
{
    while (**text) {
        const char *p = *text + strspn(*text, " ");
        const size_t rest = strcspn(*text, "\n");
        const char *end_of_line = *text + rest;
        *text = end_of_line + (*end_of_line == '\n');
        const char *colon = memchr(p, ':', (size_t)(end_of_line - p));
        if (!colon || colon == p || (size_t)(colon - p) >= sizeof line->iface)
            continue;
        memcpy(line->iface, p, (size_t)(colon - p));
        line->iface[colon - p] = '\0';
        p = colon + 1;
        int field = 0;
        for (; field <= NET_TX_FIELD; field++) {
            char *end;
            const uint64_t value = strtoull(p, &end, 10);
            if (end == p || end > end_of_line)
                break;
            if (field == 0)
                line->rx = value;
            line->tx = value;
            p = end;
        }
        if (field > NET_TX_FIELD)
            return true;
    }
    return false;
}

static double megabytes_per_second(uint64_t now, uint64_t before, double seconds)
{
    return now > before && seconds > 0 ? (double)(now - before) / 1e6 / seconds : 0;
}

static int net_take(cp_proc_sampler *sampler, double seconds, cp_proc_sample *sample, cp_error *err)
{
    const int rc = file_read(sampler, FILE_NET, err);
    if (rc < 0)
        return rc;
    const char *text = sampler->text;
    net_line line;
    memcpy(sample->iface, sampler->iface, sizeof sample->iface);
    sample->net_rx_mb_s = sample->net_tx_mb_s = 0;
    while (net_next(&text, &line)) {
        if (strcmp(line.iface, sampler->iface) != 0)
            continue;
        if (!sampler->first) {
            sample->net_rx_mb_s = megabytes_per_second(line.rx, sampler->net_rx, seconds);
            sample->net_tx_mb_s = megabytes_per_second(line.tx, sampler->net_tx, seconds);
        }
        sampler->net_rx = line.rx;
        sampler->net_tx = line.tx;
    }
    return CP_OK;
}

/* The ticks of a line "cpuN a b c d …"; p is behind the name. False when there are too few. */
static bool cpu_parse(const char *p, cpu_ticks *ticks)
{
    *ticks = (cpu_ticks){0};
    for (int field = 0; field < CPU_FIELDS; field++) {
        char *end;
        const uint64_t value = strtoull(p, &end, 10);
        if (end == p)
            return field > CPU_IDLE; /* very old kernels have fewer */
        ticks->all += value;
        ticks->busy += field == CPU_IDLE || field == CPU_IOWAIT ? 0 : value;
        p = end;
    }
    return true;
}

static float busy_percent(const cpu_ticks *now, const cpu_ticks *before)
{
    if (now->all <= before->all || now->busy < before->busy)
        return 0;
    const double percent = 100.0 * (double)(now->busy - before->busy) / (double)(now->all - before->all);
    return (float)(percent > 100 ? 100 : percent);
}

static int cpus_take(cp_proc_sampler *sampler, cp_proc_sample *sample, cp_error *err)
{
    const int rc = file_read(sampler, FILE_STAT, err);
    if (rc < 0)
        return rc;
    sample->cpu_count = 0;
    for (const char *p = sampler->text; strncmp(p, "cpu", 3) == 0;) {
        char *end;
        const unsigned long index = strtoul(p + 3, &end, 10);
        cpu_ticks ticks;
        if (p[3] >= '0' && p[3] <= '9' && index < CP_PROC_CPUS && sample->cpu_count < CP_PROC_CPUS) {
            if (!cpu_parse(end, &ticks))
                return odd_file(FILE_STAT, err);
            sample->cpu_busy_pct[sample->cpu_count++] = busy_percent(&ticks, &sampler->cpus[index]);
            sampler->cpus[index] = ticks;
        }
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
    return sample->cpu_count > 0 ? CP_OK : odd_file(FILE_STAT, err);
}

int cp_proc_sampler_take(cp_proc_sampler *sampler, uint64_t now_ns, cp_proc_sample *sample, cp_error *err)
{
    const double seconds = now_ns > sampler->last_ns ? (double)(now_ns - sampler->last_ns) / 1e9 : 0;
    int rc = memory_take(sampler, sample, err);
    if (rc == CP_OK)
        rc = load_take(sampler, sample, err);
    if (rc == CP_OK)
        rc = net_take(sampler, seconds, sample, err);
    if (rc == CP_OK)
        rc = cpus_take(sampler, sample, err);
    sampler->last_ns = now_ns;
    sampler->first = false;
    return rc;
}

/* Finds the interface asked for, or the busiest. A host without any has "". */
static int iface_choose(cp_proc_sampler *sampler, const char *wanted, cp_error *err)
{
    const int rc = file_read(sampler, FILE_NET, err);
    if (rc < 0)
        return rc;
    const char *text = sampler->text;
    net_line line;
    uint64_t most = 0;
    while (net_next(&text, &line)) {
        const uint64_t traffic = strcmp(line.iface, "lo") == 0 ? 1 : 2 + (line.rx + line.tx) / 2;
        if (wanted ? strcmp(line.iface, wanted) != 0 : traffic <= most)
            continue;
        most = traffic;
        memcpy(sampler->iface, line.iface, sizeof sampler->iface);
    }
    if (wanted && !sampler->iface[0])
        return cp_error_set(err, CP_E_ABSENT, "there is no network interface '%s'; /proc/net/dev lists them",
                            wanted);
    return CP_OK;
}

int cp_proc_sampler_open(cp_proc_sampler **out, const char *proc, const char *iface, cp_error *err)
{
    cp_proc_sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return cp_error_set(err, CP_E_NOMEM, "no memory for sampling");
    sampler->first = true;
    int rc = CP_OK;
    for (int i = 0; i < FILE_COUNT; i++)
        sampler->fds[i] = -1;
    for (int i = 0; i < FILE_COUNT && rc == CP_OK; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", proc, file_names[i]);
        sampler->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (sampler->fds[i] < 0)
            rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot read %s", path);
    }
    if (rc == CP_OK)
        rc = iface_choose(sampler, iface, err);
    if (rc < 0) {
        cp_proc_sampler_close(sampler);
        return rc;
    }
    *out = sampler;
    return CP_OK;
}

void cp_proc_sampler_close(cp_proc_sampler *sampler)
{
    if (!sampler)
        return;
    for (int i = 0; i < FILE_COUNT; i++) {
        if (sampler->fds[i] >= 0)
            close(sampler->fds[i]);
    }
    free(sampler);
}
