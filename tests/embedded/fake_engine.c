/* A stand-in for libchdb.so with its C interface, for the sanitized twin of coldpath-chdb, which cannot load the real
 * one. It knows no SQL: words in the text decide what happens. It counts its objects and ends the process when some
 * are left at the end or used after theirs, so that it also checks that each is freed exactly once.
 *
 *   version()  the answer the program needs at its start      fail    an error
 *   stream     a result of 40 chunks of 64 KiB                 midway  a stream that fails behind its 20th chunk
 *   refuse     an insert whose second append fails             slow    takes 20 ms */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { CHUNK = 65536, CHUNKS = 40, MIDWAY = 20, MAGIC = 0x51ab };

typedef struct object {
    int magic;
    int step;  /* chunks given, or appends taken */
    int fails; /* midway or refuse */
    int streaming;
    size_t length;
    char *data;
    const char *error;
} object;

static atomic_int objects;
static atomic_int connections;

static const char failure[] = "Code: 60. DB::Exception: Made to fail. (UNKNOWN_TABLE)";

static object *object_new(void)
{
    object *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    made->magic = MAGIC;
    atomic_fetch_add(&objects, 1);
    return made;
}

static object *object_check(void *of)
{
    object *given = of;
    if (!given || given->magic != MAGIC) {
        fprintf(stderr, "fake engine: a handle is not alive\n");
        _exit(99);
    }
    return given;
}

static void object_free(void *of)
{
    object *given = object_check(of);
    given->magic = 0;
    free(given->data);
    free(given);
    atomic_fetch_sub(&objects, 1);
}

static int has(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word)) != NULL;
}

static object *result_new(const char *data, size_t length)
{
    object *made = object_new();
    made->data = malloc(length + 1);
    if (!made->data)
        abort();
    memcpy(made->data, data, length);
    made->length = length;
    return made;
}

static object *statement_new(const char *text, size_t length)
{
    object *made = object_new();
    if (has(text, length, "slow")) {
        const struct timespec pause = {.tv_nsec = 20L * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (has(text, length, "fail"))
        made->error = failure;
    made->fails = has(text, length, "midway") || has(text, length, "refuse");
    return made;
}

EXPORT void chdb_set_signal_handlers_enabled(int enabled);
EXPORT void **chdb_connect(int argc, char **argv);
EXPORT void chdb_close_conn(void **conn);
EXPORT void *chdb_query_with_params_n(void *conn, const char *text, size_t length, const char *format,
                                      size_t format_length, const char *const *names,
                                      const size_t *name_lengths, const char *const *values,
                                      const size_t *value_lengths, size_t count);
EXPORT void *chdb_stream_query_with_params_n(void *conn, const char *text, size_t length, const char *format,
                                             size_t format_length, const char *const *names,
                                             const size_t *name_lengths, const char *const *values,
                                             const size_t *value_lengths, size_t count);
EXPORT void *chdb_stream_fetch_result(void *conn, void *stream);
EXPORT void chdb_stream_cancel_query(void *conn, void *stream);
EXPORT void *chdb_stream_insert_with_params_n(void *conn, const char *text, size_t length, const char *format,
                                              size_t format_length, const char *const *names,
                                              const size_t *name_lengths, const char *const *values,
                                              const size_t *value_lengths, size_t count);
EXPORT int chdb_stream_append(void *insert, const void *data, size_t length);
EXPORT void *chdb_stream_done(void *insert);
EXPORT void chdb_stream_cancel_insert(void *insert);
EXPORT const char *chdb_stream_insert_error(void *insert);
EXPORT void chdb_destroy_insert_stream(void *insert);
EXPORT char *chdb_result_buffer(void *result);
EXPORT size_t chdb_result_length(void *result);
EXPORT const char *chdb_result_error(void *result);
EXPORT uint64_t chdb_result_rows_read(void *result);
EXPORT uint64_t chdb_result_bytes_read(void *result);
EXPORT uint64_t chdb_result_storage_rows_read(void *result);
EXPORT uint64_t chdb_result_storage_bytes_read(void *result);
EXPORT uint64_t chdb_result_rows_written(void *result);
EXPORT uint64_t chdb_result_bytes_written(void *result);
EXPORT void chdb_destroy_query_result(void *result);
EXPORT int chdb_classify_query_n(void *conn, const char *text, size_t length, const char *database,
                                 size_t database_length, void *analysis);

void chdb_set_signal_handlers_enabled(int enabled)
{
    (void)enabled;
}

void **chdb_connect(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    void **conn = malloc(sizeof *conn);
    if (!conn)
        abort();
    *conn = object_new();
    atomic_fetch_add(&connections, 1);
    return conn;
}

void chdb_close_conn(void **conn)
{
    object_free(*conn);
    free(conn);
    if (atomic_fetch_sub(&connections, 1) == 1 && atomic_load(&objects) != 0) {
        fprintf(stderr, "fake engine: %d objects are left\n", atomic_load(&objects));
        _exit(98);
    }
}

void *chdb_query_with_params_n(void *conn, const char *text, size_t length, const char *format,
                               size_t format_length, const char *const *names, const size_t *name_lengths,
                               const char *const *values, const size_t *value_lengths, size_t count)
{
    (void)format;
    (void)format_length;
    object_check(conn);
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) != name_lengths[i] || values[i][value_lengths[i]] != '\0')
            abort();
    if (has(text, length, "version()"))
        return result_new("1.2.3.4\tUTC\n", 12);
    if (has(text, length, "currentDatabase()"))
        return result_new("default\n", 8);
    object *made = statement_new(text, length);
    if (!made->error && !has(text, length, "SET ") && !has(text, length, "USE ")) {
        object_free(made);
        return result_new(text, length);
    }
    return made;
}

