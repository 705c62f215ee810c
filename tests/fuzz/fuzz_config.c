/* Fuzz target: any bytes as coldpath.yaml. Loading gives a configuration or an error with a report, which has no escape sequences of
 * the file's in it; what was loaded can be printed. The first byte is not part of the file: it says how it is printed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder/config/config.h"
#include "tests/fuzz/fuzz.h"

static char path[64];

static void file_remove(void)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void file_make(void)
{
    strcpy(path, "/tmp/coldpath-fuzz-XXXXXX");
    if (!mkdtemp(path) || setenv("COLDPATH_SCHEMA_DIR", FUZZ_SCHEMA_DIR, 1) < 0)
        abort();
    strcat(path, "/coldpath.yaml");
    atexit(file_remove);
}

static void file_write(const uint8_t *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!path[0])
        file_make();
    if (size == 0)
        return 0;
    file_write(data + 1, size - 1);
    cp_config *config = NULL;
    cp_error err = {0, ""};
    char *report = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&report, &length);
    if (!stream)
        abort();
    const int rc = cp_config_load(&config, path, stream, &err);
    if (rc == CP_OK)
        cp_config_print(config, stream, true, data[0] & 1);
    if (fclose(stream) != 0 || (rc == CP_OK) != (config != NULL) || memchr(report, '\x1b', length) ||
        (rc < 0 && (err.code != rc || !err.text[0] || length == 0)))
        abort();
    cp_config_free(config);
    free(report);
    return 0;
}
