/* See text_file.h. */
#include "schema/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "schema/table.h"

/* Reads the whole of an open file, at most one byte more than CP_MAX_DDL, which cp_table_parse then refuses.
 */
static int file_read(int fd, const char *path, char *buffer, size_t *len, cp_error *err)
{
    *len = 0;
    while (*len <= CP_MAX_DDL) {
        const ssize_t got = read(fd, buffer + *len, CP_MAX_DDL + 1 - *len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cp_error_errno(err, CP_E_IO, errno, "cannot read %s", path);
        if (got == 0)
            break;
        *len += (size_t)got;
    }
    return CP_OK;
}

int cp_text_file_read(const char *path, const char *what, char **out, size_t *len, cp_error *err)
{
    *out = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot open the %s %s", what, path);
    int code = CP_OK;
    struct stat info;
    char *buffer = malloc(CP_MAX_DDL + 1);
    if (!buffer)
        code = cp_error_set(err, CP_E_NOMEM, "%s: out of memory", path);
    else if (fstat(fd, &info) < 0)
        code = cp_error_errno(err, CP_E_IO, errno, "cannot look at %s", path);
    else if (!S_ISREG(info.st_mode))
        code = cp_error_set(err, CP_E_IO, "%s is not a regular file; name a file with the %s", path, what);
    else
        code = file_read(fd, path, buffer, len, err);
    close(fd);
    if (code < 0)
        free(buffer);
    else
        *out = buffer;
    return code;
}