void *chdb_stream_query_with_params_n(void *conn, const char *text, size_t length, const char *format,
                                      size_t format_length, const char *const *names,
                                      const size_t *name_lengths, const char *const *values,
                                      const size_t *value_lengths, size_t count)
{
    (void)format, (void)format_length, (void)names, (void)name_lengths;
    (void)values, (void)value_lengths, (void)count;
    object_check(conn);
    object *made = statement_new(text, length);
    made->streaming = 1;
    if (!has(text, length, "stream")) {
        made->error =
            "Code: 36. DB::Exception: Streaming query is not supported for query: x. (BAD_ARGUMENTS)";
    }
    return made;
}

void *chdb_stream_fetch_result(void *conn, void *stream)
{
    object_check(conn);
    object *from = object_check(stream);
    object *made = object_new();
    from->step++;
    if (from->fails && from->step > MIDWAY) {
        made->error = failure;
    } else if (from->step <= CHUNKS) {
        made->length = CHUNK;
        made->data = malloc(CHUNK);
        if (!made->data)
            abort();
        memset(made->data, 'a' + from->step % 26, CHUNK);
    }
    return made;
}

void chdb_stream_cancel_query(void *conn, void *stream)
{
    object_check(conn);
    object_check(stream);
}

void *chdb_stream_insert_with_params_n(void *conn, const char *text, size_t length, const char *format,
                                       size_t format_length, const char *const *names,
                                       const size_t *name_lengths, const char *const *values,
                                       const size_t *value_lengths, size_t count)
{
    (void)format, (void)format_length, (void)names, (void)name_lengths;
    (void)values, (void)value_lengths, (void)count;
    object_check(conn);
    return statement_new(text, length);
}

int chdb_stream_append(void *insert, const void *data, size_t length)
{
    object *into = object_check(insert);
    const volatile char *bytes = data;
    for (size_t i = 0; i < length; i += 512)
        (void)bytes[i]; /* looked at, for the sanitizer */
    return into->fails && ++into->step > 1 ? 1 : 0;
}

void *chdb_stream_done(void *insert)
{
    const object *into = object_check(insert);
    object *made = object_new();
    made->error = into->fails && into->step > 1 ? failure : NULL;
    return made;
}

void chdb_stream_cancel_insert(void *insert)
{
    object_check(insert);
}

const char *chdb_stream_insert_error(void *insert)
{
    return object_check(insert)->error;
}

void chdb_destroy_insert_stream(void *insert)
{
    object_free(insert);
}

char *chdb_result_buffer(void *result)
{
    return object_check(result)->data;
}

size_t chdb_result_length(void *result)
{
    return object_check(result)->length;
}

const char *chdb_result_error(void *result)
{
    return object_check(result)->error;
}

uint64_t chdb_result_rows_read(void *result)
{
    return object_check(result)->length;
}

uint64_t chdb_result_bytes_read(void *result)
{
    return object_check(result)->length;
}

uint64_t chdb_result_storage_rows_read(void *result)
{
    return object_check(result)->length;
}

uint64_t chdb_result_storage_bytes_read(void *result)
{
    return object_check(result)->length;
}

uint64_t chdb_result_rows_written(void *result)
{
    return object_check(result)->length;
}

uint64_t chdb_result_bytes_written(void *result)
{
    return object_check(result)->length;
}

void chdb_destroy_query_result(void *result)
{
    object_free(result);
}

int chdb_classify_query_n(void *conn, const char *text, size_t length, const char *database,
                          size_t database_length, void *analysis)
{
    (void)database;
    (void)database_length;
    object_check(conn);
    const uint32_t found[4] = {16, has(text, length, ";;") ? 2 : 1, 0, 0};
    memcpy(analysis, found, sizeof found);
    return 0;
}
