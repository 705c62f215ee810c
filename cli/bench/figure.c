#include "cli/bench/figure.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

enum { REMOVE_DEPTH = 12 }; /* an engine keeps store/abc/<uuid>/<part>/<file> */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

cp_bench_figure cp_bench_figure_of(double *samples, uint32_t count)
{
    if (count == 0)
        return (cp_bench_figure){0, 0, 0};
    qsort(samples, count, sizeof *samples, compare_doubles);
    const double median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
    return (cp_bench_figure){median, samples[0], samples[count - 1]};
}

void cp_bench_figure_add(json_object *object, const char *key, const cp_bench_figure *figure)
{
    json_object *item = json_object_new_object();
    cp_json_add_double(item, "median", figure->median);
    cp_json_add_double(item, "low", figure->low);
    cp_json_add_double(item, "high", figure->high);
    cp_json_add(object, key, item);
}

uint64_t cp_bench_percentile(uint64_t *samples, uint64_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(samples, count, sizeof *samples, compare_numbers);
    const uint64_t at = (uint64_t)((double)count * share);
    return samples[at < count ? at : count - 1];
}

static void remove_below(int parent, const char *name, int depth)
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && depth > 0)
            remove_below(dirfd(dir), entry->d_name, depth - 1);
    }
    if (dir)
        closedir(dir);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

void cp_bench_remove(const char *path)
{
    if (*path)
        remove_below(AT_FDCWD, path, REMOVE_DEPTH);
}
