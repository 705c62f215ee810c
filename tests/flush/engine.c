#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void **connect_fn(int argc, char **argv);
typedef void close_fn(void **connection);
typedef void *query_fn(void *connection, const char *sql, size_t sql_size, const char *format,
                       size_t format_size);
typedef void *result_fn(void *result);
typedef size_t length_fn(void *result);
typedef const char *text_fn(void *result);
typedef void destroy_fn(void *result);
typedef void signals_fn(int enabled);
typedef int append_fn(void *stream, const void *data, size_t size);
typedef void *done_fn(void *stream);

static struct {
    char dir[64];
    void **connection;
    close_fn *close;
    query_fn *query;
    query_fn *insert;
    append_fn *append;
    done_fn *done;
    text_fn *insert_error;
    destroy_fn *destroy_insert;
    text_fn *buffer;
    length_fn *length;
    text_fn *error;
    destroy_fn *destroy;
} engine;

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found)
        fail_msg("libchdb has no %s", name);
    return found;
}

bool engine_open(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false; /* the library brings an allocator of its own, which the sanitizers' cannot live with */
#endif
    const char *path = getenv("COLDPATH_CHDB_LIB");
    if (!path)
        path = CP_CHDB_DEFAULT;
    if (access(path, R_OK) != 0)
        return false;
    setenv("TZ", "UTC", 1);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    /* POSIX guarantees that an object pointer from dlsym holds a function. */
    *(void **)&engine.close = symbol(library, "chdb_close_conn");
    *(void **)&engine.query = symbol(library, "chdb_query_n");
    *(void **)&engine.insert = symbol(library, "chdb_stream_insert_n");
    *(void **)&engine.append = symbol(library, "chdb_stream_append");
    *(void **)&engine.done = symbol(library, "chdb_stream_done");
    *(void **)&engine.insert_error = symbol(library, "chdb_stream_insert_error");
    *(void **)&engine.destroy_insert = symbol(library, "chdb_destroy_insert_stream");
    *(void **)&engine.buffer = symbol(library, "chdb_result_buffer");
    *(void **)&engine.length = symbol(library, "chdb_result_length");
    *(void **)&engine.error = symbol(library, "chdb_result_error");
    *(void **)&engine.destroy = symbol(library, "chdb_destroy_query_result");
    signals_fn *signals;
    connect_fn *connect;
    *(void **)&signals = symbol(library, "chdb_set_signal_handlers_enabled");
    *(void **)&connect = symbol(library, "chdb_connect");
    signals(0);
    snprintf(engine.dir, sizeof engine.dir, "/tmp/coldpath-engine-XXXXXX");
    assert_non_null(mkdtemp(engine.dir));
    char program[] = "clickhouse";
    char option[100];
    snprintf(option, sizeof option, "--path=%s", engine.dir);
    char *argv[] = {program, option, NULL};
    engine.connection = connect(2, argv);
    assert_non_null(engine.connection);
    return true;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void engine_exit(int status)
{
    if (engine.connection) {
        engine.close(engine.connection);
        nftw(engine.dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    }
    fflush(NULL);
    _exit(status);
}

char *engine_query(const char *sql, size_t *size)
{
    void *result = engine.query(*engine.connection, sql, strlen(sql), "TabSeparated", 12);
    assert_non_null(result);
    const char *error = engine.error(result);
    if (error && error[0])
        fail_msg("%.300s…: %.1500s", sql, error);
    const size_t length = engine.length(result);
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    if (length)
        memcpy(copy, engine.buffer(result), length);
    copy[length] = '\0';
    if (size)
        *size = length;
    engine.destroy(result);
    return copy;
}

char *engine_insert(const char *table, const char *format, const void *data, size_t size)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO %s SETTINGS async_insert=0, max_insert_block_size=1048449, "
             "input_format_native_allow_types_conversion=0, input_format_null_as_default=0",
             table);
    void *stream = engine.insert(*engine.connection, sql, strlen(sql), format, strlen(format));
    assert_non_null(stream);
    const char *error = engine.insert_error(stream);
    char *copy = error && error[0] ? strdup(error) : NULL;
    if (!copy && engine.append(stream, data, size) != 0) {
        error = engine.insert_error(stream);
        copy = strdup(error && error[0] ? error : "append refused");
    }
    void *result = engine.done(stream);
    if (!copy && result && (error = engine.error(result)) && error[0])
        copy = strdup(error);
    if (result)
        engine.destroy(result);
    engine.destroy_insert(stream);
    return copy;
}
