/* See file.h. */
#include "recorder/config/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int read_open_file(int fd, const char *path, size_t limit, char **text, size_t *len, cp_error *err)
{
    char *buffer = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (used == room) {
            room = room ? room * 2 : 4096;
            char *grown = realloc(buffer, room + 1);
            if (!grown) {
                free(buffer);
                return cp_error_set(err, CP_E_NOMEM, "%s: out of memory", path);
            }
            buffer = grown;
        }
        const ssize_t n = read(fd, buffer + used, room - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int errnum = errno;
            free(buffer);
            return cp_error_errno(err, CP_E_IO, errnum, "%s", path);
        }
        used += (size_t)n;
        if (used > limit) {
            free(buffer);
            return cp_error_set(err, CP_E_TOO_BIG, "%s is longer than %zu bytes", path, limit);
        }
        if (n == 0)
            break;
    }
    buffer[used] = '\0';
    *text = buffer;
    *len = used;
    return CP_OK;
}

/* Reads path, a regular file of at most limit bytes, into *text (malloc'd, NUL behind len) and *mode.
 * CP_E_ABSENT, CP_E_PERM, CP_E_IO, CP_E_TOO_BIG, CP_E_NOMEM; err says which file and why. */
static int file_read(const char *path, size_t limit, char **text, size_t *len, unsigned *mode, cp_error *err)
{
    *text = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang the start */
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "%s", path);
    struct stat status;
    int rc = CP_OK;
    if (fstat(fd, &status) < 0)
        rc = cp_error_errno(err, CP_E_IO, errno, "%s", path);
    else if (!S_ISREG(status.st_mode))
        rc = cp_error_set(err, CP_E_IO, "%s is not a regular file", path);
    else
        rc = read_open_file(fd, path, limit, text, len, err);
    if (rc == CP_OK)
        *mode = status.st_mode & 07777u;
    close(fd);
    return rc;
}

/* ---- YAML ---------------------------------------------------------------------------------------------- */

static int apply_text(cp_config_layers *layers, const cp_config_source *source)
{
    cp_yaml_node *root, *all;
    int rc = cp_yaml_parse(source, &root, &all, &layers->problems);
    if (rc == CP_OK)
        rc = cp_config_layers_apply(layers, root);
    cp_yaml_free(all);
    return rc == CP_E_CONFIG ? CP_OK : rc; /* its problems are in the list: go on with the other files */
}

static int apply_file(cp_config_layers *layers, const char *path, cp_error *err)
{
    char *text = NULL;
    size_t len = 0;
    unsigned mode = 0;
    int rc = file_read(path, CP_MAX_CONFIG_BYTES, &text, &len, &mode, err);
    if (rc < 0)
        return rc;
    cp_config_source *source = cp_config_layers_source(layers, path, true);
    if (!source) {
        free(text);
        return cp_error_set(err, CP_E_NOMEM, "%s: out of memory", path);
    }
    source->text = text;
    source->len = len;
    source->world_readable = (mode & CP_CONFIG_READABLE_BY_ALL) != 0;
    rc = apply_text(layers, source);
    return rc < 0 ? cp_error_set(err, rc, "%s: out of memory", path) : CP_OK;
}

static int is_yaml(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: its order depends on the locale */
}

static int apply_further_file(cp_config_layers *layers, const char *path)
{
    cp_error err;
    const int rc = apply_file(layers, path, &err);
    if (rc == CP_OK || rc == CP_E_NOMEM)
        return rc;
    const cp_config_place place = {.source = cp_config_layers_source(layers, path, true)};
    if (!place.source)
        return CP_E_NOMEM;
    cp_config_problem_add(&layers->problems, &place, NULL, "%s", err.text);
    return CP_OK;
}

static int apply_directory(cp_config_layers *layers, cp_error *err)
{
    char *dir = NULL;
    struct dirent **names = NULL;
    if (asprintf(&dir, "%s/conf.d", layers->base_dir) < 0)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    int rc = CP_OK;
    const int count = scandir(dir, &names, is_yaml, by_name);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR)
        rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "%s", dir);
    else if (count > CP_MAX_CONFIG_FILES)
        rc = cp_error_set(err, CP_E_TOO_BIG, "%s holds %d files, at most %d are read", dir, count,
                          CP_MAX_CONFIG_FILES);
    const bool dot = strcmp(layers->base_dir, ".") == 0;
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (rc == CP_OK && asprintf(&path, "%s/%s", dot ? "conf.d" : dir, names[i]->d_name) < 0)
            rc = cp_error_set(err, CP_E_NOMEM, "out of memory");
        if (rc == CP_OK) {
            rc = apply_further_file(layers, path);
            free(path);
        }
        free(names[i]);
    }
    free(names);
    free(dir);
    return rc;
}

int cp_config_file_apply_all(cp_config_layers *layers, const char *path, cp_error *err)
{
    const char *slash = strrchr(path, '/');
    layers->base_dir = !slash          ? strdup(".")
                       : slash == path ? strdup("")
                                       : strndup(path, (size_t)(slash - path));
    if (!layers->base_dir)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    const int rc = apply_file(layers, path, err);
    return rc < 0 ? rc : apply_directory(layers, err);
}

/* ---- password ------------------------------------------------------------------------------------------ */

static const char *password_fault(const char *text, size_t len, unsigned mode)
{
    if (mode & CP_CONFIG_READABLE_BY_ALL)
        return "everyone can read it: chmod o= it, and change the password";
    if (len == 0)
        return "its first line is empty: the password has to stand there";
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return "its first line holds control characters";
    return NULL;
}

int cp_config_file_password(cp_config_layers *layers, const cp_config_value *value, char **password)
{
    char *text = NULL;
    size_t len = 0;
    unsigned mode = 0;
    cp_error err;
    *password = NULL;
    const int rc = file_read(value->text, CP_MAX_PASSWORD_FILE, &text, &len, &mode, &err);
    if (!text) {
        cp_config_problem_add(&layers->problems, &value->place, "one line: the password", "password_file: %s",
                              err.text);
        return rc == CP_E_NOMEM ? rc : CP_OK;
    }
    const char *stop = memchr(text, '\n', len);
    size_t line = stop ? (size_t)(stop - text) : len;
    if (line && text[line - 1] == '\r')
        line--;
    const char *fault = password_fault(text, line, mode);
    if (fault)
        cp_config_problem_add(&layers->problems, &value->place, fault, "password_file: %s cannot be used",
                              value->text);
    else
        *password = strndup(text, line);
    const bool no_memory = !fault && !*password;
    explicit_bzero(text, len);
    free(text);
    return no_memory ? CP_E_NOMEM : CP_OK;
}
