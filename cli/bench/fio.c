#include "cli/bench/fio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

enum { ANSWER = 256 * 1024, ARGUMENTS = 22, NOT_FOUND = 127, LOOK_MS = 100 };

/* Runs in the child. */
static void fio_exec(const cp_bench_fio *fio, int out)
{
    char text[6][PATH_MAX + 32];
    snprintf(text[0], sizeof text[0], "--filename=%s", fio->file);
    snprintf(text[1], sizeof text[1], "--size=%" PRIu64, fio->file_size);
    snprintf(text[2], sizeof text[2], "--bs=%" PRIu64, fio->block);
    snprintf(text[3], sizeof text[3], "--iodepth=%u", fio->depth);
    snprintf(text[4], sizeof text[4], "--runtime=%" PRIu64 "ms", fio->runtime_ns / CP_NS_PER_MS);
    snprintf(text[5], sizeof text[5], "%s", fio->dsync ? "--sync=dsync" : "--fdatasync=1");
    const char *const options[] = {"env",
                                   fio->huge_pages ? "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
                                                   : "GLIBC_TUNABLES=",
                                   "fio",
                                   "--name=coldpath",
                                   "--ioengine=io_uring",
                                   fio->huge_pages ? "--iomem_align=2M" : "--iomem_align=0",
                                   "--direct=1",
                                   "--rw=write",
                                   "--overwrite=1",
                                   "--time_based",
                                   "--lat_percentiles=1",
                                   "--clat_percentiles=0",
                                   "--percentile_list=50:99",
                                   "--output-format=json",
                                   text[0],
                                   text[1],
                                   text[2],
                                   text[3],
                                   text[4],
                                   text[5],
                                   NULL};
    char *arguments[ARGUMENTS];
    memcpy((void *)arguments, (const void *)options, sizeof options);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(out, STDOUT_FILENO) >= 0 && null >= 0 && dup2(null, STDERR_FILENO) >= 0)
        execvp("env", arguments);
    _exit(NOT_FOUND);
}

/* All that it prints, until its end. Told to end, it ends its own processes too; told more than once, since it may not yet listen. */
static int answer_read(const cp_bench_fio *fio, pid_t child, int fd, char *answer)
{
    size_t used = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (fio->cancelled())
            kill(child, SIGTERM);
        if (poll(&wait, 1, LOOK_MS) <= 0)
            continue;
        const ssize_t got = read(fd, answer + used, ANSWER - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || used + (size_t)got == ANSWER - 1) {
            answer[used] = 0;
            return got < 0 ? CP_E_IO : CP_OK;
        }
        used += (size_t)got;
    }
}

static double number_at(json_object *object, const char *const *path)
{
    for (; object && *path; path++) {
        if (!json_object_object_get_ex(object, *path, &object))
            return 0;
    }
    return object ? json_object_get_double(object) : 0;
}

static int answer_take(const char *answer, cp_bench_fio_result *result, cp_error *err)
{
    static const char *const rate[] = {"write", "bw_bytes", NULL};
    static const char *const ios[] = {"write", "iops", NULL};
    static const char *const parts[][2] = {{"write", "lat_ns"}, {"sync", "lat_ns"}};
    json_object *root = json_tokener_parse(strchr(answer, '{') ? strchr(answer, '{') : "");
    json_object *jobs = NULL;
    json_object *job = NULL;
    if (root && json_object_object_get_ex(root, "jobs", &jobs))
        job = json_object_array_get_idx(jobs, 0);
    result->bytes_per_s = number_at(job, rate);
    result->commits_per_s = number_at(job, ios);
    result->p50_ns = result->p99_ns = 0;
    for (int i = 0; i < 2; i++) {
        const char *const p50[] = {parts[i][0], parts[i][1], "percentile", "50.000000", NULL};
        const char *const p99[] = {parts[i][0], parts[i][1], "percentile", "99.000000", NULL};
        result->p50_ns += number_at(job, p50);
        result->p99_ns += number_at(job, p99);
    }
    json_object_put(root);
    return result->commits_per_s > 0
               ? CP_OK
               : cp_error_set(err, CP_E_IO, "fio gave no figures; run it by hand with --ioengine=io_uring");
}

int cp_bench_fio_run(const cp_bench_fio *fio, cp_bench_fio_result *result, cp_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot make a pipe");
    char *answer = malloc(ANSWER);
    const pid_t child = answer ? fork() : -1;
    if (child == 0)
        fio_exec(fio, ends[1]);
    close(ends[1]);
    int status = 0;
    int rc = CP_E_NOMEM;
    if (child > 0) {
        rc = answer_read(fio, child, ends[0], answer);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    close(ends[0]);
    if (rc != CP_OK)
        cp_error_set(err, rc, "cannot run fio");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
        rc = cp_error_set(err, CP_E_ABSENT, "fio is not installed");
    else
        rc = answer_take(answer, result, err);
    free(answer);
    return rc;
}
