/* See config_fixture.h. Tests are started in the source directory. */
#include "config_fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char home[4096];
static char directory[64];
static char schema_line[4200];

static void clear_environment(void)
{
    static const char *const older[] = {"CH_URL",
                                        "CH_USER",
                                        "CH_PASS",
                                        "CH_DB",
                                        "CH_BATCH_SIZE",
                                        "CH_FLUSH_INTERVAL_S",
                                        "HFT_CLICKHOUSE_HOST",
                                        "CREDENTIALS_DIRECTORY"};
    for (size_t i = 0; i < sizeof older / sizeof older[0]; i++)
        unsetenv(older[i]);
    for (char **at = environ; *at;) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        if (strncmp(name, "COLDPATH_", 9) == 0) {
            unsetenv(name);
            at = environ;
        } else {
            at++;
        }
    }
}

int fixture_enter(void **state)
{
    (void)state;
    clear_environment();
    if (!home[0] && !getcwd(home, sizeof home))
        return -1;
    snprintf(schema_line, sizeof schema_line, "schema: {dir: %s/schema/ddl}\n", home);
    strcpy(directory, "/tmp/coldpath-test-XXXXXX");
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int fixture_leave(void **state)
{
    (void)state;
    clear_environment();
    return chdir(home) == 0 && nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
}

void fixture_write_bytes(const char *name, const void *bytes, size_t len)
{
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

void fixture_write(const char *name, const char *text, mode_t mode)
{
    fixture_write_bytes(name, text, strlen(text));
    assert_int_equal(chmod(name, mode), 0);
}

int fixture_load(cp_config **out, const char *text, char **report, cp_error *err)
{
    size_t len = 0;
    FILE *stream = open_memstream(report, &len);
    assert_non_null(stream);
    fixture_write("coldpath.yaml", text, 0600);
    const int rc = cp_config_load(out, "coldpath.yaml", stream, err);
    assert_int_equal(fclose(stream), 0);
    return rc;
}

cp_config *fixture_load_good(const char *text)
{
    cp_config *config = NULL;
    cp_error err = {0, ""};
    char *report = NULL;
    if (fixture_load(&config, text, &report, &err) < 0)
        fail_msg("%s\n%s", err.text, report);
    free(report);
    return config;
}

const char *fixture_schema(void)
{
    return schema_line;
}
