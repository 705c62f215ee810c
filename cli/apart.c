#include "cli/apart.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/place.h"
#include "recorder/config/layer.h"
#include "shm/control.h"

static void tell(cp_apart *apart, const char *fmt, ...) CP_PRINTF(2, 3);

static void tell(cp_apart *apart, const char *fmt, ...)
{
    if (apart->count == CP_APART_TEXTS)
        return;
    char *text = apart->texts[apart->count++];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, CP_APART_TEXT, fmt, args);
    va_end(args);
}

/* The path with its links resolved, as far as it is there. */
static void path_resolve(const char *path, char out[PATH_MAX])
{
    char head[PATH_MAX];
    char found[PATH_MAX];
    if (snprintf(head, sizeof head, "%s", path) >= (int)sizeof head)
        head[0] = '\0';
    for (;;) {
        if (realpath(head[0] ? head : "/", found)) {
            const char *rest = path + strlen(head);
            if (snprintf(out, PATH_MAX, "%s%s", strcmp(found, "/") == 0 && *rest ? "" : found, rest) <
                PATH_MAX)
                return;
            break;
        }
        char *slash = strrchr(head, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    snprintf(out, PATH_MAX, "%s", path);
}

/* True when inner is outer, or lies in it. */
static bool path_is_in(const char *inner, const char *outer)
{
    const size_t len = strlen(outer);
    return strncmp(inner, outer, len) == 0 && (inner[len] == '\0' || inner[len] == '/');
}

static void compare_directories(cp_apart *apart, const char *what, const cp_config *a, const char *path_a,
                                const cp_config *b, const char *path_b)
{
    char resolved[2][PATH_MAX];
    path_resolve(path_a, resolved[0]);
    path_resolve(path_b, resolved[1]);
    if (strcmp(resolved[0], resolved[1]) == 0)
        tell(apart, "%s and %s: the same directory for %s, %.200s", a->path, b->path, what, resolved[0]);
    else if (path_is_in(resolved[0], resolved[1]) || path_is_in(resolved[1], resolved[0]))
        tell(apart, "%s and %s: one's directory for %s lies in the other's, %.120s and %.120s", a->path,
             b->path, what, resolved[0], resolved[1]);
}

static const char *password_file(const cp_config *config)
{
    const cp_config_value *value = &config->origins->global[CP_KEY_PASSWORD_FILE];
    return value->set ? value->text : NULL;
}

static bool has_logs(const cp_config *config)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (config->tables[i].critical)
            return true;
    }
    return false;
}

static void compare(cp_apart *apart, const cp_config *a, const cp_config *b)
{
    compare_directories(apart, "the region", a, a->region_dir, b, b->region_dir);
    if (has_logs(a) && has_logs(b))
        compare_directories(apart, "logs", a, a->wal_dir, b, b->wal_dir);
    const char *files[] = {password_file(a), password_file(b)};
    if (files[0] && files[1] && cp_place_is_same_file(files[0], files[1]))
        tell(apart,
             "%s and %s: the same password file, %.200s: each recorder's user can act as the other in "
             "ClickHouse",
             a->path, b->path, files[0]);
}

/* What is there already. */
static void examine(cp_apart *apart, const cp_config *config)
{
    cp_control control = {0};
    if (cp_control_open(&control, config->region_dir, false, NULL) == CP_OK &&
        strncmp(control.header->namespace_name, config->namespace_name, CP_ABI_NAME) != 0)
        tell(apart, "%s: %s holds the region of another namespace, %.*s", config->path, config->region_dir,
             CP_ABI_NAME - 1, control.header->namespace_name);
    cp_control_close(&control);
    char parent[PATH_MAX];
    struct stat status;
    snprintf(parent, sizeof parent, "%s", config->region_dir);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return;
    *slash = '\0';
    if (stat(parent, &status) == 0 && (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
        tell(apart,
             "%s: everyone can rename directories in %s, and so put another region in place of %s's: chmod "
             "o-w %s",
             config->path, parent, config->namespace_name, parent);
}

void cp_apart_look(cp_apart *apart, cp_config *const *configs, uint32_t count)
{
    apart->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        examine(apart, configs[i]);
        for (uint32_t k = 0; k < i; k++)
            compare(apart, configs[k], configs[i]);
    }
}
