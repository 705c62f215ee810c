/* See shipped.h. */
#include "recorder/config/shipped.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recorder/config/problem.h"
#include "recorder/config/value.h"

#ifndef CP_SCHEMA_DIR
#define CP_SCHEMA_DIR "/usr/local/share/coldpath/ddl"
#endif

enum {
    MAX_NAMES = 256, /* files of one directory that are looked at for a suggestion */
    MAX_SETS = 16,   /* folders with a table of the same name that are listed */
    PATH_ROOM = 4096
};

char *cp_shipped_dir(void)
{
    char exe[PATH_ROOM];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *dir = NULL;
    if (n > 0) {
        exe[n] = '\0';
        for (int up = 0; up < 2 && strrchr(exe, '/'); up++)
            *strrchr(exe, '/') = '\0';
        if (asprintf(&dir, "%s/share/coldpath/ddl", exe) < 0)
            return NULL;
        if (access(dir, R_OK | X_OK) == 0)
            return dir;
        free(dir);
    }
    return strdup(CP_SCHEMA_DIR);
}

static bool file_is(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* The folders of dir that have a table of this name; their names are malloc'd. */
static size_t sets_with(const char *dir, const char *name, char *sets[MAX_SETS])
{
    size_t count = 0;
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    while (stream && count < MAX_SETS && (entry = readdir(stream))) {
        char path[PATH_ROOM];
        if (entry->d_name[0] == '.')
            continue;
        const int len = snprintf(path, sizeof path, "%s/%s/%s.sql", dir, entry->d_name, name);
        if (len > 0 && (size_t)len < sizeof path && file_is(path) &&
            (sets[count] = strdup(entry->d_name)) != NULL)
            count++;
    }
    if (stream)
        closedir(stream);
    return count;
}

static void names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}

/* The one folder that has the table, as a path; NULL: none, or several. */
static char *only_set(const char *dir, const char *name)
{
    char *sets[MAX_SETS];
    char *path = NULL;
    const size_t count = sets_with(dir, name, sets);
    if (count == 1 && asprintf(&path, "%s/%s/%s.sql", dir, sets[0], name) < 0)
        path = NULL;
    names_free(sets, count);
    return path;
}

char *cp_shipped_table(const char *dir, const char *set, const char *name)
{
    char *first = NULL;
    if (asprintf(&first, "%s%s%s/%s.sql", dir, set ? "/" : "", set ? set : "", name) < 0)
        return NULL;
    if (file_is(first))
        return first;
    char *other = NULL;
    if (!set)
        other = only_set(dir, name);
    else if (asprintf(&other, "%s/%s.sql", dir, name) < 0)
        other = NULL;
    if (!other || !file_is(other)) {
        free(other);
        return first;
    }
    free(first);
    return other;
}

/* The names of the tables in a directory, malloc'd. */
static size_t tables_in(const char *dir, char *names[MAX_NAMES])
{
    size_t count = 0;
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    while (stream && count < MAX_NAMES && (entry = readdir(stream))) {
        const size_t len = strlen(entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".sql") == 0 &&
            (names[count] = strndup(entry->d_name, len - 4)) != NULL)
            count++;
    }
    if (stream)
        closedir(stream);
    return count;
}

static void list_append(char *out, size_t size, char *const *names, size_t count)
{
    size_t used;
    for (size_t i = 0; i < count && (used = strlen(out)) + strlen(names[i]) + 2 < size; i++)
        snprintf(out + used, size - used, " %s", names[i]);
}

void cp_shipped_describe(const char *dir, const char *path, const char *name, char *out, size_t size)
{
    char *names[MAX_NAMES];
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    size_t count = folder && strcmp(folder, dir) == 0 ? sets_with(dir, name, names) : 0;
    if (count > 0) {
        snprintf(out, size, "write schema.set with the set that is meant:");
        list_append(out, size, names, count);
        names_free(names, count);
        free(folder);
        return;
    }
    count = folder ? tables_in(folder, names) : 0;
    free(folder);
    const int near = cp_config_nearest((const char *const *)names, count, name, strlen(name));
    if (near >= 0) {
        snprintf(out, size,
                 "did you mean \"%s\"? Else write its CREATE TABLE there, or name it with ddl:", names[near]);
    } else {
        snprintf(out, size, "write its CREATE TABLE there, or name it with ddl:%s",
                 count ? "; there are:" : "");
        list_append(out, size, names, count);
    }
    names_free(names, count);
}
